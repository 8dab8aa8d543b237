//! Intensity files of every provider that is read, recognised from their content; figures by hand, by Python or as published.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking and says what it skipped; helpers are shared"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use wattledger::carbon::{Format, Intensity, Step, Tier, Zone};
use wattledger::time::{HOUR_MS, MINUTE_MS, parse_instant};

#[path = "support/mod.rs"]
mod support;

use support::real;

fn with(path: &Path, zone: Option<&str>) -> Intensity {
    let zone = zone.map(Zone::from_id);
    Intensity::with_files(&[path.to_path_buf()], zone.as_ref(), None).unwrap()
}

/// A file of `text` under a name that says nothing.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("download");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// The intensity of a zone at an instant, if a value of the file itself holds there.
fn at(intensity: &Intensity, zone: &str, instant: &str) -> Option<f64> {
    let zone = intensity.zone(zone).unwrap();
    let at_ms = parse_instant(instant, chrono_tz::Tz::UTC).unwrap();
    let factor = intensity.factor_at(&zone, at_ms)?;
    (factor.tier == Tier::Hourly).then(|| factor.intensity.value())
}

/// What one file is taken for, and its one value by zone and instant.
fn is(text: &str, zone: Option<&str>, format: Format, basis: &str, values: &[(&str, &str, f64)]) {
    let (_directory, path) = written(text);
    let intensity = with(&path, zone);
    let input = &intensity.inputs()[0];
    assert_eq!((input.format, intensity.basis().to_string().as_str()), (format, basis));
    assert_eq!(input.rejected, 0, "{:?}", input.rejected_lines);
    for (zone, instant, expected) in values {
        let found = at(&intensity, zone, instant).unwrap();
        assert!((found - expected).abs() < 1e-9, "{zone} {instant}: {found}");
    }
}

#[test]
fn answers_of_electricity_maps() {
    let row = |hour: u32, value: u32, kind: &str| {
        format!(
            "{{\"zone\":\"DK-DK2\",\"carbonIntensity\":{value},\"datetime\":\"2026-08-22T{hour:02}:00:00.000Z\",\
             \"emissionFactorType\":\"{kind}\",\"flowTraced\":true,\"isEstimated\":true}}"
        )
    };
    let two = format!("{},{}", row(17, 75, "lifecycle"), row(18, 80, "lifecycle"));
    let values = [("DK-DK2", "2026-08-22T17:30:00Z", 75.0), ("DK-DK2", "2026-08-22T18:00:00Z", 80.0)];
    let basis = "life-cycle average consumption";
    for text in [
        format!("{{\"zone\":\"DK-DK2\",\"history\":[{two}]}}"),
        format!("{{\"data\":[{two}]}}"),
        format!("{{\"zone\":\"DK-DK2\",\"data\":[{two}],\"temporalGranularity\":\"hourly\"}}"),
    ] {
        is(&text, None, Format::ElectricityMapsApi, basis, &values);
    }
    is(&row(17, 75, "lifecycle"), None, Format::ElectricityMapsApi, basis, &values[..1]);
    is(
        &row(17, 20, "direct"),
        None,
        Format::ElectricityMapsApi,
        "direct average consumption",
        &[("DK-DK2", "2026-08-22T17:00:00Z", 20.0)],
    );
    let old = "{\"status\":\"ok\",\"countryCode\":\"FR\",\"data\":{\"datetime\":\"2018-04-24T18:00:00.000Z\",\
               \"carbonIntensity\":46.5,\"fossilFuelPercentage\":4.6},\"units\":{\"carbonIntensity\":\"gCO2eq/kWh\"}}";
    is(old, None, Format::ElectricityMapsApi, basis, &[("FR", "2018-04-24T18:00:00Z", 46.5)]);
}

#[test]
fn the_uk_as_answers_and_as_tables() {
    let text = "{\"data\":[{\"from\":\"2023-12-03T10:30Z\",\"to\":\"2023-12-03T11:00Z\",\"intensity\":{\"forecast\":211,\"actual\":206,\
                \"index\":\"high\"}},{\"from\":\"2023-12-03T11:00Z\",\"to\":\"2023-12-03T11:30Z\",\"intensity\":{\"forecast\":199,\
                \"actual\":null,\"index\":\"high\"}}]}";
    let values = [("GB", "2023-12-03T10:59:00Z", 206.0), ("GB", "2023-12-03T11:00:00Z", 199.0)];
    is(text, None, Format::UkCarbonIntensityApi, "direct average consumption", &values);
    let regional = "{\"data\":{\"regionid\":13,\"shortname\":\"London\",\"data\":[{\"from\":\"2023-12-03T10:30Z\",\"to\":\
                    \"2023-12-03T11:00Z\",\"intensity\":{\"forecast\":134,\"index\":\"moderate\"}}]}}";
    let basis = "direct average consumption";
    is(regional, None, Format::UkCarbonIntensityApi, basis, &[("GB-13", "2023-12-03T10:30:00Z", 134.0)]);
    let table = "from,to,forecast,actual,index\n2023-12-03T10:30Z,2023-12-03T11:00Z,211,206,high\n\
                 2023-12-03T11:00Z,2023-12-03T11:30Z,199,,high\n";
    is(table, None, Format::UkCarbonIntensity, basis, &values);
    let mix = "DATETIME,GAS,COAL,NUCLEAR,WIND,WIND_EMB,HYDRO,IMPORTS,BIOMASS,OTHER,SOLAR,STORAGE,GENERATION,CARBON_INTENSITY,LOW_CARBON,\
               ZERO_CARBON\n2009-06-01T05:00:00,12345,8000,6500,500,0,300,1000,0,200,0,0,28845,480,7300,7300\n\
               2009-06-01T05:30:00,12345,8000,6500,500,0,300,1000,0,200,0,0,28845,478,7300,7300\n";
    is(mix, None, Format::NesoMix, basis, &[("GB", "2009-06-01T05:30:00Z", 478.0)]);
}

#[test]
fn france_by_the_clock_of_paris_or_with_its_offset() {
    let basis = "direct average production";
    let labels = "Périmètre;Nature;Date;Heure;Date et Heure;Consommation (MW);Taux de CO2 (g/kWh)\n\
                  France;Données définitives;2024-07-01;00:00;2024-07-01T00:00:00+02:00;45000;17\n\
                  France;Données définitives;2024-07-01;00:15;2024-07-01T00:15:00+02:00;;\n\
                  France;Données définitives;2024-07-01;00:30;2024-07-01T00:30:00+02:00;44000;18\n";
    let values = [("FR", "2024-06-30T22:00:00Z", 17.0), ("FR", "2024-06-30T22:30:00Z", 18.0)];
    is(labels, None, Format::Eco2mix, basis, &values);
    // Without that column the stamps are local: two hours before UTC in July.
    let local = "perimetre;nature;date;heure;consommation;taux_co2\nFrance;def;2024-07-01;00:00;45000;17\nFrance;def;2024-07-01;00:15;ND;ND\n\
                 France;def;2024-07-01;00:30;44000;18\n";
    is(local, None, Format::Eco2mix, basis, &values);
    let rows = "{\"date_heure\":\"2024-06-30T22:00:00+00:00\",\"taux_co2\":17},{\"date_heure\":\"2024-06-30T22:30:00+00:00\",\"taux_co2\":18},\
                {\"date_heure\":\"2024-06-30T22:45:00+00:00\",\"taux_co2\":null}";
    for text in [format!("[{rows}]"), format!("{{\"total_count\":3,\"results\":[{rows}]}}")] {
        is(&text, None, Format::Eco2mixApi, basis, &values);
    }
}

