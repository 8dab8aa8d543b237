//! Contracts, certificates and residual mixes: what the market-based figure is made of (rule G4).

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::{CarbonError, Intensity, Zone};
use crate::time::{Window, parse_instant};

/// How volumes are matched with what was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// Over the whole of the period that lies in the report.
    #[default]
    Annual,
    /// In each bucket on its own.
    Hourly,
}

impl Matching {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Annual => "annual",
            Self::Hourly => "hourly",
        }
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractKind {
    /// A supplier's tariff, or a power purchase agreement.
    Contract,
    /// Certificates without the electricity: guarantees of origin, RECs.
    Certificate,
    /// What the zone's electricity emits once all that was sold with a claim is taken out.
    ResidualMix,
}

impl ContractKind {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Certificate => "certificate",
            Self::ResidualMix => "residual-mix",
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// What it is.
    pub kind: ContractKind,
    /// Its name, for the statement.
    pub name: String,
    /// Where it holds; `None` for everywhere.
    pub zone: Option<Zone>,
    /// When it holds.
    pub period: Window,
    /// Its volume over the period at the building's meter, in kWh; `None` for all that is left.
    pub energy_kwh: Option<f64>,
    /// Direct emissions, in gCO2e/kWh.
    pub grams_per_kwh: f64,
}

/// All rows of a table, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contracts {
    /// The file.
    pub path: PathBuf,
    /// Contracts and certificates.
    pub rows: Vec<Contract>,
    /// Residual mixes.
    pub residual: Vec<Contract>,
}

/// As given, one row of the file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    zone: String,
    start: String,
    #[serde(default)]
    end: String,
    #[serde(default)]
    energy_kwh: String,
    gco2e_per_kwh: String,
}

impl Contracts {
    /// Reads `kind,name,zone,start,end,energy_kwh,gco2e_per_kwh`; lines that start with `#` are comments.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Contract`] at the first row that cannot be meant: a sum of money hangs on each.
    pub fn read(path: &Path, names: &Intensity) -> Result<Self, CarbonError> {
        let file = std::fs::File::open(path)
            .map_err(|source| CarbonError::Read { path: path.to_path_buf(), source })?;
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(file);
        let mut contracts = Self { path: path.to_path_buf(), ..Self::default() };
        let wrong =
            |line: u64, reason: String| CarbonError::Contract { path: path.to_path_buf(), line, reason };
        let mut record = csv::StringRecord::new();
        let headers = reader.headers().map_err(|error| wrong(1, error.to_string()))?.clone();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(wrong(line, error.to_string())),
            }
            let line = record.position().map_or(line, csv::Position::line);
            let row: Row =
                record.deserialize(Some(&headers)).map_err(|error| wrong(line, error.to_string()))?;
            let contract = row.checked(names).map_err(|reason| wrong(line, reason))?;
            match contract.kind {
                ContractKind::ResidualMix => contracts.residual.push(contract),
                ContractKind::Contract | ContractKind::Certificate => contracts.rows.push(contract),
            }
        }
        if contracts.rows.is_empty() && contracts.residual.is_empty() {
            return Err(wrong(1, "it has no row".to_owned()));
        }
        Ok(contracts)
    }

    /// The residual mix of a zone at an instant: that of the zone before one of everywhere.
    pub fn residual_at(&self, zone: &Zone, at_ms: i64) -> Option<&Contract> {
        let here = || self.residual.iter().filter(|mix| mix.period.contains(at_ms));
        here().find(|mix| mix.zone.as_ref() == Some(zone)).or_else(|| here().find(|mix| mix.zone.is_none()))
    }
}

