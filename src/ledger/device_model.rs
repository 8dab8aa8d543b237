//! The model of one device: the calibration's curve, or a power model and what is known of the hardware.

use super::hardware::{Hardware, cpu_hardware, gpu_hardware};
use super::method::Method;
use super::rules::{NodeHardware, Rules};
use crate::meter::inventory::Machine;
use crate::power::calibration::PowerCurve;
use crate::power::{DeviceKind, LoadCurve, MemoryModel, Rating, UtilisationModel};
use crate::uncertainty::Spread;
use crate::units::Watts;

/// A rule from utilisation to the watts of one device, as tables and calibration count devices.
pub(super) struct DeviceModel {
    /// By calibration or by a model.
    pub(super) method: Method,
    /// Model, version and match, for reports.
    pub(super) words: String,
    /// How far off it may be (rule U1).
    pub(super) spread: Spread,
    rule: Rule,
}

enum Rule {
    Stated(LoadCurve),
    Curve(PowerCurve),
    Rated(UtilisationModel, Rating),
}

impl DeviceModel {
    /// The rule from utilisation to watts for a device, by section 4: a curve that the site states goes before all, a rated power before the
    /// calibration, and that before the tables. `None` where nothing has a figure for it.
    pub(super) fn of(rules: &Rules, kind: DeviceKind, hardware: &Hardware) -> Option<Self> {
        if let Some(curve) = &hardware.curve {
            let (method, spread) = (Method::ModelledUtilisation, LoadCurve::SPREAD);
            return Some(Self {
                method,
                words: curve.to_string(),
                spread,
                rule: Rule::Stated(curve.clone()),
            });
        }
        let calibrated = rules.calibration.find(kind, &hardware.model).filter(|_| !hardware.is_stated);
        if let Some(row) = calibrated {
            let words = format!("calibrated on {} machines, {:.1} % off", row.machines, row.error_percent);
            let (method, spread) = (Method::ModelledCalibrated, row.spread());
            return Some(Self { method, words, spread, rule: Rule::Curve(row.curve()) });
        }
        let rating = hardware.rating(kind)?;
        let model = rules.power_model;
        model.power(1.0, &rating)?;
        let words = format!("{model} × {} W ({})", rating.tdp.value(), hardware.origin);
        let (method, spread) = (Method::ModelledUtilisation, model.spread(kind));
        Some(Self { method, words, spread, rule: Rule::Rated(model, rating) })
    }

    /// Power at a utilisation, 0 to 1.
    pub(super) fn watts(&self, utilisation: f64) -> f64 {
        match &self.rule {
            Rule::Stated(curve) => curve.power(utilisation).value(),
            Rule::Curve(curve) => curve.power(utilisation).value(),
            Rule::Rated(model, rating) => {
                model.power(utilisation, rating).map_or(f64::NAN, |power| power.value())
            }
        }
    }
}

/// The rule from installed memory to watts on one node.
pub(super) struct MemoryRule {
    /// By calibration or from installed hardware alone.
    pub(super) method: Method,
    /// The rule, for reports.
    pub(super) words: String,
    /// How far off it may be (rule U1).
    pub(super) spread: Spread,
    model: MemoryModel,
}

impl MemoryRule {
    /// The calibration's for memory beside processors of this name, else the configured one.
    pub(super) fn of(rules: &Rules, cpu_model: &str, installed_bytes: f64) -> Self {
        match rules.calibration.find_memory(cpu_model) {
            Some(row) => Self {
                method: Method::ModelledCalibrated,
                words: format!(
                    "{:.4} W/GB calibrated on {} machines, {:.1} % off",
                    row.idle_w, row.machines, row.error_percent
                ),
                spread: row.spread(),
                model: MemoryModel::PerGigabyte(row.idle_w),
            },
            None => Self {
                method: Method::ModelledConstant,
                words: rules.memory_model.to_string(),
                spread: rules.memory_model.spread(installed_bytes),
                model: rules.memory_model,
            },
        }
    }

    /// Power of so much memory.
    pub(super) fn power(&self, installed_bytes: f64) -> Watts {
        self.model.power(installed_bytes)
    }
}

/// What a report models a device of a name by.
pub struct HardwareModel {
    /// Model, version and match.
    pub words: String,
    /// How it is marked.
    pub method: Method,
    /// How far off it may be.
    pub spread: Spread,
    /// Watts of one socket or GPU at each utilisation that was asked for.
    pub watts: Vec<f64>,
}

/// The model by which a report with these rules finds the power of the processor or GPU called `name` on a node of which
/// `stated` is stated, and its watts at `utilisations`; `None` where it would not be modelled.
pub fn hardware_model(
    rules: &Rules,
    stated: &NodeHardware,
    (kind, name): (DeviceKind, &str),
    utilisations: &[f64],
) -> Option<HardwareModel> {
    // The name asked for stands for what the machine reports.
    let stated = NodeHardware { cpu_model: None, gpu_model: None, ..stated.clone() };
    let hardware = match kind {
        DeviceKind::CpuSocket => {
            let machine = Machine { cpu_model: Some(name.to_owned()), ..Machine::default() };
            cpu_hardware(&machine, &stated, rules.default_cpu_tdp_w, 1)
        }
        DeviceKind::Gpu => gpu_hardware(Some(name), &stated, rules.default_gpu_tdp_w, None),
    };
    let model = DeviceModel::of(rules, kind, &hardware)?;
    let watts = utilisations.iter().map(|utilisation| model.watts(*utilisation)).collect();
    Some(HardwareModel { method: model.method, spread: model.spread, watts, words: model.words })
}
