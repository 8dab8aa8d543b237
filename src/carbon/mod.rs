//! Carbon intensity: what an hour in a zone emits per kilowatt-hour.
//!
//! [`Intensity`] holds the shipped tables and the user's files, all of one
//! [`Basis`], and answers with the best [`Factor`] it has for an instant: the
//! value of the hour, or of the month or the year with or without a daily
//! shape, or the world's mean. Each answer says which of these it is, whose
//! figure it is and of which release. Where nothing of the basis is known it
//! answers nothing, and never with a figure of another basis.

mod basis;
mod chain;
mod contracts;
mod embodied;
mod equivalents;
mod error;
pub mod fetch;
mod files;
mod hours;
mod import;
#[cfg(any(test, fuzzing))]
pub(crate) use import::fuzz::intensity;
mod input;
mod purchases;
mod series;
mod store;
mod stored;
mod tables;
mod zone;

pub use basis::{Attribution, Basis, Perspective, Scope};
pub use chain::{Factor, Intensity, Sources, Tier};
pub use contracts::{Contract, ContractKind, Contracts, Matching};
pub use embodied::{DeviceKind, Footprint, Footprints, HOURS_IN_YEAR, LIFETIME_YEARS, amortised_g};
pub use equivalents::{Equivalent, Equivalents};
pub use error::CarbonError;
pub use hours::{HourFactor, Stretch, TierCoverage, by_tier, hours, mean_and_range, stretches};
pub use import::{CEEMS_INTENSITY, ColumnNames, Hints, IntensityGauge, StampAt, Unit};
pub use input::{Format, InputSummary, RejectedLine, SkippedFile, Step, ZoneSummary};
pub use purchases::{Purchase, Purchases};
pub use store::{Change, ImportSummary, ImportedZone, PREFERENCE, Store};
pub use tables::SHIPPED_ATTRIBUTION;
pub use zone::Zone;
