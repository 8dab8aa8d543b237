//! From series to energy curves: which series measures which device, in which
//! unit, and how its samples add up to joules.

pub mod catalog;
pub mod counter;
pub mod curve;
pub mod edges;
pub mod gauge;
pub mod inventory;
pub mod job_use;
pub mod names;
pub mod presence;
mod settle;
pub mod stream;
pub mod sums;
pub mod targets;
pub mod utilisation;
