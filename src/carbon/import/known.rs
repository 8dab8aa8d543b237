//! The providers' own formats: what tells them, what they count, whose they are.
//!
//! Sources of the forms: each provider's documentation and downloads of 2020 to 2026.

use chrono_tz::Tz;

use super::generation::{Plant, plant_of};
use super::probe::{Columns, StampForm, Values, plain};
use super::{eia, entsoe};
use crate::carbon::{Attribution, Basis, Format, Perspective, Scope};

const fn basis(scope: Scope, attribution: Attribution, perspective: Perspective) -> Basis {
    Basis { scope, attribution, perspective }
}

/// What is known of a provider.
pub(super) struct Provider {
    /// What its figures count; `None` where the file says so, or leaves the choice.
    pub(super) basis: Option<Basis>,
    /// The zone of a file that names none.
    pub(super) zone: Option<&'static str>,
    /// Whose figures they are.
    pub(super) source: &'static str,
    /// The line to print, with the licence.
    pub(super) attribution: &'static str,
}

/// The provider of a format; `None` for tables of nobody's form.
pub(super) fn provider(format: Format) -> Option<Provider> {
    use {Attribution::*, Perspective::*, Scope::*};
    let (basis, zone, source, attribution) = match format {
        Format::Generic | Format::CeemsSeries | Format::Store => return None,
        Format::ElectricityMaps | Format::ElectricityMapsApi => {
            (None, None, "Electricity Maps", "Electricity Maps, https://www.electricitymaps.com, ODbL 1.0")
        }
        // Its method counts what power stations emit, and imports at the exporter's mean.
        Format::UkCarbonIntensityApi | Format::UkCarbonIntensity => (
            Some(basis(Direct, Average, Consumption)),
            Some("GB"),
            "NESO Carbon Intensity API",
            "NESO Carbon Intensity API, https://carbonintensity.org.uk, CC BY 4.0",
        ),
        Format::NesoMix => (
            Some(basis(Direct, Average, Consumption)),
            Some("GB"),
            "NESO historic generation mix",
            "Supported by National Energy SO Open Data, NESO Open Licence",
        ),
        Format::Eco2mix | Format::Eco2mixApi => (
            Some(basis(Direct, Average, Production)),
            Some("FR"),
            "RTE éCO2mix",
            "RTE éCO2mix, Licence Ouverte 2.0 (Etalab)",
        ),
        Format::EnergyCharts => (
            Some(basis(LifeCycle, Average, Production)),
            None,
            "Energy-Charts",
            "Energy-Charts, Fraunhofer ISE, CC BY 4.0",
        ),
        Format::WattTime => (
            Some(basis(Direct, Marginal, Consumption)),
            None,
            "WattTime",
            "WattTime, https://watttime.org, by its terms of use",
        ),
        Format::Ember | Format::EmberLong => (
            Some(basis(LifeCycle, Average, Production)),
            None,
            "Ember",
            "Ember, https://ember-energy.org, CC BY 4.0",
        ),
        Format::Owid => (
            Some(basis(LifeCycle, Average, Production)),
            None,
            "Our World in Data",
            "Our World in Data after Ember and the Energy Institute, CC BY 4.0",
        ),
        Format::EntsoeGeneration | Format::EntsoeLibrary | Format::EntsoeApi => (
            None,
            None,
            "ENTSO-E generation by factors of IPCC AR5",
            "ENTSO-E Transparency Platform, generation by type (16.1.B&C), free re-use list; factors: IPCC AR5",
        ),
        Format::Eia930 | Format::Eia930Api => (
            None,
            None,
            "EIA-930 generation by factors of IPCC AR5",
            "U.S. Energy Information Administration, Hourly Electric Grid Monitor, public domain; factors: IPCC AR5",
        ),
        Format::SmardGeneration => (
            None,
            Some("DE"),
            "SMARD generation by factors of IPCC AR5",
            "Bundesnetzagentur, SMARD.de, CC BY 4.0; factors: IPCC AR5",
        ),
    };
    Some(Provider { basis, zone, source, attribution })
}

