//! Whole-node meters: what they see beyond the parts (rules T1, T2).

use super::device::{Device, MethodCurve};
use super::method::Method;
use super::node_meter::NodeMeter;
use super::rules::GpuInNodeMeter;
use crate::meter::catalog::Component;
use crate::meter::curve::{Coverage, Interval, Missing};
use crate::meter::inventory::DeviceKey;
use crate::meter::presence::Presence;
use crate::sum::Sum;
use crate::time::Window;
use crate::uncertainty::Spread;

/// One bucket of a node meter, for the balance B3. All over the seconds that the
/// meter and all parts cover.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeBucket {
    /// What the node meter saw, in joules.
    pub node_j: f64,
    /// What the parts say, modelled ones after scaling, in joules.
    pub parts_j: f64,
    /// What is left, in joules.
    pub other_j: f64,
    /// What measured parts exceed the node meter by, in joules.
    pub overmeasured_j: f64,
    /// Seconds that all of them cover.
    pub joint_s: f64,
    /// What the node meter saw in seconds that some part does not cover, in joules: in no line.
    pub unmatched_j: f64,
}

/// What a node meter gives.
#[derive(Debug, Default)]
pub(super) struct WholeNode {
    /// By bucket; empty where no `other` is worked out.
    pub buckets: Vec<NodeBucket>,
    /// Why no `other` is worked out, if so.
    pub note: Option<String>,
}

/// Adds the device `other` to `devices`: from the node meter, or else from a stated constant.
pub(super) fn add_other(
    devices: &mut Vec<Device>,
    meter: Option<&NodeMeter>,
    gpu_in_meter: GpuInNodeMeter,
    (other_w, psu_efficiency): (Option<f64>, Option<f64>),
    buckets: &[Window],
    presence: &Presence,
) -> WholeNode {
    let has_gpu = devices.iter().any(|device| device.key.component == Component::Gpu);
    match meter {
        Some(_) if has_gpu && gpu_in_meter == GpuInNodeMeter::Unknown => WholeNode {
            note: Some(
                "a node meter, but `gpu_in_node_meter` is not stated: no `other` is worked out".to_owned(),
            ),
            ..WholeNode::default()
        },
        Some(meter) => from_meter(devices, meter, gpu_in_meter, buckets, presence),
        None => {
            let watts = other_w.unwrap_or(0.0);
            let efficiency = psu_efficiency.unwrap_or(1.0);
            if watts > 0.0 || efficiency < 1.0 {
                let found = stated(devices, (watts, efficiency), buckets, presence);
                devices.push(found);
            }
            WholeNode::default()
        }
    }
}

fn from_meter(
    devices: &mut Vec<Device>,
    meter: &NodeMeter,
    gpu_in_meter: GpuInNodeMeter,
    buckets: &[Window],
    presence: &Presence,
) -> WholeNode {
    // What has no method of its own is not taken off: `other` holds it.
    let is_part = |device: &Device| {
        !device.methods.is_empty()
            && (device.key.component != Component::Gpu || gpu_in_meter == GpuInNodeMeter::Yes)
    };
    let mut found = Vec::with_capacity(buckets.len());
    let mut intervals = Vec::with_capacity(buckets.len());
    let mut coverage_scale = Vec::with_capacity(buckets.len());
    let mut spreads = Vec::with_capacity(buckets.len());
    let meter_spread = meter.method.spread(Component::Node);
    let mut worst = meter.method;
    for (bucket, window) in buckets.iter().enumerate() {
        let joint = jointly_known(devices, &is_part, meter, bucket, *window);
        let node_j = total(&joint, |piece| meter.curve.read(piece).energy_j);
        let mut measured_j = Sum::new();
        let mut modelled_j = Sum::new();
        // By how much modelled parts may be less, and more.
        let (mut less_j, mut more_j) = (0.0, 0.0);
        for device in devices.iter().filter(|device| is_part(device)) {
            let part_j = total(&joint, |piece| device.read(bucket, piece).energy_j);
            let method = device.chosen(bucket).map_or(Method::None, |chosen| chosen.method);
            if method.is_measured() {
                measured_j.add(part_j);
            } else {
                modelled_j.add(part_j);
                let spread = device.spreads.get(bucket).copied().unwrap_or(Spread::NONE);
                less_j += part_j * (1.0 - spread.low());
                more_j += part_j * (spread.high() - 1.0);
                // Of a bucket in which a part is unknown nothing is worked out.
                if !joint.is_empty() {
                    worst = worst.max(method);
                }
            }
        }
        let (measured_j, modelled_j) = (measured_j.value(), modelled_j.value());
        let room_j = (node_j - measured_j).max(0.0);
        let scale = if modelled_j > room_j { room_j / modelled_j } else { 1.0 };
        if scale < 1.0 {
            let is_modelled =
                |device: &Device| !device.chosen(bucket).is_none_or(|chosen| chosen.method.is_measured());
            for device in devices.iter_mut().filter(|device| is_part(device) && is_modelled(device)) {
                if let Some(factor) = device.energy_scale.get_mut(bucket) {
                    *factor = scale;
                }
            }
        }
        let parts_j = measured_j + modelled_j * scale;
        let joint_s = crate::sum::sum(joint.iter().map(|piece| piece.length_s()));
        let other_j = (node_j - parts_j).max(0.0);
        found.push(NodeBucket {
            node_j,
            parts_j,
            other_j,
            overmeasured_j: (measured_j - node_j).max(0.0),
            joint_s,
            unmatched_j: meter.curve.read(*window).energy_j - node_j,
        });
        spreads.push(meter_spread.of_remainder(node_j, other_j, (less_j * scale, more_j * scale)));
        coverage_scale.push(if window.length_s() > 0.0 { joint_s / window.length_s() } else { 0.0 });
        intervals.push(if joint_s > 0.0 {
            Interval::flat(window.start_ms, window.end_ms, other_j, Coverage::Covered)
        } else {
            Interval::missing(window.start_ms, window.end_ms, Missing::Gap)
        });
    }
    let source = format!("{} − parts", meter.source);
    let mut device = other(worst, source, intervals, buckets, presence);
    device.coverage_scale = coverage_scale;
    device.spreads = spreads;
    devices.push(device);
    WholeNode { buckets: found, note: None }
}