#[test]
fn pounds_for_megawatt_hours_are_marginal() {
    let text = "{\"meta\":{\"region\":\"CAISO_NORTH\",\"signal_type\":\"co2_moer\",\"units\":\"lbs_co2_per_mwh\"},\"data\":[\
                {\"point_time\":\"2026-04-01T00:00:00+00:00\",\"value\":1000.0},{\"point_time\":\"2026-04-01T00:05:00+00:00\",\"value\":0.0}]}";
    let values =
        [("CAISO_NORTH", "2026-04-01T00:01:00Z", 453.592_37), ("CAISO_NORTH", "2026-04-01T00:05:00Z", 0.0)];
    is(text, None, Format::WattTime, "direct marginal consumption", &values);
    // It never meets an average.
    let (_kept, marginal) = written(text);
    let average = marginal.with_file_name("average");
    std::fs::write(
        &average,
        "from,to,forecast,actual,index\n2023-12-03T10:30Z,2023-12-03T11:00Z,211,206,high\n",
    )
    .unwrap();
    let error = Intensity::with_files(&[marginal.clone(), average], None, None).unwrap_err().to_string();
    assert!(error.contains("marginal") && error.contains("average"), "{error}");
    let health = text.replace("co2_moer", "health_damage");
    std::fs::write(&marginal, health).unwrap();
    let error = Intensity::with_files(&[marginal], None, None).unwrap_err().to_string();
    assert!(error.contains("health_damage"), "{error}");
}

/// A year's or a month's value of a zone.
fn coarse(text: &str, format: Format, step: Step, zone: &str, instant: &str, expected: (f64, Tier)) {
    let (_directory, path) = written(text);
    let intensity = with(&path, None);
    let input = &intensity.inputs()[0];
    assert_eq!((input.format, input.rejected), (format, 0));
    let zone = intensity.zone(zone).unwrap();
    assert!(input.zones.iter().any(|found| found.zone == zone && found.step == step), "{:?}", input.zones);
    let at_ms = parse_instant(instant, chrono_tz::Tz::UTC).unwrap();
    let factor = intensity.factor_at(&zone, at_ms).unwrap();
    assert_eq!((factor.intensity.value(), factor.tier), expected);
}

#[test]
fn ember_in_both_layouts_and_our_world_in_data() {
    let tidy = "Area,ISO 3 code,Date,Area type,Electricity source,Is aggregated source,Generation (TWh),Emissions intensity (gCO2e/kWh)\n\
                Germany,DEU,2026-01-01,Country,Coal,False,8.0,\nGermany,DEU,2026-01-01,Country,Total generation,True,45.0,330.5\n\
                Germany,DEU,2026-02-01,Country,Total generation,True,41.0,301.25\n";
    let of_month = (301.25, Tier::Monthly);
    coarse(tidy, Format::Ember, Step::Monthly, "DE", "2026-02-14T00:00:00Z", of_month);
    let yearly = "Area,ISO 3 code,Year,Area type,Electricity source,Emissions intensity (gCO2e/kWh)\nGermany,DEU,2024,Country,Total generation,344.1\n\
                  Germany,DEU,2025,Country,Total generation,330.2\n";
    coarse(yearly, Format::Ember, Step::Yearly, "Germany", "2025-06-01T00:00:00Z", (330.2, Tier::Annual));
    let long = "Area,Country code,Date,Area type,Category,Subcategory,Variable,Unit,Value\n\
                Germany,DEU,2024-03-01,Country,Power sector emissions,CO2 intensity,CO2 intensity,gCO2/kWh,310.5\n\
                Germany,DEU,2024-03-01,Country,Electricity generation,Fuel,Coal,TWh,9.1\n\
                Germany,DEU,2024-04-01,Country,Power sector emissions,CO2 intensity,CO2 intensity,gCO2/kWh,290.0\n";
    coarse(long, Format::EmberLong, Step::Monthly, "DE", "2024-03-31T23:00:00Z", (310.5, Tier::Monthly));
    let owid = "Entity,Code,Year,Carbon intensity of electricity - gCO2/kWh\nASEAN (Ember),,2023,572.0\nASEAN (Ember),,2024,570.0\n\
                Namibia,NAM,2023,50.5\nNamibia,NAM,2024,48.5\n";
    coarse(owid, Format::Owid, Step::Yearly, "NA", "2024-01-01T00:00:00Z", (48.5, Tier::Annual));
}

#[test]
fn real_downloads_hold_what_they_are_said_to() {
    if let Some(path) = real("intensity/neso_gb/neso_2023_national_intensity.csv") {
        let intensity = with(&path, None);
        let zone = &intensity.inputs()[0].zones[0];
        // 17,430 half hours, 91 missing in October; Python gives 152.149 with forecasts in place of five blanks.
        assert_eq!(
            (zone.values, zone.gaps, zone.missing_ms, zone.estimated),
            (17_430, 1, 91 * HOUR_MS / 2, 5)
        );
        let gb = intensity.zone("GB").unwrap();
        let instants = (0..17_521).map(|nth| zone.window.start_ms + nth * 30 * MINUTE_MS);
        let values: Vec<f64> = instants
            .filter_map(|at_ms| intensity.factor_at(&gb, at_ms))
            .filter(|factor| factor.tier == Tier::Hourly)
            .map(|factor| factor.intensity.value())
            .collect();
        assert_eq!(values.len(), 17_430);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - 152.149_168_100_975_32).abs() < 1e-6, "{mean}");
    }
    for (name, values, estimated, first) in
        [("de_co2", 188, 123, 322.0), ("at", 284, 212, 55.6), ("fr", 47, 29, 45.2)]
    {
        let Some(path) = real(&format!("intensity/energycharts_json/{name}.json")) else { continue };
        let intensity = with(&path, Some("DE"));
        let zone = &intensity.inputs()[0].zones[0];
        assert_eq!((zone.values, zone.estimated), (values, estimated), "{name}");
        assert_eq!(at(&intensity, "DE", "1711065600"), Some(first));
    }
    if let Some(path) = real("intensity/energycharts_json/uk.json") {
        assert_eq!(with(&path, None).inputs()[0].zones[0].values, 96);
    }
    if let Some(path) = real("intensity/energycharts_json/london.json") {
        assert_eq!(at(&with(&path, None), "GB-13", "2023-12-03T10:30:00Z"), Some(134.0));
    }
    if let Some(path) = real("intensity/carbon-intensity-owid.csv") {
        let intensity = with(&path, None);
        assert_eq!(intensity.inputs()[0].zones.iter().map(|zone| zone.values).sum::<u64>(), 5737);
        let germany = intensity.zone("Germany").unwrap();
        let at_ms = parse_instant("2023-05-01", chrono_tz::Tz::UTC).unwrap();
        assert_eq!(intensity.factor_at(&germany, at_ms).unwrap().intensity.value(), 371.310_64);
    }
}

