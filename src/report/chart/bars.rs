//! Amounts under one another: horizontal bars, each of stacked segments.

use super::axis::{Axis, three_digits, usable};
use super::drawing::{Drawing, Region};
use super::frame::{Entry, Frame, WIDTH};
use super::palette::Theme;
use super::rows::{self, Rows};
use super::text;
use super::{Chart, ChartError, Text};

/// More bars than this are no longer visible as such.
const MOST_BARS: usize = 1000;
/// Grid steps aimed at.
pub(super) const STEPS: u32 = 6;

/// Horizontal bars, the first at the top, with their totals at their ends where there is room: 1280 pixels wide, 240 to 1600 high.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// The words around it.
    pub text: Text,
    /// The bars, at most 1,000: of more only the first 1,000 are drawn, and the picture says so.
    /// Where they are too many for a label each, every second, third … is named and none has its total at its end.
    pub items: Vec<BarItem>,
    /// What the segments of each bar are, from the left. More than one makes a legend.
    pub segments: Vec<SegmentStyle>,
    /// Quantity and unit: `emissions (kgCO₂e)`.
    pub x_label: String,
}

/// One bar of [`Bars`].
#[derive(Clone, Debug)]
pub struct BarItem {
    /// Name before the bar.
    pub name: String,
    /// A value for each of [`Bars::segments`]. Missing where it is not finite, negative or not given.
    pub segments: Vec<f64>,
}

/// What one segment of each bar is.
#[derive(Clone, Debug)]
pub struct SegmentStyle {
    /// Name for the legend.
    pub name: String,
    /// Grey: what nobody used.
    pub muted: bool,
}

impl Chart for Bars {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let bars: Vec<Bar<'_>> = self.items.iter().take(MOST_BARS).map(|item| Bar::new(item, self)).collect();
        let known = bars.iter().any(|bar| bar.total.is_some());
        let colours = theme.colours(self.segments.iter().map(|segment| segment.muted));
        let named = self.segments.iter().zip(&colours);
        let mut legend: Vec<Entry> =
            named.map(|(segment, colour)| Entry::area(&segment.name, *colour)).collect();
        if !known || legend.len() < 2 {
            legend.clear();
        }
        let words = self.text.with_note(bars.len(), self.items.len(), "bars");
        let frame = Frame::new(&words, legend, WIDTH)?;
        if !known {
            return Rows::nothing(&frame, &words, theme);
        }
        let rows = Rows::new(&frame, bars.len(), 1);
        let mut drawing = frame.draw(&words, theme, rows.height)?;
        let label = text::AXIS.sized(rows.name.size);
        // Higher than its row a number would run into the bars beside it.
        let with_totals = rows.labelled == 1;
        let mut totals = 0.0_f64;
        for bar in bars.iter().filter(|_| with_totals) {
            totals = totals.max(label.width(&bar.label())?);
        }
        let (names, names_width) = rows.names(bars.iter().map(|bar| bar.name))?;
        let axis = Axis::up_to(bars.iter().filter_map(|bar| bar.total).fold(0.0, f64::max), STEPS);
        let region = rows.region(names_width, totals);
        rows.draw_axis(&mut drawing, region, axis, &self.x_label)?;
        // Each segment reaches from the base, and those before it lie over it: no paper between two.
        for (segment, colour) in colours.iter().enumerate().rev() {
            let region_of = |(index, bar): (usize, &Bar<'_>)| {
                bar.segments.get(segment).copied().flatten().filter(|value| *value > 0.0)?;
                let upto: f64 = bar.segments.iter().take(segment.saturating_add(1)).flatten().sum();
                let (top, bottom) = rows::bar(rows.top_of(index), rows.row);
                Some(Region { left: region.left, right: region.x(upto / axis.top()), top, bottom })
            };
            drawing.rectangles(bars.iter().enumerate().filter_map(region_of).collect(), *colour);
        }
        rows.draw_base(&mut drawing, region);
        rows.draw_names(&mut drawing, &names, region.left)?;
        for (index, bar) in bars.iter().enumerate().filter(|_| with_totals) {
            let end = region.x(bar.total.unwrap_or(0.0) / axis.top());
            let middle = rows.top_of(index) + rows.row / 2.0;
            rows::total(&mut drawing, &bar.label(), label, (end, middle))?;
        }
        Ok(drawing)
    }
}

/// One bar with its usable values.
struct Bar<'a> {
    name: &'a str,
    segments: Vec<Option<f64>>,
    /// Sum of what is known; `None` if nothing is.
    total: Option<f64>,
}

impl<'a> Bar<'a> {
    fn new(item: &'a BarItem, chart: &Bars) -> Self {
        let values = item.segments.iter().take(chart.segments.len());
        let segments: Vec<Option<f64>> = values.map(|value| usable(*value)).collect();
        let known = segments.iter().any(Option::is_some);
        Self { name: &item.name, total: known.then(|| segments.iter().flatten().sum()), segments }
    }

    fn label(&self) -> String {
        self.total.map_or_else(|| "no data".to_owned(), three_digits)
    }
}
