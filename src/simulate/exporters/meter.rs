//! What a meter shows of the true curves: counters from a boot on, wraps, rounding, blanks.

use crate::simulate::cluster::NodeCurves;
use crate::simulate::hardware::Node;
use crate::simulate::profile::{Cursor, LoadCurve, Profile};
use crate::time::Window;
use std::sync::Arc;

/// RAPL's wrap ranges in microjoules, as `max_energy_range_uj` of a package and of server DRAM.
pub(super) const PACKAGE_RANGE_UJ: u64 = 262_143_328_850;
pub(super) const DRAM_RANGE_UJ: u64 = 65_712_999_613;

/// What DCGM shows where it has no value: 2⁴⁷ in a power, 2⁶³ − 14 in a counter.
const BLANK_POWER: f64 = 140_737_488_355_328.0;
const BLANK_COUNTER: f64 = 9_223_372_036_854_775_794.0;

/// A mode of `node_cpu_seconds_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) enum Mode {
    Idle,
    Iowait,
    User,
    System,
    Softirq,
}

/// How a series' values come about.
pub(in crate::simulate) enum Meter {
    /// 1 where the scrape succeeded, else 0, also where the exporter is down.
    Up,
    /// Always the same.
    Constant(f64),
    /// The newest boot, in seconds since the epoch.
    BootTime,
    /// Joules of a package since boot; before that `start_uj` of an earlier life.
    RaplPackage { index: usize, start_uj: u64 },
    /// Joules of a package's memory.
    RaplDram { index: usize, start_uj: u64 },
    /// Seconds that a processor spent in a mode since boot.
    CpuSeconds { cpu: usize, mode: Mode },
    /// Bytes that are not in use.
    MemoryAvailable,
    /// Watts of a GPU, the last second's mean, in steps of 1/`per_watt`.
    GpuPower { index: usize, per_watt: f64, blanks: Arc<[i64]> },
    /// Millijoules of a GPU since boot; before that on top of `start_mj`.
    GpuEnergy { index: usize, start_mj: f64, blanks: Arc<[i64]> },
    /// Use of a GPU, in steps of 1 % of `full`.
    GpuUse { index: usize, full: f64 },
    /// Degrees that follow a GPU's power.
    GpuTemperature { index: usize },
    /// Degrees that follow a package's power.
    PackageTemperature { index: usize },
    /// Watts of the whole node, in whole watts.
    NodePower,
    /// CPU seconds of a job on this node since its start.
    JobCpuSeconds { profile: Arc<Profile>, cpus: f64, window: Window },
    /// Bytes that a job uses on this node.
    JobMemory { profile: Arc<Profile>, bytes: f64 },
    /// A counter that grows evenly since boot and has nothing to do with energy.
    Grows { per_second: f64 },
}

/// Integral at each boot: what a counter that restarts there has to subtract.
struct SinceBoot {
    boots: Vec<(i64, f64)>,
    current: usize,
}

impl SinceBoot {
    fn new(window: Window, node: &Node, curve: &LoadCurve) -> Self {
        let at = |&boot_ms: &i64| (boot_ms, curve.integral(Window::new(window.start_ms, boot_ms)));
        Self { boots: node.boots_ms.iter().map(at).collect(), current: 0 }
    }

    /// The integral since the newest boot, and whether that boot was before the window.
    fn integral(&mut self, cursor: &mut Cursor<'_>, at_ms: i64) -> (f64, bool) {
        while self.boots.get(self.current + 1).is_some_and(|(boot_ms, _)| *boot_ms <= at_ms) {
            self.current += 1;
        }
        let at_boot = self.boots.get(self.current).map_or(0.0, |(_, integral)| *integral);
        (cursor.integral_to(at_ms) - at_boot, self.current == 0)
    }
}

