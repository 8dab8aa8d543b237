//! The steps between decoding and a report, each on its own: finding series in the index, integrating a counter and a gauge, asking a
//! curve, adding rows up into tables, and writing them.

#![allow(missing_docs, clippy::unwrap_used, reason = "not production code")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wattledger::config::{ConfigFile, Plan, Request};
use wattledger::jobs;
use wattledger::ledger::{Jobs, Prices, close_books, entries_frame};
use wattledger::meter::counter::{self, CounterRules, Tally};
use wattledger::meter::curve::Curve;
use wattledger::meter::edges::{EdgeRule, Holders, place};
use wattledger::meter::gauge;
use wattledger::meter::presence::{Boots, GapLimits};
use wattledger::report::{Formats, Provenance, Report, Subject};
use wattledger::simulate::{Scenario, simulate};
use wattledger::source::{Snapshot, Source as _};
use wattledger::time::{HOUR_MS, Window};

const STEP_MS: i64 = 15_000;
/// Samples of a week.
const SAMPLES: i64 = 40_320;

fn integrate(criterion: &mut Criterion) {
    let joules: Vec<(i64, f64)> =
        (0..SAMPLES).map(|nth| (nth * STEP_MS, (nth * 3_000) as f64 % 262_143.3)).collect();
    let watts: Vec<(i64, f64)> = (0..SAMPLES).map(|nth| (nth * STEP_MS, 200.0 + (nth % 7) as f64)).collect();
    let gaps = GapLimits::from_times(joules.iter().map(|(at_ms, _)| *at_ms));
    let boots = Boots::default();
    let rules = CounterRules {
        wrap_j: &[65_532.6, 262_143.3],
        resets: false,
        max_power_w: 600.0,
        boots: &boots,
        gaps: &gaps,
    };
    // A run edge every hour, between two samples.
    let holders = Holders::new((1..168_u32).map(|hour| (i64::from(hour) * HOUR_MS + 7_000, hour % 2 + 1)));
    let mut group = criterion.benchmark_group("integrate a week of samples");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    group.bench_function("counter", |bencher| {
        bencher.iter(|| counter::integrate(black_box(&joules), &[], &rules, &mut Tally::default()));
    });
    group.bench_function("gauge", |bencher| {
        let plain = (&holders, EdgeRule::Power);
        bencher.iter(|| gauge::integrate(black_box(&watts), &[], 600.0, &gaps, plain, &mut Tally::default()));
    });
    let intervals = counter::integrate(&joules, &[], &rules, &mut Tally::default());
    group.bench_function("place run edges and add up", |bencher| {
        bencher.iter(|| Curve::new(place(intervals.clone(), &holders, EdgeRule::Power).intervals));
    });
    let curve = Curve::new(intervals);
    let hours: Vec<Window> = (0..168).map(|hour| Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS)).collect();
    group.bench_function("ask for each hour", |bencher| {
        bencher.iter(|| {
            let mut cursor = curve.cursor();
            hours.iter().map(|hour| cursor.read(*hour).energy_j).sum::<f64>()
        });
    });
    group.bench_function("ask for each minute", |bencher| {
        let mut minutes = Vec::new();
        bencher.iter(|| curve.cursor().steps(Window::new(0, SAMPLES * STEP_MS), 60_000, &mut minutes));
    });
}

fn tables(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let scenario =
        Scenario { nodes: 8, gpus: 4, cpus: 16, days: 3.0, scrape_interval_s: 60, ..Scenario::default() };
    simulate(&scenario, directory.path(), &|_| ()).unwrap();
    let source = Snapshot::open(&directory.path().join("snapshot")).unwrap();
    let file = ConfigFile::read(&directory.path().join("wattledger.toml")).unwrap();
    let request = Request { zone: Some("DE".to_owned()), ..Request::default() };
    let plan = Plan::new(&request, &file, source.time_range()).unwrap();
    let options = jobs::Options { zone: plan.jobs_tz, ..jobs::Options::default() };
    let log = jobs::read(&directory.path().join("sacct.txt"), &options).unwrap();
    let found = source.select(&["node_cpu_seconds_total"], Window::ALL).unwrap().len() as u64;
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(found));
    group.bench_function("select the series of a metric", |bencher| {
        bencher.iter(|| {
            assert_eq!(source.select(&["node_cpu_seconds_total"], Window::ALL).unwrap().len() as u64, found)
        });
    });
    drop(group);

    let books = close_books(&source, Jobs::of(Some(&log)), &plan.rules, &|_, _| ()).unwrap();
    let prices = Prices {
        intensity: &plan.intensity,
        zone: plan.zone.as_ref(),
        pue: &plan.pue,
        upstream: None,
        contracts: None,
        matching: plan.statement.matching,
    };
    let entries = entries_frame(&books, &log.runs, prices).unwrap();
    let provenance = Provenance::default();
    let subject = || Subject {
        books: &books,
        runs: &log.runs,
        basis: plan.intensity.basis(),
        contracts: None,
        matching: plan.statement.matching,
        purchases: None,
        price: None,
        time_zone: chrono_tz::Tz::UTC,
        provenance: &provenance,
    };
    let mut group = criterion.benchmark_group("rows of the ledger");
    group.sample_size(20).throughput(Throughput::Elements(entries.height() as u64));
    group.bench_function("added up into tables", |bencher| {
        bencher.iter(|| Report::new(subject(), &entries).unwrap());
    });
    let report = Report::new(subject(), &entries).unwrap();
    let formats = Formats { charts: None, html: false, markdown: false, ..Formats::default() };
    let out = directory.path().join("report");
    group.bench_function("tables as CSV", |bencher| bencher.iter(|| report.write(&out, &formats).unwrap()));
}

criterion_group!(benches, integrate, tables);
criterion_main!(benches);
