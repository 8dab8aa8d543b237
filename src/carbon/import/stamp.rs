//! Time stamps as intensity files write them.

use chrono::{NaiveDate, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::time::{HOUR_MS, MINUTE_MS, SECOND_MS, parse_instant};

/// A stamp that is known, or one whose day and month only the whole file tells
/// apart: spreadsheets write `01/02/2023 00:00` for either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    At(i64),
    /// A whole year.
    Year(i32),
    /// A whole month, from 1.
    Month(i32, u32),
    Slashed {
        first: u32,
        second: u32,
        year: i32,
        time_ms: i64,
    },
}

/// The order of day and month in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

impl Stamp {
    /// Reads a stamp; without an offset it is UTC.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::parse_in(text, Tz::UTC)
    }

    /// Reads a year, `2024`.
    pub(super) fn parse_year(text: &str) -> Option<Self> {
        text.trim().parse::<i32>().ok().filter(|year| YEARS.contains(year)).map(Self::Year)
    }

    /// Reads a month, `2024-05`.
    fn parse_month(text: &str) -> Option<Self> {
        let (year, month) =
            text.split_once('-').filter(|(year, month)| (year.len(), month.len()) == (4, 2))?;
        let year = year.parse::<i32>().ok().filter(|year| YEARS.contains(year))?;
        month
            .parse::<u32>()
            .ok()
            .filter(|month| (1..=12).contains(month))
            .map(|month| Self::Month(year, month))
    }

    /// True if the text says by itself which instant it is: it has an offset, or counts from the epoch.
    pub(super) fn has_offset(text: &str) -> bool {
        let text = text.trim();
        let time_of_day = text.split_once(['T', 't', ' ']).map_or("", |(_, clock)| clock);
        time_of_day.ends_with(['Z', 'z'])
            || time_of_day.contains(['+', '-'])
            || time_of_day.ends_with("UTC")
            || text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Reads a stamp; without an offset it is on the clock of `zone`.
    pub(super) fn parse_in(text: &str, zone: Tz) -> Option<Self> {
        let text = text.trim();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            match text.len() {
                4 => return Self::parse_year(text),
                // Twelve digits and more are milliseconds, as seconds they would be the year 5138 or later; and so on.
                12..=14 => return text.parse().ok().map(Self::At),
                15..=17 => return text.parse::<i64>().ok().map(|at_us| Self::At(at_us.div_euclid(1000))),
                18..=19 => {
                    return text.parse::<i64>().ok().map(|at_ns| Self::At(at_ns.div_euclid(1_000_000)));
                }
                _ => {}
            }
        }
        if let Some(month) = Self::parse_month(text) {
            return Some(month);
        }
        if let Ok(at_ms) = parse_instant(text, zone) {
            return Some(Self::At(at_ms));
        }
        if let Some(at_ms) = dotted_as_iso(text).and_then(|iso| parse_instant(&iso, zone).ok()) {
            return Some(Self::At(at_ms));
        }
        let (date, time) = text.split_once(' ')?;
        let mut numbers = date.split('/').map(|number| number.parse::<u32>().ok());
        let (first, second, year) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let mut clock = time.trim().split(':').map(|number| number.parse::<i64>().ok());
        let (hour, minute) = (clock.next()??, clock.next()??);
        let second_of_minute = match clock.next() {
            Some(second_of_minute) => second_of_minute?,
            None => 0,
        };
        let in_range =
            (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second_of_minute);
        if !in_range || numbers.next().is_some() || clock.next().is_some() {
            return None;
        }
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        let time_ms =
            minutes.checked_mul(MINUTE_MS)?.checked_add(second_of_minute.checked_mul(SECOND_MS)?)?;
        Some(Self::Slashed { first, second, year: i32::try_from(year).ok()?, time_ms })
    }

    /// The instant, if there is such a day.
    pub(super) fn resolve(self, order: Order) -> Option<i64> {
        match self {
            Self::At(at_ms) => Some(at_ms),
            Self::Year(year) => midnight_ms(year, 1, 1),
            Self::Month(year, month) => midnight_ms(year, month, 1),
            Self::Slashed { first, second, year, time_ms } => {
                let (day, month) = match order {
                    Order::DayFirst => (first, second),
                    Order::MonthFirst => (second, first),
                };
                midnight_ms(year, month, day)?.checked_add(time_ms)
            }
        }
    }
}

/// `28.03.2020 00:15` as `2020-03-28 00:15`.
fn dotted_as_iso(text: &str) -> Option<String> {
    let (date, clock) = text.split_once(' ')?;
    let mut parts = date.split('.');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let is_date = day.len() <= 2 && month.len() <= 2 && year.len() == 4 && parts.next().is_none();
    is_date.then(|| format!("{year}-{month:0>2}-{day:0>2} {}", clock.trim()))
}

