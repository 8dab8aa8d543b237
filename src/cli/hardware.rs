//! `wattledger hardware`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::output::data;
use super::{Failure, Outcome};
use crate::config::{Plan, Request, find_file};
use crate::ledger::hardware_model;
use crate::power::{DeviceKind, Rating, UtilisationModel, find_cpu, find_gpu, nearest_cpus, nearest_gpus};

/// What the hardware tables know of a processor or GPU, by the name that the kernel or the driver prints: the match,
/// its score, the runners-up, and the watts that each power model makes of it.
///
/// Only the very model is used in a report (score 0.9 and more): a Xeon Gold 6248 is rated 150 W and a 6248R 205 W. Of
/// what is in no table state the rated power in wattledger.toml, as `cpu_tdp_w` or `gpu_tdp_w` of a [[hardware]].
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger hardware \"Intel(R) Xeon(R) CPU E5-2678 v3 @ 2.50GHz\"
  wattledger hardware \"NVIDIA H100 80GB HBM3\"
  wattledger hardware \"NVIDIA L40S\" --config wattledger.toml --node gpu007
  wattledger hardware \"$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)\"

Exit status: 0 found, 1 in no table, 2 wrong usage.")]
pub(super) struct Args {
    /// Name as in `model name` of /proc/cpuinfo, or as nvidia-smi, amd-smi or xpumcli print it.
    #[arg(value_name = "NAME")]
    name: String,
    /// Runners-up to list.
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    next: usize,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Node whose [[hardware]] applies; default: those without `nodes`.
    #[arg(long, value_name = "NODE", default_value = "")]
    node: String,
}

/// Utilisations that are shown.
const SHOWN: [f64; 4] = [0.0, 0.1, 0.5, 1.0];

/// Words that only names of GPUs have.
const MAKERS_OF_GPUS: [&str; 6] = ["nvidia", "geforce", "tesla", "quadro", "radeon", "instinct"];

/// A row of a table, of whichever kind.
struct Found {
    name: &'static str,
    score: f64,
    source: &'static str,
    rating: Rating,
    cores: Option<u32>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let cpu = |found: crate::power::CpuMatch| Found {
        name: found.name,
        score: found.score,
        source: found.source,
        rating: Rating { name: found.name.to_owned(), threads: found.threads, ..Rating::cpu(found.tdp) },
        cores: found.cores,
    };
    let gpu = |found: crate::power::GpuMatch| Found {
        name: found.name,
        score: found.score,
        source: found.source,
        rating: Rating { name: found.name.to_owned(), idle: found.idle, ..Rating::gpu(found.tdp) },
        cores: None,
    };
    let found = find_cpu(&args.name).map(cpu).or_else(|| find_gpu(&args.name).map(gpu));
    // One more than asked for: the match itself is among the nearest.
    let count = args.next.saturating_add(1);
    let lower = args.name.to_lowercase();
    let mut next: Vec<Found> = Vec::new();
    if !MAKERS_OF_GPUS.iter().any(|maker| lower.contains(maker)) {
        next.extend(nearest_cpus(&args.name, count).into_iter().map(cpu));
    }
    next.extend(nearest_gpus(&args.name, count).into_iter().map(gpu));
    next.sort_by(|left, right| right.score.total_cmp(&left.score));
    next.retain(|row| found.as_ref().is_none_or(|found| found.name != row.name));
    let kind = found.as_ref().or(next.first()).map_or(DeviceKind::CpuSocket, |row| row.rating.kind);
    next.truncate(args.next);
    let in_report = in_report(args, kind)?;
    data(&format!("{}{in_report}", text(&args.name, found.as_ref(), &next)))?;
    Ok(if found.is_some() { Outcome::Done } else { Outcome::NotFound })
}

/// What a report here takes, with all that wattledger.toml says.
fn in_report(args: &Args, kind: DeviceKind) -> Result<String, Failure> {
    let (file, config) = find_file(args.config.as_deref())?;
    let Some(config) = config else { return Ok(String::new()) };
    let rules = match Plan::new(&Request::default(), &file, None) {
        Ok(plan) => plan.rules,
        // The tables answer whatever else is wrong with a file that nobody named.
        Err(error) if args.config.is_none() => return Ok(format!("with {}: {error}\n", config.display())),
        Err(error) => return Err(error.into()),
    };
    let stated = rules.hardware_of(&args.node);
    let found = hardware_model(&rules, &stated, (kind, &args.name), &SHOWN);
    Ok(match found {
        Some(model) => {
            let watts: String = model.watts.iter().map(|watts| format!("{watts:9.1}")).collect();
            let (low, high) = model.spread.percent();
            format!(
                "{:<10} {watts}  {}: {}, true power {low:+.0} to {high:+.0} %\n",
                format!("with {}", config.display()),
                model.method,
                model.words,
            )
        }
        None => format!("with {}: not modelled\n", config.display()),
    })
}

fn text(name: &str, found: Option<&Found>, next: &[Found]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {words}");
    };
    line("asked", name);
    match found {
        Some(found) => {
            line("match", &format!("{}, score {:.2}", found.name, found.score));
            line("rated", &rated(found));
            line("source", found.source);
            line("watts at", "      0 %     10 %     50 %    100 %");
            for model in UtilisationModel::ALL {
                let watts =
                    |utilisation| Some(format!("{:9.1}", model.power(utilisation, &found.rating)?.value()));
                let words: Option<String> = SHOWN.into_iter().map(watts).collect();
                let words = words.unwrap_or_else(|| "  no figure for this hardware".to_owned());
                let default = if model == UtilisationModel::default() { "  (default)" } else { "" };
                line("", &format!("{words}  {model}{default}"));
            }
        }
        None => line(
            "match",
            "none: in a report its energy is not modelled unless wattledger.toml states its rated power",
        ),
    }
    for row in next {
        line("near", &format!("{}, score {:.2}: {}", row.name, row.score, rated(row)));
    }
    if found.is_none() {
        let key = match next.first().map(|row| row.rating.kind) {
            Some(DeviceKind::Gpu) => "gpu_tdp_w",
            Some(DeviceKind::CpuSocket) => "cpu_tdp_w",
            None => "cpu_tdp_w or gpu_tdp_w",
        };
        line("to do", &format!("[[hardware]] {key} = WATTS, from the maker's data sheet"));
    }
    text
}

fn rated(found: &Found) -> String {
    let mut words = match found.rating.kind {
        DeviceKind::CpuSocket => format!("{} W a socket", found.rating.tdp.value()),
        DeviceKind::Gpu => format!("{} W", found.rating.tdp.value()),
    };
    if let Some(cores) = found.cores {
        let _ = write!(words, ", {cores} cores");
    }
    if let Some(threads) = found.rating.threads {
        let _ = write!(words, ", {threads} threads");
    }
    if let Some(idle) = found.rating.idle {
        let _ = write!(words, ", {} W at rest", idle.value());
    }
    words
}
