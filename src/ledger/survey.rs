//! What is known of nodes and series before anything is decoded.

use std::collections::BTreeSet;

use super::rules::Rules;
use crate::jobs::JobLog;
use crate::meter::inventory::{Inventory, take_inventory};
use crate::meter::names::{NodeNames, nearest};
use crate::source::Series;

/// What is known before anything is decoded: which node has which meters.
pub struct Survey<'a> {
    /// Nodes and series.
    pub inventory: Inventory<'a>,
    /// To find the node of a name.
    pub names: NodeNames,
}

/// Which side knows a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The job log.
    Jobs,
    /// The series.
    Series,
}

/// A node that one side knows only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// Its name.
    pub name: String,
    /// Who knows it.
    pub side: Side,
    /// The nearest name of those that only the other side knows.
    pub partner: Option<String>,
}

impl Survey<'_> {
    /// Nodes that the job log or the site's settings name, by their names here.
    pub fn known_to_scheduler(&self, log: Option<&JobLog>, rules: &Rules) -> BTreeSet<String> {
        let held =
            log.iter().flat_map(|log| &log.runs).flat_map(|run| &run.allocations).map(|held| &held.node);
        let described = log.iter().flat_map(|log| &log.nodes).map(|node| &node.name);
        let all = held.chain(described).chain(&rules.scheduler_nodes);
        all.map(|name| self.names.aliases().canonical(name)).collect()
    }

    /// Nodes that only the job log or only the series know (rule N1).
    pub fn unmatched(&self, log: &JobLog, rules: &Rules) -> Vec<Unmatched> {
        let in_log = self.known_to_scheduler(Some(log), rules);
        let in_series: BTreeSet<String> = self.inventory.nodes.keys().cloned().collect();
        let only = |mine: &BTreeSet<String>, theirs: &BTreeSet<String>, side: Side| -> Vec<Unmatched> {
            mine.difference(theirs)
                .map(|name| Unmatched {
                    name: name.clone(),
                    side,
                    partner: nearest(name, theirs.difference(mine).map(String::as_str)).map(str::to_owned),
                })
                .collect()
        };
        let mut all = only(&in_log, &in_series, Side::Jobs);
        all.extend(only(&in_series, &in_log, Side::Series));
        all
    }
}

/// Sorts the source's series by node and device, without decoding any.
pub fn survey<'a>(series: &'a [Box<dyn Series + 'a>], rules: &'a Rules) -> Survey<'a> {
    let uname =
        series.iter().map(|series| series.labels()).filter(|labels| labels.metric() == "node_uname_info");
    let names = NodeNames::new(rules.aliases.clone(), uname);
    Survey { inventory: take_inventory(series, &rules.catalog, &names), names }
}
