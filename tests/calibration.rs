//! `wattledger calibrate`: curves fitted to metered machines, applied to siblings whose meter is taken away, against what that
//! meter saw; and to measured processors, fitted to half of the points and tested on the other half.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking and prints what it measured; helpers are shared"
)]

use std::collections::BTreeMap;
use std::path::Path;

use wattledger::power::calibration::Calibration;
use wattledger::simulate::Scenario;

#[path = "support/truth.rs"]
mod support;

use support::{Cluster, calibrate, table, take_away, wattledger};

/// The meters of processors and GPUs that are taken away from gpu001.
const METERS: [(&str, &str); 3] = [
    ("node_rapl_package_joules_total", "cpu"),
    ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "gpu"),
    ("DCGM_FI_DEV_POWER_USAGE", "gpu"),
];

/// Energy in joules of the processors and of the GPUs of runs on gpu001 alone, that were seen in full, by run.
fn energy(report: &Path) -> BTreeMap<String, [f64; 2]> {
    table(&report.join("runs.csv"))
        .iter()
        .filter(|row| row.text("nodes") == "gpu001" && row.number("coverage") > 0.999)
        .map(|row| {
            let joules = ["cpu_energy_kwh", "gpu_energy_kwh"].map(|column| row.joules(column));
            (row.text("run_id").to_owned(), joules)
        })
        .collect()
}

/// Energies of all runs that are in both.
fn sums(of: &BTreeMap<String, [f64; 2]>, and: &BTreeMap<String, [f64; 2]>) -> [f64; 2] {
    let shared: Vec<&[f64; 2]> =
        of.iter().filter(|(run, _)| and.contains_key(*run)).map(|(_, joules)| joules).collect();
    assert!(shared.len() > 5, "{} runs", shared.len());
    [0, 1].map(|at| shared.iter().map(|joules| joules[at]).sum())
}

#[test]
fn a_node_without_meters_is_modelled_by_its_siblings() {
    let scenario = Scenario { nodes: 3, gpus: 2, cpus: 16, days: 1.0, runs: Some(60), ..Scenario::default() };
    let cluster = Cluster::new("calibration", &scenario);
    let measured = energy(&cluster.report("measured", &[]));
    let curves = calibrate(&cluster, &take_away(&cluster, "gpu001.*", &METERS));
    // The simulator's machines: processors of 165 W that take 22 to 30 % of it at rest, GPUs from 54 to 400 W and
    // from 34 to 350 W, all on straight lines.
    for row in Calibration::read(&curves).unwrap().calibrated {
        println!("{row:?}");
        if row.component == "dram" {
            // 0.16 to 0.22 W for each CPU and socket at rest, with 8 GiB for each CPU, up to four times that in full use.
            assert!((0.037..=0.206).contains(&row.idle_w), "{row:?}");
            continue;
        }
        let (idle_w, full_w) = match row.model.as_str() {
            "Intel(R) Xeon(R) Gold 6334 CPU @ 3.60GHz" => (36.3..=49.5, 165.0),
            "NVIDIA A100-SXM4-40GB" => (53.5..=54.5, 400.0),
            "NVIDIA L40S" => (33.5..=34.5, 350.0),
            other => panic!("{other}"),
        };
        assert!(idle_w.contains(&row.idle_w), "{row:?}");
        let found_w = row.curve().power(1.0).value();
        assert!((found_w / full_w - 1.0).abs() < 0.01, "{row:?}: {found_w} W");
    }
    let by_table = energy(&cluster.report("by-table", &[]));
    let report = cluster.report("calibrated", &["--calibration", curves.to_str().unwrap()]);
    let calibrated = energy(&report);
    // What the processor takes at rest differs by a third from node to node: siblings cannot tell it better.
    for (component, at, most) in [("cpu", 0, 0.15), ("gpu", 1, 0.02)] {
        let off = |found: &BTreeMap<String, [f64; 2]>| {
            sums(found, &measured)[at] / sums(&measured, found)[at] - 1.0
        };
        let (table_off, calibrated_off) = (off(&by_table), off(&calibrated));
        println!("{component}: by table {table_off:+.3}, calibrated {calibrated_off:+.3}");
        assert!(calibrated_off.abs() < most, "{component}: {calibrated_off}");
        assert!(component == "cpu" || calibrated_off.abs() < 0.5 * table_off.abs());
    }
    let methods: Vec<String> = table(&report.join("runs.csv"))
        .iter()
        .map(|row| row.text("method").to_owned())
        .filter(|method| method.contains("modelled:calibrated"))
        .collect();
    assert!(!methods.is_empty());
}

#[test]
fn what_is_no_calibration_is_refused_by_name() {
    let directory = support::fresh("no-calibration");
    let file = directory.join("calibration.toml");
    for (text, reason) in [
        ("[[calibrated]]\nmodel = 3\n", "not a calibration"),
        (
            "[[calibrated]]\ncomponent = \"fan\"\nmodel = \"x\"\nidle_w = 1.0\nslope_w = 1.0\npoints = 1\nmachines = 1\nerror_percent = 1.0\n",
            "not `cpu`, `dram` or `gpu`",
        ),
        (
            "[[calibrated]]\ncomponent = \"cpu\"\nmodel = \"x\"\nidle_w = nan\nslope_w = 1.0\npoints = 1\nmachines = 1\nerror_percent = 1.0\n",
            "cannot be",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/slurm_prometheus/snapshot");
        let output = wattledger()
            .args(["report", "--snapshot", fixture, "--calibration"])
            .arg(&file)
            .arg("--out")
            .arg(directory.join("report"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(reason), "{error}");
    }
}
