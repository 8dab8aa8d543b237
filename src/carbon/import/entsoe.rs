//! ENTSO-E's generation by type (16.1.B&C) as the file library and the API have it.

use std::collections::BTreeMap;
use std::path::Path;

use chrono_tz::Tz;
use csv::ByteRecord;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::generation::{self, Plant, plant_of};
use super::mix::{Amount, Mix};
use super::probe::{Columns, Probe, Values, plain};
use super::records::{self, Records};
use super::stamp::Stamp;
use crate::carbon::CarbonError;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, parse_instant};

/// Areas by their EIC and Electricity Maps' zones; a country's own area stands before others of it.
///
/// Source: ENTSO-E, list of EICs of type Y, and the areas in the API's guide.
const AREAS: [(&str, &str); 56] = [
    ("AL", "10YAL-KESH-----5"),
    ("AT", "10YAT-APG------L"),
    ("BA", "10YBA-JPCC-----D"),
    ("BE", "10YBE----------2"),
    ("BG", "10YCA-BULGARIA-R"),
    ("CH", "10YCH-SWISSGRIDZ"),
    ("CY", "10YCY-1001A0003J"),
    ("CZ", "10YCZ-CEPS-----N"),
    ("DE", "10Y1001A1001A83F"),
    // With Luxembourg, as the market has it.
    ("DE", "10Y1001A1001A82H"),
    ("DK", "10Y1001A1001A65H"),
    ("DK-DK1", "10YDK-1--------W"),
    ("DK-DK2", "10YDK-2--------M"),
    ("EE", "10Y1001A1001A39I"),
    ("ES", "10YES-REE------0"),
    ("FI", "10YFI-1--------U"),
    ("FR", "10YFR-RTE------C"),
    ("GB", "10YGB----------A"),
    ("GE", "10Y1001A1001B012"),
    ("GR", "10YGR-HTSO-----Y"),
    ("HR", "10YHR-HEP------M"),
    ("HU", "10YHU-MAVIR----U"),
    ("IE", "10YIE-1001A00010"),
    ("IT", "10YIT-GRTN-----B"),
    ("IT-CNO", "10Y1001A1001A70O"),
    ("IT-CSO", "10Y1001A1001A71M"),
    ("IT-NO", "10Y1001A1001A73I"),
    ("IT-SAR", "10Y1001A1001A74G"),
    ("IT-SIC", "10Y1001A1001A75E"),
    ("IT-SO", "10Y1001A1001A788"),
    ("LT", "10YLT-1001A0008Q"),
    ("LU", "10YLU-CEGEDEL-NQ"),
    ("LV", "10YLV-1001A00074"),
    ("MD", "10Y1001A1001A990"),
    ("ME", "10YCS-CG-TSO---S"),
    ("MK", "10YMK-MEPSO----8"),
    ("NL", "10YNL----------L"),
    ("NO", "10YNO-0--------C"),
    ("NO-NO1", "10YNO-1--------2"),
    ("NO-NO2", "10YNO-2--------T"),
    ("NO-NO3", "10YNO-3--------J"),
    ("NO-NO4", "10YNO-4--------9"),
    ("NO-NO5", "10Y1001A1001A48H"),
    ("PL", "10YPL-AREA-----S"),
    ("PT", "10YPT-REN------W"),
    ("RO", "10YRO-TEL------P"),
    ("RS", "10YCS-SERBIATSOV"),
    ("SE", "10YSE-1--------K"),
    ("SE-SE1", "10Y1001A1001A44P"),
    ("SE-SE2", "10Y1001A1001A45N"),
    ("SE-SE3", "10Y1001A1001A46L"),
    ("SE-SE4", "10Y1001A1001A47J"),
    ("SI", "10YSI-ELES-----O"),
    ("SK", "10YSK-SEPS-----K"),
    ("UA", "10Y1001C--00003F"),
    ("XK", "10Y1001C--00100H"),
];

