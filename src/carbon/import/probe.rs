//! What a file is, by its head.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;

use super::generation::{self, Plant};
use super::hints::{ColumnNames, Hints, StampAt, Unit};
use super::mix::Mix;
use super::{eia, entsoe, json, known, records};
use crate::carbon::files::files_of;
use crate::carbon::{Attribution, Basis, CarbonError, Format, Perspective, Scope, SkippedFile};

/// How much of a file is read to find its header.
const HEAD_BYTES: u64 = 64 * 1024;
/// How much of a strange header an error shows.
const SHOWN_CHARS: usize = 120;

/// Where in a row what stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) time: usize,
    /// The time of day, where it stands beside the date.
    pub(super) clock: Option<usize>,
    /// Zone of stamps without an offset.
    pub(super) time_zone: Tz,
    pub(super) form: StampForm,
    pub(super) zone: Option<usize>,
    /// What names the place where `zone` is empty.
    pub(super) country: Option<usize>,
    pub(super) estimated: Option<usize>,
    /// Taken, as an estimate, where there is no value.
    pub(super) forecast: Option<usize>,
    /// Columns and what they have to say for a row to count.
    pub(super) only: Vec<(usize, &'static str)>,
    pub(super) values: Values,
    /// What one of the values is, in gCO2e/kWh.
    pub(super) unit: Unit,
    pub(super) stamp_at: StampAt,
    /// True if stamps without an offset are on a clock that somebody stated, or that the format has.
    pub(super) has_clock: bool,
}

/// How stamps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StampForm {
    /// As `time::parse_instant` reads them, or as spreadsheets do.
    Usual,
    /// `2024`.
    Year,
    /// `28.03.2020 00:15`.
    Dotted,
    /// ENTSO-E's: `01.01.2024 00:00 - 01.01.2024 00:15 (UTC)`.
    MarketTimeUnit,
    /// EIA's: `12/1/2020 12 a.m. PST`.
    LocalHour,
}

/// Which columns hold intensities.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// One, of the basis that the file declares or of none that it says.
    One(usize),
    /// One for each scope, average and flow-traced, as Electricity Maps has it.
    ByScope { life_cycle: Option<usize>, direct: Option<usize> },
    /// What each kind of plant generated, for either scope.
    Generation(Vec<(usize, Plant)>),
    /// The same with a row for each kind.
    Listed(entsoe::Listing),
    /// A column for each zone.
    ByZone(Vec<(usize, String)>),
}

/// What the head of a file says about it.
#[derive(Clone, Debug)]
pub(in crate::carbon) struct Probe {
    pub(in crate::carbon) path: PathBuf,
    pub(in crate::carbon) format: Format,
    /// The basis in a line `# basis: …`.
    pub(in crate::carbon) declared: Option<Basis>,
    /// The zone in a line `# zone: …`.
    pub(super) zone: Option<String>,
    /// Whose figures they are: `# source: …`, or the provider that the format tells.
    pub(in crate::carbon) source: Arc<str>,
    /// Which edition: `# release: …`, or the file's name.
    pub(in crate::carbon) release: Arc<str>,
    /// The line to print in a report.
    pub(in crate::carbon) attribution: Arc<str>,
    /// The file itself, if it is JSON.
    pub(super) json: Option<json::Recognised>,
    /// What it holds, if it is XML.
    pub(super) mix: Option<Arc<Mix>>,
    pub(super) is_parquet: bool,
    pub(super) delimiter: u8,
    pub(super) columns: Columns,
}

impl Probe {
    /// The column to read for `wanted`, or the basis that the file has instead.
    pub(in crate::carbon) fn column(&self, wanted: Basis) -> Result<usize, Basis> {
        match self.columns.values {
            Values::Generation(_) | Values::Listed(_) if wanted == generation::basis(wanted.scope) => Ok(0),
            Values::Generation(_) | Values::Listed(_) => Err(generation::basis(wanted.scope)),
            Values::One(_) | Values::ByZone(_) => match self.declared {
                Some(basis) if basis != wanted => Err(basis),
                _ => Ok(if let Values::One(column) = self.columns.values { column } else { 0 }),
            },
            Values::ByScope { life_cycle, direct } => {
                let of_scope = |scope| match scope {
                    Scope::LifeCycle => life_cycle,
                    Scope::Direct => direct,
                };
                let flow_traced = |scope| Basis {
                    scope,
                    attribution: Attribution::Average,
                    perspective: Perspective::Consumption,
                };
                let other = if life_cycle.is_some() { Scope::LifeCycle } else { Scope::Direct };
                of_scope(wanted.scope)
                    .filter(|_| wanted == flow_traced(wanted.scope))
                    .ok_or(flow_traced(other))
            }
        }
    }

