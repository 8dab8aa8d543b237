//! A plausible cluster whose true energy is known.
//!
//! Every device's power is a function that is integrated by formula. From the
//! same functions come a real Prometheus snapshot, a real `sacct -P` log, and
//! the truth that neither of them shows in full. Nothing here knows how the
//! rest of the program turns the first two back into energy.

mod cluster;
mod describe;
mod exporters;
mod faults;
mod hardware;
mod placement;
mod profile;
mod random;
mod sacct;
mod scenario;
mod scrape;
#[cfg(test)]
mod tests;
mod truth;
mod workload;

pub use scenario::{Scenario, SimulateError, Summary};

use crate::metered::small_file;
use crate::there;
use crate::time::{DAY_MS, Window};
use crate::tsdb::Samples;
use crate::tsdb::writer::{BlockOptions, DataSetWriter};
use crate::unfinished::{Unfinished, in_one_step};
use crate::whole_file::{Written, name_all};
use cluster::Cluster;
use exporters::Scraped;
use rand::RngExt;
use random::{Purpose, stream};
use rayon::prelude::*;
use std::io::Write as _;
use std::path::Path;
use truth::Truth;
use ulid::Ulid;

/// Series that are sampled and encoded before they are written together.
const BATCH: usize = 128;

/// The snapshot's name until it is whole.
const UNNAMED: &str = ".snapshot.tmp";

/// The section of `meta.json` that marks a block as simulated.
const META_SECTION: &str = "wattledger";

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Series written.
    pub done: usize,
    /// Series to write.
    pub total: usize,
}

/// Simulates `scenario` into the directory `out`:
///
/// - `snapshot/<ULID>/`: a block for each UTC day;
/// - `sacct.txt`: the job log;
/// - `truth.csv`, `truth_runs.csv`: the true energy by device and by run;
/// - `wattledger.toml`: the node names that cannot be guessed;
/// - `SIMULATED.txt`: what is in all of these.
///
/// The same scenario gives the same bytes. `progress` is called from this
/// thread after each batch of series.
///
/// # Errors
///
/// [`SimulateError`] for a scenario out of bounds, for an `out` that holds a
/// snapshot already, and where files cannot be written.
pub fn simulate(
    scenario: &Scenario,
    out: &Path,
    progress: &dyn Fn(Progress),
) -> Result<Summary, SimulateError> {
    scenario.check()?;
    std::fs::create_dir_all(out).map_err(|source| SimulateError::Io {
        doing: "create",
        path: out.to_owned(),
        source,
    })?;
    let Some(_held) = there::try_hold(out) else { return Err(SimulateError::Busy { path: out.to_owned() }) };
    let snapshot = out.join("snapshot");
    if snapshot.exists() {
        return Err(SimulateError::Exists { path: snapshot });
    }
    // Half a snapshot is none: it has its name last of all.
    let unnamed = out.join(UNNAMED);
    let unfinished = Unfinished::at(&unnamed);
    let made = write(scenario, out, (&unnamed, &snapshot), progress);
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&unnamed);
    }
    drop(unfinished);
    made
}

fn write(
    scenario: &Scenario,
    out: &Path,
    (unnamed, snapshot): (&Path, &Path),
    progress: &dyn Fn(Progress),
) -> Result<Summary, SimulateError> {
    let failed = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| SimulateError::Io { doing, path, source }
    };
    if there::is_directory(unnamed).map_err(failed("look at", unnamed))? {
        std::fs::remove_dir_all(unnamed).map_err(failed("remove", unnamed))?;
    }
    std::fs::create_dir_all(unnamed).map_err(failed("create", unnamed))?;
    let cluster = Cluster::draw(scenario);
    let truth = Truth::of(&cluster);
    let scraped = Scraped::of(&cluster, scenario);
    let mut writer = DataSetWriter::create(unnamed, cluster.window, DAY_MS, |window| {
        block_options(scenario.seed, window)
    })?;
    let encoder = writer.encoder();
    let total = scraped.series.len();
    let mut written = 0;
    for (nth, batch) in scraped.series.chunks(BATCH).enumerate() {
        let encoded = batch.par_iter().map_init(Samples::default, |samples, series| {
            samples.timestamps_ms.clear();
            samples.values.clear();
            scraped.sample(&cluster, series, samples);
            encoder.encode(&series.labels, samples).map(|encoded| (!samples.values.is_empty(), encoded))
        });
        let encoded = encoded.collect::<Result<Vec<_>, _>>()?;
        for (series, (any, encoded)) in batch.iter().zip(&encoded) {
            writer.add_encoded(&series.labels, encoded)?;
            written += u64::from(*any);
        }
        progress(Progress { done: (nth * BATCH + batch.len()).min(total), total });
    }
    let samples = writer.samples();
    let summary = Summary {
        window: cluster.window,
        blocks: writer
            .finish()?
            .iter()
            .map(|block| snapshot.join(block.file_name().unwrap_or_default()))
            .collect(),
        series: written,
        samples,
        runs: cluster.runs.iter().filter(|run| run.started()).count(),
        energy_j: crate::sum::sum(truth.devices.iter().map(|device| device.energy_j)),
        metered_energy_j: crate::sum::sum(
            truth.devices.iter().filter(|device| device.metered).map(|device| device.energy_j),
        ),
    };
    let files = [
        ("sacct.txt", sacct::log(&cluster)),
        ("truth.csv", truth::devices_csv(&cluster, &truth)),
        ("truth_runs.csv", truth::runs_csv(&cluster, &truth)),
        ("wattledger.toml", describe::config(scenario, &cluster)),
        ("SIMULATED.txt", describe::text(scenario, &cluster, &summary)),
    ];
    let written = files.into_iter().map(|(name, text)| {
        let path = out.join(name);
        let failed = |source| failed("write", &path)(source);
        Written::new(&path, failed, |file| file.write_all(text.as_bytes()).map_err(failed))
    });
    name_all(written.collect::<Result<_, _>>()?, |path, source| failed("write", path)(source))?;
    in_one_step(|| std::fs::rename(unnamed, snapshot)).map_err(failed("create", snapshot))?;
    Ok(summary)
}

fn block_options(seed: u64, window: Window) -> BlockOptions {
    // A real block is named by the time it was cut at, soon after its end.
    let mut chance = stream(seed, Purpose::BlockName, window.start_ms as u64);
    let ulid = Ulid::from_parts(u64::try_from(window.end_ms).unwrap_or_default(), chance.random());
    let section = serde_json::json!({ "simulated": true, "seed": seed });
    BlockOptions {
        ulid: Some(ulid),
        meta_sections: [(META_SECTION.to_owned(), section)].into(),
        ..BlockOptions::default()
    }
}

/// True if `directory` is a simulated block, or holds one: what is made from it
/// has to say so.
pub fn is_simulated(directory: &Path) -> bool {
    let block = |path: &Path| {
        let text = small_file(&path.join("meta.json")).unwrap_or_default();
        let meta: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let mark = meta.get(META_SECTION).and_then(|section| section.get("simulated"));
        mark.and_then(serde_json::Value::as_bool) == Some(true)
    };
    let mut entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    block(directory) || entries.any(|entry| block(&entry.path()))
}
