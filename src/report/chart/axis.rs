//! Axes of numbers: round ticks from zero, and how the numbers are written.

use super::ChartError;
use super::text::Type;

/// Above this a number is no physical quantity, and sums of it would overflow.
const LARGEST: f64 = 1e100;
/// Under this a number is drawn as zero: ticks cannot be told from rounding errors.
const SMALLEST: f64 = 1e-100;

/// The value if it can be drawn; `None` if it is missing: not finite, negative or absurd.
pub(super) fn usable(value: f64) -> Option<f64> {
    let in_range = value.is_finite() && (0.0..=LARGEST).contains(&value);
    in_range.then_some(if value < SMALLEST { 0.0 } else { value })
}

/// An axis from zero to `step` × `steps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) step: f64,
    pub(super) steps: u32,
}

impl Axis {
    /// The roundest axis that holds `max`, with about `steps` steps.
    pub(super) fn up_to(max: f64, steps: u32) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_up(max / f64::from(steps.max(1)), &[1.0, 2.0, 2.5, 5.0, 10.0]);
        Self { step, steps: (max / step - 1e-9).ceil().max(1.0) as u32 }
    }

    /// The roundest axis that holds `max` with exactly `steps` steps, so that two axes share one grid.
    pub(super) fn with_steps(max: f64, steps: u32) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let least = max / f64::from(steps.max(1)) * (1.0 - 1e-9);
        let step = round_up(least, &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]);
        Self { step, steps: steps.max(1) }
    }

    /// Value at its far end.
    pub(super) fn top(self) -> f64 {
        self.step * f64::from(self.steps)
    }

    /// Where the ticks are and what they say.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        let exponent = order_of(self.top());
        let written = |value: f64| {
            if value == 0.0 {
                "0".to_owned()
            } else if (-4..7).contains(&exponent) {
                with_commas(value, decimals_of(self.step))
            } else {
                scientific(value, exponent, decimals_of(self.step / 10_f64.powi(exponent)))
            }
        };
        (0..=self.steps).map(|tick| self.step * f64::from(tick)).map(|at| (at, written(at))).collect()
    }

    /// Width of its widest tick label.
    pub(super) fn label_width(self, style: Type) -> Result<f64, ChartError> {
        self.ticks().iter().try_fold(0.0_f64, |widest, (_, label)| Ok(widest.max(style.width(label)?)))
    }
}

/// An axis of powers of ten, from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogAxis {
    first: i32,
    last: i32,
}

impl LogAxis {
    /// The shortest that holds all values; `None` without any above zero.
    pub(super) fn holding(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (least, most) = (least.min(value), most.max(value));
        }
        (most > 0.0).then(|| {
            let first = order_of(least);
            Self { first, last: (most.log10().ceil() as i32).max(first.saturating_add(1)) }
        })
    }

    /// How far along it a value above zero lies, 0 to 1.
    pub(super) fn share(self, value: f64) -> f64 {
        let length = f64::from(self.last.saturating_sub(self.first).max(1));
        ((value.log10() - f64::from(self.first)) / length).clamp(0.0, 1.0)
    }

    /// Where the ticks are, and what they say: every power, or every few where there are many.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        let length = self.last.saturating_sub(self.first).max(1);
        let every = usize::try_from(length.saturating_add(11) / 12).unwrap_or(1).max(1);
        (self.first..=self.last)
            .step_by(every)
            .map(|power| {
                let label = if (-4..7).contains(&power) {
                    with_commas(10_f64.powi(power), usize::try_from(power.saturating_neg()).unwrap_or(0))
                } else {
                    format!("10{}", raised(power))
                };
                (f64::from(power.saturating_sub(self.first)) / f64::from(length), label)
            })
            .collect()
    }
}

/// The smallest of `multiples` × a power of ten that is not below `least`.
fn round_up(least: f64, multiples: &[f64]) -> f64 {
    let power = 10_f64.powi(order_of(least));
    let found = multiples.iter().map(|multiple| multiple * power).find(|step| *step >= least * (1.0 - 1e-12));
    found.unwrap_or(10.0 * power)
}

/// The power of ten of the first digit.
fn order_of(value: f64) -> i32 {
    value.log10().floor() as i32
}

/// How many decimals it takes to write multiples of `step`, which has at most two digits.
fn decimals_of(step: f64) -> usize {
    let whole = |decimals: &i32| {
        let scaled = step * 10_f64.powi(*decimals);
        scaled >= 0.999 && (scaled - scaled.round()).abs() < 1e-6 * scaled
    };
    (0..8).find(whole).unwrap_or(8) as usize
}

