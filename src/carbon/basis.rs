//! The three words that say what an intensity counts.

use std::fmt;
use std::str::FromStr;

use super::CarbonError;

/// Which emissions of a power plant are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Building, fuel supply, operation and decommissioning.
    LifeCycle,
    /// What leaves the chimney.
    Direct,
}

/// Which power plants a kilowatt-hour is laid to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribution {
    /// All that run, each by what it feeds in.
    Average,
    /// Those that would run more if more were used.
    Marginal,
}

/// Whether traded electricity is counted where it is made or where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Perspective {
    /// The mix generated in the zone.
    Production,
    /// The mix used in the zone, imports included (flow-traced).
    Consumption,
}

/// What an intensity counts. Factors of different basis never meet in one
/// total (`docs/accounting.md`, G1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Basis {
    /// Which emissions.
    pub scope: Scope,
    /// Of which plants.
    pub attribution: Attribution,
    /// Of which mix.
    pub perspective: Perspective,
}

impl Basis {
    /// The basis of the shipped tables.
    pub const SHIPPED: Self = Self {
        scope: Scope::LifeCycle,
        attribution: Attribution::Average,
        perspective: Perspective::Consumption,
    };

    /// True if Scope 2 figures may be made of it: direct emissions of all plants (rule G4).
    pub fn is_scope_2(self) -> bool {
        self.scope == Scope::Direct && self.attribution == Attribution::Average
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::LifeCycle => "life-cycle",
            Scope::Direct => "direct",
        };
        let attribution = match self.attribution {
            Attribution::Average => "average",
            Attribution::Marginal => "marginal",
        };
        let perspective = match self.perspective {
            Perspective::Production => "production",
            Perspective::Consumption => "consumption",
        };
        write!(f, "{scope} {attribution} {perspective}")
    }
}

impl FromStr for Basis {
    type Err = CarbonError;

    /// Reads up to three words in any order, parted by blanks or commas; a
    /// word that is left out is that of [`Basis::SHIPPED`].
    fn from_str(text: &str) -> Result<Self, CarbonError> {
        let wrong = || CarbonError::BasisText { text: text.to_owned() };
        let (mut scope, mut attribution, mut perspective) = (None, None, None);
        for word in text.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            // A word said twice is a contradiction or a slip; neither is a basis.
            let taken = match word.to_lowercase().as_str() {
                "life-cycle" | "lifecycle" | "lca" => scope.replace(Scope::LifeCycle).is_some(),
                "direct" => scope.replace(Scope::Direct).is_some(),
                "average" => attribution.replace(Attribution::Average).is_some(),
                "marginal" => attribution.replace(Attribution::Marginal).is_some(),
                "production" => perspective.replace(Perspective::Production).is_some(),
                "consumption" => perspective.replace(Perspective::Consumption).is_some(),
                _ => return Err(wrong()),
            };
            if taken {
                return Err(wrong());
            }
        }
        if scope.is_none() && attribution.is_none() && perspective.is_none() {
            return Err(wrong());
        }
        Ok(Self {
            scope: scope.unwrap_or(Self::SHIPPED.scope),
            attribution: attribution.unwrap_or(Self::SHIPPED.attribution),
            perspective: perspective.unwrap_or(Self::SHIPPED.perspective),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_words_read_back() {
        for scope in [Scope::LifeCycle, Scope::Direct] {
            for attribution in [Attribution::Average, Attribution::Marginal] {
                for perspective in [Perspective::Production, Perspective::Consumption] {
                    let basis = Basis { scope, attribution, perspective };
                    assert_eq!(basis.to_string().parse::<Basis>().unwrap(), basis);
                }
            }
        }
        assert_eq!(Basis::SHIPPED.to_string(), "life-cycle average consumption");
        let direct = "direct".parse::<Basis>().unwrap();
        assert_eq!(direct, Basis { scope: Scope::Direct, ..Basis::SHIPPED });
        for wrong in ["", "direct life-cycle", "green", "average average"] {
            assert!(wrong.parse::<Basis>().is_err(), "{wrong}");
        }
    }
}
