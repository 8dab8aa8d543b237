//! How hard a run works over time: a function that is integrated by formula.
//!
//! A profile is dimensionless; a device multiplies it by watts, a processor by
//! cores. Pieces are lines plus square waves, so that the integral up to any
//! instant is exact but for rounding.

use crate::time::Window;
use std::sync::Arc;

/// A rectangular wave that starts at its piece's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// Added while the wave is high.
    pub(super) amplitude: f64,
    pub(super) period_ms: i64,
    /// High for this long at the start of each period.
    pub(super) high_ms: i64,
}

/// A line from `from` to `to` over a window, and a wave on top of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) window: Window,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) pulse: Option<Pulse>,
}

impl Piece {
    pub(super) fn constant(window: Window, level: f64) -> Self {
        Self { window, from: level, to: level, pulse: None }
    }

    #[cfg(test)]
    fn value(&self, at_ms: i64) -> f64 {
        let elapsed_ms = at_ms - self.window.start_ms;
        let along = elapsed_ms as f64 / self.window.length_ms().max(1) as f64;
        let high = self.pulse.filter(|pulse| elapsed_ms % pulse.period_ms.max(1) < pulse.high_ms);
        self.from + (self.to - self.from) * along + high.map_or(0.0, |pulse| pulse.amplitude)
    }

    /// ∫ from the piece's start over `elapsed_ms`, in seconds:
    /// f·s + (t − f)·s²/2L for the line, amplitude × time high for the wave.
    fn integral(&self, elapsed_ms: i64) -> f64 {
        let elapsed_s = elapsed_ms as f64 / 1000.0;
        let slope = (self.to - self.from) / self.window.length_s().max(0.001);
        let line = elapsed_s * (self.from + 0.5 * slope * elapsed_s);
        let wave = self.pulse.map_or(0.0, |pulse| {
            let period_ms = pulse.period_ms.max(1);
            let whole_ms = (elapsed_ms / period_ms) * pulse.high_ms;
            let high_ms = whole_ms + (elapsed_ms % period_ms).min(pulse.high_ms);
            pulse.amplitude * high_ms as f64 / 1000.0
        });
        line + wave
    }
}

/// Adjoining pieces; zero before the first and after the last.
#[derive(Debug)]
pub(super) struct Profile {
    pieces: Box<[Piece]>,
    /// The integral up to the start of each piece.
    before: Box<[f64]>,
    total: f64,
}

impl Profile {
    /// A profile of `pieces` that follow each other without a gap.
    pub(super) fn new(pieces: Vec<Piece>) -> Self {
        let mut total = 0.0;
        let mut before = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            before.push(total);
            total += piece.integral(piece.window.length_ms());
        }
        Self { pieces: pieces.into(), before: before.into(), total }
    }

    /// From the first piece's start to the last one's end.
    pub(super) fn window(&self) -> Window {
        let start_ms = self.pieces.first().map_or(0, |piece| piece.window.start_ms);
        Window::new(start_ms, self.pieces.last().map_or(start_ms, |piece| piece.window.end_ms))
    }

    /// The value at an instant: what the integrals are checked against.
    #[cfg(test)]
    pub(super) fn value(&self, at_ms: i64) -> f64 {
        let nth = self.pieces.partition_point(|piece| piece.window.end_ms <= at_ms);
        match self.pieces.get(nth) {
            Some(piece) if piece.window.start_ms <= at_ms => piece.value(at_ms),
            _ => 0.0,
        }
    }

    /// ∫ up to `at_ms`, in seconds. `hint` is the piece to look at first and is
    /// left at the one found: cheap where instants ascend.
    pub(super) fn integral_to(&self, at_ms: i64, hint: &mut usize) -> f64 {
        while let Some(piece) = self.pieces.get(*hint) {
            if at_ms < piece.window.end_ms {
                let elapsed_ms = (at_ms - piece.window.start_ms).max(0);
                return self.before.get(*hint).copied().unwrap_or_default() + piece.integral(elapsed_ms);
            }
            *hint += 1;
        }
        self.total
    }

    /// ∫ over `window`, in seconds.
    pub(super) fn integral(&self, window: Window) -> f64 {
        if window.is_empty() {
            return 0.0;
        }
        let piece_at = |at_ms| self.pieces.partition_point(|piece| piece.window.end_ms <= at_ms);
        let (mut first, mut last) = (piece_at(window.start_ms), piece_at(window.end_ms));
        self.integral_to(window.end_ms, &mut last) - self.integral_to(window.start_ms, &mut first)
    }
}

/// A profile scaled to a quantity.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) profile: Arc<Profile>,
    pub(super) factor: f64,
}

/// What a device takes: a base while it is on, and the loads of its runs.
///
/// In watts the integral is joules; in busy processors it is processor seconds.
#[derive(Clone, Debug)]
pub(super) struct LoadCurve {
    base: f64,
    on: Arc<[Window]>,
    /// In order of their starts.
    loads: Vec<Load>,
}

