//! Carbon intensities: shipped figures, the fallback chain, and users' files.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may end it")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;
use wattledger::carbon::{Basis, CarbonError, Format, Intensity, Scope, Step, Tier, Zone};
use wattledger::time::{DAY_MS, HOUR_MS, MINUTE_MS, Window};

/// 2024-01-01T00:00:00Z, by `date -u -d 2024-01-01 +%s`.
const NEW_YEAR_2024_MS: i64 = 1_704_067_200_000;
/// 2024-06-15T11:00:00Z, by `date`.
const JUNE_NOON_2024_MS: i64 = 1_718_449_200_000;

const PORTAL_2024: &str = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),\
    Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,\
    Data Estimation Method";
const PORTAL_2025: &str = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),\
    Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),\
    Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method";

/// Files of a test, gone at its end.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn with(files: &[PathBuf]) -> Intensity {
    Intensity::with_files(files, None, None).unwrap()
}

/// Intensity and tier at an instant.
fn at(intensity: &Intensity, zone: &str, at_ms: i64) -> (f64, Tier) {
    let factor = intensity.factor_at(&intensity.zone(zone).unwrap(), at_ms).unwrap();
    (factor.intensity.value(), factor.tier)
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9 * right.abs().max(1.0)
}

#[test]
fn shipped_years_are_electricity_maps() {
    let shipped = Intensity::shipped().unwrap();
    assert_eq!(shipped.basis().to_string(), "life-cycle average consumption");
    assert_eq!(shipped.finest_step_ms(), HOUR_MS);
    // China has no shape, so its years stand as published: 552 539 535 513 485 for 2021 to 2025.
    for (year, grams) in [(2021, 552.0), (2022, 539.0), (2023, 535.0), (2024, 513.0), (2025, 485.0)] {
        let start = NEW_YEAR_2024_MS + (year - 2024) * 365 * DAY_MS + 2 * DAY_MS;
        assert_eq!(at(&shipped, "CN", start), (grams, Tier::Annual), "{year}");
    }
    // A year that the table lacks takes the newest, and says so.
    let zone = shipped.zone("CN").unwrap();
    let before = shipped.factor_at(&zone, NEW_YEAR_2024_MS - 5 * 365 * DAY_MS).unwrap();
    assert_eq!(before.intensity.value(), 485.0);
    assert!(before.estimated && before.release.contains("2025"), "{before:?}");
    let within = shipped.factor_at(&zone, JUNE_NOON_2024_MS).unwrap();
    assert!(!within.estimated && within.release.contains("2024"), "{within:?}");
    assert_eq!(&*within.source, "Electricity Maps");
}

#[test]
fn a_shape_spreads_the_year_over_its_hours() {
    let shipped = Intensity::shipped().unwrap();
    // Germany 2024 is 341 g/kWh; June, 11 h UTC, is 0.655 of the year, January, 0 h, 1.055.
    let (grams, tier) = at(&shipped, "DE", JUNE_NOON_2024_MS);
    assert!(close(grams, 341.0 * 0.655) && tier == Tier::AnnualProfile, "{grams} {tier}");
    let (grams, _) = at(&shipped, "DE", NEW_YEAR_2024_MS);
    assert!(close(grams, 341.0 * 1.055), "{grams}");
    // The hour before is 2023's: 379 g/kWh and December's 23 h.
    let (last_hour, _) = at(&shipped, "DE", NEW_YEAR_2024_MS - 1);
    assert!(last_hour > 379.0 && last_hour < 379.0 * 1.2, "{last_hour}");
    let factor = shipped.factor_at(&shipped.zone("DE").unwrap(), JUNE_NOON_2024_MS).unwrap();
    assert!(factor.estimated && factor.release.contains("shape"), "{factor:?}");
}

