//! A picture of how much of each node's time is known, and how.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use super::super::Report;
use super::super::chart::{Coverage, CoverageRow};
use super::super::rollup::NodeCoverage;
use super::{counted, percent, period, text};
use crate::ledger::Method;
use crate::sum::sum;

/// Nodes shown at most: those of which least is known.
const TOP_NODES: usize = 40;

/// The share of its expected time that is known of each node's devices, by method and bucket. Devices count alike, however
/// many share them.
pub(super) fn coverage(report: &Report<'_>) -> PolarsResult<Coverage> {
    let buckets = &report.subject.books.buckets;
    let by_node: BTreeMap<&str, &NodeCoverage> =
        report.rollup.nodes().iter().map(|node| (node.name.as_str(), &node.coverage)).collect();
    let is_used = |method: &Method| by_node.values().any(|node| node.has(*method));
    let used: Vec<Method> = Method::ALL.into_iter().filter(is_used).collect();
    let known_s = sum(by_node.values().map(|node| node.seconds().0));
    let expected_s = sum(by_node.values().map(|node| node.seconds().1));
    let all = by_node.len();
    let mut shown: Vec<(&str, &NodeCoverage)> = by_node.into_iter().collect();
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
    let rows = shown.into_iter().map(|(name, node)| CoverageRow {
        name: name.to_owned(),
        shares: node.mean_shares(&used, buckets.len()),
    });
    Ok(Coverage {
        text: text(report, "What is known of each node's devices, and how", &note, alt),
        buckets: buckets.clone(),
        methods: used.iter().map(|method| method.as_str().to_owned()).collect(),
        rows: rows.collect(),
    })
}