impl Meter {
    /// Calls `fill` with the function from instants, ascending, to values.
    pub(super) fn read(
        &self,
        window: Window,
        node: &Node,
        curves: &NodeCurves,
        fill: impl FnOnce(&mut dyn FnMut(i64) -> f64),
    ) {
        let newest_boot_ms = |at_ms: i64| {
            let booted = node.boots_ms.partition_point(|boot_ms| *boot_ms <= at_ms);
            node.boots_ms.get(booted.saturating_sub(1)).copied().unwrap_or(window.start_ms)
        };
        match self {
            // Filled where the scrapes are.
            Self::Up => {}
            Self::Constant(value) => fill(&mut |_| *value),
            Self::BootTime => fill(&mut |at_ms| newest_boot_ms(at_ms) as f64 / 1000.0),
            Self::RaplPackage { index, start_uj } => {
                read_rapl(window, node, curves.package.get(*index), *start_uj, PACKAGE_RANGE_UJ, fill);
            }
            Self::RaplDram { index, start_uj } => {
                read_rapl(window, node, curves.dram.get(*index), *start_uj, DRAM_RANGE_UJ, fill);
            }
            Self::CpuSeconds { cpu, mode } => {
                let Some(curve) = curves.busy.get(*cpu) else { return };
                let (mut cursor, mut since) = (curve.cursor(), SinceBoot::new(window, node, curve));
                fill(&mut |at_ms| {
                    let boot_ms = newest_boot_ms(at_ms);
                    let (mut busy_s, first) = since.integral(&mut cursor, at_ms);
                    if first {
                        // A fifth of its life before the window was work.
                        busy_s += 0.2 * (window.start_ms - boot_ms) as f64 / 1000.0;
                    }
                    let idle_s = ((at_ms - boot_ms) as f64 / 1000.0 - busy_s).max(0.0);
                    let seconds = match mode {
                        Mode::Idle => 0.998 * idle_s,
                        Mode::Iowait => 0.002 * idle_s,
                        Mode::User => 0.94 * busy_s,
                        Mode::System => 0.055 * busy_s,
                        Mode::Softirq => 0.005 * busy_s,
                    };
                    // The kernel counts in hundredths.
                    (seconds * 100.0).floor() / 100.0
                });
            }
            Self::MemoryAvailable => {
                let total = (node.memory_mib << 20) as f64;
                let mut cursor = curves.memory.cursor();
                fill(&mut |at_ms| {
                    let free = total - cursor.mean_of_last_second(at_ms);
                    (free / 4096.0).floor().max(0.0) * 4096.0
                });
            }
            Self::GpuPower { index, per_watt, blanks } => {
                let Some(curve) = curves.gpu.get(*index) else { return };
                let (mut cursor, mut blank) = (curve.cursor(), Blanks::new(blanks));
                fill(&mut |at_ms| {
                    let power_w = cursor.mean_of_last_second(at_ms);
                    if blank.now(at_ms) { BLANK_POWER } else { (power_w * per_watt).round() / per_watt }
                });
            }
            Self::GpuEnergy { index, start_mj, blanks } => {
                let Some(curve) = curves.gpu.get(*index) else { return };
                let (mut cursor, mut since) = (curve.cursor(), SinceBoot::new(window, node, curve));
                let mut blank = Blanks::new(blanks);
                fill(&mut |at_ms| {
                    let (energy_j, first) = since.integral(&mut cursor, at_ms);
                    let start_mj = if first { *start_mj } else { 0.0 };
                    if blank.now(at_ms) { BLANK_COUNTER } else { (start_mj + energy_j * 1000.0).floor() }
                });
            }
            Self::GpuUse { index, full } => {
                let Some(curve) = curves.gpu.get(*index) else { return };
                let mut cursor = curve.cursor();
                let span_w = node.gpu_span_w();
                fill(&mut |at_ms| {
                    let above_w = cursor.mean_of_last_second(at_ms) - node.gpu_model.idle_w;
                    (100.0 * above_w / span_w).round().clamp(0.0, 100.0) * full / 100.0
                });
            }
            Self::GpuTemperature { index } => {
                read_temperature(curves.gpu.get(*index), node.gpu_model.tdp_w, fill);
            }
            Self::PackageTemperature { index } => {
                read_temperature(curves.package.get(*index), node.cpu_model.tdp_w, fill);
            }
            Self::NodePower => {
                let parts = curves.package.iter().chain(&curves.dram).chain(&curves.gpu);
                let mut cursors: Vec<Cursor<'_>> =
                    parts.chain(std::iter::once(&curves.other)).map(LoadCurve::cursor).collect();
                fill(&mut |at_ms| {
                    cursors.iter_mut().map(|part| part.mean_of_last_second(at_ms)).sum::<f64>().round()
                });
            }
            Self::JobCpuSeconds { profile, cpus, window } => {
                let mut piece = 0;
                fill(&mut |at_ms| cpus * profile.integral_to(at_ms.min(window.end_ms), &mut piece));
            }
            Self::JobMemory { profile, bytes } => fill(&mut |at_ms| {
                (bytes * profile.integral(Window::new(at_ms - 1000, at_ms)) / 4096.0).floor().max(0.0)
                    * 4096.0
            }),
            Self::Grows { per_second } => {
                fill(&mut |at_ms| (per_second * (at_ms - newest_boot_ms(at_ms)) as f64 / 1000.0).floor());
            }
        }
    }
}

fn read_rapl(
    window: Window,
    node: &Node,
    curve: Option<&LoadCurve>,
    start_uj: u64,
    range_uj: u64,
    fill: impl FnOnce(&mut dyn FnMut(i64) -> f64),
) {
    let Some(curve) = curve else { return };
    let (mut cursor, mut since) = (curve.cursor(), SinceBoot::new(window, node, curve));
    fill(&mut |at_ms| {
        let (energy_j, first) = since.integral(&mut cursor, at_ms);
        let energy_uj = (energy_j * 1e6).max(0.0) as u64 + if first { start_uj } else { 0 };
        (energy_uj % range_uj) as f64 / 1e6
    });
}

fn read_temperature(curve: Option<&LoadCurve>, tdp_w: f64, fill: impl FnOnce(&mut dyn FnMut(i64) -> f64)) {
    let Some(curve) = curve else { return };
    let mut cursor = curve.cursor();
    fill(&mut |at_ms| (28.0 + 42.0 * cursor.mean_of_last_second(at_ms) / tdp_w).round());
}

/// Instants after which one reading is blank.
struct Blanks<'a> {
    left: &'a [i64],
}

impl<'a> Blanks<'a> {
    fn new(blanks: &'a [i64]) -> Self {
        Self { left: blanks }
    }

    fn now(&mut self, at_ms: i64) -> bool {
        let passed = self.left.partition_point(|blank_ms| *blank_ms <= at_ms);
        self.left = self.left.get(passed..).unwrap_or_default();
        passed > 0
    }
}
