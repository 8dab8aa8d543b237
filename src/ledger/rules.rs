//! What a site has decided about its accounting: the checked settings that the
//! ledger works by.

use std::sync::Arc;

use super::usage::ShareRule;
use crate::carbon::Footprints;
use crate::meter::catalog::Catalog;
use crate::meter::edges::EdgeRule;
use crate::meter::names::Aliases;
use crate::power::calibration::Calibration;
use crate::power::{LoadCurve, MemoryModel, UtilisationModel};
use crate::time::Window;

/// Whether a whole-node power meter sees the GPUs (rule T1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuInNodeMeter {
    /// It does.
    Yes,
    /// They have a supply of their own.
    No,
    /// Not stated: no `other` is worked out on nodes that have both.
    #[default]
    Unknown,
}

/// Hardware of the nodes whose names fit a pattern. What is `None` is found
/// out from the series and the shipped tables.
#[derive(Clone, Debug, Default)]
pub struct NodeHardware {
    /// Anchored pattern on the node's name.
    pub pattern: Option<regex::Regex>,
    /// CPUs, counted as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// Processor packages.
    pub sockets: Option<u32>,
    /// Model of the processors, as the kernel prints it.
    pub cpu_model: Option<String>,
    /// GPUs.
    pub gpus: Option<u32>,
    /// Model of the GPUs, as the driver prints it.
    pub gpu_model: Option<String>,
    /// Thermal design power of one processor, in watts.
    pub cpu_tdp_w: Option<f64>,
    /// Power of one processor by load, in watts.
    pub cpu_curve_w: Option<LoadCurve>,
    /// Power of one GPU by load, in watts.
    pub gpu_curve_w: Option<LoadCurve>,
    /// Power of one processor at rest, in watts (rule S2).
    pub cpu_idle_w: Option<f64>,
    /// Power of one socket's memory at rest, in watts (rule S3).
    pub dram_idle_w: Option<f64>,
    /// Power of one GPU at rest, in watts (rule S1).
    pub gpu_idle_w: Option<f64>,
    /// Thermal design power of one GPU, in watts.
    pub gpu_tdp_w: Option<f64>,
    /// Power of everything without a meter, in watts (rule T2).
    pub other_w: Option<f64>,
    /// Output of the node's power supplies ÷ their input (rule T2).
    pub psu_efficiency: Option<f64>,
    /// Site that the node stands at, if it differs from the cluster's.
    pub site: Option<String>,
    /// Zone of the node, if it differs from the report's.
    pub zone: Option<String>,
    /// What it took to make the node without its GPUs, in kgCO2e (rule G5).
    pub embodied_kgco2e: Option<f64>,
    /// What it took to make one of its GPUs, in kgCO2e.
    pub gpu_embodied_kgco2e: Option<f64>,
    /// How long both are expected to serve, in years of 8,760 h.
    pub lifetime_years: Option<f64>,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What measures what.
    pub catalog: Arc<Catalog>,
    /// How run edges are placed.
    pub edges: EdgeRule,
    /// True to model everything as if nothing had a meter, for comparison.
    pub ignore_meters: bool,
    /// Power model for processors and GPUs without a meter.
    pub power_model: UtilisationModel,
    /// Curves fitted to devices with a meter, for their siblings.
    pub calibration: Calibration,
    /// Memory without a meter.
    pub memory_model: MemoryModel,
    /// Rated power of processors that are in no table, in watts.
    pub default_cpu_tdp_w: Option<f64>,
    /// Rated power of GPUs that are in no table, in watts.
    pub default_gpu_tdp_w: Option<f64>,
    /// True to model nodes of the job log without any series by what the log tells.
    pub model_unseen_nodes: bool,
    /// Whether node meters see the GPUs.
    pub gpu_in_node_meter: GpuInNodeMeter,
    /// How shared processors and memory are given to runs.
    pub share: ShareRule,
    /// Node names.
    pub aliases: Aliases,
    /// Hardware by node pattern; the first that fits and states a figure wins.
    pub hardware: Vec<NodeHardware>,
    /// Nodes that the scheduler knows beyond those in the job log.
    pub scheduler_nodes: Vec<String>,
    /// Time that the job log covers, where the user states it.
    pub jobs_from_ms: Option<i64>,
    /// See `jobs_from_ms`.
    pub jobs_to_ms: Option<i64>,
    /// What it takes to make devices (rule G5).
    pub footprints: Arc<Footprints>,
    /// The site of nodes that name none; empty if it has no name.
    pub site: String,
    /// Whose midnights are bucket edges.
    pub time_zone: chrono_tz::Tz,
    /// What is reported on.
    pub window: Window,
    /// Length of a bucket: an hour, or the finest step of the intensity data.
    pub bucket_ms: i64,
}

impl Rules {
    /// The stretches of the report's window for which there are rows.
    pub fn buckets(&self) -> Vec<Window> {
        crate::time::buckets(self.window, self.bucket_ms, self.time_zone)
    }

    /// What the site states of the hardware of `node`, first statement first.
    pub fn hardware_of(&self, node: &str) -> NodeHardware {
        let mut merged = NodeHardware::default();
        for stated in &self.hardware {
            if stated.pattern.as_ref().is_none_or(|pattern| pattern.is_match(node)) {
                merged.cpus = merged.cpus.or(stated.cpus);
                merged.memory_bytes = merged.memory_bytes.or(stated.memory_bytes);
                merged.sockets = merged.sockets.or(stated.sockets);
                merged.cpu_model = merged.cpu_model.or_else(|| stated.cpu_model.clone());
                merged.gpus = merged.gpus.or(stated.gpus);
                merged.gpu_model = merged.gpu_model.or_else(|| stated.gpu_model.clone());
                merged.cpu_tdp_w = merged.cpu_tdp_w.or(stated.cpu_tdp_w);
                merged.cpu_curve_w = merged.cpu_curve_w.or_else(|| stated.cpu_curve_w.clone());
                merged.gpu_curve_w = merged.gpu_curve_w.or_else(|| stated.gpu_curve_w.clone());
                merged.cpu_idle_w = merged.cpu_idle_w.or(stated.cpu_idle_w);
                merged.dram_idle_w = merged.dram_idle_w.or(stated.dram_idle_w);
                merged.gpu_idle_w = merged.gpu_idle_w.or(stated.gpu_idle_w);
                merged.gpu_tdp_w = merged.gpu_tdp_w.or(stated.gpu_tdp_w);
                merged.other_w = merged.other_w.or(stated.other_w);
                merged.psu_efficiency = merged.psu_efficiency.or(stated.psu_efficiency);
                merged.site = merged.site.or_else(|| stated.site.clone());
                merged.zone = merged.zone.or_else(|| stated.zone.clone());
                merged.embodied_kgco2e = merged.embodied_kgco2e.or(stated.embodied_kgco2e);
                merged.gpu_embodied_kgco2e = merged.gpu_embodied_kgco2e.or(stated.gpu_embodied_kgco2e);
                merged.lifetime_years = merged.lifetime_years.or(stated.lifetime_years);
            }
        }
        merged
    }
}