/// A value for the end of a bar: three significant digits, and whole above a thousand.
pub(in crate::report) fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // What rounds up to the next power of ten has a digit more before the point.
    let order = order_of(value);
    let order = if value >= 9.995 * 10_f64.powi(order) { order.saturating_add(1) } else { order };
    match order {
        -4..7 => with_commas(value, usize::try_from(2_i32.saturating_sub(order)).unwrap_or(0)),
        _ => scientific(value, order, 2),
    }
}

fn with_commas(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && whole.len().saturating_sub(index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

fn scientific(value: f64, exponent: i32, decimals: usize) -> String {
    let mantissa = value / 10_f64.powi(exponent);
    format!("{mantissa:.decimals$}×10{}", raised(exponent))
}

/// An exponent in superscript.
fn raised(exponent: i32) -> String {
    let digit = |digit| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    };
    exponent.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_end_at_or_above_the_largest_value() {
        assert_eq!(labels(Axis::up_to(43.0, 5)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(labels(Axis::up_to(50.0, 5)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(labels(Axis::up_to(51.0, 5)), ["0", "20", "40", "60"]);
        assert_eq!(labels(Axis::up_to(0.011, 5)), ["0", "0.0025", "0.0050", "0.0075", "0.0100", "0.0125"]);
        assert_eq!(labels(Axis::up_to(9_000.0, 5)), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!(labels(Axis::up_to(4e9, 5)), ["0", "1×10⁹", "2×10⁹", "3×10⁹", "4×10⁹"]);
        assert_eq!(
            labels(Axis::up_to(0.0, 5)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
                .map(|label| { if label == "0.0" { "0" } else { label } })
        );
    }

    #[test]
    fn a_second_axis_shares_the_grid() {
        assert_eq!(labels(Axis::with_steps(410.0, 3)), ["0", "150", "300", "450"]);
        assert_eq!(labels(Axis::with_steps(400.0, 5)), ["0", "80", "160", "240", "320", "400"]);
    }

    #[test]
    fn what_is_no_quantity_is_missing() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e101] {
            assert_eq!(usable(bad), None);
        }
        assert_eq!(usable(5e-324), Some(0.0));
        assert_eq!(usable(-0.0).map(f64::to_bits), Some(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_axis_holds_its_values_and_wastes_little(exponent in -99.0_f64..99.0, steps in 3_u32..8) {
            let max = 10_f64.powf(exponent);
            let axis = Axis::up_to(max, steps);
            prop_assert!(axis.top() >= max * (1.0 - 1e-8) && axis.top() - axis.step < max);
            prop_assert!((1..=10).contains(&axis.steps), "{axis:?}");
            let second = Axis::with_steps(max, steps);
            prop_assert!(second.top() >= max * (1.0 - 1e-8) && second.top() <= 1.51 * max, "{second:?}");
            // Equal labels at different ticks would be a wrong number of decimals.
            for axis in [axis, second] {
                let mut labels = labels(axis);
                labels.dedup();
                prop_assert_eq!(labels.len(), axis.steps as usize + 1);
            }
        }
    }

    #[test]
    fn powers_of_ten_hold_all_values() {
        let axis = LogAxis::holding([0.03, 1.0, 250.0].into_iter()).unwrap();
        let ticks: Vec<String> = axis.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(ticks, ["0.01", "0.1", "1", "10", "100", "1,000"]);
        // Two of five powers.
        assert!((axis.share(1.0) - 0.4).abs() < 1e-12);
        assert_eq!((axis.share(0.01), axis.share(1000.0)), (0.0, 1.0));
        assert_eq!(LogAxis::holding([0.0, f64::NAN].into_iter()), None);
        assert_eq!(LogAxis::holding([10.0].into_iter()), Some(LogAxis { first: 1, last: 2 }));
        let wide = LogAxis::holding([1e-90, 1e90].into_iter()).unwrap().ticks();
        assert!(wide.len() <= 13 && wide[0].1 == "10⁻⁹⁰", "{wide:?}");
    }

    #[test]
    fn numbers_are_written_with_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (1234.4, "1,234"),
            (123.4, "123"),
            (12.34, "12.3"),
            (9.996, "10.0"),
            (999.6, "1,000"),
            (0.012_34, "0.0123"),
            (1_234_567.0, "1,234,567"),
            (1.5e9, "1.50×10⁹"),
            (2e-7, "2.00×10⁻⁷"),
        ] {
            assert_eq!(three_digits(value), expected);
        }
    }
}
