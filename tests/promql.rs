//! What Prometheus says about the same samples, and where it is wrong about energy.
//!
//! Windows begin and end at sample times: a range of Prometheus 2 holds both its
//! ends, so `increase()` has nothing to extrapolate and is the plain sum of the
//! increments. Both sides add up in double precision but in another order, and
//! JSON carries doubles in full: 1e-9 is far above rounding and far below one
//! sample (0.01 s of CPU time in 100 s is 1e-4).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod scripted;
mod servers;
mod support;

use serde_json::Value;
use servers::Prometheus;
use support::{assert_close, fixture, number, table};
use wattledger::meter::catalog::Catalog;
use wattledger::meter::counter::{self, CounterRules, Tally};
use wattledger::meter::curve::{Coverage, Curve};
use wattledger::meter::edges::{EdgeRule, Holders};
use wattledger::meter::gauge;
use wattledger::meter::presence::{Boots, GapLimits};
use wattledger::simulate::{Scenario, simulate};
use wattledger::time::Window;
use wattledger::tsdb::{Database, METRIC_NAME, Matcher, ReadBuffer, ReadStats, is_stale};

const TOLERANCE: f64 = 1e-9;

/// Samples and stale markers of the one series that `metric{name="value",…}` selects.
fn read(database: &Database, selector: &str, window: Window) -> (Vec<(i64, f64)>, Vec<i64>) {
    let (metric, rest) = selector.split_once('{').unwrap_or((selector, "}"));
    let mut matchers = vec![Matcher::equal(METRIC_NAME, metric)];
    for pair in rest.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        matchers.push(Matcher::equal(name, value.trim_matches('"')));
    }
    let found = database.select(&matchers, window).unwrap();
    assert_eq!(found.len(), 1, "{selector}");
    let mut buffer = ReadBuffer::default();
    database.read(&found[0], window, &mut buffer, &mut ReadStats::default()).unwrap();
    let samples = buffer.into_samples();
    let all = samples.timestamps_ms.into_iter().zip(samples.values);
    let (stale, samples): (Vec<_>, Vec<_>) = all.partition(|sample| is_stale(sample.1));
    (samples, stale.into_iter().map(|sample| sample.0).collect())
}

/// The increase of a counter by the library's own way: reader, rules C1, C2 and C5, curve.
fn increase(
    database: &Database,
    selector: &str,
    window: Window,
    wrap_j: &[f64],
    most: f64,
) -> (Curve, Tally) {
    let window = Window::new(window.start_ms, window.end_ms + 1);
    let (samples, stale_ms) = read(database, selector, window);
    let gaps = GapLimits::from_times(samples.iter().map(|sample| sample.0));
    let boots = Boots::default();
    let rules =
        CounterRules { wrap_j, resets: wrap_j.is_empty(), max_power_w: most, boots: &boots, gaps: &gaps };
    let mut tally = Tally::default();
    let intervals = counter::integrate(&samples, &stale_ms, &rules, &mut tally);
    (Curve::new(intervals), tally)
}

fn millis(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap() * 1000.0).round() as i64
}

