//! Runs the cases of `tests/conformance/cases.json`, which `tests/conformance/README.md` describes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use wattledger::carbon::{Equivalents, amortised_g};
use wattledger::meter::counter::{self, CounterRules, Tally};
use wattledger::meter::edges::{EdgeRule, Holders};
use wattledger::meter::gauge;
use wattledger::meter::presence::{Boots, GapLimits};
use wattledger::power::{DeviceKind, MemoryModel, Rating, UtilisationModel};
use wattledger::units::{GramsCo2e, GramsPerKwh, Seconds, Watts};

#[path = "support/truth.rs"]
mod support;

use support::{Row, table};

#[derive(Deserialize)]
struct Suite {
    format: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    title: String,
    kind: String,
    input: Value,
    expected: BTreeMap<String, Value>,
    relative_tolerance: f64,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    model: String,
    kind: String,
    tdp_w: f64,
    utilisation: f64,
    idle_w: Option<f64>,
    threads: Option<u32>,
    name: Option<String>,
}

impl Device {
    fn power(&self) -> Watts {
        let model: UtilisationModel = self.model.parse().unwrap();
        let rating = Rating {
            kind: if self.kind == "gpu" { DeviceKind::Gpu } else { DeviceKind::CpuSocket },
            name: self.name.clone().unwrap_or_default(),
            tdp: Watts(self.tdp_w),
            idle: self.idle_w.map(Watts),
            threads: self.threads,
        };
        model.power(self.utilisation, &rating).unwrap()
    }
}

type Figures = BTreeMap<String, Value>;

