//! Amounts side by side: horizontal bars, each of stacked segments.

use super::axis::{Axis, three_digits, usable};
use super::canvas::{Canvas, Region, render};
use super::frame::{Entry, Frame, MARGIN, message};
use super::text::{self, Anchor};
use super::{ChartError, Text, palette};

const WIDTH: u32 = 1280;
/// A picture is as high as its bars need, between these.
const LEAST_HEIGHT: f64 = 240.0;
const SLIDE_HEIGHT: f64 = 720.0;
const MOST_HEIGHT: f64 = 1600.0;
/// Height of a row: what looks well, and what a label needs.
const WIDEST_ROW: f64 = 50.0;
const NARROWEST_ROW: f64 = 20.0;
const LABEL_ROW: f64 = 13.5;
/// More bars than this are no longer visible as such.
const MOST_BARS: usize = 1000;
const NAME_WIDTH: f64 = 300.0;
/// Height of the axis with its labels.
const AXIS_HEIGHT: f64 = 56.0;
const STEPS: u32 = 6;

/// Horizontal bars, the first at the top.
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

/// Draws the bars, with their totals at their ends where there is room: 1280 pixels wide, 240 to 1600 high, PNG.
///
/// # Errors
///
/// [`ChartError`] if the drawing library fails; never because of the numbers.
pub fn bars(chart: &Bars) -> Result<Vec<u8>, ChartError> {
    text::register()?;
    let rows: Vec<Row<'_>> = chart.items.iter().take(MOST_BARS).map(|item| Row::new(item, chart)).collect();
    let known = rows.iter().any(|row| row.total.is_some());
    let colours = palette::colours(chart.segments.iter().map(|segment| segment.muted));
    let named = chart.segments.iter().zip(&colours);
    let mut legend: Vec<Entry> = named
        .map(|(segment, colour)| Entry { name: segment.name.clone(), colour: *colour, line: false })
        .collect();
    if !known || legend.len() < 2 {
        legend.clear();
    }
    let mut words = chart.text.clone();
    if chart.items.len() > rows.len() {
        let note = format!("The first {} of {} bars are shown. ", rows.len(), chart.items.len());
        words.footnote.insert_str(0, &note);
    }
    let frame = Frame::new(&words, legend, f64::from(WIDTH))?;
    // Words alone take the room of a few bars.
    let layout = Layout::new(&frame, if known { rows.len() } else { 3 });
    render(WIDTH, layout.height as u32, |canvas| {
        frame.draw(canvas, layout.height)?;
        if known {
            return layout.draw(canvas, &rows, &colours, &chart.x_label);
        }
        let bottom = layout.height - frame.foot() - 4.0;
        let room = Region { left: MARGIN, right: f64::from(WIDTH) - MARGIN, top: layout.top, bottom };
        message(canvas, room, "No data to show")
    })
}

/// One bar with its usable values.
struct Row<'a> {
    name: &'a str,
    segments: Vec<Option<f64>>,
    /// Sum of what is known; `None` if nothing is.
    total: Option<f64>,
}

impl<'a> Row<'a> {
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

/// How high everything is.
struct Layout {
    height: f64,
    /// Where the first row begins and the last ends.
    top: f64,
    bottom: f64,
    row: f64,
    /// Every how many-th row is labelled.
    labelled: usize,
    axis_on_top: bool,
}

impl Layout {
    /// For at least one row.
    fn new(frame: &Frame, rows: usize) -> Self {
        let count = rows as f64;
        let chrome = frame.head() + AXIS_HEIGHT + frame.foot();
        let slide = ((SLIDE_HEIGHT - chrome) / count).clamp(NARROWEST_ROW, WIDEST_ROW);
        let height = (chrome + count * slide).clamp(LEAST_HEIGHT, MOST_HEIGHT).ceil();
        // In a tall picture the bottom axis is far from the first rows.
        let axis_on_top = height > SLIDE_HEIGHT * 1.2;
        let top = frame.head() + if axis_on_top { 24.0 } else { 0.0 };
        let bottom = height - frame.foot() - AXIS_HEIGHT;
        let row = ((bottom - top) / count).min(WIDEST_ROW);
        let labelled = (LABEL_ROW / row).ceil().max(1.0) as usize;
        Self { height, top, bottom: top + row * count, row, labelled, axis_on_top }
    }

