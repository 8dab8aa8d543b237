//! `wattledger intensity import` and what a total takes from a store: figures by hand, or by Python where the real files are there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking and says what it skipped; helpers are shared"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wattledger::carbon::{
    Basis, CarbonError, Hints, Intensity, IntensityGauge, Sources, StampAt, Store, Tier, Unit, Zone,
};
use wattledger::time::{HOUR_MS, MINUTE_MS, parse_instant};

#[path = "support/mod.rs"]
mod support;

use support::{Bench, real};

fn instant(text: &str) -> i64 {
    parse_instant(text, chrono_tz::Tz::UTC).unwrap()
}

fn from_store(directory: &Path, basis: Option<&str>, preference: &[&str]) -> Result<Intensity, CarbonError> {
    let files = [directory.to_path_buf()];
    let preference: Vec<String> = preference.iter().map(|source| (*source).to_owned()).collect();
    let basis = basis.map(|words| words.parse::<Basis>().unwrap());
    Intensity::open(&Sources { files: &files, basis, preference: &preference, ..Sources::default() })
}

/// Value, tier and source.
fn at(intensity: &Intensity, zone: &str, when: &str) -> Option<(f64, Tier, String)> {
    let factor = intensity.factor_at(&Zone::from_id(zone), instant(when))?;
    Some((factor.intensity.value(), factor.tier, factor.source.to_string()))
}

/// Every file below a directory and its bytes.
fn bytes_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes_below(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

const PORTAL: &str = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),\
     Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,Data Estimation Method\n";

fn portal(rows: &[(&str, f64, f64, bool)]) -> String {
    let row = |(hour, direct, life_cycle, estimated): &(&str, f64, f64, bool)| {
        format!("{hour}:00,Germany,Germany,DE,{direct},{life_cycle},83.26,81.53,entsoe.eu,{estimated},\n")
    };
    PORTAL.to_owned() + &rows.iter().map(row).collect::<String>()
}

