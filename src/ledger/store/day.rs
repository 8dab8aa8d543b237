//! A day as a Parquet file: its rows, and in the file's metadata what they are made of and the proof that they add up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use bytes::Bytes;
use chrono::NaiveDate;
use chrono_tz::Tz;
use polars::prelude::{Column as Series, DataFrame, PolarsError};
use serde::{Deserialize, Serialize};

use super::facts::{EmbodiedShare, Facts};
use super::runs::{Positions, RunKey};
use super::{Store, StoreError, write_bytes};
use crate::hash::{bytes_sha256, text_sha256};
use crate::jobs::Run;
use crate::ledger::{Balances, Beneficiary, Books, NodeBooks};
use crate::parquet_columns::{self, Column, Columns, Values};
use crate::sum::Sum;
use crate::time::Window;
use crate::uncertainty::{Bounds, Widths};
use crate::unfinished::{Unfinished, in_one_step};
use crate::whole_file::open_to_others;

/// Names of what stands beside the rows.
const MANIFEST: &str = "wattledger.day";
const MANIFEST_HASH: &str = "wattledger.day.sha256";
pub(super) const FACTS: &str = "wattledger.facts";
/// The component of rows that tell what falls on whom of a device's making; they have no energy.
pub(super) const EMBODIED: &str = "embodied";

/// What a day's rows hang on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct DayInputs {
    /// The blocks with samples of the day and of those beside it, as [`super::BlockRef`] names them.
    pub blocks: BTreeSet<String>,
    /// Hash of the runs that were there, and of what the scheduler knows of the nodes.
    pub jobs: String,
    /// Hash of the settings by which energy is counted.
    pub rules: String,
    /// Hash of the factors and of PUE.
    pub prices: String,
}

/// Sums of a day's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct DayTotals {
    /// IT energy, in joules.
    pub energy_j: f64,
    /// Energy at the building's meter, in joules.
    pub facility_energy_j: f64,
    /// Emissions, in gCO2e; `None` if nothing is priced.
    pub emissions_gco2e: Option<f64>,
    /// What falls on the day of the making of its devices, in gCO2e.
    pub embodied_amortised_gco2e: f64,
    /// Seconds of devices that were seen.
    pub covered_s: f64,
    /// Seconds whose energy is known but not how it was spread.
    pub interpolated_s: f64,
    /// Seconds that should have been seen.
    pub expected_s: f64,
}

/// A node of a day, as far as what hangs on it has to be known without its samples.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct DayNode {
    /// Its name.
    pub name: String,
    /// Logical CPUs ÷ threads per core, if its exporters tell (rule W4).
    pub cores: Option<f64>,
}

impl DayNode {
    /// Of its books.
    pub(in crate::ledger) fn of(node: &NodeBooks) -> Self {
        let machine = &node.machine;
        let threads = f64::from(machine.threads_per_core.unwrap_or(1).max(1));
        Self { name: node.name.clone(), cores: machine.logical_cpus.map(|cpus| f64::from(cpus) / threads) }
    }
}

/// What stands in the metadata of a day's file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct DayManifest {
    /// Layout of the ledger that it was written for.
    pub layout: u32,
    /// Version of the program that wrote it.
    pub wattledger_version: String,
    /// The day.
    #[serde(with = "date_text")]
    pub date: NaiveDate,
    /// Whose day.
    pub time_zone: String,
    /// The part of the day that there are samples of, in ms since the epoch.
    pub start_ms: i64,
    /// See `start_ms`.
    pub end_ms: i64,
    /// Length of a bucket, in ms.
    pub bucket_ms: i64,
    /// What the factors count.
    pub basis: String,
    /// What it is made of.
    pub inputs: DayInputs,
    /// Its nodes.
    pub nodes: Vec<DayNode>,
    /// The time that the blocks near it have, in ms since the epoch.
    pub reach_ms: (i64, i64),
    /// The stretch of the job logs that tells who was there.
    pub jobs_covered_ms: Option<(i64, i64)>,
    /// True if the samples were simulated.
    pub simulated: bool,
    /// Whose factors were used, as their licences ask for.
    pub attributions: Vec<String>,
    /// Sums.
    pub totals: DayTotals,
    /// The proof.
    pub balances: Balances,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the file that hold the rows.
    pub data_bytes: u64,
    /// SHA-256 of them.
    pub data_sha256: String,
    /// SHA-256 of what else stands in the metadata.
    pub facts_sha256: String,
}

