//! Reports from the job log alone (`modelled:joblog`), against figures by hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::path::{Path, PathBuf};

#[path = "support/truth.rs"]
mod support;

use support::{Cluster, Row, fresh, table, wattledger};
use wattledger::simulate::Scenario;

const HEADER: &str = "JobID|User|Account|State|Start|End|NodeList|AllocCPUS|AllocTRES|TotalCPU\n";

/// Two hours of one node: a run of 8 of 16 cores, half of them busy, with two GPUs; then one of all cores, without any CPU time.
const LOG: &str = "\
7|anna|chem|COMPLETED|2026-11-16T00:00:00|2026-11-16T01:00:00|n1|8|cpu=8,mem=64G,gres/gpu=2|04:00:00
8|bert|phys|COMPLETED|2026-11-16T00:30:00|2026-11-16T00:45:00|n1|4|cpu=4,mem=32G,gres/gpu=1|01:00:00
9|anna|chem|COMPLETED|2026-11-16T01:30:00|2026-11-16T02:00:00|n1|16|cpu=16,mem=128G|00:00:00
";

const SITE: &str = "\
[[hardware]]
cpu_tdp_w = 100
sockets = 2
cpus = 16
memory = \"128G\"
gpus = 4
gpu_tdp_w = 300
other_w = 50
";

fn report(name: &str, log: &str, site: &str, flags: &[&str]) -> PathBuf {
    let directory = fresh(&format!("joblog-{name}"));
    std::fs::write(directory.join("sacct.txt"), format!("{HEADER}{log}")).unwrap();
    std::fs::write(directory.join("site.toml"), site).unwrap();
    let out = directory.join("report");
    let mut command = wattledger();
    command.arg("report").arg("--jobs").arg(directory.join("sacct.txt")).args([
        "--zone",
        "DE",
        "--no-charts",
    ]);
    command.arg("--config").arg(directory.join("site.toml")).arg("--out").arg(&out).args(flags);
    command.assert().success();
    out
}

fn run<'r>(rows: &'r [Row], id: &str) -> &'r Row {
    rows.iter().find(|row| row.text("run_id") == id).unwrap()
}

fn summary(report: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(report.join("summary.json")).unwrap()).unwrap()
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{got} and not {expected}");
}

/// Two processors of 100 W at a load of the node.
fn processors_w(load: f64) -> f64 {
    let curve = [(0.0, 0.12), (0.1, 0.32), (0.5, 0.75), (1.0, 1.02)];
    let piece = curve.windows(2).find(|pair| load <= pair[1].0).unwrap();
    let along = (load - piece[0].0) / (piece[1].0 - piece[0].0);
    200.0 * (piece[0].1 + along * (piece[1].1 - piece[0].1))
}