/// ENTSO-E's code of a zone's area.
pub(in crate::carbon) fn eic_of(zone: &str) -> Option<&'static str> {
    AREAS.iter().find(|(known, _)| *known == zone).map(|(_, eic)| *eic)
}

/// The zone of an area by its code.
fn zone_of(eic: &str) -> Option<&'static str> {
    AREAS.iter().find(|(_, known)| *known == eic).map(|(zone, _)| *zone)
}

/// Production types of the code list: `B01` is the first.
const TYPES: [&str; 25] = [
    "biomass",
    "fossil brown coal/lignite",
    "fossil coal-derived gas",
    "fossil gas",
    "fossil hard coal",
    "fossil oil",
    "fossil oil shale",
    "fossil peat",
    "geothermal",
    "hydro pumped storage",
    "hydro run-of-river and pondage",
    "hydro water reservoir",
    "marine",
    "nuclear",
    "other renewable",
    "solar",
    "waste",
    "wind offshore",
    "wind onshore",
    "other",
    // Links and substations, which generate nothing.
    "",
    "",
    "",
    "",
    "energy storage",
];

/// As [`plant_of`], by the type's code.
fn plant_of_code(code: &str) -> Option<Option<Plant>> {
    let nth = code.strip_prefix('B').filter(|digits| digits.len() == 2)?.parse::<usize>().ok()?;
    plant_of(TYPES.get(nth.checked_sub(1)?)?)
}

fn step_ms(resolution: &str) -> Option<i64> {
    match resolution.trim() {
        "PT15M" => Some(15 * MINUTE_MS),
        "PT30M" => Some(30 * MINUTE_MS),
        "PT60M" | "PT1H" => Some(HOUR_MS),
        _ => None,
    }
}

/// Where the file library's table has what it has of each area, type and time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listing {
    code: Option<usize>,
    area_kind: usize,
    kind: usize,
    resolution: usize,
    output: usize,
    used: Option<usize>,
}

/// The layout of the file library's table by the names of its columns, in small letters.
pub(super) fn layout(names: &[String]) -> Option<Columns> {
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let listing = Listing {
        code: find("areacode"),
        area_kind: find("areatypecode")?,
        kind: find("productiontype")?,
        resolution: find("resolutioncode")?,
        output: find("actualgenerationoutput[mw]").or(find("actualgenerationoutput"))?,
        used: find("actualconsumption[mw]").or(find("actualconsumption")),
    };
    let time = find("datetime(utc)").or(find("datetime"))?;
    Some(Columns { zone: Some(find("areamapcode")?), ..plain(time, Values::Listed(listing)) })
}

/// The rows of countries in the file library's table.
pub(super) fn library(probe: &Probe) -> Result<Mix, CarbonError> {
    let mut mix = Mix::default();
    let columns = &probe.columns;
    let (Values::Listed(listing), Some(zone)) = (&columns.values, columns.zone) else { return Ok(mix) };
    let mut records = Records::new(&probe.path, probe.delimiter, probe.is_parquet)?;
    let mut record = ByteRecord::new();
    while let Some(line) = records.next(&probe.path, &mut record)? {
        let field = |index: usize| {
            record
                .get(index)
                .map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
                .unwrap_or_default()
        };
        // The same plants are there again for bidding zones and control areas.
        let areas = field(listing.area_kind);
        if areas.is_empty() {
            mix.reject(line, "no type of area");
            continue;
        }
        if !areas.split('/').any(|kind| kind == "CTY") {
            continue;
        }
        let name = field(zone);
        if name.is_empty() {
            mix.reject(line, "no zone");
            continue;
        }
        let Some(Stamp::At(start_ms)) = Stamp::parse(&field(columns.time)) else {
            mix.reject(line, "no time that can be read");
            continue;
        };
        let Some(length_ms) = step_ms(&field(listing.resolution)) else {
            mix.reject(line, "a step that is no quarter, half or whole hour");
            continue;
        };
        let kind = field(listing.kind).to_lowercase();
        let output = generation::amount(&field(listing.output), false);
        let amount = match (plant_of(&kind), output) {
            (Some(None), _) | (Some(Some(_)), Ok(None)) => continue,
            (None, _) => {
                mix.reject(line, "a kind of plant that is not known");
                Amount::NoPlant
            }
            (Some(Some(_)), Ok(Some(amount))) => Amount::Of(amount),
            // A row of what the plants drew has no output.
            (Some(Some(_)), Err(())) if listing.used.is_some_and(|used| !field(used).is_empty()) => continue,
            (Some(Some(_)), Err(())) => Amount::Missing,
        };
        let key = listing.code.map(field).filter(|code| !code.is_empty()).unwrap_or_else(|| name.clone());
        let place = (mix.area(&key, Some(&name)), mix.kind(&kind, plant_of(&kind).flatten()));
        mix.add(line, place, (start_ms, length_ms), amount);
    }
    Ok(mix)
}

