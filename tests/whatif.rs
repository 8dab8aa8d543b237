//! `wattledger whatif`: one processor at 100 W, then 300 W under a run, then 50 W without one, and factors for which everything
//! can be worked out by hand; and, in the library, books and factors at random against a plain search.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use wattledger::carbon::{Intensity, Matching, Tier, Zone};
use wattledger::jobs::Run;
use wattledger::ledger::{
    Beneficiary, Books, Entry, NodeBooks, Prices, Pue, Question, ShareMethod, Stays, WhatIf, what_if,
};
use wattledger::simulate::Scenario;
use wattledger::time::{HOUR_MS, MINUTE_MS, Window, format_instant};

#[path = "support/truth.rs"]
mod support;

use support::{Cluster, Row, convert, fresh, off_by, table, wattledger};

/// 2026-06-01.
const START_MS: i64 = 1_780_272_000_000;

/// Six hours of the processor, the run in the first two, and what the site knows. The log covers all of it.
struct Site(PathBuf);

impl Site {
    fn new(name: &str) -> Self {
        let directory = fresh(name);
        let mut text = String::new();
        let energy_j = |second: i64| {
            let (first, second, rest) =
                (second.min(3600), (second - 3600).clamp(0, 3600), (second - 7200).max(0));
            100 * first + 300 * second + 50 * rest
        };
        for second in (0..=6 * 3600).step_by(30) {
            let at = START_MS / 1000 + second;
            let joules = energy_j(second);
            writeln!(text, "node_rapl_package_joules_total{{instance=\"n1\",index=\"0\"}} {joules} {at}.000")
                .unwrap();
        }
        text.push_str("# EOF\n");
        convert(&directory, &text);
        let jobs = "run_id,start,end,nodes,user\n7,2026-06-01T00:00:00Z,2026-06-01T02:00:00Z,n1,ann\n";
        std::fs::write(directory.join("jobs.csv"), jobs).unwrap();
        Self(directory)
    }

    /// A file of hours from the start on; NaN is a gap.
    fn hours(&self, name: &str, head: &str, zone: &str, values: &[f64]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, series(head, zone, HOUR_MS, values)).unwrap();
        path
    }

    fn run(&self, options: &[&str]) -> assert_cmd::assert::Assert {
        let mut command = wattledger();
        command.current_dir(&self.0).arg("whatif").args(["--snapshot", "blocks", "--jobs", "jobs.csv"]);
        command.args(["--jobs-to", "2026-06-01T06:00:00Z", "--out", "out"]).args(options).assert()
    }

    fn table(&self, name: &str) -> Vec<Row> {
        table(&self.0.join("out").join(name))
    }
}

fn series(head: &str, zone: &str, step_ms: i64, values: &[f64]) -> String {
    let mut text = format!("{head}# zone: {zone}\ntimestamp,gco2e_per_kwh\n");
    for (step, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        writeln!(text, "{},{value}", format_instant(START_MS + step as i64 * step_ms)).unwrap();
    }
    text
}

/// As run 0.1 kWh at 400 and 0.3 kWh at 500: 190 g. Later by hours: 140, 90, 50, 25, 185, two that the gap forbids, and 4.
const OWN: [f64; 10] = [400.0, 500.0, 300.0, 200.0, 100.0, 50.0, 600.0, f64::NAN, 10.0, 10.0];

#[track_caller]
fn close(row: &Row, column: &str, expected: f64) {
    let found = row.number(column);
    assert!(off_by(found, expected) < 1e-9, "{column}: {found}, not {expected}");
}

