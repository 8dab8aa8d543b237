//! A dense sample of the corruption matrix on the recorded blocks. All of it: `cargo run --release --example damage -- BLOCK ...`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod damage;

use std::path::{Path, PathBuf};

use damage::{Damage, Matrix};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn blocks() -> [PathBuf; 3] {
    [
        "prometheus_3/01M84DFD0PFBVDQ5T86TNZNBVC",
        "shared_nodes/snapshot/01M8DF7BZJ6XY4X2WAW76AM9A5",
        "slurm_prometheus/snapshot/01M85AQ2ST22878VYXT338BRC3",
    ]
    .map(fixture)
}

#[test]
fn no_damage_to_a_block_makes_another_number() {
    let mut matrix = Matrix::default();
    for block in blocks() {
        let scratch = tempfile::tempdir().unwrap();
        let mut damage = Damage::new(&block, scratch.path());
        damage.flip_and_cut(61);
        damage.exchange_segments();
        let others: Vec<PathBuf> = blocks().into_iter().filter(|other| *other != block).collect();
        damage.drop_and_exchange(&others);
        matrix.add(damage.matrix);
    }
    matrix.print();
    assert!(matrix.missed.is_empty(), "{:#?}", matrix.missed);
    assert!(matrix.rows.values().map(|counts| counts.detected).sum::<u64>() > 1_000);
}
