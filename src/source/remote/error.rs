//! What can go wrong between here and a server.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::staging::StagingError;
use crate::tsdb::TsdbError;

/// A failure to fetch series. No text in it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is not one.
    #[error("`{text}` is not the address of a server: {reason}")]
    Address {
        /// The address; hidden where it may hold a password.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A header cannot be sent.
    #[error("cannot send the header `{name}`: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use `{}` for TLS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No connection, or one that broke before or inside the answer.
    #[error("cannot ask `{url}`: {reason}")]
    Connection {
        /// Who was asked.
        url: String,
        /// What the network said.
        reason: String,
        /// True if it may go better next time.
        passing: bool,
    },
    /// The two sides do not agree about TLS.
    #[error("cannot ask `{url}`: {reason}")]
    Handshake {
        /// Who was asked.
        url: String,
        /// What TLS said.
        reason: String,
        /// What to try.
        hint: Option<&'static str>,
    },
    /// The server answers that it will not or cannot.
    #[error("`{url}` answers {status}{}", colon(message))]
    Status {
        /// Who was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says, or nothing.
        message: String,
        /// The wait that it asks for.
        retry_after: Option<Duration>,
    },
    /// The server sends one elsewhere.
    #[error("`{url}` redirects to `{target}`")]
    Redirect {
        /// Who was asked.
        url: String,
        /// Where to, without credentials and query.
        target: String,
    },
    /// The server reads more for one request than it is allowed to, or more
    /// would come than is taken.
    #[error("`{url}` would answer too much at once: {message}")]
    TooMuch {
        /// Who was asked.
        url: String,
        /// What it says.
        message: String,
        /// True if there are too many series, in however short a time.
        of_series: bool,
    },
    /// An answer that is not what was asked for.
    #[error("the answer of `{url}` is not {expected}: {reason}")]
    Form {
        /// Who was asked.
        url: String,
        /// What was asked for.
        expected: &'static str,
        /// What came.
        reason: String,
    },
    /// No way to read samples is offered.
    #[error("`{url}` offers no way to read its samples: {}", tried.join("; "))]
    NoProtocol {
        /// The server.
        url: String,
        /// What was tried, and how it ended.
        tried: Vec<String>,
    },
    /// Another request failed, and this one was given up.
    #[error("given up because another request failed")]
    GivenUp,
    /// Selectors, or the local blocks.
    #[error(transparent)]
    Tsdb(#[from] TsdbError),
    /// What came cannot be kept.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
}

fn colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl RemoteError {
    /// True if the same request may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connection { passing, .. } => *passing,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The wait that the server asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// True if what was typed is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Header { .. } | Self::Tsdb(TsdbError::Matcher { .. }))
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Staging(error) => return error.hint().map(str::to_owned),
            Self::Address { .. } => {
                "give what stands before `/api/v1`, such as `http://localhost:9090`; name a user with `--user`"
            }
            Self::Status { status: 401 | 403, .. } => {
                "give `--user` with `--password-file`, `--bearer-token-file`, or `--cert-file`"
            }
            Self::Status { status: 407, .. } => {
                "the proxy wants to know who asks: `http://USER:PASSWORD@HOST` in HTTP_PROXY or HTTPS_PROXY"
            }
            Self::Status { status: 404, .. } => {
                "the address must be what stands before `/api/v1`, with a path where the server has one"
            }
            Self::Status { status: 408 | 429 | 502 | 503 | 504, .. } => {
                "run the same command again: it goes on where it stopped; fewer `--connections` burden the server less"
            }
            Self::Connection { passing: true, .. } => {
                "run the same command again: it goes on where it stopped"
            }
            Self::Handshake { hint, .. } => return hint.map(str::to_owned),
            Self::TooMuch { .. } => {
                "raise the server's limits (`--query.max-samples`, `--storage.remote.read-sample-limit` of Prometheus), \
                 or try another `--protocol`"
            }
            Self::Form { .. } => {
                "is that the address of the server, or of a proxy or a login page before it? \
                 `--protocol` insists on another way to ask"
            }
            Self::Redirect { .. } => {
                "no redirect is followed, because credentials would go with it; if you trust that address, give it"
            }
            Self::NoProtocol { .. } => "`--verbose` shows each request; `--protocol` insists on one",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(super) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
