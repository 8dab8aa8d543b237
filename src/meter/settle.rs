//! Which of several exporters counts, where labels alone cannot tell what is the same device (rules N2, N4).

use super::catalog::{Component, MeterKind, Quantity};
use super::inventory::{MeterSeries, NodeSeries};

/// Rule N2 where exporters name the devices of a component in ways that cannot be matched: those that are a
/// fallback give way to all others, and to the first of each other by name. Returns the rows that count no more, and
/// what they are part of.
pub(super) fn settle_fallbacks(node: &mut NodeSeries<'_>) -> Vec<(usize, String)> {
    let mut settled = Vec::new();
    for component in [Component::Cpu, Component::Dram, Component::Gpu] {
        let measures = |quantity: &Quantity| matches!(quantity, Quantity::Energy | Quantity::Power);
        let kinds = node
            .devices
            .iter()
            .filter(|(key, _)| key.component == component)
            .flat_map(|(_, device)| &device.by_quantity)
            .filter(|(quantity, _)| measures(quantity))
            .flat_map(|(_, series)| series.iter().map(|meter| meter.kind));
        let Some(chosen) = kinds.min_by_key(|kind| (kind.fallback, &kind.exporter)) else { continue };
        let gives_way =
            |kind: &MeterKind| kind.fallback && (!chosen.fallback || kind.exporter != chosen.exporter);
        for device in
            node.devices.iter_mut().filter(|(key, _)| key.component == component).map(|(_, device)| device)
        {
            for series in device.by_quantity.values_mut() {
                let rows = series.iter().filter(|meter| gives_way(meter.kind)).map(|meter| meter.row);
                settled.extend(rows.map(|row| (row, format!("what {} measures", chosen.exporter))));
                series.retain(|meter| !gives_way(meter.kind));
            }
            device.by_quantity.retain(|_, series| !series.is_empty());
        }
    }
    if !settled.is_empty() {
        node.devices.retain(|_, device| !device.by_quantity.is_empty() || !device.instances.is_empty());
    }
    settled
}

/// Rule N4 for modules that hold a GPU and a processor (GH200): their counter is not the GPU's. Where the GPU has
/// a power meter of its own, the counter is left aside; else the counter stands for both, and
/// the processors have no line. Returns the rows that are no meters now, and what they belong to.
pub(super) fn settle_modules(node: &mut NodeSeries<'_>) -> Vec<(usize, String)> {
    let mut settled = Vec::new();
    let mut holds_processors = false;
    for (key, device) in node.devices.iter_mut().filter(|(key, _)| key.component == Component::Gpu) {
        let Some(model) = device.model.clone() else { continue };
        let has_gauge = !device.of(Quantity::Power).is_empty();
        let Some(energy) = device.by_quantity.get_mut(&Quantity::Energy) else { continue };
        if !energy.iter().any(|meter| meter.kind.counts_module(&model)) {
            continue;
        }
        if has_gauge {
            let (modules, own) = energy.drain(..).partition(|meter| meter.kind.counts_module(&model));
            *energy = own;
            let modules: Vec<MeterSeries<'_>> = modules;
            let whole = format!("the module of GPU {} and a processor", key.id);
            settled.extend(modules.iter().map(|meter| (meter.row, whole.clone())));
            device.by_quantity.retain(|_, series| !series.is_empty());
        } else {
            holds_processors = true;
        }
    }
    if holds_processors {
        node.devices.retain(|key, device| {
            let is_held = key.component == Component::Cpu;
            if is_held {
                let series = device.by_quantity.values().flatten();
                settled.extend(series.map(|meter| (meter.row, "the module's energy counter".to_owned())));
            }
            !is_held
        });
    }
    settled
}