#[test]
fn intensity_show_says_what_a_report_would_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hours.csv");
    std::fs::write(&file, "from,to,forecast,actual,index\n2026-01-01T00:00Z,2026-01-01T00:30Z,90,100,low\n2026-01-01T00:30Z,2026-01-01T01:00Z,90,200,low\n").unwrap();
    let show = |options: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wattledger"));
        command.current_dir(directory.path()).args([
            "intensity",
            "show",
            "--zone",
            "GB",
            "--from",
            "2026-01-01",
        ]);
        let output = command.args(options).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text, _) = show(&["--to", "2026-01-01T02:00:00Z", "--intensity", "hours.csv"]);
    assert_eq!(code, Some(0));
    for said in [
        "basis      direct average consumption",
        "mean       150.0 gCO2e/kWh, 100.0 to 200.0",
        "tier       hourly: 50.0 % of the time, mean 150.0 gCO2e/kWh",
        "tier       none: 50.0 % of the time",
        "UK Carbon Intensity CSV",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (_, hours, _) = show(&["--to", "2026-01-01T02:00:00Z", "--intensity", "hours.csv", "--csv"]);
    assert_eq!(hours.lines().count(), 3);
    assert!(
        hours.contains("2026-01-01T00:30:00Z,200,hourly,false,NESO Carbon Intensity API,hours.csv"),
        "{hours}"
    );
    // What is shipped has another basis, and is none of this one.
    let (code, text, _) = show(&["--to", "2026-01-02", "--basis", "direct"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("nothing of this basis is known"), "{text}");
    let (code, text, _) = show(&["--to", "2026-01-02"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("annual-profile: 100.0 % of the time") && text.contains("ODbL"), "{text}");
    let (code, _, error) = show(&["--to", "2025-01-02"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("the end is not after the start"), "{error}");
}

/// By factors of IPCC AR5: 820 for coal, 490 for gas, 24 for water, 11 and 12 for wind, 45 for sun.
#[test]
fn generation_is_turned_into_intensity_by_factors() {
    let entsoe = "Area,MTU,Fossil Gas  - Actual Aggregated [MW],Fossil Hard coal  - Actual Aggregated [MW],Hydro Pumped Storage  - Actual Aggregated [MW],                  Hydro Pumped Storage  - Actual Consumption [MW],Marine  - Actual Aggregated [MW],Wind Onshore  - Actual Aggregated [MW]\n                  Germany (DE),01.07.2024 00:00 - 01.07.2024 00:15 (CET/CEST),1000,1000,500,,n/e,2000\n                  Germany (DE),01.07.2024 00:15 - 01.07.2024 00:30 (CET/CEST),1000,1000,500,,n/e,-\n";
    let values = [
        ("DE", "2024-06-30T22:00:00Z", (490.0 + 820.0 + 22.0) / 4.0),
        ("DE", "2024-06-30T22:15:00Z", (490.0 + 820.0) / 2.0),
    ];
    is(entsoe, None, Format::EntsoeGeneration, "life-cycle average production", &values);
    let (_directory, path) = written(entsoe);
    let direct = Intensity::with_files(&[path], None, Some("direct production".parse().unwrap())).unwrap();
    assert_eq!(at(&direct, "DE", "2024-06-30T22:00:00Z"), Some((370.0 + 760.0) / 4.0));
    assert_eq!(direct.inputs()[0].zones[0].estimated, 1);
    // The hour that is there twice when summer time ends, and dots for thousands.
    let smard = "\u{feff}Datum;Uhrzeit;Wasserkraft[MWh];Erdgas[MWh];Pumpspeicher[MWh]\n25.10.2020;01:45;1.000;1.000;7\n25.10.2020;02:00;1.000;3.000;7\n                 25.10.2020;02:15;1.000;0;7\n25.10.2020;02:30;1.000;0;7\n25.10.2020;02:45;1.000;0;7\n25.10.2020;02:00;0;1.000;7\n25.10.2020;02:15;0;1,5;7\n";
    let values = [
        ("DE", "2020-10-24T23:45:00Z", 257.0),
        ("DE", "2020-10-25T00:00:00Z", (24.0 + 3.0 * 490.0) / 4.0),
        ("DE", "2020-10-25T00:45:00Z", 24.0),
        ("DE", "2020-10-25T01:00:00Z", 490.0),
        ("DE", "2020-10-25T01:15:00Z", 490.0),
    ];
    is(smard, None, Format::SmardGeneration, "life-cycle average production", &values);
}

/// Rows and means by Python, which reads the numbers alone; the two clock changes of 2020 lose and repeat no quarter of an hour.
#[test]
fn real_generation_is_read_whole() {
    for (file, zone, rows, gaps, expected) in [
        ("entsoe/generation_DE_2024-01.csv", "DE", 1499, 0, 356.755_231_338_250_6),
        ("entsoe/generation_GR_2024-01.csv", "GR", 299, 0, 286.746_988_648_217_8),
        ("smard/Realisierte_Erzeugung_2020_dst_days.csv", "DE", 576, 1, 242.162_178_084_573_9),
    ] {
        let Some(path) = real(&format!("intensity/{file}")) else { continue };
        let intensity = with(&path, None);
        let input = &intensity.inputs()[0];
        let found = &input.zones[0];
        assert_eq!((found.zone.as_str(), input.rejected), (zone, 0), "{file}");
        assert_eq!(
            (found.values, found.gaps, found.duplicates, found.conflicts),
            (rows, gaps, 0, 0),
            "{file}"
        );
        let Step::Fine { step_ms } = found.step else { unreachable!("{file}") };
        let instants = (found.window.start_ms..found.window.end_ms).step_by(step_ms as usize);
        let values: Vec<f64> = instants
            .filter_map(|at_ms| intensity.factor_at(&found.zone, at_ms))
            .map(|factor| factor.intensity.value())
            .collect();
        assert_eq!(values.len() as u64, rows, "{file}");
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - expected).abs() < 1e-9, "{file}: {mean}");
    }
}

/// Germany's generation in January 2024 against Electricity Maps' hours, whose factors are these.
#[test]
fn generation_follows_electricity_maps() {
    let (Some(entsoe), Some(maps)) = (
        real("intensity/entsoe/generation_DE_2024-01.csv"),
        real("intensity/electricity_maps_portal/DE-LU_2024_hourly.csv"),
    ) else {
        return;
    };
    let ours = with(&entsoe, None);
    let maps = with(&maps, None);
    let zones = (ours.zone("DE").unwrap(), maps.inputs()[0].zones[0].zone.clone());
    let window = ours.inputs()[0].zones[0].window;
    let hours = (window.end_ms - window.start_ms) / HOUR_MS;
    let mean = |at_ms: i64| -> f64 {
        let quarters = [0, 15, 30, 45]
            .map(|minute| ours.factor_at(&zones.0, at_ms + minute * MINUTE_MS).unwrap().intensity.value());
        quarters.iter().sum::<f64>() / 4.0
    };
    let pairs = |shift_h: i64| -> (Vec<f64>, Vec<f64>) {
        (1..hours - 1)
            .map(|hour| {
                let at_ms = window.start_ms + hour * HOUR_MS;
                let theirs = maps.factor_at(&zones.1, at_ms + shift_h * HOUR_MS).unwrap().intensity.value();
                (mean(at_ms), theirs)
            })
            .unzip()
    };
    let changes = |values: &[f64]| -> Vec<f64> { values.windows(2).map(|pair| pair[1] - pair[0]).collect() };
    let (levels, theirs) = pairs(0);
    let level = correlation(&levels, &theirs);
    let by_shift = [-1, 0, 1].map(|shift_h| {
        let (ours, theirs) = pairs(shift_h);
        correlation(&changes(&ours), &changes(&theirs))
    });
    eprintln!("levels {level:.3}, changes by shift {by_shift:.3?}");
    assert!(level > 0.95, "{level}");
    assert!(by_shift[1] > by_shift[0] + 0.05 && by_shift[1] > by_shift[2] + 0.05, "{by_shift:?}");
}

/// Pearson's correlation.
fn correlation(left: &[f64], right: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        left.iter().zip(right).map(|(l, r)| f(l - left_mean, r - right_mean)).sum()
    };
    sum(&|l, r| l * r) / (sum(&|l, _| l * l) * sum(&|_, r| r * r)).sqrt()
}

