//! A picture of the runs by their energy and by how well they used what they held.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, PolarsResult};

use super::super::Report;
use super::super::chart::{Scatter, three_digits};
use super::{period, text};
use crate::jobs::Run;
use crate::sum::sum;
use crate::time::Window;
use crate::units::{KilowattHours, Seconds};

/// A way to say how well a run used what it held.
struct Measure {
    title: &'static str,
    /// What it is, in words.
    words: &'static str,
    unit: &'static str,
    /// Energy in kWh and the measure, of the runs that have both.
    points: Vec<(f64, f64)>,
}

impl Measure {
    fn energy_kwh(&self) -> f64 {
        sum(self.points.iter().map(|(kwh, _)| *kwh))
    }
}

/// The runs by energy and by power of their GPUs, if runs with GPUs have half of the energy or more; else by the CPU time that they
/// used of what they held, if the log tells it of as much; else by power for each CPU; else by what is known of most.
pub(super) fn run_efficiency(report: &Report<'_>) -> PolarsResult<Scatter> {
    let (all_kwh, count, measures) = measures(&report.runs, report.subject.runs)?;
    let tells_half = measures.iter().position(|measure| measure.energy_kwh() >= 0.5 * all_kwh);
    let most = || {
        let by_energy = |left: &(usize, &Measure), right: &(usize, &Measure)| {
            left.1.energy_kwh().total_cmp(&right.1.energy_kwh()).then(right.0.cmp(&left.0))
        };
        measures.iter().enumerate().max_by(by_energy).map(|(place, _)| place)
    };
    let chosen = tells_half.or_else(most).and_then(|place| measures.into_iter().nth(place));
    let Some(Measure { title, words, unit, points }) = chosen else { return Ok(Scatter::default()) };
    let shown = format!("{words}, of {} of {count} runs", points.len());
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).map_or_else(
        || "no run has both".to_owned(),
        |median| format!("half of the runs have {} {unit} or more", three_digits(*median)),
    );
    let alt = format!("{title}, {}: {shown}; {median}", period(report));
    Ok(Scatter {
        text: text(report, title, &shown, alt),
        points,
        of: "runs".to_owned(),
        x_label: "energy of the run (kWh)".to_owned(),
        y_label: format!("{words} ({unit})"),
    })
}

/// Energy and number of all runs that have any, and the measures.
fn measures(table: &DataFrame, runs: &[Run]) -> PolarsResult<(f64, usize, [Measure; 3])> {
    let mut measures = [
        Measure {
            title: "Runs by energy and power of their GPUs",
            words: "mean power of each GPU held",
            unit: "W",
            points: Vec::new(),
        },
        Measure {
            title: "Runs by energy and CPU efficiency",
            words: "CPU time used of what was held, by the job log",
            unit: "%",
            points: Vec::new(),
        },
        Measure {
            title: "Runs by energy and power for each CPU",
            words: "mean power for each CPU held",
            unit: "W",
            points: Vec::new(),
        },
    ];
    let (mut all_kwh, mut count) = (crate::sum::Sum::new(), 0_usize);
    // Without a window there are no runs, and no columns of energy.
    if table.column("energy_kwh").is_err() {
        return Ok((0.0, 0, measures));
    }
    let number = |name: &str| table.column(name)?.f64();
    let (energy, gpu_energy) = (number("energy_kwh")?, number("gpu_energy_kwh")?);
    let (cpus, gpus, seconds) = (number("cpus")?, number("gpus")?, number("in_window_s")?);
    let (ids, restarts) = (table.column("run_id")?.str()?, table.column("restart")?.str()?);
    let by_id: BTreeMap<(&str, String), &Run> =
        runs.iter().map(|run| ((run.run_id.as_str(), run.restart.to_string()), run)).collect();
    let [by_gpu, by_cpu_time, by_cpu] = &mut measures;
    for row in 0..table.height() {
        let Some(kwh) = energy.get(row).filter(|kwh| *kwh > 0.0) else { continue };
        all_kwh.add(kwh);
        count = count.saturating_add(1);
        let length = Seconds(seconds.get(row).unwrap_or(0.0));
        let watts = |kwh: f64| KilowattHours(kwh).to_joules().mean_power(length).value();
        let held = |column: &polars::prelude::Float64Chunked| column.get(row).filter(|held| *held > 0.0);
        if length.value() > 0.0 {
            if let (Some(gpus), Some(of_gpus)) = (held(gpus), held(gpu_energy)) {
                by_gpu.points.push((kwh, watts(of_gpus) / gpus));
            }
            if let Some(cpus) = held(cpus) {
                by_cpu.points.push((kwh, watts(kwh) / cpus));
            }
        }
        let run = ids.get(row).zip(restarts.get(row));
        let run = run.and_then(|(id, restart)| by_id.get(&(id, restart.to_owned())));
        if let (Some(run), Some(cpus)) = (run, held(cpus))
            && let Some((cpu_time_s, end_ms)) = run.cpu_time_s.zip(run.end_ms)
        {
            let held_s = Window::new(run.start_ms, end_ms).length_s() * cpus;
            if held_s > 0.0 {
                by_cpu_time.points.push((kwh, cpu_time_s / held_s * 100.0));
            }
        }
    }
    Ok((all_kwh.value(), count, measures))
}
