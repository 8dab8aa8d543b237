//! Power curves fitted to devices that have both a utilisation and a meter, for
//! their siblings that have no meter.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::DeviceKind;
use crate::sum::Sum;
use crate::units::Watts;

/// Fewer points than this are not fitted.
const FEWEST_POINTS: usize = 10;
/// A bent curve has to beat the line by this much of its error, or the line is taken.
const WORTH_BENDING: f64 = 0.95;
/// Parts into which the points of fewer than three devices are cut, in order of time.
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// The curve.
    pub curve: PowerCurve,
    /// Points that it was fitted to.
    pub points: usize,
    /// Devices that the points are of.
    pub devices: usize,
    /// Mean absolute error of devices (or times, of fewer than three devices) that were left out of the fit in turn, as
    /// a share of the mean power.
    pub error: f64,
}

/// Fits a line and a bent curve by weighted least squares, and takes the line unless the curve's cross-validated
/// error is clearly less. `devices` holds the points of each device in order of time. `None` where there are
/// too few points, or all at one utilisation.
pub fn fit(devices: &[Vec<Point>]) -> Option<Fit> {
    let devices: Vec<&[Point]> =
        devices.iter().map(Vec::as_slice).filter(|points| !points.is_empty()).collect();
    let points = devices.iter().map(|points| points.len()).sum();
    if points < FEWEST_POINTS {
        return None;
    }
    let folds = folds(&devices);
    let sums: Vec<NormalSums> = folds.iter().map(|fold| NormalSums::of(fold)).collect();
    let all = NormalSums::of_all(&sums);
    let line = all.solve(false)?;
    let line_error = cross_validated(&folds, &sums, false);
    let bent = all.solve(true).zip(cross_validated(&folds, &sums, true));
    let (curve, error) = match (line_error, bent) {
        (Some(line_error), Some((bent, bent_error))) if bent_error < WORTH_BENDING * line_error => {
            (bent, bent_error)
        }
        (Some(line_error), _) => (line, line_error),
        // Each fold alone is needed for the fit: the error is that of the fit itself, which is less than the true one.
        (None, _) => {
            let mut off = Deviation::default();
            devices.iter().for_each(|points| off.add(&line, points));
            (line, off.relative()?)
        }
    };
    Some(Fit { curve, points, devices: devices.len(), error })
}

/// What is left out of a fit together: a device, or a piece of time of each of fewer than three devices.
type Fold<'p> = Vec<&'p [Point]>;

fn folds<'p>(devices: &[&'p [Point]]) -> Vec<Fold<'p>> {
    if devices.len() >= 3 {
        return devices.iter().map(|points| vec![*points]).collect();
    }
    let piece = |points: &'p [Point], fold: usize| {
        let start = |fold: usize| (fold * points.len()).div_ceil(FOLDS);
        points.get(start(fold)..start(fold + 1)).unwrap_or_default()
    };
    (0..FOLDS).map(|fold| devices.iter().map(|points| piece(points, fold)).collect()).collect()
}

/// The error of each fold under the curve that is fitted to all others, together.
fn cross_validated(folds: &[Fold<'_>], sums: &[NormalSums], bent: bool) -> Option<f64> {
    let mut off = Deviation::default();
    for (left_out, fold) in folds.iter().enumerate() {
        let others = sums.iter().enumerate().filter(|(other, _)| *other != left_out);
        let curve = NormalSums::of_all(others.map(|(_, sums)| sums)).solve(bent)?;
        fold.iter().for_each(|points| off.add(&curve, points));
    }
    off.relative()
}

/// Mean absolute error as a share of the mean power.
#[derive(Default)]
struct Deviation {
    off_j: Sum,
    all_j: Sum,
}

impl Deviation {
    fn add(&mut self, curve: &PowerCurve, points: &[Point]) {
        for point in points {
            let off_w = (curve.power(point.utilisation).value() - point.power_w).abs();
            self.off_j.add(point.seconds * off_w);
            self.all_j.add(point.seconds * point.power_w);
        }
    }

    fn relative(&self) -> Option<f64> {
        (self.all_j.value() > 0.0).then(|| self.off_j.value() / self.all_j.value())
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

    /// The line, or with `bent` the curve, of least squares.
    fn solve(&self, bent: bool) -> Option<PowerCurve> {
        let size = if bent { 3 } else { 2 };
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
        let bend_w = if bent { solved(2)? } else { 0.0 };
        let curve = PowerCurve { idle_w: solved(0)?, slope_w: solved(1)?, bend_w };
        // A device that draws less the more it works is a mistake of the data.
        (curve.slope_w > 0.0 && curve.idle_w.is_finite()).then_some(curve)
    }
}

/// A calibrated hardware model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// `cpu` (one socket) or `gpu`.
    pub component: String,
    /// Model name as the kernel or the driver prints it.
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
    /// See [`Fit::devices`].
    pub devices: usize,
    /// See [`Fit::error`], in percent.
    pub error_percent: f64,
}

impl Calibrated {
    /// The curve.
    pub fn curve(&self) -> PowerCurve {
        PowerCurve { idle_w: self.idle_w, slope_w: self.slope_w, bend_w: self.bend_w }
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
            let figures = [model.idle_w, model.slope_w, model.bend_w, model.error_percent];
            if !matches!(model.component.as_str(), "cpu" | "gpu") {
                return Err(wrong(format!("component `{}` is neither `cpu` nor `gpu`", model.component)));
            }
            if figures.iter().any(|figure| !figure.is_finite()) || model.slope_w < 0.0 || model.idle_w < 0.0 {
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
                 points = {}\ndevices = {}\nerror_percent = {:?}\n",
                model.component,
                quoted(&model.model),
                model.idle_w,
                model.slope_w,
                model.bend_w,
                model.points,
                model.devices,
                model.error_percent
            );
        }
        text
    }

    /// The curve of a hardware model, by its very name.
    pub fn find(&self, kind: DeviceKind, model: &str) -> Option<&Calibrated> {
        let component = match kind {
            DeviceKind::CpuSocket => "cpu",
            DeviceKind::Gpu => "gpu",
        };
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
        assert!(found.error < 1e-12 && found.points == 41 && found.devices == 1);
        let found = fit(&[points(|u| 40.0 + 110.0 * u + 60.0 * u * (1.0 - u))]).unwrap();
        assert!((found.curve.bend_w - 60.0).abs() < 1e-6, "{found:?}");
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
            devices: 2,
            error_percent: 4.5,
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
