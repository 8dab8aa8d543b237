//! Hardware bought in a period, booked in full (GHG Protocol, Scope 3 category 2; rule G5).

use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::CarbonError;
use crate::time::{Window, parse_instant};

/// One purchase.
#[derive(Clone, Debug, PartialEq)]
pub struct Purchase {
    /// When (UTC, ms).
    pub at_ms: i64,
    /// What, in words.
    pub what: String,
    /// What it took to make all of it, in kgCO2e.
    pub kgco2e: f64,
}

/// A table of purchases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Purchases {
    /// The file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: Vec<Purchase>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    date: String,
    what: String,
    #[serde(default)]
    count: Option<f64>,
    embodied_kgco2e: f64,
}

impl Purchases {
    /// Reads `date,what,embodied_kgco2e`, and by choice `count`, by which the figure is multiplied; lines that start with `#` are comments.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Contract`] at the first row that cannot be meant.
    pub fn read(path: &Path) -> Result<Self, CarbonError> {
        let file = std::fs::File::open(path)
            .map_err(|source| CarbonError::Read { path: path.to_path_buf(), source })?;
        let reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(file);
        let mut rows = Vec::new();
        let mut records = reader.into_deserialize::<Row>();
        loop {
            let line = records.reader().position().line();
            let Some(row) = records.next() else { break };
            let wrong =
                |line: u64, reason: String| CarbonError::Contract { path: path.to_path_buf(), line, reason };
            let row = row
                .map_err(|error| wrong(error.position().map_or(0, csv::Position::line), error.to_string()))?;
            let at_ms = parse_instant(&row.date, Tz::UTC).map_err(|error| wrong(line, error.to_string()))?;
            let kgco2e = row.embodied_kgco2e * row.count.unwrap_or(1.0);
            if !kgco2e.is_finite() || kgco2e < 0.0 {
                return Err(wrong(line, format!("{kgco2e} kgCO2e is no number of at least 0")));
            }
            rows.push(Purchase { at_ms, what: row.what, kgco2e });
        }
        Ok(Self { path: path.to_path_buf(), rows })
    }

    /// What was bought in `window`, in gCO2e.
    pub fn total_g(&self, window: Window) -> f64 {
        let inside = self.rows.iter().filter(|row| window.contains(row.at_ms));
        crate::sum::sum(inside.map(|row| row.kgco2e * 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_periods_purchases_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("purchases.csv");
        std::fs::write(
            &path,
            "date,what,count,embodied_kgco2e\n2025-12-31,old,1,500\n2026-01-01,servers,8,1278\n2026-03-01,GPUs,,656\n",
        )
        .unwrap();
        let purchases = Purchases::read(&path).unwrap();
        let day = |text: &str| parse_instant(text, Tz::UTC).unwrap();
        let year = Window::new(day("2026-01-01"), day("2027-01-01"));
        // 8 × 1,278 + 656 = 10,880 kg.
        assert_eq!(purchases.total_g(year), 10_880_000.0);
        std::fs::write(&path, "date,what,embodied_kgco2e\n2026-01-01,x,-5\n").unwrap();
        assert!(Purchases::read(&path).unwrap_err().to_string().contains("line 2"));
    }
}
