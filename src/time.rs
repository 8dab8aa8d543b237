//! Instants, windows and the calendar.
//!
//! An instant is a number of milliseconds since the epoch (UTC), as in
//! Prometheus, in a plain `i64` whose name ends in `_ms`. A window is
//! half-open: the start belongs to it, the end does not.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;

/// Milliseconds in a second.
pub const SECOND_MS: i64 = 1000;
/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in a UTC day (leap seconds do not exist in Unix time).
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// What is wrong with a text that should be a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not in one of the accepted forms.
    #[error("`{text}` is not a time: expected `2024-05-01`, `2024-05-01T08:00:00` or `2024-05-01T08:00:00Z`")]
    Format {
        /// The text as given.
        text: String,
    },
    /// The clocks were put forward over it, so this local time never was.
    #[error("`{text}` does not exist in {zone}: the clocks were put forward over it")]
    Skipped {
        /// The text as given.
        text: String,
        /// The time zone it was read in.
        zone: Tz,
    },
    /// Not a length of time.
    #[error("`{text}` is not a length of time: expected `7d`, `36h` or `1d12h` (w, d, h, m, s)")]
    Duration {
        /// The text as given.
        text: String,
    },
    /// Outside the range of years that can be handled.
    #[error("`{text}` is out of range")]
    OutOfRange {
        /// The text as given.
        text: String,
    },
}

/// A half-open span of time: `start_ms <= t < end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// First instant inside.
    pub start_ms: i64,
    /// First instant after.
    pub end_ms: i64,
}

impl Window {
    /// Everything that can be expressed.
    pub const ALL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// The window from `start_ms` up to, not including, `end_ms`.
    pub const fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms }
    }

    /// True where no instant is inside.
    pub const fn is_empty(self) -> bool {
        self.end_ms <= self.start_ms
    }

    /// Length in milliseconds; zero when empty.
    pub fn length_ms(self) -> i64 {
        if self.is_empty() { 0 } else { self.end_ms.saturating_sub(self.start_ms) }
    }

    /// Length in seconds; zero when empty.
    pub fn length_s(self) -> f64 {
        self.length_ms() as f64 / 1000.0
    }

    /// True if `at_ms` is inside.
    pub const fn contains(self, at_ms: i64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }

    /// What both have in common, or `None` if that is nothing.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let both = Self::new(self.start_ms.max(other.start_ms), self.end_ms.min(other.end_ms));
        (!both.is_empty()).then_some(both)
    }
}

/// From the start of the first of `windows`, which are in order, to the end of the last; `None` of none.
pub fn span(windows: &[Window]) -> Option<Window> {
    Some(Window::new(windows.first()?.start_ms, windows.last()?.end_ms))
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", format_instant(self.start_ms), format_instant(self.end_ms))
    }
}

/// The instant as RFC 3339 in UTC: `2024-05-01T08:00:00Z`, with milliseconds
/// only where there are any.
pub fn format_instant(at_ms: i64) -> String {
    match DateTime::<Utc>::from_timestamp_millis(at_ms) {
        Some(at) if at_ms.rem_euclid(SECOND_MS) == 0 => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        Some(at) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => format!("{at_ms} ms"),
    }
}

/// Reads a date, a date and time, or an RFC 3339 instant.
///
/// A text with an offset or `Z` is taken at its word; one without is local
/// time in `zone`. Where the clocks were put back, the earlier of the two
/// instants is meant. A bare date is its local midnight. Whole Unix seconds
/// (nine digits or more) are taken as such.
///
/// # Errors
///
/// [`TimeError`] for any other text, and for local times that never were.
pub fn parse_instant(text: &str, zone: Tz) -> Result<i64, TimeError> {
    let trimmed = text.trim();
    if trimmed.len() >= 9 && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        let out_of_range = || TimeError::OutOfRange { text: text.to_owned() };
        let seconds: i64 = trimmed.parse().map_err(|_| out_of_range())?;
        let at_ms = seconds.checked_mul(SECOND_MS).ok_or_else(out_of_range)?;
        return DateTime::<Utc>::from_timestamp_millis(at_ms).map(|_| at_ms).ok_or_else(out_of_range);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(trimmed) {
        return Ok(at.timestamp_millis());
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"] {
        if let Ok(at) = DateTime::parse_from_str(trimmed, form) {
            return Ok(at.timestamp_millis());
        }
    }
    let zone_free = trimmed.strip_suffix(['Z', 'z']);
    let (body, zone) = zone_free.map_or((trimmed, zone), |body| (body, Tz::UTC));
    let naive = parse_naive(body).ok_or_else(|| TimeError::Format { text: text.to_owned() })?;
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Ok(at.timestamp_millis()),
        LocalResult::None => Err(TimeError::Skipped { text: text.to_owned(), zone }),
    }
}

