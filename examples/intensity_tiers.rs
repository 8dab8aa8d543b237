//! How far each tier of carbon intensity is from the real hours: the error of a job's mean intensity, for jobs of 1 to 168 h
//! that start at every hour of 2024, as a Markdown table.
//!
//! ```text
//! cargo run --release --example intensity_tiers -- DIRECTORY [all | ZONE...]
//! ```
//!
//! DIRECTORY holds `em_lca_hourly_2023_157zones.csv.gz` and the same of 2024: a column of hours and one for each zone. The factors
//! are those of [`Intensity`], from files of hours, months and years that this program writes. Only shapes of 2023 are laid over them here, by the rule of G2,
//! since the shipped ones have seen 2024.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program for developers, of tables that it made itself"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike as _, Timelike as _};
use chrono_tz::Tz;
use flate2::read::GzDecoder;
use wattledger::carbon::{Intensity, Tier, Zone};
use wattledger::sum::sum;
use wattledger::time::parse_instant;

const ZONES: [&str; 10] =
    ["DE", "FR", "GB", "SE", "PL", "US-CAL-CISO", "US-TEX-ERCO", "IN-WE", "BR-CS", "AU-NSW"];
const JOB_HOURS: [usize; 4] = [1, 8, 24, 168];
/// The other tables have a column for each zone.
const MOST_COLUMNS: usize = 20;
/// A portal's file of months or years, up to where it has no more columns than are read.
const PORTAL: &str = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),\
                      Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),\
                      Renewable energy percentage (RE%),Data source";

type Failed = Box<dyn Error>;

/// The hours of a year in a zone, each with its instant.
#[derive(Clone, Default)]
struct Year {
    start_ms: Vec<i64>,
    grams_per_kwh: Vec<f64>,
}

/// A way to know the factors of 2024.
struct Way {
    name: &'static str,
    /// For each hour, in gCO2e/kWh.
    grams_per_kwh: Vec<f64>,
}

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name the directory of the hourly files")?);
    let [last, this] = [2023, 2024].map(|year| read_year(&directory, year));
    let (last, this) = (last?, this?);
    let mut zones: Vec<String> = arguments.collect();
    if zones.is_empty() {
        zones = ZONES.map(str::to_owned).to_vec();
    } else if zones == ["all"] {
        zones = this.keys().cloned().collect();
    }
    let work = tempfile::tempdir()?;
    // By zone, way and length of jobs, in percent.
    let mut errors: Vec<Vec<Vec<f64>>> = Vec::new();
    let mut names: Vec<&'static str> = Vec::new();
    for zone in &zones {
        let of = |year: &BTreeMap<String, Year>| {
            year.get(zone).cloned().ok_or_else(|| format!("no zone `{zone}`"))
        };
        let (real, ways) = ways(work.path(), zone, &of(&last)?, &of(&this)?)?;
        names = ways.iter().map(|way| way.name).collect();
        let of_way =
            |way: &Way| JOB_HOURS.map(|hours| error_percent(&way.grams_per_kwh, &real, hours)).to_vec();
        errors.push(ways.iter().map(of_way).collect());
    }
    println!("| tier | {} |", JOB_HOURS.map(|hours| format!("{hours} h")).join(" | "));
    println!("| --- |{}", " ---: |".repeat(JOB_HOURS.len()));
    for (way, name) in names.iter().enumerate() {
        let medians = (0..JOB_HOURS.len()).map(|length| median(errors.iter().map(|zone| zone[way][length])));
        println!(
            "| {name} | {} |",
            medians.map(|error| format!("{error:.1}")).collect::<Vec<_>>().join(" | ")
        );
    }
    if zones.len() > MOST_COLUMNS {
        return Ok(());
    }
    for (length, hours) in JOB_HOURS.into_iter().enumerate() {
        println!("\n| {hours} h | {} |", zones.join(" | "));
        println!("| --- |{}", " ---: |".repeat(zones.len()));
        for (way, name) in names.iter().enumerate() {
            let row: Vec<String> = errors.iter().map(|zone| format!("{:.1}", zone[way][length])).collect();
            println!("| {name} | {} |", row.join(" | "));
        }
    }
    Ok(())
}

/// A year's file: the hours, and the column of each zone.
fn read_year(directory: &Path, year: i32) -> Result<BTreeMap<String, Year>, Failed> {
    let path = directory.join(format!("em_lca_hourly_{year}_157zones.csv.gz"));
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(&path)?));
    let names: Vec<String> = reader.headers()?.iter().skip(1).map(str::to_owned).collect();
    let mut years = vec![Year::default(); names.len()];
    for record in reader.records() {
        let record = record?;
        let at_ms = parse_instant(&record[0], Tz::UTC)?;
        for (year, grams) in years.iter_mut().zip(record.iter().skip(1)) {
            year.start_ms.push(at_ms);
            year.grams_per_kwh.push(grams.parse()?);
        }
    }
    Ok(names.into_iter().zip(years).collect())
}

