//! `wattledger demo`.

use std::path::PathBuf;

use super::charts::ChartArgs;
use super::inputs::Inputs;
use super::job_log::JobsArgs;
use super::report::{self, Wanted};
use super::{Failure, Outcome, simulate};
use crate::config::{ConfigFile, Request};
use crate::report::Formats;
use crate::simulate::Scenario;

/// Simulate a small cluster and make its report, in seconds.
///
/// Writes a snapshot, a job log and the truth, and from the first two a report
/// with a page, CSV tables and charts, as for a real cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger demo --out /tmp/demo")]
pub(super) struct Args {
    /// Directory to write into; an earlier demo in it is replaced.
    #[arg(long, value_name = "DIR", default_value = "wattledger-demo")]
    out: PathBuf,
    #[command(flatten)]
    charts: ChartArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let io = |doing: String| move |source| Failure::Io { doing, source };
    // Only what an earlier demo made is removed, never the directory of somebody's own.
    let (snapshot, marker) = (args.out.join("snapshot"), args.out.join("SIMULATED.txt"));
    if snapshot.exists() && marker.exists() {
        std::fs::remove_dir_all(&snapshot).map_err(io(format!("remove `{}`", snapshot.display())))?;
    }
    let scenario = Scenario { nodes: 6, gpus: 4, days: 7.0, ..Scenario::default() };
    simulate::write(&scenario, &args.out)?;
    let config = args.out.join("wattledger.toml");
    let inputs = Inputs {
        snapshot: Some(snapshot),
        jobs: JobsArgs::of_file(args.out.join("sacct.txt")),
        request: Request { zone: Some("DE".to_owned()), pue: Some(1.2), ..Request::default() },
        file: ConfigFile::read(&config)?,
        config: Some(config),
        lossy: false,
    };
    let formats = Formats { charts: args.charts.files(), ..Formats::default() };
    let wanted =
        Wanted { out: args.out.join("report"), formats, entries: false, strict: false, explain: false };
    report::make(&inputs, &wanted)
}
