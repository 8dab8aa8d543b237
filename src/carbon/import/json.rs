//! Providers' answers in JSON.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::probe::{Columns, Values, plain};
use super::stamp::Stamp;
use super::{eia, records};
use crate::carbon::{Attribution, Basis, CarbonError, Format, Perspective, Scope};

/// One pound for a megawatt-hour, in grams for a kilowatt-hour.
const GRAMS_PER_KWH_IN_POUND_PER_MWH: f64 = 0.453_592_37;

/// A JSON file and what it is.
#[derive(Clone, Debug)]
pub(in crate::carbon) struct Recognised {
    pub(super) format: Format,
    /// What its figures count, where it says so itself.
    pub(super) basis: Option<Basis>,
    /// True if its rows are of regions that it names.
    pub(super) has_regions: bool,
    whole: Arc<Value>,
}

impl Recognised {
    /// All that stands in it.
    pub(super) fn whole(&self) -> &Value {
        &self.whole
    }
}

/// One value of a file.
pub(super) struct Entry {
    /// Of which zone, where the file names it.
    pub(super) zone: Option<String>,
    pub(super) stamp: Option<Stamp>,
    /// In gCO2e/kWh, as it stands there.
    pub(super) grams_per_kwh: Option<f64>,
    pub(super) estimated: bool,
}

/// Where rows of JSON or XML have what: nothing that columns could tell.
pub(super) fn no_columns(format: Format) -> Columns {
    let is_mix = matches!(format, Format::Eia930Api | Format::EntsoeApi);
    plain(0, if is_mix { Values::Generation(Vec::new()) } else { Values::One(0) })
}

fn load(path: &Path) -> Result<Value, CarbonError> {
    let bytes = records::whole(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(bytes).map_err(|error| CarbonError::Json {
        path: path.to_path_buf(),
        line: error.line(),
        reason: error.to_string(),
    })
}

/// Tells a file by its keys; `None` if they are nobody's.
///
/// # Errors
///
/// Where the file cannot be read, is no JSON, or holds a signal that is no intensity of carbon.
pub(super) fn recognise(path: &Path) -> Result<Option<Recognised>, CarbonError> {
    let whole = Arc::new(load(path)?);
    let is = |format, basis, has_regions| {
        Ok(Some(Recognised { format, basis, has_regions, whole: Arc::clone(&whole) }))
    };
    let of = |format| is(format, None, false);
    if whole.get("unix_seconds").is_some() && whole.get("co2eq").is_some() {
        return of(Format::EnergyCharts);
    }
    if let Some(signal) = whole.pointer("/meta/signal_type").and_then(Value::as_str) {
        let attribution = match signal {
            "co2_moer" => Attribution::Marginal,
            "co2_aoer" => Attribution::Average,
            other => {
                return Err(CarbonError::Json {
                    path: path.to_path_buf(),
                    line: 1,
                    reason: format!("its signal `{other}` is no intensity of carbon"),
                });
            }
        };
        let basis = Basis { scope: Scope::Direct, attribution, perspective: Perspective::Consumption };
        return is(Format::WattTime, Some(basis), false);
    }
    if eia::is_answer(&whole) {
        return is(Format::Eia930Api, None, true);
    }
    let half_hours = uk(&whole);
    if !half_hours.is_empty() {
        let has_regions = half_hours.iter().any(|(region, _)| region.is_some());
        return is(Format::UkCarbonIntensityApi, None, has_regions);
    }
    if eco2mix(&whole).any(|row| row.get("taux_co2").is_some()) {
        return of(Format::Eco2mixApi);
    }
    match electricity_maps(&whole).first() {
        Some(row) => is(Format::ElectricityMapsApi, Some(electricity_maps_basis(row)), false),
        None => Ok(None),
    }
}

/// What a row of Electricity Maps' API counts; older answers do not say and are life-cycle and flow-traced.
fn electricity_maps_basis(row: &Value) -> Basis {
    let is = |key: &str, word: &str| row.get(key).and_then(Value::as_str) == Some(word);
    Basis {
        scope: if is("emissionFactorType", "direct") { Scope::Direct } else { Scope::LifeCycle },
        attribution: Attribution::Average,
        perspective: match row.get("flowTraced").and_then(Value::as_bool) {
            Some(false) => Perspective::Production,
            _ => Perspective::Consumption,
        },
    }
}

/// Every value of the file; of rows of another basis than `wanted` none.
pub(super) fn entries(file: &Recognised, wanted: Basis) -> Vec<Entry> {
    let whole = file.whole.as_ref();
    let stamp = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).and_then(Stamp::parse);
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match file.format {
        Format::EnergyCharts => {
            let list = |key: &str| whole.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            let (actual, forecast) = (list("co2eq"), list("co2eq_forecast"));
            let entry = |(nth, seconds): (usize, &Value)| {
                let measured = number(actual.get(nth));
                Entry {
                    zone: None,
                    stamp: seconds.as_i64().and_then(|seconds| seconds.checked_mul(1000)).map(Stamp::At),
                    grams_per_kwh: measured.or_else(|| number(forecast.get(nth))),
                    estimated: measured.is_none(),
                }
            };
            list("unix_seconds").iter().enumerate().map(entry).collect()
        }
        Format::WattTime => {
            let zone = text(whole.pointer("/meta/region"));
            let in_pounds = whole.pointer("/meta/units").and_then(Value::as_str) == Some("lbs_co2_per_mwh");
            let factor = if in_pounds { GRAMS_PER_KWH_IN_POUND_PER_MWH } else { 1.0 };
            let rows = whole.get("data").and_then(Value::as_array).into_iter().flatten();
            rows.map(|row| Entry {
                zone: zone.clone(),
                stamp: stamp(row, "point_time"),
                grams_per_kwh: number(row.get("value")).map(|value| value * factor),
                estimated: false,
            })
            .collect()
        }
        Format::UkCarbonIntensityApi => {
            let entry = |(region, row): (Option<i64>, &Value)| {
                let actual = number(row.pointer("/intensity/actual"));
                Entry {
                    zone: region.map(|region| format!("GB-{region}")),
                    stamp: stamp(row, "from"),
                    grams_per_kwh: actual.or_else(|| number(row.pointer("/intensity/forecast"))),
                    estimated: actual.is_none(),
                }
            };
            uk(whole).into_iter().map(entry).collect()
        }
        Format::Eco2mixApi => eco2mix(whole)
            .map(|row| Entry {
                zone: None,
                stamp: stamp(row, "date_heure"),
                grams_per_kwh: number(row.get("taux_co2")),
                estimated: false,
            })
            .collect(),
        _ => electricity_maps(whole)
            .into_iter()
            .filter(|row| electricity_maps_basis(row) == wanted)
            .map(|row| Entry {
                zone: text(row.get("zone").or(whole.get("zone")).or(whole.get("countryCode"))),
                stamp: stamp(row, "datetime"),
                grams_per_kwh: number(row.get("carbonIntensity")),
                estimated: row.get("isEstimated").and_then(Value::as_bool).unwrap_or(false),
            })
            .collect(),
    }
}

