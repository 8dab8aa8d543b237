//! ipmi_exporter: the power of the whole node, in whole watts.

use super::{Exporter, Meter, Series};

pub(super) fn series(exporter: &Exporter<'_>) -> Vec<Series> {
    let metric = exporter.node.ipmi.as_ref().map(|ipmi| ipmi.metric);
    metric.into_iter().map(|metric| exporter.series(metric, &[], Meter::NodePower)).collect()
}
