//! Amounts over time, stacked, with an optional line on an axis of its own.

use super::axis::{Axis, usable};
use super::canvas::{Canvas, Plot, Region, render};
use super::frame::{Entry, Frame, MARGIN, message};
use super::text::{self, Anchor};
use super::{ChartError, Text, palette, time_axis};
use crate::time::Window;
use plotters::style::RGBColor;
use std::collections::BTreeMap;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// Grid steps aimed at.
const STEPS: u32 = 5;
/// Logical pixels of an area's finest step; more buckets than that are averaged.
const COLUMN: f64 = 0.5;
/// Logical pixels between points of a line that has more points than fit.
const LINE_COLUMN: f64 = 3.0;
const LINE_WIDTH: f64 = 2.5;

/// Layers stacked over time, as steps: one for each bucket.
#[derive(Clone, Debug, Default)]
pub struct StackedTime {
    /// The words around it.
    pub text: Text,
    /// The buckets, UTC. They may have gaps between them but do not overlap; empty ones and those outside
    /// the years 1 to 9999 are left out.
    pub buckets: Vec<Window>,
    /// What is stacked, the lowest first.
    pub layers: Vec<Layer>,
    /// Quantity and unit of the layers: `mean power (kW)`.
    pub y_label: String,
    /// A line over the layers, on the right axis.
    pub overlay: Option<Overlay>,
}

/// One layer of [`StackedTime`].
#[derive(Clone, Debug)]
pub struct Layer {
    /// Name for the legend.
    pub name: String,
    /// A value for each bucket. Missing where it is not finite, negative or not given.
    pub values: Vec<f64>,
    /// How loud it is.
    pub kind: LayerKind,
}

/// How loud a layer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerKind {
    /// In a colour of its own.
    #[default]
    Normal,
    /// Grey: what nobody used.
    Muted,
}

/// A line over the layers of [`StackedTime`].
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Name for the legend.
    pub name: String,
    /// A value for each bucket; the line has gaps where there is none.
    pub values: Vec<Option<f64>>,
    /// Quantity and unit: `gCO₂e/kWh`.
    pub y_label: String,
}

/// One bucket, or several averaged because they share a column of pixels.
#[derive(Clone, Debug, PartialEq)]
struct Slice {
    window: Window,
    /// One for each layer, the line's last if there is one.
    values: Vec<Option<f64>>,
}

/// Draws the layers and the line: 1280 × 720 pixels, PNG.
///
/// Where there are more buckets than columns of pixels, a column shows their mean over time.
///
/// # Errors
///
/// [`ChartError`] if the drawing library fails; never because of the numbers.
pub fn stacked_time(chart: &StackedTime) -> Result<Vec<u8>, ChartError> {
    text::register()?;
    let slices = slices(chart);
    let colours = palette::colours(chart.layers.iter().map(|layer| layer.kind == LayerKind::Muted));
    let mut legend: Vec<Entry> = chart
        .layers
        .iter()
        .zip(&colours)
        .map(|(layer, colour)| Entry { name: layer.name.clone(), colour: *colour, line: false })
        .collect();
    if let Some(overlay) = &chart.overlay {
        let name = format!("{} (right axis)", overlay.name);
        legend.push(Entry { name, colour: palette::INK, line: true });
    }
    let last_ms = slices.iter().map(|slice| slice.window.end_ms).max();
    let whole = slices.first().zip(last_ms).map(|(first, end_ms)| Window::new(first.window.start_ms, end_ms));
    let unknown = whole.map_or_else(Vec::new, |whole| unknown(&slices, chart.layers.len(), whole));
    if !unknown.is_empty() {
        legend.push(Entry { name: "no data".to_owned(), colour: palette::NO_DATA, line: false });
    }
    let known = slices.iter().any(|slice| slice.values.iter().any(Option::is_some));
    let frame = Frame::new(&chart.text, if known { legend } else { Vec::new() }, f64::from(WIDTH))?;
    render(WIDTH, HEIGHT, |canvas| {
        frame.draw(canvas, f64::from(HEIGHT))?;
        match whole {
            Some(whole) if known => {
                Scene { chart, slices: &slices, whole, unknown, colours }.draw(canvas, &frame)
            }
            _ => message(canvas, room(&frame), "No data for this period"),
        }
    })
}

