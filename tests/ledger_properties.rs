//! The books of random runs on a simulated cluster: whatever ran where and when, they close, and nothing moves in or out.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use wattledger::config::{ConfigFile, Plan, Request};
use wattledger::jobs::{Allocation, Run};
use wattledger::ledger::{Beneficiary, Books, Jobs, Rules, ShareRule, close_books};
use wattledger::simulate::Scenario;
use wattledger::source::{Snapshot, Source as _};
use wattledger::time::{HOUR_MS, Window};

#[path = "support/truth.rs"]
mod support;

use support::Cluster;

/// A cluster on which runs can be placed at will.
struct Site {
    source: Snapshot,
    rules: Rules,
    window: Window,
    nodes: Vec<String>,
}

impl Site {
    fn new(name: &str) -> Self {
        let scenario = Scenario {
            nodes: 2,
            gpus: 2,
            days: 0.25,
            runs: Some(12),
            job_series: true,
            ..Scenario::default()
        };
        let cluster = Cluster::new(name, &scenario);
        let source = Snapshot::open(&cluster.directory.join("snapshot")).unwrap();
        let file = ConfigFile::read(&cluster.directory.join("wattledger.toml")).unwrap();
        let plan = Plan::new(&Request::default(), &file, source.time_range()).unwrap();
        let site = Self { source, rules: plan.rules, window: cluster.window, nodes: Vec::new() };
        let nodes = site.books(&[]).nodes.iter().map(|node| node.name.clone()).collect();
        Self { nodes, ..site }
    }

    fn books(&self, runs: &[Run]) -> Books {
        let jobs = Jobs { runs, covered: Some(self.window), is_given: true, nodes: &[] };
        close_books(&self.source, jobs, &self.rules, &|_, _| ()).unwrap()
    }
}

/// Where and when, in parts of the window; what of a node: CPUs, GiB and GPUs, where the log tells.
#[derive(Clone, Debug)]
struct Placed {
    from: f64,
    length: f64,
    nodes: Vec<usize>,
    cpus: Option<f64>,
    memory_gib: Option<f64>,
    gpus: Option<f64>,
}

fn placed() -> impl Strategy<Value = Placed> {
    (
        -0.1..1.0_f64,
        prop_oneof![0.0..0.001_f64, 0.0..0.3, 0.3..1.2],
        prop::collection::btree_set(0_usize..5, 1..4),
        prop::option::of(0.0..160.0_f64),
        prop::option::of(0.0..600.0_f64),
        prop::option::of(0.0..4.0_f64),
    )
        .prop_map(|(from, length, nodes, cpus, memory_gib, gpus)| Placed {
            from,
            length,
            nodes: nodes.into_iter().collect(),
            cpus,
            memory_gib,
            gpus,
        })
}

fn runs(site: &Site, placed: &[Placed]) -> Vec<Run> {
    let at = |part: f64| site.window.start_ms + (part * site.window.length_ms() as f64) as i64;
    let run = |(number, placed): (usize, &Placed)| Run {
        run_id: number.to_string(),
        job_id: number.to_string(),
        start_ms: at(placed.from),
        end_ms: Some(at(placed.from + placed.length)),
        allocations: placed
            .nodes
            .iter()
            .map(|&node| Allocation {
                // The last is a node without any series.
                node: site.nodes.get(node).map_or("elsewhere", String::as_str).to_owned(),
                cpus: placed.cpus,
                memory_bytes: placed.memory_gib.map(|gib| gib * 1_073_741_824.0),
                gpus: placed.gpus,
                gpu_ids: None,
            })
            .collect(),
        ..Run::default()
    };
    placed.iter().enumerate().map(run).collect()
}

/// Joules of each node, and of each beneficiary on each node.
type Totals = (BTreeMap<String, f64>, BTreeMap<(String, String), f64>);

fn totals(books: &Books, runs: &[Run]) -> Totals {
    let (mut nodes, mut lines) = (BTreeMap::new(), BTreeMap::new());
    for node in &books.nodes {
        for entry in &node.entries {
            let who = match entry.beneficiary {
                Beneficiary::Run(run) => runs[run].run_id.clone(),
                other => other.kind().to_owned(),
            };
            *nodes.entry(node.name.clone()).or_insert(0.0) += entry.energy_j;
            *lines.entry((node.name.clone(), who)).or_insert(0.0) += entry.energy_j;
        }
    }
    (nodes, lines)
}

fn same<K: Ord + std::fmt::Debug>(
    left: &BTreeMap<K, f64>,
    right: &BTreeMap<K, f64>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(left.len(), right.len());
    for ((key, left), (other, right)) in left.iter().zip(right) {
        prop_assert_eq!(key, other);
        prop_assert!((left - right).abs() <= 1e-9 * left.abs().max(1.0), "{key:?}: {left} {right}");
    }
    Ok(())
}

