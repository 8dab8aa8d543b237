//! The formats of saved samples.

use std::fmt;

/// A way in which samples are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// An answer of Prometheus' HTTP API: a matrix or a vector.
    ApiJson,
    /// `promtool tsdb dump`: `{__name__="up", …} 1 1700000000000`.
    Promtool,
    /// OpenMetrics text, times in seconds, as `promtool tsdb dump-openmetrics` writes it too.
    OpenMetrics,
    /// The text exposition format, times in milliseconds: a scrape, or `/federate`.
    Exposition,
    /// Lines of JSON from VictoriaMetrics' `/api/v1/export`.
    VmExport,
    /// A saved answer of `/api/v1/read`.
    RemoteRead,
    /// The `jtop_usage.csv` of AI_Co2_Calculator.
    Jtop,
    /// A long table: a row for each sample.
    Csv,
    /// The same as Parquet.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ApiJson,
        Self::Promtool,
        Self::OpenMetrics,
        Self::Exposition,
        Self::VmExport,
        Self::RemoteRead,
        Self::Jtop,
        Self::Csv,
        Self::Parquet,
    ];

    /// The word for flags and for `meta.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiJson => "api-json",
            Self::Promtool => "promtool",
            Self::OpenMetrics => "openmetrics",
            Self::Exposition => "exposition",
            Self::VmExport => "vm-export",
            Self::RemoteRead => "remote-read",
            Self::Jtop => "jtop",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// What it is, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::ApiJson => "an answer of the HTTP API",
            Self::Promtool => "`promtool tsdb dump`",
            Self::OpenMetrics => "OpenMetrics text",
            Self::Exposition => "text exposition",
            Self::VmExport => "VictoriaMetrics' export",
            Self::RemoteRead => "an answer of remote read",
            Self::Jtop => "AI_Co2_Calculator's jtop log",
            Self::Csv => "a table in CSV",
            Self::Parquet => "a table in Parquet",
        }
    }

    /// True if it holds neither stale markers nor anything in their place.
    pub(super) fn loses_stale_markers(self) -> bool {
        matches!(self, Self::ApiJson | Self::Exposition | Self::Jtop | Self::Csv | Self::Parquet)
    }

    /// True if its NaN may stand for a stale marker, and is taken for one: no
    /// meter shows a NaN, and the end of a series is the safer reading.
    pub(super) fn nan_is_stale(self) -> bool {
        matches!(self, Self::Promtool | Self::OpenMetrics | Self::VmExport)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