/// NESO's hours against Electricity Maps': the changes of winter agree best where no stamp is moved.
#[test]
fn two_providers_agree_on_the_hours_of_great_britain() {
    let (Some(neso), Some(maps)) = (
        real("intensity/neso_gb/neso_2023_national_intensity.csv"),
        real("intensity/em_lca_hourly_2023_157zones.csv.gz"),
    ) else {
        return;
    };
    let intensity = with(&neso, None);
    let gb = intensity.zone("GB").unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(maps).unwrap()).read_to_string(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "GB").unwrap();
    let hours: Vec<(i64, f64)> = reader
        .records()
        .map(Result::unwrap)
        .filter_map(|row| {
            let at_ms = parse_instant(&row[0], chrono_tz::Tz::UTC).unwrap();
            Some((at_ms, row[column].parse().ok()?))
        })
        .collect();
    let ours = |at_ms: i64| {
        let half = |part: i64| {
            let factor = intensity.factor_at(&gb, at_ms + part * 30 * MINUTE_MS)?;
            (factor.tier == Tier::Hourly).then(|| factor.intensity.value())
        };
        Some(0.5 * (half(0)? + half(1)?))
    };
    let levels: Vec<(f64, f64)> =
        hours.iter().filter_map(|(at_ms, theirs)| Some((ours(*at_ms)?, *theirs))).collect();
    let (left, right): (Vec<f64>, Vec<f64>) = levels.into_iter().unzip();
    let whole_year = correlation(&left, &right);
    assert!((whole_year - 0.97).abs() < 0.015, "{whole_year}");
    // Changes from hour to hour tell the stamps apart: 26 March to 29 October is summer time.
    let changes = |shift_h: i64, of_summer: bool| {
        let pairs = hours.iter().zip(hours.iter().skip(1)).filter_map(|(one, next)| {
            let is_summer = (1_679_792_400_000..1_698_541_200_000).contains(&one.0);
            if is_summer != of_summer || next.0 - one.0 != HOUR_MS {
                return None;
            }
            let shift_ms = shift_h * HOUR_MS;
            Some((ours(next.0 + shift_ms)? - ours(one.0 + shift_ms)?, next.1 - one.1))
        });
        let (left, right): (Vec<f64>, Vec<f64>) = pairs.unzip();
        correlation(&left, &right)
    };
    let winter = [-1, 0, 1].map(|shift_h| changes(shift_h, false));
    assert!(winter[1] > 0.8 && winter[1] > winter[0] + 0.05 && winter[1] > winter[2] + 0.05, "{winter:?}");
    // Known of Electricity Maps' hours of Great Britain: an hour late while summer time holds.
    let summer = [-1, 0, 1].map(|shift_h| changes(shift_h, true));
    assert!(summer[0] > 0.85 && summer[0] > summer[1] + 0.1, "{summer:?}");
}