    /// True if each row of the file names its zone, in ways that columns do not tell.
    pub(super) fn names_zones(&self) -> bool {
        matches!(self.format, Format::ElectricityMapsApi | Format::WattTime | Format::EntsoeApi)
            || self.json.as_ref().is_some_and(|json| json.has_regions)
            || matches!(self.columns.values, Values::ByZone(_))
    }

    /// Every basis that the file has figures of; of one that does not say, what it is taken for.
    pub(in crate::carbon) fn bases(&self) -> Vec<Basis> {
        match &self.columns.values {
            Values::One(_) | Values::ByZone(_) => vec![self.declared.unwrap_or(Basis::SHIPPED)],
            Values::Generation(_) | Values::Listed(_) => {
                [Scope::LifeCycle, Scope::Direct].map(generation::basis).to_vec()
            }
            Values::ByScope { .. } => [Scope::LifeCycle, Scope::Direct]
                .map(|scope| Basis { scope, ..Basis::SHIPPED })
                .into_iter()
                .filter(|basis| self.column(*basis).is_ok())
                .collect(),
        }
    }

    /// The one basis the file can be used for, where it leaves no choice.
    pub(in crate::carbon) fn only_basis(&self) -> Option<Basis> {
        let flow_traced = |scope| Basis { scope, ..Basis::SHIPPED };
        match self.columns.values {
            Values::One(_) | Values::ByZone(_) => self.declared,
            Values::ByScope { life_cycle: Some(_), direct: None } => Some(flow_traced(Scope::LifeCycle)),
            Values::ByScope { life_cycle: None, direct: Some(_) } => Some(flow_traced(Scope::Direct)),
            Values::ByScope { .. } => None,
            Values::Generation(_) | Values::Listed(_) => Some(generation::basis(Scope::LifeCycle)),
        }
    }
}

