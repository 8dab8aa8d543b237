//! A drawing as PNG.
//!
//! tiny-skia fills and strokes with smoothed edges at fractions of a pixel, so nothing has to be
//! drawn larger and reduced. Charts have few colours; most fit into a palette, which keeps the files small.

use std::collections::HashMap;

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

use super::ChartError;
use super::drawing::{Drawing, Shape};
use super::palette::Colour;
use super::text;

/// Pixels for each logical pixel: sharp on a slide of 2560 pixels.
const SCALE: f32 = 2.0;
/// Pixels per metre of a PNG at scale 1, for the pHYs chunk: 96 dots per inch, at which 1280 pixels fill a slide.
const PIXELS_PER_METRE: f32 = 3780.0;
/// Colours of a palette.
const PALETTE: usize = 256;

impl Drawing {
    /// The drawing as PNG with two pixels for each logical one.
    ///
    /// # Errors
    ///
    /// [`ChartError`] if the picture cannot be made or encoded; never because of the numbers.
    pub fn png(&self) -> Result<Vec<u8>, ChartError> {
        self.png_scaled(SCALE)
    }

    /// The drawing as PNG with `scale` pixels for each logical one.
    ///
    /// # Errors
    ///
    /// [`ChartError`] if the picture cannot be made or encoded: a scale that is not above 0 or needs more memory
    /// than there is.
    pub fn png_scaled(&self, scale: f32) -> Result<Vec<u8>, ChartError> {
        let size = |logical: f64| (logical as f32 * scale).ceil() as u32;
        let mut pixels = Pixmap::new(size(self.width), size(self.height)).ok_or(ChartError::Size)?;
        let Colour(red, green, blue) = self.theme.paper();
        pixels.fill(Color::from_rgba8(red, green, blue, u8::MAX));
        let transform = Transform::from_scale(scale, scale);
        for shape in &self.shapes {
            draw(&mut pixels, shape, transform)?;
        }
        self.encode(&pixels, scale)
    }

    /// Title and description go with the file, for programs that read pictures aloud.
    fn encode(&self, pixels: &Pixmap, scale: f32) -> Result<Vec<u8>, ChartError> {
        let (palette, places) = palette(lengths(pixels));
        let mut indexed: Vec<u8> = Vec::with_capacity(pixels.pixels().len());
        for (colour, length) in lengths(pixels) {
            let place = places.get(&colour).copied().unwrap_or(0);
            indexed.resize(indexed.len().saturating_add(length), place);
        }
        let per_metre = (PIXELS_PER_METRE * scale).round() as u32;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, pixels.width(), pixels.height());
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette.concat());
        // Places in a palette are no amounts: differences between them do not compress.
        encoder.set_filter(png::Filter::NoFilter);
        encoder.set_pixel_dims(Some(png::PixelDimensions {
            xppu: per_metre,
            yppu: per_metre,
            unit: png::Unit::Meter,
        }));
        encoder.add_itxt_chunk("Title".to_owned(), self.title.clone())?;
        encoder.add_itxt_chunk("Description".to_owned(), self.description.clone())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&indexed)?;
        writer.finish()?;
        Ok(file)
    }
}

fn paint(Colour(red, green, blue): Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, u8::MAX);
    paint
}

fn draw(pixels: &mut Pixmap, shape: &Shape, transform: Transform) -> Result<(), ChartError> {
    let (path, colour, width) = match shape {
        Shape::Rectangles { regions, colour } => {
            let mut path = PathBuilder::new();
            for region in regions {
                let (left, top) = (region.left as f32, region.top as f32);
                if let Some(rect) = Rect::from_ltrb(left, top, region.right as f32, region.bottom as f32) {
                    path.push_rect(rect);
                }
            }
            (path, *colour, None)
        }
        Shape::Areas { outlines, colour } => {
            let mut path = PathBuilder::new();
            for outline in outlines {
                polyline(&mut path, outline);
                path.close();
            }
            (path, *colour, None)
        }
        Shape::Line { points, width, colour } => {
            let mut path = PathBuilder::new();
            polyline(&mut path, points);
            (path, *colour, Some(*width))
        }
        Shape::Dots { centres, radius, colour } => {
            let mut path = PathBuilder::new();
            for (x, y) in centres {
                path.push_circle(*x as f32, *y as f32, *radius as f32);
            }
            (path, *colour, None)
        }
        Shape::Text(word) => {
            let mut path = PathBuilder::new();
            text::outline(&word.text, word.style, (word.left, word.baseline), &mut path)?;
            (path, word.colour, None)
        }
    };
    // Of nothing, or of blanks alone, there is no path.
    let Some(path) = path.finish() else { return Ok(()) };
    fill_or_stroke(pixels, &path, width, &paint(colour), transform);
    Ok(())
}

