//! How a figure came about (rule C7).

use crate::meter::catalog::Component;
use crate::uncertainty::Spread;

/// How the energy of a device in a bucket was found, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum Method {
    /// Differences of an energy counter.
    #[serde(rename = "measured:counter")]
    MeasuredCounter,
    /// Integral of a power gauge.
    #[serde(rename = "measured:gauge")]
    MeasuredGauge,
    /// A curve fitted to metered devices of the same model, applied to measured utilisation.
    #[serde(rename = "modelled:calibrated")]
    ModelledCalibrated,
    /// A power model applied to measured utilisation.
    #[serde(rename = "modelled:utilisation")]
    ModelledUtilisation,
    /// A power model applied to what the job log tells of a node without series.
    #[serde(rename = "modelled:joblog")]
    ModelledJobLog,
    /// A power that the site states, or that follows from installed hardware alone.
    #[serde(rename = "modelled:constant")]
    ModelledConstant,
    /// Nothing measures or models it.
    #[serde(rename = "none")]
    None,
}

impl Method {
    /// All of them, best first.
    pub const ALL: [Self; 7] = [
        Self::MeasuredCounter,
        Self::MeasuredGauge,
        Self::ModelledCalibrated,
        Self::ModelledUtilisation,
        Self::ModelledJobLog,
        Self::ModelledConstant,
        Self::None,
    ];

    /// The word used in every table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MeasuredCounter => "measured:counter",
            Self::MeasuredGauge => "measured:gauge",
            Self::ModelledCalibrated => "modelled:calibrated",
            Self::ModelledUtilisation => "modelled:utilisation",
            Self::ModelledJobLog => "modelled:joblog",
            Self::ModelledConstant => "modelled:constant",
            Self::None => "none",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// How far off what a meter saw of a component may be (rule U1); what models say brings its own spread.
    pub fn spread(self, component: Component) -> Spread {
        match (self, component) {
            // RAPL tells memory with an offset, and worst at rest (Desrochers et al., MEMSYS 2016).
            (Self::MeasuredCounter | Self::MeasuredGauge, Component::Dram) => Spread::within(0.20),
            // NVML states ± 5 %; processors since Haswell-EP are measured too (Hackenberg et al., IPDPSW 2015).
            (Self::MeasuredCounter, _) | (Self::MeasuredGauge, Component::Node | Component::Other) => {
                Spread::within(0.05)
            }
            // A gauge is looked at now and then: an A100's sensor sees a quarter of the time (Yang et al., SC24).
            (Self::MeasuredGauge, _) => Spread::within(0.10),
            _ => Spread::NONE,
        }
    }

    /// True for what a meter saw.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::MeasuredCounter | Self::MeasuredGauge)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