#[test]
fn a_job_log_and_stated_hardware_give_every_watt() {
    let out = report("stated", LOG, SITE, &[]);
    let rows = table(&out.join("runs.csv"));
    // Run 7 keeps 4 of 16 cores busy, run 8 all its 4; of run 9 no CPU time is known: it is taken to be busy.
    let rest_w = processors_w(0.0);
    let (alone_w, both_w, full_w) = (processors_w(0.25), processors_w(0.5), processors_w(1.0));
    // Rule S2: what they take at rest by cores, the rest by CPU time.
    let seven_j =
        2700.0 * (rest_w * 0.5 + (alone_w - rest_w)) + 900.0 * (rest_w * 0.5 + (both_w - rest_w) * 0.5);
    let eight_j = 900.0 * (rest_w * 0.25 + (both_w - rest_w) * 0.5);
    close(run(&rows, "7").joules("cpu_energy_kwh"), seven_j);
    close(run(&rows, "8").joules("cpu_energy_kwh"), eight_j);
    close(run(&rows, "9").joules("cpu_energy_kwh"), 1800.0 * full_w);
    // GPUs at 306 W while held, at 36 W else.
    close(run(&rows, "7").joules("gpu_energy_kwh"), 2.0 * 306.0 * 3600.0);
    close(run(&rows, "8").joules("gpu_energy_kwh"), 306.0 * 900.0);
    let memory_w = 128.0 * 1_073_741_824.0 * 0.3725e-9;
    close(run(&rows, "7").joules("dram_energy_kwh"), memory_w * 0.5 * 3600.0);
    assert_eq!(run(&rows, "7").text("method"), "modelled:joblog+modelled:constant");
    assert!(run(&rows, "7").text("share_method").contains("used:cpu-time"));

    let whole = summary(&out);
    let all_w = |key: &str| whole["energy_kwh_by_component"][key].as_f64().unwrap() * 3.6e6;
    let idle_cpu_j = 1800.0 * rest_w;
    close(all_w("cpu"), 2700.0 * alone_w + 900.0 * both_w + idle_cpu_j + 1800.0 * full_w);
    close(all_w("gpu"), 8100.0 * 306.0 + (4.0 * 7200.0 - 8100.0) * 36.0);
    close(all_w("dram"), memory_w * 7200.0);
    close(all_w("other"), 50.0 * 7200.0);
    for balance in ["B1", "B2", "B3"] {
        assert_eq!(whole["balances"][balance]["closes"], true);
    }
    assert!(whole["emissions_gco2e"].as_f64().unwrap() > 0.0);
    let notes = whole["notes"].to_string();
    assert!(
        notes.contains("modelled from the job log") && notes.contains("no CPU time of some runs"),
        "{notes}"
    );
}

#[test]
fn a_job_log_and_a_country_alone_give_a_report_that_says_what_it_took() {
    let out = report("bare", LOG, "", &[]);
    let whole = summary(&out);
    // 16 cores at most at once, 8.75 W each; the curve at 25, 50, 0 and 100 %.
    let scale = 16.0 * 8.75 / 200.0;
    let expected = scale
        * (2700.0 * processors_w(0.25)
            + 900.0 * processors_w(0.5)
            + 1800.0 * processors_w(0.0)
            + 1800.0 * processors_w(1.0));
    close(whole["energy_kwh_by_component"]["cpu"].as_f64().unwrap() * 3.6e6, expected);
    // Three GPUs at most at once, 260 W each.
    let held_s = 2.0 * 3600.0 + 900.0;
    let gpu_j = 260.0 * (1.02 * held_s + 0.12 * (3.0 * 7200.0 - held_s));
    close(whole["energy_kwh_by_component"]["gpu"].as_f64().unwrap() * 3.6e6, gpu_j);
    let notes = whole["notes"].to_string();
    for said in ["8.75 W a core", "260 W are taken", "installed memory not known"] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let [low, high] = ["energy_kwh_low", "energy_kwh_high"].map(|key| whole[key].as_f64().unwrap());
    let energy = whole["energy_kwh"].as_f64().unwrap();
    assert!(low < 0.3 * energy && high > 2.0 * energy, "{low} {energy} {high}");
}

#[test]
fn simulated_runs_lie_within_the_bounds_of_what_their_log_says() {
    let scenario = Scenario { nodes: 3, days: 0.8, ..Scenario::default() };
    let cluster = Cluster::new("joblog-simulated", &scenario);
    let site = cluster.directory.join("hardware.toml");
    let hardware = "[[hardware]]\ncpu_model = \"Intel(R) Xeon(R) Gold 6334 CPU @ 3.60GHz\"\nsockets = 2\ngpu_model = \"NVIDIA A100-SXM4-40GB\"\n";
    std::fs::write(&site, hardware).unwrap();
    let out = cluster.directory.join("by-log");
    let mut command = wattledger();
    command.args(["report", "--no-charts", "--jobs"]).arg(cluster.directory.join("sacct.txt"));
    command.arg("--config").arg(&site).arg("--out").arg(&out).assert().success();
    let truth = cluster.runs();
    let (mut within, mut all) = (0, 0);
    for row in table(&out.join("runs.csv")) {
        let Some(run) = truth.get(row.text("run_id")) else { continue };
        for component in ["cpu", "gpu"] {
            let of = |suffix: &str| row.joules(&format!("{component}_energy_kwh{suffix}"));
            let true_j = if component == "cpu" { run.used_j[component] } else { run.energy_j[component] };
            if of("") > 0.0 && true_j > 0.0 {
                within += usize::from(of("_low") <= true_j && true_j <= of("_high"));
                all += 1;
            }
        }
    }
    println!("{within} of {all} within");
    assert!(all > 50 && within as f64 > 0.85 * all as f64, "{within} of {all}");
}

