//! Host lists as Slurm prints them: `gpu[001-004,007],login1`.

/// Hosts one list may stand for. The largest clusters have some 160,000 nodes;
/// a list that claims more is not a host list.
pub const MAX_HOSTS: usize = 250_000;
/// Bytes of the longest host name there can be (RFC 1035).
pub const LONGEST_NAME: usize = 255;

/// What is wrong with a host list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostListError {
    /// A bracket without its partner, or one inside another.
    #[error("brackets do not match at character {at}")]
    Brackets {
        /// Position in the list, counted in bytes from 0.
        at: usize,
    },
    /// Something in brackets that is neither a number nor a range.
    #[error("`{text}` is not a number or an ascending range")]
    Range {
        /// The part between two commas.
        text: String,
    },
    /// A character that no host name has (a `+` marks a name that was cut off).
    #[error("`{character}` does not belong in a host name")]
    Character {
        /// The character.
        character: char,
    },
    /// More hosts than [`MAX_HOSTS`].
    #[error("stands for more than {MAX_HOSTS} hosts")]
    TooMany,
    /// A name longer than [`LONGEST_NAME`].
    #[error("a name of more than {LONGEST_NAME} bytes")]
    LongName,
}

/// The hosts that `text` stands for, in the order given, zero padding kept.
///
/// Empty for an empty text and for the words that schedulers print for "no
/// node": `None assigned`, `None`, `(null)`. A name may have several brackets:
/// `r[1-2]n[01-03]` are six hosts. Nothing is allocated before the number of
/// hosts is known to be at most [`MAX_HOSTS`].
///
/// # Errors
///
/// [`HostListError`] for anything else.
pub fn expand(text: &str) -> Result<Vec<String>, HostListError> {
    let parsed = parse(text)?;
    let mut hosts = Vec::with_capacity(parsed.iter().map(|parts| count(parts).unwrap_or_default()).sum());
    for parts in &parsed {
        let mut names = vec![String::new()];
        for part in parts {
            names = part.append_to(&names);
        }
        hosts.append(&mut names);
    }
    Ok(hosts)
}

/// True if [`expand`] can read `text`; takes no more time and memory for a list of many hosts than for one.
pub fn is_list(text: &str) -> bool {
    parse(text).is_ok()
}

/// The names, each in parts.
fn parse(text: &str) -> Result<Vec<Vec<Part<'_>>>, HostListError> {
    let text = text.trim();
    let none = ["", "none assigned", "none", "(null)", "n/a", "unknown"];
    if none.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(Vec::new());
    }
    let items = split_outside_brackets(text)?;
    let mut parsed = Vec::with_capacity(items.len());
    let mut total = 0_usize;
    for item in items {
        let parts = parse_item(item)?;
        total = count(&parts).and_then(|hosts| total.checked_add(hosts)).ok_or(HostListError::TooMany)?;
        if total > MAX_HOSTS {
            return Err(HostListError::TooMany);
        }
        if parts.iter().map(Part::longest).fold(0, usize::saturating_add) > LONGEST_NAME {
            return Err(HostListError::LongName);
        }
        parsed.push(parts);
    }
    Ok(parsed)
}

/// The number of hosts that the parts of a name stand for.
fn count(parts: &[Part<'_>]) -> Option<usize> {
    parts.iter().try_fold(1_usize, |product, part| product.checked_mul(part.count()))
}

/// A piece of one name.
enum Part<'a> {
    Literal(&'a str),
    Numbers(Vec<NumberRange>),
}

/// `low..=high`, printed with at least `width` digits.
struct NumberRange {
    low: u64,
    high: u64,
    width: usize,
}

impl Part<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::Numbers(ranges) => ranges.iter().fold(0_usize, |total, range| {
                let count = range.high.saturating_sub(range.low).saturating_add(1);
                total.saturating_add(usize::try_from(count).unwrap_or(usize::MAX))
            }),
        }
    }

    /// Bytes that it takes at most.
    fn longest(&self) -> usize {
        match self {
            Self::Literal(text) => text.len(),
            // At most 18 digits each, and the text of a range is as long as its digits.
            Self::Numbers(ranges) => ranges.iter().map(|range| range.width.max(18)).max().unwrap_or_default(),
        }
    }

    fn append_to(&self, names: &[String]) -> Vec<String> {
        match self {
            Self::Literal(text) => names.iter().map(|name| format!("{name}{text}")).collect(),
            Self::Numbers(ranges) => names
                .iter()
                .flat_map(|name| {
                    ranges.iter().flat_map(move |range| {
                        (range.low..=range.high)
                            .map(move |number| format!("{name}{number:0width$}", width = range.width))
                    })
                })
                .collect(),
        }
    }
}

fn split_outside_brackets(text: &str) -> Result<Vec<&str>, HostListError> {
    let mut items = Vec::new();
    let mut inside = false;
    let mut rest_from = 0;
    for (at, character) in text.char_indices() {
        match character {
            '[' if inside => return Err(HostListError::Brackets { at }),
            '[' => inside = true,
            ']' if !inside => return Err(HostListError::Brackets { at }),
            ']' => inside = false,
            ',' if !inside => {
                items.extend(text.get(rest_from..at));
                rest_from = at.saturating_add(1);
            }
            _ => {}
        }
    }
    if inside {
        return Err(HostListError::Brackets { at: text.len() });
    }
    items.extend(text.get(rest_from..));
    Ok(items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect())
}