#[test]
fn the_best_start_within_each_slack() {
    let site = Site::new("whatif-shift");
    site.hours("own.csv", "", "XX", &OWN);
    // Nine hours on the run would have to run at 11:00, of which nothing is known.
    for (shift, starts, best_h, grams) in [
        ("1h", 2, 1.0, 140.0),
        ("5h", 6, 4.0, 25.0),
        ("7h", 6, 4.0, 25.0),
        ("8h", 7, 8.0, 4.0),
        ("2d", 7, 8.0, 4.0),
    ] {
        site.run(&["--zone", "XX", "--intensity", "own.csv", "--shift", shift, "--no-charts"]).success();
        let rows = site.table("whatif_shift.csv");
        assert_eq!(rows.len(), 1, "{shift}");
        let row = &rows[0];
        assert_eq!((row.text("run_id"), row.text("user"), row.text("stays")), ("7", "ann", ""));
        assert_eq!((row.text("zone"), row.text("intensity_tier")), ("XX", "hourly"));
        assert_eq!(row.text("starts"), starts.to_string(), "{shift}");
        close(row, "facility_energy_kwh", 0.4);
        close(row, "emissions_gco2e", 190.0);
        close(row, "best_shift_h", best_h);
        close(row, "best_emissions_gco2e", grams);
        close(row, "saving_gco2e", 190.0 - grams);
        close(row, "saving", 1.0 - grams / 190.0);
        assert_eq!(row.text("best_place_zone"), "");
    }
    assert_eq!(site.table("whatif_shift.csv")[0].text("best_start"), "2026-06-01T08:00:00Z");
    assert!(!site.0.join("out/whatif_zones.csv").exists() && !site.0.join("out/whatif_shift.png").exists());
}

