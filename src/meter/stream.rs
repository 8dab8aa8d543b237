//! The samples of one meter, from however many series carry it: stitched where
//! they follow each other, one a day where they run side by side (rules N2, N3).

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Component, MeterKind, Quantity};
use super::counter::{Tally, has_between};
use super::inventory::MeterSeries;
use super::presence::{GapLimits, UsualDistances};
use crate::source::SourceError;
use crate::time::{HOUR_MS, Window, day_of, whole_day, whole_days};
use crate::tsdb::{ReadBuffer, ReadStats, is_stale};

/// How one series of a meter was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesUse {
    /// Its row in the list of series.
    pub row: usize,
    /// Samples read from it.
    pub samples: u64,
    /// Of those, left out: not finite, or the exporter's sign for "no value".
    pub dropped: u64,
    /// UTC days on which its stream was the one used.
    pub days_used: u32,
    /// UTC days on which another stream was.
    pub days_replica: u32,
}

/// The samples of one meter, scaled to its base unit.
#[derive(Clone, Debug, Default)]
pub struct MeterSamples {
    /// In ascending time, one at each instant.
    pub samples: Vec<(i64, f64)>,
    /// Instants at which the meter ended with a stale marker and no other series went on.
    pub stale_ms: Vec<i64>,
    /// What counts as a gap.
    pub gaps: GapLimits,
    /// What was dropped so far.
    pub tally: Tally,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
    /// True if days were left out on which a processor's or memory's meter stood still (rule C5).
    pub stood_still: bool,
}

impl MeterSamples {
    /// The value at an instant: a sample, or on the straight line between two that belong together.
    fn at(&self, at_ms: i64) -> Option<f64> {
        let next = self.samples.partition_point(|(sample_ms, _)| *sample_ms < at_ms);
        let (after_ms, after) = *self.samples.get(next)?;
        if after_ms == at_ms {
            return Some(after);
        }
        let (before_ms, before) = *self.samples.get(next.checked_sub(1)?)?;
        if self.gaps.is_gap(before_ms, after_ms) || has_between(&self.stale_ms, before_ms, after_ms) {
            return None;
        }
        Some(before + (after - before) * (at_ms - before_ms) as f64 / (after_ms - before_ms) as f64)
    }
}

/// Scratch space that is reused from meter to meter.
pub struct Scratch {
    /// The window whose samples are counted (see [`Tally::counted`]).
    pub counted: Window,
    /// For decoding.
    pub buffer: ReadBuffer,
    /// What decoding left out.
    pub stats: ReadStats,
}

impl Scratch {
    /// Counts what is in `counted`.
    pub fn of(counted: Window) -> Self {
        Self { counted, buffer: ReadBuffer::default(), stats: ReadStats::default() }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::of(Window::ALL)
    }
}

/// One stream: series that are pieces of each other.
#[derive(Default)]
struct Stream {
    samples: Vec<(i64, f64)>,
    stale_ms: Vec<i64>,
    members: Vec<usize>,
}

impl Stream {
    /// The day whose samples a stale marker ends.
    fn day_ended(&self, stale_ms: i64) -> i64 {
        let next = self.samples.partition_point(|(at_ms, _)| *at_ms < stale_ms);
        let last = next.checked_sub(1).and_then(|last| self.samples.get(last));
        day_of(last.map_or(stale_ms, |(at_ms, _)| *at_ms))
    }