/// The root of a document with generation, and of an answer without.
const GENERATION: &str = "GL_MarketDocument";
const NO_DATA: &str = "Acknowledgement_MarketDocument";
/// Elements of the schema lie six deep.
const DEEPEST: usize = 32;
/// The API answers for a year at most.
const LONGEST_PERIOD_MS: i64 = 400 * DAY_MS;
/// A year of quarter hours is 35,136 for each type, of which there are 21: no answer has more. A period claims what it stands for.
const MOST_POINTS: usize = 1_000_000;

/// True if a file that starts so is an answer of the API.
pub(super) fn is_document(head: &str) -> bool {
    let mut reader = Reader::from_str(head);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                return [GENERATION.as_bytes(), NO_DATA.as_bytes()].contains(&element.local_name().as_ref());
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

#[derive(Default)]
struct Period {
    line: u64,
    start: Option<i64>,
    end: Option<i64>,
    resolution: String,
    /// By position, from 1.
    points: BTreeMap<i64, Amount>,
}

#[derive(Default)]
struct Series {
    line: u64,
    /// Where plants feed in, and where they draw.
    into: Option<String>,
    out_of: Option<String>,
    kind: String,
    curve: String,
    unit: String,
    periods: Vec<Period>,
}

/// What is being read.
#[derive(Default)]
struct Document {
    kind: String,
    process: String,
    reason: String,
    series: Series,
    period: Period,
    point: (Option<i64>, Option<Amount>),
    mix: Mix,
}

/// Lines of a text by offsets that only grow.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, offset: u64) -> u64 {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        if let Some(passed) = self.text.get(self.at..offset) {
            let ends = passed.iter().filter(|byte| **byte == b'\n').count();
            self.line = self.line.saturating_add(ends as u64);
            self.at = offset;
        }
        self.line
    }
}

