//! Sums instead of samples: the server adds each series up, step by step, and
//! only the sums are copied, as series of their own that start with [`SUM_PREFIX`].
//!
//! A sum stands at the start of its step and comes with the seconds of the step
//! that the server saw: samples counted × the time between two of them, which is
//! the step ÷ the most samples that any step of the same scrape job has.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::api;
use super::client::{Ask, Client, Content};
use super::error::RemoteError;
use super::range_query::seconds;
use crate::source::staging::{PieceWriter, Sink as _};
use crate::time::Window;
use crate::tsdb::{Labels, METRIC_NAME, Samples};

/// Before the name of the metric that was added up.
pub const SUM_PREFIX: &str = "wattledger_pushdown_";
/// Label that says which of the values a series is; see [`value`].
pub const VALUE_LABEL: &str = "wattledger_value";
/// Label with the length of a step, in milliseconds.
pub const STEP_LABEL: &str = "wattledger_step_ms";

/// What [`VALUE_LABEL`] can be.
pub mod value {
    /// A counter's increase, a gauge's mean × seconds seen, or busy seconds of CPU time.
    pub const SUM: &str = "sum";
    /// All seconds of CPU time.
    pub const ALL: &str = "all";
    /// Seconds of the step that were seen.
    pub const COVERED_S: &str = "covered_seconds";
}

const PATH: &str = "api/v1/query_range";
const LONGEST_BYTES: u64 = 128 << 20;
/// Modes in which a logical CPU does nothing (rule C4), and those that stand in others already.
const NOT_BUSY: &str = "idle|iowait|steal|guest|guest_nice";
const CONTAINED: &str = "guest|guest_nice";
/// Of steps with one sample less than the most, the samples fell differently: nothing was missed.
const LATE_SAMPLES: f64 = 1.0;

/// Between two points at which a series that is not whole is looked at: the usual scrape interval.
const RESOLUTION_S: u32 = 15;
/// Labels that change while the meter stays the same (rule N3).
const PASSING: &str = "container, namespace, pod";

/// A metric to be added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Summed {
    /// How.
    pub aggregate: Aggregate,
    /// Label that names the job that holds the device: series that differ in it are one meter.
    pub binding: Option<String>,
    /// Values from here on mean "no value".
    pub below: Option<f64>,
}

impl Summed {
    /// `metric` over `range`, ready for a function of PromQL. What other jobs or
    /// blank values interrupt is put together first, which costs the server more.
    fn range(&self, metric: &str, range: &str) -> String {
        let below = self.below.map(|limit| format!(" < {limit:e}")).unwrap_or_default();
        match &self.binding {
            Some(label) => {
                format!("(max without ({label}, {PASSING}) ({metric}{below}))[{range}:{RESOLUTION_S}s]")
            }
            None if self.below.is_some() => format!("({metric}{below})[{range}:{RESOLUTION_S}s]"),
            None => format!("{metric}[{range}]"),
        }
    }

    /// Labels of a series without those that `range` leaves out.
    fn stable(&self, labels: &Labels) -> Labels {
        let Some(binding) = &self.binding else { return labels.clone() };
        let passing = |name: &str| name == binding || PASSING.split(", ").any(|passing| name == passing);
        Labels::new(labels.iter().filter(|(name, _)| !passing(name)))
    }
}

/// How a metric is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregate {
    /// A counter: its increase.
    Increase,
    /// A gauge: its mean.
    Mean,
    /// CPU seconds by mode and logical CPU: busy ones and all, over the CPUs.
    CpuTime,
    /// What tells about a node: the last sample of each step, under its own name.
    Last,
}

/// Steps and what is added up in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushdown {
    /// Length of a step, in milliseconds; divides a day.
    pub step_ms: i64,
    /// The metrics that are asked for.
    pub metrics: BTreeMap<String, Summed>,
}

impl Pushdown {
    /// What a reader of the report should know.
    pub(super) fn notes(&self) -> Vec<String> {
        vec![
            format!(
                "pushed down: the server added up steps of {} s and no sample was copied",
                self.step_ms / 1000
            ),
            "pushed down: energies rest on the server's `increase`, which takes a wrap of a counter for a reset \
             (RAPL reads low), loses what was used across a gap, and Prometheus' extrapolates to the ends of each step"
                .to_owned(),
            "pushed down: runs that begin or end inside a step are cut by the power of the whole steps beside it; \
             time that a node was off is not told from time unseen"
                .to_owned(),
        ]
    }
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
}

