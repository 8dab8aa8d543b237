//! Of what share of its time each of many things is known, and how.

use super::axis::usable;
use super::drawing::{Drawing, Region, half};
use super::frame::{Entry, Frame, WIDTH};
use super::palette::{Colour, Theme};
use super::rows::Rows;
use super::slices::{Slice, slices, thin, whole};
use super::{Chart, ChartError, Text, time_axis};
use crate::time::Window;

/// More rows than this have no name of their own.
const MOST_ROWS: usize = 60;
/// Height of the time axis.
const AXIS_HEIGHT: f64 = 66.0;

/// A strip for each row over time, filled from its foot by the share of the time of which something is known, in the colour of
/// how: 1280 pixels wide, 240 to 1600 high. Where there are more buckets than pixels, means over a round length of time are drawn.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// The words around it.
    pub text: Text,
    /// The buckets, UTC, not overlapping; empty ones and those outside the years 1 to 9999 are left out.
    pub buckets: Vec<Window>,
    /// Ways of knowing, the best first.
    pub methods: Vec<String>,
    /// The rows, at most 60: of more only the first are drawn, and the picture says so.
    pub rows: Vec<CoverageRow>,
}

/// One row of [`Coverage`].
#[derive(Clone, Debug)]
pub struct CoverageRow {
    /// Name before the strip.
    pub name: String,
    /// For each bucket and each of [`Coverage::methods`] the share of the expected time that is known by it, 0 to 1; `None`
    /// where nothing was expected. What is not given, not finite or negative is zero.
    pub shares: Vec<Option<Vec<f64>>>,
}

impl Chart for Coverage {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let rows = self.rows.get(..MOST_ROWS).unwrap_or(&self.rows);
        let methods = self.methods.len();
        // Of each row whether anything was expected, and then the shares.
        let slices = slices(&self.buckets, |bucket| {
            let of_row = |row: &CoverageRow| -> Vec<Option<f64>> {
                let shares = row.shares.get(bucket).and_then(Option::as_ref);
                let share = |method: usize| {
                    shares.map(|shares| shares.get(method).copied().and_then(usable).unwrap_or(0.0))
                };
                std::iter::once(shares.map(|_| 1.0)).chain((0..methods).map(share)).collect()
            };
            rows.iter().flat_map(of_row).collect()
        });
        let whole =
            whole(&slices).filter(|_| slices.iter().any(|slice| slice.values.iter().any(Option::is_some)));
        let colours = theme.colours(self.methods.iter().map(|_| false));
        let mut legend: Vec<Entry> = Vec::new();
        if whole.is_some() {
            legend.extend(self.methods.iter().zip(&colours).map(|(name, colour)| Entry::area(name, *colour)));
            legend.push(Entry::area("not seen", theme.missing()));
        }
        let words = self.text.with_note(rows.len(), self.rows.len(), "rows");
        let frame = Frame::new(&words, legend, WIDTH)?;
        let Some(whole) = whole else { return Rows::nothing(&frame, &words, theme) };
        let layout = Rows::over(&frame, rows.len(), 1, AXIS_HEIGHT);
        let mut drawing = frame.draw(&words, theme, layout.height)?;
        let (names, names_width) = layout.names(rows.iter().map(|row| row.name.as_str()))?;
        let region = layout.region(names_width, 8.0);
        let (steps, mean) = thin(&slices, whole, region.width() / 2.0);
        let strips = Strips { region, whole, steps: &steps, methods };
        for index in 0..rows.len() {
            let half_gap = (layout.row * 0.15).max(1.0) / 2.0;
            let top = layout.top_of(index);
            let (top, bottom) = ((top + half_gap).round(), (top + layout.row - half_gap).round());
            strips.draw(&mut drawing, index, (top, bottom), &colours);
        }
        layout.draw_names(&mut drawing, &names, region.left)?;
        let base = Region { top: region.bottom, bottom: region.bottom + 1.0, ..region };
        drawing.rule(base, theme.baseline());
        let means = mean.map_or_else(String::new, |mean| format!("; each step is the mean of {mean}"));
        time_axis::draw(&mut drawing, region, whole, &format!("Time (UTC){means}"))?;
        Ok(drawing)
    }
}

struct Strips<'a> {
    region: Region,
    whole: Window,
    steps: &'a [Slice],
    methods: usize,
}

impl Strips<'_> {
    fn draw(&self, drawing: &mut Drawing, row: usize, (top, bottom): (f64, f64), colours: &[Colour]) {
        let per_ms = self.region.width() / self.whole.length_ms().max(1) as f64;
        let x =
            |at_ms: i64| half(self.region.left + at_ms.saturating_sub(self.whole.start_ms) as f64 * per_ms);
        let first = row.saturating_mul(self.methods.saturating_add(1));
        let is_expected = |slice: &&Slice| slice.values.get(first).copied().flatten().is_some();
        let values = |slice: &Slice| {
            let values = slice.values.iter().skip(first.saturating_add(1)).take(self.methods);
            values.map(|share| share.unwrap_or(0.0)).collect::<Vec<f64>>()
        };
        let expected = self.steps.iter().filter(is_expected);
        let strip = |slice: &Slice, share: f64| Region {
            left: x(slice.window.start_ms),
            right: x(slice.window.end_ms),
            top: bottom - share.min(1.0) * (bottom - top),
            bottom,
        };
        drawing.rectangles(joined(expected.clone().map(|slice| strip(slice, 1.0))), drawing.theme.missing());
        // Each reaches down to the foot, and the better ones lie over it.
        for (method, colour) in colours.iter().enumerate().rev() {
            let known = expected.clone().filter_map(|slice| {
                let values = values(slice);
                values.get(method).filter(|share| **share > 0.0)?;
                let upto: f64 = values.iter().take(method.saturating_add(1)).sum();
                Some(strip(slice, upto))
            });
            drawing.rectangles(joined(known), *colour);
        }
    }
}

/// Neighbours of one height as one: there are few gaps, and many hours.
fn joined(regions: impl Iterator<Item = Region>) -> Vec<Region> {
    let mut joined: Vec<Region> = Vec::new();
    for region in regions {
        match joined.last_mut() {
            Some(last) if last.right == region.left && last.top == region.top => last.right = region.right,
            _ => joined.push(region),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_height_become_one() {
        let region = |left: f64, right: f64, top: f64| Region { left, right, top, bottom: 9.0 };
        let regions =
            [region(0.0, 1.0, 3.0), region(1.0, 2.0, 3.0), region(2.0, 3.0, 4.0), region(5.0, 6.0, 4.0)];
        assert_eq!(
            joined(regions.into_iter()),
            [region(0.0, 2.0, 3.0), region(2.0, 3.0, 4.0), region(5.0, 6.0, 4.0)]
        );
    }
}