/// Reads a length of time as Prometheus writes it, `7d`, `36h`, `1d12h`, into milliseconds.
///
/// # Errors
///
/// [`TimeError::Duration`] for any other text, for nothing, and for what is too long.
pub fn parse_duration_ms(text: &str) -> Result<i64, TimeError> {
    let wrong = || TimeError::Duration { text: text.to_owned() };
    let mut rest = text.trim();
    let mut total_ms = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let unit_ms = match unit.trim() {
            "w" => 7 * DAY_MS,
            "d" => DAY_MS,
            "h" => HOUR_MS,
            "m" => MINUTE_MS,
            "s" => SECOND_MS,
            _ => return Err(wrong()),
        };
        let number: i64 = number.parse().map_err(|_| wrong())?;
        total_ms =
            number.checked_mul(unit_ms).and_then(|part| total_ms.checked_add(part)).ok_or_else(wrong)?;
        rest = next;
    }
    if total_ms > 0 { Ok(total_ms) } else { Err(wrong()) }
}

fn parse_naive(body: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(body, form).ok()).or_else(|| {
        NaiveDate::parse_from_str(body, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN))
    })
}

/// The instants at which a new step of `step_ms` begins, strictly inside
/// `window`: steps are aligned to the epoch, so hours fall on UTC hours.
pub fn step_edges(window: Window, step_ms: i64) -> Vec<i64> {
    let step_ms = step_ms.max(1);
    let mut edges = Vec::new();
    let mut at = window.start_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
    while at < window.end_ms {
        edges.push(at);
        at = at.saturating_add(step_ms);
    }
    edges
}

/// The buckets of `step_ms`, aligned to the epoch, that tile `window`; the
/// first and the last are cut to it, and those over a midnight of `zone` there (section 9 of the accounting page).
pub fn buckets(window: Window, step_ms: i64, zone: Tz) -> Vec<Window> {
    if window.is_empty() {
        return Vec::new();
    }
    let mut starts = vec![window.start_ms];
    starts.extend(step_edges(window, step_ms));
    let midnights = local_days(window, zone).into_iter().map(|(_, day)| day.start_ms);
    starts.extend(midnights.filter(|at_ms| *at_ms > window.start_ms));
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(window.end_ms));
    starts.iter().copied().zip(ends).map(|(start, end)| Window::new(start, end)).collect()
}

/// The days of `zone` that `window` touches, each with its date and the whole of its time. A day begins with the first instant of its
/// date: at midnight, or after it where the clocks were put forward over midnight.
pub fn local_days(window: Window, zone: Tz) -> Vec<(NaiveDate, Window)> {
    let mut days = Vec::new();
    let date_at = |at_ms: i64| {
        DateTime::<Utc>::from_timestamp_millis(at_ms).map(|at| at.with_timezone(&zone).date_naive())
    };
    if window.is_empty() {
        return days;
    }
    let Some(mut date) = date_at(window.start_ms) else { return days };
    while let Some((day, next)) = local_day(date, zone).zip(date.succ_opt()) {
        if day.start_ms >= window.end_ms {
            break;
        }
        if !day.is_empty() {
            days.push((date, day));
        }
        date = next;
    }
    days
}

/// The time of a date in `zone`: empty of a date that the zone left out, `None` beyond the calendar.
pub fn local_day(date: NaiveDate, zone: Tz) -> Option<Window> {
    Some(Window::new(start_of(date, zone)?, start_of(date.succ_opt()?, zone)?))
}

/// The first instant of a date. Clocks are put forward over midnight by less than a day in all zones; over a whole date, the date that
/// follows begins.
fn start_of(date: NaiveDate, zone: Tz) -> Option<i64> {
    let quarter_hours = (0..=4 * 48).map(|quarters| chrono::TimeDelta::minutes(15 * quarters));
    for after in quarter_hours {
        let local = date.and_time(NaiveTime::MIN).checked_add_signed(after)?;
        if let LocalResult::Single(at) | LocalResult::Ambiguous(at, _) = zone.from_local_datetime(&local) {
            return Some(at.timestamp_millis());
        }
    }
    None
}

/// The UTC day (days since the epoch) in which `at_ms` lies.
pub fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// The whole of a UTC day, by its number since the epoch.
pub fn whole_day(day: i64) -> Window {
    Window::new(day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS))
}

/// The UTC days that `window` touches, whole.
pub fn whole_days(window: Window) -> Window {
    let start_ms = day_of(window.start_ms).saturating_mul(DAY_MS);
    let end_ms = day_of(window.end_ms.saturating_sub(1)).saturating_add(1).saturating_mul(DAY_MS);
    Window::new(start_ms, end_ms)
}

