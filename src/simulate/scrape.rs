//! When a target is scraped: offset, jitter, late ones, failures, gaps.

use super::random::{Purpose, stream};
use crate::time::{SECOND_MS, Window};
use crate::tsdb::{STALE_NAN_BITS, Samples};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// A scrape target as one Prometheus sees it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    interval_ms: i64,
    /// The first scrape's place in the interval.
    offset_ms: i64,
    /// Each scrape is up to this early or late.
    jitter_ms: i64,
    /// One random word for each scrape, by its number.
    chance: ChaCha8Rng,
    /// Scrapes fail in these.
    down: Vec<Window>,
    /// No scrapes at all in these: Prometheus was not running.
    away: Vec<Window>,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrape {
    pub(super) at_ms: i64,
    /// What `up` says.
    pub(super) succeeded: bool,
    /// Nothing is written.
    pub(super) skipped: bool,
}

impl Target {
    /// The `nth` target of a scenario.
    pub(super) fn new(
        seed: u64,
        nth: u64,
        interval_ms: i64,
        mut down: Vec<Window>,
        mut away: Vec<Window>,
    ) -> Self {
        let mut chance = stream(seed, Purpose::Scrape, nth);
        let offset_ms = chance.random_range(SECOND_MS..interval_ms - SECOND_MS);
        let jitter_ms = chance.random_range(10..=50);
        // A stream of its own for the scrapes, read by position.
        chance.set_stream(1);
        down.sort_unstable();
        away.sort_unstable();
        Self { interval_ms, offset_ms, jitter_ms, chance, down, away }
    }

    /// The scrapes inside `part` of `window`, ascending.
    pub(super) fn scrapes(&self, window: Window, part: Window) -> impl Iterator<Item = Scrape> + '_ {
        let first = ((part.start_ms - window.start_ms - self.offset_ms) / self.interval_ms - 1).max(0);
        let mut chance = self.chance.clone();
        chance.set_word_pos(first as u128);
        let (mut down, mut away) = (0, 0);
        (first..)
            .map(move |nth| {
                let word = chance.next_u32();
                let jitter_ms = i64::from(word & 0xffff) % (2 * self.jitter_ms + 1) - self.jitter_ms;
                // One in 2,000 comes up to 0.4 intervals late.
                let late = i64::from(word >> 16) < 65_536 / 2000;
                let late_ms = if late { self.interval_ms * i64::from(word & 0xff) / 640 } else { 0 };
                window.start_ms + self.offset_ms + nth * self.interval_ms + jitter_ms + late_ms
            })
            .skip_while(move |&at_ms| at_ms < part.start_ms)
            .take_while(move |&at_ms| at_ms < part.end_ms)
            .map(move |at_ms| Scrape {
                at_ms,
                succeeded: !inside(&self.down, &mut down, at_ms),
                skipped: inside(&self.away, &mut away, at_ms),
            })
    }

    /// Fills `samples` with what this target's scrapes see of one series.
    ///
    /// The series is exported within `visible`, windows that are apart and ascending. Where a scrape that succeeds
    /// or fails no longer finds it, Prometheus writes a stale marker; what was
    /// there before Prometheus itself was away gets none.
    pub(super) fn sample(
        &self,
        window: Window,
        visible: &[Window],
        samples: &mut Samples,
        mut value: impl FnMut(i64) -> f64,
    ) {
        // Far enough to see the scrape that misses the series.
        let (Some(first), Some(last)) = (visible.first(), visible.last()) else { return };
        let until_ms = last.end_ms.saturating_add(3 * self.interval_ms).min(window.end_ms);
        let (mut present, mut next) = (false, 0);
        for scrape in self.scrapes(window, Window::new(first.start_ms, until_ms)) {
            if scrape.skipped {
                present = false;
            } else if scrape.succeeded && inside(visible, &mut next, scrape.at_ms) {
                samples.timestamps_ms.push(scrape.at_ms);
                samples.values.push(value(scrape.at_ms));
                present = true;
            } else if present {
                samples.timestamps_ms.push(scrape.at_ms);
                samples.values.push(f64::from_bits(STALE_NAN_BITS));
                present = false;
            }
        }
    }
}

/// Whether an instant lies in one of the windows, which may overlap but are
/// sorted by start. `next` skips those that have ended.
fn inside(windows: &[Window], next: &mut usize, at_ms: i64) -> bool {
    while windows.get(*next).is_some_and(|window| window.end_ms <= at_ms) {
        *next += 1;
    }
    windows
        .iter()
        .skip(*next)
        .take_while(|window| window.start_ms <= at_ms)
        .any(|window| window.contains(at_ms))
}
