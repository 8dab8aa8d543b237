//! Power curves fitted to devices that have both a utilisation and a meter, for
//! their siblings that have no meter.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::DeviceKind;
use crate::sum::Sum;
use crate::uncertainty::Spread;
use crate::units::Watts;

/// Fewer points than this are not fitted.
const FEWEST_POINTS: usize = 10;
/// A bent curve has to beat the line by this much of its error, or the line is taken.
const WORTH_BENDING: f64 = 0.95;
/// Of so many machines their differences tell how far off yet another may be.
const ENOUGH_MACHINES: usize = 3;
/// How far apart machines of one model are taken to be where fewer were seen.
const BETWEEN_MACHINES: f64 = 0.20;
/// Share of the energy that lies below a spread, and above it.
const OUTSIDE: f64 = 0.05;
/// Widths of a spread in mean errors, where the file tells no spread: two standard deviations are 2.5 mean errors of a normal distribution, of
/// which a device's own are a part.
const MEAN_ERRORS: f64 = 2.0;
/// Parts into which the points of fewer than three machines are cut, in order of time.
const FOLDS: usize = 5;

/// What a device was seen to draw at a utilisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Utilisation, 0 to 1.
    pub utilisation: f64,
    /// Mean power, in watts.
    pub power_w: f64,
    /// For how long, in seconds: its weight.
    pub seconds: f64,
}

/// P(u) = idle + slope·u + bend·u·(1 − u), never falling with u and never below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PowerCurve {
    /// Power at rest, in watts.
    pub idle_w: f64,
    /// What full load adds, in watts.
    pub slope_w: f64,
    /// Four times what half load has above the line, in watts; 0 for a line.
    pub bend_w: f64,
}

impl PowerCurve {
    /// Power at a utilisation, which is held to 0 to 1.
    pub fn power(&self, utilisation: f64) -> Watts {
        let mut utilisation = utilisation.clamp(0.0, 1.0);
        if self.bend_w > 0.0 {
            // Where the parabola would fall again, the device is taken to be full.
            utilisation = utilisation.min(0.5 * (self.slope_w / self.bend_w + 1.0));
        } else if self.bend_w < 0.0 {
            utilisation = utilisation.max(0.5 * (self.slope_w / self.bend_w + 1.0));
        }
        let watts =
            self.idle_w + self.slope_w * utilisation + self.bend_w * utilisation * (1.0 - utilisation);
        Watts(watts.max(0.0))
    }
}

/// A curve and how far off it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The curve.
    pub curve: PowerCurve,
    /// Points that it was fitted to.
    pub points: usize,
    /// Machines that the points are of.
    pub machines: usize,
    /// Mean absolute error of machines (or times, of fewer than three machines) that were left out of the fit in turn, as
    /// a share of the mean power.
    pub error: f64,
    /// Between which factors of the curve 90 % of the energy lay that was left out of the fit in turn, widened for one more
    /// machine.
    pub spread: Spread,
}

/// Fits a line and a bent curve by weighted least squares, and takes the line unless the curve's cross-validated
/// error is clearly less. `machines` holds the points of each machine's devices, of each in order of time. `None` where there are
/// too few points, or all at one utilisation.
pub fn fit(machines: &[Vec<Point>]) -> Option<Fit> {
    let (machines, points) = enough(machines)?;
    let folds = folds(&machines);
    let sums: Vec<NormalSums> = folds.iter().map(NormalSums::of).collect();
    let all = NormalSums::of_all(&sums);
    let line = all.solve(Shape::Line)?;
    let relative =
        |(curve, off): (PowerCurve, Deviation)| Some((curve, off.relative()?, off.spread(machines.len())));
    let straight = cross_validated(&folds, &sums, Shape::Line).and_then(|off| relative((line, off)));
    let bent = all.solve(Shape::Bent).zip(cross_validated(&folds, &sums, Shape::Bent)).and_then(relative);
    let (curve, error, spread) = match (straight, bent) {
        (Some(straight), Some(bent)) if bent.1 < WORTH_BENDING * straight.1 => bent,
        (Some(straight), _) => straight,
        // Each fold alone is needed for the fit: the error is that of the fit itself, which is less than the true one.
        (None, _) => {
            let mut off = Deviation::default();
            machines.iter().for_each(|points| off.add(&line, points));
            relative((line, off))?
        }
    };
    Some(Fit { curve, points, machines: machines.len(), error, spread })
}

