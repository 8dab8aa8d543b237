//! The model of one device: the calibration's curve, or a power model and what is known of the hardware.

use super::hardware::Hardware;
use super::method::Method;
use super::rules::Rules;
use crate::power::calibration::PowerCurve;
use crate::power::{DeviceKind, Rating, UtilisationModel};

/// A rule from utilisation to the watts of one device, as tables and calibration count devices.
pub(super) struct DeviceModel {
    /// By calibration or by a model.
    pub(super) method: Method,
    /// Model, version and match, for reports.
    pub(super) words: String,
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
            let words = format!("calibrated on {} devices, {:.1} % off", row.devices, row.error_percent);
            return Some(Self { method: Method::ModelledCalibrated, words, rule: Rule::Curve(row.curve()) });
        }
        let rating = hardware.rating(kind)?;
        let model = rules.power_model;
        model.power(1.0, &rating)?;
        let words = format!("{model} × {} W ({})", rating.tdp.value(), hardware.origin);
        Some(Self { method: Method::ModelledUtilisation, words, rule: Rule::Rated(model, rating) })
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
