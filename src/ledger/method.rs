//! How a figure came about (rule C7).

/// How the energy of a device in a bucket was found, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Differences of an energy counter.
    MeasuredCounter,
    /// Integral of a power gauge.
    MeasuredGauge,
    /// A curve fitted to metered devices of the same model, applied to measured utilisation.
    ModelledCalibrated,
    /// A power model applied to measured utilisation.
    ModelledUtilisation,
    /// A power that the site states, or that follows from installed hardware alone.
    ModelledConstant,
    /// Nothing measures or models it.
    None,
}

impl Method {
    /// The word used in every table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MeasuredCounter => "measured:counter",
            Self::MeasuredGauge => "measured:gauge",
            Self::ModelledCalibrated => "modelled:calibrated",
            Self::ModelledUtilisation => "modelled:utilisation",
            Self::ModelledConstant => "modelled:constant",
            Self::None => "none",
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
