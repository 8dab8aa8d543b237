//! The curves of one node's devices: from counters and gauges where there are
//! any, from models where those leave a bucket unknown.

use super::claims::Timeline;
use super::device::{Device, MethodCurve};
use super::device_model::{DeviceModel, MemoryRule};
use super::hardware::{Hardware, cpu_hardware, gpu_hardware};
use super::measure::{MeasuredNode, Reading};
use super::method::Method;
use crate::meter::catalog::{Component, Quantity};
use crate::meter::counter::{self, CounterRules, Tally};
use crate::meter::curve::{Coverage, Interval};
use crate::meter::edges::Holders;
use crate::meter::gauge;
use crate::meter::inventory::{DeviceKey, DeviceSeries, MeterSeries, NodeSeries};
use crate::meter::presence::{Boots, Presence};
use crate::meter::stream::{MeterSamples, Scratch, read_meter};
use crate::meter::sums::{MeterSums, Step, read_sums};
use crate::meter::utilisation::{Load, LoadBuilder};
use crate::power::{self, DeviceKind};
use crate::source::SourceError;
use crate::time::Window;

/// Builds the curves of one node's devices.
pub(super) struct Builder<'a> {
    pub(super) series: &'a NodeSeries<'a>,
    pub(super) reading: &'a Reading<'a>,
    pub(super) boots: &'a Boots,
    pub(super) memory: &'a MeterSamples,
    pub(super) memory_sums: &'a MeterSums,
    pub(super) timeline: Timeline,
    pub(super) gpus: Vec<DeviceKey>,
    /// The node's utilisation, once some device needed it.
    pub(super) loads: Option<Vec<Load>>,
    pub(super) presence: Presence,
}

