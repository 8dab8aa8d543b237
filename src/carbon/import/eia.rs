//! EIA-930: generation of the United States by fuel, whose hours are stamped with their end.

use chrono::NaiveDate;
use chrono_tz::Tz;
use csv::ByteRecord;
use serde_json::Value;

use super::generation::{self, Plant, plant_of};
use super::mix::{Amount, Mix};
use super::probe::{Columns, Probe, StampForm, Values, plain};
use super::records::Records;
use super::stamp::{Stamp, order_of};
use crate::carbon::{CarbonError, Format};
use crate::time::{HOUR_MS, parse_instant};

/// Fuels by code and by the grid monitor's name, each with the plant of [`plant_of`] that it is.
///
/// Source: EIA, Hourly Electric Grid Monitor, "About the EIA-930 data". Water may have pumped storage in it, where an authority
/// does not part them.
const FUELS: [(&str, &str, &str); 16] = [
    ("col", "coal", "fossil hard coal"),
    ("ng", "natural gas", "fossil gas"),
    ("nuc", "nuclear", "nuclear"),
    ("oil", "petroleum", "fossil oil"),
    ("oth", "other", "other"),
    ("sun", "solar", "solar"),
    ("wat", "hydro", "hydro water reservoir"),
    ("wnd", "wind", "wind onshore"),
    ("geo", "geothermal", "geothermal"),
    ("bat", "battery storage", "energy storage"),
    ("ps", "pumped storage", "energy storage"),
    ("snb", "solar with integrated battery storage", "solar"),
    ("wnb", "wind with integrated battery storage", "wind onshore"),
    ("ues", "unknown energy storage", "energy storage"),
    ("oes", "other energy storage", "energy storage"),
    ("unk", "unknown", "other"),
];

/// Balancing authorities and Electricity Maps' zones, which are named after them.
///
/// Source: EIA's list of respondents; the ids are those of the shipped table.
const RESPONDENTS: [(&str, &str); 56] = [
    ("AECI", "US-MIDW-AECI"),
    ("AVA", "US-NW-AVA"),
    ("AZPS", "US-SW-AZPS"),
    ("BANC", "US-CAL-BANC"),
    ("BPAT", "US-NW-BPAT"),
    ("CHPD", "US-NW-CHPD"),
    ("CISO", "US-CAL-CISO"),
    ("CPLE", "US-CAR-CPLE"),
    ("CPLW", "US-CAR-CPLW"),
    ("DOPD", "US-NW-DOPD"),
    ("DUK", "US-CAR-DUK"),
    ("EPE", "US-SW-EPE"),
    ("ERCO", "US-TEX-ERCO"),
    ("FMPP", "US-FLA-FMPP"),
    ("FPC", "US-FLA-FPC"),
    ("FPL", "US-FLA-FPL"),
    ("GCPD", "US-NW-GCPD"),
    ("GRID", "US-NW-GRID"),
    ("GVL", "US-FLA-GVL"),
    ("HST", "US-FLA-HST"),
    ("IID", "US-CAL-IID"),
    ("IPCO", "US-NW-IPCO"),
    ("ISNE", "US-NE-ISNE"),
    ("JEA", "US-FLA-JEA"),
    ("LDWP", "US-CAL-LDWP"),
    ("LGEE", "US-MIDW-LGEE"),
    ("MISO", "US-MIDW-MISO"),
    ("NEVP", "US-NW-NEVP"),
    ("NWMT", "US-NW-NWMT"),
    ("NYIS", "US-NY-NYIS"),
    ("PACE", "US-NW-PACE"),
    ("PACW", "US-NW-PACW"),
    ("PGE", "US-NW-PGE"),
    ("PJM", "US-MIDA-PJM"),
    ("PNM", "US-SW-PNM"),
    ("PSCO", "US-NW-PSCO"),
    ("PSEI", "US-NW-PSEI"),
    ("SC", "US-CAR-SC"),
    ("SCEG", "US-CAR-SCEG"),
    ("SCL", "US-NW-SCL"),
    ("SEC", "US-FLA-SEC"),
    ("SEPA", "US-SE-SEPA"),
    ("SOCO", "US-SE-SOCO"),
    ("SPA", "US-CENT-SPA"),
    ("SRP", "US-SW-SRP"),
    ("SWPP", "US-CENT-SWPP"),
    ("TAL", "US-FLA-TAL"),
    ("TEC", "US-FLA-TEC"),
    ("TEPC", "US-SW-TEPC"),
    ("TIDC", "US-CAL-TIDC"),
    ("TPWR", "US-NW-TPWR"),
    ("TVA", "US-TEN-TVA"),
    ("WACM", "US-NW-WACM"),
    ("WALC", "US-SW-WALC"),
    ("WAUW", "US-NW-WAUW"),
    ("YAD", "US-CAR-YAD"),
];

