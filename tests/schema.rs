//! `docs/summary.schema.json` describes `summary.json`: of every kind of report, and nothing beside it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{Bench, fixture};

const HOURS: &str = "\
# basis: direct
timestamp,gco2e_per_kwh
2026-11-16T00:00:00Z,300
2026-11-16T01:00:00Z,320
";
const CONTRACTS: &str = "\
kind,name,zone,start,end,energy_kwh,gco2e_per_kwh
contract,wind farm,DE,2026,,1,0
certificate,GO,DE,2026-11-01,2026-12-01,100,0
residual-mix,mix,DE,2026,,,700
";
const PURCHASES: &str = "date,what,embodied_kgco2e\n2026-11-16,server,1300\n";
const RUNS: &str = "\
run_id,start,end,nodes,cpus,user,name
1,2026-11-16T00:00:00Z,2026-11-16T02:00:00Z,n1,8,anna,train
2,2026-11-16T00:30:00Z,2026-11-16T01:00:00Z,n2,8,bert,=1+1
broken
";
const SITE: &str = "[[hardware]]\ncpus = 8\ncpu_tdp_w = 100\nmemory = \"32G\"\n";

fn schema() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/summary.schema.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn problems(summary: &Value) -> Vec<String> {
    let validator =
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap();
    validator.iter_errors(summary).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The summary of a report with these arguments.
fn summary(bench: &Bench, arguments: &[&str]) -> Value {
    let all = [&["report", "--no-charts", "--no-html", "--no-md", "--out", "out"], arguments].concat();
    let ended = bench.run(&all);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    bench.json("out/summary.json")
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("site.toml", SITE);
    bench.write("runs.csv", RUNS);
    bench.write("hours.csv", HOURS);
    bench.write("contracts.csv", CONTRACTS);
    bench.write("purchases.csv", PURCHASES);
    bench
}

#[test]
fn summaries_of_every_kind_are_valid() {
    let bench = bench();
    let simulate =
        ["simulate", "--nodes", "2", "--gpus", "1", "--cpus", "2", "--days", "0.25", "--out", "sim"];
    assert_eq!(bench.run(&simulate).code, 0);
    bench.write("bought.toml", &format!("[site]\npurchases = \"purchases.csv\"\n{SITE}"));
    bench.write("none.csv", "run_id,start,end,nodes\n");
    let (snapshot, log) = (fixture("snapshot"), fixture("sacct.txt"));
    let recorded = ["--snapshot", snapshot.to_str().unwrap()];
    let simulated =
        ["--snapshot", "sim/snapshot", "--jobs", "sim/sacct.txt", "--config", "sim/wattledger.toml"];
    let modelled = ["--jobs", "runs.csv", "--config", "bought.toml", "--zone", "DE"];
    let direct = [
        "--basis",
        "direct",
        "--intensity",
        "hours.csv",
        "--contracts",
        "contracts.csv",
        "--matching",
        "hourly",
    ];
    let second = ["--from", "2026-11-23T23:07:01Z", "--to", "2026-11-23T23:07:02Z"];
    let mut titles = BTreeSet::new();
    for (what, arguments) in [
        ("a simulated cluster", [&simulated[..], &["--zone", "DE", "--pue", "1.2"]].concat()),
        ("not priced", simulated.to_vec()),
        ("a recording", [&recorded[..], &["--jobs", log.to_str().unwrap()]].concat()),
        ("no job log", recorded.to_vec()),
        ("a job log alone", modelled.to_vec()),
        ("direct, with contracts", [&modelled[..], &direct].concat()),
        ("no run", [&recorded[..], &["--jobs", "none.csv"]].concat()),
        ("a second without samples", [&recorded[..], &["--jobs", "none.csv"], &second].concat()),
    ] {
        let summary = summary(&bench, &arguments);
        assert_eq!(problems(&summary), Vec::<String>::new(), "{what}");
        titles.insert(summary["title"].as_str().unwrap().to_owned());
        match what {
            "direct, with contracts" => {
                assert!(summary["statement"]["market"].is_object(), "{}", summary["statement"]);
                assert_eq!(summary["statement"]["scope_3_category_2_gco2e"], 1_300_000.0);
                assert_eq!(summary["left_out"].as_array().unwrap().len(), 1);
            }
            "a second without samples" => {
                assert_eq!((&summary["runs"], &summary["emissions_gco2e"]), (&json!(0), &Value::Null))
            }
            "a job log alone" => assert_eq!(summary["meters"]["missing_device_seconds_by_reason"], json!({})),
            _ => {}
        }
    }
    assert!(titles.len() > 1, "{titles:?}");
}

#[test]
fn what_is_wrong_is_found() {
    let bench = bench();
    let good = summary(&bench, &["--jobs", "runs.csv", "--config", "site.toml", "--zone", "DE"]);
    assert_eq!(problems(&good), Vec::<String>::new());
    type Change = fn(&mut Value);
    let changes: [Change; 9] = [
        |summary| summary["no_such_key"] = json!(1),
        |summary| summary["energy_kwh"] = json!("much"),
        |summary| summary["energy_kwh"] = Value::Null,
        |summary| summary["energy_kwh_by_component"]["fan"] = json!(1),
        |summary| summary["energy_share_by_method"]["none"] = json!(1.5),
        |summary| summary["energy_kwh_bounds_by_component"]["cpu"] = json!([1.0]),
        |summary| summary["inputs"][0]["sha256"] = json!("abc"),
        |summary| summary["window"]["start"] = json!("yesterday"),
        |summary| drop(summary.as_object_mut().unwrap().remove("balances")),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!problems(&bad).is_empty(), "change {at}");
    }
}

/// Each object says what all its keys are, that they are there, and that there is no other; each number says its unit.
#[test]
fn the_schema_is_complete() {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let mut open = vec![("".to_owned(), &schema)];
    let (mut objects, mut numbers) = (0, 0);
    while let Some((path, part)) = open.pop() {
        if let Some(properties) = part.get("properties") {
            objects += 1;
            assert_eq!(part["additionalProperties"], false, "{path}");
            let keys: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
            let required: BTreeSet<&str> =
                part["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            // What is empty where there is no job log or no meter.
            let may_be_empty = ["job_log", "counts", "by_beneficiary"].iter().any(|end| path.ends_with(end));
            assert!(required == keys || may_be_empty && required.is_empty(), "{path}");
        }
        let has_type = |name: &str| part["type"] == name || part["type"] == json!([name, "null"]);
        if has_type("number") && !path.contains("prefixItems") {
            numbers += 1;
            let said = part["description"].as_str().unwrap_or_default();
            let is_plain = ["share", "relative", "how many"].iter().any(|word| said.contains(word));
            assert!(said.contains(": ") || is_plain, "{path} has no unit: {said}");
        }
        let children = part.as_object().into_iter().flatten().flat_map(|(key, child)| match child {
            Value::Object(_) => vec![(format!("{path}/{key}"), child)],
            Value::Array(items) => items.iter().map(|item| (format!("{path}/{key}"), item)).collect(),
            _ => Vec::new(),
        });
        open.extend(children);
    }
    assert!(objects > 10 && numbers > 30, "{objects} objects, {numbers} numbers");
}
