//! A picture of a zone's intensities over a time, by how they were come by.

use super::ReportError;
use super::chart::{Chart as _, Drawing, Layer, LayerKind, StackedTime, Text, Theme, three_digits};
use crate::carbon::{HourFactor, Tier, mean_and_range};

/// Tiers in the order of the legend, with their names in it.
const TIERS: [(Tier, &str); 6] = [
    (Tier::Hourly, "of the hour"),
    (Tier::MonthlyProfile, "of the month, shaped"),
    (Tier::Monthly, "of the month"),
    (Tier::AnnualProfile, "of the year, shaped"),
    (Tier::Annual, "of the year"),
    (Tier::World, "of the world"),
];

/// Draws `hours` as steps, each in the colour of its tier; time without a factor stays empty.
///
/// # Errors
///
/// Where it cannot be drawn.
pub fn intensity_chart(
    title: &str,
    subtitle: &str,
    footnote: &str,
    hours: &[HourFactor],
    theme: Theme,
) -> Result<Drawing, ReportError> {
    let of_tier = |tier: Tier| {
        let value = |hour: &HourFactor| match &hour.factor {
            Some(factor) if factor.tier == tier => factor.intensity.value(),
            _ => 0.0,
        };
        hours.iter().map(value).collect::<Vec<f64>>()
    };
    let is_used =
        |tier: Tier| hours.iter().any(|hour| hour.factor.as_ref().is_some_and(|factor| factor.tier == tier));
    let layers = TIERS.into_iter().filter(|(tier, _)| is_used(*tier)).map(|(tier, name)| Layer {
        name: name.to_owned(),
        values: of_tier(tier),
        kind: if tier == Tier::World { LayerKind::Muted } else { LayerKind::Normal },
    });
    let range = mean_and_range(hours).map_or_else(
        || "nothing is known".to_owned(),
        |(mean, least, most)| {
            let [mean, least, most] = [mean, least, most].map(three_digits);
            format!("on average {mean} gCO₂e/kWh, {least} to {most}")
        },
    );
    let chart = StackedTime {
        text: Text {
            title: title.to_owned(),
            subtitle: subtitle.to_owned(),
            footnote: footnote.to_owned(),
            alt: format!("{title}, {subtitle}: {range}."),
        },
        buckets: hours.iter().map(|hour| hour.window).collect(),
        layers: layers.collect(),
        y_label: "gCO₂e/kWh".to_owned(),
        overlay: None,
    };
    chart.draw(theme).map_err(|source| ReportError::Chart { name: "intensity", source })
}