#[test]
fn the_same_energy_at_a_constant_factor_and_the_best_place() {
    let site = Site::new("whatif-zones");
    site.hours("own.csv", "", "XX", &OWN);
    site.hours("other.csv", "", "YY", &[80.0; 24]);
    let files = ["--zone", "XX", "--intensity", "own.csv", "--intensity", "other.csv", "--pue", "1.5"];
    let with = |more: &[&str]| {
        let options: Vec<&str> = files.iter().chain(more).copied().collect();
        site.run(&options).success()
    };
    let ended = with(&["--zones", "yy,YY", "--shift", "3h"]);
    let rows = site.table("whatif_zones.csv");
    assert_eq!(rows.len(), 2, "a zone named twice is one");
    let [as_run, other] = [&rows[0], &rows[1]];
    assert_eq!((as_run.text("case"), as_run.text("zone")), ("as-run", "XX"));
    assert_eq!((other.text("case"), other.text("zone")), ("elsewhere", "YY"));
    // Without a run 0.05 kWh each at 300, 200, 100 and 50.
    for (row, run, idle) in [(as_run, 190.0, 32.5), (other, 32.0, 16.0)] {
        close(row, "facility_energy_kwh", 0.9);
        close(row, "run_emissions_gco2e", 1.5 * run);
        close(row, "idle_emissions_gco2e", 1.5 * idle);
        close(row, "infrastructure_emissions_gco2e", 0.0);
        close(row, "unattributed_emissions_gco2e", 0.0);
        close(row, "emissions_gco2e", 1.5 * (run + idle));
        close(row, "intensity_gco2e_per_kwh", (run + idle) / 0.6);
        close(row, "hourly_share", 1.0);
        close(row, "world_share", 0.0);
        close(row, "unpriced_energy_kwh", 0.0);
    }
    close(as_run, "difference_gco2e", 0.0);
    close(other, "difference_gco2e", -1.5 * 174.5);
    close(other, "difference", -174.5 / 222.5);
    // In three hours 50 g at home, 32 g there at once; in five 25 g at home.
    let row = &site.table("whatif_shift.csv")[0];
    close(row, "best_emissions_gco2e", 75.0);
    assert_eq!(row.text("best_place_zone"), "YY");
    close(row, "best_place_shift_h", 0.0);
    close(row, "best_place_emissions_gco2e", 48.0);
    close(row, "best_place_saving_gco2e", 1.5 * 158.0);
    let said = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
    // 210 of 285 g of the run, of 333.75 g in all.
    for words in ["-78.4 %", "73.7 % of the runs' emissions and 62.9 % of all", "by real hours (hourly)"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    for name in ["whatif_zones.png", "whatif_shift.png"] {
        assert!(std::fs::metadata(site.0.join("out").join(name)).unwrap().len() > 1000, "{name}");
    }
    with(&["--zones", "YY", "--shift", "5h"]);
    let row = &site.table("whatif_shift.csv")[0];
    assert_eq!((row.text("best_place_zone"), row.number("best_place_shift_h")), ("XX", 4.0));
    close(row, "best_place_emissions_gco2e", 37.5);
}

#[test]
fn what_cannot_be_compared_is_said_and_not_priced() {
    let site = Site::new("whatif-not");
    site.hours("own.csv", "# basis: direct\n", "XX", &[100.0; 6]);
    site.hours("life.csv", "# basis: life-cycle\n", "XX", &[100.0; 6]);
    // Of the other basis nothing is known of any zone.
    let ended = site
        .run(&["--zone", "XX", "--intensity", "own.csv", "--zones", "DE", "--shift", "24h", "--no-charts"])
        .success();
    let rows = site.table("whatif_zones.csv");
    close(&rows[0], "emissions_gco2e", 60.0);
    close(&rows[1], "unpriced_energy_kwh", 0.6);
    for column in [
        "emissions_gco2e",
        "run_emissions_gco2e",
        "intensity_gco2e_per_kwh",
        "difference_gco2e",
        "difference",
    ] {
        assert_eq!(rows[1].text(column), "", "{column}");
    }
    let said = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
    assert!(said.contains("DE      not priced: no factor of this basis is known"), "{said}");
    // Four later starts lie within what is known, and are no better.
    let row = &site.table("whatif_shift.csv")[0];
    assert_eq!((row.text("starts"), row.number("best_shift_h"), row.number("saving_gco2e")), ("5", 0.0, 0.0));

    // A year's figure has no hours.
    site.run(&["--zone", "CN", "--shift", "24h", "--no-charts"]).success();
    let row = &site.table("whatif_shift.csv")[0];
    assert_eq!((row.text("stays"), row.text("intensity_tier")), ("factors without hours", "annual"));
    assert_eq!((row.text("best_shift_h"), row.text("saving_gco2e")), ("", ""));
    // A shape has, of a mean day.
    let ended = site.run(&["--zone", "DE", "--shift", "24h"]).success();
    let row = &site.table("whatif_shift.csv")[0];
    assert_eq!(
        (row.text("stays"), row.text("intensity_tier"), row.text("starts")),
        ("", "annual-profile", "25")
    );
    let said = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
    assert!(said.contains("by the hours of a mean day, not by real ones (annual-profile)"), "{said}");
    // A run that the report sees in part stays where it is.
    site.run(&["--zone", "DE", "--shift", "24h", "--from", "2026-06-01T01:00:00Z", "--no-charts"]).success();
    assert_eq!(site.table("whatif_shift.csv")[0].text("stays"), "cut by the window");
    // No zone, no price.
    site.run(&["--shift", "24h"]).success();
    let row = &site.table("whatif_shift.csv")[0];
    assert_eq!((row.text("stays"), row.text("emissions_gco2e")), ("unpriced", ""));

    for (options, code, words) in [
        (
            &["--zone", "XX", "--intensity", "own.csv", "--intensity", "life.csv", "--shift", "1h"][..],
            1,
            "do not add up",
        ),
        (&["--zone", "DE", "--zones", "FR,Polnd"], 2, "did you mean `PL` (Poland)?"),
        (&["--zone", "DE", "--zones", ","], 2, "no zone is named"),
        (&["--zone", "DE", "--shift", "30m"], 2, "shorter than a step of the factors, 60 min"),
        (&["--zone", "DE", "--shift", "400d"], 2, "longer than a year"),
        (&["--zone", "DE", "--shift", "0h"], 2, "is not a length of time"),
        (&["--zone", "DE"], 2, "--zones"),
    ] {
        let ended = site.run(options).code(code);
        let said = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
        assert!(said.contains(words), "{options:?}: {said}");
    }
}

#[test]
fn as_run_is_what_the_report_says() {
    let cluster = Cluster::new("whatif-report", &Scenario { nodes: 2, days: 1.0, ..Scenario::default() });
    let report = cluster.report("report", &["--zone", "DE", "--pue", "1.2"]);
    let out = cluster.directory.join("whatif");
    let mut command = wattledger();
    command.arg("whatif").arg("--snapshot").arg(cluster.directory.join("snapshot"));
    command.arg("--jobs").arg(cluster.directory.join("sacct.txt"));
    command.arg("--config").arg(cluster.directory.join("wattledger.toml"));
    command.args([
        "--zone",
        "DE",
        "--pue",
        "1.2",
        "--zones",
        "DE,FR",
        "--shift",
        "12h",
        "--no-charts",
        "--out",
    ]);
    command.arg(&out).assert().success();
    let key = |row: &Row| (row.text("run_id").to_owned(), row.text("restart").to_owned());
    let reported: BTreeMap<_, f64> = table(&report.join("runs.csv"))
        .iter()
        .filter(|row| !row.text("emissions_gco2e").is_empty())
        .map(|row| (key(row), row.number("emissions_gco2e")))
        .collect();
    let moved = table(&out.join("whatif_shift.csv"));
    assert!(moved.len() > 20 && moved.len() == reported.len());
    for row in &moved {
        assert!(off_by(row.number("emissions_gco2e"), reported[&key(row)]) < 1e-9);
        if row.text("stays").is_empty() {
            assert!(row.number("best_emissions_gco2e") <= row.number("emissions_gco2e"));
            assert!(row.number("best_shift_h") <= 12.0);
        }
    }
    let mut by_kind: BTreeMap<String, f64> = BTreeMap::new();
    for row in table(&report.join("hourly.csv")) {
        *by_kind.entry(row.text("beneficiary").to_owned()).or_default() += row.number("emissions_gco2e");
    }
    let rows = table(&out.join("whatif_zones.csv"));
    for (kind, grams) in by_kind {
        // The own zone elsewhere is the same again.
        for row in &rows[..2] {
            assert!(off_by(row.number(&format!("{kind}_emissions_gco2e")), grams) < 1e-9, "{kind}");
        }
    }
    close(&rows[1], "difference_gco2e", 0.0);
}

#[test]
fn half_hours_are_steps_and_a_run_of_two_tiers_stays() {
    let runs = [run(0, 2), run(0, 3)];
    // Kilowatt-hours in the first three half-hours, of one run and of the other.
    let books = books(MINUTE_MS * 30, 3, &[(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.0), (1, 2, 1.0)]);
    let mut values = [100.0, 100.0, 30.0, 50.0, 10.0, 100.0];
    let (_kept, intensity) = intensity(30 * MINUTE_MS, &values);
    let found = ask(&books, &runs, &intensity, 2 * HOUR_MS);
    // 100 + 200 as it was; later 100 + 60, 30 + 100, 50 + 20, 10 + 200; a fifth half-hour is beyond what is known.
    let best = found.runs[0].later.clone().unwrap();
    assert_eq!((best.later_ms, best.starts), (90 * MINUTE_MS, 5));
    assert!((best.emissions_gco2e - 70.0).abs() < 1e-9);
    assert!((found.runs[0].emissions_gco2e.unwrap() - 300.0).abs() < 1e-9);

    values[2] = f64::NAN;
    let (_kept, intensity) = self::intensity(30 * MINUTE_MS, &values);
    let found = ask(&books, &runs, &intensity, HOUR_MS);
    let two = &found.runs[1];
    assert_eq!((two.stays, &two.later), (Some(Stays::SeveralTiers), &None));
    assert_eq!(two.tiers, [Tier::Hourly, Tier::World]);
    assert_eq!(found.stays(), BTreeMap::from([(Stays::SeveralTiers, 1)]));
}

#[test]
fn a_run_has_its_own_zone_and_one_that_stays_may_still_be_elsewhere() {
    // The second goes on after the window, the third is in a zone of its own.
    let own_zone = Run { zone: Some("YY".to_owned()), ..run(0, 2) };
    let runs = [run(0, 2), run(0, 6), own_zone];
    let books = books(HOUR_MS, 2, &[(0, 0, 1.0), (1, 0, 1.0), (1, 1, 1.0), (2, 0, 1.0)]);
    let directory = tempfile::tempdir().unwrap();
    let files =
        [("XX", [500.0, 400.0, 300.0]), ("YY", [350.0, 350.0, 200.0]), ("ZZ", [450.0, 600.0, f64::NAN])];
    let paths = files.map(|(zone, values)| {
        let path = directory.path().join(format!("{zone}.csv"));
        std::fs::write(&path, series("", zone, HOUR_MS, &values)).unwrap();
        path
    });
    let intensity = Intensity::with_files(&paths, None, None).unwrap();
    let found = ask_in(&["YY", "ZZ"], &books, &runs, &intensity, 2 * HOUR_MS);
    let zone = |best: &wattledger::ledger::Best| best.zone.as_ref().map(|zone| zone.as_str().to_owned());
    let anywhere = |run: usize| {
        let best = found.runs[run].anywhere.as_ref().unwrap();
        (zone(best), best.later_ms / HOUR_MS, best.emissions_gco2e, best.starts)
    };
    // Three starts each in XX and YY, two in ZZ, of which the last hour is not known.
    assert_eq!(anywhere(0), (Some("YY".to_owned()), 2, 200.0, 8));
    assert_eq!(found.runs[0].later.as_ref().unwrap().emissions_gco2e, 300.0);
    // Not moved in time: 900 at home, 700 in YY, 1050 in ZZ.
    assert_eq!((found.runs[1].stays, &found.runs[1].later), (Some(Stays::Cut), &None));
    assert_eq!(anywhere(1), (Some("YY".to_owned()), 0, 700.0, 3));
    // At home is as good as there.
    assert_eq!(anywhere(2), (None, 2, 200.0, 8));
    let names: Vec<&str> = found.as_run.zones.iter().map(Zone::as_str).collect();
    assert_eq!(names, ["XX", "YY"]);
    assert_eq!(found.as_run.total_gco2e(), Some(500.0 + 900.0 + 350.0));
    assert_eq!(found.elsewhere[1].total_gco2e(), Some(450.0 + 1050.0 + 450.0));
    assert_eq!(found.later_gco2e(), BTreeMap::from([(Tier::Hourly, 200.0 + 150.0)]));
    assert_eq!(found.anywhere_gco2e(), BTreeMap::from([(Tier::Hourly, 300.0 + 200.0 + 150.0)]));
}

/// A run that starts so many hours after the start and lasts so many half-hours.
fn run(from: i64, half_hours: i64) -> Run {
    let start_ms = START_MS + from * HOUR_MS;
    Run { start_ms, end_ms: Some(start_ms + half_hours * 30 * MINUTE_MS), ..Run::default() }
}

/// Books of one node with rows of (run, bucket, kWh).
fn books(step_ms: i64, buckets: usize, rows: &[(usize, usize, f64)]) -> Books {
    let entry = |(run, bucket, kwh): &(usize, usize, f64)| Entry {
        bucket: *bucket,
        device: 0,
        beneficiary: Beneficiary::Run(*run),
        energy_j: kwh * 3.6e6,
        edge_error_j: 0.0,
        covered_s: 0.0,
        interpolated_s: 0.0,
        expected_s: 0.0,
        unseen_s: 0.0,
        unbound_j: 0.0,
        share_method: ShareMethod::Bound,
    };
    let at = |bucket: usize| START_MS + bucket as i64 * step_ms;
    Books {
        buckets: (0..buckets).map(|bucket| Window::new(at(bucket), at(bucket + 1))).collect(),
        nodes: vec![NodeBooks { entries: rows.iter().map(entry).collect(), ..NodeBooks::default() }],
        ..Books::default()
    }
}

/// Factors of `XX`, and the directory that holds them.
fn intensity(step_ms: i64, values: &[f64]) -> (tempfile::TempDir, Intensity) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.csv");
    std::fs::write(&path, series("", "XX", step_ms, values)).unwrap();
    let intensity = Intensity::with_files(&[path], None, None).unwrap();
    (directory, intensity)
}

