//! Names that anybody may have chosen, made fit to be shown: job names, users, nodes, labels.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// Characters that act on what stands around them: controls (escape sequences of terminals begin with one), line and
/// paragraph separators, and marks that turn the direction of writing.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || letter == '\u{feff}'
}

/// The text in one line, with nothing in it that a terminal or a page would obey: line breaks and tabs are blanks,
/// other controls the replacement character; marks of direction are gone.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let shown = |letter: char| match letter {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        letter if letter.is_control() => Some('\u{fffd}'),
        letter if acts(letter) => None,
        letter => Some(letter),
    };
    Cow::Owned(text.chars().filter_map(shown).collect())
}

/// Columns that the text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).fold(0, usize::saturating_add)
}

/// The [`visible`] text in at most `columns` columns; what is cut ends in `…`.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    // Marks that take no column could go on without an end.
    let most_letters = columns.saturating_mul(4);
    let text = match text.char_indices().nth(most_letters.saturating_mul(2)) {
        // Enough to see that it is cut, not more: names can be megabytes.
        Some((end, _)) => Cow::Owned(visible(text.get(..end).unwrap_or_default()).into_owned()),
        None => visible(text),
    };
    if width(&text) <= columns && text.chars().nth(most_letters).is_none() {
        return text;
    }
    let mut used = 0_usize;
    let mut kept = String::new();
    for letter in text.chars().take(most_letters) {
        used = used.saturating_add(letter.width().unwrap_or(0));
        if used >= columns {
            break;
        }
        kept.push(letter);
    }
    kept.push('…');
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_acts() {
        for (text, shown) in [
            ("train-resnet_50", "train-resnet_50"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{fffd}[31mred\u{fffd}[0m"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("two\nlines\tand\rmore", "two lines and more"),
            ("a\u{2028}b\u{2029}c", "a b c"),
            ("\u{202e}cod.exe\u{202c}", "cod.exe"),
            ("\u{2067}x\u{2069}\u{feff}", "x"),
            ("nul\0", "nul\u{fffd}"),
            ("מודל 模型 👩\u{200d}🔬", "מודל 模型 👩\u{200d}🔬"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn what_is_cut_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        // Each of these takes two columns.
        assert_eq!(cut("模型模型", 8), "模型模型");
        assert_eq!(cut("模型模型", 6), "模型…");
        assert_eq!(width("模型…"), 5);
        let long = "x".repeat(10_000);
        assert_eq!(width(&cut(&long, 30)), 30);
        // Marks that take no column at all.
        let marks = format!("a{}", "\u{301}".repeat(10_000));
        assert!(cut(&marks, 10).chars().count() <= 41);
        assert_eq!(cut("", 5), "");
    }
}
