//! Words of prices, each kept once.

use super::figures::{Figures, PriceWord};
use crate::carbon::Tier;
use crate::ledger::PriceWords;

/// What a price is called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedWords {
    zone: Option<String>,
    tier: Option<Tier>,
    source: Option<String>,
    release: Option<String>,
}

impl OwnedWords {
    fn is(&self, words: PriceWords<'_>) -> bool {
        self.tier == words.tier
            && self.zone.as_deref() == words.zone
            && self.source.as_deref() == words.source
            && self.release.as_deref() == words.release
    }

    fn borrowed(&self) -> PriceWords<'_> {
        PriceWords {
            zone: self.zone.as_deref(),
            tier: self.tier,
            source: self.source.as_deref(),
            release: self.release.as_deref(),
        }
    }
}

/// The prices that were met, by number.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Words {
    known: Vec<OwnedWords>,
    last: usize,
}

/// What an hour says of its methods and prices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) struct JoinedWords {
    pub(in crate::report) method: String,
    pub(in crate::report) zone: String,
    pub(in crate::report) tier: String,
    pub(in crate::report) source: String,
    pub(in crate::report) release: String,
}

/// One of the words of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum PricePart {
    Zone,
    Tier,
    Source,
    Release,
}

impl Words {
    /// The number of a price.
    pub(super) fn number(&mut self, words: PriceWords<'_>) -> PriceWord {
        if !self.known.get(self.last).is_some_and(|known| known.is(words)) {
            self.last = self.known.iter().position(|known| known.is(words)).unwrap_or_else(|| {
                self.known.push(OwnedWords {
                    zone: words.zone.map(str::to_owned),
                    tier: words.tier,
                    source: words.source.map(str::to_owned),
                    release: words.release.map(str::to_owned),
                });
                self.known.len() - 1
            });
        }
        PriceWord::try_from(self.last).unwrap_or(PriceWord::MAX)
    }

    /// The numbers that the prices of `others` have here.
    pub(super) fn numbers(&mut self, others: &Self) -> Vec<PriceWord> {
        others.known.iter().map(|words| self.number(words.borrowed())).collect()
    }

    /// One of the words of a price.
    pub(in crate::report) fn text(&self, word: PriceWord, part: PricePart) -> Option<&str> {
        let words = self.known.get(word as usize)?;
        match part {
            PricePart::Zone => words.zone.as_deref(),
            PricePart::Tier => words.tier.map(Tier::as_str),
            PricePart::Source => words.source.as_deref(),
            PricePart::Release => words.release.as_deref(),
        }
    }

    /// The distinct words of a group, by energy.
    pub(in crate::report) fn of(&self, figures: &Figures, part: PricePart) -> String {
        figures.price.joined(|word| self.text(word, part))
    }

    /// All of them.
    pub(super) fn joined(&self, figures: &Figures) -> JoinedWords {
        JoinedWords {
            method: figures.method.joined(|method| Some(method.as_str())),
            zone: self.of(figures, PricePart::Zone),
            tier: self.of(figures, PricePart::Tier),
            source: self.of(figures, PricePart::Source),
            release: self.of(figures, PricePart::Release),
        }
    }
}
