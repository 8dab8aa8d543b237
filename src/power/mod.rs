//! Power models and hardware tables, for what has no meter.
//!
//! [`find_cpu`] and [`find_gpu`] look a device up by the name that the kernel
//! or the driver prints, [`nearest_cpus`] and [`nearest_gpus`] list what is like it; [`UtilisationModel`] turns its rated
//! power and a utilisation into watts; [`MemoryModel`] does so for installed memory.

pub mod calibration;
mod ccf;
mod hardware;
mod load_curve;
mod model;
mod nearest;
mod rating;

pub use hardware::{
    CpuMatch, GpuMatch, UNKNOWN_CORE_SPREAD, UNKNOWN_CORE_W, UNKNOWN_GPU_SPREAD, UNKNOWN_GPU_W, find_cpu,
    find_gpu,
};
pub use load_curve::{LoadCurve, LoadCurveError};
pub use model::{
    BOAVIZTA_MEMORY_W_PER_GB, CCF_MEMORY_W_PER_GB, DeviceKind, MEMORY_W_PER_GB, MemoryModel, P_MAX_DRAM,
    P_MAX_GPU, P_MAX_NODE, P_MAX_SOCKET, UnknownModel, UtilisationModel, p_max, watts_per_gb,
};
pub use nearest::{nearest_cpus, nearest_gpus};
pub use rating::Rating;
