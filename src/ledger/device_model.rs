//! The model of one device: the calibration's curve, or a power model and what is known of the hardware.

use super::hardware::Hardware;
use super::method::Method;
use super::rules::Rules;
use crate::power::calibration::PowerCurve;
use crate::power::{DeviceKind, MemoryModel, Rating, UtilisationModel};
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
    Curve(PowerCurve),
    Rated(UtilisationModel, Rating),
}

impl DeviceModel {
    /// The rule from utilisation to watts for a device, by section 4: a rated power that the site states goes before the
    /// calibration, and that before the tables. `None` where nothing has a figure for it.
    pub(super) fn of(rules: &Rules, kind: DeviceKind, hardware: &Hardware) -> Option<Self> {
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
