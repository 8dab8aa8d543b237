//! The surface that charts are drawn on: logical pixels in, PNG bytes out.
//!
//! plotters rounds every coordinate to a whole pixel and does not smooth thick
//! strokes. So all is drawn [`OVERSAMPLING`] times as large and averaged down.

use super::ChartError;
use super::frame::MARGIN;
use super::text::{Anchor, Type};
use plotters::backend::BitMapBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::{Color, RGBColor, ShapeStyle};
use std::ops::Range;

/// Pixels drawn for each pixel of the picture, in each direction.
pub(super) const OVERSAMPLING: u32 = 4;
/// Pixels per metre, for the pHYs chunk: 96 dots per inch, at which 1280 pixels fill a slide.
const PIXELS_PER_METRE: u32 = 3780;
const BYTES_PER_PIXEL: usize = 3;

/// Border of the picture that no text enters.
const EDGE: f64 = MARGIN;

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
}

type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

/// A region whose points are named by data values.
pub(super) struct Plot<'a> {
    chart: ChartContext<'a, BitMapBackend<'a>, Plane>,
}

/// The picture being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
    width: f64,
}

fn large(logical: f64) -> i32 {
    (logical * f64::from(OVERSAMPLING)).round() as i32
}

impl<'a> Canvas<'a> {
    /// Fills a rectangle.
    pub(super) fn rectangle(&self, region: Region, colour: RGBColor) -> Result<(), ChartError> {
        let corners = [(large(region.left), large(region.top)), (large(region.right), large(region.bottom))];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(ChartError::draw)
    }

    /// Fills a rectangle moved to whole pixels: for straight lines.
    pub(super) fn rule(&self, region: Region, colour: RGBColor) -> Result<(), ChartError> {
        // Half a pixel off would smear a thin line over two rows.
        let whole = Region {
            left: region.left.round(),
            top: region.top.round(),
            right: region.right.round(),
            bottom: region.bottom.round(),
        };
        self.rectangle(whole, colour)
    }

    /// Writes `text` with its baseline at `baseline`, moved sideways where it would leave the picture.
    pub(super) fn text(
        &self,
        text: &str,
        style: Type,
        anchor: Anchor,
        (x, baseline): (f64, f64),
    ) -> Result<(), ChartError> {
        let width = style.width(text)?;
        let wanted = match anchor {
            Anchor::Left => x,
            Anchor::Centre => x - width / 2.0,
            Anchor::Right => x - width,
        };
        let left = wanted.min(self.width - EDGE - width).max(EDGE);
        let font = style.font(f64::from(OVERSAMPLING));
        // plotters puts the baseline half the font's size under the point it is given.
        let top = large(baseline) - (font.get_size() / 2.0) as i32;
        self.area.draw_text(text, &font.color(&style.colour), (large(left), top)).map_err(ChartError::draw)
    }

    /// A part of the picture with data coordinates: `x` runs to the right, `y` upwards.
    pub(super) fn plot(&self, region: Region, x: Range<f64>, y: Range<f64>) -> Result<Plot<'a>, ChartError> {
        let area = self
            .area
            .clone()
            .shrink((large(region.left), large(region.top)), (large(region.width()), large(region.height())));
        let chart = ChartBuilder::on(&area).build_cartesian_2d(x, y).map_err(ChartError::draw)?;
        Ok(Plot { chart })
    }
}

impl Plot<'_> {
    /// Fills rectangles, each given by two opposite corners.
    pub(super) fn rectangles(
        &mut self,
        corners: impl IntoIterator<Item = [(f64, f64); 2]>,
        colour: RGBColor,
    ) -> Result<(), ChartError> {
        let rectangles = corners.into_iter().map(|corners| Rectangle::new(corners, colour.filled()));
        self.chart.draw_series(rectangles).map(drop).map_err(ChartError::draw)
    }

    /// Draws a line `width` logical pixels wide with round joints.
    pub(super) fn line(
        &mut self,
        points: &[(f64, f64)],
        width: f64,
        colour: RGBColor,
    ) -> Result<(), ChartError> {
        // plotters turns a thick path into one polygon, which has holes where the path turns sharply.
        let stroke =
            ShapeStyle { color: colour.to_rgba(), filled: true, stroke_width: large(width).unsigned_abs() };
        let segments =
            points.iter().zip(points.iter().skip(1)).map(|(from, to)| PathElement::new([*from, *to], stroke));
        self.chart.draw_series(segments).map_err(ChartError::draw)?;
        let joints = points.iter().map(|point| Circle::new(*point, large(width / 2.0), stroke));
        self.chart.draw_series(joints).map(drop).map_err(ChartError::draw)
    }
}

/// Draws a picture of the given size, in logical pixels, and encodes it.
pub(super) fn render(
    width: u32,
    height: u32,
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), ChartError>,
) -> Result<Vec<u8>, ChartError> {
    let (large_width, large_height) = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![u8::MAX; large_width as usize * large_height as usize * BYTES_PER_PIXEL];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (large_width, large_height));
        let canvas = Canvas { area: backend.into_drawing_area(), width: f64::from(width) };
        draw(&canvas)?;
        canvas.area.present().map_err(ChartError::draw)?;
    }
    encode(width, height, &average(&pixels, width as usize))
}

/// Averages squares of [`OVERSAMPLING`] × [`OVERSAMPLING`] pixels into one.
fn average(large: &[u8], width: usize) -> Vec<u8> {
    const SIDE: usize = OVERSAMPLING as usize;
    const COUNT: u16 = (SIDE * SIDE) as u16;
    let mean = |sum: &u16| u8::try_from((sum + COUNT / 2) / COUNT).unwrap_or(u8::MAX);
    let mut small = Vec::with_capacity(large.len() / (SIDE * SIDE));
    let mut sums = vec![[0_u16; BYTES_PER_PIXEL]; width];
    for rows in large.chunks_exact(width * BYTES_PER_PIXEL * SIDE * SIDE) {
        sums.fill([0; BYTES_PER_PIXEL]);
        for row in rows.chunks_exact(width * BYTES_PER_PIXEL * SIDE) {
            let (squares, _) = row.as_chunks::<{ BYTES_PER_PIXEL * SIDE }>();
            for ([red, green, blue], square) in sums.iter_mut().zip(squares) {
                let [r0, g0, b0, r1, g1, b1, r2, g2, b2, r3, g3, b3] = *square;
                *red += r0 as u16 + r1 as u16 + r2 as u16 + r3 as u16;
                *green += g0 as u16 + g1 as u16 + g2 as u16 + g3 as u16;
                *blue += b0 as u16 + b1 as u16 + b2 as u16 + b3 as u16;
            }
        }
        small.extend(sums.as_flattened().iter().map(mean));
    }
    small
}

fn encode(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>, ChartError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: PIXELS_PER_METRE,
        yppu: PIXELS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}
