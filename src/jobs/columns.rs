//! What `--jobs-columns` says: which column of a table is which, or the names that its first line lacks.

use std::str::FromStr;

use super::column_key;

/// Why a column map cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// Neither a list of pairs nor a list of names.
    #[error(
        "`{item}` does not fit the others: give either `run_id=Job,start=Begin,…` or the names of all columns"
    )]
    Mixed {
        /// The item that is of the other kind.
        item: String,
    },
    /// A name without letters.
    #[error("`{item}` names no column")]
    Empty {
        /// The item.
        item: String,
    },
}

/// Names for the columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    /// Pairs of the name that is known here and the name in the table.
    pairs: Vec<(String, String)>,
    /// The names of all columns, for a table without a header.
    header: Vec<String>,
}

impl ColumnMap {
    /// The names of all columns, where the table has no header.
    pub(super) fn header(&self) -> Option<&[String]> {
        (!self.header.is_empty()).then_some(self.header.as_slice())
    }

    /// True if columns are given other names.
    pub(super) fn renames(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// The name by which the table's column `name` is known here.
    pub(super) fn known_as<'a>(&'a self, name: &'a str) -> &'a str {
        let key = column_key(name);
        self.pairs.iter().find(|(_, theirs)| column_key(theirs) == key).map_or(name, |(ours, _)| ours)
    }

    /// The first of the mapped columns that the table does not have.
    pub(super) fn missing_in<'a>(&'a self, names: &[String]) -> Option<&'a str> {
        let has = |theirs: &str| names.iter().any(|name| column_key(name) == column_key(theirs));
        self.pairs.iter().map(|(_, theirs)| theirs.as_str()).find(|theirs| !has(theirs))
    }
}

/// As [`FromStr`] reads it.
impl std::fmt::Display for ColumnMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs = self.pairs.iter().map(|(ours, theirs)| format!("{ours}={theirs}"));
        f.write_str(&pairs.chain(self.header.iter().cloned()).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for ColumnMap {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Self, ColumnsError> {
        let mut map = Self::default();
        for item in text.split(',').map(str::trim) {
            let wrong = || ColumnsError::Mixed { item: item.to_owned() };
            match item.split_once('=') {
                Some((ours, theirs)) if map.header.is_empty() => {
                    if ours.trim().is_empty() || theirs.trim().is_empty() {
                        return Err(ColumnsError::Empty { item: item.to_owned() });
                    }
                    map.pairs.push((ours.trim().to_ascii_lowercase(), theirs.trim().to_owned()));
                }
                None if map.pairs.is_empty() && !item.is_empty() => map.header.push(item.to_owned()),
                None if item.is_empty() => return Err(ColumnsError::Empty { item: item.to_owned() }),
                _ => return Err(wrong()),
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_or_names() {
        let map: ColumnMap = "run_id=Job No, start=Begin".parse().unwrap();
        assert_eq!(map.known_as("job no"), "run_id");
        assert_eq!(map.known_as("user"), "user");
        assert_eq!(map.missing_in(&["Job No".to_owned()]), Some("Begin"));
        let names: ColumnMap = "JobID,Start,End".parse().unwrap();
        assert_eq!(names.header().unwrap().len(), 3);
        for wrong in ["", "a,b=c", "a=b,c", "=b", "a="] {
            assert!(wrong.parse::<ColumnMap>().is_err(), "{wrong}");
        }
    }
}
