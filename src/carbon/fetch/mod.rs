//! Intensities from their providers: answers are kept as files, as they came,
//! and read like any file.
//!
//! Time is asked for in weeks that begin on the same days whatever was asked
//! for, so that a week that is over is asked for once.

mod error;
mod http;
mod providers;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::FetchError;
pub use providers::Provider;

use super::import::{self, Hints};
use super::{CarbonError, Scope, Zone, tables};
use crate::retry::Retry;
use crate::time::{DAY_MS, HOUR_MS, Window};
use crate::whole_file;
use http::Http;
use providers::{Body, Question};

/// Length of what is asked for at once: every provider gives a week.
const CHUNK_MS: i64 = 7 * DAY_MS;
/// Figures of the last days are still put right.
const SETTLED_AFTER_MS: i64 = 3 * DAY_MS;

/// What to fetch.
pub struct FetchRequest<'a> {
    /// Of which zone.
    pub zone: Zone,
    /// Of which time; what lies after `now_ms` is left out.
    pub window: Window,
    /// From whom; `None` for the first that has the zone.
    pub provider: Option<Provider>,
    /// Which emissions, where the provider has both.
    pub scope: Scope,
    /// Directory for the answers.
    pub answers: PathBuf,
    /// True to ask again for what is there.
    pub refresh: bool,
    /// Another address than the provider's.
    pub server: Option<String>,
    /// What variables of the environment hold: keys are nowhere else.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Now.
    pub now_ms: i64,
    /// How passing trouble is dealt with.
    pub retry: Retry,
    /// Wait between two requests.
    pub pause: Duration,
    /// Is told of each request, and of each that is tried again and why.
    pub observer: &'a dyn Fn(&str),
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// From whom.
    pub provider: Provider,
    /// Every file that has figures of the time asked for, in its order.
    pub files: Vec<PathBuf>,
    /// How many of them were asked for now.
    pub asked: usize,
    /// Times for which the provider has nothing.
    pub empty: Vec<Window>,
}

/// Fetches what is not there yet.
///
/// # Errors
///
/// [`FetchError`]: no provider has the zone, a key is missing or refused, the server cannot be reached, or what it sends is no
/// answer to the question. Weeks that were fetched before that are kept.
pub fn fetch(request: &FetchRequest<'_>) -> Result<Fetched, FetchError> {
    let provider = match request.provider {
        Some(provider) if provider.has(&request.zone) => provider,
        Some(provider) => {
            return Err(FetchError::NoZone { provider: provider.name(), zone: request.zone.clone() });
        }
        None => Provider::choose(&request.zone, request.variable)
            .ok_or_else(|| FetchError::NoProvider { zone: request.zone.clone() })?,
    };
    let mut keys = provider.keys(request.variable)?;
    let mut http = Http::new(request, &keys)?;
    let base = request.server.as_deref().unwrap_or(provider.address());
    let mut is_logged_in = false;
    let folder = request.answers.join(provider.name());
    let mut fetched = Fetched { provider, files: Vec::new(), asked: 0, empty: Vec::new() };
    for chunk in chunks(request.window, request.now_ms) {
        let path = folder.join(provider.file_name(&request.zone, request.scope, chunk));
        let is_settled = chunk.end_ms.saturating_add(SETTLED_AFTER_MS) <= request.now_ms;
        if is_settled && path.is_file() && !request.refresh {
            fetched.files.push(path);
            continue;
        }
        let now_hour_ms = request.now_ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
        let asked = Window::new(chunk.start_ms, chunk.end_ms.min(now_hour_ms));
        if asked.is_empty() {
            continue;
        }
        let question =
            Question { zone: &request.zone, scope: request.scope, window: asked, now_ms: request.now_ms };
        (request.observer)(&format!("asking {} for {} of {asked}", provider.name(), request.zone));
        let mut body = Body::Empty;
        if !is_logged_in && let Some(login) = provider.login(base, &keys)? {
            let token = provider.token(&http.get(&login, provider)?)?;
            keys = keys.with_token(token);
            http.hide(&keys);
            is_logged_in = true;
        }
        for ask in provider.questions(base, &question, &keys)? {
            let bytes = http.get(&ask, provider)?;
            body = provider.judge(&bytes).map_err(|error| http.shown(error))?;
            if let Body::Answer = body {
                keep(&path, &bytes, (request, provider))?;
                break;
            }
        }
        fetched.asked = fetched.asked.saturating_add(1);
        match body {
            Body::Answer => fetched.files.push(path),
            Body::Empty => fetched.empty.push(asked),
        }
    }
    if fetched.files.is_empty() {
        return Err(FetchError::Nothing { provider: provider.name(), zone: request.zone.clone() });
    }
    Ok(fetched)
}

/// The weeks that `window` touches, without those to come.
fn chunks(window: Window, now_ms: i64) -> Vec<Window> {
    let end_ms = window.end_ms.min(now_ms);
    let mut start_ms = window.start_ms.div_euclid(CHUNK_MS).saturating_mul(CHUNK_MS);
    let mut chunks = Vec::new();
    while start_ms < end_ms {
        let next_ms = start_ms.saturating_add(CHUNK_MS);
        chunks.push(Window::new(start_ms, next_ms));
        start_ms = next_ms;
    }
    chunks
}

/// Keeps an answer that can be read, under its name once it is whole.
fn keep(
    path: &Path,
    bytes: &[u8],
    (request, provider): (&FetchRequest<'_>, Provider),
) -> Result<(), FetchError> {
    let failed = |source| FetchError::Carbon(CarbonError::Write { path: path.to_path_buf(), source });
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    whole_file::write(path, failed, |file| {
        // No provider packs its files, and what unfolds from one has no bound.
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let reason = "it is packed, and providers' answers are not".to_owned();
            return Err(FetchError::Answer { provider: provider.name(), reason });
        }
        file.write_all(bytes).map_err(failed)?;
        // What cannot be read as intensities now could not be read later, and nobody would know why.
        let probe = import::probe(file.path(), &Hints::default()).map_err(FetchError::answer)?;
        let basis = probe.bases().first().copied().unwrap_or(super::Basis::SHIPPED);
        let names = tables::shipped().map_err(FetchError::Carbon)?.names;
        import::read(&probe, 0, basis, Some(&request.zone), &names).map(drop).map_err(FetchError::answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_the_same_days_whatever_is_asked_for() {
        let day = |day: i64| day * DAY_MS;
        let starts = |window, now_ms| -> Vec<i64> {
            chunks(window, now_ms).iter().map(|chunk| chunk.start_ms / DAY_MS).collect()
        };
        assert_eq!(starts(Window::new(day(8), day(15)), day(100)), [7, 14]);
        assert_eq!(starts(Window::new(day(7), day(14)), day(100)), [7]);
        assert_eq!(starts(Window::new(day(7), day(50)), day(16)), [7, 14]);
        assert!(starts(Window::new(day(7), day(50)), day(7)).is_empty());
    }
}
