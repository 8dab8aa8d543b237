//! The charts of a whole report: which files there are, and that their words hold the figures of the tables.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "tests may fail loudly"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use support::{Bench, Row, table};

const NAMES: [&str; 11] = [
    "calendar",
    "coverage",
    "cpu_and_gpu",
    "emissions_by_account",
    "emissions_by_day",
    "emissions_by_hour",
    "emissions_by_user",
    "energy_by_node",
    "power",
    "run_efficiency",
    "runs_by_energy",
];

/// A simulated cluster, and its report in `light` (SVG) and `dark` (both).
fn bench() -> &'static Bench {
    static MADE: OnceLock<Bench> = OnceLock::new();
    MADE.get_or_init(|| {
        let bench = Bench::new();
        let simulate =
            ["simulate", "--nodes", "3", "--gpus", "1", "--cpus", "2", "--days", "1.5", "--out", "sim"];
        assert_eq!(bench.run(&simulate).code, 0);
        for (out, flags) in [
            ("light", &["--chart-format", "svg"][..]),
            ("dark", &["--chart-format", "both", "--theme", "dark"]),
        ] {
            let inputs = ["report", "--snapshot", "sim/snapshot", "--jobs", "sim/sacct.txt", "--zone", "DE"];
            let more = ["--config", "sim/wattledger.toml", "--out", out];
            let ended = bench.run(&[&inputs[..], &more, flags].concat());
            assert_eq!(ended.code, 0, "{}", ended.stderr);
        }
        bench
    })
}

fn svg(out: &str, name: &str) -> String {
    std::fs::read_to_string(bench().path(&format!("{out}/{name}.svg"))).unwrap()
}

/// What an SVG says that it shows.
fn words(name: &str) -> String {
    let svg = svg("light", name);
    let description = svg.split("-desc\">").nth(1).unwrap();
    description.split("</desc>").next().unwrap().to_owned()
}

fn rows(name: &str) -> Vec<Row> {
    table(&bench().path(&format!("light/{name}.csv")))
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or(0.0)
}

/// The number before `unit` that follows `name` in words such as `GPU 3.20 kWh`.
fn figure(words: &str, name: &str, unit: &str) -> f64 {
    let (_, rest) = words.split_once(name).unwrap_or_else(|| panic!("no `{name}` in `{words}`"));
    let (figure, _) =
        rest.split_once(unit).unwrap_or_else(|| panic!("no `{unit}` after `{name}` in `{words}`"));
    figure.trim().replace(',', "").parse().unwrap_or_else(|_| panic!("`{figure}` in `{words}`"))
}

/// Three digits are written.
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 0.0051 * expected, "{found} for {expected}");
}

#[test]
fn each_chart_is_there_in_the_formats_and_the_theme_asked_for() {
    let stems = |out: &str, ending: &str| -> Vec<String> {
        let files = support::files(&bench().path(out));
        let names =
            files.keys().filter_map(|path| path.to_str().unwrap().strip_suffix(ending).map(str::to_owned));
        names.collect()
    };
    assert_eq!(stems("light", ".svg"), NAMES);
    assert!(stems("light", ".png").is_empty());
    assert_eq!(
        (stems("dark", ".svg"), stems("dark", ".png")),
        (stems("light", ".svg"), stems("light", ".svg"))
    );
    let mut ids = BTreeSet::new();
    for (out, paper) in [("light", "#FFFFFF"), ("dark", "#15191E")] {
        for name in NAMES {
            let svg = svg(out, name);
            assert!(
                svg.contains(&format!("height=\"{}\" fill=\"{paper}\"", svg.split('"').nth(5).unwrap())),
                "{svg}"
            );
            assert!(svg.contains("SIMULATED"), "{name} does not say that it is simulated");
            for id in svg.split(" id=\"").skip(1) {
                assert!(
                    ids.insert(id.split('"').next().unwrap().to_owned()),
                    "{name}: an id for the second time"
                );
            }
        }
    }
    assert_eq!(ids.len(), NAMES.len() * 4);
    assert!(ids.contains("power-light-title") && ids.contains("power-dark-desc"), "{ids:?}");
}

#[test]
fn the_words_of_charts_by_name_hold_the_figures_of_the_tables() {
    let users = rows("by_user");
    let said = words("emissions_by_user");
    let top = users
        .iter()
        .filter(|row| row["beneficiary"] == "run")
        .max_by(|left, right| number(left, "emissions_gco2e").total_cmp(&number(right, "emissions_gco2e")))
        .unwrap();
    let (unit, grams) = if said.contains(" kgCO₂e") { ("kgCO₂e", 1000.0) } else { ("gCO₂e", 1.0) };
    assert_close(figure(&said, &format!(": {} ", top["user"]), unit), number(top, "emissions_gco2e") / grams);

    let runs = rows("runs");
    let said = words("runs_by_energy");
    let top = runs
        .iter()
        .max_by(|left, right| number(left, "energy_kwh").total_cmp(&number(right, "energy_kwh")))
        .unwrap();
    let name = format!(": {} · {} · {} ", top["run_id"], top["user"], top["name"]);
    let (unit, kwh) = if said.contains(" kWh") { ("kWh", 1.0) } else { ("Wh", 1e-3) };
    assert_close(figure(&said, &name, unit), number(top, "energy_kwh") / kwh);
    let with_energy = runs.iter().filter(|row| number(row, "energy_kwh") > 0.0).count();
    assert!(said.starts_with(&format!("Of {with_energy} runs those with most energy, ")), "{said}");

    let nodes = rows("by_node");
    let said = words("energy_by_node");
    // Three that compute, one to log in, one that stores.
    assert!(nodes.len() == 5 && said.starts_with("Energy of 5 nodes, used and idle, "), "{said}");
    for (kind, column) in [("runs", "run_energy_kwh"), (", idle", "idle_energy_kwh")] {
        assert_close(
            figure(&said, &format!("{kind} "), "kWh"),
            nodes.iter().map(|row| number(row, column)).sum(),
        );
    }
}