/// Fits a power that does not depend on the utilisation: the mean over time. `machines` as for [`fit`]; `None` where there
/// are too few points, or nothing was drawn.
pub fn fit_constant(machines: &[Vec<Point>]) -> Option<Fit> {
    let (machines, points) = enough(machines)?;
    let folds = folds(&machines);
    let sums: Vec<NormalSums> = folds.iter().map(NormalSums::of).collect();
    let curve = NormalSums::of_all(&sums).solve(Shape::Constant)?;
    let off = cross_validated(&folds, &sums, Shape::Constant)?;
    let error = off.relative()?;
    let spread = off.spread(machines.len());
    Some(Fit { curve, points, machines: machines.len(), error, spread })
}

/// The machines that have points, and how many there are; `None` for too few.
fn enough(machines: &[Vec<Point>]) -> Option<(Vec<&[Point]>, usize)> {
    let machines: Vec<&[Point]> =
        machines.iter().map(Vec::as_slice).filter(|points| !points.is_empty()).collect();
    let points = machines.iter().map(|points| points.len()).sum();
    (points >= FEWEST_POINTS).then_some((machines, points))
}

/// What is fitted, by how many terms it has.
#[derive(Clone, Copy)]
enum Shape {
    Constant = 1,
    Line = 2,
    Bent = 3,
}

/// What is left out of a fit together: a machine, or a piece of time of each of fewer than three machines.
type Fold<'p> = Vec<&'p [Point]>;

fn folds<'p>(machines: &[&'p [Point]]) -> Vec<Fold<'p>> {
    if machines.len() >= ENOUGH_MACHINES {
        return machines.iter().map(|points| vec![*points]).collect();
    }
    let piece = |points: &'p [Point], fold: usize| {
        let start = |fold: usize| (fold * points.len()).div_ceil(FOLDS);
        points.get(start(fold)..start(fold + 1)).unwrap_or_default()
    };
    (0..FOLDS).map(|fold| machines.iter().map(|points| piece(points, fold)).collect()).collect()
}

