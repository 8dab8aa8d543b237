//! Reads the meter of a whole node: its own energy counter or power gauge, the
//! outlets that feed it, or a server's sums (rule T1).

use super::measure::{Reading, add_all, add_sums};
use super::method::Method;
use crate::meter::counter::{self, CounterRules, Tally};
use crate::meter::curve::{Curve, Interval};
use crate::meter::edges::{EdgeRule, Holders};
use crate::meter::gauge;
use crate::meter::inventory::{MeterSeries, NodeSeries};
use crate::meter::presence::{Boots, Seen};
use crate::meter::stream::{Scratch, SeriesUse, add_up, read_meter};
use crate::meter::sums::read_sums;
use crate::power;
use crate::source::SourceError;

/// A whole-node meter.
#[derive(Clone, Debug)]
pub(super) struct NodeMeter {
    /// Counter or gauge.
    pub method: Method,
    /// Its metric.
    pub source: String,
    /// Its energy.
    pub curve: Curve,
    /// What was read and dropped.
    pub tally: Tally,
}

impl NodeMeter {
    fn new(method: Method, source: String, intervals: Vec<Interval>, tally: Tally) -> Self {
        Self { method, source, curve: Curve::new(intervals), tally }
    }
}

/// The first of these that the node has: an energy counter, a power gauge of its own, the power of all outlets
/// that feed it, sums made by a server.
pub(super) fn read_node_meter(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    boots: &Boots,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
    span: &mut Seen,
) -> Result<Option<NodeMeter>, SourceError> {
    if let Some(found) = counter(series, reading, boots, scratch, uses, span)? {
        return Ok(Some(found));
    }
    let own = series.node_power.get("");
    let feeds: Vec<&Vec<MeterSeries<'_>>> = match own {
        Some(own) => vec![own],
        None => series.node_power.values().collect(),
    };
    let mut samples = Vec::with_capacity(feeds.len());
    for feed in &feeds {
        let read = read_meter(feed, reading.window, scratch)?;
        add_all(span, &read);
        uses.extend(read.uses.iter().cloned());
        samples.push(read);
    }
    let Some(first) = feeds.first().and_then(|feed| feed.first()) else {
        return summed(series, reading, scratch, uses, span);
    };
    let power = add_up(samples);
    let mut tally = power.tally.clone();
    let intervals = gauge::integrate(
        &power.samples,
        &power.stale_ms,
        first.kind.max_w.unwrap_or(power::P_MAX_NODE.value()),
        &power.gaps,
        (&Holders::default(), EdgeRule::Linear),
        &mut tally,
    );
    let metric = first.kind.metric.clone();
    let source = if feeds.len() > 1 { format!("{metric} of {} outlets", feeds.len()) } else { metric };
    Ok(Some(NodeMeter::new(Method::MeasuredGauge, source, intervals, tally)))
}

fn counter(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    boots: &Boots,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
    span: &mut Seen,
) -> Result<Option<NodeMeter>, SourceError> {
    let Some(first) = series.node_energy.first() else { return Ok(None) };
    let read = read_meter(&series.node_energy, reading.window, scratch)?;
    if read.samples.len() < 2 {
        return Ok(None);
    }
    add_all(span, &read);
    uses.extend(read.uses.iter().cloned());
    let rules = CounterRules {
        wrap_j: &first.kind.wrap_j,
        resets: first.kind.resets,
        max_power_w: first.kind.max_w.unwrap_or(power::P_MAX_NODE.value()),
        boots,
        gaps: &read.gaps,
    };
    let mut tally = read.tally.clone();
    let intervals = counter::integrate(&read.samples, &read.stale_ms, &rules, &mut tally);
    Ok(Some(NodeMeter::new(Method::MeasuredCounter, first.kind.metric.clone(), intervals, tally)))
}

/// From sums that a server made of the gauge.
fn summed(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
    span: &mut Seen,
) -> Result<Option<NodeMeter>, SourceError> {
    let Some(meter) = series.node_power_sums.first() else { return Ok(None) };
    let sums = read_sums(&series.node_power_sums, reading.window, scratch)?;
    add_sums(span, &sums);
    uses.extend(sums.uses.iter().cloned());
    let mut tally = sums.tally.clone();
    let intervals = sums.intervals(|step| step.sum, power::P_MAX_NODE.value(), &mut tally);
    Ok(Some(NodeMeter::new(Method::MeasuredGauge, meter.kind.metric.clone(), intervals, tally)))
}