impl Builder<'_> {
    /// Reads and builds one device; `best` are the samples of its best meter.
    pub(super) fn device(
        &mut self,
        key: &DeviceKey,
        device: &DeviceSeries<'_>,
        best: MeterSamples,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Device, SourceError> {
        let holders = self.holders(key);
        let mut hardware = self.hardware(key, device, scratch, node)?;
        let limits = device.by_quantity.values().flatten().filter_map(|meter| meter.kind.max_w);
        if let Some(max_w) = limits.reduce(f64::max) {
            hardware.max_power_w = max_w;
        }
        let mut methods = Vec::new();
        let ignored = self.reading.rules.ignore_meters;
        let metered = |quantity| if ignored { &[][..] } else { device.of(quantity) };
        let energy = metered(Quantity::Energy);
        let power = metered(Quantity::Power);
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
        for (quantity, method) in
            [(Quantity::EnergySum, Method::MeasuredCounter), (Quantity::PowerSum, Method::MeasuredGauge)]
        {
            let series = metered(quantity);
            if !series.is_empty() && !is_enough(&methods, self) {
                let sums = read_sums(series, self.reading.window, scratch)?;
                node.uses.extend(sums.uses.iter().cloned());
                let mut tally = sums.tally.clone();
                let intervals = sums.intervals(|step| step.sum, hardware.max_power_w, &mut tally);
                methods.push(self.method(method, sources(series), intervals, &holders, tally));
            }
        }
        node.uses.extend(best.uses);
        if best.stood_still {
            let meters = if energy.is_empty() { power } else { energy };
            node.notes.push(format!(
                "{} of {} {} stood still for whole days: not used there",
                sources(meters),
                key.component,
                key.id
            ));
        }
        if !is_enough(&methods, self) {
            methods.extend(self.modelled(key, device, &hardware, &holders, scratch, node)?);
        }
        let buckets = self.reading.buckets;
        let at_rest = device.by_quantity.values().flatten().find_map(|meter| meter.kind.at_rest);
        let static_w = match at_rest {
            Some(true) => f64::MAX,
            Some(false) => 0.0,
            None => self.static_w(key.component, &hardware),
        };
        let mut built = Device::new(key.clone(), hardware.model, methods, buckets, &self.presence);
        built.static_w = static_w;
        Ok(built)
    }

    /// What a device takes whatever runs, for rules S1 to S3: as stated or known of the very model, else the model's power at no load.
    fn static_w(&self, component: Component, hardware: &Hardware) -> f64 {
        let stated = self.reading.stated;
        let modelled = |kind| self.model(kind, hardware).map(|model| model.watts(0.0) * hardware.scale);
        match component {
            Component::Cpu => stated.cpu_idle_w.or_else(|| modelled(DeviceKind::CpuSocket)),
            Component::Gpu => hardware.idle_w.or_else(|| modelled(DeviceKind::Gpu)),
            Component::Dram => stated.dram_idle_w,
            _ => None,
        }
        .unwrap_or(0.0)
    }

    /// What is said of hardware with a rated power of which the power model has no figure.
    fn no_figure(&self, hardware: &Hardware) -> String {
        let model = self.reading.rules.power_model.name();
        format!("power model `{model}` has no figure for `{}`: not modelled", hardware.model)
    }

    /// The rule from utilisation to watts for a device.
    fn model(&self, kind: DeviceKind, hardware: &Hardware) -> Option<DeviceModel> {
        DeviceModel::of(self.reading.rules, kind, hardware)
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
        series.first()?;
        // Replicas of one counter may come from exporters that let it wrap and from those that do not.
        let mut wrap_j: Vec<f64> =
            series.iter().flat_map(|meter| meter.kind.wrap_j.iter().copied()).collect();
        wrap_j.sort_by(f64::total_cmp);
        wrap_j.dedup();
        let rules = CounterRules {
            wrap_j: &wrap_j,
            resets: series.iter().any(|meter| meter.kind.resets),
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
            Component::Cpu if self.series.has_cpu_time() => self.cpu_model(hardware, holders, scratch, node),
            Component::Cpu | Component::Gpu => {
                self.utilisation_model(key.component, device, hardware, holders, scratch, node)
            }
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
        let Some(model) = self.model(DeviceKind::CpuSocket, hardware) else {
            let note = match self.series.machine.cpu_model.as_deref() {
                _ if hardware.tdp_w.is_some() => self.no_figure(hardware),
                Some(name) => {
                    format!("processor `{name}` is in no table: state `cpu_tdp_w` to have it modelled")
                }
                None => "no `node_cpu_info`: state `cpu_tdp_w` to have the processor modelled".to_owned(),
            };
            note_once(node, note);
            return Ok(None);
        };
        if self.series.machine.sockets.is_none() && self.reading.stated.sockets.is_none() {
            let note =
                "no `node_cpu_info`: one processor is taken, state `sockets` if there are more".to_owned();
            note_once(node, note);
        }
        let watts = |utilisation| model.watts(utilisation) * hardware.scale;
        let mut tally = Tally::of(scratch.counted);
        let intervals: Vec<Interval> = self
            .loads(scratch, node)?
            .iter()
            .map(|load| match load.utilisation {
                Ok(utilisation) => {
                    let energy_j = watts(utilisation) * load.window.length_s();
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
        let of =
            if self.series.cpu_time.is_empty() { &self.series.cpu_time_sums } else { &self.series.cpu_time };
        let source = format!("{}, {}", sources(of), model.words);
        Ok(Some(self.method(model.method, source, intervals, holders, tally).with_spread(model.spread)))
    }

    /// Rule C4 for GPUs, and for processors without CPU time: utilisation gauge through the power model.
    fn utilisation_model(
        &self,
        component: Component,
        device: &DeviceSeries<'_>,
        hardware: &Hardware,
        holders: &Holders,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<Option<MethodCurve>, SourceError> {
        let series = device.of(Quantity::Utilisation);
        let summed = device.of(Quantity::UtilisationSum);
        if series.is_empty() && summed.is_empty() {
            return Ok(None);
        }
        let kind = if component == Component::Gpu { DeviceKind::Gpu } else { DeviceKind::CpuSocket };
        let Some(model) = self.model(kind, hardware) else {
            let (what, key) = match component {
                Component::Gpu => ("GPU", "gpu_tdp_w"),
                _ => ("processor", "cpu_tdp_w"),
            };
            let note = if hardware.tdp_w.is_some() {
                self.no_figure(hardware)
            } else if hardware.model.is_empty() {
                format!("nothing names the {what}: state `{key}` to have it modelled")
            } else {
                format!("{what} `{}` is in no table: state `{key}` to have it modelled", hardware.model)
            };
            note_once(node, note);
            return Ok(None);
        };
        let watts = |utilisation| model.watts(utilisation) * hardware.scale;
        if series.is_empty() {
            let sums = read_sums(summed, self.reading.window, scratch)?;
            node.uses.extend(sums.uses.iter().cloned());
            let mut tally = sums.tally.clone();
            let energy_j = |step: &Step| {
                let utilisation = (step.sum / step.covered_s).clamp(0.0, 1.0);
                watts(utilisation) * step.covered_s
            };
            let intervals = sums.intervals(energy_j, hardware.max_power_w, &mut tally);
            let source = format!("{}, {}", sources(summed), model.words);
            let curve = self.method(model.method, source, intervals, holders, tally);
            return Ok(Some(curve.with_spread(model.spread)));
        }
        let mut meter = read_meter(series, self.reading.window, scratch)?;
        node.uses.extend(meter.uses.iter().cloned());
        let mut tally = meter.tally.clone();
        meter.samples.retain(|(at_ms, utilisation)| {
            let is_possible = (0.0..=1.0).contains(utilisation);
            tally.impossible += if is_possible { 0 } else { tally.once(*at_ms) };
            is_possible
        });
        for (_, value) in &mut meter.samples {
            *value = watts(*value);
        }
        let intervals = gauge::integrate(
            &meter.samples,
            &meter.stale_ms,
            hardware.max_power_w,
            &meter.gaps,
            (holders, self.reading.rules.edges),
            &mut tally,
        );
        let source = format!("{}, {}", sources(series), model.words);
        Ok(Some(self.method(model.method, source, intervals, holders, tally).with_spread(model.spread)))
    }

    /// Installed memory through its model, while the node reported its memory.
    fn memory_model(&self, holders: &Holders) -> Option<MethodCurve> {
        let rules = self.reading.rules;
        let named = self.reading.stated.cpu_model.as_deref().or(self.series.machine.cpu_model.as_deref());
        let cpu_model = named.unwrap_or_default();
        let drams = self.series.devices.keys().filter(|key| key.component == Component::Dram).count().max(1);
        let sampled = self.memory.samples.iter().map(|(_, bytes)| *bytes);
        let summed = self.memory_sums.steps.iter().map(|step| step.sum / step.covered_s);
        let most_bytes = sampled.chain(summed).reduce(f64::max)?;
        let model = MemoryRule::of(rules, cpu_model, most_bytes);
        let watts = |bytes: f64| model.power(bytes).value() / drams as f64;
        if self.series.memory.is_empty() {
            let series = self.series.memory_sums.first()?;
            let mut tally = self.memory_sums.tally.clone();
            let energy_j = |step: &Step| watts(step.sum / step.covered_s) * step.covered_s;
            let intervals = self.memory_sums.intervals(energy_j, f64::MAX, &mut tally);
            let source = format!("{} × {}", series.kind.metric, model.words);
            let curve = self.method(model.method, source, intervals, holders, tally);
            return Some(curve.with_spread(model.spread));
        }
        let powers: Vec<(i64, f64)> =
            self.memory.samples.iter().map(|(at_ms, bytes)| (*at_ms, watts(*bytes))).collect();
        let mut tally = self.memory.tally.clone();
        let intervals = gauge::integrate(
            &powers,
            &self.memory.stale_ms,
            f64::MAX,
            &self.memory.gaps,
            (holders, self.reading.rules.edges),
            &mut tally,
        );
        let source = format!("{} × {}", sources(&self.series.memory), model.words);
        let curve = self.method(model.method, source, intervals, holders, tally);
        Some(curve.with_spread(model.spread))
    }

    /// The node's utilisation, read once.
    pub(super) fn loads(
        &mut self,
        scratch: &mut Scratch,
        node: &mut MeasuredNode,
    ) -> Result<&[Load], SourceError> {
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
        let (stated, rules) = (self.reading.stated, self.reading.rules);
        match key.component {
            Component::Cpu => {
                let cpus = self.series.devices.keys().filter(|key| key.component == Component::Cpu).count();
                Ok(cpu_hardware(&self.series.machine, stated, rules.default_cpu_tdp_w, cpus))
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
                Ok(gpu_hardware(device.model.as_deref(), stated, rules.default_gpu_tdp_w, limit_w))
            }
            _ => Ok(Hardware { max_power_w: power::P_MAX_DRAM.value(), ..Hardware::default() }),
        }
    }
}

fn note_once(node: &mut MeasuredNode, note: String) {
    if !node.notes.contains(&note) {
        node.notes.push(note);
    }
}

fn sources(series: &[MeterSeries<'_>]) -> String {
    let metrics: std::collections::BTreeSet<&str> =
        series.iter().map(|meter| meter.kind.metric.as_str()).collect();
    metrics.into_iter().collect::<Vec<_>>().join(" + ")
}

/// The node's utilisation over time.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub(super) fn node_loads(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<Load>, SourceError> {
    let boots = super::measure::read_boots(series, reading.window, scratch, &mut Default::default())?;
    read_loads(series, reading.window, &boots, scratch, &mut MeasuredNode::default())
}

/// A device's own utilisation, 0 to 1.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub(super) fn utilisation_samples(
    device: &DeviceSeries<'_>,
    reading: &Reading<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<(i64, f64)>, SourceError> {
    let mut meter = read_meter(device.of(Quantity::Utilisation), reading.window, scratch)?;
    meter.samples.retain(|(_, utilisation)| (0.0..=1.0).contains(utilisation));
    Ok(meter.samples)
}

/// The node's utilisation, from the stream of CPU times that covers most of the window.
fn read_loads(
    series: &NodeSeries<'_>,
    window: Window,
    boots: &Boots,
    scratch: &mut Scratch,
    node: &mut MeasuredNode,
) -> Result<Vec<Load>, SourceError> {
    if series.cpu_time.is_empty() {
        let sums = read_sums(&series.cpu_time_sums, window, scratch)?;
        node.uses.extend(sums.uses.iter().cloned());
        return Ok(sums.loads());
    }
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
