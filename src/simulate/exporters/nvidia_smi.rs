//! nvidia_gpu_exporter 1.14: power gauges and no energy counter.

use super::dcgm::pci_bus;
use super::{Exporter, Meter, Series, pair};

pub(super) fn series(exporter: &Exporter<'_>) -> Vec<Series> {
    let node = exporter.node;
    let model = node.gpu_model;
    let mut all = Vec::new();
    for (index, gpu) in node.gpus.iter().enumerate() {
        let uuid = [pair("uuid", &gpu.uuid)];
        let info = [
            pair("compute_cap", "8.9"),
            pair("cuda_version", "13.1"),
            pair("driver_model_current", "[N/A]"),
            pair("driver_model_pending", "[N/A]"),
            pair("driver_version", model.driver),
            pair("index", index.to_string()),
            pair("name", model.name),
            pair("pci_bus_id", pci_bus(index)),
            pair("pci_sub_device_id", "0x185110DE"),
            pair("serial", format!("13240240{:05}", 100 * exporter.nth + index)),
            pair("uuid", &gpu.uuid),
            pair("vbios_version", "95.02.66.00.02"),
        ];
        all.push(exporter.series("nvidia_smi_gpu_info", &info, Meter::Constant(1.0)));
        let power = || Meter::GpuPower { index, per_watt: 100.0, blanks: [].into() };
        let gauges = [
            ("nvidia_smi_index", Meter::Constant(index as f64)),
            ("nvidia_smi_power_draw_watts", power()),
            ("nvidia_smi_power_draw_average_watts", power()),
            ("nvidia_smi_power_draw_instant_watts", power()),
            ("nvidia_smi_power_limit_watts", Meter::Constant(model.tdp_w)),
            ("nvidia_smi_utilization_gpu_ratio", Meter::GpuUse { index, full: 1.0 }),
            ("nvidia_smi_temperature_gpu", Meter::GpuTemperature { index }),
        ];
        all.extend(gauges.into_iter().map(|(metric, meter)| exporter.series(metric, &uuid, meter)));
    }
    all
}