impl DayManifest {
    /// The part of the day that there are samples of.
    pub fn window(&self) -> Window {
        Window::new(self.start_ms, self.end_ms)
    }

    /// Its buckets.
    pub fn buckets(&self, zone: Tz) -> Vec<Window> {
        crate::time::buckets(self.window(), self.bucket_ms, zone)
    }
}

mod date_text {
    use chrono::NaiveDate;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(date: &NaiveDate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A day that was made.
pub(in crate::ledger) struct Made<'a> {
    /// The day.
    pub(in crate::ledger) date: NaiveDate,
    /// The part of it that there are samples of.
    pub(in crate::ledger) window: Window,
    /// Length of a bucket, in ms.
    pub(in crate::ledger) bucket_ms: i64,
    /// What the factors count.
    pub(in crate::ledger) basis: String,
    /// What it is made of.
    pub(in crate::ledger) inputs: DayInputs,
    /// Its books.
    pub(in crate::ledger) books: &'a Books,
    /// Its rows, priced.
    pub(in crate::ledger) entries: &'a DataFrame,
    /// All runs.
    pub(in crate::ledger) runs: &'a [Run],
    /// Their numbers among those of the same id and start.
    pub(in crate::ledger) twins: &'a [u32],
    /// The time that the blocks near it have, in ms since the epoch.
    pub(in crate::ledger) reach_ms: (i64, i64),
    /// True if the samples were simulated.
    pub(in crate::ledger) simulated: bool,
    /// Whose factors were used.
    pub(in crate::ledger) attributions: Vec<String>,
}

/// Writes a day, whole or not at all.
///
/// # Errors
///
/// Where it cannot be written.
pub(in crate::ledger) fn write_day(store: &Store, made: &Made<'_>) -> Result<DayManifest, StoreError> {
    let path = store.day_path(made.date);
    let damaged = |reason: String| StoreError::Damaged { path: path.clone(), reason };
    let facts = Facts::of(made.books, made.runs, made.twins).packed().map_err(damaged)?;
    let columns = columns(made, store.time_zone).map_err(|error| damaged(error.to_string()))?;
    let covered = made.books.jobs_covered;
    let manifest = DayManifest {
        layout: super::LAYOUT,
        wattledger_version: env!("CARGO_PKG_VERSION").to_owned(),
        date: made.date,
        time_zone: store.time_zone.name().to_owned(),
        start_ms: made.window.start_ms,
        end_ms: made.window.end_ms,
        bucket_ms: made.bucket_ms,
        basis: made.basis.clone(),
        inputs: made.inputs.clone(),
        nodes: made.books.nodes.iter().map(DayNode::of).collect(),
        reach_ms: made.reach_ms,
        jobs_covered_ms: covered.map(|covered| (covered.start_ms, covered.end_ms)),
        simulated: made.simulated,
        attributions: made.attributions.clone(),
        totals: totals(&columns, made.books),
        balances: made.books.balances.clone(),
        rows: columns.first().map_or(0, |column| column.values.len() as u64),
        data_bytes: 0,
        data_sha256: String::new(),
        facts_sha256: text_sha256(&facts),
    };
    write(&path, &columns, manifest, facts)
}

pub(super) fn write(
    path: &Path,
    columns: &[Column],
    mut manifest: DayManifest,
    facts: String,
) -> Result<DayManifest, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_path_buf(), reason };
    let mut failed = None;
    let bytes = parquet_columns::write(columns, |data| {
        manifest.data_bytes = data.len() as u64;
        manifest.data_sha256 = bytes_sha256(data);
        match serde_json::to_string(&manifest) {
            Ok(text) => vec![
                (MANIFEST_HASH.to_owned(), text_sha256(&text)),
                (MANIFEST.to_owned(), text),
                (FACTS.to_owned(), facts),
            ],
            Err(error) => {
                failed = Some(error.to_string());
                Vec::new()
            }
        }
    })
    .map_err(|error| damaged(error.to_string()))?;
    match failed {
        Some(reason) => Err(damaged(reason)),
        None => write_new_day(path, &bytes).map(|()| manifest),
    }
}

