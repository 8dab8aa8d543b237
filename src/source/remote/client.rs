//! One request, tried again while its trouble is passing.

use std::io::{BufReader, Read};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::blocking::Response;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION,
    RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Url};

use super::access::Access;
use super::api;
use super::error::RemoteError;
use super::{Event, Observer};
use crate::retry::{Retry, retry_after};

/// Of an answer that says what went wrong, no more than this is read.
const ERROR_BYTES: u64 = 64 * 1024;
/// No single answer is read further than this, whatever comes.
const LONGEST_ANSWER_BYTES: u64 = 4 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A wait is slept in steps of this, so that it ends when another request fails.
const NAP: Duration = Duration::from_millis(100);

/// What to send.
pub(super) struct Ask {
    /// After the base address.
    pub(super) path: &'static str,
    pub(super) content: Content,
    /// In words, for `--verbose` and for notes.
    pub(super) what: String,
}

pub(super) enum Content {
    /// `application/x-www-form-urlencoded`: addresses would be too short for selectors.
    Form(Vec<(&'static str, String)>),
    /// A remote-read request: snappy over protocol buffers.
    ReadRequest(Vec<u8>),
}

/// A connection to one server.
pub(super) struct Client<'a> {
    http: reqwest::blocking::Client,
    access: &'a Access,
    base: Url,
    headers: HeaderMap,
    retry: Retry,
    observer: Observer<'a>,
    /// Set when a request has failed for good: the others need not go on.
    stopped: AtomicBool,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        access: &'a Access,
        retry: Retry,
        timeout: Duration,
        observer: Observer<'a>,
    ) -> Result<Self, RemoteError> {
        // Only the first call does something; a provider that is there already serves as well.
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let base = access.base()?;
        let mut builder = reqwest::blocking::Client::builder()
            .user_agent(concat!("wattledger/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout);
        if is_loopback(&base) {
            // As for programs in Go: nobody means the loopback interface of a proxy.
            builder = builder.no_proxy();
        }
        if let Some(path) = &access.ca_file {
            let pem = std::fs::read(path).map_err(RemoteError::io("read", path))?;
            let tls = |error: reqwest::Error| RemoteError::Tls { path: path.clone(), reason: chain(&error) };
            let certificates = Certificate::from_pem_bundle(&pem).map_err(tls)?;
            if certificates.is_empty() {
                let reason = "it holds no certificate in PEM form".to_owned();
                return Err(RemoteError::Tls { path: path.clone(), reason });
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(path) = &access.cert_file {
            let mut pem = std::fs::read(path).map_err(RemoteError::io("read", path))?;
            if let Some(key) = &access.key_file {
                pem.push(b'\n');
                pem.extend(std::fs::read(key).map_err(RemoteError::io("read", key))?);
            }
            let tls = |error: reqwest::Error| RemoteError::Tls { path: path.clone(), reason: chain(&error) };
            builder = builder.identity(Identity::from_pem(&pem).map_err(tls)?);
        }
        let http = builder.build().map_err(|error| RemoteError::Connection {
            url: base.to_string(),
            reason: chain(&error),
            passing: false,
        })?;
        let headers = access.header_map()?;
        Ok(Self { http, access, base, headers, retry, observer, stopped: AtomicBool::new(false) })
    }

    /// The base address.
    pub(super) fn url(&self) -> &str {
        self.base.as_str()
    }

    pub(super) fn tell(&self, event: Event<'_>) {
        (self.observer)(event);
    }

    /// Makes all requests end at their next step.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn check_stopped(&self) -> Result<(), RemoteError> {
        if self.stopped.load(Ordering::Relaxed) { Err(RemoteError::GivenUp) } else { Ok(()) }
    }

    /// Sends `ask` and hands the answer to `read`, from the start again after
    /// passing trouble: `read` must forget what an earlier try gave it.
    pub(super) fn ask<T>(
        &self,
        ask: &Ask,
        mut read: impl FnMut(&mut Answer<'_>) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let mut tried = 0;
        loop {
            self.check_stopped()?;
            let began = Instant::now();
            let outcome = self.send(ask).and_then(|mut answer| read(&mut answer));
            let trouble = outcome.as_ref().err().map(ToString::to_string);
            self.tell(Event::Asked { what: &ask.what, took: began.elapsed(), trouble: trouble.as_deref() });
            match outcome {
                Err(error) if error.is_passing() && tried < self.retry.retries => {
                    tried += 1;
                    let wait = self.retry.wait(tried, error.retry_after());
                    self.tell(Event::Retrying { wait, reason: &error.to_string() });
                    self.sleep(wait)?;
                }
                other => return other,
            }
        }
    }

    fn sleep(&self, wait: Duration) -> Result<(), RemoteError> {
        let until = Instant::now() + wait;
        loop {
            self.check_stopped()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    fn send(&self, ask: &Ask) -> Result<Answer<'_>, RemoteError> {
        let url = self.base.join(ask.path).map_err(|error| RemoteError::Address {
            text: self.base.to_string(),
            reason: error.to_string(),
        })?;
        let request = self.http.post(url.clone()).headers(self.headers.clone());
        let request = match &ask.content {
            Content::Form(fields) => {
                let mut coded = url.clone();
                coded.query_pairs_mut().extend_pairs(fields).extend_pairs(api::WHOLE);
                request
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .header(ACCEPT_ENCODING, "gzip")
                    .body(coded.query().unwrap_or_default().to_owned())
            }
            Content::ReadRequest(body) => request
                .header(CONTENT_TYPE, "application/x-protobuf")
                .header(CONTENT_ENCODING, "snappy")
                .header("X-Prometheus-Remote-Read-Version", "0.1.0")
                .body(body.clone()),
        };
        let response = request.send().map_err(|error| self.broken(url.as_str(), &error))?;
        self.answer(url, response)
    }

    fn broken(&self, url: &str, error: &reqwest::Error) -> RemoteError {
        let (url, reason) = (url.to_owned(), self.access.redact(&chain(error)));
        match tls_error(error) {
            Some(tls) => RemoteError::Handshake { url, reason, hint: handshake_hint(tls) },
            None => RemoteError::Connection { url, reason, passing: true },
        }
    }

    fn answer(&self, url: Url, response: Response) -> Result<Answer<'_>, RemoteError> {
        let header = |name: HeaderName| -> Option<String> {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let status = response.status();
        if status.is_redirection() {
            let target = header(LOCATION).and_then(|target| url.join(&target).ok());
            return Err(RemoteError::Redirect {
                url: url.to_string(),
                target: target
                    .map_or_else(|| "nowhere".to_owned(), |target| self.access.redact(&bare(target))),
            });
        }
        let framed = header(CONTENT_LENGTH).is_some()
            || header(TRANSFER_ENCODING)
                .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
        let retry_after = header(RETRY_AFTER).and_then(|text| retry_after(&text, Utc::now()));
        let gzip = header(CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        let counted = Counted { client: self, inner: response.take(LONGEST_ANSWER_BYTES) };
        let body: Box<dyn Read> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(counted)) } else { Box::new(counted) };
        let body = BufReader::new(body);
        let mut answer = Answer { client: self, url: url.to_string(), kind, framed, body };
        if status.is_success() {
            return Ok(answer);
        }
        let mut said = Vec::new();
        // An explanation that breaks off still explains.
        let _ = answer.body.by_ref().take(ERROR_BYTES).read_to_end(&mut said);
        let said = self.access.redact(&api::explanation(&said, &answer.kind));
        if api::is_too_much(status.as_u16(), &said) {
            return Err(answer.too_much(said));
        }
        let (url, message) = (answer.url, api::line(&said));
        Err(RemoteError::Status { url, status: status.as_u16(), message, retry_after })
    }
}

/// What came back with status 200.
pub(super) struct Answer<'a> {
    client: &'a Client<'a>,
    url: String,
    /// `Content-Type`.
    pub(super) kind: String,
    framed: bool,
    body: BufReader<Box<dyn Read + 'a>>,
}

impl Answer<'_> {
    pub(super) fn tell(&self, event: Event<'_>) {
        self.client.tell(event);
    }

    /// `text` without secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.client.access.redact(text)
    }

    /// An answer that is not what was asked for.
    pub(super) fn form(&self, expected: &'static str, reason: impl Into<String>) -> RemoteError {
        // It may quote the answer.
        let reason = api::line(&self.redact(&reason.into()));
        RemoteError::Form { url: self.url.clone(), expected, reason }
    }

    /// An answer that ends or breaks before it is whole.
    pub(super) fn cut(&self, reason: impl std::fmt::Display) -> RemoteError {
        let reason = format!("the answer is cut off: {reason}");
        RemoteError::Connection { url: self.url.clone(), reason, passing: true }
    }

    pub(super) fn too_much(&self, message: impl AsRef<str>) -> RemoteError {
        let message = self.redact(message.as_ref());
        let of_series = api::is_too_many_series(&message);
        RemoteError::TooMuch { url: self.url.clone(), message: api::line(&message), of_series }
    }

    /// Refuses an answer whose end looks like a broken connection, where the
    /// content does not tell either.
    pub(super) fn must_be_framed(&self, expected: &'static str) -> Result<(), RemoteError> {
        if self.framed {
            return Ok(());
        }
        Err(self.form(
            expected,
            "it has neither a length nor chunks, so that its end cannot be told from a cut connection",
        ))
    }

    /// Reads up to `most` bytes; fewer only at the end.
    pub(super) fn up_to(&mut self, most: u64, into: &mut Vec<u8>) -> Result<usize, RemoteError> {
        self.client.check_stopped()?;
        let read = self.body.by_ref().take(most).read_to_end(into);
        read.map_err(|error| self.unreadable(&error))
    }

    /// Reads everything, which may be `most` bytes.
    pub(super) fn whole(&mut self, most: u64) -> Result<Vec<u8>, RemoteError> {
        let mut body = Vec::new();
        self.up_to(most.saturating_add(1), &mut body)?;
        if body.len() as u64 > most {
            return Err(self.too_much(format!("more than {} MiB come", most >> 20)));
        }
        Ok(body)
    }

    fn unreadable(&self, error: &std::io::Error) -> RemoteError {
        // Compressed data that are wrong do not get better.
        if matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) {
            return self.form("compressed as it says", error.to_string());
        }
        self.cut(self.client.access.redact(&chain(error)))
    }
}

