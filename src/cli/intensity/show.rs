//! `wattledger intensity show`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::carbon::{
    Format, HourFactor, InputSummary, Tier, Zone, by_tier, hours, mean_and_range, stretches,
};
use crate::cli::charts::LookArgs;
use crate::cli::output::{data, note, wrote};
use crate::cli::report::CellArgs;
use crate::cli::{Failure, Outcome};
use crate::config::{ConfigError, Plan, Request, find_file};
use crate::figures::{figures, percent};
use crate::report::{CellText, Outputs, ReportError, intensity_chart};
use crate::spreadsheet::guard;
use crate::time::{HOUR_MS, format_instant};

/// The factors of a zone over a time: mean, how good they are, whose they are, and where there are none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger intensity show --zone DE --from 2026-10-01 --to 2026-11-01
  wattledger intensity show --zone DE --store intensity --from 2026-10-01 --to 2026-11-01 \\
      --chart DE.png
  wattledger intensity show --zone GB --intensity neso_2026.csv --from 2026-10-01 \\
      --to 2026-11-01 --csv > hours.csv

Exit status: 0 done, 1 not one factor is known, 2 wrong usage.")]
pub(super) struct Args {
    /// Country or zone; default: `site.zone` of the configuration.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: Option<String>,
    /// Start (UTC unless it has an offset).
    #[arg(long, value_name = "TIME")]
    from: String,
    /// End, which does not belong to it.
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Store, files or directories of intensities; may be given more than once.
    #[arg(long, visible_alias = "store", value_name = "PATH")]
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
    #[command(flatten)]
    cells: CellArgs,
    /// Draw the hours; as SVG if the name ends in `.svg`, or as --chart-format says.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    look: LookArgs,
}

pub(super) fn run(show: &Args) -> Result<Outcome, Failure> {
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
    let outcome = if mean_and_range(&hours).is_some() { Outcome::Done } else { Outcome::NotFound };
    if let Some(path) = &show.chart {
        draw(path, show.look, &plan, zone, &hours)?;
    }
    data(&if show.csv { csv_text(&hours, show.cells.text())? } else { words(&plan, zone, &hours) })?;
    Ok(outcome)
}

fn csv_text(hours: &[HourFactor], cells: CellText) -> Result<String, Failure> {
    let failed = |error: csv::Error| Failure::Io { doing: "write CSV".to_owned(), source: error.into() };
    let text = |text: &'_ str| match cells {
        CellText::Guarded => guard(text).into_owned(),
        CellText::Raw => text.to_owned(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["timestamp", "gco2e_per_kwh", "tier", "estimated", "source", "release"])
        .map_err(failed)?;
    for hour in hours {
        let Some(factor) = &hour.factor else { continue };
        writer
            .write_record([
                format_instant(hour.window.start_ms).as_str(),
                factor.intensity.value().to_string().as_str(),
                factor.tier.as_str(),
                factor.estimated.to_string().as_str(),
                text(&factor.source).as_str(),
                text(&factor.release).as_str(),
            ])
            .map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn draw(path: &Path, look: LookArgs, plan: &Plan, zone: &Zone, hours: &[HourFactor]) -> Result<(), Failure> {
    let title = format!("Carbon intensity of {zone}");
    let subtitle = format!("{} · {}", plan.rules.window, plan.intensity.basis());
    let attributions: Vec<String> = plan.attributions.iter().map(ToString::to_string).collect();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let files = look.files_named(&name);
    let drawing = intensity_chart(&title, &subtitle, &attributions.join(" · "), hours, files.theme)?;
    let failed = |source| ReportError::Chart { name: "intensity", source };
    // Two files cannot have one name.
    let named = |ending: &str| {
        let other = Path::new(&name).with_extension(ending);
        if files.png && files.svg { other.to_string_lossy().into_owned() } else { name.clone() }
    };
    let mut outputs = Outputs::new(directory, "");
    if files.png {
        outputs.add(&named("png"), drawing.png().map_err(failed)?);
    }
    if files.svg {
        let id = format!("intensity-{}", files.theme.as_str());
        outputs.add(&named("svg"), drawing.svg(&id).into_bytes());
    }
    let written = outputs.write().map_err(ReportError::from)?;
    wrote(directory, &written);
    Ok(())
}

fn words(plan: &Plan, zone: &Zone, hours: &[HourFactor]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, words: &str| {
        let _ = writeln!(text, "{name:<10} {words}");
    };
    line("zone", zone.as_str());
    line("basis", &plan.intensity.basis().to_string());
    line("window", &plan.rules.window.to_string());
    match mean_and_range(hours) {
        Some((mean, least, most)) => {
            line("mean", &format!("{} gCO2e/kWh, {} to {}", figures(mean), figures(least), figures(most)));
        }
        None => line("mean", "nothing of this basis is known"),
    }
    for found in by_tier(hours) {
        let name = found.tier.map_or("none".to_owned(), |tier| tier.to_string());
        let mean = found.mean_g_per_kwh.map(|mean| format!(", mean {} gCO2e/kWh", figures(mean)));
        let share = percent(found.share);
        line("tier", &format!("{name}: {share} of the time{}", mean.unwrap_or_default()));
    }
    let all = stretches(hours);
    let is_hourly = |tier: Option<Tier>| tier == Some(Tier::Hourly);
    if all.iter().any(|stretch| is_hourly(stretch.tier)) {
        let gaps = all.iter().filter(|stretch| !is_hourly(stretch.tier)).count();
        if gaps > MOST_STRETCHES {
            line("gap", &format!("{gaps}, of which the first {MOST_STRETCHES}"));
        }
        for gap in all.iter().filter(|stretch| !is_hourly(stretch.tier)).take(MOST_STRETCHES) {
            let length_h = gap.window.length_ms() as f64 / HOUR_MS as f64;
            line("gap", &format!("{}: {length_h} h without hourly values", gap.window));
        }
    }
    for stretch in all.iter().take(MOST_STRETCHES) {
        let tier = stretch.tier.map_or("none".to_owned(), |tier| tier.to_string());
        line("from", &format!("{}: {tier}  {}", stretch.window, stretch.origin));
    }
    if all.len() > MOST_STRETCHES {
        line("from", &format!("… and {} more stretches, see --csv", all.len() - MOST_STRETCHES));
    }
    let is_file = |input: &&InputSummary| input.format != Format::Store;
    for input in plan.intensity.inputs().iter().filter(is_file) {
        line(
            "file",
            &format!("{}: {}, {} lines left out", input.path.display(), input.format, input.rejected),
        );
    }
    for attribution in &plan.attributions {
        line("licence", attribution);
    }
    for told in &plan.intensity_notes {
        note(format_args!("note: {told}"));
    }
    text
}

/// Stretches that are listed one by one.
const MOST_STRETCHES: usize = 40;
