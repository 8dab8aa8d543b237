//! A heat map of the hours of many days.

use super::axis::{Axis, usable};
use super::drawing::{Drawing, Region, half};
use super::frame::{Entry, Frame, SLIDE_HEIGHT, WIDTH, message};
use super::palette::{Colour, Theme};
use super::text::{self, Anchor};
use super::time_axis;
use super::{Chart, ChartError, Text};
use crate::time::{DAY_MS, Window};

/// Steps of the scale that are aimed at, and shades of all of them together.
const STEPS: u32 = 5;
const SHADES: u32 = 10;
/// Narrower columns than this, of a year, are no longer seen: as many days share one as it takes.
const NARROWEST: f64 = 2.8;
/// Numbers of days that share a column.
const SHARED: [usize; 4] = [1, 7, 28, 364];
const SCALE_WIDTH: f64 = 16.0;

/// A column for each day, a row for each hour, shaded by amount: 1280 × 720 pixels. Where there are more days than fit,
/// means over weeks or longer are drawn, and the time axis says so.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// The words around it.
    pub text: Text,
    /// The days, in order and each once; those outside of the years 1 to 9999 are left out.
    pub days: Vec<CalendarDay>,
    /// Quantity and unit: `energy by hour (kWh)`.
    pub quantity: String,
}

/// One day of [`Calendar`].
#[derive(Clone, Copy, Debug)]
pub struct CalendarDay {
    /// Midnight, UTC.
    pub start_ms: i64,
    /// A value for each hour. Missing where there is none, or it is not finite or negative.
    pub hours: [Option<f64>; 24],
}

impl Chart for Calendar {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let days: Vec<CalendarDay> = self
            .days
            .iter()
            .map(|day| CalendarDay { hours: day.hours.map(|value| value.and_then(usable)), ..*day })
            .filter(|day| time_axis::drawable(Window::new(day.start_ms, day.start_ms.saturating_add(DAY_MS))))
            .collect();
        let is_known = days.iter().any(|day| day.hours.iter().any(Option::is_some));
        let has_gaps = days.iter().any(|day| day.hours.iter().any(Option::is_none));
        let legend =
            if is_known && has_gaps { vec![Entry::area("no data", theme.missing())] } else { Vec::new() };
        let frame = Frame::new(&self.text, legend, WIDTH)?;
        let mut drawing = frame.draw(&self.text, theme, SLIDE_HEIGHT)?;
        let room = frame.room(SLIDE_HEIGHT);
        match days.first().zip(days.last()) {
            Some((first, last)) if is_known => {
                let whole = Window::new(first.start_ms, last.start_ms.saturating_add(DAY_MS));
                self.draw_days(&mut drawing, room, &days, whole)?;
            }
            _ => message(&mut drawing, room, "No data for this period")?,
        }
        Ok(drawing)
    }
}

impl Calendar {
    fn draw_days(
        &self,
        drawing: &mut Drawing,
        room: Region,
        days: &[CalendarDay],
        whole: Window,
    ) -> Result<(), ChartError> {
        let count = whole.length_ms() as f64 / DAY_MS as f64;
        // Without the scale, whose width depends on the numbers drawn.
        let fits = (room.width() - 180.0) / NARROWEST;
        let shared = SHARED.into_iter().find(|days| count / *days as f64 <= fits).unwrap_or(3640);
        let columns = columns(days, whole.start_ms, shared);
        let max = columns.iter().flat_map(|column| column.hours).flatten().fold(0.0, f64::max);
        let axis = Axis::up_to(max, STEPS);
        let region = Region {
            left: room.left + text::AXIS.width("00:00")? + 10.0,
            right: (room.right - SCALE_WIDTH - 34.0 - axis.label_width(text::AXIS)?).round(),
            top: room.top + 20.0,
            bottom: room.bottom - 62.0,
        };
        let row = region.height() / 24.0;
        for hour in (0..24_u32).step_by(3) {
            let baseline = region.top + row * f64::from(hour) + 5.0;
            drawing.text(
                &format!("{hour:02}:00"),
                text::AXIS,
                Anchor::Right,
                (region.left - 10.0, baseline),
            )?;
        }
        self.draw_cells(drawing, region, &columns, whole, axis);
        self.draw_scale(drawing, room, region, axis)?;
        let short = text::AXIS.shorten("Hour (UTC)", room.width() / 3.0)?;
        drawing.text(&short, text::AXIS, Anchor::Left, (room.left, room.top + 6.0))?;
        let means =
            if shared == 1 { String::new() } else { format!("; each column is the mean of {shared} days") };
        time_axis::draw_days(drawing, region, whole, &format!("Day (UTC){means}"))
    }