/// The error of each fold under the curve that is fitted to all others, together.
fn cross_validated(folds: &[Fold<'_>], sums: &[NormalSums], shape: Shape) -> Option<Deviation> {
    let mut off = Deviation::default();
    for (left_out, fold) in folds.iter().enumerate() {
        let others = sums.iter().enumerate().filter(|(other, _)| *other != left_out);
        let curve = NormalSums::of_all(others.map(|(_, sums)| sums)).solve(shape)?;
        fold.iter().for_each(|points| off.add(&curve, points));
    }
    Some(off)
}

/// How far points are from curves.
#[derive(Default)]
struct Deviation {
    off_j: Sum,
    all_j: Sum,
    /// True power ÷ the curve's, and the joules of which that was so.
    ratios: Vec<(f64, f64)>,
}

impl Deviation {
    fn add(&mut self, curve: &PowerCurve, points: &[Point]) {
        for point in points {
            let curve_w = curve.power(point.utilisation).value();
            let off_w = (curve_w - point.power_w).abs();
            if curve_w > 0.0 {
                self.ratios.push((point.power_w / curve_w, point.power_w * point.seconds));
            }
            self.off_j.add(point.seconds * off_w);
            self.all_j.add(point.seconds * point.power_w);
        }
    }

    /// Mean absolute error as a share of the mean power.
    fn relative(&self) -> Option<f64> {
        (self.all_j.value() > 0.0).then(|| self.off_j.value() / self.all_j.value())
    }
}

impl Deviation {
    /// The quantiles that leave out [`OUTSIDE`] of the energy on either side.
    fn spread(mut self, machines: usize) -> Spread {
        self.ratios.sort_by(|left, right| left.0.total_cmp(&right.0));
        let whole_j = self.ratios.iter().map(|(_, energy_j)| *energy_j).collect::<Sum>().value();
        let mut below_j = Sum::new();
        let (mut low, mut high) = (1.0, 1.0);
        let mut is_low_found = false;
        for (ratio, energy_j) in self.ratios {
            if !is_low_found && below_j.value() + energy_j > OUTSIDE * whole_j {
                (low, is_low_found) = (ratio, true);
            }
            if below_j.value() < (1.0 - OUTSIDE) * whole_j {
                high = ratio;
            }
            below_j.add(energy_j);
        }
        let spread = Spread::new(low, high);
        if machines < ENOUGH_MACHINES {
            return spread.and_within(BETWEEN_MACHINES);
        }
        // A machine that was not seen is one more of the same kind: the prediction interval of a normal distribution, with
        // Student's factor for so few (95 %, ν = n − 1, within 2 % of the table from ν = 2 on) against that for many.
        let (count, freedom) = (machines as f64, (machines - 1) as f64);
        let student = 1.0 + 0.95 / freedom + 1.2 / (freedom * freedom);
        spread.times(student * (1.0 + 1.0 / count).sqrt())
    }
}

/// The normal equations of 1, u and u·(1 − u), weighted by time, with the power on the right: sums, so that those of
/// several folds are those of their points.
#[derive(Clone, Copy, Default)]
struct NormalSums([[Sum; 4]; 3]);

impl NormalSums {
    fn of(fold: &Fold<'_>) -> Self {
        let mut sums = Self::default();
        for point in fold.iter().copied().flatten() {
            let u = point.utilisation;
            let terms = [1.0, u, u * (1.0 - u)];
            let [one, load, bend] = terms;
            let row = [one, load, bend, point.power_w];
            for (sums, term) in sums.0.iter_mut().zip(terms) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    sum.add(point.seconds * term * value);
                }
            }
        }
        sums
    }

    fn of_all<'s>(all: impl IntoIterator<Item = &'s Self>) -> Self {
        let mut total = Self::default();
        for sums in all {
            for (total, part) in total.0.iter_mut().flatten().zip(sums.0.iter().flatten()) {
                total.add(part.value());
            }
        }
        total
    }

    /// The curve of that shape of least squares.
    fn solve(&self, shape: Shape) -> Option<PowerCurve> {
        let size = shape as usize;
        let mut rows = self.0.map(|row| row.map(|sum| sum.value()));
        // Gauss' elimination with the largest pivot; a matrix this small needs no library.
        for column in 0..size {
            let pivot = (column..size).max_by(|left, right| {
                let at = |row: usize| {
                    rows.get(row).and_then(|row| row.get(column)).map_or(0.0, |value| value.abs())
                };
                at(*left).total_cmp(&at(*right))
            })?;
            rows.swap(column, pivot);
            let lead = *rows.get(column)?;
            let divisor = *lead.get(column)?;
            let scale = rows.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
            if divisor.abs() <= 1e-9 * scale || !divisor.is_finite() {
                return None;
            }
            for (index, row) in rows.iter_mut().enumerate().take(size) {
                if index == column {
                    continue;
                }
                let factor = row.get(column)? / divisor;
                for (value, lead) in row.iter_mut().zip(lead) {
                    *value -= factor * lead;
                }
            }
        }
        let solved = |index: usize| -> Option<f64> {
            let row = rows.get(index)?;
            Some(row.get(3)? / row.get(index)?)
        };
        let term = |index: usize| if index < size { solved(index) } else { Some(0.0) };
        let curve = PowerCurve { idle_w: term(0)?, slope_w: term(1)?, bend_w: term(2)? };
        // A device that draws less the more it works, or nothing at all, is a mistake of the data.
        let is_sound = match shape {
            Shape::Constant => curve.idle_w > 0.0,
            Shape::Line | Shape::Bent => curve.slope_w > 0.0,
        };
        (is_sound && curve.idle_w.is_finite()).then_some(curve)
    }
}

/// A calibrated hardware model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// `cpu` (one socket), `gpu`, or `dram` (10⁹ bytes of memory).
    pub component: String,
    /// Model name as the kernel or the driver prints it; of memory, that of the processors beside it.
    pub model: String,
    /// See [`PowerCurve`].
    pub idle_w: f64,
    /// See [`PowerCurve`].
    pub slope_w: f64,
    /// See [`PowerCurve`].
    #[serde(default)]
    pub bend_w: f64,
    /// See [`Fit::points`].
    pub points: usize,
    /// See [`Fit::machines`].
    pub machines: usize,
    /// See [`Fit::error`], in percent.
    pub error_percent: f64,
    /// See [`Fit::spread`]: the least true power against the curve's, in percent below it (negative).
    #[serde(default)]
    pub low_percent: Option<f64>,
    /// The most, in percent above it.
    #[serde(default)]
    pub high_percent: Option<f64>,
}

