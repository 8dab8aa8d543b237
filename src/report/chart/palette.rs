//! Colours: the palette of Okabe and Ito (2008), made to be told apart with
//! every common colour vision, and greys for what steps back.

use plotters::style::RGBColor;

/// Titles, legends, lines over the data.
pub(super) const INK: RGBColor = RGBColor(0x1A, 0x1A, 0x1A);
/// Subtitles, axes, footnotes: 7 to 1 on white.
pub(super) const GREY_INK: RGBColor = RGBColor(0x59, 0x59, 0x59);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xE2, 0xE2, 0xE2);
/// The line that bars and areas stand on.
pub(super) const BASELINE: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// Times of which nothing is known.
pub(super) const NO_DATA: RGBColor = RGBColor(0xEC, 0xEC, 0xEC);
/// Background, and the casing of a line over the data.
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// Blue, orange, green, purple, sky blue, vermilion, yellow: neighbours differ in lightness too.
const LOUD: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0xF0, 0xE4, 0x42),
];
const MUTED: [RGBColor; 3] =
    [RGBColor(0xBD, 0xBD, 0xBD), RGBColor(0x8F, 0x8F, 0x8F), RGBColor(0xD6, 0xD6, 0xD6)];

/// A colour for each, given which of them are muted. The first seven that are not differ by hue,
/// the next seven are darker; beyond that colours come again.
pub(super) fn colours(muted: impl IntoIterator<Item = bool>) -> Vec<RGBColor> {
    let darker = LOUD.map(|RGBColor(red, green, blue)| RGBColor(red / 2, green / 2, blue / 2));
    let mut loud = LOUD.iter().chain(&darker).cycle();
    let mut grey = MUTED.iter().cycle();
    muted.into_iter().filter_map(|muted| if muted { grey.next() } else { loud.next() }).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn fourteen_layers_and_three_muted_ones_all_differ() {
        let given = colours((0..17).map(|index| index % 6 == 5 || index == 16));
        let different: BTreeSet<(u8, u8, u8)> =
            given.iter().map(|colour| (colour.0, colour.1, colour.2)).collect();
        assert_eq!((given.len(), different.len()), (17, 17));
    }
}
