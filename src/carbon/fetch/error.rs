//! What can go wrong on the way to a provider, and what to try. No text holds a key.

use std::time::Duration;

use crate::carbon::{CarbonError, Zone};

/// A failure to fetch.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody who can be asked has the zone.
    #[error("no provider that can be asked has the intensity of `{zone}`")]
    NoProvider {
        /// The zone.
        zone: Zone,
    },
    /// The provider that was named has not.
    #[error("{provider} has no intensity of `{zone}`")]
    NoZone {
        /// The provider.
        provider: &'static str,
        /// The zone.
        zone: Zone,
    },
    /// A name that no provider has.
    #[error("`{text}` is not a provider of intensities")]
    UnknownProvider {
        /// The name as given.
        text: String,
    },
    /// A key that is not there.
    #[error("{provider} wants a key, and the environment has no `{variable}`")]
    NoKey {
        /// The provider.
        provider: &'static str,
        /// Where the key is looked for.
        variable: &'static str,
    },
    /// A key that was refused.
    #[error("{provider} refused the key (status {status}): {message}")]
    Refused {
        /// The provider.
        provider: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// Where the key is looked for.
        variables: &'static [&'static str],
    },
    /// The server said no.
    #[error("{provider} answered with status {status}: {message}")]
    Status {
        /// The provider.
        provider: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// The wait that it asked for.
        retry_after: Option<Duration>,
    },
    /// The server could not be reached, or broke off.
    #[error("cannot reach {provider} at `{host}`: {reason}")]
    Connection {
        /// The provider.
        provider: &'static str,
        /// The server.
        host: String,
        /// What the network says.
        reason: String,
    },
    /// What came is no answer to the question.
    #[error("{provider} sent no intensities: {reason}")]
    Answer {
        /// The provider.
        provider: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// What came looks right and cannot be read.
    #[error("what was sent cannot be read as intensities")]
    Unreadable(#[source] CarbonError),
    /// Nothing for the whole time.
    #[error("{provider} has nothing of `{zone}` for this time")]
    Nothing {
        /// The provider.
        provider: &'static str,
        /// The zone.
        zone: Zone,
    },
    /// An address that is none.
    #[error("`{text}` is not an address: {reason}")]
    Address {
        /// The address as given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be written, or the store not be changed.
    #[error(transparent)]
    Carbon(#[from] CarbonError),
}

impl FetchError {
    pub(super) fn answer(error: CarbonError) -> Self {
        Self::Unreadable(error)
    }

    /// True for trouble that may be over soon.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The wait that the server asked for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What to try, where something can be tried.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProvider { .. } => Some(
                "without a key: Great Britain (`uk`), France (`rte`) and most countries of Europe (`energy-charts`); with a key: the United \
                 States (`eia`, EIA_API_KEY) and the world (`electricity-maps`, ELECTRICITY_MAPS_TOKEN)"
                    .to_owned(),
            ),
            Self::NoZone { .. } | Self::UnknownProvider { .. } => Some(
                "providers are `uk`, `rte`, `energy-charts`, `electricity-maps`, `entsoe`, `eia` and `watttime`; without `--provider` one that \
                 has the zone is taken"
                    .to_owned(),
            ),
            Self::NoKey { variable, .. } => Some(format!("`export {variable}=…` with the key that the provider gave you")),
            Self::Refused { variables, .. } => Some(format!("is the key in {} right, and does its plan cover this time?", variables.join(" and "))),
            Self::Nothing { .. } => Some("another time, or another provider with `--provider`".to_owned()),
            Self::Connection { .. } => Some("proxies are taken from HTTPS_PROXY and NO_PROXY".to_owned()),
            Self::Unreadable(error) | Self::Carbon(error) => error.hint(),
            Self::Status { .. } | Self::Answer { .. } | Self::Address { .. } => None,
        }
    }
}
