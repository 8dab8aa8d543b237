//! How close run edges come to the truth: the rule of `docs/accounting.md` C6
//! against cutting by time, on power functions that are integrated by formula.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use wattledger::meter::curve::{Coverage, Curve, Interval};
use wattledger::meter::edges::{EdgeRule, Holders, Placed, place};
use wattledger::time::Window;

/// Mean idle power of the device, in watts.
const IDLE_W: f64 = 60.0;
/// What idle power wobbles by: amplitude in watts, period in seconds.
const WOBBLES: [(f64, f64); 2] = [(1.5, 37.0), (1.0, 11.0)];

/// Energy of the idle device from instant 0 up to `at_ms`, by formula.
fn idle_energy(at_ms: i64) -> f64 {
    let seconds = at_ms as f64 / 1000.0;
    let wobble = WOBBLES.iter().map(|(watts, period)| {
        let turns = std::f64::consts::TAU / period;
        watts * (1.0 - (turns * seconds).cos()) / turns
    });
    IDLE_W * seconds + wobble.sum::<f64>()
}

/// What a run does to the device's power.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    /// At once at full power.
    Step,
    /// Up to full power within 20 s.
    Ramp,
    /// Full power for 7 s in every 12.
    Bursts,
}

/// A run of `load` at `watts` above idle.
struct Profile {
    load: Load,
    watts: f64,
    run: Window,
}

impl Profile {
    /// Energy from the run's start up to `seconds` into it, above idle, by formula.
    fn above_idle(&self, seconds: f64) -> f64 {
        let seconds = seconds.clamp(0.0, self.run.length_s());
        self.watts
            * match self.load {
                Load::Step => seconds,
                Load::Ramp if seconds < 20.0 => seconds * seconds / 40.0,
                Load::Ramp => seconds - 10.0,
                Load::Bursts => 7.0 * (seconds / 12.0).floor() + (seconds % 12.0).min(7.0),
            }
    }

    /// Energy in `window`, idle included.
    fn energy(&self, window: Window) -> f64 {
        let into = |at_ms: i64| (at_ms - self.run.start_ms) as f64 / 1000.0;
        let idle = idle_energy(window.end_ms) - idle_energy(window.start_ms);
        idle + self.above_idle(into(window.end_ms)) - self.above_idle(into(window.start_ms))
    }
}

/// A random number in `[0, 1)`.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

struct Errors {
    /// Mean of |error| ÷ energy.
    mean: f64,
    /// Share of runs within their `edge_error_j` and 0.1 %.
    within: f64,
}

/// Places many random runs of one length and measures how far off each is.
fn measure(load: Load, length_s: i64, scrape_s: i64, rule: EdgeRule) -> Errors {
    const RUNS: usize = 400;
    let mut random = ChaCha8Rng::seed_from_u64(20_240_603);
    let (mut sum, mut within) = (0.0, 0);
    for _ in 0..RUNS {
        let start_ms = 1_200_000 + (unit(&mut random) * 120_000.0) as i64;
        let run = Window::new(start_ms, start_ms + length_s * 1000);
        let profile = Profile { load, watts: 100.0 + 500.0 * unit(&mut random), run };
        let mut times = vec![0];
        while times.last().is_some_and(|last| *last < run.end_ms + 1_200_000) {
            let jitter = (unit(&mut random) * 40.0) as i64 - 20;
            times.push((times.len() as i64) * scrape_s * 1000 + jitter);
        }
        let pairs = times.iter().zip(times.iter().skip(1));
        let intervals = pairs.map(|(&from_ms, &to_ms)| {
            let energy_j = profile.energy(Window::new(from_ms, to_ms));
            Interval::flat(from_ms, to_ms, energy_j, Coverage::Covered)
        });
        let holders = Holders::new([(run.start_ms, 1), (run.end_ms, 0)]);
        let Placed { intervals: placed, errors, .. } = place(intervals.collect(), &holders, rule);
        let error_j = Curve::new(placed).read(run).energy_j - profile.energy(run);
        let allowed: f64 = errors
            .iter()
            .map(|edge| if edge.at_ms == run.start_ms { edge.before_j } else { edge.after_j })
            .sum();
        sum += error_j.abs() / profile.energy(run);
        within += usize::from(error_j.abs() <= allowed + 0.001 * profile.energy(run));
    }
    Errors { mean: sum / RUNS as f64, within: within as f64 / RUNS as f64 }
}

/// The rule comes ten times closer than cutting by time, short runs come out
/// within a few per cent, and the printed error holds for 95 % of runs.
#[test]
fn the_rule_against_cutting_by_time() {
    let mut within = Vec::new();
    println!("| run | scrape | load | linear | C6 | ratio | within edge_error_j + 0.1 % |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (length_s, name) in [(15, "15 s"), (60, "1 min"), (600, "10 min"), (3600, "60 min")] {
        for scrape_s in [15, 30, 60] {
            for load in [Load::Step, Load::Ramp, Load::Bursts] {
                let linear = measure(load, length_s, scrape_s, EdgeRule::Linear);
                let power = measure(load, length_s, scrape_s, EdgeRule::Power);
                println!(
                    "| {name} | {scrape_s} s | {load:?} | {:.3} % | {:.3} % | {:.1} | {:.1} % |",
                    linear.mean * 100.0,
                    power.mean * 100.0,
                    linear.mean / power.mean.max(1e-12),
                    power.within * 100.0,
                );
                assert!(power.mean * 10.0 <= linear.mean, "{name} at {scrape_s} s, {load:?}");
                assert!(power.mean < 0.03, "{name} at {scrape_s} s, {load:?}");
                within.push(power.within);
            }
        }
    }
    let all = within.iter().sum::<f64>() / within.len() as f64;
    println!("within edge_error_j + 0.1 % over all: {:.1} %", all * 100.0);
    assert!(all >= 0.95);
}