/// Counts bytes as they come from the network.
struct Counted<'a> {
    client: &'a Client<'a>,
    inner: std::io::Take<Response>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && self.inner.limit() == 0 && !buffer.is_empty() {
            let message = format!("more than {} GiB in one answer", LONGEST_ANSWER_BYTES >> 30);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        }
        self.client.tell(Event::Received { bytes: read as u64 });
        Ok(read)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Scheme, host and path: no credentials, no query.
fn bare(mut url: Url) -> String {
    // Both fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// All causes of an error, each once, without the address: it is named already.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        // reqwest's own layer repeats the address, which may hold a query.
        if error.downcast_ref::<reqwest::Error>().is_none() || error.source().is_none() {
            let said = error.to_string();
            if !texts.iter().any(|text| text.contains(&said)) {
                texts.push(said);
            }
        }
        cause = error.source();
    }
    texts.join(": ")
}

/// What TLS has to say, if it is the cause.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // What an I/O error wraps is not its source: that would be the source of what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error
            .downcast_ref::<rustls::Error>()
            .or_else(|| wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if found.is_some() {
            return found;
        }
        cause = wrapped.map(|inner| inner as _).or_else(|| error.source());
    }
    None
}

/// What to try when the two sides do not agree about TLS.
fn handshake_hint(error: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            Some("give the certificate of the authority that signed the server's with `--ca-file`")
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Some("give the address with the name that the certificate is for")
        }
        rustls::Error::AlertReceived(_) => Some(
            "the server does not accept this client: give the client's certificate with `--cert-file` and `--key-file`",
        ),
        rustls::Error::InvalidMessage(_) => {
            Some("the server does not seem to speak TLS there: try `http://`")
        }
        _ => None,
    }
}