#[test]
fn the_hours_of_a_year_have_the_years_mean() {
    let shipped = Intensity::shipped().unwrap();
    for (zone, published) in
        [("DE", 341.0), ("FR", 33.0), ("PL", 581.0), ("SE", 23.0), ("US-CAL-CISO", 229.0)]
    {
        let zone = shipped.zone(zone).unwrap();
        let hours = (0..366 * 24).map(|hour| NEW_YEAR_2024_MS + hour * HOUR_MS);
        let total: f64 = hours.map(|at| shipped.factor_at(&zone, at).unwrap().intensity.value()).sum();
        let mean = total / (366.0 * 24.0);
        assert!((mean / published - 1.0).abs() < 0.002, "{zone}: {mean}");
    }
}

#[test]
fn a_country_without_a_figure_gets_the_worlds() {
    let shipped = Intensity::shipped().unwrap();
    for zone in ["Ukraine", "RUS", "World"] {
        let factor = shipped.factor_at(&shipped.zone(zone).unwrap(), JUNE_NOON_2024_MS).unwrap();
        assert_eq!((factor.intensity.value(), factor.tier), (472.94, Tier::World), "{zone}");
        assert!(factor.estimated && &*factor.source == "Ember", "{factor:?}");
    }
}

#[test]
fn zones_go_by_many_names() {
    let shipped = Intensity::shipped().unwrap();
    for (text, id) in [
        ("DE", "DE"),
        ("de", "DE"),
        ("DEU", "DE"),
        ("Germany", "DE"),
        (" germany ", "DE"),
        ("DE-LU", "DE"),
        ("United States", "US"),
        ("USA", "US"),
        ("UK", "GB"),
        ("United Kingdom", "GB"),
        ("Czechia", "CZ"),
        ("Czech Republic", "CZ"),
        ("Turkey", "TR"),
        ("türkiye", "TR"),
        ("Cote d'Ivoire", "CI"),
        ("South Korea", "KR"),
        ("BRN", "BN"),
        ("BR-N", "BR-N"),
        ("NA", "NA"),
        ("Namibia", "NA"),
        ("Chile", "CL-SEN"),
        ("us_cal_ciso", "US-CAL-CISO"),
        ("Québec", "CA-QC"),
        ("Georgia", "GE"),
        ("Niger", "NE"),
    ] {
        assert_eq!(shipped.zone(text).unwrap().as_str(), id, "{text}");
    }
}

#[test]
fn an_unknown_zone_is_answered_with_the_nearest() {
    let shipped = Intensity::shipped().unwrap();
    for (text, near) in
        [("Germny", "`DE` (Germany)"), ("Austra", "`AT` (Austria)"), ("Swedn", "`SE` (Sweden)")]
    {
        let error = shipped.zone(text).unwrap_err();
        assert!(matches!(error, CarbonError::UnknownZone { .. }));
        let hint = error.hint().unwrap();
        assert!(hint.contains(near), "{text}: {hint}");
    }
    let error = shipped.zone("qqqqqqqqqqqqqqqqqq").unwrap_err();
    assert_eq!(error.to_string(), "`qqqqqqqqqqqqqqqqqq` is not a known zone");
    assert!(error.hint().unwrap().contains("ISO"));
    assert!(shipped.zone("").is_err());
}

