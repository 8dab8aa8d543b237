//! The shipped tables: `data/intensity_*.csv` and `data/zone_aliases.csv`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::zone::{Zone, ZoneNames};
use super::{Basis, CarbonError};

const ANNUAL: (&str, &str) = ("intensity_annual.csv", include_str!("../../data/intensity_annual.csv"));
const SHAPE: (&str, &str) = ("intensity_shape.csv", include_str!("../../data/intensity_shape.csv"));
const ALIASES: (&str, &str) = ("zone_aliases.csv", include_str!("../../data/zone_aliases.csv"));

/// What a report that uses the shipped tables must print.
pub const SHIPPED_ATTRIBUTION: &str = "Electricity Maps, https://www.electricitymaps.com, yearly intensities via CO2.js 0.19.0 and shapes \
     from the release of 2025-01-27, ODbL 1.0; world: Ember, CC BY 4.0";

/// The zone id that stands for the whole world.
pub(super) const WORLD: &str = "WORLD";

/// Intensity by month and hour (UTC), relative to the mean of the year.
#[derive(Clone, Debug)]
pub(super) struct Shape([[f64; 24]; 12]);

impl Shape {
    /// Relative to the mean of the year; month and hour count from 0.
    pub(super) fn of_year(&self, month: usize, hour: usize) -> Option<f64> {
        self.0.get(month)?.get(hour).copied()
    }

    /// Relative to the mean of the month.
    pub(super) fn of_month(&self, month: usize, hour: usize) -> Option<f64> {
        let hours = self.0.get(month)?;
        let mean = crate::sum::sum(hours.iter().copied()) / hours.len() as f64;
        (mean > 0.0).then(|| hours.get(hour).map(|factor| factor / mean)).flatten()
    }
}

/// One figure for a year.
#[derive(Clone, Debug)]
pub(super) struct Annual {
    pub(super) year: i32,
    pub(super) grams_per_kwh: f64,
    pub(super) source: Arc<str>,
    pub(super) release: Arc<str>,
}

/// All that is shipped, of basis [`Basis::SHIPPED`].
pub(super) struct Shipped {
    pub(super) names: ZoneNames,
    pub(super) annual: BTreeMap<Zone, Vec<Annual>>,
    pub(super) shapes: BTreeMap<Zone, Shape>,
    pub(super) world: Annual,
}

/// Reads the shipped tables.
pub(super) fn shipped() -> Result<Shipped, CarbonError> {
    let mut names = ZoneNames::default();
    let mut annual: BTreeMap<Zone, Vec<Annual>> = BTreeMap::new();
    let electricity_maps: Arc<str> = Arc::from("Electricity Maps");
    let ember: Arc<str> = Arc::from("Ember");
    let mut world = None;
    for (line, fields) in rows(ANNUAL.1) {
        let broken = || CarbonError::Table { table: ANNUAL.0, line };
        let [zone, name, year, grams, basis] = fields.try_into().map_err(|_| broken())?;
        let year: i32 = year.parse().map_err(|_| broken())?;
        let grams_per_kwh: f64 = grams.parse().map_err(|_| broken())?;
        if basis.parse::<Basis>().ok() != Some(Basis::SHIPPED) || !(0.0..3000.0).contains(&grams_per_kwh) {
            return Err(broken());
        }
        let release = Arc::from(format!("yearly {year}, CO2.js 0.19.0"));
        let zone = Zone::from_id(zone);
        names.add_zone(&zone, name);
        if zone.as_str() == WORLD {
            world = Some(Annual { year, grams_per_kwh, source: Arc::clone(&ember), release });
        } else {
            let source = Arc::clone(&electricity_maps);
            annual.entry(zone).or_default().push(Annual { year, grams_per_kwh, source, release });
        }
    }
    for (line, fields) in rows(ALIASES.1) {
        let broken = || CarbonError::Table { table: ALIASES.0, line };
        let [alias, id] = fields.try_into().map_err(|_| broken())?;
        let zone = Zone::from_id(id);
        // A country without a figure of its own is a zone all the same: it gets the world's.
        names.add_zone(&zone, "");
        names.add_alias(alias, &zone);
    }
    let world = world.ok_or(CarbonError::Table { table: ANNUAL.0, line: 0 })?;
    Ok(Shipped { names, annual, shapes: shapes()?, world })
}

fn shapes() -> Result<BTreeMap<Zone, Shape>, CarbonError> {
    let mut found: BTreeMap<Zone, Shape> = BTreeMap::new();
    for (line, fields) in rows(SHAPE.1) {
        let broken = || CarbonError::Table { table: SHAPE.0, line };
        let [zone, month, thousandths] = fields.try_into().map_err(|_| broken())?;
        let month: usize = month.parse().map_err(|_| broken())?;
        let shape = found.entry(Zone::from_id(zone)).or_insert(Shape([[0.0; 24]; 12]));
        let hours = month.checked_sub(1).and_then(|month| shape.0.get_mut(month)).ok_or_else(broken)?;
        let mut given = thousandths.split(' ');
        for hour in hours.iter_mut() {
            let factor: u32 = given.next().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
            *hour = f64::from(factor) / 1000.0;
        }
        if given.next().is_some() {
            return Err(broken());
        }
    }
    Ok(found)
}

/// The rows of a shipped table after its header, with their line numbers. No
/// field of these tables holds a comma or a quote (`data/build.py` sees to it).
fn rows(table: &'static str) -> impl Iterator<Item = (usize, Vec<&'static str>)> {
    let numbered = table.lines().enumerate().map(|(index, line)| (index.saturating_add(1), line));
    let body = numbered.filter(|(_, line)| !line.starts_with('#')).skip(1);
    body.map(|(number, line)| (number, line.split(',').collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_table_is_whole() {
        let shipped = shipped().unwrap();
        assert_eq!(shipped.annual.len(), 352);
        assert_eq!(shipped.shapes.len(), 157);
        for (zone, shape) in &shipped.shapes {
            assert!(shipped.annual.contains_key(zone), "{zone} has a shape and no year");
            // The hours of a year of 365 days have the mean 1.
            let days = [31.0, 28.0, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0];
            let year: f64 =
                shape.0.iter().zip(days).map(|(hours, days)| hours.iter().sum::<f64>() * days).sum();
            assert!((year / 8760.0 - 1.0).abs() < 0.0005, "{zone}: {}", year / 8760.0);
        }
    }

    #[test]
    fn a_month_of_its_own_has_the_mean_one() {
        let shapes = shapes().unwrap();
        let germany = &shapes[&Zone::from_id("DE")];
        let june: f64 = (0..24).map(|hour| germany.of_month(5, hour).unwrap()).sum();
        assert!((june / 24.0 - 1.0).abs() < 1e-12);
        // June, 11 h UTC, against the year: 0.655 in the source.
        assert_eq!(germany.of_year(5, 11), Some(0.655));
        assert_eq!(germany.of_year(12, 0), None);
    }
}
