//! Blocks of a fetch: made of pieces, found again, replaced.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::Request;
use super::error::RemoteError;
use super::plan::{BlockPlan, Identity};
use super::protocol::Protocol;
use super::pushdown::Pushdown;
use crate::metered::small_file;
use crate::source::staging::{Assembly, Tally};
use crate::time::Window;
use crate::tsdb::Database;

/// What `meta.json` of a fetched block says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    min_time: i64,
    max_time: i64,
    wattledger: Option<Section>,
}

#[derive(Deserialize)]
struct Section {
    fetch: Option<Fetched>,
}

#[derive(Deserialize)]
struct Fetched {
    request: String,
}

/// The directory of the block, if it is complete and answers the same request; or of
/// one in `there` that holds all of it: a `--last` that is repeated begins later each time.
pub(super) fn existing(
    out: &Path,
    plan: &BlockPlan,
    identity: &Identity,
    there: &[(PathBuf, Window)],
) -> Result<Option<PathBuf>, RemoteError> {
    let path = out.join(plan.ulid.to_string());
    let opens = |path: &Path| Database::open(path).is_ok_and(|database| database.blocks().len() == 1);
    if !path.exists() {
        let covers = |(path, window): &&(PathBuf, Window)| {
            window.intersect(plan.window) == Some(plan.window) && opens(path)
        };
        return Ok(there.iter().find(covers).map(|(path, _)| path.clone()));
    }
    if opens(&path) && request_of(&path).is_some_and(|(request, _)| request == identity.as_str()) {
        return Ok(Some(path));
    }
    // Only a crash of the whole machine leaves that: the name is given last.
    std::fs::remove_dir_all(&path).map_err(RemoteError::io("remove", &path))?;
    Ok(None)
}

fn request_of(block: &Path) -> Option<(String, Window)> {
    let meta: Meta = serde_json::from_slice(&small_file(&block.join("meta.json")).ok()?).ok()?;
    Some((meta.wattledger?.fetch?.request, Window::new(meta.min_time, meta.max_time)))
}

/// The blocks under `out` that answer the same request, of whatever time, in order.
pub(super) fn of_request(out: &Path, identity: &Identity) -> Result<Vec<(PathBuf, Window)>, RemoteError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(out).map_err(RemoteError::io("list", out))? {
        let path = entry.map_err(RemoteError::io("list", out))?.path();
        if path.extension().is_some() {
            // `.tmp-for-creation`: not whole.
            continue;
        }
        let own = request_of(&path).filter(|(request, _)| request == identity.as_str());
        found.extend(own.map(|(_, window)| (path, window)));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Removes blocks of the same request that hold less than one of `blocks`:
/// a day that was fetched before it was over.
pub(super) fn replace(
    out: &Path,
    blocks: &[BlockPlan],
    identity: &Identity,
) -> Result<Vec<PathBuf>, RemoteError> {
    let mut replaced = Vec::new();
    for (path, window) in of_request(out, identity)? {
        let covers = |plan: &BlockPlan| {
            plan.window != window
                && plan.window.intersect(window) == Some(window)
                && out.join(plan.ulid.to_string()).exists()
        };
        if blocks.iter().any(covers) {
            std::fs::remove_dir_all(&path).map_err(RemoteError::io("remove", &path))?;
            replaced.push(path);
        }
    }
    Ok(replaced)
}

/// The pieces at `paths` as one block, or nothing if they hold no sample.
/// Pieces that are not whole any more are an error.
pub(super) fn assemble(
    request: &Request,
    plan: &BlockPlan,
    paths: &[PathBuf],
    identity: &Identity,
    server: &str,
    protocol: Protocol,
) -> Result<(Option<PathBuf>, Tally), RemoteError> {
    let mut assembly = Assembly::open(paths)?;
    let mut tally = assembly.tally().clone();
    let sums = request.pushdown.as_ref().map(Pushdown::notes).unwrap_or_default();
    let notes: Vec<String> = protocol.notes().iter().map(|note| (*note).to_owned()).chain(sums).collect();
    let section = json!({"fetch": {
        "version": 1,
        "server": server,
        "protocol": protocol.as_str(),
        "metrics": request.metrics,
        "selectors": request.selectors,
        "request": identity.as_str(),
        "notes": notes,
        "left_out": {
            "chunks_skipped": tally.chunks_skipped,
            "chunks_damaged": tally.chunks_damaged,
            "histograms_skipped": tally.histograms_skipped,
        },
    }});
    let (block, samples) = assembly.write(&request.out, plan.window, plan.ulid, section)?;
    tally.samples = samples;
    Ok((block, tally))
}
