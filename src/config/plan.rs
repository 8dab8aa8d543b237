//! Flags and file → one checked, unit-typed plan. Every default stands here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use regex::Regex;

use super::intensity::StatementPlan;
use super::{ConfigError, ConfigFile, Hardware, MemoryRule, Power};
use crate::carbon::{Footprints, Intensity, Matching, Zone};
use crate::jobs::{hostlist, tres};
use crate::ledger::{GpuInNodeMeter, NodeHardware, Pue, Rules, ShareRule};
use crate::meter::edges::EdgeRule;
use crate::meter::names::reason_of;
use crate::period::{Length, Period};
use crate::power::calibration::Calibration;
use crate::power::{LoadCurve, MEMORY_W_PER_GB, MemoryModel, UtilisationModel};
use crate::report::EnergyPrice;
use crate::time::{Window, format_instant, parse_instant};

/// What holds where neither a flag nor the file says otherwise.
pub struct Defaults;

impl Defaults {
    /// Facility energy ÷ IT energy (rule T3).
    pub const PUE: f64 = 1.0;
    /// Zone whose days and months are reported on.
    pub const TIME_ZONE: Tz = Tz::UTC;
    /// Zone of job logs' times without an offset.
    pub const JOBS_TZ: Tz = Tz::UTC;
    /// Directory for reports.
    pub const OUT: &'static str = "wattledger-report";
}

