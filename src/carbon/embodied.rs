//! What it took to make a device (rule G5): `data/embodied.csv`.

use std::sync::Arc;

use super::CarbonError;

const TABLE: (&str, &str) = ("embodied.csv", include_str!("../../data/embodied.csv"));

/// Expected life of a device where nothing else is stated, in years: Cloud Carbon Footprint and Boavizta take 4.
pub const LIFETIME_YEARS: f64 = 4.0;
/// Hours in a year of an expected life.
pub const HOURS_IN_YEAR: f64 = 8760.0;

/// What a device is, for its footprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// An accelerator.
    Gpu,
    /// A node without its accelerators; true if it holds any.
    Server {
        /// Whether it is built to hold accelerators.
        has_gpus: bool,
    },
}

/// A device's footprint.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    /// In kgCO2e, cradle to gate or to the customer.
    pub kgco2e: f64,
    /// Where the figure is from.
    pub source: Arc<str>,
    /// True if it is of the model and not of such devices in general.
    pub is_of_model: bool,
}

/// The footprints that the shipped table has.
#[derive(Clone, Debug)]
pub struct Footprints {
    rows: Vec<Row>,
}

#[derive(Clone, Debug, serde::Deserialize)]
struct Row {
    kind: String,
    model: String,
    embodied_kgco2e: f64,
    source: String,
}

impl Footprints {
    /// Reads the shipped table.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Table`] if the program was built from a broken one.
    pub fn shipped() -> Result<Self, CarbonError> {
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TABLE.1.as_bytes());
        let rows = reader.deserialize().enumerate().map(|(at, row)| {
            row.map_err(|_| CarbonError::Table { table: TABLE.0, line: at.saturating_add(1) })
        });
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }

    /// The footprint of a device by its name as its driver prints it.
    pub fn find(&self, kind: DeviceKind, name: &str) -> Option<Footprint> {
        let folded = name.to_lowercase();
        let mut words: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).collect();
        let wanted = match kind {
            DeviceKind::Gpu => "gpu",
            DeviceKind::Server { has_gpus } => {
                words.extend(has_gpus.then_some("gpus"));
                "server"
            }
        };
        let fits =
            |row: &&Row| row.kind == wanted && row.model.split_whitespace().all(|word| words.contains(&word));
        let best = self.rows.iter().filter(fits).max_by_key(|row| row.model.split_whitespace().count())?;
        Some(Footprint {
            kgco2e: best.embodied_kgco2e,
            source: Arc::from(best.source.as_str()),
            is_of_model: kind == DeviceKind::Gpu && !best.model.is_empty(),
        })
    }
}

/// The part of a device's footprint that falls on `seconds` of its life, in gCO2e (rule G5, before it is shared).
pub fn amortised_g(kgco2e: f64, lifetime_years: f64, seconds: f64) -> f64 {
    kgco2e * 1000.0 * seconds / (lifetime_years * HOURS_IN_YEAR * 3600.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_the_names_that_drivers_print() {
        let table = Footprints::shipped().unwrap();
        let gpu = |name: &str| {
            let found = table.find(DeviceKind::Gpu, name).unwrap();
            (found.kgco2e, found.is_of_model)
        };
        assert_eq!(gpu("NVIDIA H100 80GB HBM3"), (164.0, true));
        assert_eq!(gpu("NVIDIA A100-SXM4-40GB"), (127.6, true));
        // Boards of another make have no figure of their own.
        assert_eq!(gpu("NVIDIA H100 PCIe"), (150.0, false));
        assert_eq!(gpu(""), (150.0, false));
        let server = |has_gpus| table.find(DeviceKind::Server { has_gpus }, "").unwrap().kgco2e;
        assert_eq!((server(false), server(true)), (1278.0, 2500.0));
    }

    #[test]
    fn published_cases_of_amortisation() {
        // Cloud Carbon Footprint: 24 h of 1.7957 t over 4 years, 1 of 96 processors (PEERS, G21).
        let share = amortised_g(1795.7, LIFETIME_YEARS, 24.0 * 3600.0) / 96.0;
        assert!((share / 1e6 - 0.000_012_811_786_529_680_366).abs() < 1e-18, "{share}");
    }
}
