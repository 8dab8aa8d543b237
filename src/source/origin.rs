//! What a block that this program wrote says about where its samples came from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::metered::small_file;

/// The section of `meta.json` that only this program reads and writes.
#[derive(Deserialize)]
struct Meta {
    wattledger: Option<Section>,
}

#[derive(Deserialize)]
struct Section {
    fetch: Option<Fetched>,
    convert: Option<Converted>,
}

#[derive(Deserialize)]
struct Fetched {
    server: String,
    protocol: String,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    left_out: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Converted {
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    left_out: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    format: String,
}

/// Where the samples of a block came from, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// What a reader of the report should know.
    pub(super) notes: Vec<String>,
    /// What the block lacks, each with a number.
    pub(super) left_out: Vec<(String, u64)>,
}

impl Origin {
    /// Reads the section of the block at `path`; nothing for other programs' blocks.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let bytes = small_file(&path.join("meta.json")).ok()?;
        let section = serde_json::from_slice::<Meta>(&bytes).ok()?.wattledger?;
        let mut origin = Self::default();
        if let Some(fetch) = section.fetch {
            origin.notes.push(format!("samples were fetched from {} (`{}`)", fetch.server, fetch.protocol));
            origin.notes.extend(fetch.notes);
            count(&fetch.left_out, "", &mut origin.left_out);
        }
        if let Some(convert) = section.convert {
            if let Some(first) = convert.inputs.first() {
                let more = match convert.inputs.len().saturating_sub(1) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let Input { name, format } = first;
                origin.notes.push(format!("samples were converted from {name} (`{format}`){more}"));
            }
            origin.notes.extend(convert.notes);
            count(&convert.left_out, "", &mut origin.left_out);
        }
        origin.notes.truncate(MOST);
        for note in origin.notes.iter_mut().filter(|note| note.len() > LONGEST) {
            *note = note.chars().take(LONGEST).collect();
        }
        Some(origin)
    }
}

/// Notes and counts that a block may have, and how long one may be: this program writes far fewer and shorter ones.
const MOST: usize = 1000;
const LONGEST: usize = 1000;

/// The numbers in `left_out`, named by their keys; those of zero say nothing.
fn count(left_out: &BTreeMap<String, Value>, under: &str, into: &mut Vec<(String, u64)>) {
    for (key, value) in left_out {
        if into.len() >= MOST || under.len() + key.len() > LONGEST {
            continue;
        }
        let name = format!("{under}{}", key.replace('_', " "));
        match value {
            Value::Number(number) => {
                into.extend(number.as_u64().filter(|count| *count > 0).map(|count| (name, count)));
            }
            Value::Object(inner) => {
                let inner = inner.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                count(&inner, &format!("{name}: "), into);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(meta: &str) -> Option<Origin> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("meta.json"), meta).unwrap();
        Origin::read(directory.path())
    }

    #[test]
    fn notes_and_losses_of_a_fetched_block() {
        let origin = read(
            r#"{"version":1,"wattledger":{"fetch":{"server":"http://host/","protocol":"range","new":1,
                "notes":["stale markers are lost"],
                "left_out":{"chunks_damaged":0,"chunks_skipped":{"histogram":3},"histograms_skipped":2}}}}"#,
        )
        .unwrap();
        assert_eq!(
            origin.notes,
            ["samples were fetched from http://host/ (`range`)", "stale markers are lost"]
        );
        let lost = [("chunks skipped: histogram".to_owned(), 3), ("histograms skipped".to_owned(), 2)];
        assert_eq!(origin.left_out, lost);
    }

    #[test]
    fn other_programs_blocks_say_nothing() {
        assert_eq!(read(r#"{"version":1,"thanos":{}}"#), None);
        assert_eq!(read("no json"), None);
    }
}
