//! Ticks of a time axis, in UTC.

use super::ChartError;
use super::drawing::{Drawing, Region};
use super::text::{self, Anchor};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Window};
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// What is drawn lies in the years 1 to 9999.
const FIRST_MS: i64 = -62_135_596_800_000;
const END_MS: i64 = 253_402_300_800_000;

/// True if a chart can show the window: not empty, in the years 1 to 9999.
pub(super) fn drawable(window: Window) -> bool {
    !window.is_empty() && window.start_ms >= FIRST_MS && window.end_ms <= END_MS
}

/// One tick of a time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tick {
    at_ms: i64,
    /// `06:00`, `13 Nov`, `Nov` or `2026`.
    label: String,
    /// What the label leaves out, where it is new: the date under a time, the year under a date.
    context: Option<String>,
}

#[derive(Clone, Copy)]
enum Step {
    /// A length that divides a day, or whole days since a Monday.
    Length(i64),
    Months(i32),
    Years(i32),
}

/// Steps, finest first, each with the least distance in pixels at which its labels stand apart.
const LADDER: [(Step, f64); 33] = {
    use Step::{Length, Months, Years};
    [
        (Length(SECOND_MS), 84.0),
        (Length(2 * SECOND_MS), 84.0),
        (Length(5 * SECOND_MS), 84.0),
        (Length(10 * SECOND_MS), 84.0),
        (Length(15 * SECOND_MS), 84.0),
        (Length(30 * SECOND_MS), 84.0),
        (Length(MINUTE_MS), 68.0),
        (Length(2 * MINUTE_MS), 68.0),
        (Length(5 * MINUTE_MS), 68.0),
        (Length(10 * MINUTE_MS), 68.0),
        (Length(15 * MINUTE_MS), 68.0),
        (Length(30 * MINUTE_MS), 68.0),
        (Length(HOUR_MS), 68.0),
        (Length(2 * HOUR_MS), 68.0),
        (Length(3 * HOUR_MS), 68.0),
        (Length(6 * HOUR_MS), 68.0),
        (Length(12 * HOUR_MS), 68.0),
        (Length(DAY_MS), 68.0),
        (Length(2 * DAY_MS), 68.0),
        (Length(7 * DAY_MS), 68.0),
        (Months(1), 60.0),
        (Months(3), 60.0),
        (Months(6), 60.0),
        (Years(1), 60.0),
        (Years(2), 60.0),
        (Years(5), 60.0),
        (Years(10), 60.0),
        (Years(20), 60.0),
        (Years(50), 60.0),
        (Years(100), 60.0),
        (Years(200), 60.0),
        (Years(500), 60.0),
        (Years(1000), 60.0),
    ]
};

impl Step {
    fn length_ms(self) -> i64 {
        match self {
            Self::Length(length_ms) => length_ms,
            // The shortest month and year there are, so that no two ticks are too close.
            Self::Months(months) => 28 * DAY_MS * i64::from(months),
            Self::Years(years) => 365 * DAY_MS * i64::from(years),
        }
    }

    /// The instants of this step in the window, both ends included.
    fn instants(self, window: Window) -> Vec<i64> {
        match self {
            Self::Length(length_ms) => {
                // The epoch was a Thursday; weeks begin on Mondays.
                let origin_ms = if length_ms == 7 * DAY_MS { 4 * DAY_MS } else { 0 };
                let first = (window.start_ms - origin_ms).div_euclid(length_ms);
                let last = (window.end_ms - origin_ms).div_euclid(length_ms);
                (first..=last)
                    .map(|index| index * length_ms + origin_ms)
                    .filter(|at| *at >= window.start_ms)
                    .collect()
            }
            Self::Months(months) => calendar(window, months),
            Self::Years(years) => calendar(window, years * 12),
        }
    }
}

/// The first instants of every `step`-th month.
fn calendar(window: Window, step: i32) -> Vec<i64> {
    let month_of = |at_ms| instant(at_ms).map(|at| at.year() * 12 + at.month0() as i32);
    let (Some(first), Some(last)) = (month_of(window.start_ms), month_of(window.end_ms)) else {
        return Vec::new();
    };
    let months = (first.div_euclid(step)..=last.div_euclid(step)).map(|index| index * step);
    months
        .filter_map(|month| NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1))
        .map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
        .filter(|at_ms| (window.start_ms..=window.end_ms).contains(at_ms))
        .collect()
}

fn instant(at_ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at_ms)
}