/// A value for each step, by series.
type Steps = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// Asks for the sums of `metric` in the steps of `window` and writes them into
/// `piece`; fewer steps at once where the server finds them too many.
pub(super) fn read(
    client: &Client<'_>,
    pushdown: &Pushdown,
    metric: &str,
    window: Window,
    piece: &mut PieceWriter,
) -> Result<(), RemoteError> {
    let Some(summed) = pushdown.metrics.get(metric) else { return Ok(()) };
    let length = format!("{}ms", pushdown.step_ms);
    let range = format!("[{length}]");
    let whole = summed.range(metric, &length);
    let ask = |query: &str| ask(client, query, metric, window, pushdown.step_ms);
    match summed.aggregate {
        Aggregate::Last => {
            for (labels, steps) in ask(&format!("last_over_time({metric}{range})"))? {
                write(piece, labels.with(&Labels::new([(METRIC_NAME, metric)])), &steps, window)?;
            }
            Ok(())
        }
        Aggregate::Increase => {
            let sums = ask(&format!("increase({whole})"))?;
            let counts = ask(&format!("count_over_time({metric}{range})"))?;
            let seen = seconds_seen(&counts, pushdown.step_ms);
            write_all(piece, pushdown, metric, window, &[(value::SUM, &sums), (value::COVERED_S, &seen)])
        }
        Aggregate::Mean => {
            let mut sums = ask(&format!("avg_over_time({whole})"))?;
            let counts = ask(&format!("count_over_time({metric}{range})"))?;
            let seen = seconds_seen(&counts, pushdown.step_ms);
            let mut of_meter: Steps = Steps::new();
            for (labels, steps) in &seen {
                let meter = of_meter.entry(summed.stable(labels)).or_default();
                for (start_ms, seconds) in steps {
                    *meter.entry(*start_ms).or_default() += seconds;
                }
            }
            let step_s = pushdown.step_ms as f64 / 1000.0;
            for (labels, steps) in &mut sums {
                let seen = of_meter.get(labels);
                for (start_ms, mean) in steps {
                    *mean *=
                        seen.and_then(|seen| seen.get(start_ms)).copied().unwrap_or_default().min(step_s);
                }
            }
            write_all(piece, pushdown, metric, window, &[(value::SUM, &sums), (value::COVERED_S, &seen)])
        }
        Aggregate::CpuTime => {
            let increase = |but: &str| {
                ask(&format!("sum without (cpu, mode) (increase({metric}{{mode!~\"{but}\"}}{range}))"))
            };
            let (busy, all) = (increase(NOT_BUSY)?, increase(CONTAINED)?);
            let counts =
                ask(&format!("max without (cpu, mode) (count_over_time({metric}{{mode=\"idle\"}}{range}))"))?;
            let seen = seconds_seen(&counts, pushdown.step_ms);
            let values = [(value::SUM, &busy), (value::ALL, &all), (value::COVERED_S, &seen)];
            write_all(piece, pushdown, metric, window, &values)
        }
    }
}

fn write_all(
    piece: &mut PieceWriter,
    pushdown: &Pushdown,
    metric: &str,
    window: Window,
    values: &[(&str, &Steps)],
) -> Result<(), RemoteError> {
    let name = format!("{SUM_PREFIX}{metric}");
    for (role, series) in values {
        for (labels, steps) in *series {
            let step_ms = pushdown.step_ms.to_string();
            let ours = Labels::new([
                (METRIC_NAME, name.as_str()),
                (VALUE_LABEL, *role),
                (STEP_LABEL, step_ms.as_str()),
            ]);
            write(piece, labels.with(&ours), steps, window)?;
        }
    }
    Ok(())
}

fn write(
    piece: &mut PieceWriter,
    labels: Labels,
    steps: &BTreeMap<i64, f64>,
    window: Window,
) -> Result<(), RemoteError> {
    let samples =
        Samples { timestamps_ms: steps.keys().copied().collect(), values: steps.values().copied().collect() };
    Ok(piece.samples(&labels, samples, window)?)
}

/// Asks one query at the end of every step of `window`, in halves where that is too much.
fn ask(
    client: &Client<'_>,
    query: &str,
    metric: &str,
    window: Window,
    step_ms: i64,
) -> Result<Steps, RemoteError> {
    let steps = window.length_ms() / step_ms.max(1);
    if steps == 0 {
        return Ok(Steps::new());
    }
    match ask_once(client, query, metric, window, step_ms) {
        Err(RemoteError::TooMuch { .. }) if steps > 1 => {
            let middle_ms = window.start_ms.saturating_add(steps / 2 * step_ms);
            let mut found = ask(client, query, metric, Window::new(window.start_ms, middle_ms), step_ms)?;
            let rest = ask(client, query, metric, Window::new(middle_ms, window.end_ms), step_ms)?;
            for (labels, steps) in rest {
                found.entry(labels).or_default().extend(steps);
            }
            Ok(found)
        }
        other => other,
    }
}