    /// Removes the UTC days of which `is_dead` says that nothing was measured; returns how many samples they had.
    fn drop_dead_days(&mut self, is_dead: SignOfDeath, counted: Window) -> u64 {
        let in_window =
            |samples: &[(i64, f64)]| samples.iter().filter(|(at_ms, _)| counted.contains(*at_ms)).count();
        let mut dead = Vec::new();
        let mut rest = self.samples.as_slice();
        while let Some((first_ms, _)) = rest.first() {
            let day_ends_ms = whole_day(day_of(*first_ms)).end_ms;
            let next = rest.partition_point(|(at_ms, _)| *at_ms < day_ends_ms).max(1);
            let (today, later) = rest.split_at_checked(next).unwrap_or_default();
            rest = later;
            let span_ms = today.last().map_or(0, |(last_ms, _)| last_ms.saturating_sub(*first_ms));
            let values = || today.iter().map(|(_, value)| *value);
            let (least, most) =
                (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            if span_ms >= HOUR_MS && is_dead(least, most) {
                dead.push(day_of(*first_ms));
            }
        }
        if dead.is_empty() {
            return 0;
        }
        let before = in_window(&self.samples);
        self.samples.retain(|(at_ms, _)| dead.binary_search(&day_of(*at_ms)).is_err());
        (before - in_window(&self.samples)) as u64
    }

    fn sort(&mut self) {
        // One series is in order as it is read.
        if self.members.len() > 1 {
            self.samples.sort_by_key(|(at_ms, _)| *at_ms);
            self.samples.dedup_by_key(|(at_ms, _)| *at_ms);
        }
        self.stale_ms.sort_unstable();
    }
}

/// Reads all `series` of one meter over `window`.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub fn read_meter(
    series: &[MeterSeries<'_>],
    window: Window,
    scratch: &mut Scratch,
) -> Result<MeterSamples, SourceError> {
    let mut meter = MeterSamples { tally: Tally::of(scratch.counted), ..MeterSamples::default() };
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    let mut days_of_member: Vec<Vec<i64>> = Vec::with_capacity(series.len());
    let keys: BTreeSet<String> = series.iter().map(MeterSeries::stream_key).collect();
    // The day's best replica is that of the whole day, however little of it is asked for.
    let read = if keys.len() > 1 { whole_days(window) } else { window };
    for (member, piece) in series.iter().enumerate() {
        piece.series.read(read, &mut scratch.buffer, &mut scratch.stats)?;
        let stream = streams.entry(piece.stream_key()).or_default();
        stream.members.push(member);
        meter.uses.push(collect(piece, stream, &scratch.buffer, &mut meter.tally));
        days_of_member.push(days(scratch.buffer.samples().timestamps_ms.as_slice(), |at_ms| *at_ms));
    }
    let mut streams: Vec<Stream> = streams.into_values().collect();
    streams.iter_mut().for_each(Stream::sort);
    let dies = series.first().and_then(|meter| sign_of_death(meter.kind));
    if let Some(is_dead) = dies {
        for stream in &mut streams {
            let dropped = stream.drop_dead_days(is_dead, scratch.counted);
            meter.tally.blank += dropped;
            meter.stood_still |= dropped > 0;
        }
    }
    match streams.as_mut_slice() {
        [only] => take_only(&mut meter, only, &days_of_member),
        _ => choose_by_day(&mut meter, &streams, &days_of_member),
    }
    meter.stale_ms.sort_unstable();
    if !meter.stale_ms.is_empty() {
        drop_continued(&mut meter);
        meter.stale_ms.retain(|at_ms| window.contains(*at_ms));
    }
    let ends = meter.samples.first().zip(meter.samples.last());
    if ends.is_some_and(|(first, last)| !window.contains(first.0) || !window.contains(last.0)) {
        meter.samples.retain(|(at_ms, _)| window.contains(*at_ms));
    }
    meter.gaps = GapLimits::from_times(meter.samples.iter().map(|(at_ms, _)| *at_ms));
    Ok(meter)
}

/// The UTC days of ascending `items`, each once.
fn days<T>(items: &[T], at_ms: impl Fn(&T) -> i64) -> Vec<i64> {
    let mut days = Vec::new();
    let mut rest = items;
    while let Some(first) = rest.first() {
        let day = day_of(at_ms(first));
        let day_ends_ms = whole_day(day).end_ms;
        days.push(day);
        let next = rest.partition_point(|item| at_ms(item) < day_ends_ms);
        // One at the end of time is in a day that has no end.
        rest = rest.get(next.max(1)..).unwrap_or_default();
    }
    days
}

/// Tells from all values of a day, the least and the most, that nothing was measured.
type SignOfDeath = fn(least: f64, most: f64) -> bool;

/// Rule C5: powered processors and memory always draw something, so that a counter which does
/// not rise and a gauge at zero are zones that the hardware does not have.
fn sign_of_death(kind: &MeterKind) -> Option<SignOfDeath> {
    match (kind.component, kind.quantity) {
        (Component::Cpu | Component::Dram, Quantity::Energy) => Some(|least, most| least == most),
        (Component::Cpu | Component::Dram, Quantity::Power) => {
            Some(|least, most| least == 0.0 && most == 0.0)
        }
        _ => None,
    }
}

/// The power of a node that several feeds add up to. Between its samples a feed is a straight line; where
/// one of them is not known the sum is not, which a stale marker says.
pub fn add_up(mut feeds: Vec<MeterSamples>) -> MeterSamples {
    if feeds.len() < 2 {
        return feeds.pop().unwrap_or_default();
    }
    let counted = feeds.first().map_or(Window::ALL, |feed| feed.tally.counted);
    let mut sum = MeterSamples { tally: Tally::of(counted), ..MeterSamples::default() };
    let mut times_ms: Vec<i64> =
        feeds.iter().flat_map(|feed| feed.samples.iter().map(|(at_ms, _)| *at_ms)).collect();
    times_ms.sort_unstable();
    times_ms.dedup();
    for at_ms in times_ms {
        match feeds.iter().map(|feed| feed.at(at_ms)).sum::<Option<f64>>() {
            Some(value) => sum.samples.push((at_ms, value)),
            None => sum.stale_ms.push(at_ms),
        }
    }
    for feed in feeds {
        sum.stale_ms.extend(feed.stale_ms);
        sum.tally.samples += feed.tally.samples;
        sum.tally.not_finite += feed.tally.not_finite;
        sum.tally.blank += feed.tally.blank;
        sum.uses.extend(feed.uses);
    }
    sum.stale_ms.sort_unstable();
    sum.gaps = GapLimits::from_times(sum.samples.iter().map(|(at_ms, _)| *at_ms));
    sum
}

fn collect(
    piece: &MeterSeries<'_>,
    stream: &mut Stream,
    buffer: &ReadBuffer,
    tally: &mut Tally,
) -> SeriesUse {
    let samples = buffer.samples();
    let kind: &MeterKind = piece.kind;
    let mut used = SeriesUse { row: piece.row, ..SeriesUse::default() };
    stream.samples.reserve(samples.values.len());
    let has_blanks = !kind.blank.is_empty();
    for (&at_ms, &raw) in samples.timestamps_ms.iter().zip(&samples.values) {
        if raw.is_finite() && !(has_blanks && kind.is_blank(raw)) {
            stream.samples.push((at_ms, raw * kind.scale));
            used.samples += tally.once(at_ms);
        } else if is_stale(raw) {
            stream.stale_ms.push(at_ms);
        } else {
            let counted = tally.once(at_ms);
            used.samples += counted;
            used.dropped += counted;
            if raw.is_finite() {
                tally.blank += counted;
            } else {
                tally.not_finite += counted;
            }
        }
    }
    tally.samples += used.samples;
    used
}

/// What of a day's samples one after the other can be: streams that follow each other, by their positions.
struct Chain<'s> {
    pieces: Vec<(usize, &'s [(i64, f64)])>,
}

impl<'s> Chain<'s> {
    fn samples(&self) -> impl Iterator<Item = (i64, f64)> + use<'_, 's> {
        self.pieces.iter().flat_map(|(_, samples)| samples.iter().copied())
    }

