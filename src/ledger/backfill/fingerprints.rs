//! What a day hangs on besides blocks, as hashes: who was there, by which settings, at which factors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Backfill;
use crate::hash::text_sha256;
use crate::jobs::SchedulerNode;
use crate::ledger::store::{DayInputs, DayNode, twins};
use crate::ledger::{NodeHardware, most_cpus_by_node, read_for};
use crate::time::Window;

/// Counts up when a rule of the accounting page changes figures: days that were made by older rules are made again.
const RULES_VERSION: u32 = 1;

/// What the days hang on besides blocks, as hashes.
pub(super) struct Fingerprints<'a> {
    backfill: &'a Backfill<'a>,
    /// Settings that are the same for all nodes.
    settings: String,
    /// Nodes that the scheduler knows.
    known: BTreeSet<String>,
    described: BTreeMap<String, &'a SchedulerNode>,
    most_cpus: BTreeMap<String, f64>,
    /// Numbers of runs among those of the same id and start.
    pub(super) twins: Vec<u32>,
    /// Positions of the runs that touch what is read for a UTC day.
    runs_near: BTreeMap<i64, Vec<usize>>,
}

impl<'a> Fingerprints<'a> {
    pub(super) fn new(backfill: &'a Backfill<'a>) -> Self {
        let rules = backfill.rules;
        let settings = format!(
            "{RULES_VERSION} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?}",
            rules.catalog,
            rules.edges,
            rules.power_model,
            rules.calibration,
            rules.memory_model,
            rules.default_cpu_tdp_w,
            rules.default_gpu_tdp_w,
            rules.model_unseen_nodes,
            rules.gpu_in_node_meter,
            rules.share,
            rules.aliases,
            rules.footprints,
            rules.bucket_ms,
            rules.site,
            rules.jobs_from_ms,
            rules.jobs_to_ms,
        );
        let runs = &backfill.log.runs;
        let covered = crate::time::span(backfill.covered).map(|covered| {
            let end_ms = rules.jobs_to_ms.map_or(covered.end_ms, |to_ms| to_ms.max(covered.end_ms));
            Window::new(covered.start_ms, end_ms)
        });
        let aliases = &rules.aliases;
        let mut known: BTreeSet<String> =
            rules.scheduler_nodes.iter().map(|name| aliases.canonical(name)).collect();
        let named: BTreeSet<&str> =
            runs.iter().flat_map(|run| &run.allocations).map(|part| part.node.as_str()).collect();
        known.extend(named.into_iter().map(|name| aliases.canonical(name)));
        let described: BTreeMap<String, &SchedulerNode> =
            backfill.log.nodes.iter().map(|node| (aliases.canonical(&node.name), node)).collect();
        known.extend(described.keys().cloned());
        let mut runs_near: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (position, run) in runs.iter().enumerate() {
            let end_ms = run.end_ms.or(covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
            let whole = crate::time::whole_days(Window::new(
                run.start_ms,
                end_ms.max(run.start_ms.saturating_add(1)),
            ));
            let mut day = crate::time::day_of(whole.start_ms);
            while day < crate::time::day_of(whole.end_ms) {
                runs_near.entry(day).or_default().push(position);
                day = day.saturating_add(1);
            }
        }
        Self {
            backfill,
            settings: text_sha256(&settings),
            known,
            described,
            most_cpus: most_cpus_by_node(runs, aliases, covered),
            twins: twins(runs),
            runs_near,
        }
    }

    /// Of a day with these nodes; its blocks are not in it.
    pub(super) fn of(&self, window: Window, nodes: &[DayNode]) -> DayInputs {
        let read = read_for(window);
        let mut near: BTreeSet<usize> = BTreeSet::new();
        for (_, runs) in
            self.runs_near.range(crate::time::day_of(read.start_ms)..crate::time::day_of(read.end_ms))
        {
            near.extend(runs);
        }
        DayInputs {
            blocks: BTreeSet::new(),
            jobs: self.jobs(window, read, nodes, &near),
            rules: self.rules(nodes),
            prices: self.prices(window, nodes, &near),
        }
    }

    /// Who was there when, and what the scheduler knows of the nodes.
    fn jobs(&self, window: Window, read: Window, nodes: &[DayNode], near: &BTreeSet<usize>) -> String {
        let backfill = self.backfill;
        let stretch = backfill.stretch_of(window);
        let ends_ms = stretch.map(|stretch| stretch.end_ms);
        let mut text =
            format!("{} {:?}\n", backfill.has_log, stretch.and_then(|stretch| stretch.intersect(read)));
        let models = backfill.rules.model_unseen_nodes;
        for position in near {
            let Some(run) = backfill.log.runs.get(*position) else { continue };
            let twin = self.twins.get(*position).copied().unwrap_or_default();
            // Nothing else of a day hangs on it.
            let cpu_time_s = run.cpu_time_s.filter(|_| models);
            // Where it began in an earlier stretch and nobody saw it end, as `ended` has it.
            let known_end = || {
                let known = backfill.covered.iter().find(|known| run.start_ms <= known.end_ms)?;
                stretch.filter(|stretch| known.end_ms < stretch.start_ms).map(|_| known.end_ms)
            };
            let end_ms = run.end_ms.or_else(|| known_end().or(ends_ms)).unwrap_or(run.start_ms);
            let Some(here) = Window::new(run.start_ms, end_ms).intersect(read) else { continue };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{} {} {} {twin} {here:?} {:?} {cpu_time_s:?}",
                run.run_id, run.start_ms, run.job_id, run.allocations
            );
        }
        for node in nodes {
            let described = self.described.get(&node.name);
            let is_sized = backfill.rules.hardware_of(&node.name).cpus.is_some()
                || described.is_some_and(|described| described.cpus.is_some());
            // What of it makes a node larger than its cores (rule W4).
            let most = self
                .most_cpus
                .get(&node.name)
                .filter(|most| !is_sized && node.cores.is_none_or(|cores| **most > cores * (1.0 + 1e-9)));
            let _ =
                writeln!(text, "{} {} {most:?} {described:?}", node.name, self.known.contains(&node.name));
        }
        if models {
            let _ = writeln!(text, "{:?} {:?}", self.known, self.described);
        }
        text_sha256(&text)
    }

