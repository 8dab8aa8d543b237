//! What can be wrong with intensity data, and what to try.

use std::path::PathBuf;

use super::{Basis, Zone};

/// A failure to read or to combine intensities.
#[derive(Debug, thiserror::Error)]
pub enum CarbonError {
    /// The operating system refused.
    #[error("cannot read intensities from `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A directory without a file to read.
    #[error("`{}` holds no CSV or JSON file with intensities", path.display())]
    NoFiles {
        /// The directory.
        path: PathBuf,
    },
    /// A header that belongs to no known format.
    #[error("cannot tell the format of `{}` from its header `{header}`", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line that is not a comment, shortened.
        header: String,
    },
    /// A file that looks like JSON and cannot be used.
    #[error("cannot use `{}`: line {line}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Values without a place.
    #[error("`{}` does not say of which zone its intensities are", path.display())]
    NoZone {
        /// The file.
        path: PathBuf,
    },
    /// A file of which nothing can be used.
    #[error("no line of `{}` can be used: {rejected} rejected{}", path.display(), first_line(first.as_ref()))]
    NoRows {
        /// The file.
        path: PathBuf,
        /// How many lines were rejected.
        rejected: u64,
        /// The first of them: its line and what is wrong with it.
        first: Option<(u64, &'static str)>,
    },
    /// Steps that are no hour, month or year.
    #[error("the values of `{zone}` in `{}` are {} h apart", path.display(), *step_ms as f64 / 3_600_000.0)]
    Step {
        /// The file.
        path: PathBuf,
        /// The zone.
        zone: Zone,
        /// The median distance of its values.
        step_ms: i64,
    },
    /// A name that no zone has.
    #[error("`{text}` is not a known zone")]
    UnknownZone {
        /// The name as given.
        text: String,
        /// The nearest names, best first: id and name.
        candidates: Vec<String>,
    },
    /// Two files of different basis for one total.
    #[error(
        "`{}` is {first_basis} and `{}` is {second_basis}: they do not add up",
        first.display(),
        second.display()
    )]
    MixedBasis {
        /// One file.
        first: PathBuf,
        /// Its basis.
        first_basis: Basis,
        /// The other.
        second: PathBuf,
        /// Its basis.
        second_basis: Basis,
    },
    /// A file of another basis than was asked for.
    #[error("`{}` is {basis}, but {wanted} is asked for", path.display())]
    WrongBasis {
        /// The file.
        path: PathBuf,
        /// What it holds.
        basis: Basis,
        /// What was asked for.
        wanted: Basis,
    },
    /// Words that are no basis.
    #[error("`{text}` is not a basis")]
    BasisText {
        /// The words as given.
        text: String,
    },
    /// A shipped table is broken.
    #[error("line {line} of the shipped table `{table}` is broken")]
    Table {
        /// The table's file name.
        table: &'static str,
        /// Its line, from 1.
        line: usize,
    },
}

fn first_line(first: Option<&(u64, &'static str)>) -> String {
    first.map(|(line, reason)| format!(", the first at line {line}: {reason}")).unwrap_or_default()
}

impl CarbonError {
    /// What to try, where something can be tried.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Header { .. } => Some(
                "expected `timestamp,gco2e_per_kwh` (and `zone` if there are several), or a file of Electricity Maps, the UK \
                 Carbon Intensity API, NESO, RTE, Energy-Charts, WattTime, Ember, Our World in Data, ENTSO-E or SMARD"
                    .to_owned(),
            ),
            Self::NoZone { .. } => {
                Some("add a column `zone`, a first line `# zone: DE`, or name the site's zone".to_owned())
            }
            Self::Step { .. } => Some("steps of an hour or less, of a month or of a year can be used".to_owned()),
            Self::UnknownZone { candidates, .. } if candidates.is_empty() => {
                Some("a country's name or ISO code, or a zone of Electricity Maps such as `US-CAL-CISO`".to_owned())
            }
            Self::UnknownZone { candidates, .. } => Some(format!("did you mean {}?", candidates.join(", "))),
            Self::MixedBasis { .. } | Self::WrongBasis { .. } => {
                Some("make one report for each basis, each with its own files".to_owned())
            }
            Self::BasisText { .. } => Some(
                "one word of each: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`"
                    .to_owned(),
            ),
            Self::Read { .. }
            | Self::Json { .. }
            | Self::NoFiles { .. }
            | Self::NoRows { .. }
            | Self::Table { .. } => None,
        }
    }
}
