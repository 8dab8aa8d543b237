//! Reads what one node's meters recorded and turns each device's samples into
//! energy curves. Lower-ranked methods are read only where better ones leave a
//! bucket unknown.

use std::collections::BTreeSet;

use super::claims::{Claim, Timeline};
use super::device::{Device, MethodCurve};
use super::method::Method;
use super::rules::{NodeHardware, Rules};
use crate::meter::catalog::{Component, Quantity};
use crate::meter::counter::{self, CounterRules, Tally};
use crate::meter::curve::{Coverage, Curve, Interval};
use crate::meter::edges::{EdgeRule, Holders};
use crate::meter::gauge;
use crate::meter::inventory::{DeviceKey, DeviceSeries, Machine, MeterSeries, NodeSeries};
use crate::meter::presence::{Boots, Presence};
use crate::meter::stream::{MeterSamples, Scratch, SeriesUse, read_meter};
use crate::meter::utilisation::{Load, LoadBuilder};
use crate::power::{self, DeviceKind};
use crate::source::SourceError;
use crate::time::Window;
use crate::tsdb::{Labels, is_stale};
use crate::units::Watts;

/// A whole-node meter.
#[derive(Clone, Debug)]
pub(super) struct NodeMeter {
    /// Its metric.
    pub source: String,
    /// Its energy.
    pub curve: Curve,
    /// What was read and dropped.
    pub tally: Tally,
}

/// A node, read.
#[derive(Debug, Default)]
pub(super) struct MeasuredNode {
    /// When it was there.
    pub presence: Presence,
    /// Its devices, in the order of their keys.
    pub devices: Vec<Device>,
    /// Its whole-node meter, if it has one.
    pub node_meter: Option<NodeMeter>,
    /// Installed memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// What reading needs besides the series.
pub(super) struct Reading<'a> {
    /// The settings.
    pub rules: &'a Rules,
    /// What the site states of this node.
    pub stated: &'a NodeHardware,
    /// Time that is read: the report's window and a margin on either side.
    pub window: Window,
    /// The buckets of the report.
    pub buckets: &'a [Window],
    /// Who held what.
    pub claims: &'a [Claim],
}

/// Reads the node `series`.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub(super) fn measure(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    scratch: &mut Scratch,
) -> Result<MeasuredNode, SourceError> {
    let mut node = MeasuredNode::default();
    let mut span = Span::default();
    let answered = read_answers(series, reading.window, scratch, &mut span)?;
    let boots = read_boots(series, reading.window, scratch, &mut span)?;
    let memory = read_meter(&series.memory, reading.window, scratch)?;
    node.memory_bytes = memory.samples.iter().map(|(_, bytes)| *bytes).reduce(f64::max);
    node.uses.extend(memory.uses.iter().cloned());
    span.add_all(&memory);

    let mut first: Vec<MeterSamples> = Vec::new();
    for device in series.devices.values() {
        let best = if device.of(Quantity::Energy).is_empty() { Quantity::Power } else { Quantity::Energy };
        let samples = read_meter(device.of(best), reading.window, scratch)?;
        span.add_all(&samples);
        first.push(samples);
    }
    let node_power = read_meter(&series.node_power, reading.window, scratch)?;
    span.add_all(&node_power);
    node.uses.extend(node_power.uses.iter().cloned());
    if let Some(meter) = series.node_power.first() {
        let mut tally = node_power.tally.clone();
        let intervals = gauge::integrate(
            &node_power.samples,
            &node_power.stale_ms,
            power::P_MAX_NODE.value(),
            &node_power.gaps,
            (&Holders::default(), EdgeRule::Linear),
            &mut tally,
        );
        let source = meter.kind.metric.clone();
        node.node_meter = Some(NodeMeter { source, curve: Curve::new(intervals), tally });
    }

    let mut builder = Builder {
        series,
        reading,
        boots: &boots,
        memory: &memory,
        timeline: Timeline::new(reading.claims, &[reading.window], &[]),
        gpus: gpu_positions(series),
        loads: None,
        presence: Presence::default(),
    };
    // Utilisation alone tells when such a node was there, so it is read first.
    if span.window().is_none() && !series.cpu_time.is_empty() {
        for load in builder.loads(scratch, &mut node)? {
            span.add(load.window.start_ms);
            span.add(load.window.end_ms);
        }
    }
    builder.presence = Presence::new(span.window(), &answered, &boots);
    for ((key, device), samples) in series.devices.iter().zip(first) {
        let built = builder.device(key, device, samples, scratch, &mut node)?;
        node.devices.push(built);
    }
    node.presence = builder.presence;
    Ok(node)
}

