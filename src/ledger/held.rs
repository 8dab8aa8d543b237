//! What runs used of the GPUs and the memory that they held, as far as meters tell.

use serde::{Deserialize, Serialize};

use super::claims::Claim;
use super::usage::Usage;
use crate::meter::catalog::Quantity;
use crate::meter::curve::Curve;
use crate::meter::inventory::NodeSeries;
use crate::meter::job_use::read_busy;
use crate::meter::stream::{Scratch, SeriesUse};
use crate::source::SourceError;
use crate::time::Window;

/// Of one run, over the time that is reported on. Use of processors is told by job logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct HeldUse {
    /// GPU-seconds that it held and whose utilisation is known.
    pub gpu_known_s: f64,
    /// GPU-seconds of full load among them.
    pub gpu_busy_s: f64,
    /// Bytes × seconds that it held while it is known what it used of them.
    pub memory_known_bytes_s: f64,
    /// Bytes × seconds that it used then.
    pub memory_used_bytes_s: f64,
}

impl HeldUse {
    /// Adds what it used on another node or day.
    pub fn add(&mut self, other: Self) {
        self.gpu_known_s += other.gpu_known_s;
        self.gpu_busy_s += other.gpu_busy_s;
        self.memory_known_bytes_s += other.memory_known_bytes_s;
        self.memory_used_bytes_s += other.memory_used_bytes_s;
    }
}

/// What each claim's run used on a node in `window`, by the run's position. `read` is the time that is read of the series.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub(super) fn held_use(
    series: &NodeSeries<'_>,
    claims: &[Claim],
    usage: Option<&Usage>,
    (window, read): (Window, Window),
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
) -> Result<Vec<(usize, HeldUse)>, SourceError> {
    let mut busy: Vec<Option<Curve>> = Vec::new();
    for (position, (_, gpu)) in series.gpus().enumerate() {
        // A card that is cut into parts has no utilisation of its own.
        let is_asked =
            gpu.instances.is_empty() && claims.iter().any(|claim| claim.bound_gpus.contains(&position));
        let meters = gpu.of(Quantity::Utilisation);
        busy.push(if is_asked && !meters.is_empty() {
            Some(read_busy(meters, read, scratch, uses)?)
        } else {
            None
        });
    }
    let mut found = Vec::new();
    for (place, claim) in claims.iter().enumerate() {
        let Some(held) = claim.window.intersect(window) else { continue };
        let mut of_run = HeldUse::default();
        for curve in claim.bound_gpus.iter().filter_map(|gpu| busy.get(*gpu)?.as_ref()) {
            let reading = curve.read(held);
            of_run.gpu_known_s += reading.known_s();
            of_run.gpu_busy_s += reading.energy_j;
        }
        let memory = usage.and_then(|usage| usage.claims.get(place)?.memory.as_ref());
        if let (Some(curve), Some(bytes)) = (memory, claim.memory_bytes) {
            let reading = curve.read(held);
            of_run.memory_known_bytes_s += bytes * reading.known_s();
            of_run.memory_used_bytes_s += reading.energy_j;
        }
        if of_run != HeldUse::default() {
            found.push((claim.run, of_run));
        }
    }
    Ok(found)
}
