//! Type: the fonts, how wide a text is, and how to make one fit.

use super::ChartError;
use super::palette;
use plotters::style::{FontDesc, FontFamily, FontStyle, RGBColor, register_font};
use std::sync::OnceLock;

/// The name under which the fonts are registered with plotters.
const FAMILY: FontFamily = FontFamily::Name("wattledger");
/// plotters sizes a font by its line (ascent and descent), design is done in ems: 2384 by 2048 units in DejaVu Sans.
const LINE_PER_EM: f64 = 2384.0 / 2048.0;
/// No text is looked at beyond this many characters; none as long would fit on a picture.
const MAX_CHARACTERS: usize = 1000;
const ELLIPSIS: char = '…';

/// Where a text lies about the point it is put at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// A way to set text: em size in logical pixels, weight and colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: RGBColor,
}

pub(super) const TITLE: Type = Type { size: 24.0, bold: true, colour: palette::INK };
pub(super) const SUBTITLE: Type = Type { size: 16.0, bold: false, colour: palette::GREY_INK };
pub(super) const LEGEND: Type = Type { size: 15.0, bold: false, colour: palette::INK };
pub(super) const AXIS: Type = Type { size: 14.0, bold: false, colour: palette::GREY_INK };
pub(super) const MESSAGE: Type = Type { size: 22.0, bold: false, colour: palette::GREY_INK };
pub(super) const FOOTNOTE: Type = Type { size: 12.0, bold: false, colour: palette::GREY_INK };

/// Hands the fonts to plotters, once in the life of the process.
pub(super) fn register() -> Result<(), ChartError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let name = FAMILY.as_str();
    let registered = *REGISTERED.get_or_init(|| {
        register_font(name, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(name, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if registered { Ok(()) } else { Err(ChartError::Font) }
}

impl Type {
    pub(super) fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// The plotters font, `scale` times as large.
    pub(super) fn font(self, scale: f64) -> FontDesc<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        FontDesc::new(FAMILY, self.size * LINE_PER_EM * scale, style)
    }

    /// Width of `text` in logical pixels.
    pub(super) fn width(self, text: &str) -> Result<f64, ChartError> {
        // Measured large, because plotters gives whole pixels.
        const LARGE: f64 = 16.0;
        let ((left, _), (right, _)) = self.font(LARGE).layout_box(text).map_err(|_| ChartError::Font)?;
        Ok(f64::from(right.saturating_sub(left)) / LARGE)
    }

    /// `text` if it is no wider than `width`, else its start and end with `…` between them: names
    /// that share a long start often differ at the end.
    pub(super) fn shorten(self, text: &str, width: f64) -> Result<String, ChartError> {
        self.shorten_with(text, width, |kept| kept.div_ceil(2))
    }

    /// Breaks `text` at spaces into at most `lines` lines no wider than `width`; what is left over
    /// is cut off with `…`.
    pub(super) fn wrap(self, text: &str, width: f64, lines: usize) -> Result<Vec<String>, ChartError> {
        let text = clean(text);
        let mut wrapped: Vec<String> = Vec::new();
        let mut line = String::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            let last = wrapped.len().saturating_add(1) >= lines;
            if last || line.is_empty() || self.width(&longer)? <= width {
                line = longer;
            } else {
                wrapped.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        if !line.is_empty() {
            wrapped.push(line);
        }
        wrapped.iter().map(|line| self.shorten_with(line, width, |kept| kept)).collect()
    }

    /// `head` says how many of the characters kept stand before the `…`.
    fn shorten_with(
        self,
        text: &str,
        width: f64,
        head: impl Fn(usize) -> usize,
    ) -> Result<String, ChartError> {
        let text = clean(text);
        if self.width(&text)? <= width {
            return Ok(text);
        }
        let characters: Vec<char> = text.chars().collect();
        let shortened = |kept: usize| -> String {
            let head = head(kept);
            let tail = characters.len().saturating_sub(kept.saturating_sub(head));
            let start: String = characters.iter().take(head).collect();
            let end: String = characters.iter().skip(tail).collect();
            format!("{}{ELLIPSIS}{}", start.trim_end(), end.trim_start())
        };
        // The most characters that fit: `fits` always do (or are none), `too_many` never do.
        let (mut fits, mut too_many) = (0_usize, characters.len());
        while too_many.saturating_sub(fits) > 1 {
            let middle = fits.midpoint(too_many);
            if self.width(&shortened(middle))? <= width { fits = middle } else { too_many = middle }
        }
        Ok(shortened(fits))
    }
}

/// `text` on one line: control characters and line breaks become spaces, and none stand at its ends.
pub(super) fn clean(text: &str) -> String {
    let one_line: String = text
        .chars()
        .take(MAX_CHARACTERS)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    one_line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_fits_stays_and_a_long_one_keeps_both_ends() {
        register().unwrap();
        assert_eq!(AXIS.shorten(" node-17\n", 200.0).unwrap(), "node-17");
        let long = format!("{}-0123", "project".repeat(20));
        let short = AXIS.shorten(&long, 200.0).unwrap();
        assert!(short.starts_with("projectproj") && short.ends_with("project-0123"), "{short}");
        assert_eq!(short.matches('…').count(), 1);
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_ends_with_an_ellipsis_when_cut() {
        register().unwrap();
        let lines = AXIS.wrap("one two three four five six seven eight nine ten", 100.0, 2).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("one two") && !lines[0].contains('…'), "{lines:?}");
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert_eq!(AXIS.wrap("one two", 500.0, 2).unwrap(), ["one two"]);
        assert!(AXIS.wrap(" \n ", 500.0, 2).unwrap().is_empty());
    }

    #[test]
    fn subscripts_and_umlauts_are_in_the_font_and_have_a_width() {
        register().unwrap();
        // A missing glyph would be as wide as a box, U+FFFF is never in a font.
        let box_width = AXIS.width("\u{ffff}").unwrap();
        for character in ["₂", "ü", "µ", "×", "⁹", "⁻", "…", "–", "Ω", "ж"] {
            assert_ne!(AXIS.width(character).unwrap(), box_width, "{character}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_shortened_fits(text in "\\PC{0,200}", width in 30.0_f64..400.0) {
            register().unwrap();
            prop_assert!(AXIS.width(&AXIS.shorten(&text, width).unwrap()).unwrap() <= width);
            for line in AXIS.wrap(&text, width, 3).unwrap() {
                prop_assert!(AXIS.width(&line).unwrap() <= width);
            }
        }
    }
}