/// The positions of a node's GPUs, in the order in which claims count them.
pub(super) fn gpu_positions(series: &NodeSeries<'_>) -> Vec<DeviceKey> {
    series.devices.keys().filter(|key| key.component == Component::Gpu).cloned().collect()
}

/// First and last sample of any kind.
#[derive(Default)]
struct Span(Option<(i64, i64)>);

impl Span {
    fn add(&mut self, at_ms: i64) {
        self.0 = Some(self.0.map_or((at_ms, at_ms), |(first, last)| (first.min(at_ms), last.max(at_ms))));
    }

    fn add_all(&mut self, meter: &MeterSamples) {
        for end in [meter.samples.first(), meter.samples.last()].into_iter().flatten() {
            self.add(end.0);
        }
    }

    fn window(&self) -> Option<Window> {
        self.0.map(|(first, last)| Window::new(first, last))
    }
}

/// The instants at which any target of the node answered, ascending. That one
/// did not answer is a sample too: exporters that died are time unseen, not time
/// that nobody expected (rule C5). A management controller answers also while
/// its node is off, so it tells nothing.
fn read_answers(
    series: &NodeSeries<'_>,
    window: Window,
    scratch: &mut Scratch,
    span: &mut Span,
) -> Result<Vec<i64>, SourceError> {
    let target = |labels: &Labels| ["job", "instance"].map(|name| labels.get(name).map(str::to_owned));
    let in_system: BTreeSet<_> = series.boot_time.iter().map(|boot| target(boot.labels())).collect();
    let mut controllers: BTreeSet<_> =
        series.node_power.iter().map(|meter| target(meter.series.labels())).collect();
    controllers.retain(|controller| !in_system.contains(controller));
    let mut answered = Vec::new();
    for up in series.up.iter().filter(|up| !controllers.contains(&target(up.labels()))) {
        up.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let samples = scratch.buffer.samples();
        for (at_ms, value) in samples.timestamps_ms.iter().zip(&samples.values) {
            if !is_stale(*value) {
                span.add(*at_ms);
            }
            if *value == 1.0 {
                answered.push(*at_ms);
            }
        }
    }
    answered.sort_unstable();
    answered.dedup();
    Ok(answered)
}

fn read_boots(
    series: &NodeSeries<'_>,
    window: Window,
    scratch: &mut Scratch,
    span: &mut Span,
) -> Result<Boots, SourceError> {
    let mut samples: Vec<(i64, f64)> = Vec::new();
    for boot in &series.boot_time {
        boot.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let read = scratch.buffer.samples();
        let pairs = read.timestamps_ms.iter().copied().zip(read.values.iter().copied());
        samples.extend(pairs.filter(|(_, value)| !is_stale(*value)));
    }
    samples.sort_by_key(|(at_ms, _)| *at_ms);
    for end in [samples.first(), samples.last()].into_iter().flatten() {
        span.add(end.0);
    }
    Ok(Boots::from_samples(samples))
}

/// Builds the curves of one node's devices.
struct Builder<'a> {
    series: &'a NodeSeries<'a>,
    reading: &'a Reading<'a>,
    boots: &'a Boots,
    memory: &'a MeterSamples,
    timeline: Timeline,
    gpus: Vec<DeviceKey>,
    /// The node's utilisation, once some device needed it.
    loads: Option<Vec<Load>>,
    presence: Presence,
}