/// Regions: four are one authority's; for the others there is no zone, and they keep their name.
const REGIONS: [(&str, &str); 14] = [
    // Not Niger.
    ("NE", "US-NE-ISNE"),
    ("NY", "US-NY-NYIS"),
    ("TEN", "US-TEN-TVA"),
    ("TEX", "US-TEX-ERCO"),
    ("CAL", "CAL"),
    ("CAR", "CAR"),
    ("CENT", "CENT"),
    ("FLA", "FLA"),
    ("MIDA", "MIDA"),
    ("MIDW", "MIDW"),
    ("NW", "NW"),
    ("SW", "SW"),
    ("US48", "US48"),
    // Not Sweden.
    ("SE", "US-SE"),
];

/// The zone of a balancing authority, or of a region that is one.
pub(super) fn zone_of(code: &str) -> Option<&'static str> {
    let code = code.trim();
    let mut all = RESPONDENTS.iter().chain(&REGIONS);
    all.find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, zone)| *zone)
}

/// The balancing authority, as EIA calls it, of a zone of Electricity Maps.
pub(in crate::carbon) fn eia_respondent_of(zone: &str) -> Option<&'static str> {
    RESPONDENTS.iter().find(|(_, known)| *known == zone).map(|(code, _)| *code)
}

/// What a fuel is: `None` if nobody knows it, `Some(None)` for storage.
fn plant(code_or_name: &str) -> Option<Option<Plant>> {
    let (.., plant) = FUELS.iter().find(|(code, name, _)| [*code, *name].contains(&code_or_name))?;
    plant_of(plant)
}

/// The layout of a table by the names of its columns, in small letters.
pub(super) fn layout(names: &[String]) -> Option<(Format, Columns)> {
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let plants = |fuel: &dyn Fn(&str) -> Option<String>| -> Vec<(usize, Plant)> {
        let of = |(column, name): (usize, &String)| Some((column, plant(&fuel(name)?)??));
        names.iter().enumerate().filter_map(of).collect()
    };
    let of = |time, form, zone, plants: Vec<(usize, Plant)>| {
        let columns = Columns { zone, form, ..plain(time, Values::Generation(plants)) };
        Some((Format::Eia930, columns))
    };
    if let Some(time) = find("timestamp (hour ending)") {
        let zone = ["region code", "ba code", "balancing authority code"].iter().find_map(|name| find(name));
        let plants = plants(&|name| name.strip_suffix(" generation (mwh)").map(str::to_owned));
        return if plants.is_empty() { None } else { of(time, StampForm::LocalHour, zone, plants) };
    }
    // `NG` alone might be Nigeria, in a table with a column for each zone.
    let by_code = plants(&|name| FUELS.iter().any(|(code, ..)| *code == name).then(|| name.to_owned()));
    let least = if find("avg_ci").is_some() { 2 } else { 4 };
    if by_code.len() < least {
        return None;
    }
    of(find("timestamp")?, StampForm::Usual, find("respondent").or(find("zone")), by_code)
}