/// What is left between head and foot.
fn room(frame: &Frame) -> Region {
    Region {
        left: MARGIN,
        top: frame.head(),
        right: f64::from(WIDTH) - MARGIN,
        bottom: f64::from(HEIGHT) - frame.foot(),
    }
}

/// The buckets that can be drawn, in order of time, with their usable values.
fn slices(chart: &StackedTime) -> Vec<Slice> {
    let mut slices: Vec<Slice> = chart
        .buckets
        .iter()
        .enumerate()
        .filter(|(_, window)| time_axis::drawable(**window))
        .map(|(index, window)| {
            let layers = chart.layers.iter().map(|layer| layer.values.get(index).copied());
            let line = chart.overlay.iter().map(|overlay| overlay.values.get(index).copied().flatten());
            Slice {
                window: *window,
                values: layers.chain(line).map(|value| value.and_then(usable)).collect(),
            }
        })
        .collect();
    slices.sort_by_key(|slice| slice.window);
    slices
}

/// The times inside `whole` of which no layer knows anything.
fn unknown(slices: &[Slice], layers: usize, whole: Window) -> Vec<Window> {
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

/// At most one slice for each of `columns` equal parts of `whole`: the mean of what is known, weighted by time.
fn thin(slices: &[Slice], whole: Window, columns: f64) -> Vec<Slice> {
    if slices.len() as f64 <= columns {
        return slices.to_vec();
    }
    let columns = columns.max(1.0) as i64;
    let edge = |column: i64| whole.start_ms + whole.length_ms() * column / columns;
    let column_of = |at_ms: i64| (at_ms - whole.start_ms) * columns / whole.length_ms().max(1);
    let mut sums: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for slice in slices {
        for column in column_of(slice.window.start_ms)..=column_of(slice.window.end_ms) {
            let Some(both) = Window::new(edge(column), edge(column + 1)).intersect(slice.window) else {
                continue;
            };
            let sums = sums.entry(column).or_insert_with(|| vec![(0.0, 0.0); slice.values.len()]);
            for ((sum, weight), value) in sums.iter_mut().zip(&slice.values) {
                if let Some(value) = value {
                    *sum += value * both.length_s();
                    *weight += both.length_s();
                }
            }
        }
    }
    let mean = |(sum, weight): (f64, f64)| (weight > 0.0).then(|| sum / weight);
    sums.into_iter()
        .map(|(column, sums)| Slice {
            window: Window::new(edge(column), edge(column + 1)),
            values: sums.into_iter().map(mean).collect(),
        })
        .collect()
}

/// All that is needed to draw a chart with data in it.
struct Scene<'a> {
    chart: &'a StackedTime,
    slices: &'a [Slice],
    whole: Window,
    unknown: Vec<Window>,
    colours: Vec<RGBColor>,
}