impl Row {
    fn checked(self, names: &Intensity) -> Result<Contract, String> {
        let kind = match self.kind.as_str() {
            "contract" => ContractKind::Contract,
            "certificate" => ContractKind::Certificate,
            "residual-mix" => ContractKind::ResidualMix,
            other => {
                return Err(format!("`{other}` is none of `contract`, `certificate` and `residual-mix`"));
            }
        };
        let zone = match self.zone.as_str() {
            "" => None,
            text => Some(names.zone(text).map_err(|error| error.to_string())?),
        };
        let period = period(&self.start, &self.end)?;
        let number = |name: &str, text: &str| match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(format!("`{name}` is `{text}`, which is no number of at least 0")),
        };
        let energy_kwh = match self.energy_kwh.as_str() {
            "" => None,
            text => Some(number("energy_kwh", text)?),
        };
        if energy_kwh.is_some() && kind == ContractKind::ResidualMix {
            return Err("a residual mix has no volume: it is for what no contract covers".to_owned());
        }
        if energy_kwh.is_none() && kind == ContractKind::Certificate {
            return Err("a certificate is of a volume: `energy_kwh` is empty".to_owned());
        }
        let grams_per_kwh = number("gco2e_per_kwh", &self.gco2e_per_kwh)?;
        let name = if self.name.is_empty() { kind.as_str().to_owned() } else { self.name };
        Ok(Contract { kind, name, zone, period, energy_kwh, grams_per_kwh })
    }
}

/// `2026`, `2026-10` or two instants (UTC unless they have an offset), of which the second does not belong to it.
fn period(start: &str, end: &str) -> Result<Window, String> {
    let instant = |text: &str| parse_instant(text, Tz::UTC).map_err(|error| error.to_string());
    let period = if end.is_empty() {
        let mut numbers = start.split('-').map(str::parse::<u32>);
        let whole = match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(year)), None, None) => months(year, 1, 12),
            (Some(Ok(year)), Some(Ok(month)), None) => months(year, month, 1),
            _ => None,
        };
        whole.ok_or_else(|| format!("`{start}` is no year and no month, and `end` is empty"))?
    } else {
        Window::new(instant(start)?, instant(end)?)
    };
    if period.is_empty() { Err(format!("`{end}` is not after `{start}`")) } else { Ok(period) }
}

fn months(year: u32, month: u32, count: u32) -> Option<Window> {
    let first = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, 1)?;
    let end = first.checked_add_months(chrono::Months::new(count))?;
    let at_ms = |day: NaiveDate| Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    Some(Window::new(at_ms(first)?, at_ms(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Contracts, CarbonError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("contracts.csv");
        std::fs::write(&path, format!("kind,name,zone,start,end,energy_kwh,gco2e_per_kwh\n{text}")).unwrap();
        Contracts::read(&path, &Intensity::shipped().unwrap())
    }

    #[test]
    fn rows_as_people_write_them() {
        let found = read(
            "# ours\ncontract,wind farm,Germany,2026,,1000000,0\ncertificate,GO Norway,,2026-01-01,2026-07-01,5e5,0\n\
             residual-mix,AIB 2025,DE,2026,,,724.5\nresidual-mix,,,2026-10,,,500\n",
        )
        .unwrap();
        assert_eq!(found.rows.len(), 2);
        // 365 days from 2026-01-01T00:00:00Z, by `date`.
        assert_eq!(found.rows[0].period, Window::new(1_767_225_600_000, 1_798_761_600_000));
        assert_eq!(found.rows[0].zone, Some(Zone::from_id("DE")));
        let october_ms = 1_790_812_800_000;
        let mix =
            |zone: &str| found.residual_at(&Zone::from_id(zone), october_ms).map(|mix| mix.grams_per_kwh);
        assert_eq!((mix("DE"), mix("FR")), (Some(724.5), Some(500.0)));
        assert!(found.residual_at(&Zone::from_id("FR"), october_ms - 1).is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_its_line() {
        for (row, words) in [
            ("offset,x,,2026,,1,0", "`offset`"),
            ("contract,x,,2026,,-1,0", "`-1`"),
            ("contract,x,,2026,,1,-5", "`-5`"),
            ("contract,x,Germny,2026,,1,0", "Germny"),
            ("contract,x,,2026-02-01,2026-01-01,1,0", "not after"),
            ("contract,x,,sometime,,1,0", "sometime"),
            ("certificate,x,,2026,,,0", "volume"),
            ("residual-mix,x,,2026,,7,0", "no volume"),
            ("contract,x,,2026,,1", "line 2"),
        ] {
            let error = read(row).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("line 2"), "{error}");
        }
        assert!(read("").unwrap_err().to_string().contains("no row"));
    }
}
