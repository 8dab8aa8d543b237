//! Watts from utilisation, and the power that no device exceeds.

use std::fmt;
use std::str::FromStr;

use super::ccf;
use super::rating::Rating;
use crate::uncertainty::Spread;
use crate::units::Watts;

/// Watts per installed gigabyte (10⁹ bytes) of memory, in use or not: Green
/// Algorithms (Lannelongue et al. 2021), after Karyakin and Salem 2017.
pub const MEMORY_W_PER_GB: f64 = 0.3725;
/// What other tools take: Cloud Carbon Footprint and Boavizta.
pub const CCF_MEMORY_W_PER_GB: f64 = 0.392;
/// See [`CCF_MEMORY_W_PER_GB`].
pub const BOAVIZTA_MEMORY_W_PER_GB: f64 = 0.284;
/// Bytes in a gigabyte as [`MEMORY_W_PER_GB`] counts it.
const BYTES_PER_GB: f64 = 1e9;
/// Bytes in a gibibyte, by which modules are sold.
const BYTES_PER_GIB: f64 = 1_073_741_824.0;

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

/// What a device is taken to draw at rest where nothing tells, as a share of TDP: the first point of [`CURVE`].
const IDLE_SHARE: f64 = 0.12;

/// Boavizta's logarithmic curve a·ln(b·(x + c)) + d of a processor of 100 W, x in percent (boaviztapi 2.4.1,
/// `tests/api/test_cp.py`: Xeon Gold 6134 at TDP 100): what its fit makes of the four points of [`CURVE`]. In
/// proportion for other TDPs.
const BOAVIZTA_100_W: [f64; 4] = [50.8479, 0.0630, 20.4511, -0.9990];

/// A rule from utilisation and what is known of a device to watts, for processors and GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UtilisationModel {
    /// 12, 32, 75 and 102 % of TDP at 0, 10, 50 and 100 % utilisation, linear
    /// between (Teads 2021).
    #[default]
    TdpCurve,
    /// Utilisation × TDP, nothing at idle: the rule of AI_Co2_Calculator.
    TdpLinear,
    /// A line from the power at rest (known of the model, else 12 % of TDP) to TDP.
    IdleToTdp,
    /// TDP × (0.1 + 0.9 × utilisation³): CodeCarbon's (3.2.9), where it has no meter.
    CodeCarbonCubic,
    /// Boavizta's logarithmic curve (boaviztapi 2.4.1) for the TDP; at least 1 W.
    Boavizta,
    /// Cloud Carbon Footprint's line between the least and most watts of its tables (release-2024-02-11): nothing for
    /// hardware that they lack.
    Ccf,
    /// Green Algorithms (GA4HPC 0.3): processors at TDP ÷ cores for each core-hour used, GPUs at full power whatever they do.
    GreenAlgorithms,
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a power model: expected {}", names())]
pub struct UnknownModel {
    /// The name as given.
    pub text: String,
}

impl UtilisationModel {
    /// Every model.
    pub const ALL: [Self; 7] = [
        Self::TdpCurve,
        Self::TdpLinear,
        Self::IdleToTdp,
        Self::CodeCarbonCubic,
        Self::Boavizta,
        Self::Ccf,
        Self::GreenAlgorithms,
    ];

    /// Power at `utilisation` (0 to 1, held to that range) of the device of this `rating`; `None` where the model has no
    /// figure for such hardware. A utilisation that is no number gives a power that is none.
    pub fn power(self, utilisation: f64, rating: &Rating) -> Option<Watts> {
        let utilisation = utilisation.clamp(0.0, 1.0);
        let tdp = rating.tdp;
        Some(match self {
            Self::TdpCurve => tdp * on_curve(utilisation),
            Self::TdpLinear => tdp * utilisation,
            Self::IdleToTdp => {
                let idle = rating.idle.unwrap_or(tdp * IDLE_SHARE);
                idle + (tdp - idle) * utilisation
            }
            Self::CodeCarbonCubic => tdp * (0.1 + 0.9 * utilisation.powi(3)),
            Self::Boavizta => {
                let [a, b, c, d] = BOAVIZTA_100_W;
                let watts = tdp * ((a * (b * (100.0 * utilisation + c)).ln() + d) / 100.0);
                if watts < Watts(1.0) { Watts(1.0) } else { watts }
            }
            Self::Ccf => {
                let (least, most) = ccf::range(rating)?;
                least + (most - least) * utilisation
            }
            Self::GreenAlgorithms => match rating.kind {
                DeviceKind::CpuSocket => tdp * utilisation,
                // A utilisation that is none must not become a power.
                DeviceKind::Gpu if utilisation.is_nan() => Watts(f64::NAN),
                DeviceKind::Gpu => tdp,
            },
        })
    }

    /// Between which factors of the model's power the true one lies: of processors the 2.5 and 97.5 % quantiles over
    /// the measured machines of docs/models.md (`tests/model_errors.rs`).
    pub const fn spread(self, kind: DeviceKind) -> Spread {
        if matches!(kind, DeviceKind::Gpu) {
            // Training took 16 to 100 % of the limit (Zeus, NSDI 2023); at rest the GPUs of the table take up to 1.2 × the
            // 12 % of the curve.
            return Spread::new(0.16, 1.20);
        }
        match self {
            Self::TdpCurve => Spread::new(0.30, 1.61),
            Self::TdpLinear | Self::GreenAlgorithms => Spread::new(0.52, 7.16),
            // None of the measured processors is in the tables of `Ccf`; it is a line between two powers too.
            Self::IdleToTdp | Self::Ccf => Spread::new(0.43, 2.23),
            Self::CodeCarbonCubic => Spread::new(0.60, 5.38),
            Self::Boavizta => Spread::new(0.29, 1.54),
        }
    }

