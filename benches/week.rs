//! How long the books of a cluster take, from the snapshot on disk to the last
//! balance: one simulated day. The throughput is in samples that were read.

#![allow(missing_docs, clippy::unwrap_used, reason = "not production code")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wattledger::config::{ConfigFile, Plan, Request};
use wattledger::jobs;
use wattledger::ledger::{Books, Jobs, close_books};
use wattledger::simulate::{Scenario, simulate};
use wattledger::source::{Snapshot, Source as _};

fn books(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario { nodes: 4, gpus: 4, cpus: 16, days: 1.0, ..Scenario::default() };
    simulate(&scenario, directory.path(), &|_| ()).unwrap();
    let source = Snapshot::open(&directory.path().join("snapshot")).unwrap();
    let file = ConfigFile::read(&directory.path().join("wattledger.toml")).unwrap();
    let plan = Plan::new(&Request::default(), &file, source.time_range()).unwrap();
    let options = jobs::Options { zone: plan.jobs_tz, ..jobs::Options::default() };
    let log = jobs::read(&directory.path().join("sacct.txt"), &options).unwrap();
    let close = || -> Books {
        let jobs = Jobs { runs: &log.runs, covered: log.covered, is_given: true, nodes: &log.nodes };
        let books = close_books(&source, jobs, &plan.rules, &|_, _| ()).unwrap();
        assert!(books.balances.close());
        books
    };
    let samples = close().read.samples;
    let mut group = criterion.benchmark_group("books of a day");
    group.sample_size(20).throughput(Throughput::Elements(samples));
    group.bench_function(format!("4 nodes, 16 GPUs, {} runs", log.runs.len()), |bencher| {
        bencher.iter(close);
    });
}

criterion_group!(benches, books);
criterion_main!(benches);