/// Of EIA-930 and of ENTSO-E, by the same factors as above and 650 for oil, 12 for nuclear, 700 for others, 230 for biomass.
#[test]
fn hours_of_eia_930_end_at_their_stamps() {
    let basis = "life-cycle average production";
    // 6000 MWh of gas, 1000 of sun, 2000 of nuclear, 1000 of others: (6 × 490 + 45 + 2 × 12 + 700) / 10 = 370.9 in the hour before
    // one o'clock. `avg_CI` is another's sum. Battery and water draw.
    let table = "timestamp,WND,SUN,WAT,OIL,NG,COL,NUC,OTH,BAT,avg_CI\n\
                 2022-01-01 01:00:00+00:00,0,1000.0,-50.0,0,6000.0,0,2000.0,1000.0,500,999\n\
                 2022-01-01 02:00:00+00:00,3000,0,0,0,1000,0,0,0,0,999\n";
    // (3 × 11 + 490) / 4 = 130.75.
    let values =
        [("US-CAL-CISO", "2022-01-01T00:30:00Z", 370.9), ("US-CAL-CISO", "2022-01-01T01:00:00Z", 130.75)];
    is(table, Some("US-CAL-CISO"), Format::Eia930, basis, &values);
    is(&format!("# zone: CISO\n{table}"), None, Format::Eia930, basis, &values);
    let (_directory, path) = written(table);
    let zone = Zone::from_id("US-CAL-CISO");
    let direct = Intensity::with_files(
        std::slice::from_ref(&path),
        Some(&zone),
        Some("direct production".parse().unwrap()),
    )
    .unwrap();
    // (6 × 370 + 575) / 10.
    assert_eq!(at(&direct, "US-CAL-CISO", "2022-01-01T00:00:00Z"), Some(279.5));
    let input = &direct.inputs()[0];
    assert_eq!(&*input.source, "EIA-930 generation by factors of IPCC AR5");
    assert_eq!(
        &*input.attribution,
        "U.S. Energy Information Administration, Hourly Electric Grid Monitor, public domain; factors: IPCC AR5"
    );
    let error = Intensity::with_files(&[path], None, None).unwrap_err().to_string();
    assert!(error.contains("does not say of which zone"), "{error}");

    // Two places, each on its clock; midnight in Los Angeles is eight o'clock in UTC, and the hour before it is meant.
    let monitor = "\"Region Code\",\"Timestamp (Hour Ending)\",\"Demand (MWh)\",\"Net Generation (MWh)\",\"Wind Generation (MWh)\",\
                   \"Natural Gas Generation (MWh)\",\"Battery storage Generation (MWh)\",\"Geothermal Generation (MWh)\"\n\
                   CAL,\"12/1/2020 12 a.m. PST\",9,9,1000,3000,77,\nCAL,\"12/1/2020 1 a.m. PST\",9,9,3000,1000,-77,\n\
                   SE,\"12/1/2020 12 p.m. EST\",9,9,,2000,,\nNE,\"12/1/2020 12 p.m. EST\",9,9,1000,1000,,2000\n";
    let values = [
        // (11 + 3 × 490) / 4, (3 × 11 + 490) / 4, gas alone, (11 + 490 + 2 × 38) / 4.
        ("CAL", "2020-12-01T07:00:00Z", 370.25),
        ("CAL", "2020-12-01T08:59:00Z", 130.75),
        ("US-SE", "2020-12-01T16:00:00Z", 490.0),
        ("US-NE-ISNE", "2020-12-01T16:59:00Z", 144.25),
    ];
    is(monitor, None, Format::Eia930, basis, &values);
    let (_directory, path) = written(monitor);
    let zones = with(&path, None).inputs()[0].zones.clone();
    let authority = monitor.replace("Region Code", "BA Code").replace("\nCAL,", "\nLDWP,");
    is(&authority, None, Format::Eia930, basis, &[("US-CAL-LDWP", "2020-12-01T08:00:00Z", 130.75)]);
    // What a region never has is not missing.
    assert!(zones.iter().all(|zone| zone.estimated == 0), "{zones:?}");
    assert!(zones.iter().all(|zone| zone.zone.as_str() != "SE"), "the Southeast is not Sweden");

    let row = |hour: &str, respondent: &str, fuel: &str, value: &str| {
        format!(
            "{{\"period\":\"2022-01-01T{hour}\",\"respondent\":\"{respondent}\",\"fueltype\":\"{fuel}\",\"value\":{value},\
             \"value-units\":\"megawatthours\"}}"
        )
    };
    let answer = |rows: &[String]| {
        format!("{{\"response\":{{\"total\":\"9\",\"data\":[{}]}},\"request\":{{}}}}", rows.join(","))
    };
    let text = answer(&[
        row("02", "CISO", "NG", "\"1000\""),
        row("01", "ERCO", "COL", "500"),
        row("01", "CISO", "NG", "3000"),
        row("02", "CISO", "WND", "3000"),
        row("01", "CISO", "BAT", "900"),
        row("01", "CISO", "WND", "\"1000\""),
        row("01", "CISO", "SUN", "-12"),
        row("02", "CISO", "SUN", "0"),
    ]);
    let values = [
        ("US-CAL-CISO", "2022-01-01T00:00:00Z", 370.25),
        ("US-CAL-CISO", "2022-01-01T01:00:00Z", 130.75),
        ("US-TEX-ERCO", "2022-01-01T00:00:00Z", 820.0),
    ];
    is(&text, None, Format::Eia930Api, basis, &values);
}

#[test]
fn answers_of_eia_that_are_not_whole() {
    let row = |hour: u32, fuel: &str, rest: &str| {
        format!(
            "{{\"period\":\"2022-01-01T{hour:02}\",\"respondent\":\"PJM\",\"fueltype\":\"{fuel}\",{rest}}}"
        )
    };
    let value = |value: u32| format!("\"value\":\"{value}\",\"value-units\":\"megawatthours\"");
    let rows = [
        row(1, "NG", &value(100)),
        row(1, "NUC", &value(300)),
        // Missing is not none.
        row(2, "NG", &value(100)),
        row(2, "NUC", "\"value\":null"),
        // A fuel that nobody knows.
        row(3, "NG", &value(100)),
        row(3, "NUC", &value(300)),
        row(3, "XYZ", &value(300)),
        // An hour without any.
        row(4, "NG", &value(0)),
        row(4, "NUC", &value(0)),
        row(5, "NG", &value(100)),
        row(5, "NUC", &value(300)),
        // Cut off where a page ends, in other units, and without a time.
        row(6, "NUC", &value(300)),
        row(7, "NUC", "\"value\":3,\"value-units\":\"thousand megawatthours\""),
        "{\"period\":\"New Year\",\"respondent\":\"PJM\",\"fueltype\":\"NG\",\"value\":1}".to_owned(),
    ];
    let (_directory, path) = written(&format!("{{\"response\":{{\"data\":[{}]}}}}", rows.join(",")));
    let intensity = with(&path, None);
    let input = &intensity.inputs()[0];
    let reasons: Vec<(u64, &str)> =
        input.rejected_lines.iter().map(|reject| (reject.line, reject.reason)).collect();
    assert_eq!(
        reasons,
        [
            (7, "a kind of plant that is not known"),
            (13, "not in megawatt-hours"),
            (14, "no time that can be read"),
            (8, "no generation"),
        ]
    );
    // (490 + 3 × 12) / 4 = 131.5; the hours of missing and unknown plants, and the one cut off, are estimates.
    let zone = &input.zones[0];
    assert_eq!((zone.values, zone.gaps, zone.estimated), (5, 1, 3));
    for (instant, value) in [("00", 131.5), ("01", 490.0), ("02", 131.5), ("04", 131.5), ("05", 12.0)] {
        assert_eq!(at(&intensity, "US-MIDA-PJM", &format!("2022-01-01T{instant}:00:00Z")), Some(value));
    }
    // Without its stamps, or with nothing but demand, it is no such table.
    for text in [
        "when,WND,SUN,WAT,NG,avg_CI\n1,2,3,4,5,6\n",
        "\"Region Code\",\"Timestamp (Hour Ending)\",\"Demand (MWh)\"\nCAL,\"12/1/2020 12 a.m. PST\",1\n",
    ] {
        let (_directory, path) = written(text);
        let error = Intensity::with_files(&[path], None, None).unwrap_err().to_string();
        assert!(error.contains("cannot tell the format"), "{error}");
    }
}

