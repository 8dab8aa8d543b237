//! Reading the user's intensity files.
//!
//! A file is opened twice: [`probe`] learns its format and what bases it can
//! supply from its head, so that the basis of the total can be settled before
//! [`read`] picks a column.

mod ceems;
mod eia;
mod entsoe;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod generation;
mod hints;
mod json;
mod known;
mod mix;
mod probe;
mod records;
mod rows;
mod stamp;
mod steps;

pub use ceems::{CEEMS_INTENSITY, IntensityGauge};
pub(super) use ceems::{gauge_provider, hours as hours_of_gauge};
pub use hints::{ColumnNames, Hints, StampAt, Unit};
pub(super) use {eia::eia_respondent_of, entsoe::eic_of};

pub(super) use probe::{Probe, probe, probe_all};
pub(super) use rows::{MAX_GRAMS_PER_KWH, read};
pub(super) use steps::{Imported, Mean, month, year};
