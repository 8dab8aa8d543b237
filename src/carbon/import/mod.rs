//! Reading the user's intensity files.
//!
//! A file is opened twice: [`probe`] learns its format and what bases it can
//! supply from its head, so that the basis of the total can be settled before
//! [`read`] picks a column.

mod generation;
mod json;
mod known;
mod probe;
mod rows;
mod stamp;

pub(super) use probe::{Probe, probe};
pub(super) use rows::{Imported, Mean, read};