#[test]
fn entsoes_file_library_by_countries() {
    let head = "DateTime(UTC)\tResolutionCode\tAreaCode\tAreaDisplayName\tAreaTypeCode\tAreaMapCode\tProductionType\t\
                ActualGenerationOutput[MW]\tActualConsumption[MW]\tUpdateTime(UTC)\n";
    let row = |time: &str, step: &str, area: &str, kind: &str, plant: &str, output: &str| {
        let code = if area == "AT" { "10YAT-APG------L" } else { "10Y1001A1001A65H" };
        format!(
            "2026-02-01 {time}:00\t{step}\t{code}\tName ({area})\t{kind}\t{area}\t{plant}\t{output}\t0.000000\t2026-02-05 10:48:37\n"
        )
    };
    let all = "BZN/CTA/CTY";
    let rows = [
        row("00:00", "PT15M", "AT", all, "Biomass", "100.000000"),
        row("00:00", "PT60M", "DK", "CTY", "Wind Onshore", "1000.0"),
        row("00:00", "PT15M", "AT", all, "Fossil Gas", "300.000000"),
        row("00:00", "PT15M", "AT", all, "Hydro Pumped Storage", "500.000000"),
        row("00:15", "PT15M", "AT", all, "Biomass", "100"),
        row("00:15", "PT15M", "AT", all, "Fossil Gas", "100"),
        // An hour, beside quarters.
        row("00:30", "PT30M", "AT", all, "Biomass", "100"),
        // The same country again as something else, which would count twice.
        row("00:00", "PT60M", "DK", "CTA", "Fossil Hard coal", "9999"),
        row("00:00", "PT60M", "DK", "BZN", "Fossil Hard coal", "9999"),
        row("01:00", "PT60M", "DK", "CTY", "Wind Offshore", "1000.0"),
        row("01:00", "PT60M", "DK", "CTY", "Fossil Hard coal", "1000.0"),
    ];
    let text = format!("{head}{}", rows.concat());
    let values = [
        // (230 + 3 × 490) / 4, (230 + 490) / 2, biomass alone, which holds for both quarters.
        ("AT", "2026-02-01T00:00:00Z", 425.0),
        ("AT", "2026-02-01T00:15:00Z", 360.0),
        ("AT", "2026-02-01T00:30:00Z", 230.0),
        ("AT", "2026-02-01T00:45:00Z", 230.0),
        // 11, and (12 + 820) / 2.
        ("DK", "2026-02-01T00:59:00Z", 11.0),
        ("DK", "2026-02-01T01:00:00Z", 416.0),
    ];
    is(&text, None, Format::EntsoeLibrary, "life-cycle average production", &values);

    let broken = [
        row("00:00", "PT60M", "DK", "CTY", "Fossil Hard coal", "100"),
        row("00:00", "PT60M", "DK", "CTY", "Dark matter", "100"),
        row("01:00", "P1D", "DK", "CTY", "Solar", "100"),
        row("yesterday", "PT60M", "DK", "CTY", "Solar", "100"),
        row("02:00", "PT60M", "DK", "CTY", "Solar", "0"),
    ];
    let (_directory, path) = written(&format!("{head}{}", broken.concat()));
    let intensity = with(&path, None);
    let input = &intensity.inputs()[0];
    let reasons: Vec<(u64, &str)> =
        input.rejected_lines.iter().map(|reject| (reject.line, reject.reason)).collect();
    assert_eq!(
        reasons,
        [
            (3, "a kind of plant that is not known"),
            (4, "a step that is no quarter, half or whole hour"),
            (5, "no time that can be read"),
            (6, "no generation"),
        ]
    );
    assert_eq!((input.zones[0].values, input.zones[0].estimated), (1, 1));
    let (_directory, path) = written(&text.replace("ActualGenerationOutput[MW]", "Output"));
    let error = Intensity::with_files(&[path], None, None).unwrap_err().to_string();
    assert!(error.contains("cannot tell the format"), "{error}");
}

/// An answer of ENTSO-E's API with `series` in it.
fn market_document(kind: &str, series: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <GL_MarketDocument xmlns=\"urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0\">\n\
         <mRID>1</mRID><type>{kind}</type><process.processType>A16</process.processType>\n\
         <time_Period.timeInterval><start>2026-01-01T00:00Z</start><end>2026-01-02T00:00Z</end></time_Period.timeInterval>\n\
         {series}</GL_MarketDocument>\n"
    )
}

/// One series: a domain's element and code, type of plant, curve, start, end, step, and points by position.
fn market_series(
    domain: (&str, &str),
    psr: &str,
    curve: &str,
    period: [&str; 3],
    points: &[(u32, &str)],
) -> String {
    let points: String = points
        .iter()
        .map(|(position, quantity)| {
            format!("<Point><position>{position}</position>\n<quantity>{quantity}</quantity></Point>\n")
        })
        .collect();
    let ([start, end, step], (direction, eic)) = (period, domain);
    format!(
        "<TimeSeries><mRID>1</mRID><businessType>A01</businessType><objectAggregation>A08</objectAggregation>\n\
         <{direction}BiddingZone_Domain.mRID codingScheme=\"A01\">{eic}</{direction}BiddingZone_Domain.mRID>\n\
         <quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>{curve}</curveType>\n\
         <MktPSRType><psrType>{psr}</psrType></MktPSRType>\n\
         <Period><timeInterval><start>2026-01-01T{start}Z</start><end>2026-01-01T{end}Z</end></timeInterval>\n\
         <resolution>{step}</resolution>\n{points}</Period></TimeSeries>\n"
    )
}

#[test]
fn answers_of_entsoes_api() {
    let (france, belgium) = (("in", "10YFR-RTE------C"), ("in", "10YBE----------2"));
    let hour = ["00:00", "01:00", "PT15M"];
    let series = [
        // 300 MW of nuclear in the first quarter, which holds for the second, then 100.
        market_series(france, "B14", "A03", hour, &[(1, "300"), (3, "100")]),
        market_series(france, "B04", "A01", hour, &[(1, "100"), (2, "100"), (3, "100"), (4, "300.0")]),
        market_series(france, "B10", "A03", hour, &[(1, "777")]),
        market_series(("out", "10YFR-RTE------C"), "B05", "A03", hour, &[(1, "777")]),
        market_series(belgium, "B19", "A01", ["00:00", "02:00", "PT60M"], &[(1, "500"), (2, "500")]),
        market_series(belgium, "B05", "A01", ["00:00", "02:00", "PT60M"], &[(1, "500"), (2, "1500")]),
    ];
    let text = market_document("A75", &series.concat());
    let values = [
        // (3 × 12 + 490) / 4 twice, (12 + 490) / 2, (12 + 3 × 490) / 4.
        ("FR", "2026-01-01T00:00:00Z", 131.5),
        ("FR", "2026-01-01T00:15:00Z", 131.5),
        ("FR", "2026-01-01T00:30:00Z", 251.0),
        ("FR", "2026-01-01T00:45:00Z", 370.5),
        // (11 + 820) / 2, (11 + 3 × 820) / 4.
        ("BE", "2026-01-01T00:00:00Z", 415.5),
        ("BE", "2026-01-01T01:00:00Z", 617.75),
    ];
    is(&text, None, Format::EntsoeApi, "life-cycle average production", &values);
    let (_directory, path) = written(&text);
    let direct = Intensity::with_files(&[path], None, Some("direct production".parse().unwrap())).unwrap();
    // (3 × 0 + 370) / 4.
    assert_eq!(at(&direct, "FR", "2026-01-01T00:00:00Z"), Some(92.5));
    assert_eq!(&*direct.inputs()[0].source, "ENTSO-E generation by factors of IPCC AR5");

    // A missing position of a curve that does not repeat is missing: the second quarter is gas alone, and an estimate.
    let series = [
        market_series(france, "B14", "A01", hour, &[(1, "300"), (3, "300"), (4, "300")]),
        market_series(france, "B04", "A01", hour, &[(1, "100"), (2, "100"), (3, "100"), (4, "100")]),
    ];
    let (_directory, path) = written(&market_document("A75", &series.concat()));
    let intensity = with(&path, None);
    assert_eq!(at(&intensity, "FR", "2026-01-01T00:15:00Z"), Some(490.0));
    assert_eq!(intensity.inputs()[0].zones[0].estimated, 1);
}

