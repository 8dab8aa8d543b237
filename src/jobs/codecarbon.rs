//! `emissions.csv` of CodeCarbon: a row for each tracked program run. It names no machine, so that one has to
//! be stated; its own figure of the energy is kept beside ours.

use super::clock::When;
use super::collect::{Collector, Record};
use super::runs_csv::Row;
use super::tres::Tres;
use super::{Options, RejectReason, Run};

const KWH_J: f64 = 3.6e6;

pub(super) fn take_row(
    collector: &mut Collector,
    row: &Row<'_>,
    options: &Options,
) -> Result<(), RejectReason> {
    row.complete()?;
    // The time at which the tracker stopped.
    let When::At(end) = row.time("timestamp", options)? else {
        return Err(RejectReason::MissingField { column: "timestamp" });
    };
    let seconds = row.count("duration")?.ok_or(RejectReason::MissingField { column: "duration" })?;
    if seconds > 1e10 {
        return Err(RejectReason::BadNumber { column: "duration", text: row.get("duration").to_owned() });
    }
    collector.zone_assumed |= end.zone_assumed;
    let run_id = row.get("run_id");
    if run_id.is_empty() {
        return Err(RejectReason::MissingField { column: "run_id" });
    }
    let zone = row.get("country_iso_code");
    collector.record(Record {
        run: Run {
            run_id: run_id.to_owned(),
            name: row.get("project_name").to_owned(),
            account: row.get("project_name").to_owned(),
            state: "COMPLETED".to_owned(),
            zone: (!zone.is_empty()).then(|| zone.to_owned()),
            start_ms: end.at_ms.saturating_sub((seconds * 1000.0).round() as i64),
            end_ms: Some(end.at_ms),
            recorded_energy_j: row.count("energy_consumed")?.map(|energy_kwh| energy_kwh * KWH_J),
            ..Run::default()
        },
        // It tells what the machine has, not what the run was given: the run has the node.
        totals: Tres { cpus: None, memory_bytes: None, gpus: row.count("gpu_count")?, nodes: None },
        by_hand: true,
        ..Record::default()
    });
    Ok(())
}
