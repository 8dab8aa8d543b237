//! The pages say what the program does: columns, keys, flags, metrics.
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

const PAGES: [&str; 19] = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/configuration.md",
    "docs/fetch.md",
    "docs/inputs.md",
    "docs/intensity.md",
    "docs/jobs.md",
    "docs/ledger.md",
    "docs/meters.md",
    "docs/models.md",
    "docs/outputs.md",
    "docs/pushdown.md",
    "docs/scale.md",
    "docs/statement.md",
    "docs/trust.md",
    "docs/uncertainty.md",
    "docs/whatif.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Runs the program in `directory`.
fn run(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wattledger")).current_dir(directory).args(args).output().unwrap()
}

fn help(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let output = run(&root(), &words);
    assert!(output.status.success(), "`{command} --help` failed");
    String::from_utf8(output.stdout).unwrap()
}

/// A tiny simulated cluster and its report, made once.
fn report() -> PathBuf {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let simulate =
            ["simulate", "--nodes", "2", "--gpus", "1", "--cpus", "2", "--days", "0.25", "--out", "cluster"];
        let simulated = run(directory.path(), &simulate);
        assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
        let report = [
            "report",
            "--snapshot",
            "cluster/snapshot",
            "--jobs",
            "cluster/sacct.txt",
            "--config",
            "cluster/wattledger.toml",
            "--zone",
            "DE",
            "--no-charts",
            "--out",
            "report",
        ];
        let reported = run(directory.path(), &report);
        assert!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
        directory
    });
    made.path().join("report")
}

/// A heading as links name it: letters and digits in lower case, a dash for each blank.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// The sections of a page by heading.
fn sections(text: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            heading = name.to_owned();
        } else {
            let section: &mut String = sections.entry(heading.clone()).or_default();
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// The names in back-ticks in the first cell of each row of the section's tables.
fn first_cells(section: &str) -> BTreeSet<String> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// The fenced blocks of a page in one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The long flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_column_of_every_table_is_described() {
    let sections = sections(&page("docs/outputs.md"));
    let common = first_cells(&sections["Columns of sums"]);
    assert!(common.contains("energy_kwh"), "{common:?}");
    let mut tables = 0;
    for entry in std::fs::read_dir(report()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let section =
            sections.get(&name).unwrap_or_else(|| panic!("docs/outputs.md has no section `{name}`"));
        if !name.ends_with(".csv") {
            continue;
        }
        tables += 1;
        let header = csv::Reader::from_path(&path).unwrap().headers().unwrap().clone();
        let columns: BTreeSet<String> = header.iter().map(str::to_owned).collect();
        let mut described = first_cells(section);
        if section.contains("columns of sums") {
            described.extend(common.iter().cloned());
        }
        assert_eq!(columns, described, "columns of {name} and what docs/outputs.md says of them");
    }
    assert_eq!(tables, 14);
}

#[test]
fn every_key_of_the_summary_is_described() {
    let described = first_cells(&sections(&page("docs/outputs.md"))["summary.json"]);
    let text = std::fs::read_to_string(report().join("summary.json")).unwrap();
    let summary: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(summary.into_keys().collect::<BTreeSet<_>>(), described);
}

#[test]
fn every_file_of_a_report_is_in_the_readme() {
    let readme = page("README.md");
    for entry in std::fs::read_dir(report()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("`{name}`")), "README.md does not name {name}");
    }
}

#[test]
fn commands_and_flags_that_the_pages_show_exist() {
    let mut shown = 0;
    for name in PAGES {
        let text = page(name);
        let inline = text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
        let lines = blocks(&text, "sh").into_iter().flat_map(str::lines).chain(inline);
        for line in lines.map(|line| line.split('#').next().unwrap()) {
            let rest = line.strip_prefix("wattledger ").or(line.strip_prefix("cargo run --release -- "));
            let Some(rest) = rest.filter(|rest| rest.starts_with(char::is_alphabetic)) else { continue };
            // Some commands have commands of their own.
            let depth = if rest.starts_with("intensity ") { 2 } else { 1 };
            let command = rest.split_whitespace().take(depth).collect::<Vec<_>>().join(" ");
            let known = flags(&help(&command));
            for flag in flags(rest) {
                assert!(
                    known.contains(&flag),
                    "{name} shows `{flag}` of `{command}`, which has no such flag"
                );
            }
            shown += 1;
        }
    }
    assert!(shown > 10, "{shown}");
}

