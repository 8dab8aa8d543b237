//! Days and requests: what is asked, in which portions, and how it is named.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::Request;
use super::api;
use super::client::{Ask, Client, Content};
use super::error::RemoteError;
use super::protocol::Protocol;
use super::range_query::seconds;
use super::selection::Selection;
use crate::time::{DAY_MS, Window, buckets, split};

/// Changes when the same request would make other bytes.
const VERSION: &str = "wattledger fetch 1";
/// Under the output directory, for pieces; readers of blocks skip it.
pub(super) const PIECES: &str = ".wattledger-fetch";
/// Between two samples of a series, where the server does not tell.
const ASSUMED_INTERVAL_S: f64 = 15.0;
/// The shortest window that is worth a request of its own.
pub(super) const SHORTEST_MS: i64 = 60_000;
const COUNTED: &str = "an instant vector";

/// A block to be made.
#[derive(Clone, Debug)]
pub(super) struct BlockPlan {
    pub(super) window: Window,
    pub(super) ulid: Ulid,
}

/// A request to be made.
#[derive(Clone, Debug)]
pub(super) struct PiecePlan {
    pub(super) selection: Selection,
    pub(super) window: Window,
    pub(super) path: PathBuf,
}

/// Who is asked what, as a number that is the same each time.
pub(super) struct Identity {
    digest: String,
}

/// Who is asked for which series, by whom.
fn asked(request: &Request, first: &[&str]) -> Vec<u8> {
    let step_ms = request.pushdown.as_ref().map(|pushdown| pushdown.step_ms.to_string());
    let mut parts = first.to_vec();
    for (kind, value) in request.access.identity() {
        parts.extend([kind, value]);
    }
    parts.push("metrics");
    parts.extend(request.metrics.iter().map(String::as_str));
    parts.push("selectors");
    parts.extend(request.selectors.iter().map(String::as_str));
    if let Some(step_ms) = &step_ms {
        parts.extend(["pushdown", step_ms]);
    }
    digest(&parts)
}

/// See [`Request::cache_name`].
pub(super) fn cache_name(request: &Request) -> String {
    let host =
        request.access.base().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let readable: String =
        host.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let digest: String = hex(&asked(request, &[VERSION, &request.access.url])).chars().take(16).collect();
    format!("{readable}-{digest}")
}

impl Identity {
    pub(super) fn new(request: &Request, url: &str, protocol: Protocol) -> Self {
        Self { digest: hex(&asked(request, &[VERSION, url, protocol.as_str()])) }
    }

    /// As text.
    pub(super) fn as_str(&self) -> &str {
        &self.digest
    }

    /// The blocks of a window: UTC days, cut to it. Their names begin with
    /// their start, so that they sort by time.
    pub(super) fn blocks(&self, window: Window) -> Vec<BlockPlan> {
        let block = |window: Window| {
            let chance =
                self.bytes(&[], window).iter().take(10).fold(0, |all, byte| (all << 8) | u128::from(*byte));
            BlockPlan { window, ulid: Ulid::from_parts(window.start_ms.max(0).cast_unsigned(), chance) }
        };
        buckets(window, DAY_MS, chrono_tz::Tz::UTC).into_iter().map(block).collect()
    }

    /// What the names of all its pieces begin with.
    pub(super) fn piece_prefix(&self) -> String {
        let own: String = self.digest.chars().take(16).collect();
        format!("{own}-")
    }

    fn bytes(&self, more: &[&str], window: Window) -> Vec<u8> {
        let times = format!("{} {}", window.start_ms, window.end_ms);
        let mut parts = vec![self.digest.as_str(), &times];
        parts.extend(more);
        digest(&parts)
    }

    fn piece(&self, out: &Path, selection: Selection, window: Window) -> PiecePlan {
        let name: String = hex(&self.bytes(&[&selection.promql()], window)).chars().take(32).collect();
        let name = format!("{}{name}.piece", self.piece_prefix());
        PiecePlan { selection, window, path: out.join(PIECES).join(name) }
    }

    /// The requests for one block. Metrics share a request as long as it is
    /// expected to stay under the protocol's limit; what is larger alone is cut in time.
    pub(super) fn pieces(
        &self,
        request: &Request,
        protocol: Protocol,
        block: Window,
        sizes: &Sizes,
    ) -> Result<Vec<PiecePlan>, RemoteError> {
        if let Some(pushdown) = &request.pushdown {
            let piece = |metric: &String| {
                Ok(self.piece(&request.out, Selection::metrics(vec![metric.clone()])?, block))
            };
            return pushdown.metrics.keys().map(piece).collect();
        }
        let limit = protocol.samples_a_request();
        let mut pieces = Vec::new();
        let mut group: Vec<String> = Vec::new();
        let mut expected = 0.0;
        for metric in &request.metrics {
            let samples = sizes.samples(metric, block);
            if samples > limit {
                self.cut(
                    request,
                    Selection::metrics(vec![metric.clone()])?,
                    block,
                    samples / limit,
                    &mut pieces,
                );
                continue;
            }
            if expected + samples > limit && !group.is_empty() {
                let full = Selection::metrics(std::mem::take(&mut group))?;
                pieces.push(self.piece(&request.out, full, block));
                expected = 0.0;
            }
            group.push(metric.clone());
            expected += samples;
        }
        if !group.is_empty() {
            pieces.push(self.piece(&request.out, Selection::metrics(group)?, block));
        }
        for selector in &request.selectors {
            let samples = sizes.samples(selector, block);
            self.cut(request, Selection::parse(selector)?, block, samples / limit, &mut pieces);
        }
        Ok(pieces)
    }

