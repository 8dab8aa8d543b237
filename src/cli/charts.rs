//! The flags of every command that draws charts.

use clap::ValueEnum;

use crate::report::ChartFiles;
use crate::report::chart::Theme;

/// Whether charts are written, and how.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct ChartArgs {
    /// Write no charts.
    #[arg(long)]
    no_charts: bool,
    #[command(flatten)]
    pub(super) look: LookArgs,
}

/// How charts look.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct LookArgs {
    /// Charts on white or on dark: `light` (default) or `dark`.
    #[arg(long, value_name = "light|dark")]
    theme: Option<ThemeChoice>,
    /// Charts as `png` (default), `svg` or `both`.
    #[arg(long, value_name = "png|svg|both")]
    chart_format: Option<FormatChoice>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ThemeChoice {
    /// Dark on white.
    Light,
    /// Light on nearly black.
    Dark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatChoice {
    /// Pixels.
    Png,
    /// Shapes and letters.
    Svg,
    /// Two files of each chart.
    Both,
}

impl ChartArgs {
    /// The files to write; none if no charts are wanted.
    pub(super) fn files(self) -> Option<ChartFiles> {
        (!self.no_charts).then(|| self.look.files())
    }
}

impl LookArgs {
    /// The files to write.
    pub(super) fn files(self) -> ChartFiles {
        self.files_or(FormatChoice::Png)
    }

    /// The files to write where a name is given: what its ending says, if no flag does.
    pub(super) fn files_named(self, name: &str) -> ChartFiles {
        let is_svg = name.to_lowercase().ends_with(".svg");
        self.files_or(if is_svg { FormatChoice::Svg } else { FormatChoice::Png })
    }

    fn files_or(self, default: FormatChoice) -> ChartFiles {
        let format = self.chart_format.unwrap_or(default);
        let theme = match self.theme {
            None | Some(ThemeChoice::Light) => Theme::Light,
            Some(ThemeChoice::Dark) => Theme::Dark,
        };
        ChartFiles { theme, png: format != FormatChoice::Svg, svg: format != FormatChoice::Png }
    }
}