impl Scene<'_> {
    fn draw(&self, canvas: &Canvas<'_>, frame: &Frame) -> Result<(), ChartError> {
        let layers = self.chart.layers.len();
        let room = room(frame);
        // Too wide by the axes' labels, whose width depends on the numbers drawn.
        let steps = thin(self.slices, self.whole, room.width() / COLUMN);
        let total = |slice: &Slice| slice.values.iter().take(layers).flatten().sum::<f64>();
        let max = steps.iter().map(total).fold(0.0, f64::max);
        let axis = Axis::up_to(max, STEPS);
        let line = thin(self.slices, self.whole, room.width() / LINE_COLUMN);
        let line: Vec<(Window, Option<f64>)> =
            line.iter().map(|slice| (slice.window, slice.values.get(layers).copied().flatten())).collect();
        let line_max = line.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
        let right_axis =
            self.chart.overlay.as_ref().map(|overlay| (overlay, Axis::with_steps(line_max, axis.steps)));

        let mut region = room;
        region.left += axis.label_width(text::AXIS)? + 10.0;
        region.right -= match &right_axis {
            Some((_, axis)) => axis.label_width(text::AXIS)? + 10.0,
            None => 16.0,
        };
        region.top += 20.0;
        region.bottom -= 66.0;

        let span = self.whole.length_ms() as f64;
        let x = |at_ms: i64| at_ms.saturating_sub(self.whole.start_ms) as f64;
        let mut plot = canvas.plot(region, 0.0..span, 0.0..axis.top())?;
        let shade =
            self.unknown.iter().map(|window| [(x(window.start_ms), 0.0), (x(window.end_ms), axis.top())]);
        plot.rectangles(shade, palette::NO_DATA)?;
        draw_grid(canvas, region, axis)?;
        self.draw_layers(&mut plot, &steps, span / region.width())?;
        let base = Region { top: region.bottom, bottom: region.bottom + 1.0, ..region };
        canvas.rule(base, palette::BASELINE)?;

        if !self.chart.y_label.is_empty() {
            canvas.text(&self.chart.y_label, text::AXIS, Anchor::Left, (room.left, room.top + 6.0))?;
        }
        if let Some((overlay, axis)) = right_axis {
            for (at, label) in axis.ticks() {
                let y = region.bottom - at / axis.top() * region.height();
                canvas.text(&label, text::AXIS, Anchor::Left, (region.right + 10.0, y + 5.0))?;
            }
            let room_for_label = text::AXIS.shorten(&overlay.y_label, room.width() / 2.0)?;
            canvas.text(&room_for_label, text::AXIS, Anchor::Right, (room.right, room.top + 6.0))?;
            let mut plot = canvas.plot(region, 0.0..span, 0.0..axis.top())?;
            for points in polylines(&line, x) {
                plot.line(&points, LINE_WIDTH + 2.0, palette::PAPER)?;
                plot.line(&points, LINE_WIDTH, palette::INK)?;
            }
        }
        self.draw_times(canvas, region)
    }

    /// Stacks the layers; where buckets are wide enough to be seen as bars, a little space parts them.
    fn draw_layers(&self, plot: &mut Plot<'_>, steps: &[Slice], ms_per_pixel: f64) -> Result<(), ChartError> {
        let sides = |window: Window| {
            let pixels = window.length_ms() as f64 / ms_per_pixel;
            let gap = if pixels < 8.0 { 0.0 } else { (pixels * 0.06).min(4.0) * ms_per_pixel };
            let start = window.start_ms.saturating_sub(self.whole.start_ms) as f64;
            (start + gap / 2.0, start + window.length_ms() as f64 - gap / 2.0)
        };
        let mut floors = vec![0.0_f64; steps.len()];
        for (index, colour) in self.colours.iter().enumerate() {
            let mut rectangles = Vec::with_capacity(steps.len());
            for (slice, floor) in steps.iter().zip(&mut floors) {
                let Some(value) = slice.values.get(index).copied().flatten() else { continue };
                let (left, right) = sides(slice.window);
                rectangles.push([(left, *floor), (right, *floor + value)]);
                *floor += value;
            }
            plot.rectangles(rectangles, *colour)?;
        }
        Ok(())
    }

    fn draw_times(&self, canvas: &Canvas<'_>, region: Region) -> Result<(), ChartError> {
        let per_ms = region.width() / self.whole.length_ms() as f64;
        for tick in time_axis::ticks(self.whole, region.width()) {
            let x = region.left + tick.at_ms.saturating_sub(self.whole.start_ms) as f64 * per_ms;
            let mark =
                Region { left: x, right: x.round() + 1.0, top: region.bottom, bottom: region.bottom + 6.0 };
            canvas.rule(mark, palette::BASELINE)?;
            canvas.text(&tick.label, text::AXIS, Anchor::Centre, (x, region.bottom + 21.0))?;
            if let Some(context) = &tick.context {
                canvas.text(context, text::AXIS, Anchor::Centre, (x, region.bottom + 39.0))?;
            }
        }
        let middle = (region.left + region.right) / 2.0;
        canvas.text("Time (UTC)", text::AXIS, Anchor::Centre, (middle, region.bottom + 61.0))
    }
}

