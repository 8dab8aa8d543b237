//! Days, weeks, months, quarters and years of a time zone, as people name them.

use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;

use crate::time::{Window, local_day};

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `2026-10-05`.
    Day(NaiveDate),
    /// `2026-W41`: from Monday on, as ISO 8601 counts weeks.
    Week(NaiveDate),
    /// `2026-10`.
    Month(NaiveDate),
    /// `2026-Q4`.
    Quarter(NaiveDate),
    /// `2026`.
    Year(NaiveDate),
}

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
    /// A quarter.
    Quarter,
    /// A year.
    Year,
}

impl Length {
    /// The word and an example.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Day => ("day", "2026-10-05"),
            Self::Week => ("week", "2026-W41"),
            Self::Month => ("month", "2026-10"),
            Self::Quarter => ("quarter", "2026-Q4"),
            Self::Year => ("year", "2026"),
        }
    }

    /// The one in which `at_ms` lies in `zone`.
    fn at(self, at_ms: i64, zone: Tz) -> Option<Period> {
        let date = DateTime::<Utc>::from_timestamp_millis(at_ms)?.with_timezone(&zone).date_naive();
        let of_month = |month: u32| NaiveDate::from_ymd_opt(date.year(), month, 1);
        Some(match self {
            Self::Day => Period::Day(date),
            Self::Week => Period::Week(
                date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))?,
            ),
            Self::Month => Period::Month(of_month(date.month())?),
            Self::Quarter => Period::Quarter(of_month((date.month() - 1) / 3 * 3 + 1)?),
            Self::Year => Period::Year(of_month(1)?),
        })
    }

    /// Reads a period of this length; `last` and `this` are those before and around `now_ms` in `zone`.
    ///
    /// # Errors
    ///
    /// For any other text, and for a period of another length.
    pub fn parse(self, text: &str, now_ms: i64, zone: Tz) -> Result<Period, PeriodTextError> {
        let wrong = || PeriodTextError { text: text.to_owned(), length: self };
        match text.trim() {
            "this" => self.at(now_ms, zone).ok_or_else(wrong),
            "last" => self.at(now_ms, zone).and_then(Period::previous).ok_or_else(wrong),
            text => text.parse::<Period>().ok().filter(|period| period.length() == self).ok_or_else(wrong),
        }
    }
}

/// A text that is no period of the length that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {}: expected `{}`, `last` or `this`", .length.words().0, .length.words().1)]
pub struct PeriodTextError {
    /// The text.
    pub text: String,
    /// What it should be.
    pub length: Length,
}

impl FromStr for Period {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let first = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1).ok_or(());
        let number = |text: &str, digits: usize| -> Result<u32, ()> {
            let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            if plain { text.parse().map_err(|_| ()) } else { Err(()) }
        };
        let parts: Vec<&str> = text.trim().split('-').collect();
        let year = |text: &str| number(text, 4).and_then(|year| i32::try_from(year).map_err(|_| ()));
        match parts.as_slice() {
            [year_text] => first(year(year_text)?, 1).map(Self::Year),
            [year_text, rest] => {
                let year = year(year_text)?;
                if let Some(week) = rest.strip_prefix(['W', 'w']) {
                    let monday = NaiveDate::from_isoywd_opt(year, number(week, 2)?, Weekday::Mon);
                    return monday.map(Self::Week).ok_or(());
                }
                if let Some(quarter) = rest.strip_prefix(['Q', 'q']) {
                    let quarter =
                        number(quarter, 1).ok().filter(|quarter| (1..=4).contains(quarter)).ok_or(())?;
                    return first(year, quarter * 3 - 2).map(Self::Quarter);
                }
                first(year, number(rest, 2)?).map(Self::Month)
            }
            [year_text, month, day] => {
                NaiveDate::from_ymd_opt(year(year_text)?, number(month, 2)?, number(day, 2)?)
                    .map(Self::Day)
                    .ok_or(())
            }
            _ => Err(()),
        }
    }
}

impl Period {
    /// How long it is.
    pub fn length(self) -> Length {
        match self {
            Self::Day(_) => Length::Day,
            Self::Week(_) => Length::Week,
            Self::Month(_) => Length::Month,
            Self::Quarter(_) => Length::Quarter,
            Self::Year(_) => Length::Year,
        }
    }

    fn first(self) -> NaiveDate {
        match self {
            Self::Day(first)
            | Self::Week(first)
            | Self::Month(first)
            | Self::Quarter(first)
            | Self::Year(first) => first,
        }
    }