#[test]
fn importing_twice_changes_nothing_and_an_edition_replaces_what_it_changes() {
    let bench = Bench::new();
    let hours = [("2024-12-31 23:00", 100.0, 150.0, false), ("2025-01-01 00:00", 110.0, 160.0, true)];
    bench.write("a.csv", &portal(&hours));
    let import = |file: &str| {
        let ended = bench.run(&["intensity", "import", file, "--store", "store"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    let first = import("a.csv");
    // Both bases, and a file for each year that has a start in it.
    assert!(
        first.contains("life-cycle average consumption") && first.contains("direct average consumption"),
        "{first}"
    );
    assert!(first.contains("wrote 2 files"), "{first}");
    let before = bytes_below(&bench.path("store"));
    assert_eq!(before.len(), 3);
    let second = import("a.csv");
    assert!(second.contains("2 as they were") && second.contains("nothing new"), "{second}");
    assert_eq!(bytes_below(&bench.path("store")), before);

    // A later edition: one hour measured at last, one hour more; the year before is not touched.
    let hours = [("2025-01-01 00:00", 111.0, 161.0, false), ("2025-01-01 01:00", 120.0, 170.0, false)];
    bench.write("b.csv", &portal(&hours));
    let third = import("b.csv");
    assert!(third.contains("1 new, 1 replaced"), "{third}");
    let after = bytes_below(&bench.path("store"));
    let old = |path: &Path| path.ends_with("2024.parquet");
    assert!(after.iter().all(|(path, bytes)| !old(path) || before[path] == *bytes));
    let direct = from_store(&bench.path("store"), Some("direct"), &[]).unwrap();
    let source = "Electricity Maps".to_owned();
    assert_eq!(at(&direct, "DE", "2025-01-01T00:30:00Z"), Some((111.0, Tier::Hourly, source.clone())));
    assert_eq!(at(&direct, "DE", "2024-12-31T23:59:59Z"), Some((100.0, Tier::Hourly, source.clone())));
    // No figure of another basis fills what is not there.
    assert_eq!(at(&direct, "DE", "2025-01-01T02:00:00Z"), None);
    let life_cycle = from_store(&bench.path("store"), None, &[]).unwrap();
    assert_eq!(at(&life_cycle, "DE", "2025-01-01T01:00:00Z"), Some((170.0, Tier::Hourly, source)));
    // The old estimate does not take the place of the measured figure.
    let again = import("a.csv");
    assert!(again.contains("1 as they were, 1 estimates left out"), "{again}");
    assert_eq!(bytes_below(&bench.path("store")), after);
}

#[test]
fn two_sources_never_mix_in_silence() {
    let bench = Bench::new();
    let table = |source: &str, rows: &str| {
        format!(
            "# source: {source}\n# zone: GB\n# basis: direct\n# licence: CC0\ntimestamp,gco2e_per_kwh\n{rows}"
        )
    };
    bench.write("one.csv", &table("our supplier", "2024-01-01T00:00Z,100\n2024-01-01T01:00Z,200\n"));
    let half_hours = "from,to,forecast,actual,index\n2024-01-01T00:30Z,2024-01-01T01:00Z,1,10,low\n2024-01-01T01:00Z,2024-01-01T01:30Z,1,20,low\n\
                      2024-01-01T01:30Z,2024-01-01T02:00Z,1,30,low\n2024-01-01T02:00Z,2024-01-01T02:30Z,1,40,low\n";
    bench.write("two.csv", half_hours);
    let ended = bench.run(&["intensity", "import", "one.csv", "two.csv", "--store", "store"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let values = |preference: &[&str]| -> Vec<Option<f64>> {
        let intensity = from_store(&bench.path("store"), Some("direct"), preference).unwrap();
        ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30"]
            .map(|clock| at(&intensity, "GB", &format!("2024-01-01T{clock}:00Z")).map(|(grams, ..)| grams))
            .to_vec()
    };
    // What the site imports of its own supplier goes before the grid's; only where it ends the other holds.
    assert_eq!(values(&[]), [Some(100.0), Some(100.0), Some(200.0), Some(200.0), Some(40.0), None]);
    let grid = "NESO Carbon Intensity API";
    assert_eq!(values(&[grid]), [Some(100.0), Some(10.0), Some(20.0), Some(30.0), Some(40.0), None]);
    // A file that is named goes before the store.
    let files = [bench.path("two.csv"), bench.path("store")];
    let named = Intensity::open(&Sources { files: &files, ..Sources::default() }).unwrap();
    assert_eq!(at(&named, "GB", "2024-01-01T01:30:00Z").unwrap().0, 30.0);
    // Also where its steps are longer.
    bench.write(
        "long.csv",
        &table("nobody", "2024-01-01T00:00Z,7\n2024-01-01T01:00Z,7\n2024-01-01T02:00Z,7\n"),
    );
    let files = [bench.path("store"), bench.path("two.csv"), bench.path("long.csv")];
    let named = Intensity::open(&Sources { files: &files, ..Sources::default() }).unwrap();
    for clock in ["00:15", "00:45", "02:45"] {
        assert_eq!(at(&named, "GB", &format!("2024-01-01T{clock}:00Z")).unwrap().0, 7.0, "{clock}");
    }
    let ended = bench.run(&[
        "intensity",
        "show",
        "--zone",
        "UK",
        "--store",
        "store",
        "--basis",
        "direct",
        "--from",
        "2024-01-01T00:00Z",
        "--to",
        "2024-01-01T03:00Z",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("2024-01-01T00:00:00Z to 2024-01-01T02:00:00Z: hourly  our supplier, one.csv"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains(&format!("2024-01-01T02:00:00Z to 2024-01-01T02:30:00Z: hourly  {grid}")),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("gap        2024-01-01T02:30:00Z to 2024-01-01T03:00:00Z: 0.5 h"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_table_of_nobodys_form_by_what_its_user_says() {
    let bench = Bench::new();
    // Hours that end at their stamp, on the clock of Berlin, in kg/kWh; the night of 27 October 2024 shows 02:00 twice.
    bench.write(
        "plant.csv",
        "when;ci\n27.10.2024 01:00;0,1\n27.10.2024 02:00;0,2\n27.10.2024 02:00;0,3\n27.10.2024 03:00;0,4\n",
    );
    bench.write(
        "plant_iso.csv",
        "when,ci\n2024-10-27 01:00,0.1\n2024-10-27 02:00,0.2\n2024-10-27 02:00,0.3\n2024-10-27 03:00,0.4\n",
    );
    let flags = [
        "--zone",
        "campus",
        "--unit",
        "kg/kWh",
        "--tz",
        "Europe/Berlin",
        "--stamp",
        "end",
        "--basis",
        "direct production",
        "--source",
        "our own plant",
        "--columns",
        "time=when,value=ci",
        "--store",
        "store",
    ];
    let ended = bench.run(&[&["intensity", "import", "plant.csv"], &flags[..]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("4 new"), "{}", ended.stderr);
    // The same hours newest first, with slashes, and in the other form: nothing changes.
    bench.write(
        "falling.csv",
        "when;ci\n27/10/2024 03:00;0,4\n27/10/2024 02:00;0,3\n27/10/2024 02:00;0,2\n27/10/2024 01:00;0,1\n",
    );
    let ended = bench.run(&[&["intensity", "import", "falling.csv"], &flags[..]].concat());
    assert!(ended.stderr.contains("4 as they were"), "{}", ended.stderr);
    let ended = bench.run(&[&["intensity", "import", "plant_iso.csv"], &flags[..]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("4 as they were"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`campus` is a zone of your own"), "{}", ended.stderr);
    let intensity = from_store(&bench.path("store"), None, &[]).unwrap();
    assert_eq!(intensity.basis().to_string(), "direct average production");
    let grams = |when: &str| at(&intensity, "campus", when).map(|(grams, ..)| grams);
    // 01:00 in Berlin is 23:00 UTC of the day before: the hour from 22:00. After the clocks went back, 03:00 is 02:00 UTC.
    assert_eq!(grams("2024-10-26T22:00:00Z"), Some(100.0));
    assert_eq!(grams("2024-10-26T23:30:00Z"), Some(200.0));
    assert_eq!(grams("2024-10-27T00:30:00Z"), Some(300.0));
    assert_eq!(grams("2024-10-27T01:30:00Z"), Some(400.0));
    assert_eq!(grams("2024-10-27T02:00:00Z"), None);
    // Without its basis nobody knows what a figure counts.
    let without: Vec<&str> =
        flags.iter().copied().filter(|flag| !["--basis", "direct production"].contains(flag)).collect();
    let ended = bench.run(&[&["intensity", "import", "plant_iso.csv"], &without[..]].concat());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("does not say what its intensities count") && ended.stderr.contains("--basis"),
        "{}",
        ended.stderr
    );
    for (flag, word) in [
        ("--unit", "pounds"),
        ("--stamp", "middle"),
        ("--tz", "Berlin"),
        ("--columns", "ci"),
        ("--zone", "Germny"),
    ] {
        let ended = bench.run(&["intensity", "import", "plant_iso.csv", "--store", "other", flag, word]);
        assert_eq!(ended.code, 2, "{flag} {word}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: ") && ended.stderr.contains(word), "{}", ended.stderr);
    }
}

#[test]
fn parquet_and_wide_tables() {
    let directory = tempfile::tempdir().unwrap();
    let wide = directory.path().join("wide.csv");
    std::fs::write(&wide, "hour_start_utc,DE,FR\n2024-01-01T00:00Z,400,50\n2024-01-01T01:00Z,,60\n").unwrap();
    let store = Store::open_or_create(&directory.path().join("store")).unwrap();
    let hints = Hints {
        unit: Some(Unit::GramsPerKwh),
        stamp: Some(StampAt::Start),
        basis: Some(Basis::SHIPPED),
        source: Some("somebody".to_owned()),
        ..Hints::default()
    };
    let summary = store.import(std::slice::from_ref(&wide), &hints).unwrap();
    let added: Vec<(&str, u64)> =
        summary.files[0].1.iter().map(|imported| (imported.zone.as_str(), imported.change.added)).collect();
    assert_eq!(added, [("DE", 1), ("FR", 2)]);
    // The store's own files are tables as well: zone, start, length_s, gco2e_per_kwh and more.
    let hints = Hints { columns: "time=start".parse().unwrap(), ..hints };
    let other = Store::open_or_create(&directory.path().join("other")).unwrap();
    other.import(&[store.directory().join("FR/2024.parquet")], &hints).unwrap();
    let intensity = from_store(other.directory(), None, &[]).unwrap();
    let somebody = "somebody".to_owned();
    assert_eq!(at(&intensity, "FR", "2024-01-01T01:00:00Z"), Some((60.0, Tier::Hourly, somebody)));
}

#[test]
fn what_ceems_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&directory.path().join("store")).unwrap();
    let start_ms = instant("2026-03-01T00:00:00Z");
    // Two hours at every minute, 40 and 50 in the first hour by halves, 60 in the second.
    let value = |minute: i64| {
        if minute < 30 {
            40.0
        } else if minute < 60 {
            50.0
        } else {
            60.0
        }
    };
    let samples: Vec<(i64, f64)> =
        (0..120).map(|minute| (start_ms + minute * MINUTE_MS, value(minute))).collect();
    let gauge = |provider: &str, country: &str, samples: &[(i64, f64)]| IntensityGauge {
        provider: provider.to_owned(),
        country_code: country.to_owned(),
        samples: samples.to_vec(),
    };
    let yearly: Vec<(i64, f64)> = samples.iter().map(|(at_ms, _)| (*at_ms, 44.0)).collect();
    let gauges = vec![
        gauge("rte", "FR", &samples),
        gauge("rte", "FR", &samples[..10]),
        gauge("owid", "FRA", &yearly),
        gauge("global", "", &yearly),
    ];
    let summary = store.import_gauges(Path::new("snapshot"), gauges).unwrap();
    assert_eq!((summary.files.len(), summary.skipped.len()), (2, 1));
    let rte = from_store(store.directory(), Some("direct production"), &[]).unwrap();
    let source = "RTE éCO2mix".to_owned();
    assert_eq!(at(&rte, "FR", "2026-03-01T00:10:00Z"), Some((45.0, Tier::Hourly, source.clone())));
    assert_eq!(at(&rte, "FR", "2026-03-01T01:10:00Z"), Some((60.0, Tier::Hourly, source)));
    let owid = from_store(store.directory(), Some("life-cycle production"), &[]).unwrap();
    assert_eq!(
        at(&owid, "FR", "2026-12-01T00:00:00Z").map(|(grams, tier, _)| (grams, tier)),
        Some((44.0, Tier::Annual))
    );
}

#[test]
fn bad_input_is_named_and_nothing_of_it_is_kept() {
    let bench = Bench::new();
    bench.write("empty.csv", "\n \n");
    bench.write("page.csv", "<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n");
    bench.write("mixed.csv", "# zone: DE\n# basis: direct\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01 02:00,2\n2024-01-01T02:00+01:00,3\n");
    bench.write("good.csv", "# zone: DE\n# basis: direct\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T00:00Z,2\n2024-01-01T01:00Z,-3\n2024-01-01T02:00Z,99999\n2024-01-01T03:00Z,4\n2024-01-01T04:00Z,5\n2024-01-01T05:00Z,6\n");
    for (file, words) in [("empty.csv", "is empty"), ("page.csv", "web page"), ("nothing.csv", "cannot read")]
    {
        let ended = bench.run(&["intensity", "import", "good.csv", file, "--store", "store"]);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains(words) && ended.stderr.contains(file), "{}", ended.stderr);
        assert!(!bench.path("store/DE").exists());
    }
    let ended = bench.run(&["intensity", "import", "mixed.csv", "--strict", "--store", "store"]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("line 5: no offset, where lines before have one"), "{}", ended.stderr);
    let ended = bench.run(&["intensity", "import", "good.csv", "--store", "store"]);
    assert!(ended.stderr.contains("1 twice with different values"), "{}", ended.stderr);
    assert!(ended.stderr.contains("line 6: intensity is negative"), "{}", ended.stderr);
    assert!(ended.stderr.contains("line 7: intensity is over 3000 g/kWh"), "{}", ended.stderr);

    // A directory of something else is left alone; a damaged file and a strange layout are named.
    let ended = bench.run(&["intensity", "import", "good.csv", "--store", "."]);
    assert!(ended.code == 1 && ended.stderr.contains("holds other files"), "{}", ended.stderr);
    let file = bench.path("store/DE/2024.parquet");
    let bytes = std::fs::read(&file).unwrap();
    for cut in [0, 4, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..cut]).unwrap();
        let error = from_store(&bench.path("store"), Some("direct"), &[]).unwrap_err();
        assert!(error.to_string().contains("2024.parquet"), "{error}");
    }
    std::fs::write(&file, &bytes).unwrap();
    bench.write("store/wattledger-intensity.json", "{\"layout\": 7}");
    let error = from_store(&bench.path("store"), Some("direct"), &[]).unwrap_err();
    assert!(error.to_string().contains("layout 7"), "{error}");
}

#[test]
fn a_store_of_two_bases_asks_which_is_meant() {
    let bench = Bench::new();
    let table = |basis: &str| {
        format!(
            "# zone: DE\n# basis: {basis}\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,1\n"
        )
    };
    bench.write("direct.csv", &table("direct production"));
    bench.write("marginal.csv", &table("direct marginal consumption"));
    bench.run(&["intensity", "import", "direct.csv", "marginal.csv", "--store", "store"]);
    let ended = bench.run(&[
        "intensity",
        "show",
        "--zone",
        "DE",
        "--store",
        "store",
        "--from",
        "2024-01-01",
        "--to",
        "2024-01-02",
    ]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("direct marginal consumption") && ended.stderr.contains("--basis"),
        "{}",
        ended.stderr
    );
    let wrong = from_store(&bench.path("store"), Some("life-cycle"), &[]).unwrap_err();
    assert!(matches!(wrong, CarbonError::WrongBasis { .. }), "{wrong}");
}

#[test]
fn files_that_do_nothing_for_a_report_are_told() {
    let bench = Bench::new();
    bench.write("fr.csv", "# zone: FR\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,1\n");
    bench.write("de.csv", "# zone: DE\ntimestamp,gco2e_per_kwh\n2022-01-01T00:00Z,1\n2022-01-01T01:00Z,1\n");
    let show = |zone: &str| {
        bench.run(&[
            "intensity",
            "show",
            "--zone",
            zone,
            "--intensity",
            "fr.csv",
            "--intensity",
            "de.csv",
            "--from",
            "2024-01-01",
            "--to",
            "2024-01-02",
        ])
    };
    let ended = show("DE");
    assert!(ended.stderr.contains("`fr.csv` has no factor of `DE`: it has FR"), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("`de.csv` covers 2022-01-01T00:00:00Z to 2022-01-01T02:00:00Z, and nothing of 2024"),
        "{}",
        ended.stderr
    );
    let ended = show("US");
    assert!(ended.stderr.contains("`US` is priced at the mean of the country"), "{}", ended.stderr);
}

/// Rows and means by Python over the same files.
#[test]
fn the_real_files_in_a_store() {
    let Some(portal) = real("intensity/electricity_maps_portal") else { return };
    let Some(wide) = real("intensity/em_lca_hourly_2024_157zones.csv.gz") else { return };
    let Some(ember) = real("intensity/ember_owid_yearly_2000_2024.csv") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&directory.path().join("portal")).unwrap();
    store.import(&[portal], &Hints::default()).unwrap();
    let mean = |intensity: &Intensity, zone: &str| {
        let start_ms = instant("2024-01-01");
        let zone = Zone::from_id(zone);
        let values: Vec<f64> = (0..8784)
            .map(|hour| intensity.factor_at(&zone, start_ms + hour * HOUR_MS).unwrap())
            .inspect(|factor| assert_eq!(factor.tier, Tier::Hourly))
            .map(|factor| factor.intensity.value())
            .collect();
        values.iter().sum::<f64>() / 8784.0
    };
    let life_cycle = from_store(store.directory(), None, &[]).unwrap();
    let direct = from_store(store.directory(), Some("direct"), &[]).unwrap();
    for (zone, of_life, at_chimney) in [
        ("DE", 332.073_629_326_047_75, 273.934_926_001_821_5),
        ("IN-WE", 737.935_146_857_256, 679.878_855_874_317_3),
        ("US-CAL-CISO", 226.484_817_850_638_6, 168.463_468_806_921_4),
    ] {
        assert!((mean(&life_cycle, zone) - of_life).abs() < 1e-9, "{zone}");
        assert!((mean(&direct, zone) - at_chimney).abs() < 1e-9, "{zone}");
    }
    let estimated: Vec<u64> = life_cycle.inputs().iter().map(|input| input.zones[0].estimated).collect();
    assert_eq!(estimated, [64, 8784, 0]);

    let store = Store::open_or_create(&directory.path().join("wide")).unwrap();
    let hints = Hints {
        unit: Some(Unit::GramsPerKwh),
        basis: Some(Basis::SHIPPED),
        source: Some("Electricity Maps".to_owned()),
        ..Hints::default()
    };
    let summary = store.import(&[wide], &hints).unwrap();
    assert_eq!(summary.files[0].1.len(), 157);
    assert!(summary.files[0].0.zones.iter().all(|zone| (zone.values, zone.gaps) == (8784, 0)));
    let files = [store.directory().to_path_buf()];
    let zones = ["Germany", "FR"].map(str::to_owned);
    let wide =
        Intensity::open(&Sources { files: &files, zones: Some(&zones), ..Sources::default() }).unwrap();
    assert_eq!(wide.inputs().len(), 2);
    assert!((mean(&wide, "DE") - 332.074_339_708_561).abs() < 1e-9);
    assert!((mean(&wide, "FR") - 31.277_800_546_448_04).abs() < 1e-9);

    // Of 214 countries three: each year of each is a file.
    let few = directory.path().join("few.csv");
    let text = std::fs::read_to_string(ember).unwrap();
    let is_one = |line: &&str| {
        ["entity,", "Germany,", "France,", "Namibia,"].iter().any(|name| line.starts_with(name))
    };
    std::fs::write(&few, text.lines().filter(is_one).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    let store = Store::open_or_create(&directory.path().join("yearly")).unwrap();
    let columns = "time=year,zone=iso3,value=g_per_kwh".parse().unwrap();
    let summary =
        store.import(&[few], &Hints { columns, source: Some("Ember".to_owned()), ..hints }).unwrap();
    let zones: Vec<&str> = summary.files[0].1.iter().map(|imported| imported.zone.as_str()).collect();
    assert_eq!(zones, ["DE", "FR", "NA"]);
    let yearly = from_store(store.directory(), None, &[]).unwrap();
    // Of 2024 in Germany: 344.13992, by its shape over the year.
    let (_, tier, source) = at(&yearly, "DE", "2024-06-01T00:00:00Z").unwrap();
    assert_eq!((tier, source.as_str()), (Tier::AnnualProfile, "Ember"));
}

/// The same from Prometheus' own format, as the program reads it.
#[test]
fn a_snapshot_with_ceems_series() {
    let bench = Bench::new();
    let mut text = String::new();
    let start_s = instant("2026-03-01T00:00:00Z") / 1000;
    for minute in 0..=120 {
        let grams = if minute < 60 { 40 } else { 60 };
        let at_s = start_s + minute * 60;
        text.push_str(&format!("ceems_emissions_gCo2_kWh{{instance=\"a:9030\",job=\"ceems\",provider=\"rte\",country_code=\"FR\"}} {grams} {at_s}\n"));
    }
    bench.write("dump.om", &format!("# TYPE ceems_emissions_gCo2_kWh gauge\n{text}# EOF\n"));
    let ended = bench.run(&["convert", "dump.om", "--out", "blocks"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let ended = bench.run(&["intensity", "import", "--snapshot", "blocks", "--store", "store"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("series of CEEMS, direct average production") && ended.stderr.contains("2 new"),
        "{}",
        ended.stderr
    );
    let show = bench.run(&[
        "intensity",
        "show",
        "--zone",
        "FR",
        "--store",
        "store",
        "--basis",
        "direct production",
        "--from",
        "2026-03-01",
        "--to",
        "2026-03-01T02:00Z",
    ]);
    assert!(show.stdout.contains("mean       50.00 gCO2e/kWh, 40.00 to 60.00"), "{}", show.stdout);
}

/// One source has one figure for an instant, however long the steps of its files are.
#[test]
fn another_step_of_the_same_source_takes_the_place_of_the_first() {
    let bench = Bench::new();
    let table = |rows: &str| {
        format!("# source: grid\n# basis: direct\n# zone: DE\ntimestamp,gco2e_per_kwh,estimated\n{rows}")
    };
    let quarters = |grams: u32, estimated: bool| -> String {
        (0..8)
            .map(|at| format!("2024-01-01T{:02}:{:02}Z,{grams},{estimated}\n", at / 4, at % 4 * 15))
            .collect()
    };
    bench.write("quarters.csv", &table(&quarters(100, false)));
    bench.write("hours.csv", &table("2024-01-01T00:00Z,500,false\n2024-01-01T01:00Z,500,false\n"));
    bench.write("guessed.csv", &table(&quarters(100, true)));
    let import = |file: &str| bench.run(&["intensity", "import", file, "--store", "store"]).stderr;
    let grams = || {
        let intensity = from_store(&bench.path("store"), Some("direct"), &[]).unwrap();
        ["00:00", "00:30", "01:45"]
            .map(|clock| at(&intensity, "DE", &format!("2024-01-01T{clock}:00Z")).map(|(grams, ..)| grams))
    };
    import("quarters.csv");
    assert!(import("hours.csv").contains("2 replaced"));
    assert_eq!(grams(), [Some(500.0); 3]);
    // Estimates of another step do not hide what was measured either.
    assert!(import("guessed.csv").contains("8 estimates left out"));
    assert_eq!(grams(), [Some(500.0); 3]);
    assert!(import("quarters.csv").contains("replaced"));
    assert_eq!(grams(), [Some(100.0); 3]);
}

#[test]
fn each_hour_names_its_own_edition() {
    let bench = Bench::new();
    bench.write(
        "jan.csv",
        &portal(&[("2025-01-01 00:00", 300.0, 350.0, false), ("2025-01-01 01:00", 300.0, 350.0, false)]),
    );
    bench.write(
        "feb and mar.csv",
        &portal(&[("2025-01-01 01:00", 310.0, 350.0, false), ("2025-01-01 02:00", 300.0, 350.0, false)]),
    );
    bench.run(&["intensity", "import", "jan.csv", "feb and mar.csv", "--store", "store"]);
    let releases = |basis: &str| {
        let intensity = from_store(&bench.path("store"), Some(basis), &[]).unwrap();
        let zone = Zone::from_id("DE");
        [0, 1, 2].map(|hour| {
            let factor =
                intensity.factor_at(&zone, instant("2025-01-01T00:00:00Z") + hour * HOUR_MS).unwrap();
            factor.release.to_string()
        })
    };
    // The life-cycle figure of 01:00 is the same in both, and is of the later edition, as the direct one is: upstream is known.
    let expected = ["jan.csv", "feb and mar.csv", "feb and mar.csv"];
    assert_eq!(
        (releases("direct"), releases("life-cycle")),
        (expected.map(str::to_owned), expected.map(str::to_owned))
    );
}

#[test]
fn what_nobody_could_mean_is_refused() {
    let bench = Bench::new();
    let empty = "2024-01-01 00:00:00,Germany,Germany,DE,,,83.26,81.53,entsoe.eu,false,\n";
    bench.write("none.csv", &format!("{PORTAL}{empty}"));
    bench.write(
        "unit.csv",
        "# unit: kg/kWh\n# basis: direct\n# zone: DE\ntimestamp,gco2e_per_kwh\n2024-01-01T00:00Z,0.4\n",
    );
    bench.write("blank.json", "{\"zone\":\"\",\"history\":[{\"zone\":\"\",\"carbonIntensity\":5,\"datetime\":\"2024-01-01T00:00:00.000Z\"}]}");
    for (file, words) in [
        ("none.csv", "no line of `none.csv` can be used"),
        ("unit.csv", "1000 times"),
        ("blank.json", "no zone"),
    ] {
        let ended = bench.run(&["intensity", "import", file, "--store", "store"]);
        assert!(ended.code == 1 && ended.stderr.contains(words), "{file}: {}", ended.stderr);
    }
    // Côte d'Ivoire is a zone among zones; alone with a unit the column would be an intensity.
    bench.write("wide.csv", "hour,CI,DE\n2024-01-01T00:00Z,700,400\n2024-01-01T01:00Z,710,410\n");
    let ended = bench.run(&[
        "intensity",
        "import",
        "wide.csv",
        "--unit",
        "g/kWh",
        "--basis",
        "direct",
        "--store",
        "store",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let intensity = from_store(&bench.path("store"), Some("direct"), &[]).unwrap();
    assert_eq!(at(&intensity, "DE", "2024-01-01T01:00:00Z").unwrap().0, 410.0);
    assert_eq!(at(&intensity, "CI", "2024-01-01T00:00:00Z").unwrap().0, 700.0);
}