    fn draw(
        &self,
        canvas: &Canvas<'_>,
        rows: &[Row<'_>],
        colours: &[plotters::style::RGBColor],
        x_label: &str,
    ) -> Result<(), ChartError> {
        let label = text::AXIS.sized(if self.row < 18.0 { 11.5 } else { 14.0 });
        let name = text::Type { colour: palette::INK, ..label };
        let mut names = Vec::new();
        let (mut name_width, mut value_width) = (0.0_f64, 0.0_f64);
        for row in rows.iter().step_by(self.labelled) {
            let mut short = name.shorten(row.name, NAME_WIDTH)?;
            if short.is_empty() {
                short.push_str("(no name)");
            }
            name_width = name_width.max(name.width(&short)?);
            if self.labelled == 1 {
                value_width = value_width.max(label.width(&row.label())?);
            }
            names.push(short);
        }
        let max = rows.iter().filter_map(|row| row.total).fold(0.0, f64::max);
        let axis = Axis::up_to(max, STEPS);
        let region = Region {
            left: MARGIN + name_width + 10.0,
            right: f64::from(WIDTH) - MARGIN - value_width - 8.0,
            top: self.top,
            bottom: self.bottom,
        };
        self.draw_axis(canvas, region, axis, x_label)?;

        let thickness = self.row * if self.row < 6.0 { 0.85 } else { 0.7 };
        let middle = |index: usize| self.row * (index as f64 + 0.5);
        let mut plot = canvas.plot(region, 0.0..axis.top(), 0.0..region.height())?;
        let mut floors = vec![0.0_f64; rows.len()];
        for (segment, colour) in colours.iter().enumerate() {
            let mut rectangles = Vec::with_capacity(rows.len());
            for (index, (row, floor)) in rows.iter().zip(&mut floors).enumerate() {
                let Some(value) = row.segments.get(segment).copied().flatten() else { continue };
                // Rows run down, the plot runs up.
                let y = region.height() - middle(index);
                rectangles.push([(*floor, y + thickness / 2.0), (*floor + value, y - thickness / 2.0)]);
                *floor += value;
            }
            plot.rectangles(rectangles, *colour)?;
        }
        let base = Region { left: region.left - 1.0, right: region.left, ..region };
        canvas.rule(base, palette::BASELINE)?;

        let baseline = |index: usize| region.top + middle(index) + label.size * 0.36;
        for ((index, row), short) in rows.iter().enumerate().step_by(self.labelled).zip(&names) {
            canvas.text(short, name, Anchor::Right, (region.left - 10.0, baseline(index)))?;
            // Higher than its row a number would run into the bars beside it.
            if self.labelled == 1 {
                let end = region.left + row.total.unwrap_or(0.0) / axis.top() * region.width();
                // No grid line through the number.
                let (top, bottom) = (region.top + middle(index) - 6.0, region.top + middle(index) + 6.0);
                let right = end + 9.0 + label.width(&row.label())?;
                canvas.rectangle(Region { left: end + 5.0, top, right, bottom }, palette::PAPER)?;
                canvas.text(&row.label(), label, Anchor::Left, (end + 7.0, baseline(index)))?;
            }
        }
        Ok(())
    }

    fn draw_axis(
        &self,
        canvas: &Canvas<'_>,
        region: Region,
        axis: Axis,
        x_label: &str,
    ) -> Result<(), ChartError> {
        for (at, tick) in axis.ticks() {
            let x = (region.left + at / axis.top() * region.width()).round();
            canvas.rule(Region { left: x, right: x + 1.0, ..region }, palette::GRID)?;
            canvas.text(&tick, text::AXIS, Anchor::Centre, (x, region.bottom + 20.0))?;
            if self.axis_on_top {
                canvas.text(&tick, text::AXIS, Anchor::Centre, (x, region.top - 8.0))?;
            }
        }
        let short = text::AXIS.shorten(x_label, f64::from(WIDTH) - 2.0 * MARGIN)?;
        let middle = region.left.midpoint(region.right);
        canvas.text(&short, text::AXIS, Anchor::Centre, (middle, region.bottom + 43.0))
    }
}
