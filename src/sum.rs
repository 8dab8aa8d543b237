//! Compensated summation: totals that do not drift with length, and that come
//! out the same whenever the terms come in the same order.

/// A running sum by Neumaier's variant of Kahan's method.
///
/// The error is bounded independently of the number of terms, also where a
/// term is larger than the sum so far (Neumaier, ZAMM 54, 1974).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    total: f64,
    compensation: f64,
}

impl Sum {
    /// An empty sum.
    pub const fn new() -> Self {
        Self { total: 0.0, compensation: 0.0 }
    }

    /// Adds one term.
    pub fn add(&mut self, term: f64) {
        let next = self.total + term;
        self.compensation += if self.total.abs() >= term.abs() {
            (self.total - next) + term
        } else {
            (term - next) + self.total
        };
        self.total = next;
    }

    /// The sum of all terms so far.
    pub fn value(self) -> f64 {
        self.total + self.compensation
    }
}

impl Extend<f64> for Sum {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, terms: I) {
        for term in terms {
            self.add(term);
        }
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::new();
        sum.extend(terms);
        sum
    }
}

/// The compensated sum of `terms`, in the order given.
pub fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    terms.into_iter().collect::<Sum>().value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_plain_sum_loses() {
        let terms = [1.0, 1e100, 1.0, -1e100];
        assert_eq!(terms.iter().sum::<f64>(), 0.0);
        assert_eq!(sum(terms), 2.0);
    }

    #[test]
    fn a_million_tenths() {
        assert_eq!(sum(std::iter::repeat_n(0.1, 1_000_000)), 100_000.0);
    }
}
