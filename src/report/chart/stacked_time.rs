//! Amounts over time, stacked, with an optional line on an axis of its own.

use super::axis::{Axis, usable};
use super::canvas::{Canvas, Plot, Region, render};
use super::frame::{Entry, Frame, MARGIN, message};
use super::text::{self, Anchor};
use super::{ChartError, Text, palette, time_axis};
use crate::time::{self, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Window};
use plotters::style::RGBColor;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// Grid steps aimed at.
const STEPS: u32 = 5;
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
/// Width of the line in pixels, and of one with more points than [`MANY_POINTS`], which would hide the layers.
const LINE_WIDTH: f64 = 2.5;
const FINE_LINE_WIDTH: f64 = 1.5;
const MANY_POINTS: usize = 300;

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
/// Where there are more buckets than pixels, means over a round length of time are drawn, and the time axis says so.
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
        bottom: f64::from(HEIGHT) - frame.foot() - 4.0,
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

/// The slices, or where they are more than `width` pixels their means over the shortest of [`MEANS`] that
/// fills a pixel, with its name. A mean is weighted by time and takes in only what is known.
fn thin(slices: &[Slice], whole: Window, width: f64) -> (Vec<Slice>, Option<&'static str>) {
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
        let x = |at_ms: i64| at_ms.saturating_sub(self.whole.start_ms) as f64;
        let mut plot = canvas.plot(region, 0.0..span, 0.0..axis.top())?;
        let shade =
            self.unknown.iter().map(|window| [(x(window.start_ms), 0.0), (x(window.end_ms), axis.top())]);
        plot.rectangles(shade, palette::NO_DATA)?;
        draw_grid(canvas, region, axis)?;
        self.draw_layers(&mut plot, &steps, span / region.width())?;
        let base = Region { top: region.bottom, bottom: region.bottom + 1.0, ..region };
        canvas.rule(base, palette::BASELINE)?;
        if max == 0.0 && right_axis.is_none() {
            let middle = (region.left.midpoint(region.right), region.top.midpoint(region.bottom) + 8.0);
            canvas.text("All values are zero", text::MESSAGE, Anchor::Centre, middle)?;
        }

        if !self.chart.y_label.is_empty() {
            let short = text::AXIS.shorten(&self.chart.y_label, room.width() / 2.0 - 20.0)?;
            canvas.text(&short, text::AXIS, Anchor::Left, (room.left, room.top + 6.0))?;
        }
        if let Some((overlay, axis)) = right_axis {
            for (at, label) in axis.ticks() {
                let y = region.bottom - at / axis.top() * region.height();
                canvas.text(&label, text::AXIS, Anchor::Left, (region.right + 10.0, y + 5.0))?;
            }
            let short = text::AXIS.shorten(&overlay.y_label, room.width() / 2.0 - 20.0)?;
            canvas.text(&short, text::AXIS, Anchor::Right, (room.right, room.top + 6.0))?;
            let mut plot = canvas.plot(region, 0.0..span, 0.0..axis.top())?;
            let width = if line.len() > MANY_POINTS { FINE_LINE_WIDTH } else { LINE_WIDTH };
            for points in polylines(&line, x) {
                plot.line(&points, width + 2.0, palette::PAPER)?;
                plot.line(&points, width, palette::INK)?;
            }
        }
        self.draw_times(canvas, region, mean)
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

    fn draw_times(&self, canvas: &Canvas<'_>, region: Region, mean: Option<&str>) -> Result<(), ChartError> {
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
        let means = mean.map_or_else(String::new, |mean| format!("; each step is the mean of {mean}"));
        canvas.text(&format!("Time (UTC){means}"), text::AXIS, Anchor::Centre, (middle, region.bottom + 61.0))
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
    let close = |pieces: &mut Vec<Vec<(f64, f64)>>, end_ms: Option<i64>| {
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
