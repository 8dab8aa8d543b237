//! Reads every sample of every series of a snapshot, checksums and all, and says how long that took: the whole read
//! path, for `benches/compare/read.sh`.
//!
//! Usage: `read_all DIRECTORY [THREADS]`. Prints the number of samples, a sum over them that does not depend on their
//! order, and the seconds from opening to the last sample.

#![allow(clippy::print_stdout, reason = "its answer")]

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use wattledger::time::Window;
use wattledger::tsdb::{Database, ReadBuffer, ReadStats, TsdbError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: read_all DIRECTORY [THREADS]")?;
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let began = Instant::now();
    let (samples, checksum, problems) = pool.install(|| read_all(Path::new(&directory)))?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "samples={samples} checksum={checksum} seconds={seconds:.4} threads={threads} ns_per_sample={:.3} problems={problems}",
        seconds * 1e9 / samples as f64
    );
    Ok(())
}

/// Samples, the wrapping sum of value bits xor time, and what could not be read.
fn read_all(directory: &Path) -> Result<(u64, u64, usize), TsdbError> {
    let database = Database::open(directory)?;
    let series = database.select(&[], Window::ALL)?;
    let parts = series.par_iter().map_init(ReadBuffer::default, |buffer, series| {
        let mut stats = ReadStats::default();
        database.read(series, Window::ALL, buffer, &mut stats)?;
        let samples = buffer.samples();
        let pairs = samples.timestamps_ms.iter().zip(&samples.values);
        let sum = pairs
            .fold(0_u64, |sum, (at_ms, value)| sum.wrapping_add(value.to_bits() ^ at_ms.cast_unsigned()));
        Ok((stats.samples, sum, stats.problems.len()))
    });
    let add = |one: (u64, u64, usize), other: (u64, u64, usize)| {
        Ok((one.0 + other.0, one.1.wrapping_add(other.1), one.2 + other.2))
    };
    parts.try_reduce(|| (0, 0, 0), add)
}
