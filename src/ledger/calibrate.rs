//! Collects what devices with both a utilisation and a meter drew, by hardware model, and fits curves to it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::device::Device;
use super::measure::{self, Reading};
use super::models::{node_loads, utilisation_samples};
use super::rules::Rules;
use super::survey::{Survey, survey};
use super::{LedgerError, read_window, select};
use crate::meter::catalog::Component;
use crate::meter::inventory::NodeSeries;
use crate::meter::stream::Scratch;
use crate::power::calibration::{Calibrated, Calibration, Point, fit, fit_constant};
use crate::power::watts_per_gb;
use crate::source::Source;
use crate::time::{Window, buckets};

/// A device's known time in an interval has to be this much of it for the interval to count.
const SEEN: f64 = 0.99;

/// Points of each machine, by component and hardware model.
type Points = BTreeMap<(Component, String), Vec<Vec<Point>>>;

/// Curves of all hardware models of which some device has a utilisation and a meter, and what could not be fitted.
///
/// # Errors
///
/// Where the source cannot be searched or a series cannot be read at all.
pub fn calibrate(source: &dyn Source, rules: &Rules) -> Result<(Calibration, Vec<String>), LedgerError> {
    let series = select(source, rules)?;
    let Survey { inventory, .. } = survey(&series, rules);
    let nodes: Vec<(&String, &NodeSeries<'_>)> = inventory.nodes.iter().collect();
    let found: Vec<Result<Points, LedgerError>> = nodes
        .into_par_iter()
        .map_init(
            || Scratch::of(rules.window),
            |scratch, (name, series)| {
                let points = of_node(name, series, rules, scratch);
                source.release();
                points
            },
        )
        .collect();
    let mut all = Points::new();
    for points in found {
        for (model, machines) in points? {
            all.entry(model).or_default().extend(machines);
        }
    }
    let mut calibration = Calibration::default();
    let mut notes = Vec::new();
    for ((component, model), machines) in all {
        let fitted = if component == Component::Dram { fit_constant(&machines) } else { fit(&machines) };
        let Some(fit) = fitted else {
            notes.push(format!("{component} `{model}`: too few points, or all at one utilisation"));
            continue;
        };
        calibration.calibrated.push(Calibrated {
            component: component.to_string(),
            model,
            idle_w: fit.curve.idle_w.max(0.0),
            slope_w: fit.curve.slope_w,
            bend_w: fit.curve.bend_w,
            points: fit.points,
            machines: fit.machines,
            error_percent: 100.0 * fit.error,
            low_percent: Some(fit.spread.percent().0),
            high_percent: Some(fit.spread.percent().1),
        });
    }
    Ok((calibration, notes))
}

fn of_node(
    name: &str,
    series: &NodeSeries<'_>,
    rules: &Rules,
    scratch: &mut Scratch,
) -> Result<Points, LedgerError> {
    let stated = rules.hardware_of(name);
    let buckets = buckets(rules.window, rules.bucket_ms, rules.time_zone);
    let reading = Reading {
        rules,
        stated: &stated,
        window: read_window(rules),
        buckets: &buckets,
        claims: &[],
        job_ids: &[],
    };
    let measured = measure::measure(series, &reading, scratch)?;
    let mut points = Points::new();
    let is_measured =
        |device: &&Device| device.methods.first().is_some_and(|first| first.method.is_measured());
    // A virtual machine's processor is a part of one: its curve would fit no other.
    let sockets: Vec<&Device> = measured
        .devices
        .iter()
        .filter(|device| device.key.component == Component::Cpu && !series.machine.is_virtual)
        .collect();
    let model = series.machine.cpu_model.clone().unwrap_or_default();
    let memory: Vec<&Device> =
        measured.devices.iter().filter(|device| device.key.component == Component::Dram).collect();
    let is_memory_known = !model.is_empty() && !memory.is_empty() && memory.iter().all(is_measured);
    if let Some(bytes) = measured.memory_bytes.filter(|_| is_memory_known) {
        let here = buckets.iter().filter_map(|bucket| {
            let watts: Option<f64> = memory.iter().map(|device| power(device, *bucket)).sum();
            let power_w = watts_per_gb(crate::units::Watts(watts?), bytes)?;
            Some(Point { utilisation: 0.0, power_w, seconds: bucket.length_s() })
        });
        points.entry((Component::Dram, model.clone())).or_default().push(here.collect());
    }
    if series.has_cpu_time() && !sockets.is_empty() && sockets.iter().all(is_measured) && !model.is_empty() {
        let loads = node_loads(series, &reading, scratch)?;
        // One device may be several sockets, or a die of one.
        let count = series.machine.sockets.map_or(sockets.len() as f64, f64::from);
        let mut here = Vec::new();
        for load in loads.iter().filter(|load| load.complete && inside(rules.window, load.window)) {
            let Ok(utilisation) = load.utilisation else { continue };
            let watts: Option<f64> = sockets.iter().map(|socket| power(socket, load.window)).sum();
            let socket_w = watts.map(|watts| watts / count);
            here.extend(socket_w.map(|power_w| Point {
                utilisation,
                power_w,
                seconds: load.window.length_s(),
            }));
        }
        points.entry((Component::Cpu, model)).or_default().push(here);
    }
    let mut gpus: BTreeMap<String, Vec<Vec<Point>>> = BTreeMap::new();
    for (key, gpu) in series.gpus() {
        let device = measured.devices.iter().find(|device| device.key == *key).filter(is_measured);
        let (Some(device), Some(model)) = (device, gpu.model.clone()) else { continue };
        let samples = utilisation_samples(gpu, &reading, scratch)?;
        let mut here = Vec::new();
        for (before, after) in samples.iter().zip(samples.iter().skip(1)) {
            let window = Window::new(before.0, after.0);
            if !inside(rules.window, window) {
                continue;
            }
            let utilisation = 0.5 * (before.1 + after.1);
            let power_w = power(device, window);
            here.extend(power_w.map(|power_w| Point { utilisation, power_w, seconds: window.length_s() }));
        }
        gpus.entry(model).or_default().push(here);
    }
    for (model, devices) in gpus {
        points.entry((Component::Gpu, model)).or_default().push(in_turn(&devices));
    }
    points.retain(|_, machines| machines.iter().any(|points| !points.is_empty()));
    Ok(points)
}

/// The points of a machine's devices, one of each in turn: in order of time, so that pieces of them are pieces of time.
fn in_turn(devices: &[Vec<Point>]) -> Vec<Point> {
    let longest = devices.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|nth| devices.iter().filter_map(move |points| points.get(nth).copied())).collect()
}

fn inside(outer: Window, inner: Window) -> bool {
    outer.start_ms <= inner.start_ms && inner.end_ms <= outer.end_ms
}

/// Mean power by the device's best meter, in watts, where that knows the whole of `window`.
fn power(device: &Device, window: Window) -> Option<f64> {
    let reading = device.methods.first()?.curve.read(window);
    let seconds = window.length_s();
    (seconds > 0.0 && reading.covered_s >= SEEN * seconds).then(|| reading.energy_j / reading.covered_s)
}
