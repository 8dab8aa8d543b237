//! The statement: emissions by an independent computation over the same hours, Scope 2 by location and by market, upstream,
//! embodied emissions, SCI, from the program's own outputs on a simulated cluster.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wattledger::carbon::{Intensity, Matching, Zone};
use wattledger::jobs;
use wattledger::ledger::{Jobs, Prices, Pue, entries_frame};
use wattledger::report::{Provenance, Report, Subject};
use wattledger::simulate::Scenario;
use wattledger::time::{HOUR_MS, Window, format_instant, parse_instant};

#[path = "support/truth.rs"]
mod support;

use support::{Cluster, Row, table};

/// A day and a half of three nodes, so that runs cross hours.
fn cluster(name: &str) -> Cluster {
    Cluster::new(name, &Scenario { nodes: 3, days: 1.5, runs: Some(60), seed: 11, ..Scenario::default() })
}

/// Hours of a grid that swings: whole numbers, so that every product is exact enough to compare.
fn grid(window: Window) -> BTreeMap<i64, (f64, f64)> {
    let first = window.start_ms.div_euclid(HOUR_MS);
    let last = window.end_ms.div_euclid(HOUR_MS);
    (first..=last)
        .map(|hour| {
            let direct = 50 + (hour * 7919).rem_euclid(400);
            (hour * HOUR_MS, (direct as f64, (direct + 30 + hour.rem_euclid(5)) as f64))
        })
        .collect()
}

/// The same as a download from Electricity Maps' portal.
fn portal(directory: &Path, grid: &BTreeMap<i64, (f64, f64)>) -> PathBuf {
    let mut text = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),\
                    Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,Data Estimation Method\n"
        .to_owned();
    for (at_ms, (direct, life_cycle)) in grid {
        let stamp = format_instant(*at_ms).replace('T', " ").replace('Z', "");
        writeln!(text, "{stamp},Germany,Germany,DE,{direct},{life_cycle},0,0,x,false,").unwrap();
    }
    let path = directory.join("DE_hourly.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn near(one: f64, other: f64, what: &str) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-9), "{what}: {one} and {other}");
}

fn number(row: &Row, column: &str) -> Option<f64> {
    row.text(column).parse().ok()
}

fn sum(report: &Path, file: &str, column: &str) -> f64 {
    table(&report.join(file)).iter().filter_map(|row| number(row, column)).sum()
}

fn line<'t>(statement: &'t [Row], item: &str) -> &'t Row {
    statement.iter().find(|row| row.text("item") == item).unwrap_or_else(|| panic!("no line {item}"))
}

/// Σ energy × intensity of each run, hour by hour, from the ledger's rows and the numbers that the file was made of.
#[test]
fn emissions_of_every_run_are_energy_times_intensity_hour_by_hour() {
    let cluster = cluster("statement_runs");
    let grid = grid(cluster.window);
    let file = portal(&cluster.directory, &grid);
    let books = cluster.books();
    let intensity = Intensity::with_files(&[file], None, Some("direct".parse().unwrap())).unwrap();
    let log = jobs::read(&cluster.directory.join("sacct.txt"), &jobs::Options::default()).unwrap();
    let zone = Zone::from_id("DE");
    let pue = Pue::Constant(1.25);
    let prices = Prices {
        intensity: &intensity,
        zone: Some(&zone),
        pue: &pue,
        upstream: None,
        contracts: None,
        matching: Matching::Annual,
    };
    let jobs = Jobs::of(Some(&log));
    let provenance = Provenance::default();
    let subject = Subject {
        books: &books,
        runs: jobs.runs,
        basis: intensity.basis(),
        contracts: None,
        matching: Matching::Annual,
        purchases: None,
        price: None,
        time_zone: chrono_tz::Tz::UTC,
        provenance: &provenance,
    };
    let entries = &entries_frame(&books, jobs.runs, prices).unwrap();
    let report = Report::new(subject, entries).unwrap();
    let (runs, starts) = (entries.column("run").unwrap(), entries.column("bucket_start_ms").unwrap());
    let energy = entries.column("energy_j").unwrap();
    let mut by_run: BTreeMap<u32, f64> = BTreeMap::new();
    for row in 0..entries.height() {
        let Some(run) = runs.u32().unwrap().get(row) else { continue };
        let hour = starts.i64().unwrap().get(row).unwrap().div_euclid(HOUR_MS) * HOUR_MS;
        let kwh = energy.f64().unwrap().get(row).unwrap() / 3.6e6;
        *by_run.entry(run).or_default() += kwh * 1.25 * grid[&hour].0;
    }
    let table = &report.runs;
    let ids = table.column("run_id").unwrap();
    let found = table.column("emissions_gco2e").unwrap();
    let by_id: BTreeMap<&str, f64> =
        by_run.iter().map(|(run, grams)| (jobs.runs[*run as usize].run_id.as_str(), *grams)).collect();
    let mut compared = 0;
    for row in 0..table.height() {
        let id = ids.str().unwrap().get(row).unwrap();
        let Some(grams) = found.f64().unwrap().get(row) else { continue };
        near(grams, by_id[id], id);
        compared += 1;
    }
    assert!(compared >= 40, "{compared} runs");
}