fn draw_grid(canvas: &Canvas<'_>, region: Region, axis: Axis) -> Result<(), ChartError> {
    for (at, label) in axis.ticks() {
        let y = (region.bottom - at / axis.top() * region.height()).round();
        canvas.rule(Region { top: y, bottom: y + 1.0, ..region }, palette::GRID)?;
        canvas.text(&label, text::AXIS, Anchor::Right, (region.left - 10.0, y + 5.0))?;
    }
    Ok(())
}

/// The line in pieces without gaps: from the start of the first bucket through the middle of each to
/// the end of the last, so that a single bucket is a dash.
fn polylines(line: &[(Window, Option<f64>)], x: impl Fn(i64) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut end_ms = None;
    let mut close = |pieces: &mut Vec<Vec<(f64, f64)>>, end_ms: Option<i64>| {
        if let (Some(piece), Some(end_ms)) = (pieces.last_mut(), end_ms)
            && let Some((_, value)) = piece.last().copied()
        {
            piece.push((x(end_ms), value));
        }
    };
    for (window, value) in line {
        let Some(value) = value else { continue };
        if end_ms != Some(window.start_ms) {
            close(&mut pieces, end_ms);
            pieces.push(vec![(x(window.start_ms), *value)]);
        }
        let middle = x(window.start_ms).midpoint(x(window.end_ms));
        if let Some(piece) = pieces.last_mut() {
            piece.push((middle, *value));
        }
        end_ms = Some(window.end_ms);
    }
    close(&mut pieces, end_ms);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start_ms: i64, end_ms: i64, value: f64) -> Slice {
        Slice { window: Window::new(start_ms, end_ms), values: vec![usable(value)] }
    }

    #[test]
    fn columns_show_the_mean_over_time_of_what_is_known() {
        let whole = Window::new(0, 40);
        let slices = [slice(0, 5, 4.0), slice(5, 20, 8.0), slice(20, 22, f64::NAN), slice(30, 40, 1.0)];
        assert_eq!(thin(&slices, whole, 4.0), slices);
        // (5 × 4 + 15 × 8) ÷ 20 = 7; the second half knows 1 only.
        assert_eq!(thin(&slices, whole, 2.0), [slice(0, 20, 7.0), slice(20, 40, 1.0)]);
        // 10 to 13 is all 8; 13 to 26 is 8 for 7 of 7 known.
        assert_eq!(
            thin(&slices, whole, 3.0),
            [slice(0, 13, 84.0 / 13.0), slice(13, 26, 8.0), slice(26, 40, 1.0)]
        );
    }

    #[test]
    fn times_without_data_are_those_no_layer_knows() {
        let whole = Window::new(0, 50);
        let slices = [slice(0, 10, 1.0), slice(10, 20, f64::NAN), slice(30, 40, 0.0), slice(40, 50, 2.0)];
        assert_eq!(unknown(&slices, 1, whole), [Window::new(10, 30)]);
    }

    #[test]
    fn a_line_breaks_where_a_bucket_is_unknown_or_not_there() {
        let at = |start: i64, value| (Window::new(start, start + 10), value);
        let line = [at(0, Some(1.0)), at(10, Some(2.0)), at(20, None), at(30, Some(3.0)), at(50, Some(4.0))];
        assert_eq!(
            polylines(&line, |at_ms| at_ms as f64),
            [
                vec![(0.0, 1.0), (5.0, 1.0), (15.0, 2.0), (20.0, 2.0)],
                vec![(30.0, 3.0), (35.0, 3.0), (40.0, 3.0)],
                vec![(50.0, 4.0), (55.0, 4.0), (60.0, 4.0)],
            ]
        );
    }
}
