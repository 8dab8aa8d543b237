//! One request at a time, with a pause between two, tried again while its trouble is passing.

use std::io::Read as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::Url;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;

use super::providers::{Keys, Provider};
use super::{FetchError, FetchRequest};
use crate::retry::{Retry, retry_after};

/// A week of intensities is a megabyte at most.
const LONGEST_BYTES: u64 = 64 << 20;
/// Of an answer that says what went wrong, no more than this is shown.
const SHOWN_CHARS: usize = 300;
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of what a server says is looked at for words to show.
const MOST_SEARCHED: usize = 64 << 10;

/// What to ask.
pub(super) struct Ask {
    pub(super) url: Url,
    /// Names and values of headers.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Name and password.
    pub(super) basic: Option<(String, String)>,
}

pub(super) struct Http<'a> {
    client: reqwest::blocking::Client,
    retry: Retry,
    pause: Duration,
    last: Option<Instant>,
    secrets: Vec<String>,
    observer: &'a dyn Fn(&str),
}

impl<'a> Http<'a> {
    pub(super) fn new(request: &FetchRequest<'a>, keys: &Keys) -> Result<Self, FetchError> {
        // Only the first call does something; a provider that is there already serves as well.
        static TLS: OnceLock<()> = OnceLock::new();
        TLS.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let client = reqwest::blocking::Client::builder()
            .user_agent(concat!("wattledger/", env!("CARGO_PKG_VERSION")))
            // A key must not follow wherever a server points.
            .redirect(Policy::none())
            .referer(false)
            .timeout(TIMEOUT);
        let client = match request.server.as_deref() {
            Some(server) if server.contains("127.0.0.1") || server.contains("localhost") => client.no_proxy(),
            _ => client,
        };
        let client = client
            .build()
            .map_err(|error| FetchError::Address { text: "client".to_owned(), reason: error.to_string() })?;
        Ok(Self {
            client,
            retry: request.retry,
            pause: request.pause,
            last: None,
            secrets: keys.secrets(),
            observer: request.observer,
        })
    }

    /// Keys that were given for others.
    pub(super) fn hide(&mut self, keys: &Keys) {
        self.secrets.extend(keys.secrets());
    }

    /// The body of the answer.
    pub(super) fn get(&mut self, ask: &Ask, provider: Provider) -> Result<Vec<u8>, FetchError> {
        let mut tried = 0;
        loop {
            if let Some(last) = self.last {
                std::thread::sleep(self.pause.saturating_sub(last.elapsed()));
            }
            self.last = Some(Instant::now());
            match self.once(ask, provider) {
                Err(error) if error.is_passing() && tried < self.retry.retries => {
                    tried += 1;
                    let wait = self.retry.wait(tried, error.retry_after());
                    (self.observer)(&format!("{error}; trying again in {} s", wait.as_secs_f64()));
                    std::thread::sleep(wait);
                }
                other => return other,
            }
        }
    }

    fn once(&self, ask: &Ask, provider: Provider) -> Result<Vec<u8>, FetchError> {
        let mut request = self.client.get(ask.url.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some((name, password)) = &ask.basic {
            request = request.basic_auth(name, Some(password));
        }
        let connection = |reason: String| FetchError::Connection {
            provider: provider.name(),
            host: ask.url.host_str().unwrap_or_default().to_owned(),
            reason: self.redact(&reason),
        };
        // The error names the address, and the address may hold the key.
        let response = request.send().map_err(|error| connection(chain(&error.without_url())))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|text| retry_after(text, Utc::now()));
        let length = response.content_length();
        let mut body = Vec::new();
        let read = response.take(LONGEST_BYTES + 1).read_to_end(&mut body);
        if status.is_success() {
            read.map_err(|error| connection(format!("the answer is cut off: {}", chain(&error))))?;
            if body.len() as u64 > LONGEST_BYTES {
                let reason = format!("more than {} MiB came", LONGEST_BYTES >> 20);
                return Err(FetchError::Answer { provider: provider.name(), reason });
            }
            if length.is_some_and(|length| length > body.len() as u64) {
                return Err(connection("the answer is cut off".to_owned()));
            }
            return Ok(self.without_keys(body));
        }
        let message = self.first_words(&body);
        Err(match status.as_u16() {
            status @ (401 | 403) => FetchError::Refused {
                provider: provider.name(),
                status,
                message,
                variables: provider.variables(),
            },
            status => FetchError::Status { provider: provider.name(), status, message, retry_after },
        })
    }

    /// An answer that repeats the question, as the EIA's do, without the key in it. Shorter secrets might be figures.
    fn without_keys(&self, body: Vec<u8>) -> Vec<u8> {
        const SHORTEST: usize = 8;
        let long: Vec<&String> = self.secrets.iter().filter(|secret| secret.len() >= SHORTEST).collect();
        match std::str::from_utf8(&body) {
            Ok(text) if long.iter().any(|secret| text.contains(secret.as_str())) => {
                let text =
                    long.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[key]"));
                text.into_bytes()
            }
            _ => body,
        }
    }

    /// What a provider says in an answer that is none, as it may be shown.
    pub(super) fn shown(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::Answer { provider, reason } => {
                FetchError::Answer { provider, reason: self.first_words(reason.as_bytes()) }
            }
            other => other,
        }
    }

    /// The beginning of what was said. A key is taken out before it is cut, else half of it would stay.
    fn first_words(&self, said: &[u8]) -> String {
        let most = said.get(..MOST_SEARCHED).unwrap_or(said);
        first_words(self.redact(&String::from_utf8_lossy(most)).as_bytes())
    }

    fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The beginning of an explanation, on one line.
fn first_words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None if line.is_empty() => "no explanation".to_owned(),
        None => line,
    }
}