/// What is printed of an example must be what can be typed: no line is so long that it is wrapped.
#[test]
fn examples_of_the_help_are_not_wrapped() {
    let mut waiting = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        let text = help(&command);
        let below = text
            .split("Commands:\n")
            .nth(1)
            .into_iter()
            .flat_map(|list| list.split("\n\n").next().unwrap().lines());
        for name in below
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
        {
            if name != "help" {
                waiting.push(format!("{command} {name}").trim().to_owned());
            }
        }
        let examples = text.split("Example").nth(1).unwrap_or_default();
        // Prose between them may be wrapped.
        for line in examples.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= 100, "`{command} --help`: {line}");
        }
        seen += usize::from(!examples.is_empty());
    }
    assert!(seen > 15, "{seen} commands with examples");
}

/// A manual page shows examples as they are typed.
#[test]
fn manual_pages_have_the_examples_of_the_help() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["man", "--out", "pages"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(directory.path().join("pages/wattledger-intensity-show.1")).unwrap();
    let examples = page.split(".SH EXAMPLES\n.nf\n").nth(1).unwrap();
    assert!(
        examples.contains("\n  wattledger intensity show \\-\\-zone DE \\-\\-from 2026\\-10\\-01"),
        "{examples}"
    );
    assert!(examples.contains(" \\e\n"), "{examples}");
}

#[test]
fn every_flag_of_report_is_in_the_configuration_page_and_the_other_way_round() {
    let section = &sections(&page("docs/configuration.md"))["Flags and keys"];
    let mut known = flags(&help("report"));
    known.remove("--help");
    assert_eq!(flags(section), known);
}

#[test]
fn the_example_configuration_has_every_key_and_no_other() {
    let text = page("docs/configuration.md");
    let example = blocks(&text, "toml")[0];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wattledger.toml");
    std::fs::write(&path, example).unwrap();
    wattledger::config::ConfigFile::read(&path).unwrap();

    let parsed: toml::Table = example.parse().unwrap();
    for (section, written) in
        [("site", "[site]"), ("scheduler", "[scheduler]"), ("power", "[power]"), ("hardware", "[[hardware]]")]
    {
        std::fs::write(&path, format!("{written}\nno_such_key = 1\n")).unwrap();
        let error = wattledger::config::ConfigFile::read(&path).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected one of ").or(error.split_once("expected ")).unwrap();
        let keys: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
        let table = match &parsed[section] {
            toml::Value::Array(tables) => tables[0].as_table().unwrap(),
            other => other.as_table().unwrap(),
        };
        assert_eq!(table.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys, "[{section}]");
    }
}

#[test]
fn every_metric_of_the_catalog_is_described_and_no_other() {
    let catalog: toml::Table = page("data/meters.toml").parse().unwrap();
    let metrics: BTreeSet<String> = ["meter", "fact"]
        .iter()
        .flat_map(|kind| catalog[*kind].as_array().unwrap())
        .map(|entry| entry["metric"].as_str().unwrap().to_owned())
        .collect();
    let section = &sections(&page("docs/meters.md"))["What is read"];
    let described: BTreeSet<String> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|word| metrics.contains(*word) || word.matches('_').count() > 1)
        .filter(|word| *word != "gpu_in_node_meter")
        .map(str::to_owned)
        .collect();
    assert_eq!(described, metrics);
}

#[test]
fn links_between_pages_lead_somewhere() {
    for name in PAGES {
        let text = page(name);
        let directory = root().join(name).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { root().join(name) } else { directory.join(file) };
            assert!(linked.is_file(), "{name} links to `{target}`");
            if !place.is_empty() {
                let text = std::fs::read_to_string(linked).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.into_iter().any(|heading| heading == place), "{name} links to `{target}`");
            }
        }
    }
}

#[test]
fn the_sacct_command_of_the_pages_is_the_one_of_the_hints() {
    let fields = wattledger::jobs::SACCT_COMMAND;
    for name in ["README.md", "docs/configuration.md"] {
        assert!(page(name).contains(fields), "{name} shows another sacct command");
    }
}