#[test]
fn the_words_of_charts_over_time_hold_the_figures_of_the_tables() {
    let hourly = rows("hourly");
    let (mut days, mut hours) = (BTreeMap::<&str, f64>::new(), BTreeMap::<&str, f64>::new());
    let mut energy = BTreeMap::<(&str, &str), f64>::new();
    for row in &hourly {
        let start = row["bucket_start"].as_str();
        *days.entry(&start[..10]).or_default() += number(row, "emissions_gco2e");
        *hours.entry(start).or_default() += number(row, "energy_j");
        *energy.entry((&row["component"], &row["beneficiary"])).or_default() += number(row, "energy_j");
    }
    assert_eq!(days.len(), 2);
    let most = days.values().copied().fold(0.0, f64::max);
    assert_close(figure(&words("emissions_by_day"), "at most ", "kgCO₂e on one day"), most / 1000.0);

    let said = words("calendar");
    let (at, most) = hours.iter().max_by(|left, right| left.1.total_cmp(right.1)).unwrap();
    let (unit, joules) = if said.contains(" kWh") { ("kWh", 3.6e6) } else { ("Wh", 3.6e3) };
    assert_close(figure(&said, &format!("from {at},"), unit), most / joules);

    let said = words("cpu_and_gpu");
    let reserved = rows("reserved");
    let total = reserved.iter().find(|row| row["group"] == "total").unwrap();
    for (column, name) in [("cpu_used", "CPU"), ("gpu_used", "GPU")] {
        let share = figure(&said, &format!(": {name} ").replace(": GPU", ", GPU"), "%");
        assert!((share - 100.0 * number(total, column)).abs() <= 0.51, "{said}");
    }

    let said = words("power");
    let whole: f64 = energy.values().sum();
    let seconds = 1.5 * 86_400.0;
    let parts = ["CPU", "memory", "GPU", "rest of the node"].map(|name| {
        let name = format!("{name} ");
        if said.contains(&name) { figure(&said, &name, "kW") } else { 0.0 }
    });
    assert!((parts.iter().sum::<f64>() * 1000.0 * seconds / whole - 1.0).abs() < 0.01, "{said} {whole}");
}

#[test]
fn the_words_on_efficiency_and_coverage_hold_the_figures_of_the_tables() {
    let runs = rows("runs");
    let said = words("run_efficiency");
    // Runs with GPUs have most of the energy of this cluster.
    let mut watts: Vec<f64> = runs
        .iter()
        .filter(|row| number(row, "gpus") > 0.0 && number(row, "gpu_energy_kwh") > 0.0)
        .map(|row| number(row, "gpu_energy_kwh") * 3.6e6 / number(row, "in_window_s") / number(row, "gpus"))
        .collect();
    watts.sort_by(f64::total_cmp);
    assert!(said.contains(&format!("mean power of each GPU held, of {} of ", watts.len())), "{said}");
    assert_close(figure(&said, "half of the runs have ", "W or more"), watts[watts.len() / 2]);

    let (mut known, mut expected) = (BTreeMap::<String, f64>::new(), BTreeMap::<String, f64>::new());
    for row in rows("hourly") {
        *known.entry(row["node"].clone()).or_default() +=
            number(&row, "covered_s") + number(&row, "interpolated_s");
        *expected.entry(row["node"].clone()).or_default() += number(&row, "expected_s");
    }
    let said = words("coverage");
    let whole = 100.0 * known.values().sum::<f64>() / expected.values().sum::<f64>();
    let least =
        known.iter().map(|(node, known)| 100.0 * known / expected[node]).fold(f64::INFINITY, f64::min);
    let rest = said.rsplit_once("Z: ").unwrap().1;
    let found: Vec<f64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!((found[0] - whole).abs() <= 0.51 && (found[1] - least).abs() <= 0.51, "{said} {whole} {least}");
}