#[test]
fn books_of_random_runs_close() {
    let site = std::cell::RefCell::new(Site::new("random-runs"));
    let alone = totals(&site.borrow().books(&[]), &[]).0;
    assert!(alone.len() == 4 && alone.values().all(|energy_j| *energy_j > 1e5), "{alone:?}");
    let rules = prop_oneof![Just(ShareRule::Usage), Just(ShareRule::Allocated), Just(ShareRule::Ceems)];
    let cases = (prop::collection::vec(placed(), 1..8), rules, any::<prop::sample::Index>(), 0.0..1.0_f64);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&cases, |(placed, rule, chosen, cut)| {
            site.borrow_mut().rules.share = rule;
            let site = site.borrow();
            let all = runs(&site, &placed);
            let books = site.books(&all);
            prop_assert!(books.balances.close(), "{:?}", books.balances);
            let (nodes, lines) = totals(&books, &all);
            // What ran there changes nothing in what a node used.
            same(&nodes, &alone)?;

            // Nor does the order in which the runs are told.
            let reversed: Vec<Run> = all.iter().rev().cloned().collect();
            same(&totals(&site.books(&reversed), &reversed).1, &lines)?;

            // A run cut in two is two runs; the node used the same.
            let mut parts = all.clone();
            let whole = chosen.index(parts.len());
            let (start_ms, end_ms) = (parts[whole].start_ms, parts[whole].end_ms.unwrap());
            let at_ms = start_ms + (cut * (end_ms - start_ms) as f64) as i64;
            let mut second = parts[whole].clone();
            (parts[whole].end_ms, second.start_ms) = (Some(at_ms), at_ms);
            second.run_id.push('b');
            parts.push(second);
            let books = site.books(&parts);
            prop_assert!(books.balances.close(), "{:?}", books.balances);
            same(&totals(&books, &parts).0, &alone)
        })
        .unwrap();
}

/// Books of a window cut at an hour are those of both parts: line by line they add up, so that none has less in a longer window.
#[test]
fn windows_add_up() {
    let site = std::cell::RefCell::new(Site::new("windows"));
    let whole = site.borrow().window;
    let hours = whole.length_ms() / HOUR_MS;
    let rules = prop_oneof![Just(ShareRule::Usage), Just(ShareRule::Allocated), Just(ShareRule::Ceems)];
    let cases = (prop::collection::vec(placed(), 0..6), rules, 1..hours);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&cases, |(placed, rule, cut)| {
            let all = runs(&site.borrow(), &placed);
            let cut_ms = whole.start_ms + cut * HOUR_MS;
            let of = |window| {
                let mut site = site.borrow_mut();
                (site.rules.share, site.rules.window) = (rule, window);
                let books = site.books(&all);
                prop_assert!(books.balances.close(), "{window}: {:?}", books.balances);
                Ok(totals(&books, &all).1)
            };
            let (before, after) =
                (of(Window::new(whole.start_ms, cut_ms))?, of(Window::new(cut_ms, whole.end_ms))?);
            let mut added = before;
            for (line, energy_j) in after {
                prop_assert!(energy_j >= 0.0, "{line:?}");
                *added.entry(line).or_insert(0.0) += energy_j;
            }
            same(&added, &of(whole)?)
        })
        .unwrap();
}

/// Two clusters read as one have the books of both.
#[test]
fn nodes_add_up() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = ["slurm_prometheus/snapshot", "shared_nodes/snapshot"].map(|name| fixtures.join(name));
    let of = |paths: &[std::path::PathBuf]| {
        let source = Snapshot::open_all(paths).unwrap();
        let file = ConfigFile::default();
        let plan = Plan::new(&Request::default(), &file, source.time_range()).unwrap();
        let jobs = Jobs { runs: &[], covered: None, is_given: false, nodes: &[] };
        let books = close_books(&source, jobs, &plan.rules, &|_, _| ()).unwrap();
        assert!(books.balances.close());
        totals(&books, &[]).1
    };
    let mut added = of(&paths[..1]);
    let other = of(&paths[1..]);
    assert!(!added.is_empty() && !other.is_empty());
    for (line, energy_j) in other {
        *added.entry(line).or_insert(0.0) += energy_j;
    }
    same(&added, &of(&paths)).unwrap();
}

/// A run that has a node from one hour to another has all of those hours, and nothing of the others.
#[test]
fn hour_aligned_runs_lose_nothing() {
    let site = Site::new("hour-aligned");
    let start_ms = site.window.start_ms.div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS;
    let window = Window::new(start_ms, start_ms + 3 * HOUR_MS);
    let allocations = vec![Allocation { node: site.nodes[0].clone(), ..Allocation::default() }];
    let run =
        Run { run_id: "1".to_owned(), start_ms, end_ms: Some(window.end_ms), allocations, ..Run::default() };
    let books = site.books(&[run]);
    let node = &books.nodes[0];
    let (mut inside, mut outside) = (0, 0);
    for entry in &node.entries {
        let bucket = books.buckets[entry.bucket];
        if window.start_ms <= bucket.start_ms && bucket.end_ms <= window.end_ms {
            assert_eq!(entry.beneficiary, Beneficiary::Run(0), "{bucket}");
            inside += 1;
        } else {
            assert_ne!(entry.beneficiary, Beneficiary::Run(0), "{bucket}");
            outside += 1;
        }
    }
    assert!(inside >= 12 && outside > 0, "{inside} {outside}");
}
