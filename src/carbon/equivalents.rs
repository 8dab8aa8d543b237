//! Emissions in terms of things people have seen: `data/equivalents.csv`.

use super::CarbonError;
use crate::units::GramsCo2e;

const TABLE: (&str, &str) = ("equivalents.csv", include_str!("../../data/equivalents.csv"));

/// One thing that emits, or takes up, so much.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Equivalent {
    /// Its name in tables.
    pub name: String,
    /// What is counted, in words.
    pub unit: String,
    /// One of it, in gCO2e.
    pub gco2e: f64,
    /// Whose figure it is.
    pub source: String,
}

impl Equivalent {
    /// How many of it `emissions` are.
    pub fn count(&self, emissions: GramsCo2e) -> f64 {
        emissions.value() / self.gco2e
    }
}

/// The shipped table.
#[derive(Clone, Debug, Default)]
pub struct Equivalents(Vec<Equivalent>);

impl Equivalents {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Table`] if the program was built from a broken one.
    pub fn shipped() -> Result<Self, CarbonError> {
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TABLE.1.as_bytes());
        let rows = reader.deserialize::<Equivalent>().enumerate().map(|(at, row)| {
            let row = row.ok().filter(|row| row.gco2e > 0.0);
            row.ok_or(CarbonError::Table { table: TABLE.0, line: at.saturating_add(1) })
        });
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    /// Every row, in the order of the table.
    pub fn all(&self) -> &[Equivalent] {
        &self.0
    }

    /// The row of that name.
    pub fn named(&self, name: &str) -> Option<&Equivalent> {
        self.0.iter().find(|row| row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tonne_is_so_many_kilometres_and_trees() {
        let table = Equivalents::shipped().unwrap();
        let count = |name: &str, grams: f64| table.named(name).unwrap().count(GramsCo2e(grams));
        // 1e6 / 175, / 251, / 917, / 50,000 by hand.
        assert!((count("car_km", 1e6) - 5714.2857).abs() < 1e-3);
        assert!((count("car_km_us", 1e6) - 3984.0637).abs() < 1e-3);
        assert!((count("tree_months", 1e6) - 1090.5125).abs() < 1e-3);
        assert_eq!(count("flights_paris_london", 1e6), 20.0);
        // carbontracker's own case (PEERS, G32): 250 g and 500 g.
        assert!((count("new_car_km", 250.0) - 2.325_581_395_35).abs() < 1e-10);
        assert!((count("new_car_km", 500.0) - 4.651_162_790_7).abs() < 1e-10);
    }
}