/// Ticks for a [`drawable`] window on `width` pixels, at the finest step of `least_ms` or more at which labels stand apart.
fn ticks(window: Window, width: f64, least_ms: i64) -> Vec<Tick> {
    let per_pixel = window.length_ms() as f64 / width.max(1.0);
    let stands_apart = |(step, distance): &&(Step, f64)| {
        step.length_ms() >= least_ms && step.length_ms() as f64 >= distance * per_pixel
    };
    let fitting = LADDER.iter().find(stands_apart);
    let Some((step, _)) = fitting.or(LADDER.last()) else { return Vec::new() };
    let mut instants = step.instants(window);
    if instants.is_empty() {
        // Less than a second between two seconds.
        instants.push(window.start_ms);
    }
    let (label, short, long) = match step {
        _ if window.length_ms() < SECOND_MS => ("%H:%M:%S%.3f", "%-d %b", "%-d %b %Y"),
        Step::Length(length_ms) if *length_ms < MINUTE_MS => ("%H:%M:%S", "%-d %b", "%-d %b %Y"),
        Step::Length(length_ms) if *length_ms < DAY_MS => ("%H:%M", "%-d %b", "%-d %b %Y"),
        Step::Length(_) => ("%-d %b", "%Y", "%Y"),
        Step::Months(_) => ("%b", "%Y", "%Y"),
        Step::Years(_) => ("%Y", "", ""),
    };
    let mut ticks: Vec<Tick> = Vec::new();
    let (mut last_context, mut last_year) = (String::new(), None);
    for at_ms in instants {
        let Some(at) = instant(at_ms) else { continue };
        let is_new = at.format(short).to_string();
        let context = (is_new != last_context).then(|| {
            let form = if last_year == Some(at.year()) { short } else { long };
            at.format(form).to_string()
        });
        last_context = is_new;
        last_year = Some(at.year());
        ticks.push(Tick { at_ms, label: at.format(label).to_string(), context });
    }
    // A date with its year is wide: where the next date follows at once, that one carries the year.
    if let [first, second, ..] = ticks.as_mut_slice()
        && short != long
        && first.context.is_some()
        && second.context.is_some()
    {
        first.context = None;
        second.context = instant(second.at_ms).map(|at| at.format(long).to_string());
    }
    ticks
}

/// Draws the axis under `region`, over which `whole` is spread, with `title` under it: 62 pixels high.
pub(super) fn draw(
    drawing: &mut Drawing,
    region: Region,
    whole: Window,
    title: &str,
) -> Result<(), ChartError> {
    draw_ticks(drawing, region, whole, &ticks(whole, region.width(), 0), 0)?;
    draw_title(drawing, region, title)
}

/// The same for columns of whole days: none of their hours is named, and where each day is, its name stands in its middle.
pub(super) fn draw_days(
    drawing: &mut Drawing,
    region: Region,
    whole: Window,
    title: &str,
) -> Result<(), ChartError> {
    let mut ticks = ticks(whole, region.width(), DAY_MS);
    let days = usize::try_from(whole.length_ms() / DAY_MS).unwrap_or(usize::MAX);
    let is_each_day = ticks.len() > days;
    if is_each_day {
        ticks.truncate(days);
        for tick in ticks.iter_mut().filter(|_| region.width() > days as f64 * 100.0) {
            let weekday = instant(tick.at_ms).map(|at| at.format("%a ").to_string());
            tick.label.insert_str(0, &weekday.unwrap_or_default());
        }
    }
    draw_ticks(drawing, region, whole, &ticks, if is_each_day { DAY_MS / 2 } else { 0 })?;
    draw_title(drawing, region, title)
}

fn draw_ticks(
    drawing: &mut Drawing,
    region: Region,
    whole: Window,
    ticks: &[Tick],
    later_ms: i64,
) -> Result<(), ChartError> {
    let per_ms = region.width() / whole.length_ms().max(1) as f64;
    for tick in ticks {
        let at_ms = tick.at_ms.saturating_add(later_ms);
        let x = region.left + at_ms.saturating_sub(whole.start_ms) as f64 * per_ms;
        let mark =
            Region { left: x, right: x.round() + 1.0, top: region.bottom, bottom: region.bottom + 6.0 };
        drawing.rule(mark, drawing.theme.baseline());
        drawing.text(&tick.label, text::AXIS, Anchor::Centre, (x, region.bottom + 21.0))?;
        if let Some(context) = &tick.context {
            drawing.text(context, text::AXIS, Anchor::Centre, (x, region.bottom + 39.0))?;
        }
    }
    Ok(())
}