/// Recognises a file by its first lines.
///
/// # Errors
///
/// [`CarbonError::Read`], [`CarbonError::Header`] for a format that is not
/// known, [`CarbonError::BasisText`] for a `# basis:` line that is none.
pub(in crate::carbon) fn probe(path: &Path, hints: &Hints) -> Result<Probe, CarbonError> {
    let failed = |source| CarbonError::Read { path: path.to_path_buf(), source };
    let mut head = Vec::new();
    records::open(path)?.take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
    if head.trim_ascii().is_empty() {
        return Err(CarbonError::Empty { path: path.to_path_buf() });
    }
    let is_parquet = records::is_parquet(&head);
    let head = if is_parquet {
        records::parquet_header(path)?.join(",").into()
    } else {
        String::from_utf8_lossy(&head)
    };
    let head = head.strip_prefix('\u{feff}').unwrap_or(&head);
    let is_markup = head.trim_start().starts_with('<');
    if is_markup && !entsoe::is_document(head) {
        return Err(CarbonError::Markup { path: path.to_path_buf() });
    }

    let is_comment = |line: &&str| line.starts_with('#');
    let comments: Vec<&str> = head.lines().take_while(is_comment).collect();
    let said = |key: &str| {
        comments.iter().find_map(|line| {
            let (name, text) = line.trim_start_matches('#').split_once(':')?;
            name.trim()
                .eq_ignore_ascii_case(key)
                .then(|| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        })
    };
    let said_unit = said("unit").map(|text| text.parse()).transpose()?.or(hints.unit);
    let said_clock = match said("tz") {
        Some(text) => {
            Some(text.parse().map_err(|_| CarbonError::ClockText { path: path.to_path_buf(), text })?)
        }
        None => hints.time_zone,
    };
    let said_stamp = said("stamp").map(|text| text.parse()).transpose()?.or(hints.stamp);
    let is_json = head.trim_start().starts_with(['{', '[']);
    let header = head.lines().skip_while(is_comment).find(|line| !line.trim().is_empty()).unwrap_or_default();
    let delimiter = delimiter_of(header);
    let recognised = if is_json { json::recognise(path)? } else { None };
    let mix = if is_markup { Some(Arc::new(entsoe::answer(path)?)) } else { None };
    let found = match &recognised {
        Some(json) => Some((json.format, json::no_columns(json.format))),
        None if is_markup => Some((Format::EntsoeApi, json::no_columns(Format::EntsoeApi))),
        None if is_json => None,
        None => columns(&split(header, delimiter), &hints.columns, said_unit),
    };
    let Some((format, mut columns)) = found else {
        return Err(CarbonError::Header {
            path: path.to_path_buf(),
            header: header.chars().take(SHOWN_CHARS).collect(),
        });
    };
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if format == Format::Generic {
        let names_grams = split(header, delimiter).iter().any(|name| IN_GRAMS.contains(&name.as_str()));
        if let Some(unit) = said_unit
            .filter(|unit| unit.grams_per_kwh() != 1.0 && names_grams && hints.columns.value.is_none())
        {
            return Err(CarbonError::UnitTwice { path: path.to_path_buf(), factor: unit.grams_per_kwh() });
        }
        columns.time_zone = said_clock.unwrap_or(columns.time_zone);
        columns.has_clock = said_clock.is_some();
        columns.stamp_at = said_stamp.unwrap_or_default();
    }
    let licence = said("licence").or_else(|| said("license")).or_else(|| hints.licence.clone());
    let provider = known::provider(format);
    let (source, attribution) = match (&provider, said("source").or_else(|| hints.source.clone()), licence) {
        (Some(provider), _, _) => (provider.source.to_owned(), provider.attribution.to_owned()),
        (None, Some(source), Some(licence)) => (source.clone(), format!("{source}, {licence}")),
        (None, Some(source), None) => (source.clone(), format!("{source}, licence not stated")),
        (None, None, _) => (file_name.clone(), format!("`{file_name}`, source not stated")),
    };
    let declared = said("basis").map(|text| text.parse()).transpose()?;
    Ok(Probe {
        path: path.to_path_buf(),
        format,
        declared: declared
            .or(recognised.as_ref().and_then(|json| json.basis))
            .or(provider.as_ref().and_then(|provider| provider.basis))
            .or(hints.basis.filter(|_| format == Format::Generic)),
        zone: said("zone")
            .map(|zone| authority(format, zone))
            .or(provider.and_then(|provider| provider.zone).map(str::to_owned)),
        source: Arc::from(source),
        release: Arc::from(said("release").or_else(|| hints.release.clone()).unwrap_or(file_name)),
        attribution: Arc::from(attribution),
        delimiter,
        columns,
        json: recognised,
        mix,
        is_parquet,
    })
}

/// Files of EIA-930 may name a balancing authority as their zone.
fn authority(format: Format, zone: String) -> String {
    let known = if format == Format::Eia930 { eia::zone_of(&zone) } else { None };
    known.map_or(zone, str::to_owned)
}

/// What is looked into in a directory.
const EXTENSIONS: [&str; 9] =
    ["csv", "json", "tsv", "xml", "parquet", "csv.gz", "tsv.gz", "json.gz", "xml.gz"];

/// The heads of all files, in order, and the files of directories that have none.
///
/// # Errors
///
/// As [`probe`] for a file that is named by itself; [`CarbonError::NoFiles`] for a directory without one.
pub(in crate::carbon) fn probe_all(
    files: &[PathBuf],
    hints: &Hints,
) -> Result<(Vec<Probe>, Vec<SkippedFile>), CarbonError> {
    let (mut probes, mut skipped) = (Vec::new(), Vec::new());
    for path in files {
        if !path.is_dir() {
            probes.push(probe(path, hints)?);
            continue;
        }
        let mut found = 0_usize;
        for path in files_of(path, &EXTENSIONS)? {
            match probe(&path, hints) {
                Ok(probe) => {
                    probes.push(probe);
                    found = found.saturating_add(1);
                }
                Err(error) => skipped.push(SkippedFile { path, reason: error.to_string() }),
            }
        }
        if found == 0 {
            return Err(CarbonError::NoFiles { path: path.clone() });
        }
    }
    Ok((probes, skipped))
}

/// The separator that the header has most of; a comma if it has none.
fn delimiter_of(header: &str) -> u8 {
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    let (commas, semicolons, tabs) = (count(b','), count(b';'), count(b'\t'));
    if semicolons > commas && semicolons >= tabs {
        b';'
    } else if tabs > commas {
        b'\t'
    } else {
        b','
    }
}

fn split(header: &str, delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(header.as_bytes());
    let first = reader.byte_records().next();
    let fields = first.and_then(Result::ok).unwrap_or_default();
    fields.iter().map(|field| normal(&String::from_utf8_lossy(field))).collect()
}

/// A column's name as it is compared: the portal changed its capitals between
/// releases and writes CO₂ with a subscript.
fn normal(name: &str) -> String {
    name.trim_matches(['\u{feff}', ' ', '\t', '\r']).to_lowercase().replace('₂', "2")
}

fn columns(names: &[String], named: &ColumnNames, unit: Option<Unit>) -> Option<(Format, Columns)> {
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let by_scope = |words: &[&str]| {
        names.iter().position(|name| {
            name.starts_with("carbon intensity gco2eq/kwh") && words.iter().any(|word| name.contains(word))
        })
    };
    let (life_cycle, direct) = (by_scope(&["(lca)", "(life cycle)"]), by_scope(&["(direct)"]));
    if let (Some(time), Some(zone)) = (find(&["datetime (utc)"]), find(&["zone id"]))
        && (life_cycle.is_some() || direct.is_some())
    {
        let estimated = find(&["data estimated"]);
        let values = Values::ByScope { life_cycle, direct };
        return Some((
            Format::ElectricityMaps,
            Columns { zone: Some(zone), estimated, ..plain(time, values) },
        ));
    }
    if let Some(found) = known::table(names) {
        return Some(found);
    }
    generic(names, named, unit).map(|columns| (Format::Generic, columns))
}

/// Columns that say by their name what they are in.
const IN_GRAMS: [&str; 3] = ["gco2e_per_kwh", "intensity_gco2e_per_kwh", "carbon_intensity_gco2e_per_kwh"];
/// Columns that are intensities once somebody says their unit.
const IN_A_UNIT: [&str; 6] =
    ["value", "carbon_intensity", "carbon intensity", "intensity", "emission_factor", "ci"];
const TIMES: [&str; 12] = [
    "timestamp",
    "datetime",
    "datetime (utc)",
    "time",
    "utc time",
    "date",
    "month",
    "year",
    "hour_start_utc",
    "hour",
    "start",
    "period",
];

/// A table of nobody's form.
fn generic(names: &[String], named: &ColumnNames, unit: Option<Unit>) -> Option<Columns> {
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let pick = |name: &Option<String>, usual: &[&str]| match name {
        Some(name) => find(&[normal(name).as_str()]),
        None => usual.iter().find_map(|usual| find(&[*usual])),
    };
    let time = pick(&named.time, &TIMES)?;
    let zone = pick(&named.zone, &["zone"]);
    let estimated = pick(&named.estimated, &["estimated"]);
    let with = |values, unit| Columns { zone, estimated, unit, ..plain(time, values) };
    let in_grams = named.value.is_none().then(|| find(&IN_GRAMS)).flatten();
    if let Some(value) = in_grams {
        return Some(with(Values::One(value), Unit::GramsPerKwh));
    }
    let unit = unit?;
    let others = names.iter().enumerate().filter(|(column, _)| *column != time);
    let zones: Vec<(usize, String)> = others.map(|(column, name)| (column, name.to_uppercase())).collect();
    // `CI` among other zones is Côte d'Ivoire.
    let all_are_zones = zones.len() > 1 && zones.iter().all(|(_, name)| is_zone_id(name));
    if all_are_zones && named.value.is_none() {
        return Some(with(Values::ByZone(zones), unit));
    }
    pick(&named.value, &IN_A_UNIT).map(|value| with(Values::One(value), unit))
}

/// True of `DE` and `US-CAL-CISO`: two letters, and whatever follows a dash.
fn is_zone_id(name: &str) -> bool {
    let (country, rest) = name.split_once('-').unwrap_or((name, "X"));
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !rest.is_empty()
        && rest.bytes().all(is_word)
}

/// A table in which nothing is out of the ordinary.
pub(super) fn plain(time: usize, values: Values) -> Columns {
    Columns {
        time,
        clock: None,
        time_zone: Tz::UTC,
        form: StampForm::Usual,
        zone: None,
        country: None,
        estimated: None,
        forecast: None,
        only: Vec::new(),
        values,
        unit: Unit::GramsPerKwh,
        stamp_at: StampAt::Start,
        has_clock: false,
    }
}
