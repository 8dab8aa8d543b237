//! Which blocks a directory holds, and which of them are to be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::TsdbError;
use super::block::Block;
use super::head::{Head, InBlocks};
use super::index::INDEX_FILE;
use super::meta::{META_FILE, Meta, is_ulid};
use super::problem::LeftOut;
use super::segment::CHUNKS_DIRECTORY;

/// Thanos puts this beside a block that is to be deleted.
const DELETION_MARK: &str = "deletion-mark.json";

/// What was found under a path.
pub(crate) struct Found {
    pub(crate) blocks: Vec<Block>,
    pub(crate) heads: Vec<Head>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Opens the blocks under each of `paths`, or the block that it is, and drops those that a
/// compaction has replaced; then the heads of those that are data directories.
pub(crate) fn discover(paths: &[PathBuf]) -> Result<Found, TsdbError> {
    let mut left_out = Vec::new();
    let mut blocks: BTreeMap<String, (Meta, Block)> = BTreeMap::new();
    let mut failed = Vec::new();
    let mut heads = Vec::new();
    for path in paths {
        let is_block = is_block(path);
        let directories = if is_block { vec![path.clone()] } else { block_directories(path)? };
        let has_blocks = !directories.is_empty();
        let mut in_blocks = InBlocks::default();
        // Each index is walked once, which takes a second for ten million chunks.
        let opened: Vec<_> = directories
            .into_par_iter()
            .map(|directory| {
                let opened = open_block(&directory);
                (directory, opened)
            })
            .collect();
        for (directory, opened) in opened {
            match opened {
                Ok(Opened::Usable(meta, block)) => {
                    if !meta.is_out_of_order {
                        in_blocks.add(block.window.end_ms, block.chunks_end_ms);
                    }
                    if let Some((_, first)) = blocks.get(&meta.ulid) {
                        let reason = format!("the same block as `{}`", first.path.display());
                        left_out.push(harmless(&meta.ulid, &directory, reason));
                    } else {
                        blocks.insert(meta.ulid.clone(), (*meta, *block));
                    }
                }
                Ok(Opened::Unwanted(ulid, reason)) => left_out.push(harmless(&ulid, &directory, reason)),
                Err(error) => failed.push((directory, error)),
            }
        }
        let head = if is_block { None } else { Head::open(path, in_blocks, &mut left_out)? };
        if !has_blocks && head.is_none() {
            let path = path.clone();
            let inside = directories_with_blocks(&path);
            return Err(if inside.is_empty() {
                TsdbError::NoBlocks { path }
            } else {
                TsdbError::BlocksInside { path, inside }
            });
        }
        heads.extend(head);
    }
    // Only a block that can be read replaces others: as in Prometheus, a
    // broken child leaves its parents in use.
    let replaced_by: BTreeMap<String, String> = blocks
        .values()
        .flat_map(|(meta, _)| meta.parents.iter().map(|parent| (parent.clone(), meta.ulid.clone())))
        .filter(|(parent, child)| parent != child)
        .collect();
    let replaced = |child: &String| format!("replaced by the compacted block `{child}`");
    for (directory, error) in failed {
        let name = name_of(&directory);
        left_out.push(match replaced_by.get(&name) {
            Some(child) => harmless(&name, &directory, replaced(child)),
            None => LeftOut { name, path: directory, reason: error.reason(), is_problem: true },
        });
    }
    let mut usable = Vec::new();
    for (ulid, (_, block)) in blocks {
        match replaced_by.get(&ulid) {
            Some(child) => left_out.push(harmless(&ulid, &block.path, replaced(child))),
            None => usable.push(block),
        }
    }
    usable
        .sort_by(|left, right| (left.window.start_ms, &left.ulid).cmp(&(right.window.start_ms, &right.ulid)));
    left_out.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(Found { blocks: usable, heads, left_out })
}

enum Opened {
    Usable(Box<Meta>, Box<Block>),
    /// A block's ULID, and why it is not wanted.
    Unwanted(String, String),
}

fn open_block(directory: &Path) -> Result<Opened, TsdbError> {
    let meta = Meta::read(directory)?;
    if meta.deletable {
        return Ok(Opened::Unwanted(meta.ulid, "marked as deletable in its `meta.json`".to_owned()));
    }
    if directory.join(DELETION_MARK).exists() {
        return Ok(Opened::Unwanted(meta.ulid, format!("marked for deletion by its `{DELETION_MARK}`")));
    }
    let block = Block::open(directory, &meta)?;
    Ok(Opened::Usable(Box::new(meta), Box::new(block)))
}

fn is_block(path: &Path) -> bool {
    let named_as_one = is_ulid(&name_of(path));
    path.join(META_FILE).is_file()
        || named_as_one && (path.join(INDEX_FILE).exists() || path.join(CHUNKS_DIRECTORY).exists())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase()
}

/// The directories under `path` that are named by a ULID, links to directories
/// and broken links among them.
fn block_directories(path: &Path) -> Result<Vec<PathBuf>, TsdbError> {
    let failed = |source| TsdbError::Io { doing: "list", path: path.to_owned(), source };
    let mut directories = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let candidate = entry.path();
        if entry.file_name().to_str().is_some_and(is_ulid)
            && (candidate.is_dir() || candidate.is_symlink() && !candidate.exists())
        {
            directories.push(candidate);
        }
    }
    directories.sort();
    Ok(directories)
}

/// The directories in `path` that hold blocks, in order.
fn directories_with_blocks(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let directories = entries.flatten().map(|entry| entry.path()).filter(|inside| inside.is_dir());
    let holds_blocks = |inside: &PathBuf| block_directories(inside).is_ok_and(|blocks| !blocks.is_empty());
    let mut holding: Vec<PathBuf> = directories.filter(holds_blocks).collect();
    holding.sort();
    holding
}

fn harmless(name: &str, path: &Path, reason: String) -> LeftOut {
    LeftOut { name: name.to_owned(), path: path.to_owned(), reason, is_problem: false }
}