/// The rows of a table: the site's zone, or that which each row names.
pub(super) fn table(probe: &Probe) -> Result<Mix, CarbonError> {
    let mut mix = Mix::default();
    let columns = &probe.columns;
    let Values::Generation(plants) = &columns.values else { return Ok(mix) };
    let kinds: Vec<(usize, usize)> =
        plants.iter().map(|(index, plant)| (*index, mix.kind(&index.to_string(), Some(*plant)))).collect();
    let mut records = Records::new(&probe.path, probe.delimiter, probe.is_parquet)?;
    let mut record = ByteRecord::new();
    let mut rows: Vec<(u64, usize, Stamp, Vec<Option<Amount>>)> = Vec::new();
    while let Some(line) = records.next(&probe.path, &mut record)? {
        let field =
            |index: usize| record.get(index).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        let code = columns.zone.and_then(field);
        let area = match code.as_deref() {
            Some(code) if !code.is_empty() => area(&mut mix, code),
            None if columns.zone.is_none() => mix.area("", None),
            _ => {
                mix.reject(line, "no zone");
                continue;
            }
        };
        let text = field(columns.time).unwrap_or_default();
        let stamp = match columns.form {
            StampForm::LocalHour => local_hour(&text).map(Stamp::At),
            _ => Stamp::parse(&text),
        };
        let Some(stamp) = stamp else {
            mix.reject(line, "no time that can be read");
            continue;
        };
        let amounts = kinds.iter().map(|(index, _)| amount(&field(*index).unwrap_or_default()));
        rows.push((line, area, stamp, amounts.collect()));
    }
    let order = order_of(rows.iter().map(|(_, _, stamp, _)| *stamp));
    for (line, area, stamp, amounts) in rows {
        let Some(start_ms) = stamp.resolve(order).and_then(|end_ms| end_ms.checked_sub(HOUR_MS)) else {
            mix.reject(line, "no such day");
            continue;
        };
        for ((_, kind), amount) in kinds.iter().zip(amounts) {
            if let Some(amount) = amount {
                mix.add(line, (area, *kind), (start_ms, HOUR_MS), amount);
            }
        }
    }
    Ok(mix)
}

/// The rows of an answer: one for each hour and fuel.
pub(super) fn answer(whole: &Value) -> Mix {
    let mut mix = Mix::default();
    for (nth, row) in rows(whole).enumerate() {
        let line = (nth as u64).saturating_add(1);
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        if !["", "megawatthours"].contains(&text("value-units")) {
            mix.reject(line, "not in megawatt-hours");
            continue;
        }
        if text("respondent").is_empty() {
            mix.reject(line, "no zone");
            continue;
        }
        let Some(start_ms) = period(text("period")).and_then(|end_ms| end_ms.checked_sub(HOUR_MS)) else {
            mix.reject(line, "no time that can be read");
            continue;
        };
        let fuel = text("fueltype").to_ascii_lowercase();
        let amount = match (plant(&fuel), row.get("value")) {
            (Some(None), _) => continue,
            (None, _) => {
                mix.reject(line, "a kind of plant that is not known");
                Some(Amount::NoPlant)
            }
            (Some(Some(_)), Some(Value::String(text))) => amount(text),
            (Some(Some(_)), Some(Value::Number(number))) => number.as_f64().map(Amount::Of),
            (Some(Some(_)), _) => Some(Amount::Missing),
        };
        let place = (area(&mut mix, text("respondent")), mix.kind(&fuel, plant(&fuel).flatten()));
        mix.add(line, place, (start_ms, HOUR_MS), amount.unwrap_or(Amount::Missing));
    }
    mix
}

/// True of an answer to a question for generation by fuel.
pub(super) fn is_answer(whole: &Value) -> bool {
    rows(whole).any(|row| row.get("fueltype").is_some() && row.get("period").is_some())
}

fn rows(whole: &Value) -> impl Iterator<Item = &Value> {
    let rows = whole.pointer("/response/data").or_else(|| whole.get("data"));
    rows.and_then(Value::as_array).into_iter().flatten()
}

fn area(mix: &mut Mix, code: &str) -> usize {
    let code = code.to_uppercase();
    match zone_of(&code) {
        Some(zone) => mix.area(&code, Some(zone)),
        None if code.starts_with("US-") => mix.area(&code, Some(&code)),
        // Codes of others may be those of countries.
        None => mix.area(&code, Some(&format!("US-{code}"))),
    }
}

fn amount(text: &str) -> Option<Amount> {
    match generation::amount(text, false) {
        Ok(amount) => amount.map(Amount::Of),
        Err(()) => Some(Amount::Missing),
    }
}