/// Seconds of each device of which it is known what it used, by node, component and id.
pub(in crate::ledger) type KnownSeconds = BTreeMap<(String, String, String), f64>;

impl Store {
    /// What a day knows of each device; nothing where the day is damaged.
    pub(in crate::ledger) fn known_seconds(&self, date: NaiveDate) -> KnownSeconds {
        read_day(&self.day_path(date)).map(|day| day.facts.known_seconds()).unwrap_or_default()
    }
}

/// Writes the file of a day. A day that is new appears with its directory in one step, so that an empty directory is always a loss.
fn write_new_day(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return write_bytes(path, bytes);
    };
    let Some(entries) = directory.parent().filter(|_| !directory.exists()) else {
        return write_bytes(path, bytes);
    };
    fs::create_dir_all(entries).map_err(StoreError::io("make", entries))?;
    let make =
        || open_to_others(tempfile::Builder::new().prefix(".").suffix(".tmp"), 0o777).tempdir_in(entries);
    let (place, _unfinished) = Unfinished::make(make, tempfile::TempDir::path)
        .map_err(StoreError::io("make a directory in", entries))?;
    write_bytes(&place.path().join(name), bytes).map_err(|error| match error {
        // The temporary name would tell nobody anything.
        StoreError::Io { doing, source, .. } => StoreError::Io { doing, path: path.to_path_buf(), source },
        other => other,
    })?;
    in_one_step(|| fs::rename(place.path(), directory)).map_err(StoreError::io("write", path))?;
    // It has another name now.
    let _ = place.keep();
    super::sync_directory(directory)
}

/// The columns of the frame that stand in the file as they are: name here, name in the frame.
const TEXTS: [&str; 11] = [
    "node",
    "component",
    "device",
    "beneficiary",
    "method",
    "share_method",
    "zone",
    "intensity_tier",
    "basis",
    "factor_source",
    "factor_release",
];
const NUMBERS: [&str; 17] = [
    "energy_j",
    "energy_extrapolated_j",
    "edge_error_j",
    "width_low_j",
    "width_high_j",
    "unseen_j",
    "placing_j",
    "unbound_j",
    "covered_s",
    "interpolated_s",
    "expected_s",
    "pue",
    "facility_energy_j",
    "intensity_gco2e_per_kwh",
    "emissions_gco2e",
    "upstream_gco2e",
    "embodied_amortised_gco2e",
];

