//! What is known of each length of time, and means over it where there is more of it than pixels.

use super::time_axis;
use crate::time::{self, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Window};

/// Lengths of time over which buckets are averaged where there are more of them than pixels, each with its name.
/// Nothing between 6 hours and a day: it would beat with the day's own rhythm.
const MEANS: [(i64, &str); 18] = [
    (10, "10 ms"),
    (100, "100 ms"),
    (SECOND_MS, "1 s"),
    (5 * SECOND_MS, "5 s"),
    (15 * SECOND_MS, "15 s"),
    (MINUTE_MS, "1 min"),
    (5 * MINUTE_MS, "5 min"),
    (15 * MINUTE_MS, "15 min"),
    (30 * MINUTE_MS, "30 min"),
    (HOUR_MS, "1 h"),
    (2 * HOUR_MS, "2 h"),
    (3 * HOUR_MS, "3 h"),
    (6 * HOUR_MS, "6 h"),
    (DAY_MS, "1 day"),
    (7 * DAY_MS, "7 days"),
    (28 * DAY_MS, "28 days"),
    (364 * DAY_MS, "364 days"),
    (3640 * DAY_MS, "3640 days"),
];
/// One bucket, or several averaged because they share a column of pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    pub(super) window: Window,
    /// One for each layer, the line's last if there is one.
    pub(super) values: Vec<Option<f64>>,
}

/// The buckets that can be drawn, in order of time, each with its `values`.
pub(super) fn slices(buckets: &[Window], values: impl Fn(usize) -> Vec<Option<f64>>) -> Vec<Slice> {
    let drawable = buckets.iter().enumerate().filter(|(_, window)| time_axis::drawable(**window));
    let mut slices: Vec<Slice> =
        drawable.map(|(index, window)| Slice { window: *window, values: values(index) }).collect();
    slices.sort_by_key(|slice| slice.window);
    slices
}

/// From the start of the first to the end of the last.
pub(super) fn whole(slices: &[Slice]) -> Option<Window> {
    let end_ms = slices.iter().map(|slice| slice.window.end_ms).max()?;
    slices.first().map(|first| Window::new(first.window.start_ms, end_ms))
}

/// The times inside `whole` of which no layer knows anything.
pub(super) fn unknown(slices: &[Slice], layers: usize, whole: Window) -> Vec<Window> {
    let mut unknown: Vec<Window> = Vec::new();
    let mut known_to_ms = whole.start_ms;
    let is_known = |slice: &&Slice| slice.values.iter().take(layers).any(Option::is_some);
    for slice in slices.iter().filter(is_known) {
        unknown.push(Window::new(known_to_ms, slice.window.start_ms));
        known_to_ms = known_to_ms.max(slice.window.end_ms);
    }
    unknown.push(Window::new(known_to_ms, whole.end_ms));
    unknown.retain(|window| !window.is_empty());
    unknown
}

/// The slices, or where they are more than `width` pixels their means over the shortest of [`MEANS`] that
/// fills a pixel, with its name. A mean is weighted by time and takes in only what is known.
pub(super) fn thin(slices: &[Slice], whole: Window, width: f64) -> (Vec<Slice>, Option<&'static str>) {
    if slices.len() as f64 <= width {
        return (slices.to_vec(), None);
    }
    let ms_per_pixel = whole.length_ms() as f64 / width.max(1.0);
    let fitting = MEANS.iter().find(|(step_ms, _)| *step_ms as f64 >= ms_per_pixel);
    let Some((step_ms, name)) = fitting.or(MEANS.last()) else { return (slices.to_vec(), None) };
    let tiles = time::buckets(whole, *step_ms, chrono_tz::Tz::UTC);
    let values = slices.first().map_or(0, |slice| slice.values.len());
    let mut sums = vec![vec![(0.0, 0.0); values]; tiles.len()];
    for slice in slices {
        let first = slice.window.start_ms.div_euclid(*step_ms) - whole.start_ms.div_euclid(*step_ms);
        let from = tiles.iter().zip(&mut sums).skip(usize::try_from(first).unwrap_or(0));
        for (tile, sums) in from.take_while(|(tile, _)| tile.start_ms < slice.window.end_ms) {
            let seconds = tile.intersect(slice.window).map_or(0.0, Window::length_s);
            for ((sum, weight), value) in sums.iter_mut().zip(&slice.values) {
                if let Some(value) = value {
                    *sum += value * seconds;
                    *weight += seconds;
                }
            }
        }
    }
    let mean = |(sum, weight): (f64, f64)| (weight > 0.0).then(|| sum / weight);
    let means = tiles
        .into_iter()
        .zip(sums)
        .map(|(window, sums)| Slice { window, values: sums.into_iter().map(mean).collect() })
        .collect();
    (means, Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::axis::usable;
    use super::*;

    fn slice(start_ms: i64, end_ms: i64, value: f64) -> Slice {
        Slice { window: Window::new(start_ms, end_ms), values: vec![usable(value)] }
    }

    #[test]
    fn steps_are_means_over_time_of_what_is_known() {
        let whole = Window::new(0, 40);
        let nothing = f64::NAN;
        let slices = [
            slice(0, 3, 4.0),
            slice(3, 5, 4.0),
            slice(5, 18, 8.0),
            slice(20, 30, nothing),
            slice(30, 40, 1.0),
        ];
        assert_eq!(thin(&slices, whole, 5.0), (slices.to_vec(), None));
        // (5 × 4 + 5 × 8) ÷ 10 = 6; of 10 to 20 only 8 ms are known, all of them 8.
        let means = vec![slice(0, 10, 6.0), slice(10, 20, 8.0), slice(20, 30, nothing), slice(30, 40, 1.0)];
        assert_eq!(thin(&slices, whole, 4.0), (means, Some("10 ms")));
    }

    #[test]
    fn a_year_of_hours_is_drawn_as_days() {
        let hours: Vec<Slice> =
            (0..8760).map(|hour| slice(hour * HOUR_MS, (hour + 1) * HOUR_MS, (hour % 24) as f64)).collect();
        let (days, name) = thin(&hours, Window::new(0, 8760 * HOUR_MS), 1100.0);
        assert_eq!((days.len(), name), (365, Some("1 day")));
        assert!(days.iter().all(|day| day.values == [Some(11.5)]), "the mean of 0 to 23 is 11.5");
    }

    #[test]
    fn times_without_data_are_those_no_layer_knows() {
        let whole = Window::new(0, 50);
        let slices = [slice(0, 10, 1.0), slice(10, 20, f64::NAN), slice(30, 40, 0.0), slice(40, 50, 2.0)];
        assert_eq!(unknown(&slices, 1, whole), [Window::new(10, 30)]);
    }
}
