//! The three balances (rule section 7). This code adds up again what the
//! attribution has written, from the other side, and shares nothing with it.

use super::attribute::Attributed;
use super::device::Device;
use super::whole::NodeBucket;
use crate::meter::catalog::Component;
use crate::sum::Sum;
use crate::time::Window;

/// Relative tolerance of every comparison.
const TOLERANCE: f64 = 1e-9;

/// Two totals that should agree and do not.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Difference {
    /// Of which node, device and bucket.
    pub what: String,
    /// One side, in joules.
    pub left_j: f64,
    /// The other.
    pub right_j: f64,
}

/// One of the three balances, over everything compared.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Balance {
    /// How many pairs were compared.
    pub compared: u64,
    /// Sum of the left sides, in joules.
    pub left_j: f64,
    /// Sum of the right sides, in joules.
    pub right_j: f64,
    /// Largest difference relative to max(total, 1 J).
    pub worst_relative: f64,
    /// What did not agree.
    pub failures: Vec<Difference>,
}

impl Balance {
    fn compare(&mut self, what: impl FnOnce() -> String, left_j: f64, right_j: f64) {
        self.compared += 1;
        self.left_j += left_j;
        self.right_j += right_j;
        let relative = (left_j - right_j).abs() / left_j.abs().max(right_j.abs()).max(1.0);
        // A NaN agrees with nothing.
        if relative <= TOLERANCE {
            self.worst_relative = self.worst_relative.max(relative);
        } else {
            self.worst_relative =
                if relative.is_nan() { f64::INFINITY } else { relative.max(self.worst_relative) };
            self.failures.push(Difference { what: what(), left_j, right_j });
        }
    }

    /// True if everything agreed.
    pub fn closes(&self) -> bool {
        self.failures.is_empty()
    }

    fn merge(&mut self, other: Self) {
        self.compared += other.compared;
        self.left_j += other.left_j;
        self.right_j += other.right_j;
        self.worst_relative = self.worst_relative.max(other.worst_relative);
        self.failures.extend(other.failures);
    }
}

/// All three.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Balances {
    /// Σ entries = E(end) − E(start), for each device and bucket; shares in [0, 1].
    pub entries: Balance,
    /// Σ buckets + what lies outside = the increments summed while decoding, for each device and method.
    pub increments: Balance,
    /// Node meter = Σ parts + other − overmeasured, for each node and bucket.
    pub node_meters: Balance,
    /// Energy that was read but lies outside the window, in joules.
    pub outside_j: f64,
    /// Energy that a node meter saw while a part was not covered: in no line, in joules.
    pub unmatched_j: f64,
    /// What measured parts exceed their node meters by, in joules.
    pub overmeasured_j: f64,
}

impl Balances {
    /// True if all of them close.
    pub fn close(&self) -> bool {
        self.entries.closes() && self.increments.closes() && self.node_meters.closes()
    }

    /// Adds those of another node or day.
    pub fn merge(&mut self, other: Self) {
        self.entries.merge(other.entries);
        self.increments.merge(other.increments);
        self.node_meters.merge(other.node_meters);
        self.outside_j += other.outside_j;
        self.unmatched_j += other.unmatched_j;
        self.overmeasured_j += other.overmeasured_j;
    }

    /// Checks one node.
    pub fn of_node(
        name: &str,
        devices: &[Device],
        attributed: &Attributed,
        node_buckets: &[NodeBucket],
        buckets: &[Window],
    ) -> Self {
        let mut balances = Self::default();
        let mut sums: Vec<Vec<Sum>> = vec![vec![Sum::new(); buckets.len()]; devices.len()];
        for entry in &attributed.entries {
            if let Some(sum) = sums.get_mut(entry.device).and_then(|row| row.get_mut(entry.bucket)) {
                sum.add(entry.energy_j);
            }
        }
        for (device, sums) in devices.iter().zip(&sums) {
            let label =
                |bucket: &Window| format!("{name} {} {} {bucket}", device.key.component, device.key.id);
            let mut reader = device.reader();
            for ((index, bucket), sum) in buckets.iter().enumerate().zip(sums) {
                let used_j = reader.read(index, *bucket).energy_j;
                balances.entries.compare(|| label(bucket), sum.value(), used_j);
            }
            for method in &device.methods {
                let curve = &method.curve;
                let mut inside = Sum::new();
                let mut cursor = curve.cursor();
                for bucket in buckets {
                    inside.add(cursor.read(*bucket).energy_j);
                }
                let outside_j = match (curve.span(), buckets.first(), buckets.last()) {
                    (Some(span), Some(first), Some(last)) => {
                        let before = Window::new(span.start_ms.min(first.start_ms), first.start_ms);
                        let after = Window::new(last.end_ms, span.end_ms.max(last.end_ms));
                        curve.read(before).energy_j + curve.read(after).energy_j
                    }
                    _ => 0.0,
                };
                balances.outside_j += outside_j;
                let what = || format!("{name} {} {} {}", device.key.component, device.key.id, method.method);
                balances.increments.compare(what, inside.value() + outside_j, method.tally.increments_j);
            }
            if device.key.component == Component::Other {
                for ((bucket, node), sum) in buckets.iter().zip(node_buckets).zip(sums) {
                    balances.node_meters.compare(
                        || format!("{name} node meter {bucket}"),
                        node.node_j,
                        node.parts_j + sum.value() - node.overmeasured_j,
                    );
                    balances.unmatched_j += node.unmatched_j;
                    balances.overmeasured_j += node.overmeasured_j;
                }
            }
        }
        let (least, most) = attributed.share_bounds;
        if least < 0.0 || most > 1.0 + TOLERANCE {
            balances.entries.failures.push(Difference {
                what: format!("{name}: a share outside [0, 1]"),
                left_j: least,
                right_j: most,
            });
        }
        balances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millionth_too_much_is_a_failure_and_so_is_nan() {
        let mut balance = Balance::default();
        balance.compare(|| "fits".to_owned(), 1e6, 1e6 * (1.0 + 1e-12));
        assert!(balance.closes());
        balance.compare(|| "too much".to_owned(), 1e6, 1e6 * (1.0 + 1e-6));
        balance.compare(|| "nan".to_owned(), f64::NAN, 1.0);
        assert_eq!(balance.failures.len(), 2);
        assert_eq!(balance.failures[0].what, "too much");
    }
}
