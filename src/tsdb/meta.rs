//! `meta.json`: what a block says about itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Labels, TsdbError};
use crate::metered::small_file;
use crate::time::Window;

/// File name in a block directory.
pub(crate) const META_FILE: &str = "meta.json";
/// The only version there is.
const META_VERSION: u64 = 1;
/// An external label of Mimir's split compaction that says nothing about the series.
const MIMIR_SHARD_LABEL: &str = "__compactor_shard_id__";
/// Prometheus' hint on a block that was made of out-of-order samples.
const OUT_OF_ORDER_HINT: &str = "from-out-of-order";
const ULID_LENGTH: usize = 26;

/// What `meta.json` counts; zero where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BlockStats {
    /// Samples of all kinds.
    #[serde(rename = "numSamples")]
    pub samples: u64,
    /// Series.
    #[serde(rename = "numSeries")]
    pub series: u64,
    /// Chunks.
    #[serde(rename = "numChunks")]
    pub chunks: u64,
    /// Deleted intervals.
    #[serde(rename = "numTombstones")]
    pub tombstones: u64,
}

#[derive(Deserialize)]
struct MetaFile {
    ulid: String,
    #[serde(rename = "minTime")]
    min_time: i64,
    #[serde(rename = "maxTime")]
    max_time: i64,
    version: u64,
    stats: Option<BlockStats>,
    compaction: Option<Compaction>,
    thanos: Option<Thanos>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Compaction {
    level: u32,
    sources: Option<Vec<String>>,
    parents: Option<Vec<Parent>>,
    deletable: bool,
    hints: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Parent {
    ulid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Thanos {
    labels: Option<BTreeMap<String, String>>,
    downsample: Option<Downsample>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Downsample {
    resolution: i64,
}

/// A checked `meta.json`.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) ulid: String,
    pub(crate) window: Window,
    /// Nothing where it does not count.
    pub(crate) stats: Option<BlockStats>,
    pub(crate) level: u32,
    /// The blocks that it was compacted from in the end, itself if from none.
    pub(crate) sources: Vec<String>,
    pub(crate) parents: Vec<String>,
    pub(crate) deletable: bool,
    /// True if it was made of samples that came out of order.
    pub(crate) is_out_of_order: bool,
    pub(crate) external_labels: Labels,
    /// Milliseconds between the aggregates of a Thanos block; 0 for raw samples.
    pub(crate) resolution_ms: i64,
}

impl Meta {
    /// Reads `meta.json` of the block directory `block`.
    pub(crate) fn read(block: &Path) -> Result<Self, TsdbError> {
        let path = block.join(META_FILE);
        let bytes = small_file(&path).map_err(|source| TsdbError::Io {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        Self::parse(&bytes, &path)
    }

    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, TsdbError> {
        let corrupt = |offset, reason: String| TsdbError::Corrupt { path: path.to_owned(), offset, reason };
        let file: MetaFile = serde_json::from_slice(bytes)
            .map_err(|error| corrupt(offset_of(bytes, error.line(), error.column()), error.to_string()))?;
        if file.version != META_VERSION {
            let reason = format!("version {} of `meta.json`, only 1 is known", file.version);
            return Err(TsdbError::Unsupported { path: path.to_owned(), reason });
        }
        if !is_ulid(&file.ulid) {
            return Err(corrupt(0, format!("`{}` is not a ULID", file.ulid)));
        }
        if file.max_time < file.min_time {
            return Err(corrupt(
                0,
                format!("ends at {}, before it begins ({})", file.max_time, file.min_time),
            ));
        }
        let compaction = file.compaction.unwrap_or_default();
        let thanos = file.thanos.unwrap_or_default();
        let external = thanos.labels.unwrap_or_default();
        let mut sources: Vec<String> =
            compaction.sources.unwrap_or_default().iter().map(|source| source.to_ascii_uppercase()).collect();
        if sources.is_empty() {
            sources.push(file.ulid.to_ascii_uppercase());
        }
        Ok(Self {
            sources,
            ulid: file.ulid.to_ascii_uppercase(),
            window: Window::new(file.min_time, file.max_time),
            stats: file.stats,
            level: compaction.level,
            parents: compaction
                .parents
                .unwrap_or_default()
                .into_iter()
                .map(|parent| parent.ulid.to_ascii_uppercase())
                .collect(),
            deletable: compaction.deletable,
            is_out_of_order: compaction
                .hints
                .unwrap_or_default()
                .iter()
                .any(|hint| hint == OUT_OF_ORDER_HINT),
            external_labels: Labels::new(external.into_iter().filter(|(name, _)| name != MIMIR_SHARD_LABEL)),
            resolution_ms: thanos.downsample.unwrap_or_default().resolution,
        })
    }
}

/// Bytes before a position that serde_json counts in lines and columns from 1.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> u64 {
    let before: usize =
        bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)) as u64
}

/// True for 26 characters of Crockford's base 32 that fit 128 bits.
pub(crate) fn is_ulid(name: &str) -> bool {
    name.len() == ULID_LENGTH
        && name.as_bytes().first() <= Some(&b'7')
        && ulid::Ulid::from_string(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Meta, TsdbError> {
        Meta::parse(text.as_bytes(), Path::new("meta.json"))
    }

    #[test]
    fn unknown_keys_and_nulls_are_taken() {
        let meta = parse(
            r#"{"ulid":"01JNEESHZDHVFFMBMDGE7RJPQK","minTime":-5,"maxTime":7,"version":1,"new":[1],
                "stats":{"numSamples":9,"numHistogramSamples":3},
                "compaction":{"level":2,"sources":null,"parents":null,"hints":["from-out-of-order"]},
                "thanos":{"labels":{"replica":"a","__compactor_shard_id__":"1_of_4"},
                          "downsample":{"resolution":300000},"files":[]}}"#,
        )
        .unwrap();
        assert_eq!(meta.window, Window::new(-5, 7));
        assert_eq!(meta.stats, Some(BlockStats { samples: 9, ..BlockStats::default() }));
        assert_eq!(meta.level, 2);
        assert!(meta.is_out_of_order);
        assert_eq!(meta.external_labels, Labels::new([("replica", "a")]));
        assert_eq!(meta.resolution_ms, 300_000);
        let plain = r#"{"ulid":"01JNEESHZDHVFFMBMDGE7RJPQK","minTime":1,"maxTime":2,"version":1,"thanos":{"labels":null}}"#;
        assert!(parse(plain).unwrap().external_labels.is_empty());
    }

    #[test]
    fn wrong_versions_names_and_times_are_refused() {
        let with = |ulid: &str, times: &str, version: &str| {
            parse(&format!(r#"{{"ulid":"{ulid}",{times},"version":{version}}}"#))
        };
        let good = "01JNEESHZDHVFFMBMDGE7RJPQK";
        assert!(with(good, r#""minTime":1,"maxTime":2"#, "1").is_ok());
        assert!(matches!(
            with(good, r#""minTime":1,"maxTime":2"#, "2"),
            Err(TsdbError::Unsupported { reason, .. }) if reason.contains("version 2")
        ));
        assert!(matches!(
            with("nonsense", r#""minTime":1,"maxTime":2"#, "1"),
            Err(TsdbError::Corrupt { .. })
        ));
        assert!(matches!(with(good, r#""minTime":3,"maxTime":2"#, "1"), Err(TsdbError::Corrupt { .. })));
        assert!(matches!(parse("{\n  \"ulid\": 5}"), Err(TsdbError::Corrupt { offset, .. }) if offset > 2));
    }

    #[test]
    fn ulids() {
        assert!(is_ulid("01M8490H1PFE5SE0CTE03JJE9G"));
        assert!(is_ulid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
        assert!(!is_ulid("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), "exceeds 128 bits");
        assert!(!is_ulid("01M8490H1PFE5SE0CTE03JJE9U"), "U is not in the alphabet");
        assert!(!is_ulid("01M8490H1PFE5SE0CTE03JJE9G.tmp-for-deletion"));
        assert!(!is_ulid("wal"));
    }
}
