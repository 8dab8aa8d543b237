//! Which source holds where two speak of one hour.

/// Sources in the order in which they are taken, best first; one that is not here goes before all of them: a user who imports figures of
/// the site's own supplier means them.
///
/// Grid operators know their own plants best; what is made of generation by plant factors knows no imports; Ember and Our World in Data
/// have months and years only.
pub const PREFERENCE: [&str; 11] = [
    "NESO Carbon Intensity API",
    "NESO historic generation mix",
    "RTE éCO2mix",
    "Electricity Maps",
    "Energy-Charts",
    "WattTime",
    "ENTSO-E generation by factors of IPCC AR5",
    "SMARD generation by factors of IPCC AR5",
    "EIA-930 generation by factors of IPCC AR5",
    "Ember",
    "Our World in Data",
];

/// The place of `source`, 0 being the best: `stated` first, in its order, then what nobody ranks, then [`PREFERENCE`].
pub(in crate::carbon) fn rank(source: &str, stated: &[String]) -> usize {
    let is = |name: &str| name.eq_ignore_ascii_case(source);
    if let Some(at) = stated.iter().position(|name| is(name)) {
        return at;
    }
    let shipped = PREFERENCE.iter().position(|name| is(name));
    stated.len().saturating_add(shipped.map_or(0, |at| at.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_goes_before_all() {
        let stated = ["ember".to_owned()];
        let mut sources = ["Electricity Maps", "our supplier", "Ember", "RTE éCO2mix"];
        sources.sort_by_key(|source| rank(source, &stated));
        assert_eq!(sources, ["Ember", "our supplier", "RTE éCO2mix", "Electricity Maps"]);
    }
}