    fn cut(
        &self,
        request: &Request,
        selection: Selection,
        block: Window,
        parts: f64,
        into: &mut Vec<PiecePlan>,
    ) {
        // Windows shorter than the shortest are not made by any number of samples.
        let most = (block.length_ms() / SHORTEST_MS).max(1);
        // Of unknown size: one request, which is halved if the server finds it too much.
        let parts = if parts.is_finite() { parts.ceil() as i64 } else { 1 };
        for part in split(block, parts.clamp(1, most)) {
            into.push(self.piece(&request.out, selection.clone(), part));
        }
    }
}

/// How many series there are, as far as the server tells.
#[derive(Debug)]
pub(super) struct Sizes {
    /// By metric or selector; `None` if nothing is known.
    series: Option<BTreeMap<String, f64>>,
    /// Samples of a series in a second.
    rate: f64,
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Sizes {
    /// Counts series in the middle and at the end of `block`. A server that has
    /// no queries leaves the sizes unknown.
    pub(super) fn ask(client: &Client<'_>, request: &Request, block: Window) -> Result<Self, RemoteError> {
        let mut known = BTreeMap::new();
        let mut rate = 0.0_f64;
        let middle_ms = block.start_ms.saturating_add(block.length_ms() / 2);
        for at_ms in [middle_ms, block.end_ms.saturating_sub(1)] {
            let mut note = |name: String, count: f64| {
                let most: &mut f64 = known.entry(name).or_default();
                *most = most.max(count);
            };
            if !request.metrics.is_empty() {
                let all = Selection::metrics(request.metrics.clone())?.promql();
                match vector(client, format!("count by (__name__) ({all})"), at_ms) {
                    Ok(found) => found.into_iter().for_each(|(name, count)| note(name, count)),
                    Err(error) => return Self::without(error),
                }
            }
            for selector in &request.selectors {
                let text = Selection::parse(selector)?.promql();
                match vector(client, format!("count({text})"), at_ms) {
                    Ok(found) => found.into_iter().for_each(|(_, count)| note(selector.clone(), count)),
                    Err(error) => return Self::without(error),
                }
            }
            match vector(client, "max(count_over_time(up[10m]))".to_owned(), at_ms) {
                Ok(found) => rate = found.into_iter().fold(rate, |rate, (_, count)| rate.max(count / 600.0)),
                Err(error) => return Self::without(error),
            }
        }
        Ok(Self { series: Some(known), rate: if rate > 0.0 { rate } else { 1.0 / ASSUMED_INTERVAL_S } })
    }

    /// Sizes of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self { series: None, rate: 1.0 / ASSUMED_INTERVAL_S }
    }

    /// Sizes only help: a server that will not tell them may still have samples.
    fn without(error: RemoteError) -> Result<Self, RemoteError> {
        match error {
            RemoteError::Form { .. } | RemoteError::TooMuch { .. } => {}
            RemoteError::Status { status, .. }
                if !matches!(status, 401 | 403 | 407 | 429) && status < 502 => {}
            other => return Err(other),
        }
        Ok(Self::unknown())
    }

    /// Samples to expect of a metric or selector. Where nothing is known each
    /// gets a request of its own.
    fn samples(&self, name: &str, window: Window) -> f64 {
        match &self.series {
            Some(series) => series.get(name).copied().unwrap_or_default() * self.rate * window.length_s(),
            None => f64::INFINITY,
        }
    }
}

fn vector(client: &Client<'_>, query: String, at_ms: i64) -> Result<Vec<(String, f64)>, RemoteError> {
    const LONGEST_BYTES: u64 = 16 << 20;
    let what = format!("query {}", query.chars().take(60).collect::<String>());
    let fields = vec![("query", query), ("time", seconds(at_ms))];
    let ask = Ask { path: "api/v1/query", content: Content::Form(fields), what };
    client.ask(&ask, |answer| {
        let body = answer.whole(LONGEST_BYTES)?;
        let data: Vector = api::data(&body, answer)?;
        let element = |mut element: Element| {
            let name = element.metric.remove(crate::tsdb::METRIC_NAME).unwrap_or_default();
            let count: f64 = element.value.1.parse().map_err(|_| answer.form(COUNTED, element.value.1))?;
            Ok((name, count))
        };
        data.result.into_iter().map(element).collect()
    })
}

/// SHA-256 of the parts, each with its length before it.
fn digest(parts: &[&str]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
