//! Colours of the two themes: the palette of Okabe and Ito (2008), made to be told apart with
//! every common colour vision, and greys for what steps back.

/// A colour: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// What a chart is drawn on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on nearly black.
    Dark,
}

const BLUE: Colour = Colour(0x00, 0x72, 0xB2);
const ORANGE: Colour = Colour(0xE6, 0x9F, 0x00);
const GREEN: Colour = Colour(0x00, 0x9E, 0x73);
const PURPLE: Colour = Colour(0xCC, 0x79, 0xA7);
const SKY: Colour = Colour(0x56, 0xB4, 0xE9);
const VERMILION: Colour = Colour(0xD5, 0x5E, 0x00);
const YELLOW: Colour = Colour(0xF0, 0xE4, 0x42);

impl Theme {
    /// Its name, as flags and ids have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn either(self, light: Colour, dark: Colour) -> Colour {
        match self {
            Self::Light => light,
            Self::Dark => dark,
        }
    }

    /// Background, and the casing of a line over the data.
    pub(super) fn paper(self) -> Colour {
        self.either(Colour(0xFF, 0xFF, 0xFF), Colour(0x15, 0x19, 0x1E))
    }

    /// Titles, legends, lines over the data.
    pub(super) fn ink(self) -> Colour {
        self.either(Colour(0x1A, 0x1A, 0x1A), Colour(0xF2, 0xF2, 0xF2))
    }

    /// Subtitles, axes, footnotes: 7 to 1 on either paper.
    pub(super) fn grey_ink(self) -> Colour {
        self.either(Colour(0x59, 0x59, 0x59), Colour(0xB4, 0xBA, 0xC2))
    }

    /// Grid lines.
    pub(super) fn grid(self) -> Colour {
        self.either(Colour(0xE2, 0xE2, 0xE2), Colour(0x33, 0x39, 0x41))
    }

    /// The line that bars and areas stand on.
    pub(super) fn baseline(self) -> Colour {
        self.either(Colour(0x80, 0x80, 0x80), Colour(0x80, 0x88, 0x92))
    }

    /// Times of which nothing is known.
    pub(super) fn no_data(self) -> Colour {
        self.either(Colour(0xEC, 0xEC, 0xEC), Colour(0x28, 0x2D, 0x34))
    }

    /// What is missing where it is looked for: it does not step back.
    pub(super) fn missing(self) -> Colour {
        self.colours([true]).first().copied().unwrap_or(self.no_data())
    }

    /// The first of the loud colours, for what is drawn in one colour alone.
    pub(super) fn accent(self) -> Colour {
        self.either(BLUE, SKY)
    }

    /// Seven of them: neighbours differ in lightness too, and the first two stand out from the paper.
    fn loud(self) -> [Colour; 7] {
        match self {
            Self::Light => [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW],
            Self::Dark => [SKY, ORANGE, GREEN, PURPLE, BLUE, VERMILION, YELLOW],
        }
    }

    fn muted(self) -> [Colour; 3] {
        match self {
            Self::Light => [Colour(0xBD, 0xBD, 0xBD), Colour(0x8F, 0x8F, 0x8F), Colour(0xD6, 0xD6, 0xD6)],
            Self::Dark => [Colour(0x66, 0x6E, 0x78), Colour(0x94, 0x9C, 0xA6), Colour(0x4A, 0x51, 0x5A)],
        }
    }

    /// A colour for each, given which of them are muted. The first seven that are not differ by hue,
    /// the next seven are half as far from the ink; beyond that colours come again.
    pub(super) fn colours(self, muted: impl IntoIterator<Item = bool>) -> Vec<Colour> {
        let toward = self.either(Colour(0, 0, 0), Colour(0xFF, 0xFF, 0xFF));
        let loud = self.loud();
        let second = loud.map(|colour| mix(colour, toward, 0.5));
        let mut loud = loud.iter().chain(&second).cycle();
        let greys = self.muted();
        let mut grey = greys.iter().cycle();
        muted.into_iter().filter_map(|muted| if muted { grey.next() } else { loud.next() }).copied().collect()
    }

    /// `count` shades of one hue from little to much: the more, the farther from the paper.
    pub(super) fn shades(self, count: usize) -> Vec<Colour> {
        let stops = match self {
            Self::Light => [Colour(0xE3, 0xEF, 0xF8), SKY, BLUE, Colour(0x00, 0x2B, 0x4D)],
            Self::Dark => [Colour(0x1E, 0x2F, 0x3E), BLUE, SKY, Colour(0xEA, 0xF6, 0xFF)],
        };
        let last = count.saturating_sub(1).max(1) as f64;
        (0..count)
            .map(|index| {
                let at = index as f64 / last * 3.0;
                let [a, b, c, d] = stops;
                match at {
                    at if at < 1.0 => mix(a, b, at),
                    at if at < 2.0 => mix(b, c, at - 1.0),
                    at => mix(c, d, at - 2.0),
                }
            })
            .collect()
    }
}

fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    let channel =
        |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    Colour(channel(from.0, to.0), channel(from.1, to.1), channel(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn fourteen_layers_and_three_muted_ones_all_differ() {
        for theme in [Theme::Light, Theme::Dark] {
            let given = theme.colours((0..17).map(|index| index % 6 == 5 || index == 16));
            let different: BTreeSet<Colour> = given.iter().copied().collect();
            assert_eq!((given.len(), different.len()), (17, 17));
        }
    }

    /// Relative luminance of WCAG 2.
    fn luminance(colour: Colour) -> f64 {
        let linear = |channel: u8| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
    }

    fn contrast(left: Colour, right: Colour) -> f64 {
        let (left, right) = (luminance(left) + 0.05, luminance(right) + 0.05);
        (left / right).max(right / left)
    }

    #[test]
    fn words_stand_out_from_either_paper() {
        assert!((contrast(Colour(0, 0, 0), Colour(255, 255, 255)) - 21.0).abs() < 1e-9);
        for theme in [Theme::Light, Theme::Dark] {
            assert!(contrast(theme.ink(), theme.paper()) > 12.0, "{theme:?}");
            assert!(contrast(theme.grey_ink(), theme.paper()) >= 7.0, "{theme:?}");
            assert!(contrast(theme.grey_ink(), theme.no_data()) >= 4.5, "{theme:?}");
            assert!(contrast(theme.accent(), theme.paper()) >= 4.5, "{theme:?}");
        }
    }

    #[test]
    fn shades_run_one_way_from_the_paper() {
        for (theme, sign) in [(Theme::Light, -1.0), (Theme::Dark, 1.0)] {
            let light: Vec<f64> = theme.shades(12).into_iter().map(|shade| luminance(shade) * sign).collect();
            assert!(light.is_sorted_by(|left, right| left < right), "{light:?}");
        }
    }
}
