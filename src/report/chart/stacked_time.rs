//! Amounts over time, stacked, with an optional line on an axis of its own.

use super::axis::{Axis, usable};
use super::drawing::{Drawing, Point, Region, half};
use super::frame::{Entry, Frame, SLIDE_HEIGHT, WIDTH, message};
use super::palette::{Colour, Theme};
use super::slices::{Slice, slices, thin, unknown, whole};
use super::text::{self, Anchor};
use super::{Chart, ChartError, Text, time_axis};
use crate::time::Window;

/// Grid steps aimed at.
const STEPS: u32 = 5;
/// Width of the line in pixels, and of one with more points than [`MANY_POINTS`], which would hide the layers.
const LINE_WIDTH: f64 = 2.5;
const FINE_LINE_WIDTH: f64 = 1.5;
const MANY_POINTS: usize = 300;

/// Layers stacked over time, as steps: one for each bucket. 1280 × 720 pixels.
///
/// Where there are more buckets than pixels, means over a round length of time are drawn, and the time axis says so.
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

impl Chart for StackedTime {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let slices = slices(&self.buckets, |index| {
            let layers = self.layers.iter().map(|layer| layer.values.get(index).copied());
            let line = self.overlay.iter().map(|overlay| overlay.values.get(index).copied().flatten());
            layers.chain(line).map(|value| value.and_then(usable)).collect()
        });
        let colours = theme.colours(self.layers.iter().map(|layer| layer.kind == LayerKind::Muted));
        let named = self.layers.iter().zip(&colours);
        let mut legend: Vec<Entry> = named.map(|(layer, colour)| Entry::area(&layer.name, *colour)).collect();
        if let Some(overlay) = &self.overlay {
            let name = format!("{} (right axis)", overlay.name);
            legend.push(Entry { name, colour: theme.ink(), line: true });
        }
        let whole = whole(&slices);
        let unknown = whole.map_or_else(Vec::new, |whole| unknown(&slices, self.layers.len(), whole));
        if !unknown.is_empty() {
            legend.push(Entry::area("no data", theme.no_data()));
        }
        let known = slices.iter().any(|slice| slice.values.iter().any(Option::is_some));
        let frame = Frame::new(&self.text, if known { legend } else { Vec::new() }, WIDTH)?;
        let mut drawing = frame.draw(&self.text, theme, SLIDE_HEIGHT)?;
        let room = frame.room(SLIDE_HEIGHT);
        match whole {
            Some(whole) if known => {
                Scene { chart: self, slices: &slices, whole, unknown, colours }.draw(&mut drawing, room)?;
            }
            _ => message(&mut drawing, room, "No data for this period")?,
        }
        Ok(drawing)
    }
}

/// All that is needed to draw a chart with data in it.
struct Scene<'a> {
    chart: &'a StackedTime,
    slices: &'a [Slice],
    whole: Window,
    unknown: Vec<Window>,
    colours: Vec<Colour>,
}

