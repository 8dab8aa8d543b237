//! The normal form of an intensity: what every provider's figures become.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _};

use crate::carbon::{Basis, Step, Zone};
use crate::time::{DAY_MS, HOUR_MS};

/// One figure of the store.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What it counts.
    pub(super) basis: Basis,
    /// Whose figure it is.
    pub(super) source: Arc<str>,
    /// First instant of its step.
    pub(super) start_ms: i64,
    /// Length of its step.
    pub(super) length_ms: i64,
    /// In gCO2e/kWh.
    pub(super) grams_per_kwh: f64,
    /// True where the provider marks it as estimated.
    pub(super) estimated: bool,
    /// Of which edition.
    pub(super) release: Arc<str>,
    /// What a report that uses it must print.
    pub(super) attribution: Arc<str>,
}

/// How long a figure holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::carbon) enum Period {
    /// An hour or less.
    Fine,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// What there can be one figure of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    basis: Basis,
    source: Arc<str>,
    period: Period,
    start_ms: i64,
}

impl Key {
    /// The same at another instant.
    pub(super) fn at(self, start_ms: i64) -> Self {
        Self { start_ms, ..self }
    }
}

impl Row {
    pub(super) fn key(&self) -> Key {
        Key {
            basis: self.basis,
            source: Arc::clone(&self.source),
            period: self.period(),
            start_ms: self.start_ms,
        }
    }

    pub(super) fn period(&self) -> Period {
        match self.length_ms {
            length_ms if length_ms <= HOUR_MS => Period::Fine,
            length_ms if length_ms <= 31 * DAY_MS => Period::Month,
            _ => Period::Year,
        }
    }

    /// The UTC year in which its step starts.
    pub(super) fn year(&self) -> Option<i32> {
        Some(DateTime::from_timestamp_millis(self.start_ms)?.year())
    }
}

/// What one import did to a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Figures that were not there.
    pub added: u64,
    /// Figures that were there already, the same.
    pub unchanged: u64,
    /// Figures of the same source that were there with another value, and were replaced.
    pub revised: u64,
    /// Estimates that were left out, for the store has the same source's measured figure.
    pub kept: u64,
}

impl Change {
    pub(super) fn add(&mut self, other: &Self) {
        self.added = self.added.saturating_add(other.added);
        self.unchanged = self.unchanged.saturating_add(other.unchanged);
        self.revised = self.revised.saturating_add(other.revised);
        self.kept = self.kept.saturating_add(other.kept);
    }
}

/// What was imported of one zone of one file, and what that did.
#[derive(Clone, Debug)]
pub struct ImportedZone {
    /// The zone.
    pub zone: Zone,
    /// What its figures count.
    pub basis: Basis,
    /// How long they hold.
    pub step: Step,
    /// What they did to the store.
    pub change: Change,
}
