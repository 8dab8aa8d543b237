//! Watts from utilisation, and the power that no device exceeds.

use std::fmt;
use std::str::FromStr;

use crate::units::Watts;

/// Watts per installed gigabyte (10⁹ bytes) of memory, in use or not: Green
/// Algorithms (Lannelongue et al. 2021), after Karyakin and Salem 2017.
pub const MEMORY_W_PER_GB: f64 = 0.3725;
/// Bytes in a gigabyte as [`MEMORY_W_PER_GB`] counts it.
const BYTES_PER_GB: f64 = 1e9;

/// The power that the memory of one socket is taken never to exceed: 16 modules of 12 W.
pub const P_MAX_DRAM: Watts = Watts(200.0);
/// The power that a processor socket of unknown TDP is taken never to exceed.
pub const P_MAX_SOCKET: Watts = Watts(600.0);
/// The power that a whole node is taken never to exceed.
pub const P_MAX_NODE: Watts = Watts(50_000.0);
/// The power that a GPU of unknown TDP is taken never to exceed.
pub const P_MAX_GPU: Watts = Watts(1200.0);
/// How far a device may exceed its TDP for a moment before it is a fault.
const P_MAX_TDP_FACTOR: f64 = 1.5;

/// Utilisation and share of TDP: Teads (2021), also used by Boavizta and by the
/// Impact Framework.
const CURVE: [(f64, f64); 4] = [(0.0, 0.12), (0.1, 0.32), (0.5, 0.75), (1.0, 1.02)];

/// A rule from utilisation and rated power to watts, for processors and GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UtilisationModel {
    /// 12, 32, 75 and 102 % of TDP at 0, 10, 50 and 100 % utilisation, linear
    /// between (Teads 2021).
    #[default]
    TdpCurve,
    /// Utilisation × TDP, nothing at idle: the rule of AI_Co2_Calculator.
    TdpLinear,
    /// TDP × (0.1 + 0.9 × utilisation³): CodeCarbon's, where it has no meter.
    CodeCarbonCubic,
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a power model: expected `tdp-curve`, `tdp-linear` or `codecarbon-cubic`")]
pub struct UnknownModel {
    /// The name as given.
    pub text: String,
}

impl UtilisationModel {
    /// Every model.
    pub const ALL: [Self; 3] = [Self::TdpCurve, Self::TdpLinear, Self::CodeCarbonCubic];

    /// Power at `utilisation` (0 to 1, held to that range) of a device rated at
    /// `tdp`. A utilisation that is no number gives a power that is none.
    pub fn power(self, utilisation: f64, tdp: Watts) -> Watts {
        let utilisation = utilisation.clamp(0.0, 1.0);
        match self {
            Self::TdpCurve => tdp * on_curve(utilisation),
            Self::TdpLinear => tdp * utilisation,
            Self::CodeCarbonCubic => tdp * (0.1 + 0.9 * utilisation.powi(3)),
        }
    }

    /// The name by which the model is chosen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TdpCurve => "tdp-curve",
            Self::TdpLinear => "tdp-linear",
            Self::CodeCarbonCubic => "codecarbon-cubic",
        }
    }

    /// Counts up whenever the model's figures change.
    pub const fn version(self) -> u32 {
        match self {
            Self::TdpCurve | Self::TdpLinear | Self::CodeCarbonCubic => 1,
        }
    }
}

impl fmt::Display for UtilisationModel {
    /// Name and version, as in reports: `tdp-curve/1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.version())
    }
}

impl FromStr for UtilisationModel {
    type Err = UnknownModel;

    /// Reads a name, alone or with the version that this program has.
    fn from_str(text: &str) -> Result<Self, UnknownModel> {
        let known = |model: &Self| model.name() == text || model.to_string() == text;
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownModel { text: text.to_owned() })
    }
}

/// The share of TDP at a utilisation between 0 and 1.
fn on_curve(utilisation: f64) -> f64 {
    let pieces = CURVE.iter().zip(CURVE.iter().skip(1));
    for ((from, low), (to, high)) in pieces {
        if utilisation <= *to {
            return low + (high - low) * (utilisation - from) / (to - from);
        }
    }
    f64::NAN
}

/// Power of `installed_bytes` of memory, at [`MEMORY_W_PER_GB`].
pub fn memory_power(installed_bytes: f64) -> Watts {
    memory_power_at(installed_bytes, MEMORY_W_PER_GB)
}

/// Power of `installed_bytes` of memory at `watts_per_gb` for each 10⁹ bytes.
pub fn memory_power_at(installed_bytes: f64, watts_per_gb: f64) -> Watts {
    Watts(installed_bytes / BYTES_PER_GB * watts_per_gb)
}

/// What a rated power is the rating of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// One processor socket.
    CpuSocket,
    /// One GPU.
    Gpu,
}

/// The power above which a reading is a fault (`docs/accounting.md`, C2):
/// 1.5 × TDP, or a limit for the kind where the TDP is not known.
pub fn p_max(tdp: Option<Watts>, kind: DeviceKind) -> Watts {
    match (tdp, kind) {
        (Some(tdp), _) => tdp * P_MAX_TDP_FACTOR,
        (None, DeviceKind::CpuSocket) => P_MAX_SOCKET,
        (None, DeviceKind::Gpu) => P_MAX_GPU,
    }
}
