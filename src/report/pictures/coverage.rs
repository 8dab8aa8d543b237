//! A picture of how much of each node's time is known, and how.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{Float64Chunked, PolarsResult};

use super::super::Report;
use super::super::chart::{Coverage, CoverageRow};
use super::{counted, percent, period, text};
use crate::ledger::Method;
use crate::sum::{Sum, sum};

/// Nodes shown at most: those of which least is known.
const TOP_NODES: usize = 40;

/// What is known of one node.
struct Node {
    /// By method and bucket: the sum over devices of the share of the expected time that is known.
    shares: Vec<Vec<Sum>>,
    /// By bucket, how many devices were expected.
    devices: Vec<f64>,
    /// Device-seconds known and expected over the whole time.
    known_s: Sum,
    expected_s: Sum,
}

impl Node {
    fn new(methods: usize, buckets: usize) -> Self {
        Self {
            shares: vec![vec![Sum::new(); buckets]; methods],
            devices: vec![0.0; buckets],
            known_s: Sum::new(),
            expected_s: Sum::new(),
        }
    }

    /// Adds one device in one bucket, whose energy `method` tells, if any does.
    fn add(&mut self, bucket: usize, method: Option<usize>, (known_s, expected_s): (f64, f64)) {
        self.known_s.add(known_s);
        self.expected_s.add(expected_s);
        let Some(devices) = self.devices.get_mut(bucket).filter(|_| expected_s > 0.0) else { return };
        *devices += 1.0;
        let shares = method.and_then(|method| self.shares.get_mut(method));
        if let Some(sum) = shares.and_then(|shares| shares.get_mut(bucket)) {
            sum.add(known_s / expected_s);
        }
    }

    /// For each bucket in which a device was expected, by method: the mean over devices.
    fn mean_shares(&self) -> Vec<Option<Vec<f64>>> {
        let of_bucket = |(bucket, devices): (usize, &f64)| {
            let sums = self.shares.iter().filter_map(|sums| sums.get(bucket));
            (*devices > 0.0).then(|| sums.map(|sum| sum.value() / devices).collect())
        };
        self.devices.iter().enumerate().map(of_bucket).collect()
    }

    /// Share of the device-seconds that is known.
    fn share(&self) -> f64 {
        if self.expected_s.value() > 0.0 { self.known_s.value() / self.expected_s.value() } else { 1.0 }
    }
}

/// The share of its expected time that is known of each node's devices, by method and bucket. Devices count alike, however
/// many share them.
pub(super) fn coverage(report: &Report<'_>) -> PolarsResult<Coverage> {
    let entries = &report.entries;
    let buckets = &report.subject.books.buckets;
    let word = |name: &str| entries.column(name)?.str();
    let (nodes, methods) = (word("node")?, word("method")?);
    let (components, devices) = (word("component")?, word("device")?);
    let bucket = entries.column("bucket")?.u32()?;
    let number = |name: &str| entries.column(name)?.f64();
    let (covered, interpolated) = (number("covered_s")?, number("interpolated_s")?);
    let expected = number("expected_s")?;
    let is_known = |method: &&str| *method != Method::None.as_str();
    let found: BTreeSet<&str> = methods.iter().flatten().filter(is_known).collect();
    let used: Vec<&str> =
        Method::ALL.iter().map(|method| method.as_str()).filter(|method| found.contains(method)).collect();
    let mut by_node: BTreeMap<&str, Node> = BTreeMap::new();
    // The rows of a device in a bucket, one for each beneficiary, stand together.
    let rows: Vec<usize> = (0..entries.height()).collect();
    let key = |row: usize| (nodes.get(row), bucket.get(row), components.get(row), devices.get(row));
    for rows in rows.chunk_by(|left, right| key(*left) == key(*right)) {
        let Some(first) = rows.first().copied() else { continue };
        let (Some(node), Some(bucket)) = (nodes.get(first), bucket.get(first)) else { continue };
        let seconds = |column: &Float64Chunked| sum(rows.iter().filter_map(|row| column.get(*row)));
        let known_s = seconds(covered) + seconds(interpolated);
        let method = used.iter().position(|method| methods.get(first) == Some(method));
        let node = by_node.entry(node).or_insert_with(|| Node::new(used.len(), buckets.len()));
        node.add(bucket as usize, method, (known_s, seconds(expected)));
    }
    let known_s = sum(by_node.values().map(|node| node.known_s.value()));
    let expected_s = sum(by_node.values().map(|node| node.expected_s.value()));
    let all = by_node.len();
    let mut shown: Vec<(&str, Node)> = by_node.into_iter().collect();
    let mut note = String::new();
    if all > TOP_NODES {
        // Of equals the first by name stay.
        shown.sort_by(|left, right| left.1.share().total_cmp(&right.1.share()));
        shown.truncate(TOP_NODES);
        note = format!("the {TOP_NODES} of {all} nodes of which least is known");
    }
    let whole = if expected_s > 0.0 { percent(known_s / expected_s) } else { "nothing".to_owned() };
    let least = shown.iter().min_by(|left, right| left.1.share().total_cmp(&right.1.share()));
    let least = least.map_or_else(String::new, |(name, node)| {
        format!(", least of node {name}, {}", percent(node.share()))
    });
    let alt = format!(
        "How much of the time of the devices of {} is known, and by which method, {}: {whole}{least}",
        counted(all, "node"),
        period(report)
    );
    let rows = shown
        .into_iter()
        .map(|(name, node)| CoverageRow { name: name.to_owned(), shares: node.mean_shares() });
    Ok(Coverage {
        text: text(report, "What is known of each node's devices, and how", &note, alt),
        buckets: buckets.clone(),
        methods: used.iter().map(|method| (*method).to_owned()).collect(),
        rows: rows.collect(),
    })
}
