//! `wattledger intensity import`.

use std::path::{Path, PathBuf};

use crate::carbon::{
    CEEMS_INTENSITY, CarbonError, Change, ColumnNames, Hints, ImportSummary, Intensity, IntensityGauge,
    StampAt, Store, Unit, Zone,
};
use crate::cli::output::note;
use crate::cli::{Failure, Outcome};
use crate::config::clock_named;
use crate::source::{Snapshot, Source as _};
use crate::time::{HOUR_MS, Window};
use crate::tsdb::{ReadBuffer, ReadStats};

/// Takes files of carbon intensity into a store: a Parquet file for each zone and year, every figure in one form.
///
/// The format of each file is told from its content. Importing a file twice changes nothing; a later edition of the same source replaces
/// what it changes. What a report then takes from the store is shown by `wattledger intensity show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger intensity import DE_2024_hourly.csv DE_2025_hourly.csv --store intensity
  wattledger intensity import downloads/ --store intensity
  wattledger intensity import plant.csv --zone campus --unit kg/kWh --tz Europe/Berlin --stamp end \\
      --basis \"direct production\" --source \"our own plant\" --store intensity
  wattledger intensity import --snapshot SNAPSHOT --store intensity

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but data was left out (with --strict).")]
pub(super) struct Args {
    /// Files, or directories of files.
    #[arg(value_name = "FILE", required_unless_present = "snapshot")]
    files: Vec<PathBuf>,
    /// Directory of the store; made if it is not there.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Take what CEEMS' exporter recorded (`ceems_emissions_gCo2_kWh`) from a snapshot or data directory.
    #[arg(long, value_name = "DIR")]
    snapshot: Option<PathBuf>,
    /// Zone of files that name none.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: Option<String>,
    /// Clock of stamps without an offset, in tables that no provider made; default UTC.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Unit of tables that no provider made: `g/kWh`, `kg/MWh`, `kg/kWh`, `t/MWh`, `lb/MWh`.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// What stamps of tables that no provider made name: the start of their step or its end.
    #[arg(long, value_name = "start|end")]
    stamp: Option<String>,
    /// What the figures of tables count that do not say it.
    #[arg(long, value_name = "WORDS")]
    basis: Option<String>,
    /// Whose figures they are, for tables that do not say it.
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Of which edition they are; default: the file's name.
    #[arg(long, value_name = "TEXT")]
    release: Option<String>,
    /// On what terms they may be used.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Columns of tables with names of their own: `time=when,value=ci,zone=region`.
    #[arg(long, value_name = "WHAT=COLUMN,…")]
    columns: Option<String>,
    /// Exit with status 3 if any line or file had to be left out.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let hints = hints(args)?;
    let store = Store::open_or_create(&args.store)?;
    let mut is_lossy = false;
    if !args.files.is_empty() {
        is_lossy |= print(&store.import(&args.files, &hints)?);
    }
    if let Some(snapshot) = &args.snapshot {
        is_lossy |= print(&store.import_gauges(snapshot, gauges(snapshot)?)?);
    }
    Ok(if is_lossy && args.strict { Outcome::LeftOut } else { Outcome::Done })
}

fn hints(args: &Args) -> Result<Hints, Failure> {
    let zone = args.zone.as_deref().map(zone).transpose()?;
    Ok(Hints {
        zone,
        time_zone: args.tz.as_deref().map(|name| clock_named("--tz", name)).transpose()?,
        unit: args.unit.as_deref().map(str::parse::<Unit>).transpose()?,
        stamp: args.stamp.as_deref().map(str::parse::<StampAt>).transpose()?,
        basis: args.basis.as_deref().map(str::parse).transpose()?,
        source: args.source.clone(),
        release: args.release.clone(),
        licence: args.licence.clone(),
        columns: args.columns.as_deref().map(str::parse::<ColumnNames>).transpose()?.unwrap_or_default(),
    })
}

