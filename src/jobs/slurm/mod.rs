//! Slurm: `sacct` as text and as JSON, `scontrol show job` and `scontrol show node`.

mod align;
pub(super) mod json;
pub(super) mod sacct;
pub(super) mod scontrol;
pub(super) mod tres_table;

use super::clock::{self, Instant};
use super::collect::{Collector, Record};
use super::tres::{RequestedMemory, Tres};
use super::{Allocation, RejectReason, Run};
use crate::time::format_instant;

/// A job id, taken apart: `12_3`, `28+0`, `33_[1%1]`, `5.batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId<'a> {
    /// Without the step.
    pub(super) job: &'a str,
    /// `batch`, `extern`, `interactive`, `0`, … of a step.
    pub(super) step: Option<&'a str>,
}

impl<'a> JobId<'a> {
    /// `None` for what is no job id.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (job, step) = match text.split_once('.') {
            Some((job, step)) if !step.is_empty() => (job, Some(step)),
            Some(_) => return None,
            None => (text, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let tasks = |text: &str| {
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inner.is_some_and(|inner| inner.bytes().all(|byte| b"0123456789-,:%.".contains(&byte)))
        };
        let (head, part) = job.split_once('+').map_or((job, None), |(head, part)| (head, Some(part)));
        let (number, task) = head.split_once('_').map_or((head, None), |(number, task)| (number, Some(task)));
        let sound =
            digits(number) && part.is_none_or(digits) && task.is_none_or(|task| digits(task) || tasks(task));
        sound.then_some(Self { job, step })
    }
}

/// A job as any of Slurm's outputs tells of it, before it is known whether it ran.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// Who and what; times and allocations are filled in by [`Job::record`].
    pub(super) run: Run,
    pub(super) cluster: String,
    pub(super) submit: Option<Instant>,
    pub(super) start: Option<Instant>,
    pub(super) end: Option<Instant>,
    pub(super) elapsed_ms: Option<i64>,
    pub(super) nodes: Vec<String>,
}

/// What a job held.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// `None` where the output has no list of resources.
    pub(super) resources: Option<Tres>,
    pub(super) cpus: Option<f64>,
    pub(super) requested_memory: Option<RequestedMemory>,
    pub(super) gpu_ids: Option<Vec<String>>,
    pub(super) per_node: Option<Vec<Allocation>>,
}

impl Job {
    /// Counts a job that has not run and says so; the log reaches to what is known of it.
    pub(super) fn has_run(&self, collector: &mut Collector) -> bool {
        let pending = self.run.state == "PENDING";
        let at_once = self.start.map(|start| start.at_ms) == self.end.map(|end| end.at_ms);
        let no_run = self.nodes.is_empty() && (at_once || self.elapsed_ms == Some(0));
        if self.start.is_some() && !pending && !no_run {
            return true;
        }
        // Waiting jobs have a start in the future at most, cancelled ones a real end.
        for instant in [self.submit, self.end.filter(|_| !pending)].into_iter().flatten() {
            collector.reaches(instant.at_ms);
        }
        collector.never_started();
        false
    }

    /// Hands on a job that has run.
    pub(super) fn record(self, held: Held, collector: &mut Collector) -> Result<(), RejectReason> {
        let Some(start) = self.start else { return Ok(()) };
        if self.nodes.is_empty() {
            return Err(RejectReason::NoNodes);
        }
        let (start_ms, end_ms) = clock::settle(start, self.end, self.elapsed_ms);
        if let Some(end_ms) = end_ms.filter(|end_ms| *end_ms < start_ms) {
            let (start, end) = (format_instant(start_ms), format_instant(end_ms));
            return Err(RejectReason::EndBeforeStart { start, end });
        }
        collector.zone_assumed |= start.zone_assumed || self.end.is_some_and(|end| end.zone_assumed);
        if let (None, Some(elapsed_ms)) = (end_ms, self.elapsed_ms) {
            // Still running: the log was written when this much had passed.
            collector.reaches(start_ms.saturating_add(elapsed_ms.max(0)));
        }
        collector.record(Record {
            run: Run { start_ms, end_ms, ..self.run },
            cluster: self.cluster,
            nodes: self.nodes,
            totals: held.resources.unwrap_or_default(),
            lists_resources: held.resources.is_some(),
            cpus: held.cpus,
            requested_memory: held.requested_memory,
            gpu_ids: held.gpu_ids,
            per_node: held.per_node,
            by_hand: false,
        });
        Ok(())
    }
}

/// The value of `stage=…` in a comment.
fn stage_in(comment: &str) -> Option<&str> {
    word_in(comment, "stage")
}

/// The value of `units=…` in a comment.
fn units_in(comment: &str) -> Option<f64> {
    word_in(comment, "units")?.parse().ok().filter(|units: &f64| units.is_finite() && *units > 0.0)
}

/// The value of `wanted=…` in a comment.
fn word_in<'c>(comment: &'c str, wanted: &str) -> Option<&'c str> {
    let words = comment.split(|character: char| character.is_whitespace() || ",;|&".contains(character));
    words
        .filter_map(|word| word.split_once('='))
        .find_map(|(name, value)| (name.eq_ignore_ascii_case(wanted) && !value.is_empty()).then_some(value))
}

/// Joules by the scheduler's own reading. Slurm writes nought where no energy
/// plugin runs, and values near 2^64, or -2, for "not known".
fn plausible_energy_j(joules: f64) -> Option<f64> {
    let unknown_from = 9.2e18;
    (joules > 0.0 && joules < unknown_from).then_some(joules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_slurm_writes_them() {
        let id = |text| JobId::parse(text).map(|id| (id.job, id.step));
        assert_eq!(id("1234"), Some(("1234", None)));
        assert_eq!(id("12_3.batch"), Some(("12_3", Some("batch"))));
        assert_eq!(id("33_[1%1]"), Some(("33_[1%1]", None)));
        assert_eq!(id("7_[1,3-9:2%4]"), Some(("7_[1,3-9:2%4]", None)));
        assert_eq!(id("28+0.extern"), Some(("28+0", Some("extern"))));
        for wrong in ["", "JobID", "12.", "12_", "12_a", "x1", "12+", "12 13", "_3", "12_[a]"] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn stages_in_comments() {
        assert_eq!(stage_in("stage=training"), Some("training"));
        assert_eq!(stage_in("proj=x; Stage=inference,note=y"), Some("inference"));
        assert_eq!(stage_in("backstage=1 stage="), None);
        assert_eq!(stage_in(""), None);
        assert_eq!(units_in("stage=inference units=2.5e6"), Some(2.5e6));
        assert_eq!(
            (units_in("units=none"), units_in("units=-1"), units_in("subunits=3")),
            (None, None, None)
        );
    }
}