/// The layout of a provider's table by the names of its columns, in small letters.
pub(super) fn table(names: &[String]) -> Option<(Format, Columns)> {
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let any = |wanted: &[&str]| wanted.iter().find_map(|name| find(name));
    let has = |wanted: &[&str]| wanted.iter().all(|name| find(name).is_some());
    let of = |time: usize, value: usize| plain(time, Values::One(value));
    if has(&["from", "to", "forecast", "actual", "index"]) {
        let columns = Columns { forecast: find("forecast"), ..of(find("from")?, find("actual")?) };
        return Some((Format::UkCarbonIntensity, columns));
    }
    if has(&["datetime", "gas", "nuclear", "carbon_intensity", "zero_carbon"]) {
        return Some((Format::NesoMix, of(find("datetime")?, find("carbon_intensity")?)));
    }
    let rate = any(&["taux de co2 (g/kwh)", "taux de co2", "taux_co2"]);
    if let (Some(rate), Some(_)) = (rate, any(&["périmètre", "perimetre", "nature"])) {
        // The first carries its offset, the others are on the clock of Paris.
        if let Some(time) = any(&["date et heure", "date_heure", "date - heure"]) {
            return Some((Format::Eco2mix, of(time, rate)));
        }
        let clock = any(&["heure", "heures"]);
        let columns = Columns { clock, time_zone: Tz::Europe__Paris, ..of(find("date")?, rate) };
        return Some((Format::Eco2mix, columns));
    }
    if let (Some(source), Some(value)) = (find("electricity source"), find("emissions intensity (gco2e/kwh)"))
    {
        let columns = Columns {
            form: if find("date").is_none() { StampForm::Year } else { StampForm::Usual },
            zone: find("iso 3 code"),
            country: find("area"),
            only: vec![(source, "Total generation")],
            ..of(any(&["date", "year"])?, value)
        };
        return Some((Format::Ember, columns));
    }
    if has(&["area", "category", "subcategory", "variable", "unit", "value"]) {
        let columns = Columns {
            form: if find("date").is_none() { StampForm::Year } else { StampForm::Usual },
            zone: find("iso 3 code").or(find("country code")),
            country: find("area"),
            only: vec![(find("subcategory")?, "CO2 intensity"), (find("unit")?, "gCO2/kWh")],
            ..of(any(&["date", "year"])?, find("value")?)
        };
        return Some((Format::EmberLong, columns));
    }
    if let (Some(time), Some(area)) = (find("mtu"), find("area")) {
        let plants = plants(names, "actual aggregated [mw]");
        let columns = Columns {
            form: StampForm::MarketTimeUnit,
            zone: Some(area),
            ..plain(time, Values::Generation(plants))
        };
        return has_plants(&columns).then_some((Format::EntsoeGeneration, columns));
    }
    if let Some(time) = any(&["datum von", "datum"]) {
        let columns = Columns {
            clock: any(&["uhrzeit", "anfang"]),
            form: StampForm::Dotted,
            time_zone: Tz::Europe__Berlin,
            ..plain(time, Values::Generation(plants(names, "[mwh]")))
        };
        return has_plants(&columns).then_some((Format::SmardGeneration, columns));
    }
    if let Some(columns) = entsoe::layout(names) {
        return Some((Format::EntsoeLibrary, columns));
    }
    if let Some(found) = eia::layout(names) {
        return Some(found);
    }
    let of_owid = any(&["carbon intensity of electricity - gco2/kwh", "carbon_intensity_elec"]);
    if let (Some(value), Some(time)) = (of_owid, find("year")) {
        let columns = Columns {
            form: StampForm::Year,
            zone: any(&["code", "iso_code"]),
            country: any(&["entity", "country"]),
            ..of(time, value)
        };
        return Some((Format::Owid, columns));
    }
    None
}

/// The columns of plants: what stands before `unit` is their name.
fn plants(names: &[String], unit: &str) -> Vec<(usize, Plant)> {
    let plant = |(column, name): (usize, &String)| {
        let (kind, _) = name.split_once(unit)?;
        Some((column, plant_of(kind.trim().trim_end_matches('-'))??))
    };
    names.iter().enumerate().filter_map(plant).collect()
}

fn has_plants(columns: &Columns) -> bool {
    matches!(&columns.values, Values::Generation(plants) if !plants.is_empty())
}
