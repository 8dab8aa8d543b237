//! Many things by two quantities.

use std::collections::BTreeMap;

use super::axis::{Axis, LogAxis, usable};
use super::drawing::{Drawing, Point, Region};
use super::frame::{Entry, Frame, SLIDE_HEIGHT, WIDTH, message};
use super::palette::Theme;
use super::text::{self, Anchor};
use super::{Chart, ChartError, Text};

/// Dots of more points than this hide one another: then squares are shaded by how many lie in each.
const MOST_DOTS: usize = 400;
const SQUARE: f64 = 8.0;
const STEPS: u32 = 5;
/// Least number of points of each shade.
const SHADES: [usize; 7] = [1, 2, 4, 10, 30, 100, 300];

/// A dot for each point, or squares shaded by the number of points in them where there are many: 1280 × 720 pixels.
/// To the right on a scale of powers of ten.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    /// The words around it.
    pub text: Text,
    /// To the right and upwards. Of no place are those of which one is not finite or negative, or the first is zero.
    pub points: Vec<(f64, f64)>,
    /// What a point is, in the plural: `runs`.
    pub of: String,
    /// Quantity and unit to the right.
    pub x_label: String,
    /// Quantity and unit upwards.
    pub y_label: String,
}

impl Chart for Scatter {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let placed: Vec<Point> = self
            .points
            .iter()
            .filter_map(|(x, y)| Some((usable(*x).filter(|x| *x > 0.0)?, usable(*y)?)))
            .collect();
        let axes = LogAxis::holding(placed.iter().map(|(x, _)| *x))
            .map(|across| (across, Axis::up_to(placed.iter().map(|(_, y)| *y).fold(0.0, f64::max), STEPS)));
        let is_dense = placed.len() > MOST_DOTS;
        // The palest of all would be lost among grid lines.
        let shades = theme.shades(SHADES.len().saturating_add(2)).split_off(2);
        let mut legend: Vec<Entry> = Vec::new();
        if is_dense {
            for (index, (least, shade)) in SHADES.iter().zip(&shades).enumerate() {
                let name = match SHADES.get(index.saturating_add(1)).map(|next| next.saturating_sub(1)) {
                    Some(most) if most == *least => format!("{least}"),
                    Some(most) => format!("{least}–{most}"),
                    None => format!("{least} and more {} in a square", self.of),
                };
                legend.push(Entry::area(&name, *shade));
            }
        }
        let frame = Frame::new(&self.text, legend, WIDTH)?;
        let mut drawing = frame.draw(&self.text, theme, SLIDE_HEIGHT)?;
        let room = frame.room(SLIDE_HEIGHT);
        let Some((across, up)) = axes else {
            message(&mut drawing, room, "No data to show")?;
            return Ok(drawing);
        };
        let region = Region {
            left: (room.left + up.label_width(text::AXIS)? + 10.0).round(),
            right: room.right - 24.0,
            top: room.top + 20.0,
            bottom: (room.bottom - 48.0).round(),
        };
        self.draw_axes(&mut drawing, room, region, across, up)?;
        let place = |(x, y): &Point| (region.x(across.share(*x)), region.y(y / up.top()));
        if is_dense {
            let squares = squares(placed.iter().map(place), region);
            for (squares, shade) in squares.into_iter().zip(shades) {
                drawing.rectangles(squares, shade);
            }
        } else {
            for point in &placed {
                // A rim of paper parts those that touch.
                drawing.dots(vec![place(point)], 5.0, theme.paper());
                drawing.dots(vec![place(point)], 4.0, theme.accent());
            }
        }
        Ok(drawing)
    }
}

impl Scatter {
    fn draw_axes(
        &self,
        drawing: &mut Drawing,
        room: Region,
        region: Region,
        across: LogAxis,
        up: Axis,
    ) -> Result<(), ChartError> {
        let theme = drawing.theme;
        for (at, label) in up.ticks() {
            let y = region.y(at / up.top()).round();
            drawing.rule(Region { top: y, bottom: y + 1.0, ..region }, theme.grid());
            drawing.text(&label, text::AXIS, Anchor::Right, (region.left - 10.0, y + 5.0))?;
        }
        for (share, label) in across.ticks() {
            let x = region.x(share).round();
            drawing.rule(Region { left: x, right: x + 1.0, ..region }, theme.grid());
            drawing.text(&label, text::AXIS, Anchor::Centre, (x, region.bottom + 20.0))?;
        }
        drawing.rule(Region { top: region.bottom, bottom: region.bottom + 1.0, ..region }, theme.baseline());
        drawing.rule(Region { left: region.left, right: region.left + 1.0, ..region }, theme.baseline());
        let short = text::AXIS.shorten(&self.y_label, room.width())?;
        drawing.text(&short, text::AXIS, Anchor::Left, (room.left, room.top + 6.0))?;
        let short = text::AXIS.shorten(&self.x_label, room.width())?;
        drawing.text(&short, text::AXIS, Anchor::Centre, (region.middle().0, region.bottom + 43.0))
    }
}

/// The squares in which points lie, by shade.
fn squares(points: impl Iterator<Item = Point>, region: Region) -> Vec<Vec<Region>> {
    let mut counts: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for (x, y) in points {
        let (column, row) = ((x - region.left) / SQUARE, (region.bottom - y) / SQUARE);
        let count = counts.entry((column.floor() as i64, row.floor() as i64)).or_default();
        *count = count.saturating_add(1);
    }
    let mut squares: Vec<Vec<Region>> = vec![Vec::new(); SHADES.len()];
    for ((column, row), count) in counts {
        let shade = SHADES.iter().take_while(|least| count >= **least).count().saturating_sub(1);
        let (left, bottom) = (region.left + column as f64 * SQUARE, region.bottom - row as f64 * SQUARE);
        let square = Region { left, right: left + SQUARE - 1.0, top: bottom - SQUARE + 1.0, bottom };
        if let Some(squares) = squares.get_mut(shade) {
            squares.push(square);
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_shaded_by_the_number_of_points_in_them() {
        let region = Region { left: 0.0, top: 0.0, right: 80.0, bottom: 80.0 };
        let mut points = vec![(1.0, 79.0); 9];
        points.extend(vec![(17.0, 1.0); 300]);
        points.push((7.9, 72.1));
        points.push((8.0, 72.1));
        let squares = squares(points.into_iter(), region);
        let count: Vec<usize> = squares.iter().map(Vec::len).collect();
        assert_eq!(count, [1, 0, 0, 1, 0, 0, 1]);
        assert_eq!(squares[3], [Region { left: 0.0, right: 7.0, top: 73.0, bottom: 80.0 }]);
        assert_eq!(squares[6], [Region { left: 16.0, right: 23.0, top: 1.0, bottom: 8.0 }]);
    }
}