#[test]
fn the_portals_two_headers_give_the_same_values() {
    let files = Files::new();
    let row = "2024-01-01 00:00:00,USA,\"Electric Reliability Council of Texas, Inc.\",US-TEX-ERCO,319.2,367.58,1,1,x";
    let next =
        "2024-01-01 01:00:00,USA,\"Electric Reliability Council of Texas, Inc.\",US-TEX-ERCO,300,350.5,1,1,x";
    for (name, header, bom) in [("old.csv", PORTAL_2024, ""), ("new.csv", PORTAL_2025, "\u{feff}")] {
        let path = files.write(name, &format!("{bom}{header}\n{row},false,\n{next},TRUE,MODE\n"));
        let intensity = with(std::slice::from_ref(&path));
        assert_eq!(at(&intensity, "US-TEX-ERCO", NEW_YEAR_2024_MS), (367.58, Tier::Hourly), "{name}");
        let zone = intensity.zone("US-TEX-ERCO").unwrap();
        let second = intensity.factor_at(&zone, NEW_YEAR_2024_MS + HOUR_MS).unwrap();
        assert!(second.estimated && second.intensity.value() == 350.5);
        assert_eq!((&*second.source, &*second.release), ("Electricity Maps", name));
        let input = &intensity.inputs()[0];
        assert_eq!((input.format, input.rejected, input.zones[0].estimated), (Format::ElectricityMaps, 0, 1));
        assert!(input.attribution.contains("ODbL"));

        let direct = Intensity::with_files(&[path], None, Some("direct".parse().unwrap())).unwrap();
        assert_eq!(at(&direct, "US-TEX-ERCO", NEW_YEAR_2024_MS), (319.2, Tier::Hourly));
        // No shipped figure is direct: a gap stays unpriced, and the world's mean does not slip in.
        assert_eq!(direct.factor_at(&zone, NEW_YEAR_2024_MS + 2 * HOUR_MS), None);
        assert_eq!(direct.factor_at(&direct.zone("DE").unwrap(), NEW_YEAR_2024_MS), None);
        assert_eq!(direct.basis().scope, Scope::Direct);
    }
}

#[test]
fn a_spreadsheets_dates_are_read() {
    let files = Files::new();
    let rows: String = (1..=14)
        .map(|day| format!("{day:02}/01/2024 00:00,UK,Great Britain,GB,1,{day},1,1,x,FALSE,\n"))
        .collect();
    // Daily stamps would be refused, so fill the first day's hours.
    let hours: String = (1..24)
        .map(|h| format!("01/01/2024 {h:02}:00,UK,Great Britain,GB,1,9{h:02},1,1,x,FALSE,\n"))
        .collect();
    let path = files.write("GB_2024_hourly.csv", &format!("{PORTAL_2024}\n{rows}{hours}"));
    let intensity = with(&[path]);
    assert_eq!(at(&intensity, "GB", NEW_YEAR_2024_MS + 13 * DAY_MS), (14.0, Tier::Hourly));
    assert_eq!(at(&intensity, "GB", NEW_YEAR_2024_MS + 5 * HOUR_MS), (905.0, Tier::Hourly));
}

#[test]
fn hours_hold_from_their_stamp_and_gaps_fall_to_the_next_tier() {
    let files = Files::new();
    let path = files.write(
        "de.csv",
        "# tz: UTC\ntimestamp,gco2e_per_kwh,zone\n\
         2024-01-01T00:00:00Z,100,Germany\n\
         2024-01-01T02:00:00+01:00,200,DE\n\
         2024-01-01 02:00,300,DEU\n\
         2024-01-01 05:00:00,600,DE\n",
    );
    let intensity = with(&[path]);
    let hourly = |hour: i64, offset: i64| at(&intensity, "DE", NEW_YEAR_2024_MS + hour * HOUR_MS + offset);
    assert_eq!(hourly(0, 0), (100.0, Tier::Hourly));
    assert_eq!(hourly(1, -1), (100.0, Tier::Hourly));
    assert_eq!(hourly(1, 0), (200.0, Tier::Hourly));
    assert_eq!(hourly(3, -1), (300.0, Tier::Hourly));
    assert_eq!(hourly(5, 0), (600.0, Tier::Hourly));
    // The gap, and both sides of the file, are the shipped profile's.
    for (hour, offset) in [(0, -1), (3, 0), (5, -1), (6, 0)] {
        assert_eq!(hourly(hour, offset).1, Tier::AnnualProfile, "{hour} {offset}");
    }
    let summary = &intensity.inputs()[0].zones[0];
    assert_eq!((summary.values, summary.gaps, summary.missing_ms), (4, 1, 2 * HOUR_MS));
    assert_eq!(summary.window.start_ms, NEW_YEAR_2024_MS);
    assert_eq!(summary.window.end_ms, NEW_YEAR_2024_MS + 6 * HOUR_MS);
    assert!(intensity.inputs()[0].basis_assumed);
    // Another zone does not see the file.
    assert_eq!(at(&intensity, "CN", NEW_YEAR_2024_MS), (513.0, Tier::Annual));
}