fn ask_once(
    client: &Client<'_>,
    query: &str,
    metric: &str,
    window: Window,
    step_ms: i64,
) -> Result<Steps, RemoteError> {
    let fields = vec![
        ("query", query.to_owned()),
        ("start", seconds(window.start_ms.saturating_add(step_ms))),
        ("end", seconds(window.end_ms)),
        ("step", seconds(step_ms)),
        // VictoriaMetrics moves the times of what it keeps in a cache.
        ("nocache", "1".to_owned()),
    ];
    let what = format!("sums of {metric}, {window}");
    client.ask(&Ask { path: PATH, content: Content::Form(fields), what }, |answer| {
        let body = answer.whole(LONGEST_BYTES)?;
        let data: Data<'_> = api::data(&body, answer)?;
        let mut found = Steps::new();
        for series in data.result {
            let labels = series.metric.iter().filter(|(name, _)| name.as_ref() != METRIC_NAME);
            let labels = Labels::new(labels.map(|(name, value)| (&**name, &**value)));
            let steps = found.entry(labels).or_default();
            for (end_s, text) in &series.values {
                let number: f64 = text
                    .parse()
                    .map_err(|_| answer.form("a matrix of numbers", format!("`{text}` is not a number")))?;
                let end_ms = (end_s * 1000.0).round() as i64;
                steps.insert(end_ms.saturating_sub(step_ms), number);
            }
        }
        Ok(found)
    })
}

/// Samples counted in each step → seconds seen.
fn seconds_seen(counts: &Steps, step_ms: i64) -> Steps {
    let job = |labels: &Labels| labels.get("job").unwrap_or_default().to_owned();
    let mut most: BTreeMap<String, f64> = BTreeMap::new();
    for (labels, steps) in counts {
        let highest: &mut f64 = most.entry(job(labels)).or_default();
        *highest = steps.values().copied().fold(*highest, f64::max);
    }
    let length_s = step_ms as f64 / 1000.0;
    let seen = |labels: &Labels, count: f64| {
        let most = most.get(&job(labels)).copied().unwrap_or_default();
        let is_full = count >= most - LATE_SAMPLES && most > 2.0 * LATE_SAMPLES;
        if is_full { length_s } else { length_s * (count / most).clamp(0.0, 1.0) }
    };
    counts
        .iter()
        .map(|(labels, steps)| {
            let steps = steps.iter().map(|(start_ms, count)| (*start_ms, seen(labels, *count)));
            (labels.clone(), steps.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jobs_or_blanks_interrupt_is_put_together_first() {
        let summed = |binding: Option<&str>, below| Summed {
            aggregate: Aggregate::Increase,
            binding: binding.map(str::to_owned),
            below,
        };
        assert_eq!(summed(None, None).range("m", "3600000ms"), "m[3600000ms]");
        assert_eq!(summed(None, Some(1.5e14)).range("m", "1h"), "(m < 1.5e14)[1h:15s]");
        let held = summed(Some("hpc_job"), None);
        assert_eq!(held.range("m", "1h"), "(max without (hpc_job, container, namespace, pod) (m))[1h:15s]");
        let labels = Labels::new([("UUID", "a"), ("hpc_job", "7"), ("pod", "x")]);
        assert_eq!(held.stable(&labels), Labels::new([("UUID", "a")]));
    }

    #[test]
    fn seconds_seen_follow_from_the_fullest_step_of_the_job() {
        let steps = |counts: &[f64]| counts.iter().enumerate().map(|(n, count)| (n as i64, *count)).collect();
        let labels = |job: &str, instance: &str| Labels::new([("job", job), ("instance", instance)]);
        // Scraped every 15 s: 240 or 239 samples an hour; 60 are a quarter of it.
        let counts = Steps::from([
            (labels("node", "a"), steps(&[240.0, 239.0, 60.0])),
            (labels("node", "b"), steps(&[60.0])),
            (labels("slow", "a"), steps(&[60.0])),
        ]);
        let seen = seconds_seen(&counts, 3_600_000);
        let of = |job, instance| seen[&labels(job, instance)].values().copied().collect::<Vec<f64>>();
        assert_eq!(of("node", "a"), [3600.0, 3600.0, 900.0]);
        assert_eq!(of("node", "b"), [900.0]);
        assert_eq!(of("slow", "a"), [3600.0]);
    }
}