/// The rows of a day: those of the ledger, then who had what of the making of devices.
fn columns(made: &Made<'_>, zone: Tz) -> Result<Vec<Column>, PolarsError> {
    let (entries, books) = (made.entries, made.books);
    let rows = entries.height();
    let embodied: Vec<(&str, &str, Beneficiary, f64)> = books
        .nodes
        .iter()
        .flat_map(|node| node.embodied.iter().map(|device| (node.name.as_str(), device)))
        .flat_map(|(node, device)| {
            device.shares.iter().map(move |(who, gco2e)| (node, device.device.as_str(), *who, *gco2e))
        })
        .collect();
    let sites: BTreeMap<&str, &str> =
        books.nodes.iter().map(|node| (node.name.as_str(), node.site.as_str())).collect();
    let more = embodied.len();
    let buckets = crate::time::buckets(made.window, made.bucket_ms, zone);
    let bucket = entries.column("bucket")?.u32()?;
    let window_of = |row: usize| bucket.get(row).and_then(|bucket| buckets.get(bucket as usize)).copied();
    let starts = (0..rows).map(|row| window_of(row).map(|window| window.start_ms));
    let starts = starts.chain(std::iter::repeat_n(Some(made.window.start_ms), more)).collect();
    let lengths = (0..rows).map(|row| window_of(row).map(Window::length_s));
    let lengths = lengths.chain(std::iter::repeat_n(Some(made.window.length_s()), more)).collect();
    let numbers = entries.column("run")?.u32()?;
    let run = |row: usize| numbers.get(row).map(|run| run as usize);
    let of_embodied = |row: usize| match embodied.get(row) {
        Some((_, _, Beneficiary::Run(run), _)) => Some(*run),
        _ => None,
    };
    let positions: Vec<Option<usize>> = (0..rows).map(run).chain((0..more).map(of_embodied)).collect();
    let all_runs: Vec<Option<&Run>> =
        positions.iter().map(|run| run.and_then(|run| made.runs.get(run))).collect();
    let twin = |run: &Option<usize>| run.and_then(|run| made.twins.get(run)).map(|twin| i64::from(*twin));
    let nodes = entries.column("node")?.str()?;
    let all_nodes: Vec<Option<&str>> =
        nodes.iter().chain(embodied.iter().map(|(node, ..)| Some(*node))).collect();
    let site_of = |node: &Option<&str>| node.and_then(|node| sites.get(node).copied());
    let mut columns = vec![
        Column::new("bucket_start", Values::Instant(starts)),
        Column::new("bucket_s", Values::Number(lengths)),
        Column::new("site", Values::texts(all_nodes.iter().map(site_of))),
        Column::new("run_id", Values::texts(all_runs.iter().map(|run| run.map(|run| run.run_id.as_str())))),
        Column::new("run_twin", Values::Count(positions.iter().map(twin).collect())),
        Column::new(
            "run_start",
            Values::Instant(all_runs.iter().map(|run| run.map(|run| run.start_ms)).collect()),
        ),
    ];
    for name in TEXTS {
        let values = entries.column(name)?.str()?;
        let extra = embodied.iter().map(|(node, device, who, _)| match name {
            "node" => Some(*node),
            "component" => Some(EMBODIED),
            "device" => Some(*device),
            "beneficiary" => Some(who.kind()),
            _ => None,
        });
        columns.push(Column::new(name, Values::texts(values.iter().chain(extra))));
    }
    for name in NUMBERS {
        let mut values: Vec<Option<f64>> = match name {
            "embodied_amortised_gco2e" => vec![None; rows],
            _ => entries.column(name)?.f64()?.iter().collect(),
        };
        values.extend(embodied.iter().map(|(_, _, _, gco2e)| match name {
            "embodied_amortised_gco2e" => Some(*gco2e),
            "energy_j" | "facility_energy_j" => Some(0.0),
            _ => None,
        }));
        columns.push(Column::new(name, Values::Number(values)));
    }
    let estimated = entries.column("intensity_estimated")?.bool()?;
    let estimated = estimated.iter().chain(std::iter::repeat_n(None, more)).collect();
    columns.push(Column::new("intensity_estimated", Values::Flag(estimated)));
    let (low, high) = bounds(entries, more)?;
    columns.push(Column::new("energy_low_j", Values::Number(low)));
    columns.push(Column::new("energy_high_j", Values::Number(high)));
    Ok(columns)
}

/// Bounds of each row alone (section 11 of the accounting page).
type RowBounds = (Vec<Option<f64>>, Vec<Option<f64>>);

