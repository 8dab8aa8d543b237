//! When each scrape target answered and when it did not, from its `up` series.

use crate::source::{Series, SourceError};
use crate::time::{MINUTE_MS, Window};
use crate::tsdb::{ReadBuffer, ReadStats, Samples, is_stale};

/// The metric that Prometheus writes for each scrape: 1 if it was answered.
pub const UP: &str = "up";
/// Shorter times without a scrape are no gap.
const GAP_MS: i64 = 5 * MINUTE_MS;

/// What one target did in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Its scrape job, empty if the series has no such label.
    pub job: String,
    /// Where it was scraped.
    pub instance: String,
    /// Scrapes, answered or not.
    pub scrapes: u64,
    /// Scrapes that were answered.
    pub answered: u64,
    /// From each first scrape that was not answered to the next that was, or to
    /// the last one before the series ended.
    pub down: Vec<Window>,
    /// First and last sample, in milliseconds since the epoch.
    pub seen_ms: Option<(i64, i64)>,
    /// The longest time without a sample, if it is longer than five minutes.
    pub longest_gap: Option<Window>,
}

impl Target {
    /// Share of the scrapes that were answered, 0 to 1.
    pub fn availability(&self) -> Option<f64> {
        (self.scrapes > 0).then(|| self.answered as f64 / self.scrapes as f64)
    }
}

/// The targets among `series`, in their order.
///
/// # Errors
///
/// Where an `up` series cannot be read at all; damaged pieces are counted in `stats`.
pub fn targets(
    series: &[Box<dyn Series + '_>],
    window: Window,
    stats: &mut ReadStats,
) -> Result<Vec<Target>, SourceError> {
    let mut buffer = ReadBuffer::default();
    let mut targets = Vec::new();
    for up in series.iter().filter(|series| series.labels().metric() == UP) {
        up.read(window, &mut buffer, stats)?;
        let name = |label| up.labels().get(label).unwrap_or_default().to_owned();
        targets.push(Target { job: name("job"), instance: name("instance"), ..watched(buffer.samples()) });
    }
    Ok(targets)
}

/// All that the samples tell; stale markers are no scrapes.
fn watched(samples: &Samples) -> Target {
    let mut target = Target::default();
    let mut was_down = false;
    for (&at_ms, &value) in samples.timestamps_ms.iter().zip(&samples.values) {
        if is_stale(value) {
            was_down = false;
            continue;
        }
        let is_down = value != 1.0;
        target.scrapes += 1;
        target.answered += u64::from(!is_down);
        match target.down.last_mut().filter(|_| was_down) {
            Some(down) => down.end_ms = at_ms,
            None if is_down => target.down.push(Window::new(at_ms, at_ms)),
            None => {}
        }
        was_down = is_down;
    }
    let times = &samples.timestamps_ms;
    target.seen_ms = times.first().copied().zip(times.last().copied());
    let steps = times.iter().zip(times.iter().skip(1)).map(|(from, to)| Window::new(*from, *to));
    target.longest_gap = steps.max_by_key(|gap| gap.length_ms()).filter(|gap| gap.length_ms() > GAP_MS);
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsdb::STALE_NAN_BITS;

    #[test]
    fn answers_outages_and_gaps() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        let target = watched(&Samples {
            timestamps_ms: vec![0, 15_000, 30_000, 45_000, 60_000, 75_000, 400_000, i64::MAX],
            values: vec![1.0, 0.0, 0.0, 1.0, 0.0, stale, 1.0, 1.0],
        });
        assert_eq!((target.scrapes, target.answered), (7, 4));
        assert_eq!(target.availability(), Some(4.0 / 7.0));
        assert_eq!(target.down, [Window::new(15_000, 45_000), Window::new(60_000, 60_000)]);
        assert_eq!(target.seen_ms, Some((0, i64::MAX)));
        assert_eq!(target.longest_gap, Some(Window::new(400_000, i64::MAX)));
        assert_eq!(watched(&Samples::default()), Target::default());
        assert_eq!(Target::default().availability(), None);
    }
}
