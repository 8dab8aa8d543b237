//! The errors of power models on measured machines, as docs/models.md prints them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::path::{Path, PathBuf};

use wattledger::power::{DeviceKind, Rating, UtilisationModel, calibration};
use wattledger::units::Watts;

#[path = "support/mod.rs"]
mod support;

use support::real;

/// A measured point: utilisation, rated power, watts.
type Point = (f64, f64, f64);

/// Mean error and the error of the sum, in percent, as the page prints them.
fn errors(model: UtilisationModel, points: &[Point], scale: f64) -> String {
    let modelled = |(utilisation, tdp, _): &Point| {
        model.power(*utilisation, &Rating::cpu(Watts(*tdp))).unwrap().value() * scale
    };
    errors_by(&modelled, points)
}

fn errors_by(modelled: &dyn Fn(&Point) -> f64, points: &[Point]) -> String {
    let relative = |point: &Point| ((modelled(point) - point.2) / point.2).abs();
    let mean = points.iter().map(relative).sum::<f64>() / points.len() as f64;
    let sums = points.iter().map(modelled).sum::<f64>() / points.iter().map(|point| point.2).sum::<f64>();
    format!("{:.1} ({:+.1})", 100.0 * mean, 100.0 * (sums - 1.0))
}

/// The cells of the page's row that starts so.
fn row(start: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with(&format!("| {start}"))).unwrap().to_owned();
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn number(record: &csv::StringRecord, headers: &csv::StringRecord, column: &str) -> f64 {
    let at = headers.iter().position(|header| header == column).unwrap();
    record[at].parse().unwrap()
}

#[test]
fn processors_under_known_loads() {
    let Some(profiles) = real("power/codecarbon_cpu_load_profiling") else { return };
    let models = [
        UtilisationModel::TdpCurve,
        UtilisationModel::TdpLinear,
        UtilisationModel::IdleToTdp,
        UtilisationModel::CodeCarbonCubic,
        UtilisationModel::Boavizta,
    ];
    wall(&profiles, &models);
    let (mut within, mut tested, mut widths) = (0, 0, 0.0);
    let mut machines: Vec<Vec<Point>> = Vec::new();
    for (folder, name, tdp, sockets) in [
        ("AMD_EPYC_8024P_8C", "EPYC 8024P", 90.0, 1.0),
        ("AMD_Threadripper", "Threadripper 1950X", 180.0, 1.0),
        ("E3-1240", "Xeon E3-1240 v2", 69.0, 1.0),
        ("E5-1240", "another of them", 69.0, 1.0),
        ("E5-2620", "two Xeon E5-2620 v3", 85.0, 2.0),
    ] {
        let mut points = Vec::new();
        for of in records(&profiles.join(folder)) {
            // `rapl_power` is wrong at rest.
            let watts = of("rapl_energy") * 3.6e6 / of("duration");
            points.push(((of("cpu_load") / 100.0).min(1.0), tdp, watts));
        }
        let cells = row(name);
        assert_eq!(cells[1], points.len().to_string(), "{name}");
        for (model, cell) in models.into_iter().zip(&cells[3..]) {
            assert_eq!(errors(model, &points, sockets), *cell, "{name}, {model}");
        }
        // Every second point for the fit, the others for its error.
        let half = |rest: usize| -> Vec<Point> {
            let nth = points.iter().enumerate().filter(|(nth, _)| nth % 2 == rest);
            nth.map(|(_, point)| *point).collect()
        };
        let fitted = half(0).into_iter().map(|(utilisation, _, power_w)| calibration::Point {
            utilisation,
            power_w,
            seconds: 30.0,
        });
        let fitted: Vec<calibration::Point> = fitted.collect();
        let fit = calibration::fit(&[fitted]).unwrap();
        let found = errors_by(&|point| fit.curve.power(point.0).value(), &half(1));
        assert_eq!(found, cells[8], "{name}, calibrated: {fit:?}");
        let others = half(1);
        let is_within = |point: &&Point| {
            let watts = fit.curve.power(point.0).value();
            (fit.spread.low() * watts..=fit.spread.high() * watts).contains(&point.2)
        };
        let here = others.iter().filter(is_within).count();
        println!("{name}: {here} of {} within, spread {:?}", others.len(), fit.spread);
        within += here;
        tested += others.len();
        widths += others.len() as f64 * (fit.spread.high() - fit.spread.low());
        machines.push(points.into_iter().map(|(u, tdp, watts)| (u, tdp * sockets, watts)).collect());
    }
    let tested = tested as f64;
    let share = within as f64 / tested;
    println!("{within} of {tested} points within, mean width {:.0} %", 100.0 * widths / tested);
    assert!((0.85..0.97).contains(&share), "{share}");
    spreads_of_tables(&machines);
}

