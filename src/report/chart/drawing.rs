//! A chart as shapes: drawn once, written as SVG or as PNG.

use super::palette::{Colour, Theme};
use super::text::{Anchor, Type};
use super::{ChartError, Text};

/// Border of the picture that no text enters: white space left and right of everything.
pub(super) const MARGIN: f64 = 32.0;

/// A rectangle in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Region {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Region {
    pub(super) fn width(self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(self) -> f64 {
        self.bottom - self.top
    }

    pub(super) fn middle(self) -> (f64, f64) {
        (self.left.midpoint(self.right), self.top.midpoint(self.bottom))
    }

    /// The x of a share of its width.
    pub(super) fn x(self, share: f64) -> f64 {
        self.left + share * self.width()
    }

    /// The y of a share of its height, from its foot upwards.
    pub(super) fn y(self, share: f64) -> f64 {
        self.bottom - share * self.height()
    }
}

/// Moved to the next half pixel, which is a whole one of a PNG: where several shapes end at one place between two pixels,
/// those beneath shine through at the edge.
pub(super) fn half(value: f64) -> f64 {
    (value * 2.0).round() / 2.0
}

/// A point in logical pixels.
pub(super) type Point = (f64, f64);

/// What a picture is made of, in logical pixels. Later shapes lie over earlier ones.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Rectangles {
        regions: Vec<Region>,
        colour: Colour,
    },
    /// Closed outlines, filled.
    Areas {
        outlines: Vec<Vec<Point>>,
        colour: Colour,
    },
    /// With round ends and joints.
    Line {
        points: Vec<Point>,
        width: f64,
        colour: Colour,
    },
    Dots {
        centres: Vec<Point>,
        radius: f64,
        colour: Colour,
    },
    Text(Word),
}

/// A line of text where it stands.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) style: Type,
    pub(super) colour: Colour,
    pub(super) anchor: Anchor,
    /// Left end and baseline.
    pub(super) left: f64,
    pub(super) baseline: f64,
    pub(super) width: f64,
}

/// A text of a [`Drawing`] and the box around its letters, in logical pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The text as it is drawn.
    pub text: String,
    /// Left side.
    pub left: f64,
    /// Top of the tallest letters.
    pub top: f64,
    /// Right side.
    pub right: f64,
    /// Foot of the deepest letters.
    pub bottom: f64,
}

impl Label {
    /// True if the two boxes share a part of the picture.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// A drawn chart. [`Drawing::svg`] and [`Drawing::png`] write it.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) theme: Theme,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) shapes: Vec<Shape>,
}

impl Drawing {
    /// An empty picture of this size in logical pixels.
    pub(super) fn new(text: &Text, theme: Theme, width: f64, height: f64) -> Self {
        let description = if text.alt.is_empty() { &text.subtitle } else { &text.alt };
        Self {
            width,
            height: height.ceil(),
            theme,
            title: super::text::clean(&text.title),
            description: super::text::clean(description),
            shapes: Vec::new(),
        }
    }

    /// Width and height in logical pixels: those of the SVG, and of a PNG at scale 1.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Its title, on one line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it shows, in words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Every text in it with the box of its letters.
    pub fn labels(&self) -> Vec<Label> {
        let label = |shape: &Shape| match shape {
            Shape::Text(word) => Some(Label {
                text: word.text.clone(),
                left: word.left,
                top: word.baseline - 0.76 * word.style.size,
                right: word.left + word.width,
                bottom: word.baseline + 0.24 * word.style.size,
            }),
            _ => None,
        };
        self.shapes.iter().filter_map(label).collect()
    }

    /// Fills rectangles.
    pub(super) fn rectangles(&mut self, regions: Vec<Region>, colour: Colour) {
        if !regions.is_empty() {
            self.shapes.push(Shape::Rectangles { regions, colour });
        }
    }

    /// Fills a rectangle.
    pub(super) fn rectangle(&mut self, region: Region, colour: Colour) {
        self.rectangles(vec![region], colour);
    }

    /// Fills a rectangle moved to whole pixels: for straight lines.
    pub(super) fn rule(&mut self, region: Region, colour: Colour) {
        // Half a pixel off would smear a thin line over two rows.
        let whole = Region {
            left: region.left.round(),
            top: region.top.round(),
            right: region.right.round(),
            bottom: region.bottom.round(),
        };
        self.rectangle(whole, colour);
    }

    /// Fills closed outlines.
    pub(super) fn areas(&mut self, outlines: Vec<Vec<Point>>, colour: Colour) {
        if !outlines.is_empty() {
            self.shapes.push(Shape::Areas { outlines, colour });
        }
    }

    /// Draws a line with round joints.
    pub(super) fn line(&mut self, points: Vec<Point>, width: f64, colour: Colour) {
        self.shapes.push(Shape::Line { points, width, colour });
    }

    /// Fills circles.
    pub(super) fn dots(&mut self, centres: Vec<Point>, radius: f64, colour: Colour) {
        if !centres.is_empty() {
            self.shapes.push(Shape::Dots { centres, radius, colour });
        }
    }

    /// Writes `text` with its baseline at `baseline`, moved sideways where it would leave the picture.
    pub(super) fn text(
        &mut self,
        text: &str,
        style: Type,
        anchor: Anchor,
        (x, baseline): Point,
    ) -> Result<(), ChartError> {
        if text.is_empty() {
            return Ok(());
        }
        let width = style.width(text)?;
        let wanted = match anchor {
            Anchor::Left => x,
            Anchor::Centre => x - width / 2.0,
            Anchor::Right => x - width,
        };
        let left = wanted.min(self.width - MARGIN - width).max(MARGIN);
        let colour = if style.grey { self.theme.grey_ink() } else { self.theme.ink() };
        self.shapes.push(Shape::Text(Word {
            text: text.to_owned(),
            style,
            colour,
            anchor,
            left,
            baseline,
            width,
        }));
        Ok(())
    }
}
