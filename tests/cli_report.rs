//! The report on the recorded fixture, checked against figures worked out here
//! from the raw samples: read by a second reader, with plain loops.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod block_reader;
mod support;

use std::collections::BTreeMap;
use std::process::Stdio;

use insta::assert_snapshot;
use support::{Bench, Row, assert_close, fixture, ms, number, only, tdp_curve_w, total, utilisation};

/// Slurm's three nodes of two CPUs each are one host, whose processor is in no table.
const CONFIG: &str =
    "[nodes.alias]\n\"n00[1-3]\" = \"vm\"\n\n[[hardware]]\nnodes = \"vm\"\ncpus = 6\ncpu_tdp_w = 100\n";
const J_PER_KWH: f64 = 3.6e6;
/// Two orders of adding up a few hundred numbers of one sign.
const ROUNDING: f64 = 1e-9;

fn report(bench: &Bench, out: &str, more: &[&str]) -> support::Ended {
    bench.write("site.toml", CONFIG);
    let (snapshot, jobs) = (fixture("snapshot"), fixture("sacct.txt"));
    let mut arguments = vec!["report", "--snapshot", snapshot.to_str().unwrap(), "--config", "site.toml"];
    arguments.extend(["--out", out]);
    if !more.contains(&"--jobs") {
        arguments.extend(["--jobs", jobs.to_str().unwrap()]);
    }
    arguments.extend(more);
    let ended = bench.run(&arguments);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

/// What the fixture's raw samples say of its one host.
struct Host {
    /// `(start, end, watts)` between each two scrapes: a processor of 100 W at the measured utilisation.
    cpu_w: Vec<(i64, i64, f64)>,
    /// Installed memory at 0.3725 W for each 10⁹ bytes.
    dram_w: f64,
    memory_bytes: f64,
}

impl Host {
    fn read() -> Self {
        let series = block_reader::read(&fixture("snapshot"));
        let mut cpus = support::Modes::new();
        for (labels, samples) in &series {
            if labels["__name__"] == "node_cpu_seconds_total" {
                let cpu = cpus.entry(labels["cpu"].clone()).or_default();
                cpu.insert(labels["mode"].clone(), samples.clone());
            }
        }
        assert_eq!(cpus.len(), 2);
        let memory =
            series.iter().find(|(labels, _)| labels["__name__"] == "node_memory_MemTotal_bytes").unwrap().1
                [0]
            .1;
        let cpu_w =
            utilisation(&cpus).into_iter().map(|(from, to, load)| (from, to, tdp_curve_w(load, 100.0)));
        Self { cpu_w: cpu_w.collect(), dram_w: 0.3725e-9 * memory, memory_bytes: memory }
    }

    /// The interval between two scrapes that `at_ms` lies in.
    fn around(&self, at_ms: i64) -> (i64, i64, f64) {
        *self.cpu_w.iter().find(|(from, to, _)| *from < at_ms && at_ms < *to).unwrap()
    }

    /// Joules of the processor from scrape to scrape; both must be one.
    fn between_scrapes(&self, start_ms: i64, end_ms: i64) -> f64 {
        let inside = self.cpu_w.iter().filter(|(from, to, _)| *from >= start_ms && *to <= end_ms);
        inside.map(|(from, to, watts)| watts * (to - from) as f64 / 1000.0).sum()
    }

    /// Watts of the two nearest intervals without a run edge, walking from `nth` in steps of `step`.
    fn two_full(&self, nth: usize, step: isize, edges: &[&str]) -> (f64, f64) {
        let edges: Vec<i64> = edges.iter().map(|edge| ms(edge)).collect();
        let is_full = |from: i64, to: i64| !edges.iter().any(|edge_ms| from < *edge_ms && *edge_ms < to);
        let mut found = Vec::new();
        let mut at = nth;
        while found.len() < 2 {
            at = at.checked_add_signed(step).unwrap();
            let (from, to, watts) = self.cpu_w[at];
            if is_full(from, to) {
                found.push(watts);
            }
        }
        (found[0], found[1])
    }

    /// Rule C6 at one of the run `edges` that has full intervals of either side's runs next to it:
    /// each side at its neighbour's power, and what that is short of the interval's energy, or
    /// over it, by least squares on both. Joules before and after the edge.
    fn at_edge(&self, edge: &str, edges: &[&str]) -> (f64, f64) {
        let edge_ms = ms(edge);
        let nth = self.cpu_w.iter().position(|(from, to, _)| *from < edge_ms && edge_ms < *to).unwrap();
        let (from, to, watts) = self.cpu_w[nth];
        let side = |step: isize, seconds: f64| {
            let (nearest_w, next_w) = self.two_full(nth, step, edges);
            let doubt_j = seconds * (nearest_w - next_w).abs().max(0.02 * nearest_w);
            (nearest_w * seconds, doubt_j * doubt_j)
        };
        let (before_j, before_weight) = side(-1, (edge_ms - from) as f64 / 1000.0);
        let (after_j, after_weight) = side(1, (to - edge_ms) as f64 / 1000.0);
        let whole_j = watts * (to - from) as f64 / 1000.0;
        let left_j = whole_j - before_j - after_j;
        let before_j = before_j + left_j * before_weight / (before_weight + after_weight);
        let before_j = before_j.clamp(0.0, whole_j);
        (before_j, whole_j - before_j)
    }

    /// Joules of the processor in a run's window by rule C6.
    fn by_power(&self, start: &str, end: &str, edges: &[&str]) -> f64 {
        let full = self.between_scrapes(ms(start), ms(end));
        self.at_edge(start, edges).1 + full + self.at_edge(end, edges).0
    }

    /// The same by time alone.
    fn linear(&self, start: &str, end: &str) -> f64 {
        let (start_ms, end_ms) = (ms(start), ms(end));
        let (_, first_end, first_w) = self.around(start_ms);
        let (last_start, _, last_w) = self.around(end_ms);
        first_w * (first_end - start_ms) as f64 / 1000.0
            + self.between_scrapes(start_ms, end_ms)
            + last_w * (end_ms - last_start) as f64 / 1000.0
    }
}

/// The starts and ends in `sacct.txt`.
const EDGES: [&str; 19] = [
    "2026-11-23T23:06:23Z",
    "2026-11-23T23:06:32Z",
    "2026-11-23T23:06:35Z",
    "2026-11-23T23:06:47Z",
    "2026-11-23T23:07:03Z",
    "2026-11-23T23:07:06Z",
    "2026-11-23T23:07:13Z",
    "2026-11-23T23:07:14Z",
    "2026-11-23T23:07:16Z",
    "2026-11-23T23:07:18Z",
    "2026-11-23T23:07:24Z",
    "2026-11-23T23:07:31Z",
    "2026-11-23T23:07:33Z",
    "2026-11-23T23:07:48Z",
    "2026-11-23T23:07:58Z",
    "2026-11-23T23:08:18Z",
    "2026-11-23T23:08:28Z",
    "2026-11-23T23:08:49Z",
    "2026-11-23T23:09:09Z",
];

fn joules(row: &Row, column: &str) -> f64 {
    number(row, column) * J_PER_KWH
}

/// Job 13 has 2 of the host's 6 CPUs, alone: none ran in the ten seconds on either side.
#[test]
fn a_run_by_hand() {
    let bench = Bench::new();
    let ended = report(&bench, "out", &["--no-charts"]);
    assert_eq!(ended.stdout, "", "notes go to stderr");
    let host = Host::read();
    let runs = bench.table("out/runs.csv");
    let run = only(&runs, "run_id", "13");
    let expected = host.by_power("2026-11-23T23:07:58Z", "2026-11-23T23:08:18Z", &EDGES) * 2.0 / 6.0;
    assert_close(joules(run, "cpu_energy_kwh"), expected, ROUNDING);
    // 2000 MiB for 20 s at 0.3725 W for 10⁹ bytes, whatever the host has: 15.62 J.
    assert_close(joules(run, "dram_energy_kwh"), 2000.0 * 1_048_576.0 * 0.3725e-9 * 20.0, ROUNDING);
    assert_close(number(run, "mean_power_w"), joules(run, "energy_kwh") / 20.0, ROUNDING);
    assert_eq!((run["user"].as_str(), run["state"].as_str()), ("alice", "COMPLETED"));
    // The name with the separator in it.
    assert_eq!(only(&runs, "run_id", "5")["name"], "sweep|lr=0.1");
    // A job that was requeued is two runs, one that never started none.
    assert_eq!(runs.iter().filter(|run| run["run_id"] == "3").count(), 2);
    assert!(runs.iter().all(|run| run["run_id"] != "6"));
}

#[test]
fn linear_edges_by_hand() {
    let bench = Bench::new();
    report(&bench, "power", &["--no-charts"]);
    report(&bench, "linear", &["--no-charts", "--edges", "linear"]);
    let host = Host::read();
    let (start, end) = ("2026-11-23T23:07:58Z", "2026-11-23T23:08:18Z");
    let linear = bench.table("linear/runs.csv");
    let run = only(&linear, "run_id", "13");
    assert_close(joules(run, "cpu_energy_kwh"), host.linear(start, end) * 2.0 / 6.0, ROUNDING);
    // The two rules differ, and only in who has it.
    assert!((host.linear(start, end) / host.by_power(start, end, &EDGES) - 1.0).abs() > 1e-3);
    let whole = |name: &str| bench.json(&format!("{name}/summary.json"))["energy_j"].as_f64().unwrap();
    assert_close(whole("power"), whole("linear"), ROUNDING);
}

#[test]
fn the_node_by_hand_and_every_table_adds_up_to_it() {
    let bench = Bench::new();
    report(&bench, "out", &["--no-charts", "--pue", "1.25"]);
    let host = Host::read();
    let nodes = bench.table("out/by_node.csv");
    let node = only(&nodes, "node", "vm");
    let cpu_j: f64 = host.cpu_w.iter().map(|(from, to, watts)| watts * (to - from) as f64 / 1000.0).sum();
    assert_close(joules(node, "cpu_energy_kwh"), cpu_j, ROUNDING);
    // 280 s from the first scrape to the last, less 25 s in which the exporter was stopped.
    assert_close(joules(node, "dram_energy_kwh"), host.dram_w * 255.0, ROUNDING);
    assert!((2.0e10..3.0e10).contains(&host.memory_bytes));
    let seen_s: i64 = host.cpu_w.iter().map(|(from, to, _)| to - from).sum();
    assert_eq!(seen_s, 255_000);

    let summary = bench.json("out/summary.json");
    let whole_j = summary["energy_j"].as_f64().unwrap();
    assert_close(whole_j, cpu_j + host.dram_w * 255.0, ROUNDING);
    let of =
        |beneficiary: &str| summary["energy_kwh_by_beneficiary"][beneficiary].as_f64().unwrap() * J_PER_KWH;
    let runs_j = total(&bench.table("out/runs.csv"), "energy_kwh") * J_PER_KWH;
    assert_close(runs_j, of("run"), ROUNDING);
    assert_close(runs_j + of("idle") + of("infrastructure") + of("unattributed"), whole_j, ROUNDING);
    for name in ["by_user", "by_account", "by_stage", "by_node"] {
        let rows = bench.table(&format!("out/{name}.csv"));
        assert_close(total(&rows, "energy_kwh") * J_PER_KWH, whole_j, ROUNDING);
        assert_close(total(&rows, "facility_energy_kwh") * J_PER_KWH, 1.25 * whole_j, ROUNDING);
    }
    assert_close(total(&bench.table("out/hourly.csv"), "energy_j"), whole_j, ROUNDING);
    // The log begins with the first jobs, at 23:06:23: what was before is nobody's. All the
    // energy before, by hand: full intervals and the piece up to the edge.
    let edge = "2026-11-23T23:06:23Z";
    let edge_ms = ms(edge);
    let first_ms = host.cpu_w[0].0;
    let before = host.between_scrapes(0, edge_ms) + host.at_edge(edge, &EDGES).0;
    let dram = host.dram_w * (edge_ms - first_ms) as f64 / 1000.0;
    assert_close(of("unattributed"), before + dram, 1e-6);
}

/// The rows behind the tables: their sums by run, and by hour and kind, are those tables.
#[test]
fn entries_add_up_to_runs_and_hours() {
    let bench = Bench::new();
    report(&bench, "out", &["--no-charts", "--entries", "--pue", "1.25", "--zone", "DE"]);
    let entries = bench.table("out/entries.csv");
    let hours = bench.table("out/hourly.csv");
    let runs = bench.table("out/runs.csv");
    assert!(entries.len() > hours.len() && runs.len() > 5, "{} {}", entries.len(), runs.len());
    // A job that was started again has one number and two starts.
    let mut by_run: BTreeMap<[String; 2], f64> = BTreeMap::new();
    let mut by_hour: BTreeMap<Vec<String>, [f64; 3]> = BTreeMap::new();
    let key = |row: &Row| {
        ["bucket_start", "node", "component", "beneficiary"].map(|name| row[name].clone()).to_vec()
    };
    for row in &entries {
        let is_run = row["beneficiary"] == "run";
        assert_eq!((!row["run_id"].is_empty(), !row["user"].is_empty()), (is_run, is_run), "{row:?}");
        if is_run {
            *by_run.entry([row["run_id"].clone(), row["run_start"].clone()]).or_default() +=
                number(row, "energy_j");
        }
        let sums = by_hour.entry(key(row)).or_default();
        for (sum, column) in sums.iter_mut().zip(["energy_j", "emissions_gco2e", "expected_s"]) {
            *sum += number(row, column);
        }
        assert_close(number(row, "facility_energy_j"), 1.25 * number(row, "energy_j"), ROUNDING);
    }
    for run in &runs {
        assert_close(
            by_run.get(&[run["run_id"].clone(), run["start"].clone()]).copied().unwrap_or(0.0),
            joules(run, "energy_kwh"),
            ROUNDING,
        );
    }
    assert_eq!(by_hour.len(), hours.len());
    for hour in &hours {
        for (sum, column) in by_hour[&key(hour)].iter().zip(["energy_j", "emissions_gco2e", "expected_s"]) {
            assert_close(*sum, number(hour, column), ROUNDING);
        }
    }
    // Without a word no such file.
    report(&bench, "none", &["--no-charts"]);
    assert!(!bench.path("none/entries.csv").exists());
}

/// The two windows marked by hand: 1 of 6 CPUs each, beside each other for 40 s.
#[test]
fn windows_marked_by_hand() {
    let bench = Bench::new();
    let jobs = fixture("runs.csv");
    report(&bench, "out", &["--no-charts", "--jobs", jobs.to_str().unwrap()]);
    let host = Host::read();
    let runs = bench.table("out/runs.csv");
    let train = only(&runs, "run_id", "hand-train-resnet");
    let infer = only(&runs, "run_id", "hand-infer-bert");
    let (start, middle, end) = ("2026-11-23T23:06:23Z", "2026-11-23T23:07:03Z", "2026-11-23T23:07:13Z");
    let edges = [start, middle, end];
    // Both have full intervals on both sides of all three edges.
    let both = host.at_edge(start, &edges).1
        + host.between_scrapes(ms(start), ms(middle))
        + host.at_edge(middle, &edges).0;
    let alone = host.at_edge(middle, &edges).1
        + host.between_scrapes(ms(middle), ms(end))
        + host.at_edge(end, &edges).0;
    assert_close(joules(train, "cpu_energy_kwh"), (both + alone) / 6.0, ROUNDING);
    assert_close(joules(infer, "cpu_energy_kwh"), both / 6.0, ROUNDING);
    // 400 MiB for 50 s and 200 MiB for 40 s.
    let dram = |mebibytes: f64, seconds: f64| mebibytes * 1_048_576.0 * 0.3725e-9 * seconds;
    assert_close(joules(train, "dram_energy_kwh"), dram(400.0, 50.0), ROUNDING);
    assert_close(joules(infer, "dram_energy_kwh"), dram(200.0, 40.0), ROUNDING);
    assert_eq!(train["stage"], "training");
    let stages = bench.table("out/by_stage.csv");
    assert_close(
        number(only(&stages, "stage", "inference"), "energy_kwh"),
        number(infer, "energy_kwh"),
        ROUNDING,
    );
}

/// Threads and repetition change no bit, on the fixture and on several nodes.
#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.write("site.toml", CONFIG);
    let simulate =
        ["simulate", "--nodes", "3", "--gpus", "1", "--cpus", "4", "--days", "0.1", "--out", "sim"];
    assert_eq!(bench.run(&simulate).code, 0);
    let (snapshot, jobs) = (fixture("snapshot"), fixture("sacct.txt"));
    for (name, snapshot, jobs, config) in [
        ("fixture", snapshot.to_str().unwrap(), jobs.to_str().unwrap(), "site.toml"),
        ("simulated", "sim/snapshot", "sim/sacct.txt", "sim/wattledger.toml"),
    ] {
        let make = |threads: &str, out: &str| {
            let out = format!("{name}-{out}");
            let arguments = ["report", "--zone", "DE", "--snapshot", snapshot, "--jobs", jobs];
            let mut command = bench.command(&arguments);
            command.args(["--config", config, "--out", &out]).env("RAYON_NUM_THREADS", threads);
            command.env("POLARS_MAX_THREADS", threads);
            let ended = Bench::end(&mut command, &bench.path(""));
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            support::files(&bench.path(&out))
        };
        let first = make("1", "one");
        assert_eq!(first.len(), 28, "fourteen tables, a summary, a page, a message and eleven charts");
        assert!(first == make("2", "two"), "two threads wrote other bytes");
        assert!(first == make("2", "again"), "the second time wrote other bytes");
    }
}

