//! Sums by bucket over the whole cluster, for the charts over time, and how much of each node is known.

use super::figures::position_of;
use crate::ledger::{Method, Row};
use crate::sum::Sum;

/// What the charts show of one bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::report) struct BucketSums {
    /// In joules, by component; `None` where no row is of it.
    pub(in crate::report) energy_j: [Option<Sum>; 4],
    /// In gCO2e, by kind of beneficiary; `None` where nothing of it is priced.
    pub(in crate::report) emissions_gco2e: [Option<Sum>; 4],
    /// Intensity × facility energy, and facility energy, of what is priced.
    pub(in crate::report) weighted: (Sum, Sum),
    /// Energy of devices of which something was seen, in joules; `None` if nothing was.
    pub(in crate::report) seen_j: Option<Sum>,
}

fn add(sum: &mut Option<Sum>, value: f64) {
    sum.get_or_insert_default().add(value);
}

impl BucketSums {
    pub(super) fn add(&mut self, row: &Row<'_>, kind: usize) {
        if let Some(sum) = self.energy_j.get_mut(position_of(row.component)) {
            add(sum, row.energy_j);
        }
        if let (Some(grams), Some(sum)) = (row.emissions_gco2e, self.emissions_gco2e.get_mut(kind)) {
            add(sum, grams);
        }
        if let Some(intensity) = row.price.intensity {
            self.weighted.0.add(intensity * row.facility_energy_j);
            self.weighted.1.add(row.facility_energy_j);
        }
        if row.covered_s + row.interpolated_s > 0.0 {
            add(&mut self.seen_j, row.energy_j);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let pairs = self.energy_j.iter_mut().zip(other.energy_j);
        for (sum, more) in pairs.chain(self.emissions_gco2e.iter_mut().zip(other.emissions_gco2e)) {
            if let Some(more) = more {
                add(sum, more.value());
            }
        }
        self.weighted.0.add(other.weighted.0.value());
        self.weighted.1.add(other.weighted.1.value());
        if let Some(seen) = other.seen_j {
            add(&mut self.seen_j, seen.value());
        }
    }
}

/// How much of the time of one node's devices is known.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct NodeCoverage {
    /// By method and bucket: the sum over devices of the share of the expected time that is known. Empty of methods not met.
    shares: [Vec<f64>; Method::ALL.len()],
    /// By bucket, how many devices were expected.
    devices: Vec<f64>,
    /// Device-seconds known and expected over the whole time.
    known_s: Sum,
    expected_s: Sum,
    /// The device at hand, in a bucket.
    now: Option<Device>,
}

#[derive(Clone, Debug)]
struct Device {
    bucket: usize,
    component: usize,
    id: String,
    method: Method,
    known_s: Sum,
    expected_s: Sum,
}

impl NodeCoverage {
    /// Adds a row; those of a device in a bucket, one for each beneficiary, stand together.
    pub(super) fn add(&mut self, row: &Row<'_>, buckets: usize) {
        let component = position_of(row.component);
        let is_same =
            |now: &Device| (now.bucket, now.component) == (row.bucket, component) && now.id == row.device;
        if !self.now.as_ref().is_some_and(is_same) {
            // The text is used again: rows are many.
            let mut id = self.close(buckets).unwrap_or_default();
            id.clear();
            id.push_str(row.device);
            let (known_s, expected_s) = (Sum::new(), Sum::new());
            self.now =
                Some(Device { bucket: row.bucket, component, id, method: row.method, known_s, expected_s });
        }
        if let Some(now) = &mut self.now {
            now.known_s.add(row.covered_s);
            now.known_s.add(row.interpolated_s);
            now.expected_s.add(row.expected_s);
        }
    }

    /// Ends the device at hand.
    pub(super) fn close(&mut self, buckets: usize) -> Option<String> {
        let Device { bucket, id, method, known_s, expected_s, .. } = self.now.take()?;
        let (known_s, expected_s) = (known_s.value(), expected_s.value());
        self.known_s.add(known_s);
        self.expected_s.add(expected_s);
        if method != Method::None
            && let Some(shares) = self.shares.get_mut(method as usize)
            && shares.is_empty()
        {
            *shares = vec![0.0; buckets];
        }
        if expected_s > 0.0 {
            self.devices.resize(buckets, 0.0);
            if let Some(devices) = self.devices.get_mut(bucket) {
                *devices += 1.0;
            }
            let share = self.shares.get_mut(method as usize).and_then(|shares| shares.get_mut(bucket));
            if let Some(share) = share {
                *share += known_s / expected_s;
            }
        }
        Some(id)
    }

    /// True if some energy was found by `method`.
    pub(in crate::report) fn has(&self, method: Method) -> bool {
        self.shares.get(method as usize).is_some_and(|shares| !shares.is_empty())
    }

    /// For each of `buckets` in which a device was expected, by method: the mean over devices.
    pub(in crate::report) fn mean_shares(&self, methods: &[Method], buckets: usize) -> Vec<Option<Vec<f64>>> {
        let share = |method: &Method, bucket: usize| {
            self.shares.get(*method as usize).and_then(|shares| shares.get(bucket)).copied().unwrap_or(0.0)
        };
        let of_bucket = |bucket: usize| {
            let devices = self.devices.get(bucket).copied().unwrap_or(0.0);
            (devices > 0.0).then(|| methods.iter().map(|method| share(method, bucket) / devices).collect())
        };
        (0..buckets).map(of_bucket).collect()
    }

    /// Device-seconds known and expected.
    pub(in crate::report) fn seconds(&self) -> (f64, f64) {
        (self.known_s.value(), self.expected_s.value())
    }

    /// Share of the device-seconds that is known.
    pub(in crate::report) fn share(&self) -> f64 {
        let (known_s, expected_s) = self.seconds();
        if expected_s > 0.0 { known_s / expected_s } else { 1.0 }
    }
}
