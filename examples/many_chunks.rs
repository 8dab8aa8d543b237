//! Writes a block whose index is large: SERIES series of CHUNKS chunks with a sample each, for `benches/load.sh`.
//!
//! Usage: `many_chunks DIRECTORY SERIES CHUNKS`

use std::path::Path;

use wattledger::time::Window;
use wattledger::tsdb::writer::{BlockOptions, BlockWriter};
use wattledger::tsdb::{Labels, Samples};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, series, chunks] = words.as_slice() else {
        return Err("usage: many_chunks DIRECTORY SERIES CHUNKS".into());
    };
    let (series, chunks): (u32, i64) = (series.parse()?, chunks.parse()?);
    let window = Window::new(1_700_000_000_000, 1_700_000_000_000 + chunks * 15_000);
    let options = BlockOptions { samples_per_chunk: 1, ..BlockOptions::default() };
    std::fs::create_dir_all(directory)?;
    let mut writer = BlockWriter::create(Path::new(directory), window, options)?;
    let mut samples = Samples::default();
    for nth in 0..chunks {
        samples.timestamps_ms.push(window.start_ms + nth * 15_000);
        samples.values.push(100.0 + (nth % 50) as f64);
    }
    for nth in 0..series {
        let node = format!("node{:05}", nth / 8);
        let gpu = (nth % 8).to_string();
        let labels = Labels::new([
            ("__name__", "DCGM_FI_DEV_POWER_USAGE"),
            ("Hostname", node.as_str()),
            ("gpu", gpu.as_str()),
        ]);
        writer.add_series(&labels, &samples)?;
    }
    writer.finish()?;
    Ok(())
}