/// `window` in `parts` of about the same length.
pub fn split(window: Window, parts: i64) -> Vec<Window> {
    let parts = parts.max(1);
    let edge = |nth: i64| {
        let into = i128::from(window.length_ms()) * i128::from(nth) / i128::from(parts);
        window.start_ms.saturating_add(i64::try_from(into).unwrap_or(i64::MAX))
    };
    (0..parts).map(|nth| Window::new(edge(nth), edge(nth + 1))).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_follow_the_zone_and_its_clock_changes() {
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(parse_instant("2024-05-01T08:00:00", berlin), Ok(1_714_543_200_000));
        assert_eq!(parse_instant("2024-05-01T08:00:00Z", berlin), Ok(1_714_550_400_000));
        assert_eq!(parse_instant("2024-05-01T08:00:00+02:00", Tz::UTC), Ok(1_714_543_200_000));
        assert_eq!(parse_instant("2024-05-01", Tz::UTC), Ok(1_714_521_600_000));
        assert_eq!(parse_instant("1714521600", berlin), Ok(1_714_521_600_000));
        // 2024-10-27 02:30 was there twice in Berlin: 00:30Z and 01:30Z.
        assert_eq!(parse_instant("2024-10-27T02:30:00", berlin), Ok(1_729_989_000_000));
        assert!(matches!(parse_instant("2024-03-31T02:30:00", berlin), Err(TimeError::Skipped { .. })));
        assert!(matches!(parse_instant("yesterday", berlin), Err(TimeError::Format { .. })));
    }

    #[test]
    fn lengths_of_time() {
        assert_eq!(parse_duration_ms("7d"), Ok(7 * 86_400_000));
        assert_eq!(parse_duration_ms("1d12h"), Ok(36 * 3_600_000));
        assert_eq!(parse_duration_ms("90m"), Ok(5_400_000));
        assert_eq!(parse_duration_ms("1w 30s"), Ok(604_830_000));
        for text in ["", "7", "d", "7x", "0d", "-1d", "1.5h", "9999999999999d", "7é"] {
            assert!(matches!(parse_duration_ms(text), Err(TimeError::Duration { .. })), "{text}");
        }
    }

    #[test]
    fn buckets_tile_the_window() {
        let window = Window::new(HOUR_MS / 2, 2 * HOUR_MS + 1);
        let tiles = buckets(window, HOUR_MS, Tz::UTC);
        assert_eq!(
            tiles,
            [
                Window::new(HOUR_MS / 2, HOUR_MS),
                Window::new(HOUR_MS, 2 * HOUR_MS),
                Window::new(2 * HOUR_MS, 2 * HOUR_MS + 1)
            ]
        );
        assert!(buckets(Window::new(5, 5), HOUR_MS, Tz::UTC).is_empty());
        // Midnight in India is 18:30 UTC.
        let evening = Window::new(18 * HOUR_MS, 20 * HOUR_MS);
        let starts: Vec<i64> =
            buckets(evening, HOUR_MS, chrono_tz::Asia::Kolkata).iter().map(|tile| tile.start_ms).collect();
        assert_eq!(starts, [18 * HOUR_MS, 18 * HOUR_MS + HOUR_MS / 2, 19 * HOUR_MS]);
    }

    #[test]
    fn days_follow_the_clock_of_their_zone() {
        let at = |text| parse_instant(text, Tz::UTC).unwrap();
        let hours = |date: &str, zone: Tz| {
            let day = local_day(NaiveDate::parse_from_str(date, "%Y-%m-%d").unwrap(), zone).unwrap();
            (day.start_ms, day.length_ms() / HOUR_MS)
        };
        assert_eq!(hours("2026-03-29", chrono_tz::Europe::Berlin), (at("2026-03-28T23:00:00Z"), 23));
        assert_eq!(hours("2026-10-25", chrono_tz::Europe::Berlin), (at("2026-10-24T22:00:00Z"), 25));
        assert_eq!(hours("2026-10-01", chrono_tz::Asia::Kolkata), (at("2026-09-30T18:30:00Z"), 24));
        // In Beirut the clocks go forward at midnight, so this day begins at one.
        assert_eq!(hours("2026-03-29", chrono_tz::Asia::Beirut), (at("2026-03-28T22:00:00Z"), 23));
        // Samoa had no 30 December 2011.
        assert_eq!(hours("2011-12-30", chrono_tz::Pacific::Apia).1, 0);
        let days = local_days(
            Window::new(at("2026-10-24T23:00:00Z"), at("2026-10-26T00:00:00Z")),
            chrono_tz::Europe::Berlin,
        );
        let dates: Vec<String> = days.iter().map(|(date, _)| date.to_string()).collect();
        assert_eq!(dates, ["2026-10-25", "2026-10-26"]);
    }

    #[test]
    fn instants_print_as_rfc_3339() {
        assert_eq!(format_instant(1_714_543_200_000), "2024-05-01T06:00:00Z");
        assert_eq!(format_instant(1_714_543_200_007), "2024-05-01T06:00:00.007Z");
    }
}