    /// The first day after it.
    fn after(self) -> Option<NaiveDate> {
        let first = self.first();
        match self {
            Self::Day(_) => first.succ_opt(),
            Self::Week(_) => first.checked_add_days(Days::new(7)),
            Self::Month(_) => first.checked_add_months(Months::new(1)),
            Self::Quarter(_) => first.checked_add_months(Months::new(3)),
            Self::Year(_) => first.checked_add_months(Months::new(12)),
        }
    }

    /// The one before it; `None` at the beginning of the calendar.
    pub fn previous(self) -> Option<Self> {
        let first = self.first();
        Some(match self {
            Self::Day(_) => Self::Day(first.pred_opt()?),
            Self::Week(_) => Self::Week(first.checked_sub_days(Days::new(7))?),
            Self::Month(_) => Self::Month(first.checked_sub_months(Months::new(1))?),
            Self::Quarter(_) => Self::Quarter(first.checked_sub_months(Months::new(3))?),
            Self::Year(_) => Self::Year(first.checked_sub_months(Months::new(12))?),
        })
    }

    /// Its time in `zone`; `None` at the ends of the calendar.
    pub fn window(self, zone: Tz) -> Option<Window> {
        let (first, after) = (local_day(self.first(), zone)?, local_day(self.after()?, zone)?);
        Some(Window::new(first.start_ms, after.start_ms))
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.first();
        match self {
            Self::Day(_) => write!(f, "{first}"),
            Self::Week(_) => {
                let week = first.iso_week();
                write!(f, "{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month(_) => write!(f, "{}", first.format("%Y-%m")),
            Self::Quarter(_) => write!(f, "{:04}-Q{}", first.year(), first.month().div_ceil(3)),
            Self::Year(_) => write!(f, "{:04}", first.year()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR_MS, format_instant, parse_instant};

    fn window(text: &str, zone: Tz) -> (String, i64) {
        let window = text.parse::<Period>().unwrap().window(zone).unwrap();
        (format_instant(window.start_ms), window.length_ms() / HOUR_MS)
    }

    #[test]
    fn months_have_the_hours_of_their_zone() {
        // Counted by hand: the clocks change on 25 October and 29 March 2026.
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(window("2026-10", berlin), ("2026-09-30T22:00:00Z".to_owned(), 31 * 24 + 1));
        assert_eq!(window("2026-03", berlin), ("2026-02-28T23:00:00Z".to_owned(), 31 * 24 - 1));
        assert_eq!(window("2026-10", chrono_tz::Asia::Kolkata), ("2026-09-30T18:30:00Z".to_owned(), 31 * 24));
        assert_eq!(window("2024-02", Tz::UTC).1, 29 * 24);
        assert_eq!(window("2026-Q4", Tz::UTC), ("2026-10-01T00:00:00Z".to_owned(), 92 * 24));
        assert_eq!(window("2026", Tz::UTC).1, 365 * 24);
        // ISO 8601: the first week of 2026 begins on 29 December 2025.
        assert_eq!(window("2026-W01", Tz::UTC), ("2025-12-29T00:00:00Z".to_owned(), 168));
        assert_eq!(window("2026-10-05", Tz::UTC), ("2026-10-05T00:00:00Z".to_owned(), 24));
    }

    #[test]
    fn each_is_printed_as_it_is_read_and_has_one_before() {
        for (text, before) in [
            ("2026-10-01", "2026-09-30"),
            ("2026-W01", "2025-W52"),
            ("2021-W01", "2020-W53"),
            ("2026-01", "2025-12"),
            ("2026-Q1", "2025-Q4"),
            ("2026", "2025"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(
                (period.to_string().as_str(), period.previous().unwrap().to_string().as_str()),
                (text, before)
            );
        }
    }

    #[test]
    fn last_month_is_that_of_the_zone() {
        let now_ms = parse_instant("2026-10-31T19:00:00Z", Tz::UTC).unwrap();
        let month = |text, zone| Length::Month.parse(text, now_ms, zone).map(|month| month.to_string());
        assert_eq!(month("last", Tz::UTC), Ok("2026-09".to_owned()));
        // There it is November already.
        assert_eq!(month("last", chrono_tz::Asia::Kolkata), Ok("2026-10".to_owned()));
        assert_eq!(month("this", Tz::UTC), Ok("2026-10".to_owned()));
        for text in
            ["2026", "2026-13", "2026-1", "10-2026", "2026-10-05", "", "October", "2026-W54", "2026-Q5"]
        {
            assert!(month(text, Tz::UTC).is_err(), "{text}");
        }
    }
}
