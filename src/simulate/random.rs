//! Chance, in independent streams: what happens on one node changes nothing on another.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers decides.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Hardware = 1,
    Workload = 2,
    Profile = 3,
    Scrape = 4,
    Faults = 5,
    Infrastructure = 6,
    Meter = 7,
    BlockName = 8,
}

/// The stream of `seed` for one purpose and one index.
pub(super) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    let parts = [seed.to_le_bytes(), (purpose as u64).to_le_bytes(), index.to_le_bytes()];
    for (slot, byte) in key.iter_mut().zip(parts.into_iter().flatten()) {
        *slot = byte;
    }
    ChaCha8Rng::from_seed(key)
}