fn fill_or_stroke(
    pixels: &mut Pixmap,
    path: &Path,
    width: Option<f64>,
    paint: &Paint<'_>,
    transform: Transform,
) {
    match width {
        None => pixels.fill_path(path, paint, FillRule::Winding, transform, None),
        Some(width) => {
            let stroke = Stroke {
                width: width as f32,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            pixels.stroke_path(path, paint, &stroke, transform, None);
        }
    }
}

fn polyline(path: &mut PathBuilder, points: &[(f64, f64)]) {
    for (index, (x, y)) in points.iter().enumerate() {
        if index == 0 {
            path.move_to(*x as f32, *y as f32);
        } else {
            path.line_to(*x as f32, *y as f32);
        }
    }
}

type Rgb = [u8; 3];

/// The pixels as lengths of one colour. Everything is drawn on an opaque paper: premultiplied is as it is.
fn lengths(pixels: &Pixmap) -> impl Iterator<Item = (Rgb, usize)> {
    pixels.pixels().chunk_by(|left, right| left == right).filter_map(|same| {
        let colour = same.first()?;
        Some(([colour.red(), colour.green(), colour.blue()], same.len()))
    })
}

/// The colours of a picture, the most frequent first, and the place of each; at most [`PALETTE`] of them. Those that are left
/// over, mixtures at the edges of letters, take the place of the colour that is nearest.
fn palette(lengths: impl Iterator<Item = (Rgb, usize)>) -> (Vec<Rgb>, HashMap<Rgb, u8>) {
    let mut counts: HashMap<Rgb, usize> = HashMap::new();
    for (colour, length) in lengths {
        let count = counts.entry(colour).or_default();
        *count = count.saturating_add(length);
    }
    let mut colours: Vec<(Rgb, usize)> = counts.into_iter().collect();
    // By number, then by colour: a hash map has no order of its own.
    colours.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    let kept: Vec<Rgb> = colours.iter().take(PALETTE).map(|(colour, _)| *colour).collect();
    let distance = |left: &Rgb, right: &Rgb| -> u32 {
        left.iter().zip(right).map(|(left, right)| u32::from(left.abs_diff(*right)).pow(2)).sum()
    };
    let place = |colour: &Rgb| {
        let nearest = kept.iter().enumerate().min_by_key(|(_, other)| distance(colour, other));
        nearest.and_then(|(place, _)| u8::try_from(place).ok()).unwrap_or(0)
    };
    let places = colours.iter().map(|(colour, _)| (*colour, place(colour))).collect();
    (kept, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_the_palette_takes_the_nearest_colour() {
        // 300 greys and reddish ones, white most often: the rarest of them are left out.
        let mut lengths: Vec<(Rgb, usize)> = vec![([255; 3], 1000)];
        for grey in 0..150_u8 {
            lengths.extend([([grey; 3], 2), ([grey.saturating_add(1), grey, grey], 1)]);
        }
        let (kept, places) = palette(lengths.into_iter());
        assert_eq!((kept.len(), kept[0], places.len()), (256, [255; 3], 301));
        for (colour, place) in places {
            let given = kept[place as usize];
            assert!(
                given == colour || (given[1] == colour[1] && given[0].abs_diff(colour[0]) == 1),
                "{colour:?} {given:?}"
            );
        }
    }
}