#[test]
fn stamps_without_offset_are_utc_through_the_clock_change() {
    let files = Files::new();
    // 2024-03-31, when Berlin's clocks skipped 02:00 to 03:00: 1711843200 by `date -u`.
    let start = 1_711_843_200_000;
    let rows: String = (0..24).map(|hour| format!("2024-03-31 {hour:02}:00:00,{}\n", 100 + hour)).collect();
    let path = files.write("de.csv", &format!("# zone: DE\ntimestamp,gco2e_per_kwh\n{rows}"));
    let intensity = with(&[path]);
    for hour in 0..24_i32 {
        let at_ms = start + i64::from(hour) * HOUR_MS;
        assert_eq!(at(&intensity, "DE", at_ms), (f64::from(100 + hour), Tier::Hourly), "{hour}");
    }
    assert_eq!(intensity.inputs()[0].zones[0].gaps, 0);
}

#[test]
fn finer_files_make_finer_buckets() {
    let files = Files::new();
    let quarter = files.write(
        "quarter.csv",
        "timestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T00:15Z,2\n2024-01-01T00:30Z,3\n",
    );
    let hourly =
        files.write("hour.csv", "timestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,2\n");
    let off = files.write("off.csv", "timestamp,gco2e_per_kwh\n2024-01-01T00:30Z,1\n2024-01-01T01:30Z,2\n");
    let zone = Zone::from_id("DE");
    let step = |path: &PathBuf| {
        let intensity = Intensity::with_files(std::slice::from_ref(path), Some(&zone), None).unwrap();
        (intensity.finest_step_ms(), intensity.inputs()[0].zones[0].step)
    };
    assert_eq!(step(&quarter), (15 * MINUTE_MS, Step::Fine { step_ms: 15 * MINUTE_MS }));
    assert_eq!(step(&hourly), (HOUR_MS, Step::Fine { step_ms: HOUR_MS }));
    // Hours that start at half past would be cut by hour buckets.
    assert_eq!(step(&off), (30 * MINUTE_MS, Step::Fine { step_ms: HOUR_MS }));
    let no_zone = Intensity::with_files(&[hourly], None, None).unwrap_err();
    assert!(matches!(no_zone, CarbonError::NoZone { .. }) && no_zone.hint().is_some());
}

#[test]
fn broken_lines_are_counted_and_the_rest_is_used() {
    let files = Files::new();
    let path = files.write(
        "de.csv",
        "# source: our meter\n\
         # licence: CC0\n\
         timestamp,gco2e_per_kwh,zone\n\
         2024-01-01T00:00:00Z,100,DE\n\
         yesterday,100,DE\n\
         2024-01-01T01:00:00Z,,DE\n\
         2024-01-01T01:00:00Z,n/e,DE\n\
         2024-01-01T01:00:00Z,-5,DE\n\
         2024-01-01T01:00:00Z,3000.1,DE\n\
         2024-01-01T01:00:00Z,much,DE\n\
         2024-01-01T01:00:00Z,inf,DE\n\
         2024-01-01T01:00:00Z\n\
         2024-01-01T01:00:00Z,150,\n\
         2024-01-01T02:00:00Z,3000,DE\n\
         2024-01-01T01:00:00Z,0,DE\n",
    );
    let intensity = with(&[path]);
    let input = &intensity.inputs()[0];
    assert_eq!(input.rejected, 9);
    let lines: Vec<u64> = input.rejected_lines.iter().map(|reject| reject.line).collect();
    assert_eq!(lines, [5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(input.rejected_lines[0].reason, "no time that can be read");
    assert_eq!(input.rejected_lines[3].reason, "intensity is negative");
    assert_eq!(&*input.attribution, "our meter, CC0");
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS + HOUR_MS), (0.0, Tier::Hourly));
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS + 2 * HOUR_MS), (3000.0, Tier::Hourly));
    // The file's own line, and that of the shipped tables where an hour after it is asked for.
    let germany = [intensity.zone("DE").unwrap()];
    let lines = |hours: i64| {
        let start_ms = NEW_YEAR_2024_MS + HOUR_MS;
        intensity.attributions(&germany, Window::new(start_ms, start_ms + hours * HOUR_MS)).len()
    };
    assert_eq!((lines(2), lines(3)), (1, 2));
}