/// The whole's energy of a component, in joules.
fn component_j(whole: &serde_json::Value, component: &str) -> f64 {
    whole["energy_kwh_by_component"][component].as_f64().unwrap() * 3.6e6
}

#[test]
fn runs_of_which_no_gpus_are_told_have_as_many_as_their_share_of_the_cores() {
    let directory = fresh("joblog-no-gpus");
    let log = "run_id,start,end,nodes,cpus\na,2026-11-16T00:00:00Z,2026-11-16T01:00:00Z,n1,8\n";
    std::fs::write(directory.join("runs.csv"), log).unwrap();
    std::fs::write(directory.join("site.toml"), SITE).unwrap();
    let out = directory.join("report");
    let mut command = wattledger();
    command.arg("report").arg("--jobs").arg(directory.join("runs.csv")).arg("--no-charts");
    command.arg("--config").arg(directory.join("site.toml")).arg("--out").arg(&out).assert().success();
    let whole = summary(&out);
    // Half of 16 cores: two of four GPUs.
    close(component_j(&whole, "gpu"), 3600.0 * 2.0 * (306.0 + 36.0));
    assert!(whole["notes"].to_string().contains("does not say which GPUs"));
}

#[test]
fn what_no_node_has_is_not_believed() {
    let odd = "1|x|y|COMPLETED|2026-11-16T00:00:00|2026-11-16T01:00:00|n1|1e300|cpu=1e300,gres/gpu=1e300|99999999-00:00:00\n";
    let out = report("odd", &format!("{LOG}{odd}"), "", &[]);
    let whole = summary(&out);
    let high = whole["energy_kwh_high"].as_f64().unwrap();
    assert!(high.is_finite() && high < 1000.0, "{high}");
    assert_eq!(whole["balances"]["closes"], true);
}

#[test]
fn what_the_log_covers_can_be_stated_beyond_its_records() {
    let flags = ["--jobs-from", "2026-11-15T22:00:00", "--jobs-to", "2026-11-16T02:00:00"];
    let out = report("stated-cover", LOG, SITE, &flags);
    let whole = summary(&out);
    assert_eq!(whole["window"]["start"], "2026-11-15T22:00:00Z");
    close(component_j(&whole, "other"), 50.0 * 4.0 * 3600.0);
}

#[test]
fn the_window_is_what_the_log_covers_or_a_part_of_it() {
    let out = report("part", LOG, SITE, &["--from", "2026-11-16T01:00:00Z", "--to", "2026-11-16T01:30:00Z"]);
    let whole = summary(&out);
    assert_eq!(whole["window"]["start"], "2026-11-16T01:00:00Z");
    // Half an hour at rest.
    close(whole["energy_kwh_by_component"]["cpu"].as_f64().unwrap() * 3.6e6, 1800.0 * processors_w(0.0));
    close(
        whole["energy_kwh_by_beneficiary"]["idle"].as_f64().unwrap(),
        whole["energy_kwh"].as_f64().unwrap(),
    );
}

#[test]
fn a_log_without_runs_and_no_series_is_refused_in_words() {
    let directory = fresh("joblog-empty");
    std::fs::write(directory.join("sacct.txt"), HEADER).unwrap();
    let mut command = wattledger();
    command.arg("report").arg("--jobs").arg(directory.join("sacct.txt")).args(["--zone", "DE", "--out"]);
    let output = command.arg(directory.join("out")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("no run in the job log"), "{error}");
    assert!(!directory.join("out").exists());
}