fn draw_title(drawing: &mut Drawing, region: Region, title: &str) -> Result<(), ChartError> {
    drawing.text(title, text::AXIS, Anchor::Centre, (region.middle().0, region.bottom + 61.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(from: &str, to: &str) -> Vec<String> {
        let at = |text| crate::time::parse_instant(text, chrono_tz::UTC).unwrap();
        let ticks = ticks(Window::new(at(from), at(to)), 1100.0, 0);
        ticks
            .into_iter()
            .map(|tick| {
                tick.context.map_or(tick.label.clone(), |context| format!("{} {context}", tick.label))
            })
            .collect()
    }

    #[test]
    fn a_day_has_a_tick_every_two_hours_and_names_each_date_once() {
        assert_eq!(
            written("2026-11-13T17:00:00", "2026-11-14T17:00:00"),
            [
                "18:00 13 Nov 2026",
                "20:00",
                "22:00",
                "00:00 14 Nov",
                "02:00",
                "04:00",
                "06:00",
                "08:00",
                "10:00",
                "12:00",
                "14:00",
                "16:00"
            ]
        );
    }

    #[test]
    fn months_are_calendar_months_and_years_stand_under_the_first_of_each() {
        let ticks = written("2025-11-15", "2026-11-15");
        assert_eq!(ticks.first().map(String::as_str), Some("Dec 2025"));
        assert_eq!(ticks.get(1).map(String::as_str), Some("Jan 2026"));
        assert_eq!(ticks.get(2).map(String::as_str), Some("Feb"));
        assert_eq!(ticks.len(), 12);
    }

    #[test]
    fn a_quarter_has_mondays() {
        // 5 January 2026 was a Monday.
        let ticks = written("2026-01-01", "2026-04-01");
        assert_eq!(ticks[..2], ["5 Jan 2026".to_owned(), "12 Jan".to_owned()]);
        assert_eq!(ticks.len(), 13);
    }

    #[test]
    fn an_hour_a_second_and_less_have_ticks() {
        assert_eq!(written("2026-11-13T06:00:00", "2026-11-13T07:00:00").len(), 13);
        let window = Window::new(1_500, 1_501);
        assert_eq!(
            ticks(window, 1100.0, 0),
            [Tick { at_ms: 1_500, label: "00:00:01.500".into(), context: Some("1 Jan 1970".into()) }]
        );
    }

    #[test]
    fn columns_of_days_have_no_hours() {
        let labels = |days: i64| -> Vec<String> {
            let text = super::super::Text::default();
            let mut drawing = Drawing::new(&text, super::super::Theme::Light, 1280.0, 200.0);
            let region = Region { left: 100.0, right: 1100.0, top: 0.0, bottom: 100.0 };
            draw_days(&mut drawing, region, Window::new(0, days * DAY_MS), "").unwrap();
            drawing.labels().into_iter().map(|label| label.text).collect()
        };
        // The epoch was a Thursday.
        assert_eq!(labels(1), ["Thu 1 Jan", "1970"]);
        assert_eq!(labels(2), ["Thu 1 Jan", "1970", "Fri 2 Jan"]);
        assert_eq!(labels(12)[..3], ["1 Jan", "1970", "2 Jan"]);
        assert_eq!(labels(12).len(), 13);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// On windows of a millisecond to ten thousand years: ticks in the window, no label on another.
        #[test]
        fn labels_never_touch(
            start_ms in FIRST_MS..END_MS - 1,
            length in 0.0_f64..14.5,
            width in 600.0_f64..1200.0,
        ) {
            let window = Window::new(start_ms, start_ms.saturating_add(10_f64.powf(length) as i64).min(END_MS));
            let ticks = ticks(window, width, 0);
            let x = |at_ms: i64| (at_ms - window.start_ms) as f64 / window.length_ms() as f64 * width;
            let (mut label_end, mut context_end) = (f64::MIN, f64::MIN);
            for tick in &ticks {
                prop_assert!((window.start_ms..=window.end_ms).contains(&tick.at_ms));
                let half = text::AXIS.width(&tick.label).unwrap() / 2.0;
                prop_assert!(x(tick.at_ms) - half > label_end, "{ticks:?}");
                label_end = x(tick.at_ms) + half;
                if let Some(context) = &tick.context {
                    let half = text::AXIS.width(context).unwrap() / 2.0;
                    prop_assert!(x(tick.at_ms) - half > context_end, "{ticks:?}");
                    context_end = x(tick.at_ms) + half;
                }
            }
        }
    }
}