fn ask(books: &Books, runs: &[Run], intensity: &Intensity, slack_ms: i64) -> WhatIf {
    ask_in(&[], books, runs, intensity, slack_ms)
}

fn ask_in(zones: &[&str], books: &Books, runs: &[Run], intensity: &Intensity, slack_ms: i64) -> WhatIf {
    let zone = Zone::from_id("XX");
    let zones = zones.iter().map(|zone| Zone::from_id(zone)).collect();
    let prices = Prices {
        intensity,
        zone: Some(&zone),
        pue: &Pue::Constant(1.0),
        upstream: None,
        contracts: None,
        matching: Matching::Annual,
    };
    what_if(books, runs, prices, &Question { zones, slack_ms: Some(slack_ms) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_best_start_is_worse_than_the_run_and_none_is_missed(
        energies in prop::collection::vec(0.0_f64..10.0, 1..6),
        factors in prop::collection::vec(prop::option::weighted(0.9, 1.0_f64..900.0), 6..30),
        slack in 0_i64..26,
    ) {
        let rows: Vec<(usize, usize, f64)> =
            energies.iter().enumerate().map(|(bucket, kwh)| (0, bucket, *kwh)).collect();
        let books = books(HOUR_MS, energies.len(), &rows);
        let runs = [run(0, 2 * energies.len() as i64)];
        let values: Vec<f64> = factors.iter().map(|factor| factor.unwrap_or(f64::NAN)).collect();
        prop_assume!(values.iter().filter(|value| !value.is_nan()).count() > 2);
        let (_kept, intensity) = intensity(HOUR_MS, &values);
        let found = ask(&books, &runs, &intensity, slack * HOUR_MS);
        let moved = &found.runs[0];
        // Plainly: every start whose hours are all in the file.
        let at = |later: usize| -> Option<f64> {
            let hours = energies.iter().enumerate();
            hours.map(|(hour, kwh)| factors.get(hour + later).copied().flatten().map(|grams| kwh * grams)).sum()
        };
        if let Some(as_run) = at(0) {
            let all: Vec<f64> = (0..=slack as usize).filter_map(at).collect();
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let best = moved.later.clone().unwrap();
            prop_assert_eq!(best.starts, all.len());
            prop_assert!((best.emissions_gco2e - least).abs() <= 1e-9 * least.max(1.0));
            prop_assert!((moved.emissions_gco2e.unwrap() - as_run).abs() <= 1e-9 * as_run.max(1.0));
            prop_assert!(best.emissions_gco2e <= moved.emissions_gco2e.unwrap());
            let still = ask(&books, &runs, &intensity, 0).runs[0].later.clone().unwrap();
            prop_assert_eq!(still.later_ms, 0);
            prop_assert_eq!(still.emissions_gco2e.to_bits(), moved.emissions_gco2e.unwrap().to_bits());
        } else {
            let in_file = energies.iter().enumerate().any(|(hour, _)| factors.get(hour).copied().flatten().is_some());
            let stays = if in_file { Stays::SeveralTiers } else { Stays::Flat };
            prop_assert_eq!(moved.stays, Some(stays));
            prop_assert_eq!(&moved.later, &None);
        }
        prop_assert!(found.later_gco2e().values().all(|grams| *grams >= 0.0));
        let total: f64 = found.as_run.total_gco2e().unwrap();
        prop_assert!((total - moved.emissions_gco2e.unwrap()).abs() <= 1e-9 * total.max(1.0));
    }
}
