//! One input while it is read: where its samples go, and what is counted of it.

use std::borrow::Cow;

use super::error::DumpError;
use super::format::Format;
use super::input::{Input, modified_ms};
use super::intake::{Intake, SeriesId};
use super::{At, Event, Observer, Request};
use crate::tsdb::{NORMAL_NAN_BITS, STALE_NAN_BITS};

/// How many of an input's rejects are told one by one.
const TOLD: u64 = 5;

/// See the module's description.
pub(super) struct Reading<'a> {
    pub(super) input: &'a Input,
    pub(super) format: Format,
    pub(super) request: &'a Request,
    pub(super) intake: &'a mut Intake,
    pub(super) observer: Observer<'a>,
    /// Lines, rows or series that cannot be read, and the first of them.
    pub(super) rejected: u64,
    pub(super) first_reject: Option<(String, String)>,
    /// Samples that are NaN and were taken for stale markers.
    pub(super) stale: u64,
    /// What a reader of the report should know, besides what the format tells.
    pub(super) notes: Vec<Cow<'static, str>>,
    /// When the samples without a timestamp were taken, once it is known.
    pub(super) untimed_ms: Option<i64>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        input: &'a Input,
        format: Format,
        request: &'a Request,
        intake: &'a mut Intake,
        observer: Observer<'a>,
    ) -> Self {
        Self {
            input,
            format,
            request,
            intake,
            observer,
            rejected: 0,
            first_reject: None,
            stale: 0,
            notes: Vec::new(),
            untimed_ms: None,
        }
    }

    /// Takes a sample; `None` is NaN.
    pub(super) fn sample(
        &mut self,
        id: SeriesId,
        at_ms: i64,
        value: Option<f64>,
    ) -> Result<Taken, DumpError> {
        let value = match value {
            Some(value) => value,
            None if self.format.nan_is_stale() => {
                self.stale += 1;
                f64::from_bits(STALE_NAN_BITS)
            }
            None => f64::from_bits(NORMAL_NAN_BITS),
        };
        if !self.intake.sample(id, at_ms, value)? {
            return Ok(Taken::OutOfRange);
        }
        Ok(Taken::Yes)
    }

    /// Counts what cannot be read, and tells the first few.
    pub(super) fn reject(&mut self, place: impl FnOnce() -> String, reason: &str) {
        self.rejected += 1;
        if self.rejected <= TOLD {
            let place = place();
            (self.observer)(Event::Rejected { input: &self.input.name, place: &place, reason });
            self.first_reject.get_or_insert_with(|| (place, reason.to_owned()));
        }
    }

    /// The time of samples that have none, by the user's word.
    pub(super) fn untimed(&mut self, place: impl FnOnce() -> String) -> Result<i64, DumpError> {
        if let Some(at_ms) = self.untimed_ms {
            return Ok(at_ms);
        }
        let at_ms = match self.request.at {
            Some(At::Instant(at_ms)) => Some(at_ms),
            Some(At::Modified) => modified_ms(self.input),
            None => None,
        };
        let missing = || DumpError::NoTime { input: self.input.name.clone(), place: place() };
        let at_ms = at_ms.ok_or_else(missing)?;
        self.untimed_ms = Some(at_ms);
        Ok(at_ms)
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: impl Into<Cow<'static, str>>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// It is not what it is read as.
    pub(super) fn form(&self, place: impl Into<String>, reason: impl Into<String>) -> DumpError {
        DumpError::Form {
            input: self.input.name.clone(),
            format: self.format,
            place: place.into(),
            reason: reason.into(),
        }
    }

    /// It ends too early.
    pub(super) fn cut(&self, reason: impl Into<String>) -> DumpError {
        DumpError::Cut { input: self.input.name.clone(), reason: reason.into() }
    }

    /// Reading it failed.
    pub(super) fn failed(&self) -> impl FnOnce(std::io::Error) -> DumpError + use<> {
        let input = self.input.clone();
        move |source| super::input::read_error(&input, source)
    }
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken.
    Yes,
    /// Its time is before 1970 or after 9999.
    OutOfRange,
}

/// Why a sample was not taken.
pub(super) const OUT_OF_RANGE: &str = "the timestamp is before 1970 or after 9999: is it in another unit?";
