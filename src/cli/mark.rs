//! `wattledger mark`.

use std::path::PathBuf;

use super::output::note;
use super::{Failure, Outcome};
use crate::jobs::mark::{self, Mark};
use crate::time::format_instant;

/// Write down when a program starts and stops, for machines without a scheduler.
///
/// Each mark appends a line to a CSV of runs, which `report --jobs` reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger mark start resnet --stage training
  python train.py
  wattledger mark stop resnet
  wattledger report --snapshot SNAPSHOT --jobs wattledger-runs.csv --zone DE

From Python:
  import subprocess
  subprocess.run([\"wattledger\", \"mark\", \"start\", \"resnet\", \"--stage\", \"training\"], check=True)
  train()
  subprocess.run([\"wattledger\", \"mark\", \"stop\", \"resnet\"], check=True)")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Start(StartArgs),
    Stop(StopArgs),
}

/// A run starts now.
#[derive(Debug, clap::Args)]
struct StartArgs {
    /// Name of the run.
    name: String,
    /// `training`, `inference`, or any other word.
    #[arg(long, value_name = "WORD", default_value = "")]
    stage: String,
    /// Machines that it has, as a host list; default: this one.
    #[arg(long, value_name = "NODES")]
    node: Option<String>,
    /// Who runs it; default: the user who types this.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Who is charged.
    #[arg(long, value_name = "NAME", default_value = "")]
    account: String,
    /// Country or zone of the machine, where it differs from the report's.
    #[arg(long, visible_alias = "country", value_name = "ZONE", default_value = "")]
    zone: String,
    /// The file.
    #[arg(long, value_name = "FILE", default_value = mark::FILE_NAME)]
    file: PathBuf,
}

/// The run of this name stops now.
#[derive(Debug, clap::Args)]
struct StopArgs {
    /// Name of the run.
    name: String,
    /// The file.
    #[arg(long, value_name = "FILE", default_value = mark::FILE_NAME)]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let now_ms = chrono::Utc::now().timestamp_millis();
    match &args.action {
        Action::Start(start) => {
            let mark = Mark {
                name: start.name.clone(),
                node: match &start.node {
                    Some(nodes) => nodes.replace(',', ";"),
                    None => host_name()?,
                },
                stage: start.stage.clone(),
                user: start.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default(),
                account: start.account.clone(),
                zone: start.zone.clone(),
            };
            mark::start(&start.file, &mark, now_ms)?;
            note(format_args!("{} started on {} at {}", mark.name, mark.node, format_instant(now_ms)));
        }
        Action::Stop(stop) => {
            let start_ms = mark::stop(&stop.file, &stop.name, now_ms)?;
            let length_s = now_ms.saturating_sub(start_ms) as f64 / 1000.0;
            note(format_args!("{} stopped at {} after {length_s:.1} s", stop.name, format_instant(now_ms)));
        }
    }
    Ok(Outcome::Done)
}

/// What `uname -n` says: the name that node_exporter gives as `nodename`.
fn host_name() -> Result<String, Failure> {
    let output = std::process::Command::new("uname").arg("-n").output().map_err(|source| Failure::Io {
        doing: "ask `uname -n` for this machine's name; give it with `--node`".to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