/// The half-hours of an answer, each with its region's number.
fn uk(whole: &Value) -> Vec<(Option<i64>, &Value)> {
    let is_half_hour = |row: &&Value| row.get("from").is_some() && row.get("intensity").is_some();
    let mut found = Vec::new();
    let data = whole.get("data");
    let regions: Vec<&Value> = match data {
        Some(Value::Array(rows)) => {
            found.extend(rows.iter().filter(is_half_hour).map(|row| (None, row)));
            rows.iter().filter(|row| row.get("regionid").is_some()).collect()
        }
        Some(region) => vec![region],
        None => Vec::new(),
    };
    for region in regions {
        let number = region.get("regionid").and_then(Value::as_i64);
        let rows = region.get("data").and_then(Value::as_array).into_iter().flatten();
        found.extend(rows.filter(is_half_hour).map(|row| (number, row)));
    }
    found
}

/// The rows of ODRÉ's answers: a list, or `results` in an object; older ones have `fields`.
fn eco2mix(whole: &Value) -> impl Iterator<Item = &Value> {
    let list = whole.as_array().or_else(|| whole.get("results")?.as_array());
    let list = list.or_else(|| whole.get("records")?.as_array());
    list.into_iter().flatten().map(|row| row.get("fields").unwrap_or(row))
}

/// The rows of an answer: a list under one of four names, or the answer itself.
fn electricity_maps(whole: &Value) -> Vec<&Value> {
    let is_row = |row: &&Value| row.get("carbonIntensity").is_some() && row.get("datetime").is_some();
    for key in ["history", "data", "forecast"] {
        match whole.get(key) {
            Some(Value::Array(rows)) => return rows.iter().filter(is_row).collect(),
            Some(row) if is_row(&row) => return vec![row],
            _ => {}
        }
    }
    match whole {
        Value::Array(rows) => rows.iter().filter(is_row).collect(),
        row if is_row(&row) => vec![row],
        _ => Vec::new(),
    }
}