/// An answer of the API.
///
/// # Errors
///
/// If the file cannot be read, is cut off or no XML, says that there is no data, or holds something else than what was generated
/// by type.
pub(super) fn answer(path: &Path) -> Result<Mix, CarbonError> {
    let bytes = records::whole(path)?;
    let mut lines = Lines { text: &bytes, at: 0, line: 1 };
    let wrong = |line: u64, reason: String| CarbonError::Json {
        path: path.to_path_buf(),
        line: usize::try_from(line).unwrap_or(usize::MAX),
        reason,
    };
    let mut reader = Reader::from_reader(bytes.as_slice());
    let mut document = Document::default();
    let mut elements: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err(wrong(lines.of(reader.error_position()), error.to_string())),
        };
        match event {
            Event::Start(element) => {
                let line = lines.of(reader.buffer_position());
                if elements.len() >= DEEPEST {
                    return Err(wrong(line, "its elements lie deeper than those of any answer".to_owned()));
                }
                let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
                document.start(&name, line);
                elements.push(name);
                text.clear();
            }
            Event::Text(part) => text.push_str(&String::from_utf8_lossy(&part)),
            Event::CData(part) => text.push_str(&String::from_utf8_lossy(&part)),
            Event::GeneralRef(reference) => text.extend(character(&reference)),
            Event::End(_) => {
                let Some(name) = elements.pop() else { continue };
                let parent = elements.last().map_or("", String::as_str);
                document.end(parent, &name, text.trim());
                text.clear();
                if elements.is_empty() && name == NO_DATA {
                    let line = lines.of(reader.buffer_position());
                    return Err(wrong(line, format!("ENTSO-E sent no data: {}", document.reason)));
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let end = lines.of(u64::MAX);
    if let Some(name) = elements.last() {
        return Err(wrong(end, format!("it is cut off inside `{name}`")));
    }
    let is = |said: &str, wanted: &str| said.is_empty() || said == wanted;
    if !is(&document.kind, "A75") || !is(&document.process, "A16") {
        let reason = format!(
            "it is a document of type `{}` and process `{}`; what was generated by type is `A75` and `A16`",
            document.kind, document.process
        );
        return Err(wrong(1, reason));
    }
    Ok(document.mix)
}

/// The character that `&amp;` and its like stand for.
fn character(reference: &BytesRef) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    let name: &[u8] = reference;
    match name {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        _ => None,
    }
}

impl Document {
    fn start(&mut self, name: &str, line: u64) {
        match name {
            "TimeSeries" => self.series = Series { line, ..Series::default() },
            "Period" => self.period = Period { line, ..Period::default() },
            "Point" => self.point = (None, None),
            _ => {}
        }
    }

    fn end(&mut self, parent: &str, name: &str, text: &str) {
        let owned = || text.to_owned();
        let instant = || parse_instant(text, Tz::UTC).ok();
        match (parent, name) {
            (GENERATION, "type") => self.kind = owned(),
            (GENERATION, "process.processType") => self.process = owned(),
            ("Reason", "text") => self.reason = owned(),
            ("TimeSeries", "inBiddingZone_Domain.mRID") => self.series.into = Some(owned()),
            ("TimeSeries", "outBiddingZone_Domain.mRID") => self.series.out_of = Some(owned()),
            ("MktPSRType", "psrType") => self.series.kind = owned(),
            ("TimeSeries", "curveType") => self.series.curve = owned(),
            ("TimeSeries", "quantity_Measure_Unit.name") => self.series.unit = owned(),
            ("timeInterval", "start") => self.period.start = instant(),
            ("timeInterval", "end") => self.period.end = instant(),
            ("Period", "resolution") => self.period.resolution = owned(),
            ("Point", "position") => self.point.0 = text.parse().ok(),
            ("Point", "quantity") => {
                let amount = text.parse::<f64>().ok().filter(|amount| amount.is_finite());
                self.point.1 = Some(amount.map_or(Amount::Missing, Amount::Of));
            }
            ("Period", "Point") => match self.point {
                (Some(position), Some(amount)) => {
                    self.period.points.insert(position, amount);
                }
                _ => self.mix.reject(self.period.line, "a point without position or quantity"),
            },
            ("TimeSeries", "Period") => self.series.periods.push(std::mem::take(&mut self.period)),
            (GENERATION, "TimeSeries") => {
                let series = std::mem::take(&mut self.series);
                series.add_to(&mut self.mix);
            }
            _ => {}
        }
    }
}

impl Series {
    fn add_to(self, mix: &mut Mix) {
        // What plants drew is no generation.
        if self.out_of.is_some() {
            return;
        }
        let Some(eic) = self.into.filter(|eic| !eic.is_empty()) else {
            return mix.reject(self.line, "no zone");
        };
        if !["", "MAW"].contains(&self.unit.as_str()) {
            return mix.reject(self.line, "not in megawatts");
        }
        let plant = plant_of_code(&self.kind);
        if plant == Some(None) {
            return;
        }
        if plant.is_none() {
            mix.reject(self.line, "a kind of plant that is not known");
        }
        let area = mix.area(&eic, Some(zone_of(&eic).unwrap_or(&eic)));
        let kind = mix.kind(&self.kind, plant.flatten());
        for period in self.periods {
            if let Err(reason) = period.add_to(mix, (area, kind), self.curve == "A03", plant.is_some()) {
                mix.reject(period.line, reason);
            }
        }
    }
}

impl Period {
    /// `repeats`: a position that is not there has the value of the one before.
    fn add_to(
        &self,
        mix: &mut Mix,
        place: (usize, usize),
        repeats: bool,
        is_known: bool,
    ) -> Result<(), &'static str> {
        let (start_ms, end_ms) = self.start.zip(self.end).ok_or("no time that can be read")?;
        let step_ms = step_ms(&self.resolution).ok_or("a step that is no quarter, half or whole hour")?;
        let length_ms = end_ms.checked_sub(start_ms).filter(|length_ms| *length_ms > 0);
        let length_ms = length_ms.ok_or("a period that ends before it starts")?;
        if length_ms > LONGEST_PERIOD_MS {
            return Err("a period of more than a year");
        }
        let count = length_ms / step_ms;
        if mix.len().saturating_add(usize::try_from(count).unwrap_or(usize::MAX)) > MOST_POINTS {
            return Err("more points than any answer has");
        }
        let within = self.points.range(1..=count);
        if within.clone().count() < self.points.len() {
            mix.reject(self.line, "points outside their period");
        }
        let nexts = within.clone().skip(1).map(|(position, _)| *position).chain([count.saturating_add(1)]);
        for ((position, amount), next) in within.zip(nexts) {
            let end = if repeats { next } else { position.saturating_add(1) };
            let amount = if is_known { *amount } else { Amount::NoPlant };
            for nth in *position..end {
                let at_ms = nth.saturating_sub(1).saturating_mul(step_ms).saturating_add(start_ms);
                mix.add(self.line, place, (at_ms, step_ms), amount);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ENTSO-E's EIC reference manual: the characters' values (0 to 9, A to Z from 10, `-` 36) weighted 16 to 2, and 36 less what
    /// their sum less one leaves by 37.
    fn check_character(eic: &str) -> char {
        let value = |byte: u8| match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'Z' => u32::from(byte - b'A') + 10,
            b'-' => 36,
            other => panic!("{other}"),
        };
        let sum: u32 =
            eic.bytes().take(15).zip((2..=16).rev()).map(|(byte, weight)| value(byte) * weight).sum();
        let check = 36 - (sum - 1) % 37;
        char::from(match check {
            0..=9 => b'0' + check as u8,
            10..=35 => b'A' + check as u8 - 10,
            _ => b'-',
        })
    }

    #[test]
    fn areas_are_zones_and_their_codes_check() {
        let annual = include_str!("../../../data/intensity_annual.csv");
        let names = include_str!("../../../data/zone_aliases.csv");
        let annual = annual.lines().filter_map(|line| line.split(',').next());
        // Ukraine has a name there and no year.
        let ids: Vec<&str> = names.lines().filter_map(|line| line.rsplit(',').next()).chain(annual).collect();
        for (zone, eic) in AREAS {
            assert!(ids.contains(&zone), "{zone}");
            assert_eq!((eic.len(), eic.chars().last()), (16, Some(check_character(eic))), "{zone}");
            assert_eq!(zone_of(eic), Some(zone));
        }
        assert_eq!((eic_of("DE"), eic_of("US")), (Some("10Y1001A1001A83F"), None));
    }

    #[test]
    fn types_of_plants_by_their_codes() {
        assert_eq!(plant_of_code("B04"), plant_of("fossil gas"));
        assert_eq!(plant_of_code("B19"), plant_of("wind onshore"));
        assert_eq!((plant_of_code("B10"), plant_of_code("B25")), (Some(None), Some(None)));
        for wrong in ["", "B", "B00", "B21", "B26", "A04", "B004", "B-1"] {
            assert_eq!(plant_of_code(wrong), None, "{wrong}");
        }
    }
}