#[test]
fn answers_of_entsoes_api_that_cannot_be_used() {
    let france = ("in", "10YFR-RTE------C");
    let hour = ["00:00", "01:00", "PT60M"];
    let good = market_series(france, "B04", "A01", hour, &[(1, "100")]);
    let error = |text: &str| {
        let (_directory, path) = written(text);
        Intensity::with_files(&[path], None, None).unwrap_err().to_string()
    };
    let whole = market_document("A75", &good);
    // Cut anywhere behind its first element, it is an error and no panic.
    let cuts: Vec<usize> = (0..whole.trim_end().len()).filter(|cut| whole.is_char_boundary(*cut)).collect();
    for cut in cuts.into_iter().skip(1).step_by(7) {
        let error = error(&whole[..cut]);
        assert!(!error.is_empty(), "{cut}");
    }
    let inside = error(&whole[..whole.find("<quantity>").unwrap()]);
    assert!(inside.contains("cut off inside `Point`") && inside.contains("line 12"), "{inside}");
    let crossed = error(&whole.replace("</Period></TimeSeries>", "</TimeSeries></Period>"));
    assert!(crossed.contains("cannot use"), "{crossed}");
    let none = "<?xml version=\"1.0\"?><Acknowledgement_MarketDocument xmlns=\"urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0\">\
                <mRID>x</mRID><Reason><code>999</code><text>No matching data found for Data item Actual Generation [16.1.B&amp;C]</text>\
                </Reason></Acknowledgement_MarketDocument>";
    let none = error(none);
    assert!(none.contains("No matching data found for Data item Actual Generation [16.1.B&C]"), "{none}");
    let load = error(&market_document("A65", &good));
    assert!(load.contains("document of type `A65`"), "{load}");
    let page = error("<!DOCTYPE html><html><body>log in</body></html>");
    assert!(page.contains("web page"), "{page}");
    let deep = error(&market_document("A75", &"<a>".repeat(100_000)));
    assert!(deep.contains("deeper"), "{deep}");

    let series = [
        good.clone(),
        market_series(france, "B99", "A01", hour, &[(1, "100")]),
        market_series(france, "B16", "A01", ["00:00", "01:00", "P1Y"], &[(1, "100")]),
        market_series(france, "B16", "A03", ["01:00", "00:00", "PT15M"], &[(1, "100")]),
        market_series(france, "B16", "A01", hour, &[(2, "100"), (0, "100")]),
        market_series(france, "B16", "A03", hour, &[(1, "100")]).replace("<end>2026", "<end>9999"),
        market_series(france, "B16", "A01", ["00:00", "noon", "PT60M"], &[(1, "100")]),
        market_series(france, "B16", "A01", hour, &[(1, "100")]).replace("MAW", "KWT"),
        market_series(france, "B16", "A01", ["02:00", "03:00", "PT60M"], &[(1, "0")]),
    ];
    let (_directory, path) = written(&market_document("A75", &series.concat()));
    let intensity = with(&path, None);
    let input = &intensity.inputs()[0];
    let reasons: Vec<&str> = input.rejected_lines.iter().map(|reject| reject.reason).collect();
    assert_eq!(
        reasons,
        [
            "a kind of plant that is not known",
            "a step that is no quarter, half or whole hour",
            "a period that ends before it starts",
            "points outside their period",
            "a period of more than a year",
            "no time that can be read",
            "not in megawatts",
            "no generation",
        ]
    );
    // A line that claims a year, many times over, is not believed for ever: 35,000 quarters each, and a million at most.
    let claims: String = (2000..2100)
        .map(|year| {
            format!(
                "<Period><timeInterval><start>{year}-01-01T00:00Z</start><end>{year}-12-31T00:00Z</end></timeInterval>\
                 <resolution>PT15M</resolution><Point><position>1</position><quantity>1</quantity></Point></Period>"
            )
        })
        .collect();
    let claims = format!(
        "<TimeSeries><inBiddingZone_Domain.mRID>10YBE----------2</inBiddingZone_Domain.mRID><curveType>A03</curveType>\
         <MktPSRType><psrType>B04</psrType></MktPSRType>{claims}</TimeSeries>"
    );
    let (_kept, claimed) = written(&market_document("A75", &claims));
    let claimed = with(&claimed, None).inputs()[0].clone();
    assert_eq!(
        (claimed.rejected, claimed.rejected_lines[0].reason),
        (72, "more points than any answer has"),
        "{claimed:?}"
    );
    // Whatever a byte turns into, nothing panics.
    for (nth, byte) in (0..whole.len()).step_by(11).zip(b"<>&\"/9-;\x00\xff".iter().cycle()) {
        let mut bytes = whole.clone().into_bytes();
        bytes[nth] = *byte;
        let (_directory, path) = written("");
        std::fs::write(&path, bytes).unwrap();
        let _ = Intensity::with_files(&[path], None, None);
    }
    // Gas alone, beside a plant that nobody knows.
    assert_eq!((input.zones[0].values, input.zones[0].estimated), (1, 1));
    assert_eq!(at(&intensity, "FR", "2026-01-01T00:00:00Z"), Some(490.0));
}

