//! The corruption matrix of blocks: every byte flipped, every file cut at every byte, dropped and exchanged. Prints the table of
//! docs/trust.md; ends with 1 if anything was missed.
//!
//! `cargo run --release --example damage -- [--stride N] BLOCK ...`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the project itself")]

#[path = "../tests/damage/mod.rs"]
mod damage;

use std::path::PathBuf;

use damage::{Damage, Matrix};

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut stride = 1;
    if words.first().is_some_and(|word| word == "--stride") {
        stride = words.get(1).and_then(|number| number.parse().ok()).unwrap_or(1);
        words.drain(..2);
    }
    let blocks: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    let mut matrix = Matrix::default();
    for block in &blocks {
        let scratch = tempfile::tempdir().unwrap();
        let mut damage = Damage::new(block, scratch.path());
        for loss in damage.losses() {
            println!("as it is: {loss}");
        }
        damage.flip_and_cut(stride);
        damage.exchange_segments();
        let others: Vec<PathBuf> = blocks.iter().filter(|other| *other != block).cloned().collect();
        damage.drop_and_exchange(&others);
        matrix.add(damage.matrix);
    }
    matrix.print();
    std::process::exit(i32::from(!matrix.missed.is_empty()));
}