    fn draw_cells(
        &self,
        drawing: &mut Drawing,
        region: Region,
        columns: &[Column],
        whole: Window,
        axis: Axis,
    ) {
        let theme = drawing.theme;
        let shades = shades(theme, axis);
        let mut cells: Vec<Vec<Region>> = vec![Vec::new(); shades.len()];
        let mut unknown: Vec<Region> = Vec::new();
        let per_ms = region.width() / whole.length_ms().max(1) as f64;
        let row = region.height() / 24.0;
        for column in columns {
            let x = |at_ms: i64| half(region.left + at_ms.saturating_sub(whole.start_ms) as f64 * per_ms);
            let (left, right) = (x(column.window.start_ms), x(column.window.end_ms));
            let gap = if right - left >= 6.0 { 1.0 } else { 0.0 };
            for (hour, value) in column.hours.iter().enumerate() {
                let y = |hour: usize| half(region.top + row * hour as f64);
                let cell = Region {
                    left,
                    right: right - gap,
                    top: y(hour),
                    bottom: y(hour.saturating_add(1)) - gap,
                };
                let Some(value) = value else {
                    unknown.push(cell);
                    continue;
                };
                let last = shades.len().saturating_sub(1);
                let shade = ((value / axis.top() * shades.len() as f64) as usize).min(last);
                if let Some(cells) = cells.get_mut(shade) {
                    cells.push(cell);
                }
            }
        }
        drawing.rectangles(unknown, theme.missing());
        for (cells, shade) in cells.into_iter().zip(shades) {
            drawing.rectangles(cells, shade);
        }
    }

    /// The shades with what they stand for, on the right.
    fn draw_scale(
        &self,
        drawing: &mut Drawing,
        room: Region,
        region: Region,
        axis: Axis,
    ) -> Result<(), ChartError> {
        let shades = shades(drawing.theme, axis);
        let scale = Region { left: region.right + 24.0, right: region.right + 24.0 + SCALE_WIDTH, ..region };
        let count = shades.len().max(1) as f64;
        for (index, shade) in shades.into_iter().enumerate() {
            let step = Region {
                top: scale.y((index as f64 + 1.0) / count).round(),
                bottom: scale.y(index as f64 / count).round(),
                ..scale
            };
            drawing.rectangle(step, shade);
        }
        for (at, label) in axis.ticks() {
            let baseline = scale.y(at / axis.top()) + 5.0;
            drawing.text(&label, text::AXIS, Anchor::Left, (scale.right + 8.0, baseline))?;
        }
        let short = text::AXIS.shorten(&self.quantity, room.width() / 2.0)?;
        drawing.text(&short, text::AXIS, Anchor::Right, (room.right, room.top + 6.0))
    }
}

/// As many shades to each step of the axis, about [`SHADES`] in all.
fn shades(theme: Theme, axis: Axis) -> Vec<Colour> {
    let in_a_step = (SHADES / axis.steps.max(1)).max(1);
    theme.shades(axis.steps.saturating_mul(in_a_step) as usize)
}

/// One column: a day, or the mean of several.
struct Column {
    window: Window,
    hours: [Option<f64>; 24],
}

/// `shared` days of the calendar in each column, from `start_ms` on; a mean takes in only what is known.
fn columns(days: &[CalendarDay], start_ms: i64, shared: usize) -> Vec<Column> {
    let length_ms = DAY_MS.saturating_mul(shared as i64);
    let number = |day: &CalendarDay| day.start_ms.saturating_sub(start_ms).div_euclid(length_ms);
    days.chunk_by(|left, right| number(left) == number(right))
        .map(|days| {
            let from_ms =
                days.first().map_or(0, |day| number(day).saturating_mul(length_ms)).saturating_add(start_ms);
            let last_ms = days.last().map_or(0, |day| day.start_ms).saturating_add(DAY_MS);
            let mut hours = [None; 24];
            for (hour, mean) in hours.iter_mut().enumerate() {
                let values = || days.iter().filter_map(|day| day.hours.get(hour).copied().flatten());
                let known = values().count();
                *mean = (known > 0).then(|| values().sum::<f64>() / known as f64);
            }
            Column { window: Window::new(from_ms, last_ms), hours }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_share_a_column_are_averaged_over_what_is_known() {
        let day = |number: i64, value: Option<f64>| {
            let mut hours = [None; 24];
            hours[5] = value;
            CalendarDay { start_ms: number * DAY_MS, hours }
        };
        let days = [day(0, Some(1.0)), day(1, None), day(6, Some(4.0)), day(7, Some(9.0)), day(30, None)];
        let columns = columns(&days, 0, 7);
        let found: Vec<(i64, i64, Option<f64>)> = columns
            .iter()
            .map(|column| (column.window.start_ms / DAY_MS, column.window.end_ms / DAY_MS, column.hours[5]))
            .collect();
        assert_eq!(found, [(0, 7, Some(2.5)), (7, 8, Some(9.0)), (28, 31, None)]);
    }
}