impl Calibrated {
    /// The curve.
    pub fn curve(&self) -> PowerCurve {
        PowerCurve { idle_w: self.idle_w, slope_w: self.slope_w, bend_w: self.bend_w }
    }

    /// How far off the curve may be.
    pub fn spread(&self) -> Spread {
        let within = MEAN_ERRORS * self.error_percent;
        let factor = |percent: f64| 1.0 + percent / 100.0;
        Spread::new(factor(self.low_percent.unwrap_or(-within)), factor(self.high_percent.unwrap_or(within)))
    }
}

/// What `wattledger calibrate` writes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// By hardware model.
    #[serde(default)]
    pub calibrated: Vec<Calibrated>,
}

/// A calibration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// It cannot be read.
    #[error("cannot read the calibration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("`{}` is not a calibration: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Calibration {
    /// Reads what [`Calibration::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is not of that form, or holds a curve that cannot be.
    pub fn read(path: &Path) -> Result<Self, CalibrationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CalibrationError::Read { path: path.to_owned(), source })?;
        let wrong = |reason: String| CalibrationError::Form { path: path.to_owned(), reason };
        let read: Self =
            toml::from_str(&text).map_err(|error| wrong(error.message().trim().replace('\n', ", ")))?;
        for model in &read.calibrated {
            let spread = [model.low_percent, model.high_percent].map(Option::unwrap_or_default);
            let curve = [model.idle_w, model.slope_w, model.bend_w, model.error_percent];
            let mut figures = curve.into_iter().chain(spread);
            if !matches!(model.component.as_str(), "cpu" | "dram" | "gpu") {
                let reason = format!("component `{}` is not `cpu`, `dram` or `gpu`", model.component);
                return Err(wrong(reason));
            }
            if figures.any(|figure| !figure.is_finite()) || model.slope_w < 0.0 || model.idle_w < 0.0 {
                return Err(wrong(format!("the curve of `{}` has figures that cannot be", model.model)));
            }
        }
        Ok(read)
    }

    /// As TOML.
    pub fn to_text(&self, comment: &str) -> String {
        let mut text = String::new();
        for line in comment.lines() {
            let _ = writeln!(text, "# {line}");
        }
        for model in &self.calibrated {
            let _ = write!(
                text,
                "\n[[calibrated]]\ncomponent = \"{}\"\nmodel = {}\nidle_w = {:?}\nslope_w = {:?}\nbend_w = {:?}\n\
                 points = {}\nmachines = {}\nerror_percent = {:?}\n",
                model.component,
                quoted(&model.model),
                model.idle_w,
                model.slope_w,
                model.bend_w,
                model.points,
                model.machines,
                model.error_percent
            );
            let spread = [("low_percent", model.low_percent), ("high_percent", model.high_percent)];
            for (name, percent) in spread.into_iter().filter_map(|(name, percent)| Some((name, percent?))) {
                let _ = writeln!(text, "{name} = {percent:?}");
            }
        }
        text
    }

    /// The curve of a hardware model, by its very name.
    pub fn find(&self, kind: DeviceKind, model: &str) -> Option<&Calibrated> {
        let component = match kind {
            DeviceKind::CpuSocket => "cpu",
            DeviceKind::Gpu => "gpu",
        };
        self.row(component, model)
    }

    /// Watts of 10⁹ bytes of memory, as `idle_w`, beside processors of this very name.
    pub fn find_memory(&self, cpu_model: &str) -> Option<&Calibrated> {
        self.row("dram", cpu_model)
    }

    fn row(&self, component: &str, model: &str) -> Option<&Calibrated> {
        self.calibrated.iter().find(|row| row.component == component && row.model == model)
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(power: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..=40)
            .map(|nth| f64::from(nth * 7 % 41) / 40.0)
            .map(|utilisation| Point { utilisation, power_w: power(utilisation), seconds: 30.0 })
            .collect()
    }

    #[test]
    fn a_line_and_a_parabola_are_found_again() {
        let found = fit(&[points(|u| 40.0 + 110.0 * u)]).unwrap();
        assert!((found.curve.idle_w - 40.0).abs() < 1e-9 && (found.curve.slope_w - 110.0).abs() < 1e-9);
        assert!(found.error < 1e-12 && found.points == 41 && found.machines == 1);
        let found = fit(&[points(|u| 40.0 + 110.0 * u + 60.0 * u * (1.0 - u))]).unwrap();
        assert!((found.curve.bend_w - 60.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_spread_leaves_out_the_same_energy_on_either_side() {
        // A joule each: the true powers are 0.51 to 1.50 of the curve, by hundredths.
        let mut off = Deviation::default();
        let curve = PowerCurve { idle_w: 1.0, slope_w: 0.0, bend_w: 0.0 };
        let points: Vec<Point> = (0..100)
            .map(|nth| 0.51 + 0.01 * f64::from(nth * 37 % 100))
            .map(|power_w| Point { utilisation: 0.5, power_w, seconds: 1.0 / power_w })
            .collect();
        off.add(&curve, &points);
        let spread = off.spread(1_000_000);
        // Five points of a hundred lie below and above.
        assert!((spread.low() - 0.56).abs() < 1e-5 && (spread.high() - 1.45).abs() < 1e-5, "{spread:?}");
    }

    #[test]
    fn a_file_without_a_spread_has_twice_the_mean_error() {
        let text = "component = \"gpu\"\nmodel = \"x\"\nidle_w = 1.0\nslope_w = 1.0\npoints = 1\nmachines = 1\nerror_percent = 4.0";
        let row: Calibrated = toml::from_str(text).unwrap();
        assert_eq!(row.spread(), Spread::new(0.92, 1.08));
    }

    #[test]
    fn a_constant_is_the_mean_over_time() {
        let device = |power_w: f64, seconds: f64| vec![Point { utilisation: 0.0, power_w, seconds }; 5];
        // 0.1 W for 30 s, 0.2 W for 10 s, 0.3 W for 10 s: 8 J in 50 s.
        let found = fit_constant(&[device(0.1, 30.0), device(0.2, 10.0), device(0.3, 10.0)]).unwrap();
        assert!((found.curve.power(0.7).value() - 0.16).abs() < 1e-12);
        // Left out in turn they are told as 0.25, 0.15 and 0.125 W.
        // Of three machines Student's 2.92 against 1.645, and √(1 + 1/3).
        let times = 2.92 / 1.645 * (4.0_f64 / 3.0).sqrt();
        assert_eq!(found.spread.low(), (1.0 - times * 0.6_f64).max(0.0));
        assert!((found.spread.high() - (1.0 + times * 1.4)).abs() < 0.01, "{found:?}");
        assert_eq!(fit_constant(&[device(0.0, 30.0), device(0.0, 30.0)]), None);
        assert_eq!(fit_constant(&[device(1.0, 30.0)]), None);
    }

    #[test]
    fn what_cannot_be_fitted_is_not() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[vec![Point { utilisation: 0.5, power_w: 90.0, seconds: 30.0 }; 100]]), None);
        assert_eq!(fit(&[points(|u| 100.0 - 50.0 * u)]), None);
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let model = "Odd \"name\" \\ with\ttab".to_owned();
        let row = Calibrated {
            component: "gpu".to_owned(),
            model: model.clone(),
            idle_w: 54.25,
            slope_w: 0.1 + 0.2,
            bend_w: -3.0,
            points: 7,
            machines: 2,
            error_percent: 4.5,
            low_percent: Some(-8.25),
            high_percent: None,
        };
        let written = Calibration { calibrated: vec![row] };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calibration.toml");
        std::fs::write(&path, written.to_text("two\nlines")).unwrap();
        let read = Calibration::read(&path).unwrap();
        assert_eq!(read, written);
        assert!(
            read.find(DeviceKind::Gpu, &model).is_some()
                && read.find(DeviceKind::CpuSocket, &model).is_none()
        );
    }

    proptest! {
        #[test]
        fn more_work_never_takes_less(
            idle_w in 0.0..200.0_f64, slope_w in 0.0..500.0_f64, bend_w in -900.0..900.0_f64,
            low in 0.0..1.0_f64, high in 0.0..1.0_f64,
        ) {
            let curve = PowerCurve { idle_w, slope_w, bend_w };
            let (low, high) = (low.min(high), low.max(high));
            prop_assert!(curve.power(low).value() <= curve.power(high).value() + 1e-9);
        }
    }
}