#[test]
fn other_commands_draw_in_the_same_ways() {
    let bench = bench();
    let drawn = |out: &str| -> Vec<String> {
        let files = support::files(&bench.path(out));
        let names = files.into_keys().map(|path| path.display().to_string());
        names.filter(|name| name.ends_with("png") || name.ends_with("svg")).collect()
    };
    let run = |arguments: &[&str]| {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    };
    let inputs = ["--snapshot", "sim/snapshot", "--jobs", "sim/sacct.txt", "--config", "sim/wattledger.toml"];
    run(&[&["compare"], &inputs[..], &["--chart-format", "svg", "--theme", "dark", "--out", "compare"]]
        .concat());
    assert_eq!(drawn("compare"), ["compare.svg"]);
    let whatif = ["whatif", "--zone", "DE", "--zones", "FR", "--shift", "6h", "--out", "whatif"];
    run(&[&whatif[..], &inputs, &["--chart-format", "both"]].concat());
    assert_eq!(
        drawn("whatif"),
        ["whatif_shift.png", "whatif_shift.svg", "whatif_zones.png", "whatif_zones.svg"]
    );
    let show = ["intensity", "show", "--zone", "DE", "--from", "2026-11-01", "--to", "2026-11-03"];
    for (flags, expected) in [
        (&["--chart", "a/DE.svg"][..], &["DE.svg"][..]),
        (&["--chart", "b/DE.chart"], &[]),
        (&["--chart", "c/DE.png", "--chart-format", "both"], &["DE.png", "DE.svg"]),
    ] {
        run(&[&show[..], flags].concat());
        assert_eq!(drawn(&flags[1][..1]), expected);
    }
    let is_png = std::fs::read(bench.path("b/DE.chart")).unwrap().starts_with(b"\x89PNG");
    assert!(is_png && std::fs::read(bench.path("a/DE.svg")).unwrap().starts_with(b"<svg"));
}

/// 25 users with a run each of an hour on 16 CPUs, of which the run of user 3 kept a quarter busy and all others half; the name of user 0
/// is markup.
fn log_of_25() -> String {
    let mut log = "JobID|User|Account|State|Start|End|NodeList|AllocCPUS|AllocTRES|TotalCPU\n".to_owned();
    for user in 0..25 {
        let name = if user == 0 { "<b>&\"x\u{202e}".to_owned() } else { format!("u{user:02}") };
        let (day, hour) = (16 + user / 24, user % 24);
        let busy = if user == 3 { "04:00:00" } else { "08:00:00" };
        log.push_str(&format!(
            "{user}|{name}|a{}|COMPLETED|2026-11-{day}T{hour:02}:00:00|2026-11-{day}T{hour:02}:59:59|n1|16|cpu=16,mem=64G|{busy}\n",
            user % 3
        ));
    }
    log
}

#[test]
fn of_many_users_and_runs_the_first_are_named_and_the_others_summed() {
    let bench = Bench::new();
    bench.write("sacct.txt", &log_of_25());
    bench.write(
        "site.toml",
        "[[hardware]]\ncpu_tdp_w = 100\nsockets = 2\ncpus = 16\nmemory = \"128G\"\ngpus = 0\n",
    );
    let inputs = ["report", "--jobs", "sacct.txt", "--config", "site.toml", "--zone", "DE"];
    let ended = bench.run(&[&inputs[..], &["--chart-format", "svg", "--out", "out"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let svg = |name: &str| std::fs::read_to_string(bench.path(&format!("out/{name}.svg"))).unwrap();
    let by_user = svg("emissions_by_user");
    assert!(by_user.contains(">10 others</text>") && by_user.contains(", 25 in all: "), "{by_user}");
    assert!(svg("runs_by_energy").contains("· 20 of 25 runs, with 8"), "{}", svg("runs_by_energy"));
    let efficiency = svg("run_efficiency");
    assert!(efficiency.contains("Runs by energy and CPU efficiency"), "{efficiency}");
    assert!(efficiency.contains("of 25 of 25 runs; half of the runs have 50.0 % or more"), "{efficiency}");
    let all: String = NAMES.iter().map(|name| svg(name)).collect();
    assert!(all.contains("&lt;b&gt;&amp;&quot;x") && !all.contains("<b>") && !all.contains('\u{202e}'));
    let rings = svg("cpu_and_gpu");
    assert!(
        rings.contains(">CPU</text>") && !rings.contains(">GPU</text>"),
        "a ring of GPUs that there are none of"
    );
}

#[test]
fn a_report_without_energy_has_charts_that_say_so() {
    let bench = Bench::new();
    bench.write("runs.csv", "run_id,start,end,nodes\na,2026-11-16T00:00:00Z,2026-11-16T01:00:00Z,n1\n");
    // Nothing is known of the node, so nothing is modelled.
    let inputs = ["report", "--jobs", "runs.csv", "--zone", "DE", "--chart-format", "both", "--out", "out"];
    let ended = bench.run(&inputs);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for name in NAMES {
        let svg = std::fs::read_to_string(bench.path(&format!("out/{name}.svg"))).unwrap();
        let said = match name {
            "emissions_by_user" => ">(no user)</text>",
            "emissions_by_account" => ">(no account)</text>",
            "coverage" => ">not seen</text>",
            "emissions_by_day" | "emissions_by_hour" | "power" => ">All values are zero</text>",
            _ => ">No data",
        };
        assert!(svg.contains(said), "{name}: {svg}");
        assert!(bench.path(&format!("out/{name}.png")).exists());
    }
}
