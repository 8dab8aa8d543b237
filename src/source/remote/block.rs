//! Pieces into a block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Request;
use super::error::RemoteError;
use super::piece::{Piece, StoredChunk, Tally, put_in_order};
use super::plan::{BlockPlan, Identity};
use super::protocol::Protocol;
use super::pushdown::Pushdown;
use crate::time::Window;
use crate::tsdb::writer::{BlockOptions, BlockWriter, EncodedChunks, FloatEncoding};
use crate::tsdb::{Database, Labels, Samples, TsdbError, decode_chunk};

/// Section of `meta.json` that only this program reads.
const META_SECTION: &str = "wattledger";

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

/// The directory of the block, if it is complete and answers the same request.
pub(super) fn existing(
    out: &Path,
    plan: &BlockPlan,
    identity: &Identity,
) -> Result<Option<PathBuf>, RemoteError> {
    let path = out.join(plan.ulid.to_string());
    if !path.exists() {
        return Ok(None);
    }
    let opens = Database::open(&path).is_ok_and(|database| database.blocks().len() == 1);
    if opens && request_of(&path).is_some_and(|(request, _)| request == identity.as_str()) {
        return Ok(Some(path));
    }
    // Only a crash of the whole machine leaves that: the name is given last.
    std::fs::remove_dir_all(&path).map_err(RemoteError::io("remove", &path))?;
    Ok(None)
}

fn request_of(block: &Path) -> Option<(String, Window)> {
    let meta: Meta = serde_json::from_slice(&std::fs::read(block.join("meta.json")).ok()?).ok()?;
    Some((meta.wattledger?.fetch?.request, Window::new(meta.min_time, meta.max_time)))
}

/// Removes blocks of the same request that hold less than one of `blocks`:
/// a day that was fetched before it was over.
pub(super) fn replace(
    out: &Path,
    blocks: &[BlockPlan],
    identity: &Identity,
) -> Result<Vec<PathBuf>, RemoteError> {
    let mut replaced = Vec::new();
    for entry in std::fs::read_dir(out).map_err(RemoteError::io("list", out))? {
        let path = entry.map_err(RemoteError::io("list", out))?.path();
        let Some((request, window)) = request_of(&path) else { continue };
        let covers = |plan: &&BlockPlan| {
            plan.window != window
                && plan.window.intersect(window) == Some(window)
                && out.join(plan.ulid.to_string()).exists()
        };
        if request == identity.as_str() && blocks.iter().any(|plan| covers(&plan)) {
            std::fs::remove_dir_all(&path).map_err(RemoteError::io("remove", &path))?;
            replaced.push(path);
        }
    }
    replaced.sort();
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
    let mut pieces = Vec::new();
    let mut series: BTreeMap<Labels, Vec<(usize, StoredChunk)>> = BTreeMap::new();
    let mut tally = Tally::default();
    for path in paths {
        let nth = pieces.len();
        let piece = Piece::open(path, |labels, chunk| match series.get_mut(labels) {
            Some(chunks) => chunks.push((nth, chunk)),
            None => drop(series.insert(labels.clone(), vec![(nth, chunk)])),
        })?;
        let broken =
            || std::io::Error::new(std::io::ErrorKind::InvalidData, "it was changed after it was written");
        let piece = piece.ok_or_else(|| RemoteError::io("read", path)(broken()))?;
        tally.add(&piece.tally);
        pieces.push(piece);
    }
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
    let options = BlockOptions {
        ulid: Some(plan.ulid),
        meta_sections: BTreeMap::<String, Value>::from([(META_SECTION.to_owned(), section)]),
        ..BlockOptions::default()
    };
    let mut writer = BlockWriter::create(&request.out, plan.window, options)?;
    for (labels, mut chunks) in series {
        let invalid =
            |reason| RemoteError::Tsdb(TsdbError::InvalidSeries { series: labels.to_string(), reason });
        // Stable: of equal ones the later piece comes later.
        chunks.sort_by_key(|(_, chunk)| (chunk.first_ms, chunk.last_ms));
        let mut encoded = EncodedChunks::default();
        for together in overlapping(&chunks) {
            join(&mut encoded, together, &mut pieces, plan.window)?.map_err(invalid)?;
        }
        writer.add_encoded(&labels, &encoded)?;
    }
    tally.samples = writer.samples();
    if tally.samples == 0 {
        return Ok((None, tally));
    }
    Ok((Some(writer.finish()?), tally))
}

/// Neighbours that share time, in groups; one that stands alone is a group.
fn overlapping(chunks: &[(usize, StoredChunk)]) -> impl Iterator<Item = &[(usize, StoredChunk)]> {
    let mut rest = chunks;
    std::iter::from_fn(move || {
        let mut last_ms = rest.first()?.1.last_ms;
        let mut count = 1;
        while let Some((_, next)) = rest.get(count).filter(|(_, next)| next.first_ms <= last_ms) {
            last_ms = last_ms.max(next.last_ms);
            count += 1;
        }
        let (group, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(group)
    })
}

/// Adds one group to `into`: a chunk as it is, several as the samples of all.
fn join(
    into: &mut EncodedChunks,
    group: &[(usize, StoredChunk)],
    pieces: &mut [Piece],
    window: Window,
) -> Result<Result<(), String>, RemoteError> {
    let mut data: Vec<(u8, Vec<u8>)> = Vec::new();
    for (nth, chunk) in group {
        let mut bytes = Vec::new();
        if let Some(piece) = pieces.get_mut(*nth) {
            piece.read(chunk, &mut bytes)?;
        }
        // Asked for twice, by two selectors: the same chunk.
        let same = (chunk.encoding, bytes);
        if !data.contains(&same) {
            data.push(same);
        }
    }
    if let [(encoding, bytes)] = data.as_slice() {
        return Ok(into.push_raw(*encoding, bytes));
    }
    let mut samples = Samples::default();
    for (encoding, bytes) in &data {
        // What is stored did decode when it came.
        let _ = decode_chunk(*encoding, bytes, &mut samples);
    }
    put_in_order(&mut samples, window);
    let size = BlockOptions::default().samples_per_chunk;
    Ok(into.push(&samples.timestamps_ms, &samples.values, size, FloatEncoding::default()))
}
