//! From the node to the building: a series of PUE (rule T3).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "support/truth.rs"]
mod support;

use support::{convert, table, wattledger};

/// Two hours of a processor at 100 W, from 2026-06-01.
fn blocks(directory: &Path) -> PathBuf {
    let mut text = String::new();
    for second in (0..=7200).step_by(30) {
        let series = "node_rapl_package_joules_total{instance=\"n1\",index=\"0\"}";
        writeln!(text, "{series} {} {}.000", 100 * second, 1_780_272_000 + second).unwrap();
    }
    text.push_str("# EOF\n");
    convert(directory, &text)
}

fn report(directory: &Path, blocks: &Path, series: &str, site: &str) -> std::process::Output {
    std::fs::write(directory.join("pue.csv"), series).unwrap();
    let config = directory.join("wattledger.toml");
    std::fs::write(&config, format!("[site]\npue_series = \"pue.csv\"\n{site}")).unwrap();
    wattledger()
        .args(["report", "--no-charts", "--snapshot"])
        .arg(blocks)
        .arg("--config")
        .arg(config)
        .arg("--out")
        .arg(directory.join("report"))
        .output()
        .unwrap()
}

#[test]
fn each_hour_has_its_own_pue() {
    let directory = support::fresh("facility");
    let blocks = blocks(&directory);
    let facility_wh = |series: &str, site: &str| {
        let output = report(&directory, &blocks, series, site);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = table(&directory.join("report/by_node.csv"));
        rows[0].number("facility_energy_kwh") * 1000.0
    };
    // An hour at 1.5, half an hour at 1.5 and half an hour at 1.1.
    let series = "timestamp,pue\n2026-05-01T00:00:00Z,1.5\n2026-06-01T01:30:00Z,1.1\n";
    let found = facility_wh(series, "");
    assert!((found - (150.0 + 75.0 + 55.0)).abs() < 1e-6, "{found}");
    // What holds before the series begins.
    let late = "timestamp,pue\n2026-06-01T01:00:00Z,1.1\n";
    let found = facility_wh(late, "pue = 1.3\n");
    assert!((found - (130.0 + 110.0)).abs() < 1e-6, "{found}");
    for (series, reason) in [
        (late, "it begins at 2026-06-01T01:00:00Z"),
        ("timestamp,pue\n", "no line"),
        ("", "no columns"),
        ("timestamp,pue\n2026-05-01,0.9\n", "line 2"),
        ("timestamp,pue\n2026-05-02,1.2\n2026-05-01,1.2\n", "line 3"),
        ("timestamp,pue\nyesterday,1.2\n", "line 2"),
    ] {
        let output = report(&directory, &blocks, series, "");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(reason), "{series}: {error}");
    }
}