fn parse_item(item: &str) -> Result<Vec<Part<'_>>, HostListError> {
    let mut parts = Vec::new();
    let mut rest = item;
    while let Some((literal, bracketed)) = rest.split_once('[') {
        push_literal(&mut parts, literal)?;
        // The brackets are known to match, so the second half is there.
        let (ranges, after) = bracketed.split_once(']').ok_or(HostListError::Brackets { at: item.len() })?;
        parts.push(Part::Numbers(ranges.split(',').map(parse_range).collect::<Result<_, _>>()?));
        rest = after;
    }
    push_literal(&mut parts, rest)?;
    Ok(parts)
}

fn push_literal<'a>(parts: &mut Vec<Part<'a>>, literal: &'a str) -> Result<(), HostListError> {
    let allowed = |character: char| {
        character.is_ascii_alphanumeric() || "-_.:".contains(character) || !character.is_ascii()
    };
    if let Some(character) = literal.chars().find(|&character| !allowed(character)) {
        return Err(HostListError::Character { character });
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(())
}

fn parse_range(text: &str) -> Result<NumberRange, HostListError> {
    let wrong = || HostListError::Range { text: text.to_owned() };
    // More than 18 digits would overflow; no cluster numbers its nodes so.
    let number = |digits: &str| -> Result<u64, HostListError> {
        let plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let trimmed = text.trim();
    let (low_text, high_text) = trimmed.split_once('-').unwrap_or((trimmed, trimmed));
    let (low, high) = (number(low_text)?, number(high_text)?);
    if high < low {
        return Err(wrong());
    }
    Ok(NumberRange { low, high, width: low_text.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        expand(text).unwrap()
    }

    #[test]
    fn lists_as_slurm_prints_them() {
        assert_eq!(names("gpu[001-003,007],login1"), ["gpu001", "gpu002", "gpu003", "gpu007", "login1"]);
        assert_eq!(names("n[8-11]"), ["n8", "n9", "n10", "n11"]);
        assert_eq!(names("n[098-101]"), ["n098", "n099", "n100", "n101"]);
        assert_eq!(names("r[1-2]n[01-03]"), ["r1n01", "r1n02", "r1n03", "r2n01", "r2n02", "r2n03"]);
        assert_eq!(names("rack[1-2]-gpu.example.org"), ["rack1-gpu.example.org", "rack2-gpu.example.org"]);
        assert_eq!(names(" vm , n1,"), ["vm", "n1"]);
        assert_eq!(names("[1-2]"), ["1", "2"]);
    }

    #[test]
    fn no_node_is_an_empty_list() {
        for text in ["", "  ", "None assigned", "none", "(null)", "Unknown"] {
            assert_eq!(names(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn broken_lists_are_refused_with_the_reason() {
        assert_eq!(expand("n[001-0+"), Err(HostListError::Brackets { at: 8 }));
        assert_eq!(expand("n1]"), Err(HostListError::Brackets { at: 2 }));
        assert_eq!(expand("n[1-[2-3]]"), Err(HostListError::Brackets { at: 4 }));
        assert_eq!(expand("n[3-1]"), Err(HostListError::Range { text: "3-1".to_owned() }));
        assert_eq!(expand("n[]"), Err(HostListError::Range { text: String::new() }));
        assert_eq!(expand("n[a-c]"), Err(HostListError::Range { text: "a-c".to_owned() }));
        assert_eq!(expand("n001+"), Err(HostListError::Character { character: '+' }));
        assert_eq!(expand("0:0 n1"), Err(HostListError::Character { character: ' ' }));
    }

    #[test]
    fn a_claim_of_many_hosts_allocates_nothing() {
        assert_eq!(names("n[1-250000]").len(), 250_000);
        for text in [
            "n[1-250001]",
            "n[0-999999999999999999]",
            "a[1-999]b[1-999]c[1-999]d[1-999]",
            "n[1-200000],m[1-200000]",
        ] {
            assert_eq!(expand(text), Err(HostListError::TooMany), "{text}");
        }
        assert!(matches!(expand("n[0-99999999999999999999]"), Err(HostListError::Range { .. })));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z0-9,\\[\\]\\- .é+]{0,40}") {
            if let Ok(hosts) = expand(&text) {
                prop_assert!(hosts.len() <= MAX_HOSTS);
            }
        }

        #[test]
        fn a_padded_range_is_what_counting_gives(low in 0_u32..2000, more in 0_u32..50, width in 1_usize..7) {
            let high = low + more;
            let text = format!("n[{low:0width$}-{high:0width$}]x");
            let mut counted = Vec::new();
            for number in low..=high {
                let digits = number.to_string();
                counted.push(format!("n{}{digits}x", "0".repeat(width.saturating_sub(digits.len()))));
            }
            prop_assert_eq!(expand(&text), Ok(counted));
        }

        #[test]
        fn plain_names_come_back(hosts in prop::collection::vec("[a-z][a-z0-9-]{0,8}", 1..20)) {
            let hosts: Vec<String> = hosts.into_iter().filter(|host| host != "none" && host != "unknown").collect();
            prop_assert_eq!(expand(&hosts.join(",")), Ok(hosts));
        }
    }
}
