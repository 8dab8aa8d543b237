//! Power usage effectiveness: facility energy ÷ IT energy (rule T3).

use crate::time::Window;

/// A constant, or values that hold from their instant to the next one's.
#[derive(Clone, Debug, PartialEq)]
pub enum Pue {
    /// One figure for all times.
    Constant(f64),
    /// Instants (UTC, ms), ascending, with the value from there on. The last goes on; before the first, the first holds.
    Series(Vec<(i64, f64)>),
}

impl Pue {
    /// The mean over `window`, weighted by time.
    pub fn over(&self, window: Window) -> f64 {
        let steps = match self {
            Self::Constant(pue) => return *pue,
            Self::Series(steps) => steps,
        };
        let first = steps.partition_point(|(from_ms, _)| *from_ms <= window.start_ms);
        let held = steps.get(first.saturating_sub(1)).map_or(1.0, |(_, pue)| *pue);
        let mut sum = crate::sum::Sum::new();
        let (mut from_ms, mut now) = (window.start_ms, held);
        for (next_ms, pue) in steps.iter().skip(first).take_while(|(next_ms, _)| *next_ms < window.end_ms) {
            sum.add(now * (next_ms - from_ms) as f64);
            (from_ms, now) = (*next_ms, *pue);
        }
        sum.add(now * (window.end_ms - from_ms) as f64);
        if window.is_empty() { held } else { sum.value() / window.length_ms() as f64 }
    }
}

impl std::fmt::Display for Pue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant(pue) => write!(f, "{pue}"),
            Self::Series(steps) => write!(f, "series of {} values", steps.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_weighted_by_time() {
        let pue = Pue::Series(vec![(0, 1.2), (1000, 1.5), (4000, 1.1)]);
        assert!((pue.over(Window::new(0, 1000)) - 1.2).abs() < 1e-12);
        // 500 ms at 1.2, 3,000 at 1.5, 500 at 1.1.
        assert!((pue.over(Window::new(500, 4500)) - (0.6 + 4.5 + 0.55) / 4.0).abs() < 1e-12);
        assert!((pue.over(Window::new(9000, 9001)) - 1.1).abs() < 1e-12);
        assert_eq!(Pue::Constant(1.3).over(Window::new(0, 5)), 1.3);
    }
}
