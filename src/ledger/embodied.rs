//! What it took to make the machines, given to those who reserve them (rule G5).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::{Claim, NodeSize, Split, Timeline};
use super::entry::Beneficiary;
use super::rules::NodeHardware;
use crate::carbon::{DeviceKind, Footprint, Footprints, LIFETIME_YEARS, amortised_g};
use crate::meter::presence::Presence;
use crate::sum::Sum;
use crate::time::Window;

/// A device, its footprint, and who had what of it.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbodiedDevice {
    /// `server`, or the GPU's id.
    pub device: String,
    /// Its model in words, if known.
    pub model: String,
    /// What it took to make it.
    pub footprint: Footprint,
    /// Its expected life, in years.
    pub lifetime_years: f64,
    /// Seconds of the report during which it was there.
    pub in_service_s: f64,
    /// What falls on each, in gCO2e, by beneficiary.
    pub shares: Vec<(Beneficiary, f64)>,
}

impl EmbodiedDevice {
    /// What falls on the report's time, in gCO2e.
    pub fn amortised_gco2e(&self) -> f64 {
        amortised_g(self.footprint.kgco2e, self.lifetime_years, self.in_service_s)
    }
}

/// A node, as far as its embodied emissions need it.
pub(super) struct EmbodiedNode<'a> {
    pub(super) stated: &'a NodeHardware,
    /// Id and model of each GPU, in the order of their positions in claims.
    pub(super) gpus: Vec<(String, String)>,
    pub(super) claims: &'a [Claim],
    pub(super) size: NodeSize,
    pub(super) presence: &'a Presence,
    pub(super) known: bool,
    pub(super) jobs_covered: Option<Window>,
}

/// For how long a device was there, and who held it.
#[derive(Default)]
struct Held {
    in_service: Sum,
    seconds: BTreeMap<Beneficiary, Sum>,
}