#[test]
fn scope_2_by_location_and_by_market_side_by_side() {
    let cluster = cluster("statement_scopes");
    let grid = grid(cluster.window);
    let file = portal(&cluster.directory, &grid);
    let (start, end) = (format_instant(cluster.window.start_ms), format_instant(cluster.window.end_ms));
    let contracts = cluster.directory.join("contracts.csv");
    // 3 kWh of wind over the window, a certificate of 1 kWh of which half lies before it, and the rest at the mix.
    let before = format_instant(cluster.window.start_ms - cluster.window.length_ms());
    let text = format!(
        "kind,name,zone,start,end,energy_kwh,gco2e_per_kwh\ncontract,wind,DE,{start},{end},3,0\ncertificate,GO,,{before},{end},1,10\n\
         residual-mix,mix,DE,{start},{end},,600\n"
    );
    std::fs::write(&contracts, text).unwrap();
    std::fs::write(
        cluster.directory.join("purchases.csv"),
        format!("date,what,embodied_kgco2e\n2000-01-01,old,9999\n{start},server,1278\n"),
    )
    .unwrap();
    let mut config = std::fs::read_to_string(cluster.directory.join("wattledger.toml")).unwrap();
    config = config.replace("[site]", "[site]\npurchases = \"purchases.csv\"");
    assert!(config.contains("purchases.csv"), "{config}");
    std::fs::write(cluster.directory.join("wattledger.toml"), config).unwrap();
    let file = file.to_str().unwrap();
    let contracts = contracts.to_str().unwrap();
    let options = ["--zone", "DE", "--pue", "1.2", "--basis", "direct", "--intensity", file];
    let report = |name: &str, more: &[&str]| cluster.report(name, &[&options[..], more].concat());

    let annual = report("annual", &["--contracts", contracts]);
    let statement = table(&annual.join("statement.csv"));
    let facility = sum(&annual, "by_node.csv", "facility_energy_kwh");
    assert!(facility > 10.0, "{facility}");
    let by_hour: f64 = table(&annual.join("hourly.csv"))
        .iter()
        .map(|row| {
            let hour =
                parse_instant(row.text("bucket_start"), chrono_tz::Tz::UTC).unwrap().div_euclid(HOUR_MS)
                    * HOUR_MS;
            number(row, "facility_energy_j").unwrap() / 3.6e6 * grid[&hour].0
        })
        .sum();
    let location = line(&statement, "location-based");
    near(number(location, "emissions_gco2e").unwrap(), by_hour, "location");
    assert_eq!(location.text("scope"), "2");
    // 3 kWh at 0, half of 1 kWh at 10 g, all else at 600.
    let market = 0.5 * 10.0 + (facility - 3.5) * 600.0;
    near(number(line(&statement, "market-based"), "emissions_gco2e").unwrap(), market, "market");
    near(number(line(&statement, "contract"), "facility_energy_kwh").unwrap(), 3.0, "wind");
    near(number(line(&statement, "certificate"), "volume_kwh").unwrap(), 0.5, "certificate");
    near(number(line(&statement, "residual-mix"), "facility_energy_kwh").unwrap(), facility - 3.5, "mix");
    assert!(statement.iter().all(|row| row.text("item") != "location-factor"));
    // Life-cycle less direct is 30 to 34 g, by hour.
    let upstream: f64 = table(&annual.join("hourly.csv"))
        .iter()
        .map(|row| {
            let hour =
                parse_instant(row.text("bucket_start"), chrono_tz::Tz::UTC).unwrap().div_euclid(HOUR_MS)
                    * HOUR_MS;
            number(row, "facility_energy_j").unwrap() / 3.6e6 * (grid[&hour].1 - grid[&hour].0)
        })
        .sum();
    let row = line(&statement, "upstream");
    near(number(row, "emissions_gco2e").unwrap(), upstream, "upstream");
    assert_eq!(row.text("scope"), "3.3");
    let purchases = line(&statement, "purchases");
    assert_eq!((purchases.text("scope"), number(purchases, "emissions_gco2e")), ("3.2", Some(1_278_000.0)));
    // Every table adds up to the same.
    for file in ["by_user.csv", "by_account.csv", "by_stage.csv", "by_node.csv", "hourly.csv"] {
        near(sum(&annual, file, "emissions_market_gco2e"), market, file);
        near(sum(&annual, file, "upstream_gco2e"), upstream, file);
    }

    // Hour by hour no more is matched than in the year, and never more than was used in the hour.
    let hourly = report("hourly", &["--contracts", contracts, "--matching", "hourly"]);
    let statement = table(&hourly.join("statement.csv"));
    let matched = number(line(&statement, "contract"), "facility_energy_kwh").unwrap();
    // 3 kWh over the window: so much of them in each hour, and no more than was used in it.
    let mut used: BTreeMap<i64, f64> = BTreeMap::new();
    for row in table(&hourly.join("hourly.csv")) {
        let at_ms = parse_instant(row.text("bucket_start"), chrono_tz::Tz::UTC).unwrap();
        *used.entry(at_ms).or_default() += number(&row, "facility_energy_j").unwrap() / 3.6e6;
    }
    let window = cluster.window;
    let expected: f64 = used
        .iter()
        .map(|(at_ms, kwh)| {
            let end_ms = (at_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS;
            let part = (end_ms.min(window.end_ms) - at_ms) as f64 / window.length_ms() as f64;
            kwh.min(3.0 * part)
        })
        .sum();
    near(matched, expected, "hour by hour");

    // Without contracts the market-based figure is the location-based one, and the report says why.
    let none = report("none", &[]);
    let statement = table(&none.join("statement.csv"));
    let market = number(line(&statement, "market-based"), "emissions_gco2e").unwrap();
    near(market, by_hour, "no contracts");
    near(number(line(&statement, "location-factor"), "facility_energy_kwh").unwrap(), facility, "all of it");
    let summary = std::fs::read_to_string(none.join("summary.json")).unwrap();
    assert!(summary.contains("no contracts stated"), "{summary}");

    // Life-cycle factors claim no scope, whatever contracts there are.
    let life_cycle =
        cluster.report("life_cycle", &["--zone", "DE", "--intensity", file, "--contracts", contracts]);
    let statement = table(&life_cycle.join("statement.csv"));
    assert!(statement.iter().all(|row| !row.text("scope").starts_with('2')));
    assert_eq!(line(&statement, "electricity").text("scope"), "");
    let summary = std::fs::read_to_string(life_cycle.join("summary.json")).unwrap();
    assert!(summary.contains("contracts are left aside"), "{summary}");
    assert!(sum(&life_cycle, "by_node.csv", "emissions_market_gco2e") == 0.0);
}

#[test]
fn embodied_emissions_are_given_out_whole_and_scores_follow() {
    let cluster = cluster("statement_embodied");
    let report = cluster.report("report", &["--zone", "DE"]);
    let devices = table(&report.join("embodied.csv"));
    let all: f64 = devices.iter().filter_map(|row| number(row, "embodied_amortised_gco2e")).sum();
    for row in &devices {
        // kg × 1000 × seconds ÷ (years × 8760 × 3600), and what each has of it adds up.
        let figure = |name: &str| number(row, name).unwrap();
        let expected = figure("embodied_kgco2e") * 1000.0 * figure("in_service_s")
            / (figure("lifetime_years") * 8760.0 * 3600.0);
        near(figure("embodied_amortised_gco2e"), expected, row.text("device"));
        let given: f64 = ["run", "idle", "infrastructure", "unattributed"]
            .iter()
            .map(|kind| figure(&format!("{kind}_embodied_amortised_gco2e")))
            .sum();
        near(given, expected, row.text("device"));
        if row.text("model").contains("H100") {
            assert_eq!((figure("embodied_kgco2e"), row.text("of_model")), (164.0, "true"));
        }
    }
    // A server and its GPUs for each node.
    let servers = devices.iter().filter(|row| row.text("device") == "server").count();
    let gpus = devices.len() - servers;
    let nodes = table(&report.join("by_node.csv"));
    let seen: f64 = nodes.iter().filter_map(|row| number(row, "gpus")).sum();
    assert_eq!((servers, gpus as f64), (nodes.len(), seen));
    for file in ["by_user.csv", "by_account.csv", "by_stage.csv", "by_node.csv"] {
        near(sum(&report, file, "embodied_amortised_gco2e"), all, file);
    }
    let of_runs: f64 = devices.iter().filter_map(|row| number(row, "run_embodied_amortised_gco2e")).sum();
    near(sum(&report, "runs.csv", "embodied_amortised_gco2e"), of_runs, "runs");
    assert!(of_runs > 0.0);
    for row in table(&report.join("runs.csv")) {
        let (Some(emissions), Some(embodied)) =
            (number(&row, "emissions_gco2e"), number(&row, "embodied_amortised_gco2e"))
        else {
            continue;
        };
        let sci = emissions + embodied;
        near(number(&row, "sci_gco2e").unwrap(), sci, "SCI");
        let hours = number(&row, "in_window_s").unwrap() / 3600.0;
        near(number(&row, "sci_gco2e_per_hour").unwrap(), sci / hours, "SCI by hour");
        let gpus = number(&row, "gpus").unwrap();
        match number(&row, "sci_gco2e_per_gpu_hour") {
            Some(found) => near(found, sci / hours / gpus, "SCI by GPU-hour"),
            None => assert_eq!(gpus, 0.0),
        }
    }

    // Twice the footprint and half the life are four times as much.
    let mut config = std::fs::read_to_string(cluster.directory.join("wattledger.toml")).unwrap();
    config
        .push_str("\n[[hardware]]\nembodied_kgco2e = 2556\ngpu_embodied_kgco2e = 300\nlifetime_years = 2\n");
    std::fs::write(cluster.directory.join("wattledger.toml"), config).unwrap();
    let stated = cluster.report("stated", &["--zone", "DE"]);
    for row in table(&stated.join("embodied.csv")) {
        let kg = if row.text("device") == "server" { 2556.0 } else { 300.0 };
        assert_eq!((number(&row, "embodied_kgco2e"), number(&row, "lifetime_years")), (Some(kg), Some(2.0)));
        assert_eq!(row.text("source"), "stated by the site");
    }
}

/// A job log's own units: SCI per request served.
#[test]
fn what_a_job_log_counts_is_a_functional_unit() {
    let directory = support::fresh("statement_units");
    std::fs::write(
        directory.join("runs.csv"),
        "run_id,start,end,nodes,cpus,functional_units\na,2026-01-01T00:00Z,2026-01-01T02:00Z,n1,8,1000\n\
         b,2026-01-01T02:00Z,2026-01-01T03:00Z,n1,8,\n",
    )
    .unwrap();
    std::fs::write(
        directory.join("wattledger.toml"),
        "[[hardware]]\ncpus = 8\ncpu_tdp_w = 100\nembodied_kgco2e = 876\nlifetime_years = 1\n",
    )
    .unwrap();
    support::wattledger()
        .current_dir(&directory)
        .args(["report", "--jobs", "runs.csv", "--zone", "DE", "--no-charts", "--out", "out"])
        .assert()
        .success();
    let rows = table(&directory.join("out/runs.csv"));
    let emissions = number(&rows[0], "emissions_gco2e").unwrap();
    // 876 kg over 8,760 h: 100 g an hour, and the run has the node for two.
    near(number(&rows[0], "embodied_amortised_gco2e").unwrap(), 200.0, "embodied");
    near(number(&rows[0], "sci_gco2e_per_unit").unwrap(), (emissions + 200.0) / 1000.0, "SCI by unit");
    assert_eq!(number(&rows[1], "sci_gco2e_per_unit"), None);
    near(number(&rows[1], "embodied_amortised_gco2e").unwrap(), 100.0, "embodied");
}

/// Nodes of two countries by patterns, a run that names a third, in one report.
#[test]
fn one_report_spans_countries() {
    let directory = support::fresh("statement_zones");
    std::fs::write(
        directory.join("runs.csv"),
        "run_id,start,end,nodes,cpus,zone\na,2026-01-01T00:00Z,2026-01-01T02:00Z,par1,8,\n\
         b,2026-01-01T00:00Z,2026-01-01T02:00Z,sto1,8,\nc,2026-01-01T00:00Z,2026-01-01T02:00Z,sto2,8,NO\n",
    )
    .unwrap();
    std::fs::write(
        directory.join("wattledger.toml"),
        "[site]\nzone = \"DE\"\nintensity = [\"hours.csv\"]\n\n[[hardware]]\ncpus = 8\ncpu_tdp_w = 100\n\n\
         [[hardware]]\nnodes = \"par.*\"\nzone = \"France\"\n\n[[hardware]]\nnodes = \"sto.*\"\nzone = \"SE\"\n",
    )
    .unwrap();
    let mut hours = "# basis: direct\ntimestamp,gco2e_per_kwh,zone\n".to_owned();
    for (zone, first, second) in [("FR", 10, 30), ("SE", 5, 5), ("NO", 1, 2)] {
        writeln!(hours, "2026-01-01T00:00Z,{first},{zone}\n2026-01-01T01:00Z,{second},{zone}").unwrap();
    }
    std::fs::write(directory.join("hours.csv"), hours).unwrap();
    support::wattledger()
        .current_dir(&directory)
        .args(["report", "--jobs", "runs.csv", "--no-charts", "--out", "out"])
        .assert()
        .success();
    let rows = table(&directory.join("out/runs.csv"));
    let figures: Vec<(&str, f64)> =
        rows.iter().map(|row| (row.text("zone"), number(row, "intensity_gco2e_per_kwh").unwrap())).collect();
    // Each at full load for two hours: the mean of its zone's two hours.
    assert_eq!(figures.iter().map(|(zone, _)| *zone).collect::<Vec<_>>(), ["FR", "SE", "NO"]);
    for ((_, found), expected) in figures.iter().zip([20.0, 5.0, 1.5]) {
        near(*found, expected, "mean of two hours");
    }
    let summary = std::fs::read_to_string(directory.join("out/summary.json")).unwrap();
    assert!(!summary.contains("`hours.csv` has no factor of"), "{summary}");
}