fn scalar(answer: &Value) -> f64 {
    let result = answer["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 1, "{answer}");
    result[0]["value"][1].as_str().unwrap().parse().unwrap()
}

/// Raw samples of an answer with a range: `(ms, value)`.
fn raw(answer: &Value) -> Vec<(i64, f64)> {
    let values = answer["data"]["result"][0]["values"].as_array().unwrap();
    values.iter().map(|pair| (millis(&pair[0]), pair[1].as_str().unwrap().parse().unwrap())).collect()
}

/// Function, selector and window of `function(selector[range])` asked at a time.
fn parts(answer: &Value) -> (String, String, Window) {
    let query = answer["query"].as_str().unwrap();
    let (function, rest) = query.split_once('(').unwrap();
    let (selector, range) = rest.trim_end_matches("])").rsplit_once('[').unwrap();
    let range_ms: i64 = range.trim_end_matches("ms").parse().unwrap();
    let end_ms = (answer["time"].as_str().unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64;
    (function.to_owned(), selector.to_owned(), Window::new(end_ms - range_ms, end_ms))
}

fn recorded() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("promql.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["answers"].as_array().unwrap().clone()
}

#[test]
fn raw_samples_are_those_that_prometheus_has() {
    let database = Database::open(&fixture("snapshot")).unwrap();
    let mut compared = 0;
    for answer in recorded().iter().filter(|answer| answer["data"]["resultType"] == "matrix") {
        let selector = answer["query"].as_str().unwrap().trim_end_matches("[20m]");
        let (ours, _) = read(&database, selector, database.time_range().unwrap());
        // Text and back loses no bit.
        assert_eq!(ours, raw(answer), "{selector}");
        compared += 1;
    }
    assert_eq!(compared, 6);
}

#[test]
fn counter_increases_are_those_of_prometheus() {
    let database = Database::open(&fixture("snapshot")).unwrap();
    let mut compared = 0;
    let mut resets = 0;
    for answer in &recorded() {
        if answer["data"]["resultType"] == "matrix" {
            continue;
        }
        let (function, selector, window) = parts(answer);
        if function != "increase" {
            continue;
        }
        // Seconds of CPU time: no process here gets more than both CPUs.
        let (curve, tally) = increase(&database, &selector, window, &[], 2.1);
        assert_close(curve.read(window).energy_j, scalar(answer), TOLERANCE);
        assert_close(tally.increments_j, scalar(answer), TOLERANCE);
        resets += tally.resets;
        compared += 1;
    }
    assert_eq!(compared, 16);
    // The exporter's restart lies in two of the windows on its own counter.
    assert_eq!(resets, 2);
}

#[test]
fn a_window_between_samples_is_not_extrapolated_to_its_edges() {
    let database = Database::open(&fixture("snapshot")).unwrap();
    let selector = "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}";
    let all = database.time_range().unwrap();
    let (samples, _) = read(&database, selector, all);
    let (curve, _) = increase(&database, selector, all, &[], 2.1);
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    // PromQL would scale the sum up to the window's length; here nothing is made up (rule C1).
    let wide = Window::new(first.0 - 60_000, last.0 + 60_000);
    assert_close(curve.read(wide).energy_j, last.1 - first.1, TOLERANCE);
    assert_close(curve.read(Window::new(first.0 - 60_000, first.0)).energy_j, 0.0, TOLERANCE);
}

#[test]
fn gauges_over_time_are_those_of_prometheus() {
    let database = Database::open(&fixture("snapshot")).unwrap();
    let answers = recorded();
    let mut compared = 0;
    for answer in answers.iter().filter(|answer| answer["data"]["resultType"] != "matrix") {
        let (function, selector, window) = parts(answer);
        if function == "increase" {
            continue;
        }
        let (samples, _) = read(&database, &selector, Window::new(window.start_ms, window.end_ms + 1));
        let values = samples.iter().map(|sample| sample.1);
        let ours = match function.as_str() {
            "avg_over_time" => values.sum::<f64>() / samples.len() as f64,
            "min_over_time" => values.fold(f64::INFINITY, f64::min),
            "max_over_time" => values.fold(f64::NEG_INFINITY, f64::max),
            "count_over_time" => samples.len() as f64,
            other => panic!("{other}"),
        };
        assert_close(ours, scalar(answer), TOLERANCE);
        compared += 1;
    }
    assert_eq!(compared, 8);
    // Trapezoids over the raw samples that Prometheus printed. It prints no stale
    // markers: the exporter was away for 25 s, and a gauge says nothing of that time.
    for (selector, gap_s) in [("node_memory_MemAvailable_bytes", 25.0), ("up{job=\"node\"}", 0.0)] {
        let answer =
            answers.iter().find(|answer| answer["query"] == format!("{selector}[20m]").as_str()).unwrap();
        let printed = raw(answer);
        let mut expected = 0.0;
        let mut seconds = 0.0;
        for pair in printed.windows(2) {
            let length_s = (pair[1].0 - pair[0].0) as f64 / 1000.0;
            if length_s < 20.0 {
                expected += (pair[0].1 + pair[1].1) / 2.0 * length_s;
                seconds += length_s;
            }
        }
        let window = Window::new(printed[0].0, printed[printed.len() - 1].0);
        let (samples, stale_ms) = read(&database, selector, Window::new(window.start_ms, window.end_ms + 1));
        let gaps = GapLimits::from_times(samples.iter().map(|sample| sample.0));
        let mut tally = Tally::default();
        let edges = (&Holders::default(), EdgeRule::Power);
        let intervals = gauge::integrate(&samples, &stale_ms, f64::MAX, &gaps, edges, &mut tally);
        let reading = Curve::new(intervals).read(window);
        assert_close(reading.energy_j, expected, TOLERANCE);
        assert_close(reading.covered_s, seconds, TOLERANCE);
        assert_close(window.length_s() - seconds, gap_s, TOLERANCE);
    }
}

/// RAPL packages wrap at 262,143.32885 J. `increase()` takes a wrap for a reset and adds
/// what the counter shows after it, so at each wrap it loses what was left up to the
/// range: between nothing and the energy of a whole scrape interval.
#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn at_wraps_promql_is_low_and_the_ledger_is_not() {
    const RANGE_J: f64 = 262_143.328_85;
    // Long enough that what lies before the first and after the last scrape, at most
    // one interval, is under 0.1 % of the truth.
    let mut lost = Vec::new();
    for (scrape_interval_s, days) in [(15, 0.5), (60, 2.0), (300, 8.0)] {
        let root = tempfile::tempdir().unwrap();
        let scenario = Scenario {
            nodes: 1,
            gpus: 0,
            cpus: 8,
            infrastructure_nodes: 1,
            days,
            scrape_interval_s,
            ..Scenario::default()
        };
        let summary = simulate(&scenario, root.path(), &|_| {}).unwrap();
        let snapshot = root.path().join("snapshot");
        let database = Database::open(&snapshot).unwrap();
        let truth = table(&root.path().join("truth.csv"));
        let server_data = root.path().join("data");
        support::copy(&snapshot, &server_data);
        let server = Prometheus::start(root.path(), &server_data, "global: {}\n", &[]);
        // The login node: no outage resets its counters, and no work hides the effect.
        let truth: Vec<_> =
            truth.iter().filter(|row| row["scheduled"] == "false" && row["component"] == "cpu").collect();
        assert_eq!(truth.len(), 2, "two packages");
        for row in truth {
            let instance = format!("{}:9100", row["node"]);
            let selector = format!(
                "node_rapl_package_joules_total{{instance=\"{instance}\",index=\"{}\"}}",
                row["device"]
            );
            let (samples, _) = read(&database, &selector, summary.window);
            let window = Window::new(samples[0].0, samples[samples.len() - 1].0);
            let catalog = Catalog::shipped().unwrap();
            let kind = &catalog.rows("node_rapl_package_joules_total")[0];
            // The simulated processors stay under 200 W.
            let (curve, tally) = increase(&database, &selector, window, &kind.wrap_j, 300.0);
            let ours_j = curve.read(window).energy_j;
            let query = format!("increase({selector}[{}ms])", window.length_ms());
            let theirs_j = scalar(&server.ask(&query, window.end_ms));
            // What is lost, by hand: the rest up to the range at each fall.
            let falls: Vec<f64> = samples
                .windows(2)
                .filter(|pair| pair[1].1 < pair[0].1)
                .map(|pair| RANGE_J - pair[0].1)
                .collect();
            assert!(!falls.is_empty(), "no wrap in {selector}");
            assert_eq!(tally.wraps, falls.len() as u64);
            assert_close(ours_j - theirs_j, falls.iter().sum(), 1e-6);
            assert!(tally.missing_s.is_empty(), "{:?}", tally.missing_s);
            println!(
                "{scrape_interval_s} s, {} package {}: {} wraps; truth {} J, ours {ours_j:.0} J, \
                 increase() {theirs_j:.0} J: low by {:.3} %",
                row["node"],
                row["device"],
                falls.len(),
                row["energy_j"],
                100.0 * (1.0 - theirs_j / ours_j),
            );
            assert_close(ours_j, number(row, "energy_j"), 1e-3);
            lost.push((scrape_interval_s, 1.0 - theirs_j / ours_j));
        }
        gauges_agree(&server, &database, summary.window);
    }
    let mean = |interval: u32| {
        let of: Vec<f64> = lost.iter().filter(|(at, _)| *at == interval).map(|(_, share)| *share).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(15) > 0.0 && mean(60) > mean(15) && mean(300) > mean(60), "{lost:?}");
}

/// Of a gauge Prometheus has the same samples, bit for bit, so the same trapezoids.
fn gauges_agree(server: &Prometheus, database: &Database, whole: Window) {
    let selector = "node_memory_MemAvailable_bytes{instance=\"login1:9100\"}";
    let window = Window::new(whole.start_ms, whole.start_ms + 6 * 3_600_000);
    let (samples, stale_ms) = read(database, selector, window);
    let asked = server.ask(&format!("{selector}[{}ms]", window.length_ms()), window.end_ms - 1);
    assert_eq!(samples, raw(&asked));
    let expected: f64 = samples
        .windows(2)
        .map(|pair| (pair[0].1 + pair[1].1) / 2.0 * (pair[1].0 - pair[0].0) as f64 / 1000.0)
        .sum();
    assert!(stale_ms.is_empty() && samples.len() > 60);
    let gaps = GapLimits::from_times(samples.iter().map(|sample| sample.0));
    let mut tally = Tally::default();
    let edges = (&Holders::default(), EdgeRule::Power);
    let curve = Curve::new(gauge::integrate(&samples, &stale_ms, f64::MAX, &gaps, edges, &mut tally));
    assert!(curve.intervals().iter().all(|interval| interval.coverage == Coverage::Covered));
    assert_close(curve.total_j(), expected, TOLERANCE);
}
