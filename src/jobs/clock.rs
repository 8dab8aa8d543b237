//! Times of a job log: with an offset, as Unix seconds, or local without one.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::{HOUR_MS, MINUTE_MS, TimeError, parse_instant};

/// A time as it stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// `Unknown`, `None`, empty: not yet, or never.
    Never,
    /// A time that was given.
    At(Instant),
}

/// An instant, and a second one where the local time was there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// The instant (UTC, ms), the earlier of two.
    pub(super) at_ms: i64,
    /// The later one, in the hour after the clocks were put back.
    pub(super) later_ms: Option<i64>,
    /// No offset stood with it: it was read in the log's zone.
    pub(super) zone_assumed: bool,
}

/// Reads a time; `zone` is for those without offset.
pub(super) fn parse(text: &str, zone: Tz) -> Result<When, TimeError> {
    let text = text.trim();
    let none = ["", "unknown", "none", "n/a", "(null)", "invalid", "0"];
    if none.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(When::Never);
    }
    // Nearly every time of a log has one of these two forms, and trying them all takes most of the reading time.
    if let Some(at_ms) = unix_seconds(text) {
        return Ok(When::At(Instant { at_ms, later_ms: None, zone_assumed: false }));
    }
    if let Some(local) = plain_local(text) {
        return match zone.from_local_datetime(&local) {
            LocalResult::Single(at) => Ok(local_time(at.timestamp_millis(), None)),
            LocalResult::Ambiguous(at, later) => {
                Ok(local_time(at.timestamp_millis(), Some(later.timestamp_millis())))
            }
            LocalResult::None => Err(TimeError::Skipped { text: text.to_owned(), zone }),
        };
    }
    let at_ms = parse_instant(text, zone)?;
    // A text that means another instant in another zone carries no offset.
    let elsewhere = if zone == Tz::Etc__GMTMinus12 { Tz::UTC } else { Tz::Etc__GMTMinus12 };
    let zone_assumed = parse_instant(text, elsewhere) != Ok(at_ms);
    let later_ms = if zone_assumed { later_twin(at_ms, zone) } else { None };
    Ok(When::At(Instant { at_ms, later_ms, zone_assumed }))
}

fn local_time(at_ms: i64, later_ms: Option<i64>) -> When {
    When::At(Instant { at_ms, later_ms, zone_assumed: true })
}

/// Reads ten digits, seconds of the years 2001 to 2286, and nothing else.
fn unix_seconds(text: &str) -> Option<i64> {
    let digits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<i64>().ok().filter(|_| digits).and_then(|seconds| seconds.checked_mul(1000))
}

/// Reads `2026-11-23T13:30:47` and nothing else.
fn plain_local(text: &str) -> Option<NaiveDateTime> {
    let bytes: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        bytes
            .get(from..to)?
            .iter()
            .try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| bytes.get(at) != Some(&mark)) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 7)?, number(8, 10)?)?;
    date.and_hms_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?)
}

/// The later instant with the same local time, if the clocks were put back in between.
fn later_twin(at_ms: i64, zone: Tz) -> Option<i64> {
    let local = |instant_ms: i64| {
        let utc = DateTime::<Utc>::from_timestamp_millis(instant_ms)?.naive_utc();
        Some(utc + zone.offset_from_utc_datetime(&utc).fix())
    };
    // Lord Howe Island moves its clocks by half an hour, everyone else by one.
    [HOUR_MS, 30 * MINUTE_MS].into_iter().find_map(|step_ms| {
        let later_ms = at_ms.checked_add(step_ms)?;
        (local(later_ms)? == local(at_ms)?).then_some(later_ms)
    })
}

/// Start and end of a run. Where the clocks were put back, what was recorded
/// as elapsed decides between the instants a local time may mean; without it
/// the first pair in which the end is not before the start.
pub(super) fn settle(start: Instant, end: Option<Instant>, elapsed_ms: Option<i64>) -> (i64, Option<i64>) {
    let Some(end) = end else {
        return (start.at_ms, None);
    };
    let starts = [Some(start.at_ms), start.later_ms];
    let ends = [Some(end.at_ms), end.later_ms];
    let pairs = || {
        starts
            .into_iter()
            .flatten()
            .flat_map(move |from| ends.into_iter().flatten().map(move |to| (from, to)))
    };
    let best = match elapsed_ms {
        Some(elapsed_ms) => pairs()
            .min_by_key(|(from, to)| to.saturating_sub(*from).saturating_sub(elapsed_ms).saturating_abs()),
        None => pairs().find(|(from, to)| from <= to),
    };
    let (from, to) = best.unwrap_or((start.at_ms, end.at_ms));
    (from, Some(to))
}

/// Slurm's `Elapsed`, in ms: `MM:SS`, `HH:MM:SS`, `D-HH:MM:SS`, with or without a fraction.
pub(super) fn parse_elapsed(text: &str) -> Option<i64> {
    let (days, clock) = match text.trim().split_once('-') {
        Some((days, clock)) => (days.parse::<i64>().ok()?, clock),
        None => (0, text.trim()),
    };
    let whole = clock.split('.').next()?;
    let mut seconds = 0_i64;
    let mut parts = 0;
    for part in whole.split(':') {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = if plain { part.parse().ok()? } else { return None };
        seconds = seconds.checked_mul(60)?.checked_add(number)?;
        parts += 1;
    }
    if !(2..=3).contains(&parts) || days < 0 {
        return None;
    }
    days.checked_mul(86_400)?.checked_add(seconds)?.checked_mul(1000)
}

