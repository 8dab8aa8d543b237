//! What each device would get, and why not better: told from labels alone, for
//! `inspect` and `--explain`.

use super::device_model::MemoryRule;
use super::method::Method;
use super::rules::{GpuInNodeMeter, Rules};
use crate::meter::catalog::{Component, Quantity};
use crate::meter::inventory::{DeviceKey, DeviceSeries, NodeSeries};
use crate::power;

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
        let calibrated = calibrated(key, device, node, stated, rules, &model);
        calibrated.unwrap_or_else(|| modelled(key, device, node, stated, rules, &model))
    };
    Outlook { key: key.clone(), model, method, source, why }
}

const NO_METER: &str = "no energy counter and no power gauge";

/// True if its own utilisation was recorded.
fn has_gauge(device: &DeviceSeries<'_>) -> bool {
    [Quantity::Utilisation, Quantity::UtilisationSum].iter().any(|quantity| !device.of(*quantity).is_empty())
}

/// By a curve of siblings, where the site states no rated power.
fn calibrated(
    key: &DeviceKey,
    device: &DeviceSeries<'_>,
    node: &NodeSeries<'_>,
    stated: &super::NodeHardware,
    rules: &Rules,
    model: &str,
) -> Option<(Method, String, String)> {
    let has_gauge = has_gauge(device);
    let (kind, is_stated, has_load) = match key.component {
        Component::Cpu => {
            (power::DeviceKind::CpuSocket, stated.cpu_tdp_w.is_some(), node.has_cpu_time() || has_gauge)
        }
        Component::Gpu => (power::DeviceKind::Gpu, stated.gpu_tdp_w.is_some(), has_gauge),
        _ => return None,
    };
    let row = rules.calibration.find(kind, model).filter(|_| has_load && !is_stated)?;
    let source =
        format!("utilisation, calibrated on {} machines, {:.1} % off", row.machines, row.error_percent);
    Some((Method::ModelledCalibrated, source, NO_METER.to_owned()))
}

fn modelled(
    key: &DeviceKey,
    device: &DeviceSeries<'_>,
    node: &NodeSeries<'_>,
    stated: &super::NodeHardware,
    rules: &Rules,
    model: &str,
) -> (Method, String, String) {
    let no_meter = NO_METER.to_owned();
    let none = |why: String| (Method::None, String::new(), why);
    match key.component {
        Component::Cpu => {
            let table_w = || power::find_cpu(model).map(|found| found.tdp.value());
            match stated.cpu_tdp_w.or_else(table_w).or(rules.default_cpu_tdp_w) {
                Some(tdp) => {
                    let gauge = device.of(Quantity::Utilisation).first().filter(|_| !node.has_cpu_time());
                    let metric = gauge.map_or("node_cpu_seconds_total", |meter| meter.kind.metric.as_str());
                    let source = format!("{metric}, {} × {tdp} W", rules.power_model);
                    (Method::ModelledUtilisation, source, no_meter)
                }
                None if model.is_empty() => none(
                    "no RAPL, and no `node_cpu_info` that names the processor: state `cpu_tdp_w`".to_owned(),
                ),
                None => none(format!("no RAPL, and `{model}` is in no table: state `cpu_tdp_w`")),
            }
        }
        Component::Gpu => {
            let has_limit = !device.of(Quantity::PowerLimit).is_empty();
            let table_w = || power::find_gpu(model).map(|found| found.tdp.value());
            let tdp = stated.gpu_tdp_w.or_else(table_w).or(rules.default_gpu_tdp_w);
            if !has_gauge(device) {
                none("neither power nor utilisation".to_owned())
            } else if has_limit || tdp.is_some() {
                let rated = tdp.map_or_else(|| "power limit".to_owned(), |tdp| format!("{tdp} W"));
                (
                    Method::ModelledUtilisation,
                    format!("utilisation, {} × {rated}", rules.power_model),
                    no_meter,
                )
            } else {
                none(format!("`{model}` is in no table: state `gpu_tdp_w`"))
            }
        }
        Component::Dram if node.has_memory() => {
            let cpu_model = node.machine.cpu_model.as_deref().unwrap_or_default();
            let rule = MemoryRule::of(rules, cpu_model, 0.0);
            (rule.method, format!("installed memory × {}", rule.words), no_meter)
        }
        _ => none("no meter".to_owned()),
    }
}
