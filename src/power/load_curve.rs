//! Power at evenly spaced loads, as SPECpower_ssj2008 publishes it of servers.

use std::fmt;

use crate::uncertainty::Spread;
use crate::units::Watts;

/// Watts at loads from 0 to 100 %, evenly spaced, linear between.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadCurve(Vec<f64>);

/// Figures that are no curve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadCurveError {
    /// One point, or far too many.
    #[error("{count} watts are no curve: two to 101 are needed")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// Something that is no power.
    #[error("{watts} is not a power")]
    Power {
        /// The figure.
        watts: String,
    },
}

impl LoadCurve {
    /// From the watts at the first load, 0, to those at the last, 100 %.
    ///
    /// # Errors
    ///
    /// For fewer than two figures, more than 101, or one that is negative or no number.
    pub fn new(watts: &[f64]) -> Result<Self, LoadCurveError> {
        if !(2..=101).contains(&watts.len()) {
            return Err(LoadCurveError::Count { count: watts.len() });
        }
        match watts.iter().find(|watts| !watts.is_finite() || **watts < 0.0) {
            Some(wrong) => Err(LoadCurveError::Power { watts: wrong.to_string() }),
            None => Ok(Self(watts.to_vec())),
        }
    }

    /// Power at a utilisation, which is held to 0 to 1; none is none.
    pub fn power(&self, utilisation: f64) -> Watts {
        let at = utilisation.clamp(0.0, 1.0) * (self.0.len() - 1) as f64;
        if at.is_nan() {
            return Watts(f64::NAN);
        }
        let (below, rest) = (at as usize, at.fract());
        let of = |at: usize| self.0.get(at).or(self.0.last()).copied().unwrap_or(f64::NAN);
        Watts(of(below) + (of(below + 1) - of(below)) * rest)
    }

    /// What a curve that a site states may be off by (docs/uncertainty.md).
    pub const SPREAD: Spread = Spread::within(0.10);
}

impl fmt::Display for LoadCurve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stated curve of {} points", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_between_two_points_are_on_a_line() {
        // SPECpower's form: watts at 0, 10, … 100 %.
        let curve =
            LoadCurve::new(&[50.0, 70.0, 80.0, 90.0, 100.0, 110.0, 120.0, 135.0, 150.0, 170.0, 200.0])
                .unwrap();
        for (utilisation, watts) in
            [(0.0, 50.0), (0.05, 60.0), (0.1, 70.0), (0.85, 160.0), (1.0, 200.0), (1.3, 200.0)]
        {
            assert!((curve.power(utilisation).value() - watts).abs() < 1e-9, "{utilisation}");
        }
        assert!(curve.power(f64::NAN).value().is_nan());
        assert_eq!(LoadCurve::new(&[10.0, 30.0]).unwrap().power(0.25), Watts(15.0));
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        assert!(LoadCurve::new(&[1.0]).is_err() && LoadCurve::new(&[1.0; 102]).is_err());
        assert!(LoadCurve::new(&[1.0, -1.0]).is_err() && LoadCurve::new(&[1.0, f64::NAN]).is_err());
    }
}
