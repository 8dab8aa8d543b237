//! What a power model has to know of a device.

use super::model::DeviceKind;
use crate::units::Watts;

/// A device as its models see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    /// Processor or GPU.
    pub kind: DeviceKind,
    /// Model name as the kernel or the driver prints it; empty if unknown.
    pub name: String,
    /// Rated power: thermal design power, or the limit that the driver reports.
    pub tdp: Watts,
    /// Power at rest, where it is known of this very model.
    pub idle: Option<Watts>,
    /// Hardware threads of a socket, where known.
    pub threads: Option<u32>,
}

impl Rating {
    /// A processor of which only the rated power is known.
    pub fn cpu(tdp: Watts) -> Self {
        Self { kind: DeviceKind::CpuSocket, name: String::new(), tdp, idle: None, threads: None }
    }

    /// A GPU of which only the rated power is known.
    pub fn gpu(tdp: Watts) -> Self {
        Self { kind: DeviceKind::Gpu, ..Self::cpu(tdp) }
    }
}