#[test]
fn a_value_said_twice_counts_once_and_the_later_wins() {
    let files = Files::new();
    let first = files.write(
        "a.csv",
        "# zone: DE\ntimestamp,gco2e_per_kwh\n\
         2024-01-01T00:00Z,100\n2024-01-01T01:00Z,200\n2024-01-01T01:00Z,200\n2024-01-01T00:00Z,150\n",
    );
    let second = files
        .write("b.csv", "# zone: DE\ntimestamp,gco2e_per_kwh\n2024-01-01T01:00Z,250\n2024-01-01T02:00Z,9\n");
    let intensity = with(&[first, second]);
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS).0, 150.0);
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS + HOUR_MS).0, 250.0);
    let [first, second] = intensity.inputs() else { panic!() };
    assert_eq!((first.zones[0].duplicates, first.zones[0].conflicts), (1, 1));
    assert_eq!((second.zones[0].duplicates, second.zones[0].conflicts), (0, 1));
}

#[test]
fn months_and_years_of_the_user_come_between_the_hour_and_the_shipped_year() {
    let files = Files::new();
    let months = files.write(
        "months.csv",
        "timestamp,gco2e_per_kwh,zone\n2024-05-01,400,DE\n2024-06-01,300,DE\n2024-05-01,450,CN\n2024-06-01,440,CN\n",
    );
    let years =
        files.write("years.csv", "timestamp,gco2e_per_kwh,zone\n2019-01-01,600,CN\n2020-01-01,590,CN\n");
    let intensity = with(&[months, years]);
    assert_eq!(at(&intensity, "CN", JUNE_NOON_2024_MS), (440.0, Tier::Monthly));
    let (grams, tier) = at(&intensity, "DE", JUNE_NOON_2024_MS);
    // June's mean shape is over its 24 hours as published; 11 h is its lowest.
    let june = [
        1.087, 1.080, 1.082, 1.084, 1.053, 0.999, 0.923, 0.830, 0.744, 0.688, 0.664, 0.655, 0.663, 0.688,
        0.739, 0.834, 0.948, 1.048, 1.114, 1.146, 1.150, 1.143, 1.114, 1.098,
    ];
    let mean = june.iter().sum::<f64>() / 24.0;
    assert!(close(grams, 300.0 * 0.655 / mean) && tier == Tier::MonthlyProfile, "{grams} {tier}");
    assert_eq!(at(&intensity, "DE", JUNE_NOON_2024_MS + 30 * DAY_MS).1, Tier::AnnualProfile);
    // 2020-03-01, by `date`.
    assert_eq!(at(&intensity, "CN", 1_583_020_800_000), (590.0, Tier::Annual));
    assert_eq!(at(&intensity, "CN", JUNE_NOON_2024_MS + 30 * DAY_MS), (513.0, Tier::Annual));
    let days = files
        .write("days.csv", "# zone: DE\ntimestamp,gco2e_per_kwh\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n");
    let error = Intensity::with_files(&[days], None, None).unwrap_err();
    assert!(matches!(error, CarbonError::Step { step_ms: DAY_MS, .. }), "{error}");
    assert!(error.to_string().contains("24 h apart"), "{error}");
}

#[test]
fn the_portals_yearly_file_of_one_row_is_a_year() {
    let files = Files::new();
    let header = PORTAL_2025.split(",Data estimated").next().unwrap();
    let path = files.write(
        "CN_2020_yearly.csv",
        &format!("{header}\n2020-01-01 00:00:00,China,China,CN,500.5,555.5,1,1,x\n"),
    );
    let intensity = with(&[path]);
    assert_eq!(at(&intensity, "CN", 1_583_020_800_000), (555.5, Tier::Annual));
    assert_eq!(intensity.inputs()[0].zones[0].step, Step::Yearly);
}

