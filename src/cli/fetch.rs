//! `wattledger fetch`.

use std::path::PathBuf;

use super::server::{ServerArgs, is_lossy};
use super::{Failure, Outcome};
use crate::config::{FetchFlags, TimeFlags, fetch_request, find_file};

/// Copy the series that a report needs from a Prometheus server into a directory of blocks.
///
/// The blocks are Prometheus' own format: `report` and `inspect` read them with
/// --snapshot, and so does every tool of Prometheus. Only the metrics of the meter catalog
/// are copied; --match adds others. The best protocol that the server offers is
/// taken and printed. Stopped or repeated, the same command goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger fetch --prometheus http://localhost:9090 --last 7d --out blocks
  wattledger report --snapshot blocks --jobs sacct.txt --zone DE --out report

  A month from Mimir, as one of its tenants, with a token:
  wattledger fetch --prometheus https://mimir.example.org/prometheus \\
      --header 'X-Scope-OrgID: hpc' --bearer-token-file token \\
      --from 2026-10-01 --to 2026-11-01 --out october

  More than the catalog, and one protocol only:
  wattledger fetch --prometheus http://localhost:9090 --last 1d \\
      --match 'slurm_job_state{partition=\"gpu\"}' --protocol range --out blocks

Secrets are read from files, or from the variables WATTLEDGER_PASSWORD and WATTLEDGER_BEARER_TOKEN.
Proxies are taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.")]
pub(super) struct Args {
    /// Address of the server, up to what stands before `/api/v1`.
    #[arg(long, value_name = "URL")]
    prometheus: String,
    /// Length of time up to now, or up to --to: `7d`, `36h`.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from", required_unless_present = "from")]
    last: Option<String>,
    /// Start of the time to copy (UTC unless it has an offset).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time to copy, which does not belong to it; default: the last whole minute.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// What the site knows once, for meters of its own; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for the blocks.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Further series to copy, as a PromQL selector; may be given more than once.
    #[arg(long = "match", value_name = "SELECTOR")]
    selectors: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Exit with status 3 if any data had to be left out.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let flags = FetchFlags {
        server: args.server.flags(&args.prometheus),
        time: TimeFlags { last: args.last.clone(), from: args.from.clone(), to: args.to.clone() },
        out: args.out.clone(),
        selectors: args.selectors.clone(),
    };
    let now_ms = chrono::Utc::now().timestamp_millis();
    let (file, _) = find_file(args.config.as_deref())?;
    let request = fetch_request(&flags, &*file.catalog()?, now_ms, &|name| std::env::var(name).ok())?;
    let summary = args.server.fetch(&request)?;
    Ok(if args.strict && is_lossy(&summary.tally) { Outcome::LeftOut } else { Outcome::Done })
}
