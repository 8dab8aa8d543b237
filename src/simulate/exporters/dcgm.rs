//! dcgm-exporter with `--hpc-job-mapping-dir`: while a job holds a GPU, all of
//! that GPU's series carry the job's number, and end when it ends; or without it.

use super::{Exporter, Meter, Pair, Series, pair};
use crate::simulate::random::{Purpose, stream};
use crate::time::{HOUR_MS, Window};
use rand::RngExt;
use std::sync::Arc;

pub(super) fn series(exporter: &Exporter<'_>) -> Vec<Series> {
    let node = exporter.node;
    let mut all = Vec::new();
    for (index, gpu) in node.gpus.iter().enumerate() {
        let stream_of_gpu = (exporter.nth as u64) << 8 | (1 + index as u64);
        let mut chance = stream(exporter.scenario.seed, Purpose::Meter, stream_of_gpu);
        let start_mj = chance.random_range(1e9_f64..1e12).floor();
        let blanks = blanks(&mut chance, exporter.cluster.window);
        let own = [
            pair("gpu", index.to_string()),
            pair("UUID", format!("GPU-{}", gpu.uuid)),
            pair("pci_bus_id", pci_bus(index)),
            pair("device", format!("nvidia{index}")),
            pair("modelName", node.gpu_model.name),
            pair("Hostname", &node.name),
            pair("DCGM_FI_DRIVER_VERSION", node.gpu_model.driver),
        ];
        for (visible, job) in holders(exporter, index as u32) {
            let labels: Vec<Pair> =
                own.iter().cloned().chain(job.map(|id| pair("hpc_job", id.to_string()))).collect();
            let mut add = |metric: &str, meter: Meter| {
                all.push(exporter.visible_series(metric, &labels, meter, Arc::clone(&visible)));
            };
            let shown = |at_ms: &i64| visible.iter().any(|window| window.contains(*at_ms));
            let inside: Arc<[i64]> = blanks.iter().copied().filter(shown).collect();
            let power = Meter::GpuPower { index, per_watt: 1000.0, blanks: Arc::clone(&inside) };
            add("DCGM_FI_DEV_POWER_USAGE", power);
            let energy = Meter::GpuEnergy { index, start_mj, blanks: inside };
            add("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", energy);
            add("DCGM_FI_DEV_GPU_UTIL", Meter::GpuUse { index, full: 100.0 });
            add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", Meter::GpuUse { index, full: 1.0 });
            add("DCGM_FI_DEV_GPU_TEMP", Meter::GpuTemperature { index });
            let busy = job.is_some();
            let used_mib = if busy { 0.7 * node.gpu_model.memory_mib as f64 } else { 4.0 }.floor();
            add("DCGM_FI_DEV_FB_USED", Meter::Constant(used_mib));
            add("DCGM_FI_DEV_FB_FREE", Meter::Constant(node.gpu_model.memory_mib as f64 - used_mib));
            add("DCGM_FI_DEV_SM_CLOCK", Meter::Constant(if busy { 1410.0 } else { 210.0 }));
            add("DCGM_FI_DEV_MEM_CLOCK", Meter::Constant(1215.0));
        }
    }
    all
}

/// The windows over which each job holds a GPU, and those over which none does.
fn holders(exporter: &Exporter<'_>, gpu: u32) -> Vec<(Arc<[Window]>, Option<u64>)> {
    if !exporter.scenario.gpu_jobs {
        return vec![([exporter.cluster.window].into(), None)];
    }
    let here = exporter.cluster.parts_on(exporter.nth).filter(|(_, part, _)| part.gpus.contains(&gpu));
    let mut jobs: Vec<(Window, u64)> = here.map(|(run, ..)| (run.window, run.raw_id)).collect();
    jobs.sort_unstable();
    let mut free = Vec::new();
    let mut from_ms = exporter.cluster.window.start_ms;
    for (held, _) in &jobs {
        free.push(Window::new(from_ms, held.start_ms));
        from_ms = held.end_ms;
    }
    free.push(Window::new(from_ms, exporter.cluster.window.end_ms));
    free.retain(|window| !window.is_empty());
    let jobs = jobs.into_iter().map(|(window, id)| ([window].into(), Some(id)));
    std::iter::once((free.into(), None)).chain(jobs).collect()
}

/// About one blank reading in five days of a GPU.
fn blanks(chance: &mut rand_chacha::ChaCha8Rng, window: Window) -> Vec<i64> {
    let hours = window.length_ms() / HOUR_MS;
    let mut at: Vec<i64> = (0..hours)
        .filter_map(|hour| {
            let within_ms = chance.random_range(0..HOUR_MS);
            chance.random_bool(1.0 / 120.0).then_some(window.start_ms + hour * HOUR_MS + within_ms)
        })
        .collect();
    at.sort_unstable();
    at
}

/// Bus numbers as in an eight-GPU server.
pub(super) fn pci_bus(index: usize) -> String {
    format!("00000000:{:02X}:00.0", 0x07 + 0x08 * index)
}