#[test]
fn bases_do_not_mix() {
    let files = Files::new();
    let body = "timestamp,gco2e_per_kwh,zone\n2024-01-01T00:00Z,100,DE\n2024-01-01T01:00Z,100,DE\n";
    let direct = files.write("direct.csv", &format!("# basis: direct\n{body}"));
    let marginal = files.write("marginal.csv", &format!("# basis: life-cycle marginal consumption\n{body}"));
    let open = files.write("open.csv", body);
    let both =
        Intensity::with_files(&[open.clone(), direct.clone(), marginal.clone()], None, None).unwrap_err();
    let text = both.to_string();
    assert!(matches!(both, CarbonError::MixedBasis { .. }), "{text}");
    assert!(text.contains("direct.csv") && text.contains("marginal.csv"), "{text}");
    let wrong = Intensity::with_files(std::slice::from_ref(&direct), None, Some(Basis::SHIPPED)).unwrap_err();
    assert!(matches!(wrong, CarbonError::WrongBasis { .. }), "{wrong}");
    // One basis settles that of a file which leaves it open, and no shipped figure of another fills its gaps.
    let intensity = with(&[open, direct]);
    assert_eq!(intensity.basis().to_string(), "direct average consumption");
    let germany = intensity.zone("DE").unwrap();
    assert_eq!(intensity.factor_at(&germany, NEW_YEAR_2024_MS).unwrap().basis, intensity.basis());
    assert_eq!(intensity.factor_at(&germany, NEW_YEAR_2024_MS + 2 * HOUR_MS), None);
    let window = Window::new(NEW_YEAR_2024_MS, NEW_YEAR_2024_MS + 2 * HOUR_MS);
    assert_eq!(intensity.attributions(&[germany], window).len(), 2);
    // The portal has no marginal figures.
    let portal =
        files.write("portal.csv", &format!("{PORTAL_2024}\n2024-01-01 00:00:00,a,a,DE,1,2,1,1,x,false,\n"));
    let error = Intensity::with_files(&[portal, marginal], None, None).unwrap_err();
    assert!(
        matches!(error, CarbonError::WrongBasis { .. }) && error.to_string().contains("portal.csv"),
        "{error}"
    );
}

#[test]
fn a_directory_is_its_csv_files_and_strangers_are_named() {
    let files = Files::new();
    files.write("b.CSV", "# zone: DE\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,2\n");
    files.write("a.csv", "# zone: DE\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n");
    files.write("jobs.csv", "id,user,start\n1,ada,2024-01-01\n");
    files.write("notes.txt", "timestamp,gco2e_per_kwh\n");
    let folder = files.0.path().to_path_buf();
    let intensity = with(std::slice::from_ref(&folder));
    let names: Vec<_> = intensity.inputs().iter().filter_map(|input| input.path.file_name()).collect();
    assert_eq!(names, ["a.csv", "b.CSV"]);
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS), (2.0, Tier::Hourly));
    assert_eq!(intensity.skipped().len(), 1);
    assert!(intensity.skipped()[0].reason.contains("id,user,start"), "{:?}", intensity.skipped());

    let by_name = Intensity::with_files(&[folder.join("jobs.csv")], None, None).unwrap_err();
    assert!(matches!(by_name, CarbonError::Header { .. }) && by_name.hint().is_some());
    let empty = TempDir::new().unwrap();
    let error = Intensity::with_files(&[empty.path().to_path_buf()], None, None).unwrap_err();
    assert!(matches!(error, CarbonError::NoFiles { .. }));
    let error = Intensity::with_files(&[empty.path().join("none.csv")], None, None).unwrap_err();
    assert!(matches!(error, CarbonError::Read { .. }));
    let header_only = files.write("empty.csv", "# zone: DE\ntimestamp,gco2e_per_kwh\nx,1\n");
    let error = Intensity::with_files(&[header_only], None, None).unwrap_err();
    assert!(error.to_string().contains("the first at line 3"), "{error}");
}

