//! Column names of the CSV for people: words, and the unit by itself.

use crate::figures::cell;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Text in sentences, which is shown in several lines.
    Prose,
    Number,
    /// From 0 to 1, shown in per cent.
    Share,
}

impl Kind {
    /// The word that the page's script and style know it by.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Prose => "prose",
            Self::Number => "number",
            Self::Share => "share",
        }
    }

    /// A number of this kind, without its unit.
    pub(super) fn text(self, number: f64) -> String {
        match self {
            Self::Share => format!("{:.1}", number * 100.0),
            Self::Text | Self::Prose | Self::Number => cell(number),
        }
    }
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    /// As in the CSV.
    pub(super) name: String,
    /// In words.
    pub(super) label: String,
    /// Empty if it has none.
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
}

/// Endings of names, the longer before those that they end in.
const UNITS: [(&str, &str); 13] = [
    ("_gco2e_per_kwh", "gCO₂e/kWh"),
    ("_gco2e_per_gpu_hour", "gCO₂e/GPU-hour"),
    ("_gco2e_per_hour", "gCO₂e/hour"),
    ("_gco2e_per_unit", "gCO₂e/unit"),
    ("_kgco2e", "kgCO₂e"),
    ("_gco2e", "gCO₂e"),
    ("_kwh", "kWh"),
    ("_km", "km"),
    ("_years", "years"),
    ("_months", "months"),
    ("_j", "J"),
    ("_w", "W"),
    ("_s", "s"),
];

const PROSE: [&str; 4] = ["note", "notes", "source", "status"];

const SHARES: [&str; 3] = ["coverage", "interpolated", "scheduler_energy_difference"];

impl Heading {
    /// The head of the column of texts or of numbers that the CSV calls `name`.
    pub(super) fn of(name: &str, has_numbers: bool) -> Self {
        let (stem, side) = [("_low", ", low"), ("_high", ", high")]
            .into_iter()
            .find_map(|(ending, side)| name.strip_suffix(ending).map(|stem| (stem, side)))
            .unwrap_or((name, ""));
        if SHARES.contains(&name) {
            return Self { name: name.to_owned(), label: words(name), unit: "%", kind: Kind::Share };
        }
        let found = UNITS.into_iter().find_map(|(ending, unit)| Some((stem.strip_suffix(ending)?, unit)));
        let (stem, unit) = found.unwrap_or((stem, ""));
        let kind = match has_numbers {
            true => Kind::Number,
            false if PROSE.contains(&name) => Kind::Prose,
            false => Kind::Text,
        };
        Self { name: name.to_owned(), label: format!("{}{side}", words(stem)), unit, kind }
    }
}

fn words(name: &str) -> String {
    let word = |word: &str| match word {
        "cpu" => "CPU".to_owned(),
        "cpus" => "CPUs".to_owned(),
        "gpu" => "GPU".to_owned(),
        "gpus" => "GPUs".to_owned(),
        "sci" => "SCI".to_owned(),
        "dram" => "memory".to_owned(),
        other => other.to_owned(),
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_words_and_units() {
        for (name, label, unit, kind) in [
            ("run_id", "run id", "", Kind::Text),
            ("energy_kwh", "energy", "kWh", Kind::Number),
            ("dram_energy_kwh_low", "memory energy, low", "kWh", Kind::Number),
            ("emissions_market_gco2e", "emissions market", "gCO₂e", Kind::Number),
            ("intensity_gco2e_per_kwh", "intensity", "gCO₂e/kWh", Kind::Number),
            ("sci_gco2e_per_gpu_hour", "SCI", "gCO₂e/GPU-hour", Kind::Number),
            ("embodied_kgco2e", "embodied", "kgCO₂e", Kind::Number),
            ("in_window_s", "in window", "s", Kind::Number),
            ("coverage", "coverage", "%", Kind::Share),
            ("runs", "runs", "", Kind::Number),
            ("status", "status", "", Kind::Prose),
        ] {
            let heading = Heading::of(name, matches!(kind, Kind::Number | Kind::Share));
            assert_eq!((heading.label.as_str(), heading.unit, heading.kind), (label, unit, kind), "{name}");
        }
    }
}