impl EmbodiedNode<'_> {
    /// Every device of which a footprint is known.
    pub(super) fn devices(&self, table: &Footprints, buckets: &[Window]) -> Vec<EmbodiedDevice> {
        let edges: Vec<i64> =
            self.jobs_covered.iter().flat_map(|covered| [covered.start_ms, covered.end_ms]).collect();
        let timeline = Timeline::new(self.claims, buckets, &edges);
        let server = (
            DeviceKind::Server { has_gpus: !self.gpus.is_empty() },
            "server",
            "",
            self.stated.embodied_kgco2e,
        );
        let gpus = self.gpus.iter().map(|(id, model)| {
            (DeviceKind::Gpu, id.as_str(), model.as_str(), self.stated.gpu_embodied_kgco2e)
        });
        let mut found = Vec::new();
        for (position, (kind, id, model, stated)) in gpus.chain([server]).enumerate() {
            let of_site =
                |kgco2e| Footprint { kgco2e, source: Arc::from("stated by the site"), is_of_model: true };
            let Some(footprint) = stated.map(of_site).or_else(|| table.find(kind, model)) else { continue };
            let device = EmbodiedDevice {
                device: id.to_owned(),
                model: model.to_owned(),
                shares: Vec::new(),
                footprint,
                lifetime_years: self.stated.lifetime_years.unwrap_or(LIFETIME_YEARS),
                in_service_s: 0.0,
            };
            found.push((position, kind, device, Held::default()));
        }
        for stretch in timeline.stretches(self.claims, self.size) {
            for slice in stretch.slices {
                let length_s = self.presence.there_s(slice.window);
                if length_s <= 0.0 {
                    continue;
                }
                for (position, kind, _, held) in &mut found {
                    let split = stretch.splits(slice).and_then(|splits| match kind {
                        DeviceKind::Gpu => splits.gpus.get(*position),
                        DeviceKind::Server { .. } => Some(&splits.other),
                    });
                    held.in_service.add(length_s);
                    self.give(split, slice.window, length_s, &mut held.seconds);
                }
            }
        }
        let finished = found.into_iter().map(|(_, _, device, held)| {
            let (kgco2e, years) = (device.footprint.kgco2e, device.lifetime_years);
            let shares = held
                .seconds
                .into_iter()
                .map(|(beneficiary, seconds)| (beneficiary, amortised_g(kgco2e, years, seconds.value())));
            EmbodiedDevice { shares: shares.collect(), in_service_s: held.in_service.value(), ..device }
        });
        finished.collect()
    }

    fn give(
        &self,
        split: Option<&Split>,
        window: Window,
        length_s: f64,
        seconds: &mut BTreeMap<Beneficiary, Sum>,
    ) {
        let mut remainder = 1.0;
        if let Some(split) = split {
            for share in &split.shares {
                if let Some(claim) = self.claims.get(share.claim) {
                    seconds.entry(Beneficiary::Run(claim.run)).or_default().add(share.share * length_s);
                }
            }
            remainder = split.remainder;
        }
        if remainder > 0.0 {
            let rest = Beneficiary::of_the_rest(self.known, self.jobs_covered, window.start_ms);
            seconds.entry(rest).or_default().add(remainder * length_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR_MS;

    #[test]
    fn a_run_has_what_it_reserves_and_idle_the_rest() {
        let claim = Claim {
            run: 0,
            window: Window::new(HOUR_MS, 3 * HOUR_MS),
            cpus: Some(8.0),
            memory_bytes: None,
            gpus: Some(1.0),
            bound_gpus: vec![1],
            gpu_parts: BTreeMap::new(),
        };
        let stated = NodeHardware {
            embodied_kgco2e: Some(1752.0),
            gpu_embodied_kgco2e: Some(175.2),
            lifetime_years: Some(5.0),
            ..NodeHardware::default()
        };
        let buckets: Vec<Window> =
            (0..4).map(|hour| Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS)).collect();
        let node = EmbodiedNode {
            stated: &stated,
            gpus: vec![("a".to_owned(), String::new()), ("b".to_owned(), String::new())],
            claims: &[claim],
            size: NodeSize { cpus: Some(32.0), memory_bytes: None, gpus: 2 },
            // Seen for three of the four hours.
            presence: &Presence { span: Some(Window::new(HOUR_MS, 4 * HOUR_MS)), ..Presence::default() },
            known: true,
            jobs_covered: Some(Window::new(0, 4 * HOUR_MS)),
        };
        let devices = node.devices(&Footprints::shipped().unwrap(), &buckets);
        let shares = |at: usize| devices[at].shares.clone();
        // 175.2 kg over 43,800 h are 4 g an hour; 1,752 kg are 40.
        let run = Beneficiary::Run(0);
        let is = |found: Vec<(Beneficiary, f64)>, expected: &[(Beneficiary, f64)]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((who, grams), (of, wanted)) in found.iter().zip(expected) {
                assert!(who == of && (grams - wanted).abs() < 1e-9, "{found:?}");
            }
        };
        is(shares(0), &[(Beneficiary::Idle, 12.0)]);
        is(shares(1), &[(run, 8.0), (Beneficiary::Idle, 4.0)]);
        // One GPU of two is more than 8 of 32 processors: half of it for two hours, and all of it idle in the third.
        is(shares(2), &[(run, 40.0), (Beneficiary::Idle, 80.0)]);
        for device in &devices {
            let given: f64 = device.shares.iter().map(|(_, grams)| grams).sum();
            assert!((given - device.amortised_gco2e()).abs() < 1e-9);
        }
    }

    /// Impact Framework, `sci-embodied`, scenario 1: 1,200 kg, two hours, 4 years: 34.24657534246575 g each (PEERS, G24).
    #[test]
    fn the_impact_frameworks_case() {
        let observation = amortised_g(1200.0, LIFETIME_YEARS, 3600.0);
        assert!((observation - 34.246_575_342_465_75).abs() < 1e-12);
        assert!((2.0 * observation - 68.493_150_684_931_5).abs() < 1e-12);
    }
}