fn figures(pairs: impl IntoIterator<Item = (&'static str, f64)>) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn device_power(input: &Value) -> Figures {
    let device: Device = serde_json::from_value(input.clone()).unwrap();
    figures([("power_w", device.power().value())])
}

fn memory(input: &Value) -> Figures {
    let bytes = input["memory_gb"].as_f64().unwrap() * 1e9;
    let model = match input["model"].as_str().unwrap() {
        "per-module" => MemoryModel::PerModule,
        "per-gb" => MemoryModel::default(),
        other => panic!("{other}"),
    };
    figures([("power_w", model.power(bytes).value())])
}

fn embodied(input: &Value) -> Figures {
    let number = |key: &str| input[key].as_f64().unwrap();
    let device_g = amortised_g(number("embodied_kgco2e"), number("lifetime_years"), number("duration_s"));
    figures([("emissions_gco2e", device_g * number("share"))])
}

fn equivalent(input: &Value) -> Figures {
    let table = Equivalents::shipped().unwrap();
    let like = table.named(input["name"].as_str().unwrap()).unwrap();
    figures([("count", like.count(GramsCo2e(input["emissions_gco2e"].as_f64().unwrap())))])
}

fn energy(input: &Value) -> Figures {
    let number = |key: &str| input.get(key).and_then(Value::as_f64);
    let devices = input.get("devices").and_then(Value::as_array).into_iter().flatten();
    let mut watts: f64 =
        devices.map(|device| serde_json::from_value::<Device>(device.clone()).unwrap().power().value()).sum();
    watts += number("constant_w").unwrap_or(0.0);
    if let Some(gigabytes) = number("memory_gb") {
        watts += MemoryModel::PerGigabyte(number("memory_w_per_gb").unwrap()).power(gigabytes * 1e9).value();
    }
    let factors = input.get("factors").and_then(Value::as_array).into_iter().flatten();
    let factor: f64 = factors.map(|factor| factor.as_f64().unwrap()).product();
    let duration = Seconds(number("duration_s").unwrap());
    let joules = (Watts(watts) * factor).energy(duration);
    let kwh = joules.to_kwh();
    let mut found = figures([
        ("energy_j", joules.value()),
        ("energy_wh", kwh.value() * 1000.0),
        ("energy_kwh", kwh.value()),
        ("power_w", joules.mean_power(duration).value()),
    ]);
    if let Some(intensity) = number("intensity_gco2e_per_kwh") {
        let emissions = kwh.emissions(GramsPerKwh(intensity));
        found.insert("emissions_gco2e".to_owned(), Value::from(emissions.value()));
    }
    found
}

fn samples(input: &Value) -> Vec<(i64, f64)> {
    let pairs: Vec<(f64, f64)> = serde_json::from_value(input["samples"].clone()).unwrap();
    pairs.into_iter().map(|(second, value)| ((second * 1000.0).round() as i64, value)).collect()
}

fn of_tally(samples: &[(i64, f64)], tally: &Tally) -> Figures {
    let span_s = (samples[samples.len() - 1].0 - samples[0].0) as f64 / 1000.0;
    let mut found = figures([
        ("energy_j", tally.increments_j),
        ("power_w", tally.increments_j / span_s),
        ("wraps", tally.wraps as f64),
        ("resets", tally.resets as f64),
        ("dropped", tally.dropped() as f64),
        ("missing_s", tally.missing_s.values().sum()),
    ]);
    if let Some(reason) = tally.missing_s.keys().next().map(|why| why.as_str()) {
        found.insert("reason".to_owned(), Value::from(reason));
    }
    found
}

fn counter_case(input: &Value) -> Figures {
    let samples = samples(input);
    let wrap_j: Vec<f64> = serde_json::from_value(input["wrap_j"].clone()).unwrap();
    let boot_s: Vec<f64> = serde_json::from_value(input["boot_s"].clone()).unwrap();
    // As node_exporter tells it: the boot time at each sample.
    let boots = Boots::from_samples(samples.iter().map(|(at_ms, _)| {
        let at_s = *at_ms as f64 / 1000.0;
        let booted_s = boot_s.iter().copied().filter(|boot| *boot <= at_s).fold(-1e6, f64::max);
        (*at_ms, booted_s)
    }));
    let gaps = GapLimits::from_times(samples.iter().map(|(at_ms, _)| *at_ms));
    let rules = CounterRules {
        wrap_j: &wrap_j,
        resets: input["resets"].as_bool().unwrap(),
        max_power_w: input["max_power_w"].as_f64().unwrap(),
        boots: &boots,
        gaps: &gaps,
    };
    let mut tally = Tally::default();
    counter::integrate(&samples, &[], &rules, &mut tally);
    of_tally(&samples, &tally)
}

fn gauge_case(input: &Value) -> Figures {
    let samples = samples(input);
    let gaps = GapLimits::from_times(samples.iter().map(|(at_ms, _)| *at_ms));
    let most = input["max_power_w"].as_f64().unwrap();
    let mut tally = Tally::default();
    gauge::integrate(&samples, &[], most, &gaps, (&Holders::default(), EdgeRule::Power), &mut tally);
    of_tally(&samples, &tally)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    start: String,
    length_s: i64,
    step_s: usize,
    series: Vec<SeriesInput>,
    jobs_csv: Option<String>,
    config_toml: Option<String>,
    intensity_csv: Option<String>,
    #[serde(default)]
    wattledger_options: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesInput {
    series: String,
    value: f64,
    slope_per_s: f64,
    #[serde(default)]
    but: BTreeMap<i64, f64>,
}

/// Through the whole program: convert, then report.
fn report(id: &str, input: &Value) -> Figures {
    let input: Input = serde_json::from_value(input.clone()).unwrap();
    let start_s = chrono::DateTime::parse_from_rfc3339(&input.start).unwrap().timestamp();
    let mut text = String::new();
    for series in &input.series {
        for second in (0..=input.length_s).step_by(input.step_s) {
            let usual = series.value + series.slope_per_s * second as f64;
            let value = series.but.get(&second).copied().unwrap_or(usual);
            writeln!(text, "{} {value:e} {}.000", series.series, start_s + second).unwrap();
        }
    }
    text.push_str("# EOF\n");
    let directory = support::fresh(&format!("conformance-{id}"));
    let path = |name: &str| directory.join(name);
    support::convert(&directory, &text);
    std::fs::write(path("wattledger.toml"), input.config_toml.unwrap_or_default()).unwrap();
    let end = chrono::DateTime::from_timestamp(start_s + input.length_s, 0).unwrap();
    let mut report = support::wattledger();
    report.args(["report", "--no-charts", "--from", &input.start, "--to"]).arg(end.to_rfc3339());
    report.arg("--snapshot").arg(path("blocks")).arg("--config").arg(path("wattledger.toml"));
    if let Some(jobs) = &input.jobs_csv {
        std::fs::write(path("jobs.csv"), jobs).unwrap();
        report.arg("--jobs").arg(path("jobs.csv"));
    }
    if let Some(intensity) = &input.intensity_csv {
        std::fs::write(path("intensity.csv"), intensity).unwrap();
        report.args(["--zone", "DE", "--intensity"]).arg(path("intensity.csv"));
    }
    report.args(&input.wattledger_options).arg("--out").arg(path("report")).assert().success();

    let mut found = Figures::new();
    let mut add = |name: String, value: f64| {
        found.insert(name, Value::from(value));
    };
    let runs = path("report").join("runs.csv");
    let instant = |row: &Row, column: &str| {
        chrono::DateTime::parse_from_rfc3339(row.text(column)).unwrap().timestamp() as f64
    };
    for row in table(&runs) {
        let seconds = instant(&row, "end") - instant(&row, "start");
        let id = row.text("run_id");
        add(format!("run:{id}:power_w"), row.joules("energy_kwh") / seconds);
        add(format!("run:{id}:energy_kwh"), row.joules("energy_kwh") / 3.6e6);
        if input.intensity_csv.is_some() {
            for column in ["intensity_gco2e_per_kwh", "emissions_gco2e"] {
                add(format!("run:{id}:{column}"), row.number(column));
            }
        }
    }
    for row in table(&path("report").join("by_node.csv")) {
        let node = row.text("node");
        for component in ["cpu", "dram", "gpu", "other", "unattributed"] {
            let watts = row.joules(&format!("{component}_energy_kwh")) / input.length_s as f64;
            add(format!("node:{node}:{component}_power_w"), watts);
        }
    }
    found
}

#[test]
fn every_case_gives_what_its_source_says() {
    let text = include_str!("conformance/cases.json");
    let suite: Suite = serde_json::from_str(text).unwrap();
    assert_eq!(suite.format, "wattledger-conformance/1");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for case in &suite.cases {
        let found = match case.kind.as_str() {
            "device-power" => device_power(&case.input),
            "memory-power" => memory(&case.input),
            "energy" => energy(&case.input),
            "embodied" => embodied(&case.input),
            "equivalent" => equivalent(&case.input),
            "counter" => counter_case(&case.input),
            "gauge" => gauge_case(&case.input),
            "report" => report(&case.id, &case.input),
            other => panic!("{}: kind `{other}`", case.id),
        };
        assert!(
            !case.expected.is_empty() && !case.source.is_empty() && !case.title.is_empty(),
            "{}",
            case.id
        );
        for (name, expected) in &case.expected {
            compared += 1;
            let Some(got) = found.get(name) else {
                wrong.push(format!("{} {name}: nothing found, only {:?}", case.id, found.keys()));
                continue;
            };
            let agrees = match (got.as_f64(), expected.as_f64()) {
                (Some(got), Some(expected)) => {
                    (got - expected).abs() <= case.relative_tolerance * expected.abs()
                }
                _ => got == expected,
            };
            if !agrees {
                wrong.push(format!("{} {name}: {got} instead of {expected} ({})", case.id, case.title));
            }
        }
    }
    println!("{} cases, {compared} figures", suite.cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(suite.cases.len() > 40);
}