fn bounds(entries: &DataFrame, more: usize) -> Result<RowBounds, PolarsError> {
    let number = |name: &str| -> Result<Vec<f64>, PolarsError> {
        Ok(entries.column(name)?.f64()?.iter().map(|value| value.unwrap_or(0.0)).collect())
    };
    let (energy, low, high) = (number("energy_j")?, number("width_low_j")?, number("width_high_j")?);
    let (unseen, placing, unbound) = (number("unseen_j")?, number("placing_j")?, number("unbound_j")?);
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    let rows = energy.iter().zip(low).zip(high).zip(unseen).zip(placing).zip(unbound);
    for (((((energy, low), high), unseen), placing), unbound) in rows {
        let mut bounds = Bounds::new(1);
        bounds.add(*energy, 0, Widths { low, high, unseen, placing });
        bounds.add_placing(unbound);
        let (low, high) = bounds.low_and_high();
        lows.push(Some(low));
        highs.push(Some(high));
    }
    lows.extend(std::iter::repeat_n(Some(0.0), more));
    highs.extend(std::iter::repeat_n(Some(0.0), more));
    Ok((lows, highs))
}

fn sum_of(columns: &[Column], name: &str) -> Option<f64> {
    let column = columns.iter().find(|column| column.name == name)?;
    let Values::Number(values) = &column.values else { return None };
    let mut known = values.iter().flatten().copied().peekable();
    known.peek()?;
    Some(known.collect::<Sum>().value())
}

fn totals(columns: &[Column], books: &Books) -> DayTotals {
    let (mut covered, mut interpolated, mut expected) = (Sum::new(), Sum::new(), Sum::new());
    for device in books.nodes.iter().flat_map(|node| &node.devices) {
        covered.add(device.covered_s);
        interpolated.add(device.interpolated_s);
        expected.add(device.expected_s);
    }
    DayTotals {
        covered_s: covered.value(),
        interpolated_s: interpolated.value(),
        expected_s: expected.value(),
        ..sums(columns)
    }
}

/// The sums of rows; seconds of devices are in none of them.
pub(super) fn sums(columns: &[Column]) -> DayTotals {
    DayTotals {
        energy_j: sum_of(columns, "energy_j").unwrap_or(0.0),
        facility_energy_j: sum_of(columns, "facility_energy_j").unwrap_or(0.0),
        emissions_gco2e: sum_of(columns, "emissions_gco2e"),
        embodied_amortised_gco2e: sum_of(columns, "embodied_amortised_gco2e").unwrap_or(0.0),
        ..DayTotals::default()
    }
}

fn manifest_of(columns: &Columns) -> Result<DayManifest, String> {
    let text = columns.text(MANIFEST).ok_or(format!("it has no `{MANIFEST}`"))?;
    if columns.text(MANIFEST_HASH) != Some(text_sha256(text).as_str()) {
        return Err(format!("its `{MANIFEST}` is not what was written"));
    }
    serde_json::from_str(text).map_err(|error| format!("`{MANIFEST}`: {error}"))
}

/// What a day is made of; `None` if there is no such file.
pub(super) fn read_manifest(path: &Path) -> Result<Option<DayManifest>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open", path)(error)),
    };
    let damaged = |reason: String| StoreError::Damaged { path: path.to_path_buf(), reason };
    let columns = parquet_columns::read(file, false).map_err(|error| damaged(error.to_string()))?;
    manifest_of(&columns).map(Some).map_err(damaged)
}

/// Why the rows of a day cannot be used.
pub(super) enum RowsError {
    /// The file is not what it should be.
    Damaged(String),
    /// A row is of a run that nobody tells of.
    UnknownRun,
}

