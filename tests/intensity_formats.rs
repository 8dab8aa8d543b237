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