    fn rules(&self, nodes: &[DayNode]) -> String {
        let mut text = self.settings.clone();
        for node in nodes {
            // Its zone is of the prices.
            let stated =
                NodeHardware { zone: None, pattern: None, ..self.backfill.rules.hardware_of(&node.name) };
            let _ = write!(text, "\n{} {stated:?}", node.name);
        }
        text_sha256(&text)
    }

    /// Factors of every zone that the day's nodes and runs may have, and PUE, bucket by bucket.
    fn prices(&self, window: Window, nodes: &[DayNode], near: &BTreeSet<usize>) -> String {
        let backfill = self.backfill;
        let prices = backfill.prices;
        let of_nodes: BTreeMap<&String, Option<String>> =
            nodes.iter().map(|node| (&node.name, backfill.rules.hardware_of(&node.name).zone)).collect();
        let of_runs: BTreeMap<(&str, i64), &str> = near
            .iter()
            .filter_map(|position| backfill.log.runs.get(*position))
            .filter_map(|run| Some(((run.run_id.as_str(), run.start_ms), run.zone.as_deref()?)))
            .collect();
        let mut text = format!("{} {:?} {of_nodes:?} {of_runs:?}\n", prices.intensity.basis(), prices.zone);
        let named = of_nodes.values().flatten().map(String::as_str).chain(of_runs.values().copied());
        let mut zones: BTreeSet<crate::carbon::Zone> =
            named.filter_map(|name| prices.intensity.zone(name).ok()).collect();
        zones.extend(prices.zone.cloned());
        for bucket in crate::time::buckets(window, backfill.rules.bucket_ms, backfill.rules.time_zone) {
            let _ = write!(text, "{} {:?}", bucket.start_ms, prices.pue.over(bucket));
            for zone in &zones {
                let factor = prices.intensity.factor_at(zone, bucket.start_ms);
                let upstream = prices.upstream.and_then(|upstream| upstream.factor_at(zone, bucket.start_ms));
                let _ = write!(text, " {zone} {factor:?} {upstream:?}");
            }
            text.push('\n');
        }
        text_sha256(&text)
    }
}
