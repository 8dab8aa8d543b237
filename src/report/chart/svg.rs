//! A drawing as SVG: shapes with attributes of their own, no style sheet, no script, nothing fetched.

use std::fmt::Write as _;

use super::drawing::{Drawing, Point, Shape, Word};
use super::palette::Colour;
use super::text::{self, Anchor};

/// DejaVu is what all widths are measured in. Verdana is of the same descent; others are narrower.
const FONTS: &str = "DejaVu Sans, Verdana, Geneva, sans-serif";

impl Drawing {
    /// The drawing as SVG 1.1, in pixels with two decimals. Letters stay text. `id` begins the ids
    /// in it, which have to differ where several drawings stand in one page; of other characters than letters, digits, `-`
    /// and `_` it keeps none.
    pub fn svg(&self, id: &str) -> String {
        let id: String = id
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
            .collect();
        let (width, height) = (number(self.width), number(self.height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" font-family=\"{FONTS}\" direction=\"ltr\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
            escaped(&self.title),
            escaped(&self.description)
        );
        let paper = hex(self.theme.paper());
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "<rect width=\"{width}\" height=\"{height}\" fill=\"{paper}\"/>");
        for shape in &self.shapes {
            let _ = match shape {
                Shape::Rectangles { regions, colour } => {
                    let path: String = regions
                        .iter()
                        .map(|region| {
                            let (left, right) = (number(region.left), number(region.right));
                            let (top, bottom) = (number(region.top), number(region.bottom));
                            format!("M{left} {top}H{right}V{bottom}H{left}z")
                        })
                        .collect();
                    let fill = hex(*colour);
                    writeln!(svg, "<path shape-rendering=\"crispEdges\" fill=\"{fill}\" d=\"{path}\"/>")
                }
                Shape::Areas { outlines, colour } => {
                    let path: String = outlines.iter().map(|outline| format!("{}z", path(outline))).collect();
                    writeln!(svg, "<path fill=\"{}\" d=\"{path}\"/>", hex(*colour))
                }
                Shape::Line { points, width, colour } => stroke(&mut svg, &path(points), *width, *colour),
                // A line of no length with round ends is a dot.
                Shape::Dots { centres, radius, colour } => {
                    let path: String =
                        centres.iter().map(|(x, y)| format!("M{} {}h0", number(*x), number(*y))).collect();
                    stroke(&mut svg, &path, radius * 2.0, *colour)
                }
                Shape::Text(word) => write_word(&mut svg, word),
            };
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn stroke(svg: &mut String, path: &str, width: f64, colour: Colour) -> std::fmt::Result {
    writeln!(
        svg,
        "<path fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\" stroke-linejoin=\"round\" d=\"{path}\"/>",
        hex(colour),
        number(width)
    )
}

fn write_word(svg: &mut String, word: &Word) -> std::fmt::Result {
    let (x, anchor) = match word.anchor {
        Anchor::Left => (word.left, ""),
        Anchor::Centre => (word.left + word.width / 2.0, " text-anchor=\"middle\""),
        Anchor::Right => (word.left + word.width, " text-anchor=\"end\""),
    };
    let weight = if word.style.bold { " font-weight=\"bold\"" } else { "" };
    // Of letters that the font lacks the reader's program takes others, of a width that is not known here.
    let fitted = if text::has_all(&word.text) {
        String::new()
    } else {
        format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", number(word.width))
    };
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{anchor}{weight}{fitted}>{}</text>",
        number(x),
        number(word.baseline),
        number(word.style.size),
        hex(word.colour),
        escaped(&word.text)
    )
}

fn path(points: &[Point]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{} {}", number(*x), number(*y));
    }
    path
}

/// With two decimals at most. What is no number is 0: nothing may follow from it but a shape in the corner.
fn number(value: f64) -> String {
    let hundredths = if value.is_finite() { (value * 100.0).round() as i64 } else { 0 };
    let text = format!("{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if hundredths < 0 { format!("-{text}") } else { text.to_owned() }
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_decimals_at_most_and_are_never_no_number() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1280.0, "1280"),
            (12.5, "12.5"),
            (12.345_6, "12.35"),
            (-0.05, "-0.05"),
            (-0.001, "0"),
            (100.0, "100"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
