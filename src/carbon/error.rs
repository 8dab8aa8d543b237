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
    /// The operating system refused.
    #[error("cannot write intensities to `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A store, or a file of one, that cannot be used.
    #[error("`{}` is no store of intensities that can be used: {reason}", path.display())]
    Store {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A store that has more than one basis for the zones that are asked for.
    #[error("`{}` has factors of {}", path.display(), listed(bases))]
    ManyBases {
        /// The store.
        path: PathBuf,
        /// What it has.
        bases: Vec<Basis>,
    },
    /// A directory without a file to read.
    #[error("`{}` holds no CSV or JSON file with intensities", path.display())]
    NoFiles {
        /// The directory.
        path: PathBuf,
    },
    /// A file without a word in it.
    #[error("`{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A page of HTML or other markup under a table's name.
    #[error("`{}` is a web page, not a table of intensities", path.display())]
    Markup {
        /// The file.
        path: PathBuf,
    },
    /// Words that are no unit.
    #[error("`{text}` is not a unit of carbon intensity")]
    UnitText {
        /// The words as given.
        text: String,
    },
    /// A unit that is not the one that the column names.
    #[error("`{}` has a column in gCO2e/kWh, and its unit is said to be {factor} times that", path.display())]
    UnitTwice {
        /// The file.
        path: PathBuf,
        /// One of the stated unit, in gCO2e/kWh.
        factor: f64,
    },
    /// A word that says nothing of stamps.
    #[error("`{text}` does not say what stamps name")]
    StampText {
        /// The word as given.
        text: String,
    },
    /// Words that name no columns.
    #[error("`{text}` does not name columns")]
    ColumnsText {
        /// The words as given.
        text: String,
    },
    /// A clock that nobody has.
    #[error("`{}` has its times on the clock of `{text}`, which is no time zone", path.display())]
    ClockText {
        /// The file.
        path: PathBuf,
        /// The name as given.
        text: String,
    },
    /// A header that belongs to no known format.
    #[error("cannot tell the format of `{}` from its header `{header}`", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line that is not a comment, shortened.
        header: String,
    },
    /// A file that looks like JSON or XML and cannot be used.
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
    /// Months or years whose stamps are said to be their ends.
    #[error("the values of `{zone}` in `{}` are of months or years, whose stamps are their start", path.display())]
    EndOfPeriod {
        /// The file.
        path: PathBuf,
        /// The zone.
        zone: Zone,
    },
    /// A name that no zone has.
    #[error("`{text}` is not a known zone")]
    UnknownZone {
        /// The name as given.
        text: String,
        /// The nearest names, best first: id and name.
        candidates: Vec<String>,
    },
    /// Figures of which nobody says what they count.
    #[error("`{}` does not say what its intensities count", path.display())]
    NoBasis {
        /// The file.
        path: PathBuf,
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
    /// A row of a table of contracts or purchases that cannot be meant.
    #[error("`{}` line {line}: {reason}", path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
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

fn listed(bases: &[Basis]) -> String {
    bases.iter().map(|basis| format!("`{basis}`")).collect::<Vec<_>>().join(" and of ")
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
                 Carbon Intensity API, NESO, RTE, Energy-Charts, WattTime, Ember, Our World in Data, ENTSO-E, SMARD or EIA"
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
            Self::NoBasis { .. } => Some(
                "say it with `--basis` or in a first line, such as `# basis: direct average production`".to_owned(),
            ),
            Self::BasisText { .. } => Some(
                "one word of each: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`"
                    .to_owned(),
            ),
            Self::Markup { .. } => Some(
                "a server sent an error or a form to log in where the file should be: download it again".to_owned(),
            ),
            Self::UnitText { .. } => Some("one of `g/kWh`, `kg/MWh`, `kg/kWh`, `t/MWh`, `lb/MWh`".to_owned()),
            Self::StampText { .. } => Some("`start`, or `end` if the hour before the stamp is meant".to_owned()),
            Self::ColumnsText { .. } => {
                Some("such as `time=when,value=ci,zone=region`; `estimated=` is the fourth".to_owned())
            }
            Self::ClockText { .. } => Some("an IANA name such as `Europe/Berlin` or `UTC`".to_owned()),
            Self::UnitTwice { .. } => Some("leave out the unit, or name the column with `--columns value=…`".to_owned()),
            Self::EndOfPeriod { .. } => Some("leave out `--stamp end`".to_owned()),
            Self::Store { .. } => Some(
                "`wattledger intensity import FILE --store DIR` makes one in a new directory; a damaged file can be deleted and \
                 imported again"
                    .to_owned(),
            ),
            Self::ManyBases { .. } => Some("say with `--basis` which of them is meant".to_owned()),
            Self::Contract { .. } => Some("docs/statement.md says what each column is".to_owned()),
            Self::Empty { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Json { .. }
            | Self::NoFiles { .. }
            | Self::NoRows { .. }
            | Self::Table { .. } => None,
        }
    }
}