/// More buckets than this are a mistake: 57 years of hours.
const MOST_BUCKETS: i64 = 500_000;

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--from`.
    pub from: Option<String>,
    /// `--to`.
    pub to: Option<String>,
    /// `--time-zone`.
    pub time_zone: Option<String>,
    /// `--zone`.
    pub zone: Option<String>,
    /// `--intensity`.
    pub intensity: Vec<PathBuf>,
    /// Zones that runs name.
    pub run_zones: Vec<String>,
    /// `--basis`.
    pub basis: Option<String>,
    /// `--contracts`.
    pub contracts: Option<PathBuf>,
    /// `--matching`.
    pub matching: Option<Matching>,
    /// `--pue`.
    pub pue: Option<f64>,
    /// `--price`.
    pub price: Option<String>,
    /// `--power-model`.
    pub power_model: Option<String>,
    /// `--calibration`.
    pub calibration: Option<PathBuf>,
    /// `--edges`.
    pub edges: EdgeRule,
    /// `--share`.
    pub share: Option<ShareRule>,
    /// `--gpu-in-node-meter`.
    pub gpu_in_node_meter: Option<GpuInNodeMeter>,
    /// True for days that are made one at a time: then no table is as long as the window.
    pub is_day_by_day: bool,
    /// True if there is no source of series: the job log is all there is.
    pub from_job_log: bool,
    /// `--jobs-tz`.
    pub jobs_tz: Option<String>,
    /// `--jobs-from`.
    pub jobs_from: Option<String>,
    /// `--jobs-to`.
    pub jobs_to: Option<String>,
}

/// What is meant, checked.
pub struct Plan {
    /// The ledger's settings.
    pub rules: Rules,
    /// Carbon factors.
    pub intensity: Intensity,
    /// Zone of nodes and runs that name none.
    pub zone: Option<Zone>,
    /// What the market-based figure and the rest of the statement are made of.
    pub statement: StatementPlan,
    /// Facility energy ÷ IT energy.
    pub pue: Pue,
    /// Zone of job logs' times without an offset.
    pub jobs_tz: Tz,
    /// What a user should know about how the plan came about.
    pub notes: Vec<String>,
    /// The same of the carbon factors.
    pub intensity_notes: Vec<String>,
    /// The zones whose factors may be asked for, each once.
    pub used_zones: Vec<Zone>,
    /// Whose carbon factors are used, with their licences, for the report to print.
    pub attributions: Vec<Arc<str>>,
}

impl Plan {
    /// Puts flags over file over defaults. `available` is the time range of the source.
    ///
    /// # Errors
    ///
    /// For any value that cannot be, naming the flag or key.
    pub fn new(request: &Request, file: &ConfigFile, available: Option<Window>) -> Result<Self, ConfigError> {
        let mut notes = Vec::new();
        let jobs_tz = log_time_zone(request, file)?;
        let time_zone = reporting_zone(request, file)?;
        let window = window(request, time_zone, available, &mut notes)?;
        let pue = pue(request, file, window, &mut notes)?;
        let (intensity, zone) = super::intensity::open(request, file)?;
        let used = super::intensity::used(&intensity, zone.as_ref(), request, file);
        let mut intensity_notes = super::intensity::notes(&intensity, &used, window);
        intensity_notes.extend(super::intensity::unknown_preferences(&intensity, file));
        // A damaged block can claim any time; tables are as long as the window.
        let buckets = window.length_ms() / intensity.finest_step_ms().max(1);
        if buckets > MOST_BUCKETS && !request.is_day_by_day {
            let hint = "name the time you mean with `--from` and `--to`".to_owned();
            return Err(value("--from/--to", format!("{window} would be {buckets} buckets"), Some(hint)));
        }
        if zone.is_none() {
            notes.push("no zone stated: energy is not priced; name one with `--zone`".to_owned());
        }
        let power_model =
            match stated("--power-model", &request.power_model, "power.model", &file.power.model) {
                Some((setting, name)) => name
                    .parse()
                    .map_err(|error: crate::power::UnknownModel| value(setting, error.to_string(), None))?,
                None => UtilisationModel::default(),
            };
        let (jobs_from_ms, jobs_to_ms) = stated_coverage(request, file, jobs_tz)?;
        let rules = Rules {
            catalog: file.catalog()?,
            ignore_meters: false,
            edges: request.edges,
            power_model,
            calibration: calibration(request, file)?,
            memory_model: memory_model(&file.power)?,
            default_cpu_tdp_w: optional("power.default_cpu_tdp_w", file.power.default_cpu_tdp_w)?,
            default_gpu_tdp_w: optional("power.default_gpu_tdp_w", file.power.default_gpu_tdp_w)?,
            model_unseen_nodes: request.from_job_log || file.power.model_unseen_nodes.unwrap_or(false),
            share: request.share.or(file.scheduler.share).unwrap_or_default(),
            gpu_in_node_meter: request.gpu_in_node_meter.or(file.site.gpu_in_node_meter).unwrap_or_default(),
            aliases: file.aliases()?,
            hardware: file.hardware.iter().map(hardware).collect::<Result<_, _>>()?,
            scheduler_nodes: scheduler_nodes(file)?,
            jobs_from_ms,
            jobs_to_ms,
            footprints: Arc::new(Footprints::shipped()?),
            site: file.site.name.clone().unwrap_or_default(),
            time_zone,
            window,
            bucket_ms: intensity.finest_step_ms(),
        };
        if let (Some(from), Some(to)) = (rules.jobs_from_ms, rules.jobs_to_ms)
            && to <= from
        {
            return Err(value("--jobs-to", "the end is not after `--jobs-from`".to_owned(), None));
        }
        for stated in &rules.hardware {
            if let Some(zone) = &stated.zone {
                intensity.zone(zone)?;
            }
        }
        let statement = super::intensity::statement(&intensity, zone.as_ref(), request, file, &mut notes)?;
        let attributions = intensity.attributions(&used, window);
        let used_zones = used;
        Ok(Self {
            rules,
            intensity,
            zone,
            statement,
            pue,
            jobs_tz,
            notes,
            used_zones,
            attributions,
            intensity_notes,
        })
    }

    /// The settings by name, for the record in `summary.json`.
    pub fn settings(&self) -> std::collections::BTreeMap<&'static str, String> {
        let rules = &self.rules;
        let edges = match rules.edges {
            EdgeRule::Power => "power",
            EdgeRule::Linear => "linear",
        };
        let share = match rules.share {
            ShareRule::Allocated => "allocated",
            ShareRule::Usage => "usage",
            ShareRule::Ceems => "ceems",
        };
        let gpu = match rules.gpu_in_node_meter {
            GpuInNodeMeter::Yes => "yes",
            GpuInNodeMeter::No => "no",
            GpuInNodeMeter::Unknown => "unknown",
        };
        [
            ("window", rules.window.to_string()),
            ("bucket_s", (rules.bucket_ms / 1000).to_string()),
            ("zone", self.zone.as_ref().map(|zone| zone.as_str().to_owned()).unwrap_or_default()),
            ("basis", self.intensity.basis().to_string()),
            ("pue", self.pue.to_string()),
            ("edges", edges.to_owned()),
            ("power_model", rules.power_model.to_string()),
            ("memory_model", rules.memory_model.to_string()),
            ("gpu_in_node_meter", gpu.to_owned()),
            ("jobs_tz", self.jobs_tz.to_string()),
            ("time_zone", rules.time_zone.to_string()),
            ("share", share.to_owned()),
            ("model_unseen_nodes", rules.model_unseen_nodes.to_string()),
        ]
        .into_iter()
        .chain(
            self.statement
                .contracts
                .iter()
                .map(|_| ("matching", self.statement.matching.as_str().to_owned())),
        )
        .collect()
    }

    /// The report's title, as the basis of its factors allows (rule G4).
    pub fn title(&self) -> String {
        title_of(self.intensity.basis())
    }
}

/// What energy costs: `--price 0.25EUR`, or `site.price_per_kwh` and `site.currency`.
pub(super) fn energy_price(request: &Request, file: &ConfigFile) -> Result<Option<EnergyPrice>, ConfigError> {
    let wrong = |setting: &str, reason: String| {
        Err(value(setting, reason, Some("a price and a currency, such as `0.25EUR`".to_owned())))
    };
    let (setting, per_kwh, currency) = match (&request.price, file.site.price_per_kwh) {
        (Some(text), _) => {
            let letters = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
            let (number, currency) = text.split_at_checked(letters).unwrap_or((text, ""));
            match number.trim().parse::<f64>() {
                Ok(per_kwh) => ("--price", per_kwh, currency.trim().to_owned()),
                Err(_) => return wrong("--price", format!("`{text}` is no price")),
            }
        }
        (None, Some(per_kwh)) => {
            ("site.price_per_kwh", per_kwh, file.site.currency.clone().unwrap_or_default())
        }
        (None, None) => return Ok(None),
    };
    if !per_kwh.is_finite() || per_kwh < 0.0 {
        return wrong(setting, format!("{per_kwh} is no price"));
    }
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return wrong(setting, format!("`{currency}` is no currency code of three letters"));
    }
    Ok(Some(EnergyPrice { per_kwh, currency: currency.to_ascii_uppercase() }))
}

/// The title that a report may have whose factors have this basis (rule G4).
pub(super) fn title_of(basis: crate::carbon::Basis) -> String {
    match basis.scope {
        crate::carbon::Scope::LifeCycle => "electricity, life-cycle basis".to_owned(),
        crate::carbon::Scope::Direct => "electricity, direct emissions, location-based".to_owned(),
    }
}

/// What was typed, else what the file says, with the name of where it stands.
fn stated<'a, T>(
    flag: &'static str,
    typed: &'a Option<T>,
    key: &'static str,
    in_file: &'a Option<T>,
) -> Option<(&'static str, &'a T)> {
    typed.as_ref().map(|typed| (flag, typed)).or(in_file.as_ref().map(|in_file| (key, in_file)))
}

pub(super) fn value(setting: &str, reason: String, hint: Option<String>) -> ConfigError {
    ConfigError::Value { setting: setting.to_owned(), reason, hint }
}

fn checked(setting: &str, number: f64) -> Result<f64, ConfigError> {
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err(value(setting, format!("{number} is not a positive number"), None))
    }
}

fn optional(setting: &str, number: Option<f64>) -> Result<Option<f64>, ConfigError> {
    number.map(|number| checked(setting, number)).transpose()
}

fn pue(
    request: &Request,
    file: &ConfigFile,
    window: Window,
    notes: &mut Vec<String>,
) -> Result<Pue, ConfigError> {
    let checked = |setting, pue: f64| {
        if super::pue::RANGE.contains(&pue) {
            Ok(pue)
        } else {
            Err(value(setting, format!("{pue} is not between 1 and 10"), None))
        }
    };
    let in_file = file.site.pue.map(|pue| checked("site.pue", pue)).transpose()?;
    match (request.pue, &file.site.pue_series, in_file) {
        (Some(typed), _, _) => Ok(Pue::Constant(checked("--pue", typed)?)),
        (None, Some(path), before) => super::pue::read(path, window, before),
        (None, None, Some(pue)) => Ok(Pue::Constant(pue)),
        (None, None, None) => {
            let pue = Defaults::PUE;
            notes.push(format!("no PUE stated: {pue} is used, so facility energy is IT energy"));
            Ok(Pue::Constant(pue))
        }
    }
}

fn calibration(request: &Request, file: &ConfigFile) -> Result<Calibration, ConfigError> {
    let path = request.calibration.as_ref().or(file.power.calibration.as_ref());
    Ok(path.map(|path| Calibration::read(path)).transpose()?.unwrap_or_default())
}

fn memory_model(power: &Power) -> Result<MemoryModel, ConfigError> {
    match (power.memory_model, power.memory_w_per_gb) {
        (Some(MemoryRule::PerModule), None) => Ok(MemoryModel::PerModule),
        (Some(MemoryRule::PerModule), Some(_)) => {
            let reason =
                "`per-module` has figures of its own, and `memory_w_per_gb` is stated too".to_owned();
            Err(value("power.memory_model", reason, Some("leave out one of them".to_owned())))
        }
        (_, stated) => {
            let watts = stated.unwrap_or(MEMORY_W_PER_GB);
            Ok(MemoryModel::PerGigabyte(checked("power.memory_w_per_gb", watts)?))
        }
    }
}

/// The zone whose days and months are reported on, by flag, file or default (section 9 of the accounting page).
///
/// # Errors
///
/// Where it is no time zone.
pub fn reporting_zone(request: &Request, file: &ConfigFile) -> Result<Tz, ConfigError> {
    match stated("--time-zone", &request.time_zone, "site.time_zone", &file.site.time_zone) {
        Some((setting, name)) => time_zone(setting, name),
        None => Ok(Defaults::TIME_ZONE),
    }
}

/// The period that `flag` names as `text`, as seen from `now_ms` in `zone`.
///
/// # Errors
///
/// Where it names none of that length.
pub fn period_of(
    flag: &str,
    length: Length,
    text: &str,
    now_ms: i64,
    zone: Tz,
) -> Result<Period, ConfigError> {
    length.parse(text, now_ms, zone).map_err(|error| value(flag, error.to_string(), None))
}

/// The zone of the job log's times without an offset, by flag, file or default.
///
/// # Errors
///
/// Where it is no time zone.
pub fn log_time_zone(request: &Request, file: &ConfigFile) -> Result<Tz, ConfigError> {
    match stated("--jobs-tz", &request.jobs_tz, "scheduler.jobs_tz", &file.scheduler.jobs_tz) {
        Some((setting, name)) => time_zone(setting, name),
        None => Ok(Defaults::JOBS_TZ),
    }
}

/// The time that the job log covers: by its records, but for what flag or file states. `None` if that is no time at all.
///
/// # Errors
///
/// Where a stated instant cannot be read.
pub fn log_window(
    request: &Request,
    file: &ConfigFile,
    records: Option<Window>,
) -> Result<Option<Window>, ConfigError> {
    let zone = log_time_zone(request, file)?;
    let (from_ms, to_ms) = stated_coverage(request, file, zone)?;
    let from_ms = from_ms.or(records.map(|records| records.start_ms));
    let to_ms = to_ms.or(records.map(|records| records.end_ms));
    let window = from_ms.zip(to_ms).filter(|_| records.is_some());
    Ok(window.filter(|(from_ms, to_ms)| from_ms < to_ms).map(|(from_ms, to_ms)| Window::new(from_ms, to_ms)))
}

/// `--jobs-from` and `--jobs-to`.
fn stated_coverage(
    request: &Request,
    file: &ConfigFile,
    zone: Tz,
) -> Result<(Option<i64>, Option<i64>), ConfigError> {
    let instant = |found: Option<(&str, &String)>| {
        found
            .map(|(setting, text)| {
                parse_instant(text, zone).map_err(|error| value(setting, error.to_string(), None))
            })
            .transpose()
    };
    let scheduler = &file.scheduler;
    Ok((
        instant(stated("--jobs-from", &request.jobs_from, "scheduler.jobs_from", &scheduler.jobs_from))?,
        instant(stated("--jobs-to", &request.jobs_to, "scheduler.jobs_to", &scheduler.jobs_to))?,
    ))
}

/// The zone typed as `--jobs-tz`, or the default.
///
/// # Errors
///
/// Where it is no time zone.
pub fn jobs_time_zone(typed: Option<&str>) -> Result<Tz, ConfigError> {
    typed.map_or(Ok(Defaults::JOBS_TZ), |name| time_zone("--jobs-tz", name))
}

/// The clock of that name, which `setting` states.
///
/// # Errors
///
/// Where it is no time zone.
pub fn clock_named(setting: &str, name: &str) -> Result<Tz, ConfigError> {
    time_zone(setting, name)
}

pub(super) fn time_zone(setting: &str, name: &str) -> Result<Tz, ConfigError> {
    name.parse().map_err(|_| {
        let hint = "an IANA name such as `Europe/Berlin` or `UTC`".to_owned();
        value(setting, format!("`{name}` is not a time zone"), Some(hint))
    })
}

/// `--from` and `--to` as instants (UTC, ms); those without an offset are of `zone`.
///
/// # Errors
///
/// Where one of them is no time, naming the flag.
pub fn from_to(
    from: &Option<String>,
    to: &Option<String>,
    zone: Tz,
) -> Result<(Option<i64>, Option<i64>), ConfigError> {
    let instant = |flag: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(|text| parse_instant(text, zone)).transpose();
        parsed.map_err(|error| value(flag, error.to_string(), None))
    };
    Ok((instant("--from", from)?, instant("--to", to)?))
}

/// The time asked for, cut to what the source has.
fn window(
    request: &Request,
    zone: Tz,
    available: Option<Window>,
    notes: &mut Vec<String>,
) -> Result<Window, ConfigError> {
    let (from, to) = from_to(&request.from, &request.to, zone)?;
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        return Err(value("--to", "the end is not after the start".to_owned(), None));
    }
    let Some(available) = available else {
        return Ok(Window::new(from.unwrap_or(0), to.or(from).unwrap_or(0)));
    };
    let asked = Window::new(from.unwrap_or(available.start_ms), to.unwrap_or(available.end_ms));
    let Some(cut) = asked.intersect(available) else {
        let (flags, asked) = match (from, to) {
            (Some(from), None) => ("--from", format!("from {} on", format_instant(from))),
            (None, Some(to)) => ("--to", format!("before {}", format_instant(to))),
            _ => ("--from/--to", format!("from {asked}")),
        };
        let hint = format!("the data covers {available}");
        return Err(value(flags, format!("there is no data {asked}"), Some(hint)));
    };
    if (from.is_some() || to.is_some()) && cut != asked {
        notes.push(format!("asked for {asked}, the data covers {available}: the report covers {cut}"));
    }
    Ok(cut)
}

fn hardware(stated: &Hardware) -> Result<NodeHardware, ConfigError> {
    let pattern = stated
        .nodes
        .as_deref()
        .map(|pattern| Regex::new(&format!("^(?i:{pattern})$")))
        .transpose()
        .map_err(|error| value("hardware.nodes", reason_of(&error), None))?;
    let memory_bytes = stated
        .memory
        .as_deref()
        .map(|text| {
            tres::memory_in_bytes(text).map_err(|error| value("hardware.memory", error.to_string(), None))
        })
        .transpose()?;
    Ok(NodeHardware {
        pattern,
        cpus: optional("hardware.cpus", stated.cpus)?,
        memory_bytes,
        sockets: stated.sockets,
        cpu_model: stated.cpu_model.clone(),
        gpus: stated.gpus,
        gpu_model: stated.gpu_model.clone(),
        cpu_tdp_w: optional("hardware.cpu_tdp_w", stated.cpu_tdp_w)?,
        cpu_curve_w: curve("hardware.cpu_curve_w", stated.cpu_curve_w.as_deref())?,
        gpu_curve_w: curve("hardware.gpu_curve_w", stated.gpu_curve_w.as_deref())?,
        cpu_idle_w: optional("hardware.cpu_idle_w", stated.cpu_idle_w)?,
        dram_idle_w: optional("hardware.dram_idle_w", stated.dram_idle_w)?,
        gpu_idle_w: optional("hardware.gpu_idle_w", stated.gpu_idle_w)?,
        gpu_tdp_w: optional("hardware.gpu_tdp_w", stated.gpu_tdp_w)?,
        other_w: optional("hardware.other_w", stated.other_w)?,
        psu_efficiency: psu_efficiency(stated.psu_efficiency)?,
        site: stated.site.clone(),
        zone: stated.zone.clone(),
        embodied_kgco2e: optional("hardware.embodied_kgco2e", stated.embodied_kgco2e)?,
        gpu_embodied_kgco2e: optional("hardware.gpu_embodied_kgco2e", stated.gpu_embodied_kgco2e)?,
        lifetime_years: lifetime(stated.lifetime_years)?,
    })
}

/// Watts at evenly spaced loads.
fn curve(setting: &str, watts: Option<&[f64]>) -> Result<Option<LoadCurve>, ConfigError> {
    let hint =
        || Some("watts at 0 %, 10 %, … 100 % load, as SPECpower has them, or at 0 % and 100 %".to_owned());
    watts
        .map(|watts| LoadCurve::new(watts).map_err(|error| value(setting, error.to_string(), hint())))
        .transpose()
}

fn lifetime(stated: Option<f64>) -> Result<Option<f64>, ConfigError> {
    match stated {
        Some(years) if !(0.1..=100.0).contains(&years) => {
            Err(value("hardware.lifetime_years", format!("{years} is not between 0.1 and 100"), None))
        }
        stated => Ok(stated),
    }
}

fn psu_efficiency(stated: Option<f64>) -> Result<Option<f64>, ConfigError> {
    match stated {
        Some(share) if !(0.3..=1.0).contains(&share) => {
            let reason = format!("{share} is not between 0.3 and 1");
            Err(value("hardware.psu_efficiency", reason, Some("90 % is 0.9".to_owned())))
        }
        stated => Ok(stated),
    }
}

fn scheduler_nodes(file: &ConfigFile) -> Result<Vec<String>, ConfigError> {
    let mut nodes = Vec::new();
    for list in file.scheduler.nodes.iter().flatten() {
        nodes.extend(
            hostlist::expand(list).map_err(|error| value("scheduler.nodes", error.to_string(), None))?,
        );
    }
    Ok(nodes)
}

/// The file named by the user, or the one in the working directory if there is one.
///
/// # Errors
///
/// Where a file is there or was named, and cannot be read.
pub(crate) fn find_file(named: Option<&Path>) -> Result<(ConfigFile, Option<PathBuf>), ConfigError> {
    let default = Path::new(super::FILE_NAME);
    match named {
        Some(path) => Ok((ConfigFile::read(path)?, Some(path.to_owned()))),
        None if default.is_file() => Ok((ConfigFile::read(default)?, Some(default.to_owned()))),
        None => Ok((ConfigFile::default(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_claims_all_of_time_is_refused_not_allocated() {
        let plan = |available| Plan::new(&Request::default(), &ConfigFile::default(), Some(available));
        let error = plan(Window::new(0, i64::MAX)).err().unwrap();
        assert!(error.is_usage() && error.hint().unwrap().contains("--from"), "{error}");
        assert!(plan(Window::ALL).is_err());
        assert!(plan(Window::new(0, 50 * 365 * 86_400_000)).is_ok());
    }
}
