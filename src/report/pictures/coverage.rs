//! A picture of how much of each node's time is known, and how.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use super::super::Report;
use super::super::chart::{Coverage, CoverageRow};
use super::{percent, period, text};
use crate::ledger::Method;
use crate::sum::{Sum, sum};

/// Nodes shown at most: those of which least is known.
const TOP_NODES: usize = 40;

/// Device-seconds of one node.
struct Node {
    /// By method and bucket.
    known_s: Vec<Vec<Sum>>,
    expected_s: Vec<Sum>,
}

impl Node {
    fn shares(&self) -> Vec<Vec<Option<f64>>> {
        let share = |(known, expected): (&Sum, &Sum)| {
            (expected.value() > 0.0).then(|| known.value() / expected.value())
        };
        self.known_s.iter().map(|known| known.iter().zip(&self.expected_s).map(share).collect()).collect()
    }

    /// Known and expected over the whole time.
    fn totals(&self) -> (f64, f64) {
        let known = self.known_s.iter().flatten().map(|known| known.value());
        (sum(known), sum(self.expected_s.iter().map(|expected| expected.value())))
    }
}

/// The share of the device-seconds of each node that is known, by method and bucket.
pub(super) fn coverage(report: &Report<'_>) -> PolarsResult<Coverage> {
    let entries = &report.entries;
    let buckets = &report.subject.books.buckets;
    let (nodes, methods) = (entries.column("node")?.str()?, entries.column("method")?.str()?);
    let bucket = entries.column("bucket")?.u32()?;
    let number = |name: &str| entries.column(name)?.f64();
    let (covered, interpolated) = (number("covered_s")?, number("interpolated_s")?);
    let expected = number("expected_s")?;
    let used: Vec<&str> = Method::ALL
        .iter()
        .map(|method| method.as_str())
        .filter(|method| {
            *method != Method::None.as_str() && methods.iter().flatten().any(|used| used == *method)
        })
        .collect();
    let mut by_node: BTreeMap<&str, Node> = BTreeMap::new();
    for row in 0..entries.height() {
        let (Some(node), Some(bucket)) = (nodes.get(row), bucket.get(row)) else { continue };
        let node = by_node.entry(node).or_insert_with(|| Node {
            known_s: vec![vec![Sum::new(); buckets.len()]; used.len()],
            expected_s: vec![Sum::new(); buckets.len()],
        });
        if let Some(sum) = node.expected_s.get_mut(bucket as usize) {
            sum.add(expected.get(row).unwrap_or(0.0));
        }
        let method = used.iter().position(|method| methods.get(row) == Some(method));
        let known = method.and_then(|method| node.known_s.get_mut(method));
        if let Some(sum) = known.and_then(|known| known.get_mut(bucket as usize)) {
            sum.add(covered.get(row).unwrap_or(0.0) + interpolated.get(row).unwrap_or(0.0));
        }
    }
    let totals = || by_node.values().map(Node::totals);
    let (known_s, expected_s) =
        (sum(totals().map(|(known, _)| known)), sum(totals().map(|(_, expected)| expected)));
    let all = by_node.len();
    let share = |node: &Node| {
        let (known_s, expected_s) = node.totals();
        if expected_s > 0.0 { known_s / expected_s } else { 1.0 }
    };
    let mut shown: Vec<(&str, Node)> = by_node.into_iter().collect();
    let mut note = String::new();
    if all > TOP_NODES {
        // Of equals the first by name stay.
        shown.sort_by(|left, right| share(&left.1).total_cmp(&share(&right.1)));
        shown.truncate(TOP_NODES);
        note = format!("the {TOP_NODES} of {all} nodes of which least is known");
    }
    let whole = if expected_s > 0.0 { percent(known_s / expected_s) } else { "nothing".to_owned() };
    let least = shown.iter().min_by(|left, right| share(&left.1).total_cmp(&share(&right.1)));
    let least = least
        .map_or_else(String::new, |(name, node)| format!(", least of node {name}, {}", percent(share(node))));
    let alt = format!(
        "How much of the time of the devices of {all} nodes is known, and by which method, {}: {whole}{least}",
        period(report)
    );
    let rows =
        shown.into_iter().map(|(name, node)| CoverageRow { name: name.to_owned(), shares: node.shares() });
    Ok(Coverage {
        text: text(report, "What is known of each node's devices, and how", &note, alt),
        buckets: buckets.clone(),
        methods: used.iter().map(|method| (*method).to_owned()).collect(),
        rows: rows.collect(),
    })
}