    fn last_ms(&self) -> Option<i64> {
        self.pieces.last()?.1.last().map(|(at_ms, _)| *at_ms)
    }

    /// Milliseconds between samples that are close enough.
    fn covered_ms(&self) -> i64 {
        let gaps = GapLimits::from_times(self.samples().map(|(at_ms, _)| at_ms));
        let pairs = self.samples().zip(self.samples().skip(1));
        let distances = pairs.map(|((before_ms, _), (after_ms, _))| (before_ms, after_ms - before_ms));
        distances
            .filter(|(before_ms, distance)| *distance <= gaps.at(*before_ms))
            .map(|(_, distance)| distance)
            .sum()
    }
}

/// Joins what follows each other in time: an exporter that moved to
/// another pod or port is still the same meter.
fn stitch<'s>(mut pieces: Vec<(usize, &'s [(i64, f64)])>) -> Vec<Chain<'s>> {
    let first_ms = |samples: &[(i64, f64)]| samples.first().map_or(i64::MAX, |(at_ms, _)| *at_ms);
    pieces.sort_by_key(|(_, samples)| first_ms(samples));
    let mut joined: Vec<Chain<'s>> = Vec::new();
    for piece in pieces {
        let follows = joined.iter_mut().find(|before| before.last_ms() < Some(first_ms(piece.1)));
        match follows {
            Some(before) => before.pieces.push(piece),
            None => joined.push(Chain { pieces: vec![piece] }),
        }
    }
    joined
}

