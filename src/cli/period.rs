//! The flags by which a report's time is named by the calendar.

use crate::config::{ConfigError, period_of};
use crate::period::{Length, Period};

/// At most one of them.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "period", multiple = false)]
pub(super) struct PeriodArgs {
    /// A day of --time-zone: `2026-10-05`, `last` or `this`.
    #[arg(long, value_name = "DAY", help_heading = "Period")]
    day: Option<String>,
    /// A week, from Monday on: `2026-W41`, `last` or `this`.
    #[arg(long, value_name = "WEEK", help_heading = "Period")]
    week: Option<String>,
    /// A month: `2026-10`, `last` or `this`.
    #[arg(long, value_name = "MONTH", help_heading = "Period")]
    month: Option<String>,
    /// A quarter: `2026-Q4`, `last` or `this`.
    #[arg(long, value_name = "QUARTER", help_heading = "Period")]
    quarter: Option<String>,
    /// A year: `2026`, `last` or `this`.
    #[arg(long, value_name = "YEAR", help_heading = "Period")]
    year: Option<String>,
}

impl PeriodArgs {
    /// The period that is named, if one is, as seen from now in `zone`.
    pub(super) fn asked(&self, zone: chrono_tz::Tz) -> Result<Option<Period>, ConfigError> {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let flags = [
            ("--day", Length::Day, &self.day),
            ("--week", Length::Week, &self.week),
            ("--month", Length::Month, &self.month),
            ("--quarter", Length::Quarter, &self.quarter),
            ("--year", Length::Year, &self.year),
        ];
        let typed = flags.into_iter().find_map(|(flag, length, text)| Some((flag, length, text.as_ref()?)));
        typed.map(|(flag, length, text)| period_of(flag, length, text, now_ms, zone)).transpose()
    }
}