impl Builder<'_> {
    fn device(
        &mut self,
        key: &DeviceKey,
        device: &DeviceSeries<'_>,
        best: MeterSamples,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Device, SourceError> {
        let holders = self.holders(key);
        let hardware = self.hardware(key, device, scratch, node)?;
        let mut methods = Vec::new();
        let energy = device.of(Quantity::Energy);
        let power = device.of(Quantity::Power);
        let is_enough = |methods: &[MethodCurve], builder: &Self| {
            methods.iter().any(|method| method.is_enough(builder.reading.buckets, &builder.presence))
        };
        if !energy.is_empty() {
            methods.extend(self.counter_curve(energy, &best, &hardware, &holders));
        }
        if !power.is_empty() && !is_enough(&methods, self) {
            let read;
            let samples = if energy.is_empty() {
                &best
            } else {
                read = read_meter(power, self.reading.window, scratch)?;
                node.uses.extend(read.uses.iter().cloned());
                &read
            };
            methods.extend(self.gauge_curve(power, samples, &hardware, &holders));
        }
        node.uses.extend(best.uses);
        if !is_enough(&methods, self) {
            methods.extend(self.modelled(key, device, &hardware, &holders, scratch, node)?);
        }
        let buckets = self.reading.buckets;
        Ok(Device::new(key.clone(), hardware.model, methods, buckets, &self.presence))
    }

    /// Which set of runs holds the device.
    fn holders(&self, key: &DeviceKey) -> Holders {
        let Some(gpu) = self.gpus.iter().position(|gpu| gpu == key) else {
            return self.timeline.node_holders();
        };
        let claims = self.reading.claims;
        let asks = |at: &usize| {
            claims.get(*at).is_some_and(|claim| {
                claim.bound_gpus.contains(&gpu)
                    || (claim.bound_gpus.is_empty() && claim.gpus.is_none_or(|gpus| gpus > 0.0))
            })
        };
        let is_bound = |at: &usize| claims.get(*at).is_some_and(|claim| claim.bound_gpus.contains(&gpu));
        self.timeline.device_holders(|set| {
            let bound: Vec<usize> = set.iter().copied().filter(is_bound).collect();
            if bound.is_empty() { set.iter().copied().filter(asks).collect() } else { bound }
        })
    }

    fn counter_curve(
        &self,
        series: &[MeterSeries<'_>],
        samples: &MeterSamples,
        hardware: &Hardware,
        holders: &Holders,
    ) -> Option<MethodCurve> {
        let kind = series.first()?.kind;
        let rules = CounterRules {
            wrap_j: &kind.wrap_j,
            resets: kind.resets,
            max_power_w: hardware.max_power_w,
            boots: self.boots,
            gaps: &samples.gaps,
        };
        let mut tally = samples.tally.clone();
        let intervals = counter::integrate(&samples.samples, &samples.stale_ms, &rules, &mut tally);
        let method = Method::MeasuredCounter;
        Some(self.method(method, sources(series), intervals, holders, tally))
    }

    fn gauge_curve(
        &self,
        series: &[MeterSeries<'_>],
        samples: &MeterSamples,
        hardware: &Hardware,
        holders: &Holders,
    ) -> Option<MethodCurve> {
        series.first()?;
        let mut tally = samples.tally.clone();
        let intervals = gauge::integrate(
            &samples.samples,
            &samples.stale_ms,
            hardware.max_power_w,
            &samples.gaps,
            (holders, self.reading.rules.edges),
            &mut tally,
        );
        Some(self.method(Method::MeasuredGauge, sources(series), intervals, holders, tally))
    }

    fn method(
        &self,
        method: Method,
        source: String,
        intervals: Vec<Interval>,
        holders: &Holders,
        tally: Tally,
    ) -> MethodCurve {
        MethodCurve::new(method, source, intervals, holders, self.reading.rules.edges, tally)
    }

    fn modelled(
        &mut self,
        key: &DeviceKey,
        device: &DeviceSeries<'_>,
        hardware: &Hardware,
        holders: &Holders,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Option<MethodCurve>, SourceError> {
        match key.component {
            Component::Cpu => self.cpu_model(hardware, holders, scratch, node),
            Component::Gpu => self.gpu_model(device, hardware, holders, scratch, node),
            Component::Dram => Ok(self.memory_model(holders)),
            Component::Other | Component::Node => Ok(None),
        }
    }

    /// Rule C4 for processors: the node's mean utilisation through the power model, for each package.
    fn cpu_model(
        &mut self,
        hardware: &Hardware,
        holders: &Holders,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Option<MethodCurve>, SourceError> {
        if self.series.cpu_time.is_empty() {
            return Ok(None);
        }
        let Some(tdp) = hardware.tdp_w else {
            let note = match self.series.machine.cpu_model.as_deref() {
                Some(name) => {
                    format!("processor `{name}` is in no table: state `cpu_tdp_w` to have it modelled")
                }
                None => "no `node_cpu_info`: state `cpu_tdp_w` to have the processor modelled".to_owned(),
            };
            if !node.notes.contains(&note) {
                node.notes.push(note);
            }
            return Ok(None);
        };
        if self.series.machine.sockets.is_none() && self.reading.stated.sockets.is_none() {
            let note =
                "no `node_cpu_info`: one processor is taken, state `sockets` if there are more".to_owned();
            if !node.notes.contains(&note) {
                node.notes.push(note);
            }
        }
        let model = &self.reading.rules.power_model;
        let mut tally = Tally::default();
        let intervals: Vec<Interval> = self
            .loads(scratch, node)?
            .iter()
            .map(|load| match load.utilisation {
                Ok(utilisation) => {
                    let power_w = model.power(utilisation, Watts(tdp)).value() * hardware.scale;
                    let energy_j = power_w * load.window.length_s();
                    Interval::flat(
                        load.window.start_ms,
                        load.window.end_ms,
                        energy_j,
                        if load.complete { Coverage::Covered } else { Coverage::Interpolated },
                    )
                }
                Err(why) => Interval::missing(load.window.start_ms, load.window.end_ms, why),
            })
            .collect();
        tally.increments_j = crate::sum::sum(intervals.iter().map(|interval| interval.energy_j));
        tally.close(&intervals);
        let source = format!("node_cpu_seconds_total, {model} × {tdp} W ({})", hardware.origin);
        Ok(Some(self.method(Method::ModelledUtilisation, source, intervals, holders, tally)))
    }

    /// Rule C4 for GPUs: utilisation gauge through the power model.
    fn gpu_model(
        &self,
        device: &DeviceSeries<'_>,
        hardware: &Hardware,
        holders: &Holders,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Option<MethodCurve>, SourceError> {
        let series = device.of(Quantity::Utilisation);
        if series.is_empty() {
            return Ok(None);
        }
        let Some(tdp) = hardware.tdp_w else {
            let name = if hardware.model.is_empty() { "of unknown name" } else { &hardware.model };
            let note = format!("GPU `{name}` is in no table: state `gpu_tdp_w` to have it modelled");
            if !node.notes.contains(&note) {
                node.notes.push(note);
            }
            return Ok(None);
        };
        let mut meter = read_meter(series, self.reading.window, scratch)?;
        node.uses.extend(meter.uses.iter().cloned());
        let model = &self.reading.rules.power_model;
        let before = meter.samples.len();
        meter.samples.retain(|(_, utilisation)| (0.0..=1.0).contains(utilisation));
        let mut tally = meter.tally.clone();
        tally.impossible += (before - meter.samples.len()) as u64;
        for (_, value) in &mut meter.samples {
            *value = model.power(*value, Watts(tdp)).value();
        }
        let intervals = gauge::integrate(
            &meter.samples,
            &meter.stale_ms,
            hardware.max_power_w,
            &meter.gaps,
            (holders, self.reading.rules.edges),
            &mut tally,
        );
        let source = format!("{}, {model} × {tdp} W ({})", sources(series), hardware.origin);
        Ok(Some(self.method(Method::ModelledUtilisation, source, intervals, holders, tally)))
    }

    /// Installed memory times watts per GB, while the node reported its memory.
    fn memory_model(&self, holders: &Holders) -> Option<MethodCurve> {
        self.series.memory.first()?;
        let w_per_gb = self.reading.rules.memory_w_per_gb;
        let drams = self.series.devices.keys().filter(|key| key.component == Component::Dram).count().max(1);
        let powers: Vec<(i64, f64)> = self
            .memory
            .samples
            .iter()
            .map(|(at_ms, bytes)| (*at_ms, power::memory_power_at(*bytes, w_per_gb).value() / drams as f64))
            .collect();
        let mut tally = self.memory.tally.clone();
        let intervals = gauge::integrate(
            &powers,
            &self.memory.stale_ms,
            f64::MAX,
            &self.memory.gaps,
            (holders, self.reading.rules.edges),
            &mut tally,
        );
        let source = format!("node_memory_MemTotal_bytes × {w_per_gb} W/GB");
        Some(self.method(Method::ModelledConstant, source, intervals, holders, tally))
    }

    fn loads(&mut self, scratch: &mut Scratch, node: &mut MeasuredNode) -> Result<&[Load], SourceError> {
        let loads = match self.loads.take() {
            Some(loads) => loads,
            None => read_loads(self.series, self.reading.window, self.boots, scratch, node)?,
        };
        Ok(self.loads.insert(loads))
    }

    /// What the device is, and the most that it can draw.
    fn hardware(
        &self,
        key: &DeviceKey,
        device: &DeviceSeries<'_>,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Hardware, SourceError> {
        let stated = self.reading.stated;
        match key.component {
            Component::Cpu => {
                let cpus = self.series.devices.keys().filter(|key| key.component == Component::Cpu).count();
                Ok(cpu_hardware(&self.series.machine, stated, cpus))
            }
            Component::Gpu => {
                let limit = read_meter(device.of(Quantity::PowerLimit), self.reading.window, scratch)?;
                node.uses.extend(limit.uses.iter().cloned());
                let limit_w = limit
                    .samples
                    .iter()
                    .map(|(_, watts)| *watts)
                    .filter(|watts| *watts > 0.0)
                    .reduce(f64::max);
                Ok(gpu_hardware(device, stated, limit_w))
            }
            _ => Ok(Hardware { max_power_w: power::P_MAX_DRAM.value(), ..Hardware::default() }),
        }
    }
}

/// What a power model needs to know of a device.
#[derive(Debug, Default)]
struct Hardware {
    model: String,
    /// Thermal design power or cap of one device, in watts.
    tdp_w: Option<f64>,
    /// Where that figure is from.
    origin: String,
    /// Factor on the model's power: visible ÷ physical threads in a virtual machine, and
    /// processors for each device where the series do not tell them apart.
    scale: f64,
    /// P_max of rule C2.
    max_power_w: f64,
}

fn cpu_hardware(machine: &Machine, stated: &NodeHardware, devices: usize) -> Hardware {
    let named = machine.cpu_model.as_deref();
    let found = named.and_then(power::find_cpu);
    let table_w = found.as_ref().map(|found| found.tdp.value());
    let tdp_w = stated.cpu_tdp_w.or(table_w);
    let origin = match (&stated.cpu_tdp_w, &found) {
        (Some(_), _) => "config".to_owned(),
        (None, Some(found)) => format!("{}, match {:.2}", found.name, found.score),
        (None, None) => String::new(),
    };
    let mut scale = match (machine.sockets, stated.sockets) {
        (None, Some(sockets)) => f64::from(sockets) / devices.max(1) as f64,
        _ => 1.0,
    };
    if machine.is_virtual {
        let threads = found.as_ref().and_then(|found| found.threads.or(found.cores.map(|cores| cores * 2)));
        if let (Some(visible), Some(threads)) = (machine.logical_cpus, threads) {
            let sockets = f64::from(machine.sockets.unwrap_or(1).max(1));
            scale *= (f64::from(visible) / sockets / f64::from(threads)).min(1.0);
        }
    }
    Hardware {
        model: named.unwrap_or_default().to_owned(),
        tdp_w,
        origin,
        scale,
        max_power_w: power::p_max(tdp_w.map(Watts), DeviceKind::CpuSocket).value(),
    }
}

fn gpu_hardware(device: &DeviceSeries<'_>, stated: &NodeHardware, limit_w: Option<f64>) -> Hardware {
    let found = device.model.as_deref().and_then(power::find_gpu);
    let table_w = found.as_ref().map(|found| found.tdp.value());
    let (tdp_w, origin) = match (stated.gpu_tdp_w, limit_w, &found) {
        (Some(stated), _, _) => (Some(stated), "config".to_owned()),
        (None, Some(limit), _) => (Some(limit), "power limit".to_owned()),
        (None, None, Some(found)) => (table_w, found.name.to_string()),
        (None, None, None) => (None, String::new()),
    };
    // A cap may be lowered while the window runs; the table's figure bounds what was drawn before.
    let most_w = [tdp_w, table_w].into_iter().flatten().reduce(f64::max);
    Hardware {
        model: device.model.clone().unwrap_or_default(),
        tdp_w,
        origin,
        scale: 1.0,
        max_power_w: power::p_max(most_w.map(Watts), DeviceKind::Gpu).value(),
    }
}

fn sources(series: &[MeterSeries<'_>]) -> String {
    let metrics: std::collections::BTreeSet<&str> =
        series.iter().map(|meter| meter.kind.metric.as_str()).collect();
    metrics.into_iter().collect::<Vec<_>>().join(" + ")
}

/// The node's utilisation, from the stream of CPU times that covers most of the window.
fn read_loads(
    series: &NodeSeries<'_>,
    window: Window,
    boots: &Boots,
    scratch: &mut Scratch,
    node: &mut MeasuredNode,
) -> Result<Vec<Load>, SourceError> {
    let label =
        |meter: &MeterSeries<'_>, name: &str| meter.series.labels().get(name).unwrap_or_default().to_owned();
    // The instants of one mode of one CPU stand for all: a scrape has one timestamp.
    let first_cpu = series.cpu_time.iter().map(|meter| label(meter, "cpu")).min().unwrap_or_default();
    let clock: Vec<MeterSeries<'_>> = series
        .cpu_time
        .iter()
        .filter(|meter| label(meter, "cpu") == first_cpu && label(meter, "mode") == "idle")
        .copied()
        .collect();
    let clock = read_meter(&clock, window, scratch)?;
    let times_ms: Vec<i64> = clock.samples.iter().map(|(at_ms, _)| *at_ms).collect();
    let mut builder = LoadBuilder::new(times_ms, clock.stale_ms);
    let mut cpus: std::collections::BTreeMap<String, Vec<MeterSeries<'_>>> = Default::default();
    for meter in &series.cpu_time {
        cpus.entry(label(meter, "cpu")).or_default().push(*meter);
    }
    for modes in cpus.values() {
        let mut by_mode: std::collections::BTreeMap<String, Vec<MeterSeries<'_>>> = Default::default();
        for meter in modes {
            by_mode.entry(label(meter, "mode")).or_default().push(*meter);
        }
        for (mode, pieces) in by_mode {
            let samples = read_meter(&pieces, window, scratch)?;
            builder.add_mode(&mode, samples.samples.iter().copied());
            node.uses.extend(samples.uses);
        }
        builder.finish_cpu(boots);
    }
    Ok(builder.finish(boots, &clock.gaps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stated_sockets_count_where_no_series_tells_them() {
        let stated = NodeHardware { sockets: Some(2), cpu_tdp_w: Some(200.0), ..NodeHardware::default() };
        let untold = Machine::default();
        // One device stands for both processors; with two devices each is its own.
        assert_eq!(cpu_hardware(&untold, &stated, 1).scale, 2.0);
        assert_eq!(cpu_hardware(&untold, &stated, 2).scale, 1.0);
        let told = Machine { sockets: Some(1), ..Machine::default() };
        assert_eq!(cpu_hardware(&told, &stated, 1).scale, 1.0);
    }
}
