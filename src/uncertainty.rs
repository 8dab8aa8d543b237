//! How far off figures may be: spreads of single figures, and their sums (section 11 of the accounting page).

use crate::carbon::Tier;
use crate::sum::Sum;

/// Factors between a true value and a figure for it: the true value should lie between `low` × figure and `high` × figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    low: f64,
    high: f64,
}

impl Spread {
    /// A figure that is taken as it stands.
    pub const NONE: Self = Self { low: 1.0, high: 1.0 };

    /// From `low` to `high`, held to 0 ≤ low ≤ 1 ≤ high: a figure lies within its own bounds.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low: low.clamp(0.0, 1.0), high: high.max(1.0) }
    }

    /// The same share up and down: `Spread::within(0.05)` is ± 5 %.
    pub const fn within(share: f64) -> Self {
        Self::new(1.0 - share, 1.0 + share)
    }

    /// Of a figure that was multiplied by another which is off by `other`.
    pub fn and_factor(self, other: Self) -> Self {
        Self::new(self.low * other.low, self.high * other.high)
    }

    /// So many times as wide.
    pub fn times(self, factor: f64) -> Self {
        Self::new(1.0 - (1.0 - self.low) * factor, 1.0 + (self.high - 1.0) * factor)
    }

    /// With another error of `share` up and down that has nothing to do with this one.
    pub fn and_within(self, share: f64) -> Self {
        Self::new(1.0 - (1.0 - self.low).hypot(share), 1.0 + (self.high - 1.0).hypot(share))
    }

    /// The least true value ÷ figure, at most 1.
    pub const fn low(self) -> f64 {
        self.low
    }

    /// The greatest true value ÷ figure, at least 1.
    pub const fn high(self) -> f64 {
        self.high
    }

    /// The spread of what is `left` of a whole when parts are taken from it: the whole's error falls on it alone, and in
    /// quadrature what the parts may be `less` and `more`, which it would then have or lack.
    pub fn of_remainder(self, whole: f64, left: f64, (less, more): (f64, f64)) -> Self {
        if left > 0.0 && whole >= left {
            let below = ((1.0 - self.low) * whole).hypot(more) / left;
            let above = ((self.high - 1.0) * whole).hypot(less) / left;
            Self::new(1.0 - below, 1.0 + above)
        } else {
            self
        }
    }

    /// The least and the most true value against the figure, in percent above it.
    pub fn percent(self) -> (f64, f64) {
        (100.0 * (self.low - 1.0), 100.0 * (self.high - 1.0))
    }

    /// What a mean over `hours` of factors of `tier` may be off by: quantiles of true ÷ factor over 157 zones
    /// (Electricity Maps, hours of 2024 and 2023), at the five lengths of time and log-linear between them.
    pub fn of_factor(tier: Tier, hours: f64) -> Self {
        const HOURS: [f64; 5] = [1.0, 24.0, 168.0, 720.0, 8784.0];
        let spreads: [(f64, f64); 5] = match tier {
            // No study tells; the factors of plants and of imports are estimates too.
            Tier::Hourly => return Self::within(0.10),
            Tier::MonthlyProfile => [(0.53, 1.54), (0.62, 1.40), (0.76, 1.25), (0.95, 1.05), (1.0, 1.0)],
            Tier::Monthly => [(0.48, 1.57), (0.62, 1.40), (0.76, 1.25), (0.95, 1.05), (1.0, 1.0)],
            Tier::AnnualProfile => [(0.41, 1.76), (0.46, 1.66), (0.53, 1.54), (0.59, 1.48), (0.73, 1.16)],
            Tier::Annual => [(0.36, 1.70), (0.42, 1.61), (0.48, 1.52), (0.51, 1.45), (0.73, 1.16)],
            Tier::World => [(0.04, 1.60), (0.05, 1.55), (0.05, 1.53), (0.05, 1.52), (0.05, 1.49)],
        };
        let mut known = HOURS.into_iter().zip(spreads);
        let Some((mut before_h, mut before)) = known.next() else { return Self::NONE };
        for (at_h, at) in known {
            if hours <= at_h {
                let along = (hours.max(before_h) / before_h).ln() / (at_h / before_h).ln();
                let between = |from: f64, to: f64| from + (to - from) * along;
                return Self::new(between(before.0, at.0), between(before.1, at.1));
            }
            (before_h, before) = (at_h, at);
        }
        Self::new(before.0, before.1)
    }
}

