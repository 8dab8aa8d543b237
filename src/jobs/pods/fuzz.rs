//! Series of kube-state-metrics as a function of bytes; see [`crate::fuzzing`].

use super::{INFO, Pods};
use crate::jobs::collect::Collector;
use crate::tsdb::{Labels, METRIC_NAME};

/// A series a line, cut at tabs: the metric, then labels (`name=value`) and samples (`milliseconds:value`).
pub(crate) fn pods(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let series: Vec<(Labels, Vec<(i64, f64)>)> = text.lines().map(one).collect();
    let mut pods = Pods::default();
    let (shown, told): (Vec<_>, Vec<_>) = series.iter().partition(|(labels, _)| labels.metric() == INFO);
    shown.iter().for_each(|(labels, samples)| pods.show(labels, samples));
    told.iter().for_each(|(labels, samples)| pods.tell(labels, samples));
    let last_ms = series.iter().flat_map(|(_, samples)| samples).map(|(at_ms, _)| *at_ms).max();
    let mut collector = Collector::default();
    pods.hand_over(&mut collector, last_ms.unwrap_or_default());
    assert!(collector.finish().runs.len() <= shown.len(), "runs out of nothing");
}

fn one(line: &str) -> (Labels, Vec<(i64, f64)>) {
    let mut labels = Vec::new();
    let mut samples: Vec<(i64, f64)> = Vec::new();
    for (nth, word) in line.split('\t').enumerate() {
        if nth == 0 {
            labels.push((METRIC_NAME, word));
        } else if let Some(label) = word.split_once('=') {
            labels.push(label);
        } else if let Some((at_ms, value)) = word.split_once(':')
            && let (Ok(at_ms), Ok(value)) = (at_ms.parse(), value.parse::<f64>())
            // As the reader of blocks gives them: ascending, and `samples` leaves out what is no number.
            && samples.last().is_none_or(|(before_ms, _)| *before_ms < at_ms)
            && value.is_finite()
        {
            samples.push((at_ms, value));
        }
    }
    (Labels::new(labels), samples)
}