/// Years that intensities are of.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;

fn midnight_ms(year: i32, month: u32, day: u32) -> Option<i64> {
    let midnight = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc().timestamp_millis())
}

/// The instant at which the clock of `zone` shows what UTC shows at `shown_ms`, the earlier of two.
pub(super) fn on_clock(shown_ms: i64, zone: Tz) -> Option<i64> {
    let shown = chrono::DateTime::from_timestamp_millis(shown_ms)?.naive_utc();
    zone.from_local_datetime(&shown).earliest().map(|at| at.timestamp_millis())
}

/// The later of two instants that a clock shows alike, where `at_ms` would go back behind `before_ms`: the hour that is there twice
/// in autumn.
pub(super) fn later_of_twice(at_ms: i64, before_ms: i64, zone: Tz) -> i64 {
    let shown = |at_ms: i64| {
        let at = chrono::DateTime::from_timestamp_millis(at_ms)?;
        Some(at.with_timezone(&zone).naive_local())
    };
    let later_ms = at_ms.saturating_add(HOUR_MS);
    let is_twice =
        shown(at_ms).zip(shown(later_ms)).is_some_and(|(one, other)| other - one == TimeDelta::zero());
    if at_ms <= before_ms && is_twice { later_ms } else { at_ms }
}

/// The order that makes every stamp a day; where both do, the one under which
/// the stamps lie closer together, since a file covers a time without holes.
pub(super) fn order_of(stamps: impl Iterator<Item = Stamp> + Clone) -> Order {
    let days = stamps.filter(|stamp| matches!(stamp, Stamp::Slashed { .. }));
    let misses = |order| days.clone().filter(|stamp| stamp.resolve(order).is_none()).count();
    let span = |order| {
        let instants = days.clone().filter_map(move |stamp| stamp.resolve(order));
        let (low, high) = instants.fold((i64::MAX, i64::MIN), |(low, high), at| (low.min(at), high.max(at)));
        high.saturating_sub(low)
    };
    let judge = |order| (misses(order), span(order));
    if judge(Order::MonthFirst) < judge(Order::DayFirst) { Order::MonthFirst } else { Order::DayFirst }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY_MS;

    /// 2023-01-01T00:00:00Z, by `date -u -d 2023-01-01 +%s`.
    const NEW_YEAR_2023_MS: i64 = 1_672_531_200_000;

    #[test]
    fn spreadsheets_dates_are_told_by_the_file() {
        let order = |texts: &[&str]| order_of(texts.iter().map(|text| Stamp::parse(text).unwrap()));
        assert_eq!(order(&["01/01/2023 00:00", "13/01/2023 00:00"]), Order::DayFirst);
        assert_eq!(order(&["01/01/2023 00:00", "01/13/2023 00:00"]), Order::MonthFirst);
        assert_eq!(order(&["01/01/2023 00:00", "02/01/2023 00:00"]), Order::DayFirst);
        assert_eq!(order(&["01/01/2023 00:00", "01/02/2023 00:00"]), Order::MonthFirst);
        let stamp = Stamp::parse("02/01/2023 00:30").unwrap();
        assert_eq!(stamp.resolve(Order::DayFirst), Some(NEW_YEAR_2023_MS + DAY_MS + 30 * MINUTE_MS));
        assert_eq!(stamp.resolve(Order::MonthFirst), Some(NEW_YEAR_2023_MS + 31 * DAY_MS + 30 * MINUTE_MS));
    }

    #[test]
    fn stamps_of_every_kind() {
        for text in [
            "2023-01-01 00:00:00",
            "2023-01-01T00:00Z",
            "2023-01-01T01:00:00+01:00",
            "2023-01-01 00:00:00+00:00",
            "2023-01-01",
            "1672531200",
            "1672531200000",
        ] {
            assert_eq!(Stamp::parse(text), Some(Stamp::At(NEW_YEAR_2023_MS)), "{text}");
        }
        for text in ["1672531200000000", "1672531200000000000"] {
            assert_eq!(Stamp::parse(text), Some(Stamp::At(NEW_YEAR_2023_MS)), "{text}");
        }
        assert_eq!(
            (Stamp::parse("2023"), Stamp::parse("2023-01")),
            (Some(Stamp::Year(2023)), Some(Stamp::Month(2023, 1)))
        );
        assert_eq!(Stamp::Month(2023, 1).resolve(Order::DayFirst), Some(NEW_YEAR_2023_MS));
        for text in
            ["", "2023-13", "n/e", "01/01/2023", "01/01/2023 24:00", "1/2/3/4 00:00", "32/13/2023 xx:00"]
        {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
        assert_eq!(Stamp::parse("31/02/2023 00:00").unwrap().resolve(Order::DayFirst), None);
    }
}
