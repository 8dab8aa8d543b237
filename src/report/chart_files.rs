//! In which theme and as which files charts are written.

use super::ReportError;
use super::chart::{Chart, ChartError, Drawing, Theme};
use super::output::Outputs;

/// In which theme and as which files charts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartFiles {
    /// Their theme.
    pub theme: Theme,
    /// As PNG.
    pub png: bool,
    /// As SVG.
    pub svg: bool,
}

impl Default for ChartFiles {
    /// PNG on white.
    fn default() -> Self {
        Self { theme: Theme::Light, png: true, svg: false }
    }
}

impl ChartFiles {
    /// Adds `NAME.png`, `NAME.svg` or both to `outputs`.
    pub(super) fn add(
        self,
        outputs: &mut Outputs,
        name: &'static str,
        chart: &impl Chart,
    ) -> Result<(), ReportError> {
        let failed = |source: ChartError| ReportError::Chart { name, source };
        let drawing: Drawing = chart.draw(self.theme).map_err(failed)?;
        if self.png {
            outputs.add(&format!("{name}.png"), drawing.png().map_err(failed)?);
        }
        if self.svg {
            let id = format!("{name}-{}", self.theme.as_str());
            outputs.add(&format!("{name}.svg"), drawing.svg(&id).into_bytes());
        }
        Ok(())
    }
}