impl LoadCurve {
    pub(super) fn new(base: f64, on: Arc<[Window]>, mut loads: Vec<Load>) -> Self {
        loads.sort_by_key(|load| load.profile.window());
        Self { base, on, loads }
    }

    /// ∫ over `window`, in units × seconds.
    pub(super) fn integral(&self, window: Window) -> f64 {
        let on = self.on.iter().filter_map(|on| on.intersect(window)).map(|part| self.base * part.length_s());
        let touching = self.loads.partition_point(|load| load.profile.window().start_ms < window.end_ms);
        let loads = self.loads.iter().take(touching).map(|load| load.factor * load.profile.integral(window));
        crate::sum::sum(on.chain(loads))
    }

    /// Reads the curve at ascending instants.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { curve: self, next: 0, active: Vec::new(), finished: 0.0, on: 0, on_ms: 0 }
    }
}

/// A place on a [`LoadCurve`] that only moves forward.
pub(super) struct Cursor<'a> {
    curve: &'a LoadCurve,
    /// The first load that has not begun.
    next: usize,
    /// Begun and unfinished loads, with the piece that each is in.
    active: Vec<(&'a Load, usize)>,
    /// Integral of the loads that have ended.
    finished: f64,
    /// Windows of `on` that have ended, and their length.
    on: usize,
    on_ms: i64,
}

impl Cursor<'_> {
    /// ∫ from the beginning to `at_ms`, which must not be before the last one asked for.
    pub(super) fn integral_to(&mut self, at_ms: i64) -> f64 {
        while let Some(load) = self.curve.loads.get(self.next) {
            if load.profile.window().start_ms >= at_ms {
                break;
            }
            self.active.push((load, 0));
            self.next += 1;
        }
        let finished = &mut self.finished;
        self.active.retain(|(load, _)| {
            let ended = load.profile.window().end_ms <= at_ms;
            if ended {
                *finished += load.factor * load.profile.total;
            }
            !ended
        });
        let mut sum = self.finished;
        for (load, piece) in &mut self.active {
            sum += load.factor * load.profile.integral_to(at_ms, piece);
        }
        while let Some(on) = self.curve.on.get(self.on).filter(|on| on.end_ms <= at_ms) {
            self.on_ms += on.length_ms();
            self.on += 1;
        }
        let current_ms = self.curve.on.get(self.on).map_or(0, |on| (at_ms - on.start_ms).max(0));
        sum + self.curve.base * (self.on_ms + current_ms) as f64 / 1000.0
    }

    /// The mean over the second before `at_ms`: what a power sensor shows.
    pub(super) fn mean_of_last_second(&mut self, at_ms: i64) -> f64 {
        let before = self.integral_to(at_ms - 1000);
        self.integral_to(at_ms) - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp_then_wave() -> Profile {
        let pulse = Pulse { amplitude: 0.5, period_ms: 4000, high_ms: 1000 };
        Profile::new(vec![
            Piece { window: Window::new(1000, 11_000), from: 0.0, to: 0.5, pulse: None },
            Piece { window: Window::new(11_000, 21_000), from: 0.5, to: 0.5, pulse: Some(pulse) },
        ])
    }

    #[test]
    fn integrals_are_those_worked_out_by_hand() {
        let profile = ramp_then_wave();
        // Half of 10 s × 0.5; then 10 s × 0.5 and high in 11–12, 15–16, 19–20 s.
        assert_eq!(profile.integral(Window::new(0, 11_000)), 2.5);
        assert_eq!(profile.integral(Window::new(0, 30_000)), 2.5 + 5.0 + 1.5);
        // Quarter of the ramp's area is in its first half.
        assert_eq!(profile.integral(Window::new(0, 6000)), 0.625);
        // 11.5 to 15.25 s: 3.75 × 0.5, high for 0.5 + 0.25 s.
        assert_eq!(profile.integral(Window::new(11_500, 15_250)), 1.875 + 0.375);
        assert_eq!(profile.value(11_500), 1.0);
        assert_eq!(profile.value(12_000), 0.5);
        assert_eq!(profile.value(21_000), 0.0);
    }

    #[test]
    fn cursor_and_window_agree_and_a_device_is_off_between_its_windows() {
        let on: Arc<[Window]> = [Window::new(0, 5000), Window::new(8000, 40_000)].into();
        let load = Load { profile: Arc::new(ramp_then_wave()), factor: 100.0 };
        let curve = LoadCurve::new(60.0, on, vec![load]);
        let mut cursor = curve.cursor();
        for at_ms in (0..40_000).step_by(377) {
            let (stepped, direct) = (cursor.integral_to(at_ms), curve.integral(Window::new(0, at_ms)));
            assert!((stepped - direct).abs() < 1e-9, "{at_ms}: {stepped} {direct}");
        }
        // 37 s on at 60 W and 9 load seconds at 100 W.
        assert_eq!(curve.integral(Window::new(0, 40_000)), 37.0 * 60.0 + 900.0);
        assert_eq!(curve.cursor().mean_of_last_second(12_000), 160.0);
    }
}
