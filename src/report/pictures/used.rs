//! A picture of what of the energy of CPUs and GPUs runs used.

use polars::prelude::PolarsResult;

use super::super::chart::{Ring, Rings, SegmentStyle, scale_for, three_digits};
use super::super::tables::BENEFICIARIES;
use super::super::{Report, reserved};
use super::{ENERGY_UNITS, component_name, percent, period, plural, text};
use crate::meter::catalog::Component;
use crate::sum::{Sum, sum};

/// By hours; `None` where nobody tells of any.
fn of_hours(report: &Report<'_>) -> Option<Rings> {
    let reserved = reserved::total(report.subject.books, report.subject.runs);
    let mut rings = Vec::new();
    let mut words = Vec::new();
    for (component, hours) in [("cpu", reserved.cpu), ("gpu", reserved.gpu)] {
        let Some(share) = hours.used_share() else { continue };
        let name = component_name(component);
        let figure = percent(share);
        let caption = format!("of {} {name}-hours held", three_digits(hours.known()));
        words.push(format!("{name} {figure} {caption}"));
        let used = share.clamp(0.0, 1.0);
        rings.push(Ring { name: name.to_owned(), figure, caption, parts: vec![used, 1.0 - used] });
    }
    if rings.is_empty() {
        return None;
    }
    let alt = format!(
        "What runs used of the CPUs and GPUs that they held, {}: {}",
        period(report),
        words.join(", ")
    );
    let segments = [("used", false), ("held, not used", true)];
    Some(Rings {
        text: text(report, "Use of the CPUs and GPUs that runs held", "as far as it is known", alt),
        rings,
        segments: segments.map(|(name, muted)| SegmentStyle { name: name.to_owned(), muted }).to_vec(),
    })
}

/// Rings of the CPUs and of the GPUs: what runs used of the hours that they held. Where that is known of neither, the share of the
/// energy that went to runs.
pub(super) fn cpu_and_gpu(report: &Report<'_>) -> PolarsResult<Rings> {
    if let Some(rings) = of_hours(report) {
        return Ok(rings);
    }
    let mut rings = Vec::new();
    let mut words = Vec::new();
    for component in [Component::Cpu, Component::Gpu] {
        let mut sums = [Sum::new(); BENEFICIARIES.len()];
        for (key, figures) in report.rollup.groups() {
            if let Some(sum) = sums.get_mut(key.kind) {
                sum.add(figures.energy_j(Some(component)));
            }
        }
        let parts = sums.map(Sum::value);
        let whole = sum(parts);
        let (Some(runs), true) = (parts.first(), whole > 0.0) else { continue };
        let (unit, scale) = scale_for(whole, &ENERGY_UNITS);
        let (share, name) = (percent(runs / whole), component_name(component.as_str()));
        let caption = format!("of {} {unit} used by runs", three_digits(whole / scale));
        words.push(format!("{name} {share} {caption}"));
        rings.push(Ring { name: name.to_owned(), figure: share, caption, parts: parts.into() });
    }
    // A kind that no ring has would only fill the legend.
    let is_used = |kind: usize| rings.iter().any(|ring| ring.parts.get(kind).is_some_and(|part| *part > 0.0));
    let used: Vec<usize> = (0..BENEFICIARIES.len()).filter(|kind| is_used(*kind)).collect();
    for ring in &mut rings {
        ring.parts = used.iter().filter_map(|kind| ring.parts.get(*kind)).copied().collect();
    }
    let segments = used.iter().filter_map(|kind| BENEFICIARIES.get(*kind));
    let words = if words.is_empty() { "nothing is known".to_owned() } else { words.join(", ") };
    let alt = format!("Share of the energy of CPUs and GPUs that went to runs, {}: {words}", period(report));
    let title = "Energy of CPUs and GPUs: used by runs and idle";
    Ok(Rings {
        text: text(report, title, "shares of energy, not of time", alt),
        rings,
        segments: segments
            .map(|kind| SegmentStyle { name: plural(kind).to_owned(), muted: *kind == "idle" })
            .collect(),
    })
}