    /// The name by which the model is chosen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TdpCurve => "tdp-curve",
            Self::TdpLinear => "tdp-linear",
            Self::IdleToTdp => "idle-to-tdp",
            Self::CodeCarbonCubic => "codecarbon-cubic",
            Self::Boavizta => "boavizta",
            Self::Ccf => "ccf",
            Self::GreenAlgorithms => "green-algorithms",
        }
    }

    /// Counts up whenever the model's figures change.
    pub const fn version(self) -> u32 {
        match self {
            Self::TdpCurve
            | Self::TdpLinear
            | Self::IdleToTdp
            | Self::CodeCarbonCubic
            | Self::Boavizta
            | Self::Ccf
            | Self::GreenAlgorithms => 1,
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

/// All names, for people.
fn names() -> String {
    let names: Vec<String> =
        UtilisationModel::ALL.iter().map(|model| format!("`{}`", model.name())).collect();
    names.join(", ")
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

/// Watts for each 10⁹ bytes of `installed_bytes` that draw `power` together; `None` where nothing is installed.
pub fn watts_per_gb(power: Watts, installed_bytes: f64) -> Option<f64> {
    (installed_bytes > 0.0).then(|| power.value() / (installed_bytes / BYTES_PER_GB))
}

/// How the power of memory without a meter is worked out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryModel {
    /// Watts for each 10⁹ bytes installed.
    PerGigabyte(f64),
    /// CodeCarbon's modules.
    PerModule,
}

impl MemoryModel {
    /// Power of `installed_bytes` of memory.
    pub fn power(self, installed_bytes: f64) -> Watts {
        match self {
            Self::PerGigabyte(watts) => Watts(installed_bytes / BYTES_PER_GB * watts),
            Self::PerModule => by_module(installed_bytes),
        }
    }

    /// From the least to the most that the published rules say of the same memory, against this rule: the figures per GB,
    /// and CodeCarbon's watts of modules of 128 and of 8 GB, for nobody tells how many there are.
    pub fn spread(self, installed_bytes: f64) -> Spread {
        let own = self.power(installed_bytes).value();
        if own <= 0.0 || !own.is_finite() {
            return Spread::NONE;
        }
        let gigabytes = installed_bytes / BYTES_PER_GB;
        let per_gb = [MEMORY_W_PER_GB, CCF_MEMORY_W_PER_GB, BOAVIZTA_MEMORY_W_PER_GB];
        let by_module = [128.0, 8.0].map(|size_gib| {
            let modules = (installed_bytes / BYTES_PER_GIB / size_gib).ceil();
            of_modules(modules.clamp(1.0, MOST_MODULES))
        });
        let rules = per_gb.map(|watts| gigabytes * watts).into_iter().chain(by_module);
        let (low, high) = rules.fold((own, own), |(low, high), watts| (low.min(watts), high.max(watts)));
        Spread::new(low / own, high / own)
    }
}

impl Default for MemoryModel {
    fn default() -> Self {
        Self::PerGigabyte(MEMORY_W_PER_GB)
    }
}

impl fmt::Display for MemoryModel {
    /// As in reports: `0.3725 W/GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerGigabyte(watts) => write!(f, "{watts} W/GB"),
            Self::PerModule => f.write_str("per-module/1"),
        }
    }
}

/// CodeCarbon's memory model (3.2.9, `codecarbon/external/ram.py`): modules guessed from the size, 5 W each, less for
/// those beyond the fourth, at least 10 W.
fn by_module(installed_bytes: f64) -> Watts {
    let gigabytes = installed_bytes / BYTES_PER_GB;
    let modules = match gigabytes {
        ..=2.0 => 1.0,
        ..=8.0 => 2.0,
        // One more for each 8, then each 16 GB, as CodeCarbon counts them.
        ..=32.0 => ((gigabytes / 8.0).floor() + 1.0).clamp(2.0, 4.0),
        ..=128.0 => ((gigabytes / 16.0).floor() + 1.0).clamp(4.0, 8.0),
        // Modules of 128 GB, in 8 to 32 slots.
        _ => (gigabytes / 128.0).ceil().clamp(8.0, MOST_MODULES),
    };
    Watts(of_modules(modules).max(10.0))
}

/// Slots that CodeCarbon takes a machine to have at most.
const MOST_MODULES: f64 = 32.0;

/// CodeCarbon's watts of so many modules.
fn of_modules(modules: f64) -> f64 {
    // Watts of a module, and how many modules draw that.
    const TIERS: [(f64, f64); 4] = [(5.0, 4.0), (4.5, 4.0), (4.0, 8.0), (3.5, f64::INFINITY)];
    let mut left = modules;
    let mut watts = 0.0;
    for (each, most) in TIERS {
        let here = left.min(most);
        watts += each * here;
        left -= here;
    }
    watts
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
