//! Shares of a few wholes as rings.

use std::f64::consts::TAU;

use super::axis::usable;
use super::bars::SegmentStyle;
use super::drawing::{Drawing, MARGIN, Point};
use super::frame::{Entry, Frame, WIDTH, message};
use super::palette::Theme;
use super::text::{self, Anchor, Type};
use super::{Chart, ChartError, Text};

/// Rings in a row, and rings at most.
const IN_A_ROW: usize = 4;
const MOST_RINGS: usize = 8;
/// Height of a ring with what stands under it.
const CELL: f64 = 340.0;
const RADIUS: f64 = 120.0;
const HOLE: f64 = 76.0;
const FIGURE: Type = Type { size: 34.0, bold: true, grey: false };

/// Rings side by side, each of the same kinds of parts, with a figure in the middle: 1280 pixels wide.
#[derive(Clone, Debug, Default)]
pub struct Rings {
    /// The words around it.
    pub text: Text,
    /// The rings, at most 8: of more only the first are drawn, and the picture says so.
    pub rings: Vec<Ring>,
    /// What the parts of each ring are, from the top to the right.
    pub segments: Vec<SegmentStyle>,
}

/// One of [`Rings`].
#[derive(Clone, Debug)]
pub struct Ring {
    /// Name under the ring.
    pub name: String,
    /// In the middle, short: `62 %`.
    pub figure: String,
    /// Under the name: what the whole is.
    pub caption: String,
    /// An amount for each of [`Rings::segments`]. Missing where it is not finite, negative or not given.
    pub parts: Vec<f64>,
}

impl Chart for Rings {
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError> {
        let rings = self.rings.get(..MOST_RINGS).unwrap_or(&self.rings);
        let colours = theme.colours(self.segments.iter().map(|segment| segment.muted));
        let named = self.segments.iter().zip(&colours);
        let mut legend: Vec<Entry> =
            named.map(|(segment, colour)| Entry::area(&segment.name, *colour)).collect();
        if rings.is_empty() {
            legend.clear();
        }
        let words = self.text.with_note(rings.len(), self.rings.len(), "rings");
        let frame = Frame::new(&words, legend, WIDTH)?;
        let lines = rings.len().div_ceil(IN_A_ROW).max(1);
        let height = frame.head() + CELL * lines as f64 + frame.foot();
        let mut drawing = frame.draw(&words, theme, height)?;
        if rings.is_empty() {
            message(&mut drawing, frame.room(height), "No data to show")?;
            return Ok(drawing);
        }
        let in_a_row = rings.len().min(IN_A_ROW) as f64;
        let cell = (WIDTH - 2.0 * MARGIN) / in_a_row;
        for (index, ring) in rings.iter().enumerate() {
            let x = MARGIN + cell * ((index % IN_A_ROW) as f64 + 0.5);
            let y = frame.head() + CELL * (index / IN_A_ROW) as f64 + RADIUS + 10.0;
            ring.draw(&mut drawing, (x, y), cell - 20.0, &colours)?;
        }
        Ok(drawing)
    }
}

impl Ring {
    fn draw(
        &self,
        drawing: &mut Drawing,
        centre: Point,
        width: f64,
        colours: &[super::palette::Colour],
    ) -> Result<(), ChartError> {
        let parts: Vec<f64> =
            self.parts.iter().take(colours.len()).map(|part| usable(*part).unwrap_or(0.0)).collect();
        let whole: f64 = parts.iter().sum();
        let (x, y) = centre;
        if whole > 0.0 {
            let mut from = 0.0;
            for (part, colour) in parts.iter().zip(colours).filter(|(part, _)| **part > 0.0) {
                let to = from + part / whole;
                drawing.areas(vec![sector(centre, from, to)], *colour);
                from = to;
            }
            // Lines of paper part the sectors.
            let mut at = 0.0;
            for part in parts.iter().filter(|part| **part > 0.0 && **part < whole) {
                let ends = [HOLE - 1.0, RADIUS + 1.0].map(|radius| on_circle(centre, radius, at));
                drawing.line(ends.to_vec(), 2.0, drawing.theme.paper());
                at += part / whole;
            }
        } else {
            drawing.areas(vec![sector(centre, 0.0, 1.0)], drawing.theme.no_data());
        }
        let figure = if whole > 0.0 { self.figure.as_str() } else { "none" };
        let short = FIGURE.shorten(figure, HOLE * 1.8)?;
        drawing.text(&short, FIGURE, Anchor::Centre, (x, y + FIGURE.size * 0.36))?;
        let name = text::LEGEND.sized(18.0);
        let below = y + RADIUS;
        drawing.text(&name.shorten(&self.name, width)?, name, Anchor::Centre, (x, below + 34.0))?;
        drawing.text(
            &text::AXIS.shorten(&self.caption, width)?,
            text::AXIS,
            Anchor::Centre,
            (x, below + 58.0),
        )
    }
}

/// The point on a circle after a share of a turn from the top to the right.
fn on_circle((x, y): Point, radius: f64, share: f64) -> Point {
    let angle = share * TAU;
    (x + radius * angle.sin(), y - radius * angle.cos())
}

/// The outline of a part of a ring: along the outer circle and back along the inner.
fn sector(centre: Point, from: f64, to: f64) -> Vec<Point> {
    // Two degrees are a fifteenth of a pixel from the circle at most.
    let steps = ((to - from) * 180.0).ceil().max(1.0) as u32;
    let share = |step: u32| from + (to - from) * f64::from(step) / f64::from(steps);
    let outer = (0..=steps).map(|step| on_circle(centre, RADIUS, share(step)));
    let inner = (0..=steps).rev().map(|step| on_circle(centre, HOLE, share(step)));
    outer.chain(inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twice the area of an outline, by the shoelace formula.
    fn area(outline: &[Point]) -> f64 {
        let next = outline.iter().cycle().skip(1);
        outline.iter().zip(next).map(|(from, to)| from.0 * to.1 - to.0 * from.1).sum::<f64>().abs() / 2.0
    }

    #[test]
    fn sectors_are_as_large_as_their_shares() {
        // π × (120² − 76²) = 27,093.1.
        for (from, to, expected) in [(0.0, 1.0, 27_093.1), (0.2, 0.45, 6_773.3), (0.999, 1.0, 27.1)] {
            let found = area(&sector((500.0, 300.0), from, to));
            assert!((found / expected - 1.0).abs() < 0.002, "{found} {expected}");
        }
        let (x, y) = on_circle((0.0, 0.0), 10.0, 0.25);
        assert!((x - 10.0).abs() < 1e-9 && y.abs() < 1e-9, "a quarter of a turn is to the right: {x} {y}");
    }
}