/// The parts of a bucket that the meter and every part know.
fn jointly_known(
    devices: &[Device],
    is_part: &impl Fn(&Device) -> bool,
    meter: &NodeMeter,
    bucket: usize,
    window: Window,
) -> Vec<Window> {
    let mut unknown = meter.curve.unknown(window);
    for device in devices.iter().filter(|device| is_part(device)) {
        match device.chosen(bucket) {
            Some(chosen) => unknown.extend(chosen.curve.unknown(window)),
            None => unknown.push(window),
        }
    }
    unknown.sort_unstable();
    let mut known = Vec::new();
    let mut at_ms = window.start_ms;
    for gap in unknown {
        if gap.start_ms > at_ms {
            known.push(Window::new(at_ms, gap.start_ms));
        }
        at_ms = at_ms.max(gap.end_ms);
    }
    if at_ms < window.end_ms {
        known.push(Window::new(at_ms, window.end_ms));
    }
    known
}

fn total(pieces: &[Window], energy_j: impl Fn(Window) -> f64) -> f64 {
    crate::sum::sum(pieces.iter().map(|piece| energy_j(*piece)))
}

/// Rule T2: a constant, and what the supplies lose of it and of all parts.
fn stated(
    devices: &[Device],
    (watts, efficiency): (f64, f64),
    buckets: &[Window],
    presence: &Presence,
) -> Device {
    let lost = 1.0 / efficiency - 1.0;
    let mut intervals = Vec::new();
    for (bucket, window) in buckets.iter().enumerate() {
        let Some(span) = presence.span.and_then(|span| span.intersect(*window)) else { continue };
        let mut at_ms = span.start_ms;
        let end = Window::new(span.end_ms, span.end_ms);
        for off in presence.off.iter().chain([&end]) {
            let on = Window::new(at_ms, off.start_ms.clamp(at_ms, span.end_ms));
            if !on.is_empty() {
                let constant_j = watts * on.length_s();
                let mut energy_j = constant_j;
                if lost > 0.0 {
                    let parts = devices.iter().map(|device| device.read(bucket, on).energy_j);
                    energy_j += lost * (crate::sum::sum(parts) + constant_j);
                }
                intervals.push(Interval::flat(on.start_ms, on.end_ms, energy_j, Coverage::Covered));
            }
            at_ms = at_ms.max(off.end_ms.min(span.end_ms));
        }
    }
    let source = match (watts > 0.0, efficiency < 1.0) {
        (true, false) => format!("{watts} W stated"),
        (false, _) => format!("losses of supplies at {efficiency}, stated"),
        (true, true) => format!("{watts} W and losses of supplies at {efficiency}, stated"),
    };
    other(Method::ModelledConstant, source, intervals, buckets, presence)
}