/// The zone of that name; one that is like no other is the user's own.
pub(super) fn zone(name: &str) -> Result<Zone, CarbonError> {
    match Intensity::shipped()?.zone(name) {
        Err(CarbonError::UnknownZone { candidates, .. }) if candidates.is_empty() => {
            note(format_args!("note: `{name}` is a zone of your own"));
            Ok(Zone::from_id(name.trim()))
        }
        found => found,
    }
}

/// CEEMS' series of a snapshot.
fn gauges(snapshot: &Path) -> Result<Vec<IntensityGauge>, Failure> {
    let source = Snapshot::open(snapshot)?;
    let (mut buffer, mut stats) = (ReadBuffer::default(), ReadStats::default());
    let mut gauges = Vec::new();
    for series in source.select(&[CEEMS_INTENSITY], Window::ALL)? {
        series.read(Window::ALL, &mut buffer, &mut stats)?;
        let samples = buffer.samples();
        let label = |name: &str| series.labels().get(name).unwrap_or_default().to_owned();
        gauges.push(IntensityGauge {
            provider: label("provider"),
            country_code: label("country_code"),
            samples: samples.timestamps_ms.iter().copied().zip(samples.values.iter().copied()).collect(),
        });
    }
    for problem in &stats.problems {
        note(format_args!("left out   {problem}"));
    }
    if gauges.is_empty() {
        note(format_args!("`{}` has no series `{CEEMS_INTENSITY}`", snapshot.display()));
    }
    Ok(gauges)
}

/// Says what was imported; true if anything was left out.
pub(super) fn print(summary: &ImportSummary) -> bool {
    let mut is_lossy = false;
    for (input, zones) in &summary.files {
        note(format_args!("{}: {}, {}", input.path.display(), input.format, input.basis));
        if input.basis_assumed {
            note(format_args!(
                "  note     it does not say what it counts: `--basis` or a line `# basis:` does"
            ));
        }
        for (found, imported) in input.zones.iter().zip(zones) {
            note(format_args!(
                "  {:<8} {} {} values, {}, {}{}",
                imported.zone.as_str(),
                found.values,
                imported.step,
                found.window,
                gaps(found.gaps, found.missing_ms),
                twice(found.duplicates, found.conflicts),
            ));
            note(format_args!("           {}", words(&imported.change)));
        }
        for bad in &input.rejected_lines {
            note(format_args!("  left out line {}: {}", bad.line, bad.reason));
        }
        let more = input.rejected.saturating_sub(input.rejected_lines.len() as u64);
        if more > 0 {
            note(format_args!("  left out {more} more lines"));
        }
        note(format_args!("  licence  {}", input.attribution));
        is_lossy |= input.rejected > 0;
    }
    for skipped in &summary.skipped {
        note(format_args!("left out   {}: {}", skipped.path.display(), skipped.reason));
        is_lossy = true;
    }
    match summary.written.as_slice() {
        [] => note("nothing new: the store is as it was"),
        [only] => note(format_args!("wrote {}", only.display())),
        [first, .., last] => note(format_args!(
            "wrote {} files, {} to {}",
            summary.written.len(),
            first.display(),
            last.display()
        )),
    }
    is_lossy
}

fn gaps(gaps: u64, missing_ms: i64) -> String {
    let hours = missing_ms as f64 / HOUR_MS as f64;
    match gaps {
        0 => "no gap".to_owned(),
        1 => format!("1 gap of {hours} h"),
        gaps => format!("{gaps} gaps of {hours} h together"),
    }
}

fn twice(duplicates: u64, conflicts: u64) -> String {
    let mut text = String::new();
    if duplicates > 0 {
        text.push_str(&format!(", {duplicates} twice"));
    }
    if conflicts > 0 {
        text.push_str(&format!(", {conflicts} twice with different values: the later holds"));
    }
    text
}

fn words(change: &Change) -> String {
    let parts = [
        (change.added, "new"),
        (change.unchanged, "as they were"),
        (change.revised, "replaced"),
        (change.kept, "estimates left out, for the measured figure is there"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    parts.join(", ")
}