impl Scene<'_> {
    fn draw(&self, drawing: &mut Drawing, room: Region) -> Result<(), ChartError> {
        let theme = drawing.theme;
        let layers = self.chart.layers.len();
        // Without the axes' labels, whose width depends on the numbers drawn.
        let (steps, mean) = thin(self.slices, self.whole, room.width() - 100.0);
        let total = |slice: &Slice| slice.values.iter().take(layers).flatten().sum::<f64>();
        let max = steps.iter().map(total).fold(0.0, f64::max);
        let axis = Axis::up_to(max, STEPS);
        let line: Vec<(Window, Option<f64>)> =
            steps.iter().map(|slice| (slice.window, slice.values.get(layers).copied().flatten())).collect();
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
        region.bottom -= 62.0;

        let span = self.whole.length_ms() as f64;
        let x = |at_ms: i64| region.x(at_ms.saturating_sub(self.whole.start_ms) as f64 / span);
        let shade = self.unknown.iter().map(|window| Region {
            left: x(window.start_ms),
            right: x(window.end_ms),
            ..region
        });
        drawing.rectangles(shade.collect(), theme.no_data());
        draw_grid(drawing, region, axis)?;
        self.draw_layers(drawing, &steps, region, axis);
        let base = Region { top: region.bottom, bottom: region.bottom + 1.0, ..region };
        drawing.rule(base, theme.baseline());
        if max == 0.0 && right_axis.is_none() {
            let (x, y) = region.middle();
            drawing.text("All values are zero", text::MESSAGE, Anchor::Centre, (x, y + 8.0))?;
        }

        if !self.chart.y_label.is_empty() {
            let short = text::AXIS.shorten(&self.chart.y_label, room.width() / 2.0 - 20.0)?;
            drawing.text(&short, text::AXIS, Anchor::Left, (room.left, room.top + 6.0))?;
        }
        if let Some((overlay, axis)) = right_axis {
            for (at, label) in axis.ticks() {
                let y = region.y(at / axis.top());
                drawing.text(&label, text::AXIS, Anchor::Left, (region.right + 10.0, y + 5.0))?;
            }
            let short = text::AXIS.shorten(&overlay.y_label, room.width() / 2.0 - 20.0)?;
            drawing.text(&short, text::AXIS, Anchor::Right, (room.right, room.top + 6.0))?;
            let width = if line.len() > MANY_POINTS { FINE_LINE_WIDTH } else { LINE_WIDTH };
            for points in polylines(&line, x, |value| region.y(value / axis.top())) {
                drawing.line(points.clone(), width + 2.0, theme.paper());
                drawing.line(points, width, theme.ink());
            }
        }
        let means = mean.map_or_else(String::new, |mean| format!("; each step is the mean of {mean}"));
        time_axis::draw(drawing, region, self.whole, &format!("Time (UTC){means}"))
    }

    /// Stacks the layers; where buckets are wide enough to be seen as bars, a little space parts them.
    ///
    /// Each reaches down to zero and the lower ones lie over it: were they side by side, the paper would shine
    /// through at edges that fall between two pixels.
    fn draw_layers(&self, drawing: &mut Drawing, steps: &[Slice], region: Region, axis: Axis) {
        let per_ms = region.width() / self.whole.length_ms() as f64;
        let gap = |window: Window| {
            let pixels = window.length_ms() as f64 * per_ms;
            if pixels < 8.0 { 0.0 } else { half(pixels * 0.06).clamp(1.0, 4.0) }
        };
        let x = |at_ms: i64| half(region.left + at_ms.saturating_sub(self.whole.start_ms) as f64 * per_ms);
        for (index, colour) in self.colours.iter().enumerate().rev() {
            let (mut bars, mut areas): (Vec<Region>, Vec<Vec<Point>>) = (Vec::new(), Vec::new());
            let mut area: Vec<Point> = Vec::new();
            let mut end_ms = None;
            for slice in steps {
                let upto = slice.values.iter().take(index.saturating_add(1));
                let top = region.y(upto.flatten().sum::<f64>() / axis.top());
                let (left, right) = (x(slice.window.start_ms), x(slice.window.end_ms));
                let gap = gap(slice.window);
                if gap > 0.0 {
                    bars.push(Region { left, right: right - gap, top, bottom: region.bottom });
                    continue;
                }
                if end_ms != Some(slice.window.start_ms) {
                    areas.push(std::mem::take(&mut area));
                    area.push((left, region.bottom));
                }
                // Where the area goes on, its last point is at the foot of the step before.
                if area.len() > 1 {
                    area.pop();
                }
                area.extend([(left, top), (right, top), (right, region.bottom)]);
                end_ms = Some(slice.window.end_ms);
            }
            areas.push(area);
            areas.retain(|area| area.iter().any(|(_, y)| *y < region.bottom));
            bars.retain(|bar| bar.top < bar.bottom);
            drawing.areas(areas, *colour);
            drawing.rectangles(bars, *colour);
        }
    }
}

fn draw_grid(drawing: &mut Drawing, region: Region, axis: Axis) -> Result<(), ChartError> {
    for (at, label) in axis.ticks() {
        let y = region.y(at / axis.top()).round();
        drawing.rule(Region { top: y, bottom: y + 1.0, ..region }, drawing.theme.grid());
        drawing.text(&label, text::AXIS, Anchor::Right, (region.left - 10.0, y + 5.0))?;
    }
    Ok(())
}

/// The line in pieces without gaps: from the start of the first bucket through the middle of each to
/// the end of the last, so that a single bucket is a dash.
fn polylines(
    line: &[(Window, Option<f64>)],
    x: impl Fn(i64) -> f64,
    y: impl Fn(f64) -> f64,
) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let mut end_ms = None;
    let close = |pieces: &mut Vec<Vec<Point>>, end_ms: Option<i64>| {
        if let (Some(piece), Some(end_ms)) = (pieces.last_mut(), end_ms)
            && let Some((_, y)) = piece.last().copied()
        {
            piece.push((x(end_ms), y));
        }
    };
    for (window, value) in line {
        let Some(y) = value.map(&y) else { continue };
        if end_ms != Some(window.start_ms) {
            close(&mut pieces, end_ms);
            pieces.push(vec![(x(window.start_ms), y)]);
        }
        let middle = x(window.start_ms).midpoint(x(window.end_ms));
        if let Some(piece) = pieces.last_mut() {
            piece.push((middle, y));
        }
        end_ms = Some(window.end_ms);
    }
    close(&mut pieces, end_ms);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_where_a_bucket_is_unknown_or_not_there() {
        let at = |start: i64, value| (Window::new(start, start + 10), value);
        let line = [at(0, Some(1.0)), at(10, Some(2.0)), at(20, None), at(30, Some(3.0)), at(50, Some(4.0))];
        assert_eq!(
            polylines(&line, |at_ms| at_ms as f64, |value| value),
            [
                vec![(0.0, 1.0), (5.0, 1.0), (15.0, 2.0), (20.0, 2.0)],
                vec![(30.0, 3.0), (35.0, 3.0), (40.0, 3.0)],
                vec![(50.0, 4.0), (55.0, 4.0), (60.0, 4.0)],
            ]
        );
    }
}
