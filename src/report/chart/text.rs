//! Type: the fonts, how wide a text is, and how to make one fit.

use super::ChartError;
use std::sync::OnceLock;
use tiny_skia::PathBuilder;
use ttf_parser::{Face, GlyphId, OutlineBuilder};

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

/// A way to set text: em size in logical pixels, weight, and whether it steps back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) grey: bool,
}

pub(super) const TITLE: Type = Type { size: 24.0, bold: true, grey: false };
pub(super) const SUBTITLE: Type = Type { size: 16.0, bold: false, grey: true };
pub(super) const LEGEND: Type = Type { size: 15.0, bold: false, grey: false };
pub(super) const AXIS: Type = Type { size: 14.0, bold: false, grey: true };
/// What stands at an axis and is a name.
pub(super) const NAME: Type = Type { grey: false, ..AXIS };
pub(super) const MESSAGE: Type = Type { size: 22.0, bold: false, grey: true };
pub(super) const FOOTNOTE: Type = Type { size: 12.0, bold: false, grey: true };

/// The regular and the bold face, read once in the life of the process.
fn face(bold: bool) -> Result<&'static Face<'static>, ChartError> {
    static FACES: OnceLock<Option<[Face<'static>; 2]>> = OnceLock::new();
    let read = |data: &'static [u8]| Face::parse(data, 0).ok();
    let faces = FACES.get_or_init(|| Some([read(dejavu::sans::regular())?, read(dejavu::sans::bold())?]));
    let [regular, heavy] = faces.as_ref().ok_or(ChartError::Font)?;
    Ok(if bold { heavy } else { regular })
}

/// True if the font has every letter.
pub(super) fn has_all(text: &str) -> bool {
    face(false).is_ok_and(|face| text.chars().all(|letter| face.glyph_index(letter).is_some()))
}

/// How much closer a pair of letters stands than their widths say, in units of the font.
fn kerning(face: &Face<'_>, left: GlyphId, right: GlyphId) -> f64 {
    let tables = face.tables().kern.into_iter().flat_map(|kern| kern.subtables);
    let usable = tables.filter(|table| table.horizontal && !table.variable && !table.has_state_machine);
    usable.filter_map(|table| table.glyphs_kerning(left, right)).map(f64::from).sum()
}

/// The glyphs of a line with the place of each, in ems, and the width of all.
fn set(text: &str, face: &Face<'_>) -> (Vec<(GlyphId, f64)>, f64) {
    let em = f64::from(face.units_per_em());
    let mut glyphs: Vec<(GlyphId, f64)> = Vec::new();
    let mut at = 0.0;
    for letter in text.chars() {
        // What the font lacks is drawn as a box.
        let glyph = face.glyph_index(letter).unwrap_or(GlyphId(0));
        if let Some((before, _)) = glyphs.last() {
            at += kerning(face, *before, glyph) / em;
        }
        glyphs.push((glyph, at));
        at += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) / em;
    }
    (glyphs, at)
}

/// Adds the outlines of a line of text that begins at `x` and stands on `baseline`.
pub(super) fn outline(
    text: &str,
    style: Type,
    (x, baseline): (f64, f64),
    path: &mut PathBuilder,
) -> Result<(), ChartError> {
    let face = face(style.bold)?;
    let scale = style.size / f64::from(face.units_per_em());
    for (glyph, at) in set(text, face).0 {
        let x = (x + at * style.size) as f32;
        let mut pen = Pen { path, x, baseline: baseline as f32, scale: scale as f32 };
        // A blank has no outline.
        let _ = face.outline_glyph(glyph, &mut pen);
    }
    Ok(())
}

/// Turns the font's units, which grow upwards, into pixels.
struct Pen<'a> {
    path: &'a mut PathBuilder,
    x: f32,
    baseline: f32,
    scale: f32,
}

impl Pen<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.baseline - y * self.scale)
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

impl Type {
    pub(super) fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// Width of `text` in logical pixels.
    pub(super) fn width(self, text: &str) -> Result<f64, ChartError> {
        Ok(set(text, face(self.bold)?).1 * self.size)
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

/// `text` on one line: control characters and line breaks become spaces, none stand at its ends, and marks that no one
/// sees but that turn the direction of writing, or that XML cannot hold, are left out.
pub(super) fn clean(text: &str) -> String {
    let is_unseen = |character: &char| {
        matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fffe}' | '\u{ffff}'
        )
    };
    let is_break = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let one_line: String = text
        .chars()
        .take(MAX_CHARACTERS)
        .filter(|character| !is_unseen(character))
        .map(|character| if is_break(character) { ' ' } else { character })
        .collect();
    one_line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_fits_stays_and_a_long_one_keeps_both_ends() {
        assert_eq!(AXIS.shorten(" node-17\n", 200.0).unwrap(), "node-17");
        let long = format!("{}-0123", "project".repeat(20));
        let short = AXIS.shorten(&long, 200.0).unwrap();
        assert!(short.starts_with("projectproj") && short.ends_with("project-0123"), "{short}");
        assert_eq!(short.matches('…').count(), 1);
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_ends_with_an_ellipsis_when_cut() {
        let lines = AXIS.wrap("one two three four five six seven eight nine ten", 100.0, 2).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("one two") && !lines[0].contains('…'), "{lines:?}");
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert_eq!(AXIS.wrap("one two", 500.0, 2).unwrap(), ["one two"]);
        assert!(AXIS.wrap(" \n ", 500.0, 2).unwrap().is_empty());
    }

    #[test]
    fn subscripts_and_umlauts_are_in_the_font_and_have_a_width() {
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
                prop_assert!(AXIS.width(&AXIS.shorten(&text, width).unwrap()).unwrap() <= width);
            for line in AXIS.wrap(&text, width, 3).unwrap() {
                prop_assert!(AXIS.width(&line).unwrap() <= width);
            }
        }
    }
}