impl From<String> for RowsError {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl RowsError {
    /// In the file `path` of a day.
    pub(super) fn in_day(self, date: NaiveDate, path: &Path) -> StoreError {
        match self {
            Self::Damaged(reason) => StoreError::Damaged { path: path.to_path_buf(), reason },
            Self::UnknownRun => StoreError::UnknownRun { date },
        }
    }
}

/// A day as it stands in its file.
pub(super) struct Day {
    pub(super) manifest: DayManifest,
    pub(super) facts: Facts,
    pub(super) columns: Columns,
}

/// Reads a day and checks it against its hashes.
pub(super) fn read_day(path: &Path) -> Result<Day, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_path_buf(), reason };
    let bytes = Bytes::from(fs::read(path).map_err(StoreError::io("read", path))?);
    let columns = parquet_columns::read(bytes.clone(), true).map_err(|error| damaged(error.to_string()))?;
    let manifest = manifest_of(&columns).map_err(damaged)?;
    let data = usize::try_from(manifest.data_bytes).ok().and_then(|length| bytes.get(..length));
    if data.map(bytes_sha256) != Some(manifest.data_sha256.clone()) {
        return Err(damaged("its rows are not what was written".to_owned()));
    }
    let text = columns.text(FACTS).unwrap_or_default();
    if text_sha256(text) != manifest.facts_sha256 {
        return Err(damaged(format!("its `{FACTS}` is not what was written")));
    }
    let facts = Facts::unpacked(text).map_err(damaged)?;
    Ok(Day { manifest, facts, columns })
}