/// Germany's real hours, as the web exports them and written anew as the file library and the API have them: the same, to Python's mean.
#[test]
fn three_forms_of_entsoe_agree() {
    let Some(path) = real("intensity/entsoe/generation_DE_2024-01.csv") else { return };
    let web = with(&path, None);
    let window = web.inputs()[0].zones[0].window;
    let types = [
        "Biomass",
        "Fossil Brown coal/Lignite",
        "Fossil Coal-derived gas",
        "Fossil Gas",
        "Fossil Hard coal",
        "Fossil Oil",
        "Fossil Oil shale",
        "Fossil Peat",
        "Geothermal",
        "Hydro Pumped Storage",
        "Hydro Run-of-river and poundage",
        "Hydro Water Reservoir",
        "Marine",
        "Nuclear",
        "Other renewable",
        "Solar",
        "Waste",
        "Wind Offshore",
        "Wind Onshore",
        "Other",
    ];
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let mut table = "DateTime(UTC)\tResolutionCode\tAreaCode\tAreaDisplayName\tAreaTypeCode\tAreaMapCode\tProductionType\t\
                     ActualGenerationOutput[MW]\tActualConsumption[MW]\tUpdateTime(UTC)\n"
        .to_owned();
    let mut series = String::new();
    let instant =
        |nth: usize| wattledger::time::format_instant(window.start_ms + nth as i64 * 15 * MINUTE_MS);
    for (nth, kind) in types.iter().enumerate() {
        let column = header
            .iter()
            .position(|name| name.trim().starts_with(&format!("{kind}  - Actual Aggregated")))
            .unwrap_or_else(|| panic!("{kind}"));
        let mut points = String::new();
        let mut before = String::new();
        for (row, record) in rows.iter().enumerate() {
            let value = record[column].trim();
            if value == "n/e" {
                continue;
            }
            table += &format!(
                "{}\tPT15M\t10Y1001A1001A83F\tGermany (DE)\tCTY\tDE\t{kind}\t{value}\t\t\n",
                instant(row).trim_end_matches('Z').replace('T', " ")
            );
            // What is as it was before is left out.
            if value != before {
                points +=
                    &format!("<Point><position>{}</position><quantity>{value}</quantity></Point>", row + 1);
                value.clone_into(&mut before);
            }
        }
        if points.is_empty() {
            continue;
        }
        series += &format!(
            "<TimeSeries><inBiddingZone_Domain.mRID>10Y1001A1001A83F</inBiddingZone_Domain.mRID><curveType>A03</curveType><MktPSRType>\
             <psrType>B{:02}</psrType></MktPSRType><Period><timeInterval><start>{}</start><end>{}</end></timeInterval><resolution>PT15M\
             </resolution>{points}</Period></TimeSeries>",
            nth + 1,
            instant(0),
            instant(rows.len())
        );
    }
    for (text, format) in
        [(table, Format::EntsoeLibrary), (market_document("A75", &series), Format::EntsoeApi)]
    {
        let (_directory, path) = written(&text);
        let anew = with(&path, None);
        let input = &anew.inputs()[0];
        assert_eq!((input.format, input.rejected, input.zones[0].values), (format, 0, 1499));
        assert_eq!(input.zones[0].window, window);
        let de = anew.zone("DE").unwrap();
        let instants = (window.start_ms..window.end_ms).step_by(15 * MINUTE_MS as usize);
        let value = |from: &Intensity, at_ms| from.factor_at(&de, at_ms).unwrap().intensity.value();
        assert!(instants.clone().all(|at_ms| (value(&web, at_ms) - value(&anew, at_ms)).abs() < 1e-9));
        let mean = instants.map(|at_ms| value(&anew, at_ms)).sum::<f64>() / 1499.0;
        assert!((mean - 356.755_231_338_250_6).abs() < 1e-9, "{format}: {mean}");
    }
}

/// A year of California by EIA-930: rows and means by Python; where the sun stands says which hour a stamp means.
#[test]
fn real_hours_of_eia_930() {
    let Some(path) = real("intensity/eia930_us/CISO_NG_avgCI.csv") else { return };
    let intensity = with(&path, Some("US-CAL-CISO"));
    let input = &intensity.inputs()[0];
    let zone = &input.zones[0];
    // 8,760 rows, of which three are blank: 5 January, 17 May and 13 June.
    let lines: Vec<u64> = input.rejected_lines.iter().map(|reject| reject.line).collect();
    assert_eq!((input.format, lines), (Format::Eia930, vec![108, 3284, 3932]));
    assert_eq!((zone.values, zone.gaps, zone.missing_ms, zone.estimated), (8757, 3, 3 * HOUR_MS, 0));
    // The first stamp, midnight of New Year, ends the last hour of 2021.
    let first_ms = parse_instant("2021-12-31T23:00:00Z", chrono_tz::Tz::UTC).unwrap();
    assert_eq!((zone.window.start_ms, zone.window.end_ms), (first_ms, first_ms + 8760 * HOUR_MS));
    let mean_of = |intensity: &Intensity| {
        let instants = (0..8760).map(|nth| first_ms + nth * HOUR_MS);
        let values: Vec<(i64, f64)> = instants
            .filter_map(|at_ms| Some((at_ms, intensity.factor_at(&zone.zone, at_ms)?)))
            .filter(|(_, factor)| factor.tier == Tier::Hourly)
            .map(|(at_ms, factor)| (at_ms, factor.intensity.value()))
            .collect();
        assert_eq!(values.len(), 8757);
        (values.iter().map(|(_, value)| value).sum::<f64>() / 8757.0, values)
    };
    let (mean, values) = mean_of(&intensity);
    assert!((mean - 264.307_961_332_120_1).abs() < 1e-9, "{mean}");
    let direct = Intensity::with_files(
        std::slice::from_ref(&path),
        Some(&zone.zone),
        Some("direct production".parse().unwrap()),
    )
    .unwrap();
    let (mean, _) = mean_of(&direct);
    assert!((mean - 190.266_479_538_931_4).abs() < 1e-9, "{mean}");

    // Noon by the sun where California's plants are, at 115 to 120 degrees west, is at 19.67 to 20.0 h UTC.
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut east, mut north) = (0.0, 0.0);
    for row in csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap) {
        let (stamp, sun) = (parse_instant(&row[0], chrono_tz::Tz::UTC).unwrap(), row[2].parse::<f64>());
        // The middle of the hour that ends.
        let angle = (stamp - HOUR_MS / 2).rem_euclid(24 * HOUR_MS) as f64 / (24 * HOUR_MS) as f64;
        let angle = angle * std::f64::consts::TAU;
        east += sun.clone().unwrap_or(0.0) * angle.cos();
        north += sun.unwrap_or(0.0) * angle.sin();
    }
    let centre_h = north.atan2(east).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU * 24.0;
    // 19.544 by Python; an hour later, where stamps were starts.
    assert!((centre_h - 19.544).abs() < 0.01 && (centre_h - 19.83).abs() < 0.5, "{centre_h}");

    // The day's shape of this file against that of Electricity Maps for the same place, month by month: changes from hour to hour.
    let shape = include_str!("../data/intensity_shape.csv");
    let mut theirs = [0.0_f64; 24];
    for line in shape.lines().filter_map(|line| line.strip_prefix("US-CAL-CISO,")) {
        let (_, hours) = line.split_once(',').unwrap();
        hours.split(' ').enumerate().for_each(|(hour, value)| theirs[hour] += value.parse::<f64>().unwrap());
    }
    let mut by_month = [[(0.0_f64, 0.0_f64); 24]; 12];
    for (at_ms, value) in values {
        use chrono::{Datelike as _, Timelike as _};
        let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap();
        let cell = &mut by_month[at.month0() as usize][at.hour() as usize];
        *cell = (cell.0 + value, cell.1 + 1.0);
    }
    let ours: Vec<f64> =
        (0..24).map(|hour| by_month.iter().map(|hours| hours[hour].0 / hours[hour].1).sum()).collect();
    let by_shift = [23, 0, 1].map(|shift_h| {
        let change = |values: &[f64], hour: usize| values[(hour + 1) % 24] - values[hour % 24];
        let ours: Vec<f64> = (0..24).map(|hour| change(&ours, hour)).collect();
        let theirs: Vec<f64> = (0..24).map(|hour| change(&theirs, hour + shift_h)).collect();
        correlation(&ours, &theirs)
    });
    eprintln!("changes by shift {by_shift:.3?}");
    // By Python 0.704, 0.949 and 0.894.
    assert!(
        by_shift[1] > 0.94 && by_shift[1] > by_shift[0] + 0.2 && by_shift[1] > by_shift[2] + 0.04,
        "{by_shift:?}"
    );
}