/// The one machine with a meter at the wall.
fn wall(profiles: &Path, models: &[UtilisationModel]) {
    let mut points: Vec<Point> = Vec::new();
    for record in records(&profiles.join("AMD_Threadripper")) {
        points.push(((record("cpu_load") / 100.0).min(1.0), 180.0, record("tapo_power")));
    }
    let cells = row("Threadripper 1950X at the wall");
    assert_eq!(cells[1], points.len().to_string());
    for (model, cell) in models.iter().zip(&cells[3..]) {
        assert_eq!(errors(*model, &points, 1.0), *cell, "{model}");
    }
    let half = |rest: usize| points.iter().enumerate().filter(move |(nth, _)| nth % 2 == rest);
    let fitted = half(0).map(|(_, (utilisation, _, power_w))| calibration::Point {
        utilisation: *utilisation,
        power_w: *power_w,
        seconds: 30.0,
    });
    let fit = calibration::fit(&[fitted.collect()]).unwrap();
    let others: Vec<Point> = half(1).map(|(_, point)| *point).collect();
    assert_eq!(errors_by(&|point| fit.curve.power(point.0).value(), &others), cells[8], "{fit:?}");
}

/// A record's numbers by column.
type Record = Box<dyn Fn(&str) -> f64>;

/// Every record of a machine's load profiles, in order of the files.
fn records(folder: &Path) -> Vec<Record> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|path| !path.to_string_lossy().contains("-tasks"));
    let mut records: Vec<Record> = Vec::new();
    for path in files {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let headers = reader.headers().unwrap().clone();
        for record in reader.records() {
            let (record, headers) = (record.unwrap(), headers.clone());
            records.push(Box::new(move |column| number(&record, &headers, column)));
        }
    }
    records
}

/// The value that a share of the sorted values lies below, linear between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, rest) = (at as usize, at.fract());
    let above = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + if rest > 0.0 { (above - sorted[below]) * rest } else { 0.0 }
}

/// The spreads in the code are the quantiles over these machines, and those over four of them hold for the fifth.
fn spreads_of_tables(machines: &[Vec<Point>]) {
    for model in [
        UtilisationModel::TdpCurve,
        UtilisationModel::TdpLinear,
        UtilisationModel::IdleToTdp,
        UtilisationModel::CodeCarbonCubic,
        UtilisationModel::Boavizta,
    ] {
        let ratio = |(utilisation, tdp, watts): &Point| {
            let modelled = model.power(*utilisation, &Rating::cpu(Watts(*tdp))).unwrap().value();
            (modelled > 0.0).then(|| watts / modelled)
        };
        let bounds = |left_out: Option<usize>| {
            let kept = machines.iter().enumerate().filter(|(at, _)| Some(*at) != left_out);
            let mut ratios: Vec<f64> = kept.flat_map(|(_, points)| points.iter().filter_map(ratio)).collect();
            ratios.sort_by(f64::total_cmp);
            (quantile(&ratios, 0.025), quantile(&ratios, 0.975))
        };
        let spread = model.spread(DeviceKind::CpuSocket);
        let (low, high) = bounds(None);
        assert!(
            (spread.low() - low).abs() < 0.006 && (spread.high() - high).abs() < 0.006,
            "{model}: {low} {high}"
        );
        let (mut within, mut all) = (0, 0);
        for (at, points) in machines.iter().enumerate() {
            let (low, high) = bounds(Some(at));
            within +=
                points.iter().filter(|point| ratio(point).is_some_and(|r| low <= r && r <= high)).count();
            all += points.len();
        }
        let share = within as f64 / all as f64;
        println!("{model}: {:.1} % of {all} points of the machine left out within", 100.0 * share);
        assert!((0.85..0.97).contains(&share), "{model}: {share}");
    }
}

#[test]
fn gpus_in_training() {
    let Some(folder) = real("power/zeus_nsdi23") else { return };
    for (file, name) in [("a40", "A40"), ("v100", "V100"), ("p100", "P100"), ("rtx6000", "RTX 6000")] {
        let mut reader = csv::Reader::from_path(folder.join(format!("summary_power_{file}.csv"))).unwrap();
        let headers = reader.headers().unwrap().clone();
        let points: Vec<Point> = reader
            .records()
            .map(|record| {
                let record = record.unwrap();
                (1.0, number(&record, &headers, "power_limit"), number(&record, &headers, "average_power"))
            })
            .collect();
        let cells = row(name);
        assert_eq!(cells[1], points.len().to_string(), "{name}");
        for (model, cell) in
            [UtilisationModel::TdpCurve, UtilisationModel::TdpLinear].into_iter().zip(&cells[2..])
        {
            assert_eq!(errors(model, &points, 1.0), *cell, "{name}, {model}");
        }
    }
}
