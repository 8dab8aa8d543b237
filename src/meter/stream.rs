//! The samples of one meter, from however many series carry it: stitched where
//! they follow each other, one a day where they run side by side (rules N2, N3).

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::MeterKind;
use super::counter::Tally;
use super::inventory::MeterSeries;
use super::presence::GapLimits;
use crate::source::SourceError;
use crate::time::{DAY_MS, Window, day_of};
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
}

/// Scratch space that is reused from meter to meter.
#[derive(Default)]
pub struct Scratch {
    /// For decoding.
    pub buffer: ReadBuffer,
    /// What decoding left out.
    pub stats: ReadStats,
}

/// One stream: series that are pieces of each other.
#[derive(Default)]
struct Stream {
    samples: Vec<(i64, f64)>,
    stale_ms: Vec<i64>,
    members: Vec<usize>,
}

impl Stream {
    fn span(&self) -> Option<(i64, i64)> {
        Some((self.samples.first()?.0, self.samples.last()?.0))
    }

    fn sort(&mut self) {
        self.samples.sort_by_key(|(at_ms, _)| *at_ms);
        self.samples.dedup_by_key(|(at_ms, _)| *at_ms);
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
    let mut meter = MeterSamples::default();
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    let keys: BTreeSet<String> = series.iter().map(MeterSeries::stream_key).collect();
    // The day's best replica is that of the whole day, however little of it is asked for.
    let read = if keys.len() > 1 { whole_days(window) } else { window };
    for (member, piece) in series.iter().enumerate() {
        piece.series.read(read, &mut scratch.buffer, &mut scratch.stats)?;
        let stream = streams.entry(piece.stream_key()).or_default();
        stream.members.push(member);
        meter.uses.push(collect(piece, stream, &scratch.buffer, &mut meter.tally));
    }
    let mut streams: Vec<Stream> = streams.into_values().collect();
    streams.iter_mut().for_each(Stream::sort);
    let streams = stitch(streams);
    choose_by_day(&mut meter, streams);
    meter.samples.retain(|(at_ms, _)| window.contains(*at_ms));
    meter.stale_ms.retain(|at_ms| window.contains(*at_ms));
    meter.gaps = GapLimits::from_times(meter.samples.iter().map(|(at_ms, _)| *at_ms));
    Ok(meter)
}

/// The UTC days that `window` touches.
fn whole_days(window: Window) -> Window {
    let start_ms = day_of(window.start_ms).saturating_mul(DAY_MS);
    let end_ms = day_of(window.end_ms.saturating_sub(1)).saturating_add(1).saturating_mul(DAY_MS);
    Window::new(start_ms, end_ms)
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
    for (&at_ms, &raw) in samples.timestamps_ms.iter().zip(&samples.values) {
        if is_stale(raw) {
            stream.stale_ms.push(at_ms);
            continue;
        }
        used.samples += 1;
        if !raw.is_finite() {
            tally.not_finite += 1;
            used.dropped += 1;
        } else if kind.is_blank(raw) {
            tally.blank += 1;
            used.dropped += 1;
        } else {
            stream.samples.push((at_ms, raw * kind.scale));
        }
    }
    tally.samples += used.samples;
    used
}

/// Joins streams that follow each other in time: an exporter that moved to
/// another pod or port is still the same meter.
fn stitch(streams: Vec<Stream>) -> Vec<Stream> {
    let mut order: Vec<Stream> = streams;
    order.sort_by_key(|stream| stream.span().map_or(i64::MAX, |(first, _)| first));
    let mut joined: Vec<Stream> = Vec::new();
    for stream in order {
        let follows = stream.span().and_then(|(first, _)| {
            joined.iter_mut().find(|before| before.span().is_none_or(|(_, last)| last < first))
        });
        match follows {
            Some(before) => {
                before.samples.extend(stream.samples);
                before.stale_ms.extend(stream.stale_ms);
                before.stale_ms.sort_unstable();
                before.members.extend(stream.members);
            }
            None => joined.push(stream),
        }
    }
    // Ties are broken by label order, which is the order of the series.
    joined.sort_by_key(|stream| stream.members.iter().min().copied());
    joined
}

/// Rule N2: for each UTC day the stream with most coverage, ties by label order.
fn choose_by_day(meter: &mut MeterSamples, streams: Vec<Stream>) {
    let days: BTreeSet<i64> =
        streams.iter().flat_map(|stream| stream.samples.iter().map(|(at_ms, _)| day_of(*at_ms))).collect();
    let coverage: Vec<BTreeMap<i64, i64>> = streams.iter().map(coverage_by_day).collect();
    let mut rest: Vec<&[(i64, f64)]> = streams.iter().map(|stream| stream.samples.as_slice()).collect();
    for day in days {
        let mut best: Option<(i64, usize)> = None;
        for (index, covered) in coverage.iter().enumerate() {
            let covered_ms = covered.get(&day).copied().unwrap_or(-1);
            if covered_ms >= 0 && best.is_none_or(|(most, _)| covered_ms > most) {
                best = Some((covered_ms, index));
            }
        }
        let Some((_, chosen)) = best else { continue };
        for (index, samples) in rest.iter_mut().enumerate() {
            let today = samples.partition_point(|(at_ms, _)| day_of(*at_ms) <= day);
            let (now, later) = samples.split_at_checked(today).unwrap_or_default();
            if index == chosen {
                meter.samples.extend_from_slice(now);
            }
            *samples = later;
            let Some(stream) = streams.get(index) else { continue };
            if index == chosen {
                meter.stale_ms.extend(stream.stale_ms.iter().filter(|at_ms| day_of(**at_ms) == day));
            }
            let was_there = coverage.get(index).is_some_and(|covered| covered.contains_key(&day));
            for member in &stream.members {
                if let Some(used) = meter.uses.get_mut(*member).filter(|used| was_there && used.samples > 0) {
                    *(if index == chosen { &mut used.days_used } else { &mut used.days_replica }) += 1;
                }
            }
        }
    }
    drop_continued(meter);
}

/// Milliseconds covered on each day that the stream has samples on.
fn coverage_by_day(stream: &Stream) -> BTreeMap<i64, i64> {
    let gaps = GapLimits::from_times(stream.samples.iter().map(|(at_ms, _)| *at_ms));
    let mut covered = BTreeMap::new();
    let mut previous: Option<i64> = None;
    for (at_ms, _) in &stream.samples {
        let day = covered.entry(day_of(*at_ms)).or_insert(0);
        if let Some(before) = previous
            && at_ms - before <= gaps.at(before)
        {
            *day += at_ms - before;
        }
        previous = Some(*at_ms);
    }
    covered
}

/// Rule N3: a stale marker ends the meter only if no other series of it has a
/// sample within one scrape interval.
fn drop_continued(meter: &mut MeterSamples) {
    let mut distances: Vec<i64> = meter
        .samples
        .iter()
        .zip(meter.samples.iter().skip(1))
        .map(|((before, _), (after, _))| after - before)
        .collect();
    if distances.is_empty() {
        return;
    }
    let middle = (distances.len() - 1) / 2;
    let interval_ms = *distances.select_nth_unstable(middle).1;
    let samples = &meter.samples;
    meter.stale_ms.retain(|stale_ms| {
        let next = samples.partition_point(|(at_ms, _)| at_ms < stale_ms);
        samples.get(next).is_none_or(|(at_ms, _)| *at_ms > stale_ms.saturating_add(interval_ms))
    });
}