#[test]
fn charts_are_pictures_with_something_on_them() {
    let bench = Bench::new();
    report(&bench, "out", &["--zone", "DE"]);
    for name in [
        "power",
        "emissions_by_hour",
        "emissions_by_day",
        "calendar",
        "emissions_by_user",
        "emissions_by_account",
        "runs_by_energy",
        "run_efficiency",
        "energy_by_node",
        "cpu_and_gpu",
        "coverage",
    ] {
        let file = std::fs::File::open(bench.path(&format!("out/{name}.png"))).unwrap();
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert!(frame.width >= 800 && frame.height >= 200, "{name}: {} × {}", frame.width, frame.height);
        let size = frame.color_type.samples();
        let mut colours = BTreeMap::<&[u8], usize>::new();
        for pixel in pixels[..frame.buffer_size()].chunks(size) {
            *colours.entry(pixel).or_default() += 1;
        }
        let background = colours.values().max().unwrap();
        let drawn = (frame.width * frame.height) as usize - background;
        assert!(colours.len() > 10 && drawn > 5_000, "{name}: {} colours, {drawn} pixels", colours.len());
    }
}

#[test]
fn without_charts_there_are_none() {
    let bench = Bench::new();
    let ended = report(&bench, "out", &["--no-charts"]);
    let names: Vec<String> =
        support::files(&bench.path("out")).keys().map(|path| path.display().to_string()).collect();
    assert_eq!(
        names,
        [
            "by_account.csv",
            "by_day.csv",
            "by_node.csv",
            "by_partition.csv",
            "by_site.csv",
            "by_stage.csv",
            "by_state.csv",
            "by_user.csv",
            "embodied.csv",
            "hourly.csv",
            "meters.csv",
            "report.html",
            "report.md",
            "reserved.csv",
            "runs.csv",
            "statement.csv",
            "summary.json"
        ]
    );
    assert_snapshot!(ended.stderr, @r#"
    2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z, electricity, life-cycle basis
      energy     5.041 Wh, within 2.436 Wh to 8.304 Wh
        for      run 24.4 %, idle 68.6 %, infrastructure 0.0 %, unattributed 7.0 %
        in       cpu 86.8 %, dram 13.2 %, gpu 0.0 %, other 0.0 %
        by       modelled:constant 13.2 %, modelled:utilisation 86.8 %
      emissions  not priced
        priced   unpriced 100.0 %
      embodied   2.848 gCO2e amortised
      top users  bob 13.4 %, alice 11.1 %
      top runs   1 alice train-resnet: 0.233 Wh
                 14 bob still-running: 0.200 Wh
                 2 bob infer-bert: 0.184 Wh
                 12 alice two-nodes: 0.142 Wh
                 13 alice whole-node: 0.120 Wh
      coverage   89.8 % seen, 0.9 % interpolated
      balance    B1 closes, B2 closes, B3 closes
      note       no PUE stated: 1 is used, so facility energy is IT energy
      note       no zone stated: energy is not priced; name one with `--zone`
      note       job log: times carry no offset and were read in the zone `UTC`
      note       job log: lines put right that had separators inside a text: 1
      note       nodes without a node meter have no `other`: 0 W is taken for it
    wrote out: report.html, report.md, summary.json, 14 CSV
    "#);
}

#[test]
fn country_is_another_word_for_zone() {
    let bench = Bench::new();
    for (out, flag, value) in [("a", "--zone", "DE"), ("b", "--country", "Germany"), ("c", "--country", "de")]
    {
        report(&bench, out, &["--no-charts", flag, value]);
    }
    let files = |out: &str| support::files(&bench.path(out));
    assert!(files("a") == files("b") && files("a") == files("c"));
    let summary = bench.json("a/summary.json");
    let share = summary["energy_share_by_intensity_tier"]["annual-profile"].as_f64().unwrap();
    assert_close(share, 1.0, ROUNDING);
    // Germany's year over the world is known to be between 300 and 500 g/kWh.
    let factor = summary["emissions_gco2e"].as_f64().unwrap() / summary["energy_kwh"].as_f64().unwrap();
    assert!((300.0..500.0).contains(&factor), "{factor}");
}

/// Real hours of Germany (Electricity Maps, life-cycle, release 2025-01-27, ODbL):
/// 3 June 2024 from midnight UTC 326, 329 and 348 gCO2e/kWh, over a simulated cluster.
#[test]
fn each_hour_at_its_own_intensity() {
    let bench = Bench::new();
    let simulate =
        ["simulate", "--nodes", "2", "--gpus", "1", "--cpus", "4", "--days", "0.125", "--out", "sim"];
    assert_eq!(bench.run(&simulate).code, 0);
    let hours =
        [("2024-06-03T00:00:00Z", 326.0), ("2024-06-03T01:00:00Z", 329.0), ("2024-06-03T02:00:00Z", 348.0)];
    let mut csv = "timestamp,gco2e_per_kwh\n".to_owned();
    for (at, factor) in hours {
        csv += &format!("{at},{factor}\n");
    }
    bench.write("hours.csv", &csv);
    let ended = bench.run(&[
        "report",
        "--snapshot",
        "sim/snapshot",
        "--jobs",
        "sim/sacct.txt",
        "--config",
        "sim/wattledger.toml",
        "--zone",
        "DE",
        "--intensity",
        "hours.csv",
        "--pue",
        "1.5",
        "--no-charts",
        "--out",
        "out",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("SIMULATED "), "{}", ended.stderr);
    let rows = bench.table("out/hourly.csv");
    let mut expected = 0.0;
    for (at, factor) in hours {
        let of_hour: Vec<Row> =
            rows.iter().filter(|row| row["bucket_start"][..13] == at[..13]).cloned().collect();
        assert!(!of_hour.is_empty(), "{at}");
        let kwh = total(&of_hour, "energy_j") / J_PER_KWH;
        assert!(kwh > 0.1, "{at}: {kwh}");
        assert_close(total(&of_hour, "emissions_gco2e"), 1.5 * kwh * factor, ROUNDING);
        expected += 1.5 * kwh * factor;
    }
    let summary = bench.json("out/summary.json");
    assert_close(summary["emissions_gco2e"].as_f64().unwrap(), expected, ROUNDING);
    assert_close(summary["energy_share_by_intensity_tier"]["hourly"].as_f64().unwrap(), 1.0, ROUNDING);
}

#[test]
fn explain_prints_the_plan_and_does_nothing() {
    let bench = Bench::new();
    let ended = report(&bench, "out", &["--zone", "DE", "--explain"]);
    assert_eq!(ended.stderr, "");
    assert!(!bench.path("out").exists());
    assert_snapshot!(ended.stdout, @r#"
    window     2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    snapshot   [FIXTURE]/snapshot (106 series, 3 blocks)
    jobs       [FIXTURE]/sacct.txt (sacct text)
    runs       14, the log covers 2026-11-23T23:06:23Z to 2026-11-23T23:10:30Z
    config     site.toml
    setting    basis = life-cycle average consumption
    setting    bucket_s = 3600
    setting    edges = power
    setting    gpu_in_node_meter = unknown
    setting    jobs_tz = UTC
    setting    memory_model = 0.3725 W/GB
    setting    model_unseen_nodes = false
    setting    power_model = tdp-curve/1
    setting    pue = 1
    setting    share = usage
    setting    time_zone = UTC
    setting    window = 2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    setting    zone = DE
    intensity  393.984 gCO2e/kWh at 2026-11-23T23:05:49.183Z, tier annual-profile, Electricity Maps yearly 2025, CO2.js 0.19.0; shape of 2021 to 2024, release 2025-01-27
    node       vm
      cpu 0 (Intel(R) Xeon(R) Processor): modelled:utilisation from node_cpu_seconds_total, tdp-curve/1 × 100 W (config); no energy counter and no power gauge
      dram all: modelled:constant from installed memory × 0.3725 W/GB; no energy counter and no power gauge
      other: none; no node meter and no `other_w` stated: 0 W
    note       no PUE stated: 1 is used, so facility energy is IT energy
    "#);
}

#[test]
fn inspect_prints_what_is_there() {
    let bench = Bench::new();
    let ended = bench.run(&["inspect", "--snapshot", fixture("snapshot").to_str().unwrap()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_snapshot!(ended.stdout, @r#"
    snapshot   [FIXTURE]/snapshot
    time       2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    series     106 (a series in several blocks counts once for each)
    block      01M85APS1BDYQDFY6F660KKPJT 2026-11-23T23:05:49.183Z to 2026-11-23T23:06:00Z, level 1, 90 samples, 30 series
    block      01M85AQ2ST22878VYXT338BRC3 2026-11-23T23:06:00.273Z to 2026-11-23T23:08:00Z, level 1, 784 samples, 38 series
    block      01M85ASQTF1D3NRQA1ZR7WZRS4 2026-11-23T23:08:00.273Z to 2026-11-23T23:10:30.274Z, level 1, 913 samples, 38 series
    jobs       node, prometheus
    node       vm: node_exporter
      machine  Intel(R) Xeon(R) Processor, 1 socket, 2 logical CPUs, 1 thread a core
      cpu 0 (Intel(R) Xeon(R) Processor): none; no RAPL, and `Intel(R) Xeon(R) Processor` is in no table: state `cpu_tdp_w`
      dram all: modelled:constant from installed memory × 0.3725 W/GB; no energy counter and no power gauge
      other: none; no node meter and no `other_w` stated: 0 W
    target     prometheus 127.0.0.1:29090: 19 scrapes, up 100.0 %
                 seen 2026-11-23T23:06:00.273Z to 2026-11-23T23:10:30.273Z
    target     node 127.0.0.1:29100: 57 scrapes, up 93.0 %
                 down 2026-11-23T23:09:44.183Z to 2026-11-23T23:10:04.183Z
                 seen 2026-11-23T23:05:49.183Z to 2026-11-23T23:10:29.183Z
    "#);
}

/// `wattledger inspect … | head -1`
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let mut command = bench.command(&["inspect", "--snapshot", fixture("snapshot").to_str().unwrap()]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn strict_counts_a_rejected_line() {
    let bench = Bench::new();
    let mut log = std::fs::read_to_string(fixture("sacct.txt")).unwrap();
    log.push_str("99|alice|climate|batch|COMPLETED|x|y\n");
    bench.write("log.txt", &log);
    bench.write("site.toml", CONFIG);
    let snapshot = fixture("snapshot");
    let of = |more: &[&str]| {
        let arguments = [
            "report",
            "--snapshot",
            snapshot.to_str().unwrap(),
            "--jobs",
            "log.txt",
            "--config",
            "site.toml",
        ];
        bench.run(&[&arguments[..], &["--no-charts", "--out", "out"], more].concat()).code
    };
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&["--strict"]), 3);
    assert_eq!(bench.table("out/runs.csv").len(), 14);
}