/// Rules N2, N3: for each UTC day the streams that follow each other with most coverage, ties by label order, which is the order of the
/// series.
fn choose_by_day(meter: &mut MeterSamples, streams: &[Stream], days_of_member: &[Vec<i64>]) {
    let days: BTreeSet<i64> =
        streams.iter().flat_map(|stream| days(&stream.samples, |(at_ms, _)| *at_ms)).collect();
    let mut rest: Vec<&[(i64, f64)]> = streams.iter().map(|stream| stream.samples.as_slice()).collect();
    let first_member = |chain: &Chain<'_>| {
        let members =
            chain.pieces.iter().filter_map(|(stream, _)| streams.get(*stream)?.members.iter().min());
        members.min().copied()
    };
    for day in days {
        let mut pieces = Vec::new();
        for (index, samples) in rest.iter_mut().enumerate() {
            let today = samples.partition_point(|(at_ms, _)| day_of(*at_ms) <= day);
            let (now, later) = samples.split_at_checked(today).unwrap_or_default();
            *samples = later;
            if !now.is_empty() {
                pieces.push((index, now));
            }
        }
        let there: Vec<usize> = pieces.iter().map(|(index, _)| *index).collect();
        let mut chains = stitch(pieces);
        chains.sort_by_key(first_member);
        let best = chains.iter().rev().max_by_key(|chain| chain.covered_ms());
        let Some(best) = best else { continue };
        meter.samples.extend(best.samples());
        let is_chosen = |index: usize| best.pieces.iter().any(|(chosen, _)| *chosen == index);
        for index in there {
            let Some(stream) = streams.get(index) else { continue };
            if is_chosen(index) {
                meter
                    .stale_ms
                    .extend(stream.stale_ms.iter().filter(|at_ms| stream.day_ended(**at_ms) == day));
            }
            count_day(meter, (day, is_chosen(index)), &stream.members, days_of_member);
        }
    }
}

/// Notes for the series that had samples on a day whether their stream was the one used.
fn count_day(
    meter: &mut MeterSamples,
    (day, is_chosen): (i64, bool),
    members: &[usize],
    days_of_member: &[Vec<i64>],
) {
    if whole_day(day).intersect(meter.tally.counted).is_none() {
        return;
    }
    let was_there =
        |member: &&usize| days_of_member.get(**member).is_some_and(|days| days.binary_search(&day).is_ok());
    for member in members.iter().filter(was_there) {
        if let Some(used) = meter.uses.get_mut(*member) {
            *(if is_chosen { &mut used.days_used } else { &mut used.days_replica }) += 1;
        }
    }
}

/// The same where there is nothing to choose from.
fn take_only(meter: &mut MeterSamples, stream: &mut Stream, days_of_member: &[Vec<i64>]) {
    let days = days(&stream.samples, |(at_ms, _)| *at_ms);
    let is_used = |at_ms: &i64| days.binary_search(&stream.day_ended(*at_ms)).is_ok();
    meter.stale_ms = stream.stale_ms.iter().copied().filter(is_used).collect();
    meter.samples = std::mem::take(&mut stream.samples);
    for day in days {
        count_day(meter, (day, true), &stream.members, days_of_member);
    }
}

/// Rule N3: a stale marker ends the meter only if no other series of it has a
/// sample within one scrape interval.
fn drop_continued(meter: &mut MeterSamples) {
    let samples = &meter.samples;
    let usual = UsualDistances::from_times(samples.iter().map(|(at_ms, _)| *at_ms));
    meter.stale_ms.retain(|stale_ms| {
        let next = samples.partition_point(|(at_ms, _)| at_ms < stale_ms);
        let before = next.checked_sub(1).and_then(|before| samples.get(before));
        let interval_ms = before.and_then(|(at_ms, _)| usual.at(*at_ms)).unwrap_or_default();
        samples.get(next).is_none_or(|(at_ms, _)| *at_ms > stale_ms.saturating_add(interval_ms))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY_MS;

    fn feed(samples: &[(i64, f64)]) -> MeterSamples {
        let gaps = GapLimits::from_times(samples.iter().map(|(at_ms, _)| *at_ms));
        MeterSamples { samples: samples.to_vec(), gaps, ..MeterSamples::default() }
    }

    #[test]
    fn feeds_add_up_where_both_are_known() {
        let sum = add_up(vec![
            feed(&[(0, 100.0), (30_000, 200.0), (60_000, 200.0)]),
            feed(&[(15_000, 50.0), (45_000, 70.0), (75_000, 70.0)]),
        ]);
        assert_eq!(sum.samples, [(15_000, 200.0), (30_000, 260.0), (45_000, 270.0), (60_000, 270.0)]);
        assert_eq!(sum.stale_ms, [0, 75_000]);
    }

    #[test]
    fn a_zone_that_stands_still_is_dropped_a_day_at_a_time() {
        let day =
            |day: i64, step: f64| (0..100).map(move |n| (day * DAY_MS + n * 60_000, 7.0 + n as f64 * step));
        let mut stream = Stream { samples: day(0, 0.0).chain(day(1, 1.0)).collect(), ..Stream::default() };
        assert_eq!(stream.drop_dead_days(|least, most| least == most, Window::ALL), 100);
        assert_eq!(stream.samples.first(), Some(&(DAY_MS, 7.0)));
        // Forty minutes tell nothing.
        let short = (0..40).map(|n| (n * 60_000, 7.0));
        let mut stream = Stream { samples: short.collect(), ..Stream::default() };
        assert_eq!(stream.drop_dead_days(|least, most| least == most, Window::ALL), 0);
    }
}