/// The same in seconds with the fraction: Slurm's `TotalCPU`, PBS' `cput`.
pub(super) fn parse_cpu_time_s(text: &str) -> Option<f64> {
    let whole_ms = parse_elapsed(text)?;
    let fraction = match text.trim().split_once('.') {
        Some((_, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("0.{digits}").parse().ok()?
        }
        Some(_) => return None,
        None => 0.0,
    };
    super::plausible_cpu_time_s(whole_ms as f64 / 1000.0 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cpu_times_have_fractions_and_nought_is_unknown() {
        assert_eq!(parse_cpu_time_s("01:02.250"), Some(62.25));
        assert_eq!(parse_cpu_time_s("1-02:03:04"), Some(93_784.0));
        for unknown in ["00:00:00", "", "x", "00:00.x1"] {
            assert_eq!(parse_cpu_time_s(unknown), None, "{unknown}");
        }
    }

    fn at(text: &str, zone: Tz) -> Instant {
        match parse(text, zone) {
            Ok(When::At(instant)) => instant,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn with_and_without_offset() {
        // 2026-11-23T13:30:47Z is 1795440647, as `sacct` printed it in both forms.
        let plain = |at_ms, zone_assumed| Instant { at_ms, later_ms: None, zone_assumed };
        let new_york = chrono_tz::America::New_York;
        assert_eq!(at("1795440647", new_york), plain(1_795_440_647_000, false));
        assert_eq!(at("2026-11-23T13:30:47", Tz::UTC), plain(1_795_440_647_000, true));
        assert_eq!(at("2026-11-23T08:30:47", new_york), plain(1_795_440_647_000, true));
        assert_eq!(at("2026-11-23T08:30:47-0500", Tz::UTC), plain(1_795_440_647_000, false));
        for none in ["Unknown", "None", "", "0"] {
            assert_eq!(parse(none, Tz::UTC), Ok(When::Never));
        }
        assert!(parse("2026-13-01T00:00:00", Tz::UTC).is_err());
    }

    /// Berlin put its clocks back from 03:00 to 02:00 on 27 October 2024, at 01:00Z.
    #[test]
    fn a_job_over_the_hour_that_was_there_twice() {
        let berlin = chrono_tz::Europe::Berlin;
        let (start, end) = (at("2024-10-27T02:50:00", berlin), at("2024-10-27T02:10:00", berlin));
        let first = 1_729_990_200_000; // 00:50Z
        assert_eq!(start.at_ms, first);
        assert_eq!(start.later_ms, Some(first + HOUR_MS));
        assert_eq!(settle(start, Some(end), None), (first, Some(first + 20 * MINUTE_MS)));
        // 02:10 to 02:50 may be 40, 100 or −20 minutes; `Elapsed` knows.
        let elapsed = |text| settle(end, Some(start), parse_elapsed(text));
        assert_eq!(elapsed("00:40:00").0, first - 40 * MINUTE_MS);
        assert_eq!(elapsed("00:40:00").1, Some(first));
        assert_eq!(elapsed("01:40:00").1, Some(first + HOUR_MS));
    }

    proptest! {
        #[test]
        fn the_short_way_and_the_long_way_agree(
            (year, month, day) in (1970_i32..2100, 0_u32..14, 0_u32..33),
            (hour, minute, second) in (0_u32..26, 0_u32..62, 0_u32..62),
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
            for zone in [Tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::Australia::Lord_Howe] {
                let long = parse_instant(&text, zone);
                match parse(&text, zone) {
                    Ok(When::At(instant)) => prop_assert_eq!(Ok(instant.at_ms), long),
                    Ok(When::Never) => prop_assert!(false, "{} is a time", text),
                    Err(error) => prop_assert_eq!(Err(error), long),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn unix_seconds_are_what_the_long_way_says(seconds in 0_i64..20_000_000_000) {
            let text = seconds.to_string();
            if let Some(at_ms) = unix_seconds(&text) {
                prop_assert_eq!(parse_instant(&text, Tz::UTC), Ok(at_ms));
            }
        }
    }

    #[test]
    fn both_ways_find_the_later_twin() {
        // With a blank for the `T` the long way is taken. Lord Howe went back by 30 minutes on 2024-04-07 at 02:00.
        for (zone, text, apart_ms) in [
            (chrono_tz::Europe::Berlin, "2024-10-27T02:30:00", HOUR_MS),
            (chrono_tz::Australia::Lord_Howe, "2024-04-07T01:45:00", 30 * MINUTE_MS),
        ] {
            let short = at(text, zone);
            assert_eq!(short.later_ms, Some(short.at_ms + apart_ms));
            assert_eq!(at(&text.replace('T', " "), zone), short);
        }
    }

    #[test]
    fn elapsed_in_all_its_forms() {
        assert_eq!(parse_elapsed("00:10.773"), Some(10_000));
        assert_eq!(parse_elapsed("01:02:03"), Some(3_723_000));
        assert_eq!(parse_elapsed("2-01:00:00"), Some(176_400_000));
        for wrong in
            ["", "12", "-1-00:00:00", "a:b", "1:2:3:4", "99999999999999999999:00", "9999999999999-00:00:00"]
        {
            assert_eq!(parse_elapsed(wrong), None, "{wrong}");
        }
    }
}