/// `2022-01-01T00`, in UTC, or with the offset of a local hour: `2022-01-01T00-08`.
fn period(text: &str) -> Option<i64> {
    let (hour, offset) = text.trim().split_at_checked(13)?;
    let iso = match offset.len() {
        0 => format!("{hour}:00Z"),
        3 => format!("{hour}:00{offset}:00"),
        _ => return None,
    };
    parse_instant(&iso, Tz::UTC).ok()
}

/// Clocks of the United States, in hours from UTC.
const CLOCKS: [(&str, i64); 13] = [
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("AKST", -9),
    ("AKDT", -8),
    ("HST", -10),
    ("UTC", 0),
    ("GMT", 0),
];

/// `12/1/2020 12 a.m. PST`: month, day and year.
pub(super) fn local_hour(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let (date, hour, half, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let mut date = date.split('/').map(|number| number.parse::<u32>().ok());
    let (month, day, year) = (date.next()??, date.next()??, i32::try_from(date.next()??).ok()?);
    let hour = hour.strip_suffix(":00").unwrap_or(hour).parse::<i64>().ok()?;
    if date.next().is_some() || !(1..=12).contains(&hour) {
        return None;
    }
    let afternoon = match half.to_ascii_lowercase().as_str() {
        "a.m." | "am" => 0,
        "p.m." | "pm" => 12,
        _ => return None,
    };
    let (_, offset) = CLOCKS.iter().find(|(name, _)| *name == clock)?;
    let midnight = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(0, 0, 0)?;
    let hours = hour.rem_euclid(12).checked_add(afternoon)?.checked_sub(*offset)?;
    midnight.and_utc().timestamp_millis().checked_add(hours.checked_mul(HOUR_MS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_zones_of_the_shipped_table() {
        let annual = include_str!("../../../data/intensity_annual.csv");
        let ids: Vec<&str> = annual.lines().filter_map(|line| line.split(',').next()).collect();
        for (code, zone) in RESPONDENTS {
            assert!(ids.contains(&zone), "{code}: {zone}");
        }
        for (code, zone) in REGIONS {
            // An authority's zone, or a name that no zone has.
            assert_eq!(ids.contains(&zone), eia_respondent_of(zone).is_some(), "{code}: {zone}");
        }
        // Whatever is named after an authority is found by its name, there and back.
        for id in ids.iter().filter(|id| id.starts_with("US-") && id.matches('-').count() == 2) {
            let code = id.rsplit('-').next().unwrap();
            if *id == "US-AK-SEAPA" {
                continue;
            }
            assert_eq!((zone_of(code), eia_respondent_of(id)), (Some(*id), Some(code)));
        }
        assert_eq!((zone_of("SE"), zone_of("cal"), zone_of("DE")), (Some("US-SE"), Some("CAL"), None));
        assert_eq!(eia_respondent_of("DE"), None);
    }

    #[test]
    fn hours_of_local_clocks_and_of_utc() {
        let at = |text: &str| parse_instant(text, Tz::UTC).ok();
        for (text, utc) in [
            ("12/1/2020 12 a.m. PST", "2020-12-01T08:00:00Z"),
            ("12/1/2020 12 p.m. PST", "2020-12-01T20:00:00Z"),
            ("7/4/2021 1 p.m. EDT", "2021-07-04T17:00:00Z"),
            ("11/1/2020 1 a.m. CDT", "2020-11-01T06:00:00Z"),
            ("11/1/2020 1 a.m. CST", "2020-11-01T07:00:00Z"),
            ("12/31/2020 11 p.m. MST", "2021-01-01T06:00:00Z"),
        ] {
            assert_eq!(local_hour(text), at(utc), "{text}");
        }
        for wrong in [
            "",
            "12/1/2020",
            "13/1/2020 1 a.m. PST",
            "12/1/2020 13 p.m. PST",
            "12/1/2020 1 a.m. XST",
            "1/2/3/4 1 a.m. PST",
        ] {
            assert_eq!(local_hour(wrong), None, "{wrong}");
        }
        assert_eq!(period("2022-01-01T00"), at("2022-01-01T00:00:00Z"));
        assert_eq!(period("2022-01-01T00-08"), at("2022-01-01T08:00:00Z"));
        assert_eq!((period("2022-01-01"), period("2022-01-01T00:00")), (None, None));
    }
}
