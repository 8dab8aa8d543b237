//! `wattledger compare` on a case worked out by hand: one processor with a meter at 60 W and half busy, rated 100 W.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::fmt::Write as _;

#[path = "support/truth.rs"]
mod support;

use support::{convert, table, wattledger};

#[test]
fn one_run_by_every_method() {
    // 2026-06-01, an hour.
    const START_S: i64 = 1_780_272_000;
    let mut text = String::new();
    let mut add = |series: &str, at: &dyn Fn(f64) -> f64| {
        for second in (0..=3600).step_by(30) {
            writeln!(text, "{series} {} {}.000", at(f64::from(second)), START_S + i64::from(second)).unwrap();
        }
    };
    add("node_rapl_package_joules_total{instance=\"n1\",index=\"0\"}", &|s| 60.0 * s);
    for (mode, share) in [("user", 0.5), ("idle", 0.5)] {
        add(&format!("node_cpu_seconds_total{{cpu=\"0\",instance=\"n1\",mode=\"{mode}\"}}"), &|s| share * s);
    }
    add("node_memory_MemTotal_bytes{instance=\"n1\"}", &|_| 100e9);
    text.push_str("# EOF\n");
    let directory = support::fresh("compare");
    let path = |name: &str| directory.join(name);
    convert(&directory, &text);
    std::fs::write(path("wattledger.toml"), "[[hardware]]\ncpu_tdp_w = 100.0\n").unwrap();
    let jobs = "run_id,start,end,nodes\n=7,2026-06-01T00:00:00Z,2026-06-01T01:00:00Z,n1\n";
    std::fs::write(path("jobs.csv"), jobs).unwrap();
    wattledger()
        .arg("compare")
        .arg("--snapshot")
        .arg(path("blocks"))
        .arg("--jobs")
        .arg(path("jobs.csv"))
        .arg("--config")
        .arg(path("wattledger.toml"))
        .arg("--out")
        .arg(path("out"))
        .assert()
        .success();
    let rows = table(&path("out").join("compare.csv"));
    assert_eq!(rows.len(), 1);
    let watts = |method: &str| rows[0].number(&format!("{method}_energy_kwh")) * 1000.0;
    // Watts of the processor at half load, and of 100 GB of memory.
    for (method, cpu_w, memory_w) in [
        ("report", 60.0, 37.25),
        ("tdp_linear", 50.0, 37.25),
        // 7 modules: 4 × 5 + 3 × 4.5 W.
        ("codecarbon", 21.25, 33.5),
        ("teads", 75.0, 37.25),
        ("boavizta", 74.7795, 28.4),
        ("green_algorithms", 50.0, 37.25),
    ] {
        let found = watts(method);
        assert!((found - cpu_w - memory_w).abs() < 1e-3, "{method}: {found} W");
        if method != "report" {
            let difference = rows[0].number(&format!("{method}_difference"));
            assert!((difference - ((cpu_w + memory_w) / 97.25 - 1.0)).abs() < 1e-4, "{method}: {difference}");
        }
    }
    // 60 W ± 5 %; memory of 37.25 W is 5 W by one module of 128 GB and 54 W by twelve of 8 GB. Two methods: in quadrature.
    let bounds = ["low", "high"].map(|side| 1000.0 * rows[0].number(&format!("report_energy_kwh_{side}")));
    let expected = [97.25 - 3.0_f64.hypot(32.25), 97.25 + 3.0_f64.hypot(16.75)];
    assert!(
        bounds.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3),
        "{bounds:?}"
    );
    // No name and no table entry: nothing is made up.
    assert_eq!(rows[0].text("ccf_energy_kwh"), "");
    let methods = table(&path("out").join("compare_methods.csv"));
    assert_eq!(methods.len(), 8);
    assert!((methods[0].number("run_energy_kwh") - 0.09725).abs() < 1e-9);
    assert!(std::fs::metadata(path("out").join("compare.png")).unwrap().len() > 1000);
}

#[test]
fn without_jobs_there_are_methods_and_no_runs() {
    let directory = support::fresh("compare-without-jobs");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/slurm_prometheus/snapshot");
    wattledger()
        .args(["compare", "--snapshot", fixture, "--no-charts", "--out"])
        .arg(&directory)
        .assert()
        .success();
    assert!(table(&directory.join("compare.csv")).is_empty());
    assert_eq!(table(&directory.join("compare_methods.csv")).len(), 8);
}
