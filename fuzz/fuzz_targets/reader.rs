//! Drives one reader of `wattledger::fuzzing`, that of the name in `WHAT`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wattledger::fuzzing::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let what = std::env::var("WHAT").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == what);
    found.map_or_else(|| panic!("WHAT names no reader: {what:?}"), |(_, target)| *target)
});

fuzz_target!(|data: &[u8]| TARGET(data));