impl Day {
    /// The bytes that its file should have, if this version wrote it: also what no hash covers shows in them.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let metadata = self.columns.metadata.clone();
        let is_ours = self.manifest.wattledger_version == env!("CARGO_PKG_VERSION");
        is_ours.then(|| parquet_columns::write(&self.columns.columns, |_| metadata).ok()).flatten()
    }

    fn texts(&self, name: &str) -> Result<Vec<Option<&str>>, String> {
        let Some(Values::Text(values)) = self.columns.values(name) else {
            return Err(format!("it has no texts `{name}`"));
        };
        values
            .iter()
            .map(|value| match value {
                None => Ok(None),
                Some(bytes) => bytes.as_utf8().map(Some).map_err(|_| format!("`{name}` is no UTF-8")),
            })
            .collect()
    }

    fn numbers(&self, name: &str) -> Result<&[Option<f64>], String> {
        match self.columns.values(name) {
            Some(Values::Number(values)) => Ok(values),
            _ => Err(format!("it has no numbers `{name}`")),
        }
    }

    fn counts(&self, name: &str) -> Result<&[Option<i64>], String> {
        match self.columns.values(name) {
            Some(Values::Count(values)) => Ok(values),
            _ => Err(format!("it has no counts `{name}`")),
        }
    }

    fn instants(&self, name: &str) -> Result<&[Option<i64>], String> {
        match self.columns.values(name) {
            Some(Values::Instant(values)) => Ok(values),
            _ => Err(format!("it has no instants `{name}`")),
        }
    }

    /// The rows whose buckets are in `period`, as the ledger's frame has them, and who had what of the making of devices. `buckets` are
    /// all of the period.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(super) fn rows(
        &self,
        buckets: &[Window],
        positions: &Positions<'_>,
    ) -> Result<(DataFrame, Vec<EmbodiedShare>), RowsError> {
        let starts = self.instants("bucket_start")?;
        let components = self.texts("component")?;
        let bucket_of = |row: usize| -> Option<u32> {
            let start_ms = starts.get(row).copied().flatten()?;
            let found = buckets.binary_search_by_key(&start_ms, |bucket| bucket.start_ms).ok()?;
            u32::try_from(found).ok()
        };
        let is_embodied = |row: usize| components.get(row).copied().flatten() == Some(EMBODIED);
        let run_ids = self.texts("run_id")?;
        let run_starts = self.instants("run_start")?;
        let run_twins = self.counts("run_twin")?;
        let run = |row: usize| -> Option<usize> {
            let id = run_ids.get(row).copied().flatten()?;
            let start_ms = run_starts.get(row).copied().flatten()?;
            let twin = run_twins.get(row).copied().flatten().and_then(|twin| u32::try_from(twin).ok());
            positions.of(id, start_ms, twin.unwrap_or_default())
        };
        let (mut chosen, mut bucket, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut shares = Vec::new();
        let (nodes, devices) = (self.texts("node")?, self.texts("device")?);
        let kinds = self.texts("beneficiary")?;
        let embodied = self.numbers("embodied_amortised_gco2e")?;
        for row in 0..starts.len() {
            if is_embodied(row) {
                let text = |values: &[Option<&str>]| {
                    values.get(row).copied().flatten().unwrap_or_default().to_owned()
                };
                let beneficiary = match kinds.get(row).copied().flatten() {
                    Some("run") => match run(row) {
                        Some(run) => Beneficiary::Run(run),
                        None => return Err(RowsError::UnknownRun),
                    },
                    Some("idle") => Beneficiary::Idle,
                    Some("infrastructure") => Beneficiary::Infrastructure,
                    _ => Beneficiary::Unattributed,
                };
                let gco2e = embodied.get(row).copied().flatten().unwrap_or(0.0);
                shares.push(EmbodiedShare { node: text(&nodes), device: text(&devices), beneficiary, gco2e });
            } else if let Some(found) = bucket_of(row) {
                let of_run = run(row);
                if of_run.is_none() && run_ids.get(row).copied().flatten().is_some() {
                    return Err(RowsError::UnknownRun);
                }
                chosen.push(row);
                bucket.push(found);
                runs.push(of_run.and_then(|run| u32::try_from(run).ok()));
            }
        }
        let frame = self.frame(&chosen, bucket, runs)?;
        Ok((frame, shares))
    }

    /// The runs that its rows are of, by id and start.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(super) fn run_keys(&self) -> Result<BTreeSet<RunKey>, String> {
        let (ids, starts) = (self.texts("run_id")?, self.instants("run_start")?);
        let keys =
            ids.into_iter().zip(starts).zip(self.counts("run_twin")?).filter_map(|((id, start_ms), twin)| {
                Some((id?, (*start_ms)?, u32::try_from((*twin)?).ok()?))
            });
        let distinct: BTreeSet<(&str, i64, u32)> = keys.collect();
        Ok(distinct.into_iter().map(|(id, start_ms, twin)| (id.to_owned(), start_ms, twin)).collect())
    }

    fn frame(&self, chosen: &[usize], bucket: Vec<u32>, runs: Vec<Option<u32>>) -> Result<DataFrame, String> {
        let starts = self.instants("bucket_start")?;
        let at = |row: &usize| starts.get(*row).copied().flatten().unwrap_or_default();
        let mut columns = vec![
            Series::new("bucket".into(), bucket),
            Series::new("bucket_start_ms".into(), chosen.iter().map(at).collect::<Vec<i64>>()),
            Series::new("run".into(), runs),
        ];
        for name in ["site"].into_iter().chain(TEXTS) {
            let values = self.texts(name)?;
            let picked: Vec<Option<&str>> =
                chosen.iter().map(|row| values.get(*row).copied().flatten()).collect();
            columns.push(Series::new(name.into(), picked));
        }
        for name in NUMBERS.into_iter().filter(|name| *name != "embodied_amortised_gco2e") {
            let values = self.numbers(name)?;
            let picked: Vec<Option<f64>> =
                chosen.iter().map(|row| values.get(*row).copied().flatten()).collect();
            columns.push(Series::new(name.into(), picked));
        }
        let Some(Values::Flag(estimated)) = self.columns.values("intensity_estimated") else {
            return Err("it has no flags `intensity_estimated`".to_owned());
        };
        let picked: Vec<Option<bool>> =
            chosen.iter().map(|row| estimated.get(*row).copied().flatten()).collect();
        columns.push(Series::new("intensity_estimated".into(), picked));
        DataFrame::new(chosen.len(), columns).map_err(|error| error.to_string())
    }
}
