//! The errors of power models on measured machines, as docs/models.md prints them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::path::{Path, PathBuf};

use wattledger::power::{Rating, UtilisationModel, calibration};
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
    for (folder, name, tdp, sockets) in [
        ("AMD_EPYC_8024P_8C", "EPYC 8024P", 90.0, 1.0),
        ("AMD_Threadripper", "Threadripper 1950X", 180.0, 1.0),
        ("E3-1240", "Xeon E3-1240 v2", 69.0, 1.0),
        ("E5-1240", "another of them", 69.0, 1.0),
        ("E5-2620", "two Xeon E5-2620 v3", 85.0, 2.0),
    ] {
        let mut points = Vec::new();
        let entries = std::fs::read_dir(profiles.join(folder)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files {
            if path.to_string_lossy().contains("-tasks") {
                continue;
            }
            let mut reader = csv::Reader::from_path(path).unwrap();
            let headers = reader.headers().unwrap().clone();
            for record in reader.records() {
                let record = record.unwrap();
                let of = |column| number(&record, &headers, column);
                // `rapl_power` is wrong at rest.
                let watts = of("rapl_energy") * 3.6e6 / of("duration");
                points.push(((of("cpu_load") / 100.0).min(1.0), tdp, watts));
            }
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
