//! What became of each series, as a list of meters has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NodeBooks;
use crate::meter::catalog::Quantity;
use crate::meter::inventory::{SeriesRow, Use};
use crate::meter::stream::SeriesUse;

/// One series, or all CPU-time series of a node that went one way, which are one meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeterLine {
    /// Its node; empty if none could be found.
    pub node: String,
    /// Who exposes it.
    pub exporter: String,
    /// Its metric.
    pub metric: String,
    /// Its other labels, as PromQL writes them.
    pub labels: String,
    /// How many series it stands for.
    pub series: u64,
    /// Component that it measures; empty if it is no meter.
    pub component: String,
    /// Device that it measures.
    pub device: String,
    /// What it measures.
    pub quantity: String,
    /// What was to become of it.
    pub planned: Use,
    /// Samples that were read inside the window; `None` if it was not read.
    pub read: Option<LineUse>,
}

/// How a meter was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineUse {
    /// Samples in the window.
    pub samples: u64,
    /// Those of them that were left out.
    pub dropped: u64,
    /// Days on which it was the best of its replicas.
    pub days_used: u32,
    /// Days on which another one was better.
    pub days_replica: u32,
}

/// What identifies a line.
type Key = (String, String, String, String, String, String, String, String);

impl MeterLine {
    fn new(series: &SeriesRow, used: Option<&SeriesUse>) -> Self {
        let (component, device, quantity) = match &series.meter {
            Some((component, device, quantity)) => (component.as_str(), device.clone(), quantity.as_str()),
            None => ("", String::new(), ""),
        };
        Self {
            node: series.node.clone(),
            exporter: series.exporter.clone(),
            metric: series.labels.metric().to_owned(),
            labels: series.labels.to_string().trim_start_matches(series.labels.metric()).to_owned(),
            series: 1,
            component: component.to_owned(),
            device,
            quantity: quantity.to_owned(),
            planned: series.used.clone(),
            read: used.map(|used| LineUse {
                samples: used.samples,
                dropped: used.dropped,
                days_used: used.days_used,
                days_replica: used.days_replica,
            }),
        }
    }

    /// What became of it, in words.
    pub fn status(&self) -> String {
        match (&self.planned, self.read) {
            (Use::Fact, _) => "tells about the node".to_owned(),
            (Use::Part(whole), _) => format!("part of {whole}"),
            (Use::Ignored(why), _) => format!("ignored: {why}"),
            (Use::Meter, None) => "not read: a better method knows enough, or no model applies".to_owned(),
            (Use::Meter, Some(used)) => match (used.days_used, used.days_replica) {
                (0, 0) => "no samples in the window".to_owned(),
                (0, _) => "replica".to_owned(),
                (_, 0) => "used".to_owned(),
                (days, replica) => format!("used on {days} of {} days, else replica", days + replica),
            },
        }
    }

    fn key(&self) -> Key {
        (
            self.node.clone(),
            self.exporter.clone(),
            self.metric.clone(),
            self.labels.clone(),
            self.component.clone(),
            self.device.clone(),
            self.quantity.clone(),
            format!("{:?}", self.planned),
        )
    }
}

impl LineUse {
    fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.dropped += other.dropped;
        self.days_used = self.days_used.saturating_add(other.days_used);
        self.days_replica = self.days_replica.saturating_add(other.days_replica);
    }
}

/// A line for each series, by node, exporter, metric and device; one for all CPU-time series of a node that went one way.
pub(super) fn lines(series: &[SeriesRow], nodes: &[NodeBooks]) -> Vec<MeterLine> {
    let uses: BTreeMap<usize, &SeriesUse> =
        nodes.iter().flat_map(|node| &node.uses).map(|used| (used.row, used)).collect();
    let mut lines: Vec<MeterLine> = Vec::new();
    let mut cpu_time: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (index, series) in series.iter().enumerate() {
        let line = MeterLine::new(series, uses.get(&index).copied());
        if line.quantity == Quantity::CpuTime.as_str() {
            let place = *cpu_time.entry((line.node.clone(), line.status())).or_insert(lines.len());
            if let Some(known) = lines.get_mut(place) {
                known.series += 1;
                known.labels = "{cpu, mode}".to_owned();
                if let (Some(known), Some(read)) = (&mut known.read, line.read) {
                    let days = (known.days_used, known.days_replica);
                    known.add(read);
                    (known.days_used, known.days_replica) = days;
                }
                continue;
            }
        }
        lines.push(line);
    }
    sort(&mut lines);
    lines
}

fn sort(lines: &mut [MeterLine]) {
    lines.sort_by(|left, right| {
        (&left.node, &left.exporter, &left.metric, &left.device, &left.labels).cmp(&(
            &right.node,
            &right.exporter,
            &right.metric,
            &right.device,
            &right.labels,
        ))
    });
}

/// The lines of several days as one list, in the same order. Of each day a line tells what became of it then.
pub(super) fn merge(days: impl IntoIterator<Item = Vec<MeterLine>>) -> Vec<MeterLine> {
    let mut merged: Vec<MeterLine> = Vec::new();
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    for mut line in days.into_iter().flatten() {
        if let Some(read) = &mut line.read {
            // Where days are not those of UTC, one has two of these.
            read.days_used = read.days_used.min(1);
            read.days_replica = if read.days_used > 0 { 0 } else { read.days_replica.min(1) };
        }
        let place = *places.entry(line.key()).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push(line),
            Some(known) => {
                known.series = known.series.max(line.series);
                match (&mut known.read, line.read) {
                    (Some(known), Some(read)) => known.add(read),
                    (None, read) => known.read = read,
                    (Some(_), None) => {}
                }
            }
        }
    }
    sort(&mut merged);
    merged
}
