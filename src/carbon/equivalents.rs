//! Emissions in terms of things people have seen.

use crate::units::GramsCo2e;

/// What a mature tree takes up in a month, in gCO2e.
pub const TREE_MONTH_G: f64 = 917.0;
/// A kilometre in an average passenger car of the EU, in gCO2e.
pub const CAR_EU_G_PER_KM: f64 = 175.0;
/// A kilometre in an average passenger car of the US, in gCO2e.
pub const CAR_US_G_PER_KM: f64 = 251.0;
/// Where the three constants are from.
pub const EQUIVALENTS_SOURCE: &str =
    "Green Algorithms (Lannelongue et al. 2021): tree-month 917 g, car 175 g/km (EU), 251 g/km (US)";

/// An amount of emissions as driving and as trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalents {
    /// Kilometres in an average passenger car of the EU.
    pub car_km_eu: f64,
    /// Kilometres in an average passenger car of the US.
    pub car_km_us: f64,
    /// Months that one mature tree needs to take it up.
    pub tree_months: f64,
}

/// `emissions` as driving and as trees, by the constants of Green Algorithms.
pub fn equivalents(emissions: GramsCo2e) -> Equivalents {
    let grams = emissions.value();
    Equivalents {
        car_km_eu: grams / CAR_EU_G_PER_KM,
        car_km_us: grams / CAR_US_G_PER_KM,
        tree_months: grams / TREE_MONTH_G,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tonne_is_so_many_kilometres_and_trees() {
        let tonne = equivalents(GramsCo2e(1.0e6));
        // 1e6 / 175, / 251, / 917, by hand.
        assert!((tonne.car_km_eu - 5714.2857).abs() < 1e-3);
        assert!((tonne.car_km_us - 3984.0637).abs() < 1e-3);
        assert!((tonne.tree_months - 1090.5125).abs() < 1e-3);
    }
}