/// The real hours of 2024 and all ways to stand in for them, best first.
fn ways(work: &Path, zone: &str, before: &Year, real: &Year) -> Result<(Vec<f64>, Vec<Way>), Failed> {
    // A name of its own has no shipped shape and no shipped year.
    let bare = format!("X-{zone}");
    let rows = |year: &Year| {
        let body = year
            .start_ms
            .iter()
            .zip(&year.grams_per_kwh)
            .map(|(at, grams)| format!("{},{grams}\n", at / 1000));
        format!(
            "# zone: {zone}\n# basis: life-cycle average consumption\ntimestamp,gco2e_per_kwh\n{}",
            body.collect::<String>()
        )
    };
    let portal = |figures: &[(String, f64)]| {
        let mut text = format!("{PORTAL}\n");
        for (from, grams) in figures {
            for zone in [zone, bare.as_str()] {
                let _ = writeln!(text, "{from} 00:00:00,,,{zone},,{grams},,,made");
            }
        }
        text
    };
    let months = (0..12).map(|month| (format!("2024-{:02}-01", month + 1), month_mean(real, month)));
    let year = |of: &Year, number: i32| portal(&[(format!("{number}-01-01"), mean(&of.grams_per_kwh))]);
    let read = |name: &str, text: String| -> Result<Intensity, Failed> {
        let path = work.join(name);
        std::fs::write(&path, text)?;
        Ok(Intensity::with_files(&[path], None, None)?)
    };
    let hourly = read("hourly.csv", rows(real))?;
    let monthly = read("monthly.csv", portal(&months.collect::<Vec<_>>()))?;
    let this_year = read("year_2024.csv", year(real, 2024))?;
    let last_year = read("year_2023.csv", year(before, 2023))?;

    let factors = |intensity: &Intensity, zone: &str, tier: Tier| -> Result<Vec<f64>, Failed> {
        let zone = Zone::from_id(zone);
        let of_hour = |at: &i64| match intensity.factor_at(&zone, *at) {
            Some(factor) if factor.tier == tier => Ok(factor.intensity.value()),
            other => Err(format!("expected a factor of tier `{tier}` of {zone}, not {other:?}").into()),
        };
        real.start_ms.iter().map(of_hour).collect()
    };
    let shape = Shape::of(before);
    let shaped = |flat: &[f64], of: fn(&Shape, usize, usize) -> f64| -> Vec<f64> {
        let hours = real.start_ms.iter().zip(flat);
        hours
            .map(|(at, grams)| {
                month_and_hour(*at).map_or(f64::NAN, |(month, hour)| grams * of(&shape, month, hour))
            })
            .collect()
    };
    let real_hours = factors(&hourly, zone, Tier::Hourly)?;
    let (of_month, of_year, of_last) = (
        factors(&monthly, &bare, Tier::Monthly)?,
        factors(&this_year, &bare, Tier::Annual)?,
        factors(&last_year, &bare, Tier::Annual)?,
    );
    let way = |name, grams_per_kwh| Way { name, grams_per_kwh };
    let ways = vec![
        way("`monthly-profile`, shape of 2023", shaped(&of_month, Shape::of_month)),
        way("`monthly-profile`, shipped shape", factors(&monthly, zone, Tier::MonthlyProfile)?),
        way("`annual-profile`, 2024 × shape of 2023", shaped(&of_year, Shape::of_year)),
        way("`annual-profile`, 2024 × shipped shape", factors(&this_year, zone, Tier::AnnualProfile)?),
        way("`annual-profile`, 2023 × shape of 2023", shaped(&of_last, Shape::of_year)),
        way("`monthly`", of_month),
        way("`annual`, 2024", of_year),
        way("`annual`, 2023", of_last),
        way("`world`", factors(&hourly, "X-NOWHERE", Tier::World)?),
    ];
    Ok((real_hours, ways))
}

/// Month × hour, relative to the mean of the year (rule G2).
struct Shape([[f64; 24]; 12]);

impl Shape {
    fn of(year: &Year) -> Self {
        let mut cells = vec![Vec::new(); 12 * 24];
        for (at, grams) in year.start_ms.iter().zip(&year.grams_per_kwh) {
            if let Some((month, hour)) = month_and_hour(*at) {
                cells[month * 24 + hour].push(*grams);
            }
        }
        let whole = mean(&year.grams_per_kwh);
        let cell = |month: usize, hour: usize| mean(&cells[month * 24 + hour]) / whole;
        Self(std::array::from_fn(|month| std::array::from_fn(|hour| cell(month, hour))))
    }

    fn of_year(&self, month: usize, hour: usize) -> f64 {
        self.0[month][hour]
    }

    fn of_month(&self, month: usize, hour: usize) -> f64 {
        self.0[month][hour] / mean(&self.0[month])
    }
}

/// Month and hour in UTC, from 0.
fn month_and_hour(at_ms: i64) -> Option<(usize, usize)> {
    let at = DateTime::from_timestamp_millis(at_ms)?;
    Some((at.month0() as usize, at.hour() as usize))
}

fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / values.len() as f64
}

fn month_mean(year: &Year, month: usize) -> f64 {
    let hours = year.start_ms.iter().zip(&year.grams_per_kwh);
    let of_month = hours.filter(|(at, _)| month_and_hour(**at).is_some_and(|found| found.0 == month));
    mean(&of_month.map(|(_, grams)| *grams).collect::<Vec<_>>())
}

/// Mean of |found ÷ real − 1| over jobs of constant power that start at every hour and end within the year, in percent.
fn error_percent(found: &[f64], real: &[f64], hours: usize) -> f64 {
    let jobs = found.windows(hours).zip(real.windows(hours));
    let off: Vec<f64> = jobs.map(|(found, real)| (mean(found) / mean(real) - 1.0).abs()).collect();
    100.0 * mean(&off)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) && middle > 0 {
        values[middle - 1].midpoint(values[middle])
    } else {
        values[middle]
    }
}
