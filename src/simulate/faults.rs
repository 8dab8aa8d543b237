//! What goes wrong: nodes down, exporters restarted, targets unreachable, Prometheus away.

use super::random::{Purpose, stream};
use super::scenario::Scenario;
use crate::time::{HOUR_MS, MINUTE_MS, SECOND_MS, Window};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Faults of a scenario; node numbers count compute nodes, then the others.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Power off, ascending and apart; a window ends with the boot.
    node_off: BTreeMap<u32, Vec<Window>>,
    /// The node exporter alone away for some scrapes.
    pub(super) exporter_restarts: BTreeMap<u32, Vec<Window>>,
    /// The GPU exporter away for long.
    pub(super) gpu_exporter_down: BTreeMap<u32, Vec<Window>>,
    /// The first and the second Prometheus not running.
    pub(super) prometheus_away: [Vec<Window>; 2],
}

impl Faults {
    /// Draws them: rare, but at least one of each where the window is long enough.
    pub(super) fn draw(scenario: &Scenario, window: Window) -> Self {
        let mut chance = stream(scenario.seed, Purpose::Faults, 0);
        let mut faults = Self::default();
        if window.length_ms() < 2 * HOUR_MS || scenario.nodes == 0 {
            return faults;
        }
        let node_days = f64::from(scenario.nodes) * scenario.days;
        let count = |per: f64| (node_days / per).ceil().max(1.0) as u32;
        for nth in 0..count(40.0) {
            // The first three nodes have RAPL: one outage at least resets its counters.
            let among = if nth == 0 { scenario.busy_nodes().min(3) } else { scenario.busy_nodes() };
            let node = chance.random_range(0..among);
            let off = within(&mut chance, window, 3 * MINUTE_MS..12 * MINUTE_MS);
            // Two outages of one node could touch; one is enough.
            faults.node_off.entry(node).or_insert_with(|| vec![off]);
        }
        for _ in 0..count(20.0) {
            let node = chance.random_range(0..scenario.nodes);
            let away = within(&mut chance, window, 20 * SECOND_MS..60 * SECOND_MS);
            faults.exporter_restarts.entry(node).or_default().push(away);
        }
        if window.length_ms() >= 12 * HOUR_MS {
            for _ in 0..count(120.0) {
                let node = chance.random_range(0..scenario.nodes);
                let down = within(&mut chance, window, 30 * MINUTE_MS..2 * HOUR_MS);
                faults.gpu_exporter_down.entry(node).or_default().push(down);
            }
        }
        for away in &mut faults.prometheus_away {
            for _ in 0..(scenario.days / 3.0).ceil() as u32 {
                away.push(within(&mut chance, window, 2 * MINUTE_MS..8 * MINUTE_MS));
            }
        }
        faults
    }

    /// When node `nth` was off.
    pub(super) fn outages(&self, nth: u32) -> &[Window] {
        self.node_off.get(&nth).map_or(&[], Vec::as_slice)
    }

    /// All outages, for the summary.
    pub(super) fn outage_count(&self) -> usize {
        self.node_off.values().map(Vec::len).sum()
    }
}

/// A window of whole seconds in the middle four fifths of `window`.
fn within(chance: &mut ChaCha8Rng, window: Window, length_ms: std::ops::Range<i64>) -> Window {
    let length_ms = chance.random_range(length_ms) / SECOND_MS * SECOND_MS;
    let tenth_ms = window.length_ms() / 10;
    let start_ms = window.start_ms + chance.random_range(tenth_ms..9 * tenth_ms);
    let start_ms = start_ms / SECOND_MS * SECOND_MS;
    Window::new(start_ms, start_ms + length_ms)
}