#[test]
fn a_zone_of_the_users_own_is_known_from_its_file() {
    let files = Files::new();
    let path = files.write(
        "site.csv",
        "\u{feff}# basis: life-cycle\ntimestamp;zone;gco2e_per_kwh\n01.01.2024;Site A;1\n2024-01-01 00:00;Site A;41,5\n",
    );
    let intensity = with(&[path]);
    assert_eq!(at(&intensity, "site a", NEW_YEAR_2024_MS), (41.5, Tier::Hourly));
    assert_eq!(at(&intensity, "Site A", NEW_YEAR_2024_MS + HOUR_MS), (472.94, Tier::World));
    assert_eq!(intensity.inputs()[0].rejected_lines[0].line, 3);
}

/// Real downloads, where they are at hand; the figures are the files' first
/// and last rows and their means, worked out with Python.
#[test]
fn real_portal_files() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real/intensity/electricity_maps_portal");
    if !folder.is_dir() {
        println!("skipped: `{}` is not there", folder.display());
        return;
    }
    let intensity = with(std::slice::from_ref(&folder));
    let direct = Intensity::with_files(&[folder], None, Some("direct".parse().unwrap())).unwrap();
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS), (177.74, Tier::Hourly));
    assert_eq!(at(&direct, "DE", NEW_YEAR_2024_MS), (133.1, Tier::Hourly));
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS + (366 * 24 - 1) * HOUR_MS), (207.11, Tier::Hourly));
    assert_eq!(at(&intensity, "DE", NEW_YEAR_2024_MS + 366 * 24 * HOUR_MS).1, Tier::AnnualProfile);
    for (zone, life_cycle, at_chimney, estimated) in [
        ("DE", 332.073_629_327_604_75, 273.934_926_001_821_5, 64),
        ("IN-WE", 737.935_146_857_925_6, 679.878_855_874_317_3, 8784),
        ("US-CAL-CISO", 226.484_817_850_638_6, 168.463_468_806_921_4, 0),
    ] {
        for (intensity, published) in [(&intensity, life_cycle), (&direct, at_chimney)] {
            let hours = (0..366 * 24).map(|hour| NEW_YEAR_2024_MS + hour * HOUR_MS);
            let mean = hours.map(|at_ms| at(intensity, zone, at_ms).0).sum::<f64>() / (366.0 * 24.0);
            assert!(close(mean, published), "{zone}: {mean} and {published}");
        }
        let summaries = intensity.inputs().iter().flat_map(|input| &input.zones);
        let summary = summaries.into_iter().find(|summary| summary.zone.as_str() == zone).unwrap();
        assert_eq!((summary.values, summary.gaps, summary.estimated), (8784, 0, estimated), "{zone}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_breaks_the_reader(body in prop::collection::vec(any::<u8>(), 0..400), header in 0..3_usize) {
        let files = Files::new();
        let start = ["timestamp,gco2e_per_kwh,zone\n", PORTAL_2024, ""][header];
        let mut bytes = format!("{start}\n").into_bytes();
        bytes.extend(body);
        let path = files.0.path().join("x.csv");
        fs::write(&path, bytes).unwrap();
        let _ = Intensity::with_files(&[path], None, None);
    }

    #[test]
    fn every_instant_has_a_factor_and_none_is_absurd(at_ms in -4_000_000_000_000_i64..4_000_000_000_000) {
        let shipped = Intensity::shipped().unwrap();
        for zone in ["DE", "CN", "UA", "US-CAL-CISO", "SE"] {
            let factor = shipped.factor_at(&shipped.zone(zone).unwrap(), at_ms).unwrap();
            prop_assert!((0.0..3000.0).contains(&factor.intensity.value()), "{zone} {factor:?}");
        }
        prop_assert_eq!(shipped.factor_at(&shipped.zone("DE").unwrap(), i64::MAX), None);
    }
}
