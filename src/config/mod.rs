//! What a site knows once (`wattledger.toml`) and what was typed this time,
//! and the one checked plan that both become.

mod convert;
mod fetch;
mod intensity;
mod ledger;
mod plan;
mod pue;
mod whatif;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub use convert::{ConvertFlags, convert_request};
pub use fetch::{
    FetchFlags, PASSWORD_VARIABLE, ServerFlags, TOKEN_VARIABLE, TimeFlags, Variables, asked_window,
    cached_request, fetch_request,
};
pub use intensity::StatementPlan;
pub use ledger::LedgerPlan;
pub(crate) use plan::find_file;
pub use plan::{
    Defaults, Plan, Request, clock_named, from_to, jobs_time_zone, log_time_zone, log_window, period_of,
    reporting_zone,
};
pub use whatif::question;

use crate::carbon::{CarbonError, Matching};
use crate::ledger::{GpuInNodeMeter, ShareRule};
use crate::meter::catalog::{Catalog, MeterKind};
use crate::meter::names::{AliasError, Aliases};
use crate::power::calibration::CalibrationError;

/// The file that is read from the working directory if no other is named.
pub const FILE_NAME: &str = "wattledger.toml";

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("`{}` is not a valid configuration: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        reason: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting}: {reason}")]
    Value {
        /// The flag or key.
        setting: String,
        /// What is wrong.
        reason: String,
        /// What to try.
        hint: Option<String>,
    },
    /// A zone or an intensity file.
    #[error("cannot use the carbon intensity")]
    Carbon(#[from] CarbonError),
    /// A calibration file.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// An alias pattern.
    #[error(transparent)]
    Alias(#[from] AliasError),
}

impl ConfigError {
    /// What to try, where something can be tried.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Carbon(error) => error.hint(),
            Self::Value { hint, .. } => hint.clone(),
            Self::Form { .. } => Some("docs/configuration.md lists every key".to_owned()),
            Self::Calibration(CalibrationError::Form { .. }) => {
                Some("`wattledger calibrate` writes such a file".to_owned())
            }
            Self::Read { .. } | Self::Alias(_) | Self::Calibration(_) => None,
        }
    }

    /// True if what was typed is at fault, not a file.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Value { .. }
                | Self::Carbon(
                    CarbonError::UnknownZone { .. }
                        | CarbonError::BasisText { .. }
                        | CarbonError::UnitText { .. }
                        | CarbonError::StampText { .. }
                        | CarbonError::ColumnsText { .. }
                )
        )
    }
}

/// `[site]`: the whole cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    name: Option<String>,
    time_zone: Option<String>,
    zone: Option<String>,
    pue: Option<f64>,
    pue_series: Option<PathBuf>,
    gpu_in_node_meter: Option<GpuInNodeMeter>,
    intensity: Option<Vec<PathBuf>>,
    intensity_preference: Option<Vec<String>>,
    contracts: Option<PathBuf>,
    matching: Option<Matching>,
    purchases: Option<PathBuf>,
    basis: Option<String>,
    price_per_kwh: Option<f64>,
    currency: Option<String>,
}

/// `[scheduler]`: what the job log does not say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheduler {
    nodes: Option<Vec<String>>,
    jobs_tz: Option<String>,
    jobs_from: Option<String>,
    jobs_to: Option<String>,
    share: Option<ShareRule>,
}

/// `[nodes]`: names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nodes {
    #[serde(default)]
    alias: BTreeMap<String, String>,
}

/// `[power]`: models.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Power {
    model: Option<String>,
    memory_w_per_gb: Option<f64>,
    memory_model: Option<MemoryRule>,
    calibration: Option<PathBuf>,
    model_unseen_nodes: Option<bool>,
    default_cpu_tdp_w: Option<f64>,
    default_gpu_tdp_w: Option<f64>,
}

/// `power.memory_model`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MemoryRule {
    PerGb,
    PerModule,
}

/// `[[hardware]]`: figures for the nodes that fit a pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hardware {
    nodes: Option<String>,
    cpus: Option<f64>,
    memory: Option<String>,
    sockets: Option<u32>,
    cpu_model: Option<String>,
    gpus: Option<u32>,
    gpu_model: Option<String>,
    cpu_tdp_w: Option<f64>,
    cpu_curve_w: Option<Vec<f64>>,
    gpu_curve_w: Option<Vec<f64>>,
    cpu_idle_w: Option<f64>,
    dram_idle_w: Option<f64>,
    gpu_idle_w: Option<f64>,
    gpu_tdp_w: Option<f64>,
    other_w: Option<f64>,
    psu_efficiency: Option<f64>,
    site: Option<String>,
    zone: Option<String>,
    embodied_kgco2e: Option<f64>,
    gpu_embodied_kgco2e: Option<f64>,
    lifetime_years: Option<f64>,
}

/// `wattledger.toml` as it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    #[serde(default)]
    site: Site,
    #[serde(default)]
    scheduler: Scheduler,
    #[serde(default)]
    nodes: Nodes,
    #[serde(default)]
    power: Power,
    #[serde(default)]
    hardware: Vec<Hardware>,
    #[serde(default)]
    meter: Vec<MeterKind>,
}

impl ConfigFile {
    /// True if it states whose days are reported on.
    pub(crate) fn has_time_zone(&self) -> bool {
        self.site.time_zone.is_some()
    }

    /// What nodes are called by the scheduler.
    ///
    /// # Errors
    ///
    /// Where a pattern is none.
    pub(crate) fn aliases(&self) -> Result<Aliases, ConfigError> {
        let pairs = self.nodes.alias.iter().map(|(pattern, node)| (pattern.as_str(), node.as_str()));
        Ok(Aliases::new(pairs)?)
    }

    /// The shipped catalog with the rows of `[[meter]]` before its own.
    ///
    /// # Errors
    ///
    /// For a row that cannot be used.
    pub fn catalog(&self) -> Result<Arc<Catalog>, ConfigError> {
        let wrong = |reason: String| {
            let hint = "docs/meters.md says what a row of the catalog has".to_owned();
            plan::value("meter", reason, Some(hint))
        };
        let shipped = Catalog::shipped().map_err(|error| wrong(error.to_string()))?;
        if self.meter.is_empty() {
            return Ok(shipped);
        }
        shipped.with(&self.meter).map(Arc::new).map_err(|error| wrong(error.to_string()))
    }

    /// Reads the file at `path`. Paths in it are relative to its directory.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is no TOML, or has an unknown key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// The same of the text of a file.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut file: Self = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map(|span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let reason = format!("{place}{}", error.message().trim().replace('\n', ", "));
            ConfigError::Form { path: path.to_owned(), reason }
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let paths = file.site.intensity.iter_mut().flatten();
        let paths = paths.chain(&mut file.power.calibration).chain(&mut file.site.pue_series);
        let paths = paths.chain(&mut file.site.contracts).chain(&mut file.site.purchases);
        for path in paths {
            *path = directory.join(&*path);
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "[site]\nzone = \"DE\"\npew = 1.2\n").unwrap();
        let error = ConfigFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("pew"), "{error}");
    }
}
