//! The same amounts in several periods: for each group a bar of each period, side by side.

use super::axis::{Axis, three_digits, usable};
use super::bars::STEPS;
use super::drawing::{Drawing, Region};
use super::frame::{Entry, Frame, WIDTH};
use super::palette::Theme;
use super::rows::{self, Rows};
use super::text;
use super::{Chart, ChartError, Text};

/// More bars than this are no longer visible as such.
const MOST_BARS: usize = 400;

/// Groups under one another, such as users, each with a bar for each period, such as months: 1280 pixels wide,
/// 240 to 1600 high.
#[derive(Clone, Debug, Default)]
pub struct Periods {
    /// The words around it.
    pub text: Text,
    /// What the periods are called, the first on top: `2026-10`, `2026-11`.
    pub periods: Vec<String>,
    /// The groups, the first on top. Of more than 400 bars in all only the first groups are drawn, and the picture says so.
    pub groups: Vec<PeriodGroup>,
    /// Quantity and unit: `emissions (kgCO₂e)`.
    pub x_label: String,
}

/// One group of [`Periods`].
#[derive(Clone, Debug)]
pub struct PeriodGroup {
    /// Name before the bars.
    pub name: String,
    /// A value for each of [`Periods::periods`]. Missing where there is none, or it is not finite or negative.
    pub values: Vec<Option<f64>>,
}

impl Chart for Periods {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let lines = self.periods.len().max(1);
        let groups: Vec<(&str, Vec<Option<f64>>)> = self
            .groups
            .iter()
            .take((MOST_BARS / lines).max(1))
            .map(|group| {
                let value = |period: usize| group.values.get(period).copied().flatten().and_then(usable);
                (group.name.as_str(), (0..self.periods.len()).map(value).collect())
            })
            .collect();
        let known = |values: &[Option<f64>]| values.iter().any(Option::is_some);
        let is_empty = !groups.iter().any(|(_, values)| known(values));
        let colours = theme.colours(self.periods.iter().map(|_| false));
        let named = self.periods.iter().zip(&colours);
        let mut legend: Vec<Entry> = named.map(|(period, colour)| Entry::area(period, *colour)).collect();
        if is_empty {
            legend.clear();
        }
        let words = self.text.with_note(groups.len(), self.groups.len(), "groups");
        let frame = Frame::new(&words, legend, WIDTH)?;
        if is_empty {
            return Rows::nothing(&frame, &words, theme);
        }
        let rows = Rows::new(&frame, groups.len(), lines);
        let mut drawing = frame.draw(&words, theme, rows.height)?;
        // Between two groups is the room of half a bar.
        let line = rows.row / (lines as f64 + 0.5);
        let label = text::AXIS.sized(11.5);
        let with_totals = line >= label.size;
        let words_of = |value: &Option<f64>| value.map_or_else(|| "no data".to_owned(), three_digits);
        let values = || groups.iter().flat_map(|(_, values)| values);
        let mut totals = 0.0_f64;
        for value in values().filter(|_| with_totals) {
            totals = totals.max(label.width(&words_of(value))?);
        }
        let (names, names_width) = rows.names(groups.iter().map(|(name, _)| *name))?;
        let axis = Axis::up_to(values().flatten().copied().fold(0.0, f64::max), STEPS);
        let region = rows.region(names_width, totals);
        rows.draw_axis(&mut drawing, region, axis, &self.x_label)?;
        let top_of = |group: usize, period: usize| rows.top_of(group) + line * (period as f64 + 0.25);
        for (period, colour) in colours.iter().enumerate() {
            let region_of = |(group, (_, values)): (usize, &(&str, Vec<Option<f64>>))| {
                let value = values.get(period).copied().flatten()?;
                let top = top_of(group, period);
                let (top, bottom) = if line < 6.0 {
                    (top, top + line * 0.9)
                } else {
                    (top.round(), (top + line).round() - 1.0)
                };
                Some(Region { left: region.left, right: region.x(value / axis.top()), top, bottom })
            };
            drawing.rectangles(groups.iter().enumerate().filter_map(region_of).collect(), *colour);
        }
        rows.draw_base(&mut drawing, region);
        rows.draw_names(&mut drawing, &names, region.left)?;
        for (group, (_, values)) in groups.iter().enumerate().filter(|_| with_totals) {
            for (period, value) in values.iter().enumerate() {
                let end = region.x(value.unwrap_or(0.0) / axis.top());
                rows::total(
                    &mut drawing,
                    &words_of(value),
                    label,
                    (end, top_of(group, period) + line / 2.0),
                )?;
            }
        }
        Ok(drawing)
    }
}
