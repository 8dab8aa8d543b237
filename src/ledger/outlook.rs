//! What each device would get, and why not better: told from labels alone, for
//! `inspect` and `--explain`.

use super::device_model::{DeviceModel, MemoryRule};
use super::hardware::{cpu_hardware, gpu_hardware};
use super::method::Method;
use super::rules::{GpuInNodeMeter, Rules};
use crate::meter::catalog::{Component, Quantity};
use crate::meter::inventory::{DeviceKey, DeviceSeries, NodeSeries};
use crate::power::DeviceKind;

/// The expected method of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The device.
    pub key: DeviceKey,
    /// Hardware model, if known.
    pub model: String,
    /// The best method that its series allow.
    pub method: Method,
    /// What it would be based on.
    pub source: String,
    /// Why nothing better, or what is missing.
    pub why: String,
}

/// The outlook of every device of a node, whole-node meter included.
pub fn outlook(name: &str, node: &NodeSeries<'_>, rules: &Rules) -> Vec<Outlook> {
    let stated = rules.hardware_of(name);
    let mut found: Vec<Outlook> =
        node.devices.iter().map(|(key, device)| device_outlook(key, device, node, &stated, rules)).collect();
    let has_gpu = node.gpus().next().is_some();
    let key = DeviceKey { component: Component::Other, id: String::new() };
    let gauges = node.node_power.values().flatten().chain(&node.node_power_sums);
    let node_meter = node.node_energy.iter().chain(gauges).next();
    let (method, source, why) = match (node_meter, stated.other_w) {
        (Some(_), _) if has_gpu && rules.gpu_in_node_meter == GpuInNodeMeter::Unknown => {
            (Method::None, String::new(), "state `gpu_in_node_meter` to use the node meter".to_owned())
        }
        (Some(meter), _) if meter.kind.quantity == Quantity::Energy => {
            (Method::MeasuredCounter, format!("{} − parts", meter.kind.metric), String::new())
        }
        (Some(meter), _) => (Method::MeasuredGauge, format!("{} − parts", meter.kind.metric), String::new()),
        (None, Some(watts)) if watts > 0.0 => {
            (Method::ModelledConstant, format!("{watts} W stated"), "no node meter".to_owned())
        }
        (None, _) => (Method::None, String::new(), "no node meter and no `other_w` stated: 0 W".to_owned()),
    };
    found.push(Outlook { key, model: String::new(), method, source, why });
    found
}

fn device_outlook(
    key: &DeviceKey,
    device: &DeviceSeries<'_>,
    node: &NodeSeries<'_>,
    stated: &super::NodeHardware,
    rules: &Rules,
) -> Outlook {
    let metric = |quantity| device.of(quantity).first().map(|meter| meter.kind.metric.clone());
    let model = match key.component {
        Component::Cpu => node.machine.cpu_model.clone(),
        _ => device.model.clone(),
    }
    .unwrap_or_default();
    let (method, source, why) = if let Some(metric) = metric(Quantity::Energy) {
        (Method::MeasuredCounter, metric, String::new())
    } else if let Some(metric) = metric(Quantity::Power) {
        (Method::MeasuredGauge, metric, "no energy counter".to_owned())
    } else if let Some(metric) = metric(Quantity::EnergySum) {
        (Method::MeasuredCounter, metric, "the server's sums, no samples".to_owned())
    } else if let Some(metric) = metric(Quantity::PowerSum) {
        (Method::MeasuredGauge, metric, "the server's sums, no samples; no energy counter".to_owned())
    } else {
        modelled(key, device, node, stated, rules, &model)
    };
    Outlook { key: key.clone(), model, method, source, why }
}

const NO_METER: &str = "no energy counter and no power gauge";

/// True if its own utilisation was recorded.
fn has_gauge(device: &DeviceSeries<'_>) -> bool {
    [Quantity::Utilisation, Quantity::UtilisationSum].iter().any(|quantity| !device.of(*quantity).is_empty())
}

/// By a model: the very one that the report would use.
fn modelled(
    key: &DeviceKey,
    device: &DeviceSeries<'_>,
    node: &NodeSeries<'_>,
    stated: &super::NodeHardware,
    rules: &Rules,
    model: &str,
) -> (Method, String, String) {
    let none = |why: String| (Method::None, String::new(), why);
    let by = |source: &str, found: DeviceModel| {
        (found.method, format!("{source}, {}", found.words), NO_METER.to_owned())
    };
    match key.component {
        Component::Cpu => {
            let gauge = device.of(Quantity::Utilisation).first().filter(|_| !node.has_cpu_time());
            let metric = gauge.map_or("node_cpu_seconds_total", |meter| meter.kind.metric.as_str());
            let cpus = node.devices.keys().filter(|key| key.component == Component::Cpu).count();
            let hardware = cpu_hardware(&node.machine, stated, rules.default_cpu_tdp_w, cpus);
            match DeviceModel::of(rules, DeviceKind::CpuSocket, &hardware) {
                Some(found) => by(metric, found),
                None if hardware.tdp_w.is_some() => none(no_figure(rules, &hardware.model)),
                None if model.is_empty() => none(
                    "no RAPL, and no `node_cpu_info` that names the processor: state `cpu_tdp_w`".to_owned(),
                ),
                None => none(format!("no RAPL, and `{model}` is in no table: state `cpu_tdp_w`")),
            }
        }
        Component::Gpu if !has_gauge(device) => none("neither power nor utilisation".to_owned()),
        Component::Gpu => {
            let hardware = gpu_hardware(device.model.as_deref(), stated, rules.default_gpu_tdp_w, None);
            let found = DeviceModel::of(rules, DeviceKind::Gpu, &hardware);
            // The limit itself is in no label.
            let is_limited = !device.of(Quantity::PowerLimit).is_empty() && !hardware.is_stated;
            match found {
                Some(found) if found.method == Method::ModelledCalibrated => by("utilisation", found),
                _ if is_limited && hardware.curve.is_none() => {
                    let source = format!("utilisation, {} × power limit", rules.power_model);
                    (Method::ModelledUtilisation, source, NO_METER.to_owned())
                }
                Some(found) => by("utilisation", found),
                None if hardware.tdp_w.is_some() => none(no_figure(rules, &hardware.model)),
                None => none(format!("`{model}` is in no table: state `gpu_tdp_w`")),
            }
        }
        Component::Dram if node.has_memory() => {
            let named = stated.cpu_model.as_deref().or(node.machine.cpu_model.as_deref());
            let cpu_model = named.unwrap_or_default();
            let rule = MemoryRule::of(rules, cpu_model, 0.0);
            (rule.method, format!("installed memory × {}", rule.words), NO_METER.to_owned())
        }
        _ => none("no meter".to_owned()),
    }
}

fn no_figure(rules: &Rules, model: &str) -> String {
    format!("power model `{}` has no figure for `{model}`", rules.power_model.name())
}
