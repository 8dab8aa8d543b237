//! What a device is, and the most that it can draw: the site's statement, the
//! machine's own description, the shipped tables.

use super::rules::NodeHardware;
use crate::meter::inventory::Machine;
use crate::power::{self, DeviceKind, LoadCurve, Rating};
use crate::units::Watts;

/// What a power model needs to know of a device.
#[derive(Debug, Default)]
pub(super) struct Hardware {
    pub(super) model: String,
    /// Thermal design power or cap of one device, in watts.
    pub(super) tdp_w: Option<f64>,
    /// Power by load, where the site states it.
    pub(super) curve: Option<LoadCurve>,
    /// True if the site states that figure.
    pub(super) is_stated: bool,
    /// Where that figure is from.
    pub(super) origin: String,
    /// Factor on the model's power: visible ÷ physical threads in a virtual machine, and
    /// processors for each device where the series do not tell them apart.
    pub(super) scale: f64,
    /// Power at rest of the very model, by the tables or the site, in watts.
    pub(super) idle_w: Option<f64>,
    /// Hardware threads of one socket, where the tables know them.
    pub(super) threads: Option<u32>,
    /// P_max of rule C2.
    pub(super) max_power_w: f64,
}

impl Hardware {
    /// What power models work with; `None` if no rated power is known.
    pub(super) fn rating(&self, kind: DeviceKind) -> Option<Rating> {
        Some(Rating {
            kind,
            name: self.model.clone(),
            tdp: Watts(self.tdp_w?),
            idle: self.idle_w.map(Watts),
            threads: self.threads,
        })
    }
}

/// Of hardware that is in no table.
const DEFAULT_ORIGIN: &str = "in no table: the stated default";

pub(super) fn cpu_hardware(
    machine: &Machine,
    stated: &NodeHardware,
    default_tdp_w: Option<f64>,
    devices: usize,
) -> Hardware {
    let named = stated.cpu_model.as_deref().or(machine.cpu_model.as_deref());
    let found = named.and_then(power::find_cpu);
    let table_w = found.as_ref().map(|found| found.tdp.value());
    let tdp_w = stated.cpu_tdp_w.or(table_w).or(default_tdp_w);
    let origin = match (&stated.cpu_tdp_w, &found) {
        (Some(_), _) => "config".to_owned(),
        (None, Some(found)) => format!("{}, match {:.2}", found.name, found.score),
        (None, None) => DEFAULT_ORIGIN.to_owned(),
    };
    // An exporter may have all processors as one device, and each die as one.
    let mut scale = match machine.sockets.or(stated.sockets) {
        Some(sockets) => f64::from(sockets) / devices.max(1) as f64,
        None => 1.0,
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
        curve: stated.cpu_curve_w.clone(),
        is_stated: stated.cpu_tdp_w.is_some(),
        idle_w: stated.cpu_idle_w,
        threads: found.as_ref().and_then(|found| found.threads),
        max_power_w: power::p_max(tdp_w.map(Watts), DeviceKind::CpuSocket).value(),
    }
}

pub(super) fn gpu_hardware(
    reported_model: Option<&str>,
    stated: &NodeHardware,
    default_tdp_w: Option<f64>,
    limit_w: Option<f64>,
) -> Hardware {
    let named = stated.gpu_model.as_deref().or(reported_model);
    let found = named.and_then(power::find_gpu);
    let table_w = found.as_ref().map(|found| found.tdp.value());
    let (tdp_w, origin) = match (stated.gpu_tdp_w, limit_w, &found) {
        (Some(stated), _, _) => (Some(stated), "config".to_owned()),
        (None, Some(limit), _) => (Some(limit), "power limit".to_owned()),
        (None, None, Some(found)) => (table_w, found.name.to_string()),
        (None, None, None) => (default_tdp_w, DEFAULT_ORIGIN.to_owned()),
    };
    // A cap may be lowered while the window runs; the table's figure bounds what was drawn before.
    let most_w = [tdp_w, table_w].into_iter().flatten().reduce(f64::max);
    Hardware {
        model: named.unwrap_or_default().to_owned(),
        tdp_w,
        origin,
        scale: 1.0,
        curve: stated.gpu_curve_w.clone(),
        is_stated: stated.gpu_tdp_w.is_some(),
        idle_w: stated.gpu_idle_w.or(found.as_ref().and_then(|found| found.idle).map(Watts::value)),
        threads: None,
        max_power_w: power::p_max(most_w.map(Watts), DeviceKind::Gpu).value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stated_sockets_count_where_no_series_tells_them() {
        let stated = NodeHardware { sockets: Some(2), cpu_tdp_w: Some(200.0), ..NodeHardware::default() };
        let untold = Machine::default();
        // One device stands for both processors; with two devices each is its own.
        assert_eq!(cpu_hardware(&untold, &stated, None, 1).scale, 2.0);
        assert_eq!(cpu_hardware(&untold, &stated, None, 2).scale, 1.0);
        let two = Machine { sockets: Some(2), ..Machine::default() };
        assert_eq!(cpu_hardware(&two, &NodeHardware::default(), None, 1).scale, 2.0);
        assert_eq!(cpu_hardware(&two, &NodeHardware::default(), None, 2).scale, 1.0);
        let told = Machine { sockets: Some(1), ..Machine::default() };
        assert_eq!(cpu_hardware(&told, &stated, None, 1).scale, 1.0);
    }
}
