//! A part of the days, so that several processes can share a backfill.

use std::str::FromStr;

/// The `number`-th of `count` parts of a list, all nearly equal and each in one piece: days beside each other are made from
/// the same samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    count: usize,
}

/// What is no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no part: the third of eight is `3/8`, and there are 1 to {}", Shard::MOST)]
pub struct ShardError {
    text: String,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, count: 1 };
    const MOST: usize = 100_000;

    /// Its part of `all`. The parts of all numbers are `all`, each item once.
    pub(super) fn of<T>(self, all: &[T]) -> &[T] {
        let edge = |number: usize| all.len().saturating_mul(number) / self.count;
        all.get(edge(self.number.saturating_sub(1))..edge(self.number)).unwrap_or_default()
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parts = text.split_once('/').and_then(|(number, count)| {
            let (number, count) = (number.trim().parse().ok()?, count.trim().parse().ok()?);
            (1 <= number && number <= count && count <= Self::MOST).then_some(Self { number, count })
        });
        parts.ok_or_else(|| ShardError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_by_hand() {
        let all = [1, 2, 3, 4, 5];
        let part = |text: &str| text.parse::<Shard>().map(|shard| shard.of(&all).to_vec());
        assert_eq!(part("1/2"), Ok(vec![1, 2]));
        assert_eq!(part("2/2"), Ok(vec![3, 4, 5]));
        assert_eq!(part("7/7"), Ok(vec![5]));
        for wrong in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/100001", ""] {
            assert!(part(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_item_is_in_one_part(length in 0_usize..100, count in 1_usize..130) {
            let all: Vec<usize> = (0..length).collect();
            let parts: Vec<&[usize]> = (1..=count).map(|number| Shard { number, count }.of(&all)).collect();
            prop_assert_eq!(parts.concat(), all.clone());
            let longest = parts.iter().map(|part| part.len()).max().unwrap();
            prop_assert!(parts.iter().all(|part| longest - part.len() <= 1));
        }
    }
}
