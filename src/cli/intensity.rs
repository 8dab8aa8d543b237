//! `wattledger intensity`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::output::{data, figures, percent};
use super::{Failure, Outcome};
use crate::carbon::{by_tier, hours, mean_and_range, stretches};
use crate::config::{ConfigError, Plan, Request, find_file};
use crate::time::format_instant;

/// Carbon intensities: what a report would use.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(ShowArgs),
}

/// The factors of a zone over a time: mean, how good they are, whose they are, and where there are none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger intensity show --zone DE --from 2026-10-01 --to 2026-11-01
  wattledger intensity show --zone GB --intensity neso_2026.csv --from 2026-10-01 --to 2026-11-01 --csv > hours.csv

Exit status: 0 done, 1 not one factor is known, 2 wrong usage.")]
struct ShowArgs {
    /// Country or zone; default: `site.zone` of the configuration.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: Option<String>,
    /// Start (UTC unless it has an offset).
    #[arg(long, value_name = "TIME")]
    from: String,
    /// End, which does not belong to it.
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Files or directories of intensities; may be given more than once.
    #[arg(long, value_name = "PATH")]
    intensity: Vec<PathBuf>,
    /// What the intensity counts: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`.
    #[arg(long, value_name = "WORDS")]
    basis: Option<String>,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write every step as CSV instead.
    #[arg(long)]
    csv: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let Command::Show(show) = &args.command;
    let (file, _) = find_file(show.config.as_deref())?;
    let request = Request {
        from: Some(show.from.clone()),
        to: Some(show.to.clone()),
        zone: show.zone.clone(),
        intensity: show.intensity.clone(),
        basis: show.basis.clone(),
        ..Request::default()
    };
    let plan = Plan::new(&request, &file, None)?;
    let Some(zone) = &plan.zone else {
        return Err(ConfigError::Value {
            setting: "--zone".to_owned(),
            reason: "no zone is named".to_owned(),
            hint: Some("such as `--zone DE`, or `zone` under `[site]` of the configuration".to_owned()),
        }
        .into());
    };
    let hours = hours(&plan.intensity, zone, plan.rules.window);
    let mean = mean_and_range(&hours);
    let outcome = if mean.is_some() { Outcome::Done } else { Outcome::NotFound };
    let mut text = String::new();
    // Writing to a string cannot fail.
    if show.csv {
        let _ = writeln!(text, "timestamp,gco2e_per_kwh,tier,estimated,source,release");
        for hour in &hours {
            let Some(factor) = &hour.factor else { continue };
            let _ = writeln!(
                text,
                "{},{},{},{},{},{}",
                format_instant(hour.window.start_ms),
                factor.intensity.value(),
                factor.tier,
                factor.estimated,
                quoted(&factor.source),
                quoted(&factor.release)
            );
        }
        data(&text)?;
        return Ok(outcome);
    }
    let mut line = |name: &str, words: &str| {
        let _ = writeln!(text, "{name:<10} {words}");
    };
    line("zone", zone.as_str());
    line("basis", &plan.intensity.basis().to_string());
    line("window", &plan.rules.window.to_string());
    match mean {
        Some((mean, least, most)) => {
            line("mean", &format!("{} gCO2e/kWh, {} to {}", figures(mean), figures(least), figures(most)));
        }
        None => line("mean", "nothing of this basis is known"),
    }
    for found in by_tier(&hours) {
        let name = found.tier.map_or("none".to_owned(), |tier| tier.to_string());
        let mean = found.mean_g_per_kwh.map(|mean| format!(", mean {} gCO2e/kWh", figures(mean)));
        let share = percent(found.share);
        line("tier", &format!("{name}: {share} of the time{}", mean.unwrap_or_default()));
    }
    let all = stretches(&hours);
    for stretch in all.iter().take(MOST_STRETCHES) {
        let tier = stretch.tier.map_or("none".to_owned(), |tier| tier.to_string());
        line("from", &format!("{}: {tier}  {}", stretch.window, stretch.origin));
    }
    if all.len() > MOST_STRETCHES {
        line("from", &format!("… and {} more stretches, see --csv", all.len() - MOST_STRETCHES));
    }
    for input in plan.intensity.inputs() {
        line(
            "file",
            &format!("{}: {}, {} lines left out", input.path.display(), input.format, input.rejected),
        );
    }
    for attribution in plan.intensity.attributions() {
        line("licence", &attribution);
    }
    data(&text)?;
    Ok(outcome)
}

/// Stretches that are listed one by one.
const MOST_STRETCHES: usize = 40;

/// A CSV field in quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