/// One row's share in the bounds of a sum, in the unit of the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Widths {
    /// The figure less the least that it may be.
    pub low: f64,
    /// The most that it may be, less the figure.
    pub high: f64,
    /// What was most likely used while nothing was seen: between none and twice that.
    pub unseen: f64,
    /// What may have been placed into other rows, or from them.
    pub placing: f64,
}

impl Widths {
    /// The same in another unit, of which one of this has `scale`.
    pub fn times(self, scale: f64) -> Self {
        Self {
            low: self.low * scale,
            high: self.high * scale,
            unseen: self.unseen * scale,
            placing: self.placing * scale,
        }
    }
}

/// Adds widths up (rule U4): linearly where rows are off in the same direction, in quadrature where they are not.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    total: Sum,
    /// By class: rows of one class are off in the same direction.
    classes: Vec<(Sum, Sum)>,
    unseen: Sum,
    placing_squared: Sum,
}

impl Bounds {
    /// Of nothing yet, for `classes` classes; more come as they are met.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![(Sum::new(), Sum::new()); classes], ..Self::default() }
    }

    /// Of figures that were added up elsewhere: their sum, what was most likely used unseen, and the squares of what may be misplaced.
    pub fn of_sums(total: f64, unseen: f64, placing_squared: f64) -> Self {
        let of = |value: f64| std::iter::once(value).collect::<Sum>();
        Self {
            total: of(total),
            classes: Vec::new(),
            unseen: of(unseen),
            placing_squared: of(placing_squared),
        }
    }

    /// Adds a figure of a class.
    pub fn add(&mut self, figure: f64, class: usize, widths: Widths) {
        self.total.add(figure);
        self.add_width(class, widths.low, widths.high);
        self.unseen.add(widths.unseen);
        self.add_placing(widths.placing);
    }

    /// Adds what may belong elsewhere.
    pub fn add_placing(&mut self, placing: f64) {
        self.placing_squared.add(placing * placing);
    }

    /// Adds to a class's width alone.
    pub fn add_width(&mut self, class: usize, low: f64, high: f64) {
        if class >= self.classes.len() {
            self.classes.resize(class.saturating_add(1), (Sum::new(), Sum::new()));
        }
        if let Some(sums) = self.classes.get_mut(class) {
            sums.0.add(low);
            sums.1.add(high);
        }
    }

    /// The least and the most that the sum may be.
    pub fn low_and_high(&self) -> (f64, f64) {
        let (total, unseen) = (self.total.value(), self.unseen.value());
        let common = unseen * unseen + self.placing_squared.value();
        let root = |side: fn(&(Sum, Sum)) -> Sum| {
            let squares = self.classes.iter().map(|class| side(class).value().powi(2));
            (squares.sum::<f64>() + common).sqrt()
        };
        // The figure lies within its bounds also where rounding would have it outside.
        let low = (total + unseen - root(|class| class.0)).max(0.0).min(total);
        (low, (total + unseen + root(|class| class.1)).max(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn widths_add_up_within_a_class_and_in_quadrature_across() {
        let mut bounds = Bounds::new(2);
        // 300 ± 30 in one class, 100 − 40 + 30 in another: √(30² + 40²) = 50 below, √(30² + 30²) above.
        let width = |low, high| Widths { low, high, ..Widths::default() };
        bounds.add(100.0, 0, width(10.0, 10.0));
        bounds.add(200.0, 0, width(20.0, 20.0));
        bounds.add(100.0, 1, width(40.0, 30.0));
        let (low, high) = bounds.low_and_high();
        assert_eq!(low, 350.0);
        assert!((high - (400.0 + 1800.0_f64.sqrt())).abs() < 1e-9);
    }

    #[test]
    fn unseen_time_adds_between_nothing_and_twice_its_estimate() {
        let mut bounds = Bounds::new(1);
        bounds.add(100.0, 0, Widths { unseen: 20.0, ..Widths::default() });
        assert_eq!(bounds.low_and_high(), (100.0, 140.0));
        bounds.add(0.0, 0, Widths { low: 15.0, high: 15.0, placing: 0.0, unseen: 0.0 });
        // √(20² + 15²) = 25.
        assert_eq!(bounds.low_and_high(), (95.0, 145.0));
    }

    #[test]
    fn what_is_misplaced_in_one_row_says_nothing_of_the_next() {
        let mut bounds = Bounds::new(1);
        for placing in [3.0, 4.0] {
            bounds.add(50.0, 0, Widths { placing, ..Widths::default() });
        }
        assert_eq!(bounds.low_and_high(), (95.0, 105.0));
    }

    #[test]
    fn a_whole_meters_error_falls_on_what_is_left() {
        // 5 % of 600 W are 30 W: of 100 W left that is 30 %.
        let spread = Spread::within(0.05).of_remainder(600.0, 100.0, (0.0, 0.0));
        assert!((spread.low() - 0.7).abs() < 1e-12 && (spread.high() - 1.3).abs() < 1e-12);
        // 40 W that a modelled part may be less are 40 W more of what is left: √(30² + 40²) of 100.
        let spread = Spread::within(0.05).of_remainder(600.0, 100.0, (40.0, 0.0));
        assert!((spread.low() - 0.7).abs() < 1e-12 && (spread.high() - 1.5).abs() < 1e-12);
        // Never below nothing.
        assert_eq!(Spread::within(0.05).of_remainder(600.0, 10.0, (0.0, 0.0)).low(), 0.0);
    }

    #[test]
    fn factors_are_surer_over_longer_times() {
        let spread = Spread::of_factor(Tier::Annual, 1.0);
        assert_eq!((spread.low(), spread.high()), (0.36, 1.70));
        assert_eq!(Spread::of_factor(Tier::Annual, 0.25), spread);
        assert_eq!(Spread::of_factor(Tier::Annual, 1e6), Spread::new(0.73, 1.16));
        // Half way from 1 h to 24 h on a scale of ratios: √24 h.
        let spread = Spread::of_factor(Tier::Annual, 24.0_f64.sqrt());
        assert!((spread.low() - 0.39).abs() < 1e-12 && (spread.high() - 1.655).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_figure_lies_within_and_the_bounds_of_a_sum_within_the_sums_of_bounds(
            rows in proptest::collection::vec((0.0..1e6_f64, 0.0..1.0_f64, 1.0..3.0_f64, 0..3_usize, 0.0..100.0_f64), 1..40),
        ) {
            let mut all = Bounds::new(3);
            let (mut low_sum, mut high_sum, mut total) = (0.0, 0.0, 0.0);
            for (figure, low, high, class, unseen) in rows {
                let widths = Widths { low: figure * (1.0 - low), high: figure * (high - 1.0), unseen, placing: 0.0 };
                let mut one = Bounds::new(3);
                one.add(figure, class, widths);
                all.add(figure, class, widths);
                let (low, high) = one.low_and_high();
                low_sum += low;
                high_sum += high;
                total += figure;
            }
            let (low, high) = all.low_and_high();
            let slack = 1e-9 * total + 1e-9;
            prop_assert!(low <= total + slack && total <= high + slack);
            prop_assert!(low_sum <= low + slack && high <= high_sum + slack);
        }
    }
}