fn other(
    method: Method,
    source: String,
    intervals: Vec<Interval>,
    buckets: &[Window],
    presence: &Presence,
) -> Device {
    let curve = MethodCurve::of_intervals(method, source, intervals);
    let key = DeviceKey { component: Component::Other, id: String::new() };
    Device::new(key, String::new(), vec![curve], buckets, presence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::counter::Tally;
    use crate::meter::curve::Curve;
    use crate::meter::edges::{EdgeRule, Holders};

    const HOUR: Window = Window::new(0, 3_600_000);

    fn device(component: Component, method: Method, window: Window, watts: f64) -> Device {
        let energy = watts * window.length_s();
        let intervals = vec![Interval::flat(window.start_ms, window.end_ms, energy, Coverage::Covered)];
        let tally = Tally::default();
        let source = String::new();
        let curve = MethodCurve::new(method, source, intervals, &Holders::default(), EdgeRule::Power, tally);
        let presence = Presence { span: Some(window), ..Presence::default() };
        Device::new(
            DeviceKey { component, id: String::new() },
            String::new(),
            vec![curve],
            &[HOUR],
            &presence,
        )
    }

    fn meter(watts: f64) -> NodeMeter {
        let intervals = vec![Interval::flat(0, HOUR.end_ms, watts * 3600.0, Coverage::Covered)];
        NodeMeter {
            method: Method::MeasuredGauge,
            source: "ipmi".to_owned(),
            curve: Curve::new(intervals),
            tally: Tally::default(),
        }
    }

    fn run(devices: &mut Vec<Device>, node_w: f64, gpu: GpuInNodeMeter) -> WholeNode {
        let presence = Presence { span: Some(HOUR), ..Presence::default() };
        add_other(devices, Some(&meter(node_w)), gpu, (None, None), &[HOUR], &presence)
    }

    #[test]
    fn other_is_what_the_parts_leave() {
        let mut devices = vec![
            device(Component::Cpu, Method::MeasuredCounter, HOUR, 200.0),
            device(Component::Gpu, Method::MeasuredCounter, HOUR, 300.0),
        ];
        let whole = run(&mut devices, 600.0, GpuInNodeMeter::Yes);
        assert_eq!(whole.buckets[0].other_j, 100.0 * 3600.0);
        assert_eq!(devices[2].read(0, Window::new(0, 36_000)).energy_j, 3600.0);
        let mut devices = vec![
            device(Component::Cpu, Method::MeasuredCounter, HOUR, 200.0),
            device(Component::Gpu, Method::MeasuredCounter, HOUR, 300.0),
        ];
        assert_eq!(run(&mut devices, 600.0, GpuInNodeMeter::No).buckets[0].other_j, 400.0 * 3600.0);
        let mut devices = vec![device(Component::Gpu, Method::MeasuredCounter, HOUR, 300.0)];
        assert!(run(&mut devices, 600.0, GpuInNodeMeter::Unknown).note.is_some());
    }

    #[test]
    fn modelled_parts_shrink_under_the_node_meter_measured_ones_do_not() {
        let mut devices = vec![
            device(Component::Cpu, Method::MeasuredCounter, HOUR, 200.0),
            device(Component::Dram, Method::ModelledConstant, HOUR, 100.0),
        ];
        let whole = run(&mut devices, 250.0, GpuInNodeMeter::Yes);
        assert_eq!(whole.buckets[0].other_j, 0.0);
        assert_eq!(devices[1].read(0, HOUR).energy_j, 50.0 * 3600.0);
        let mut devices = vec![device(Component::Cpu, Method::MeasuredCounter, HOUR, 200.0)];
        let whole = run(&mut devices, 150.0, GpuInNodeMeter::Yes);
        assert_eq!(whole.buckets[0].overmeasured_j, 50.0 * 3600.0);
    }

    #[test]
    fn only_seconds_that_all_cover_count() {
        let half = Window::new(0, 1_800_000);
        let mut devices = vec![device(Component::Cpu, Method::MeasuredCounter, half, 200.0)];
        let whole = run(&mut devices, 300.0, GpuInNodeMeter::Yes);
        assert_eq!(whole.buckets[0].other_j, 100.0 * 1800.0);
        assert_eq!(whole.buckets[0].unmatched_j, 300.0 * 1800.0);
        // Spread evenly over the bucket, and half of it known.
        let reading = devices[1].read(0, half);
        assert_eq!((reading.energy_j, reading.covered_s), (100.0 * 900.0, 900.0));
    }
}
