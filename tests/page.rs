//! `report.html` in a real browser: it sorts, searches and turns pages, does nothing else, and fits every window.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod browser;
mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

use browser::Browser;
use serde_json::{Value, json};
use support::Bench;

const CONFIG: &str =
    "[[hardware]]\ncpus = 64\ncpu_tdp_w = 200\nsockets = 2\nmemory = \"256G\"\ngpus = 4\ngpu_tdp_w = 400\n";

/// What people may call their jobs.
fn hostile() -> Vec<String> {
    vec![
        "<script>alert(1)</script>".to_owned(),
        "\"><img src=x onerror=alert(2)>".to_owned(),
        "</script><script>alert(3)</script>".to_owned(),
        "<!--<script>".to_owned(),
        "'\"`${alert(4)}".to_owned(),
        "javascript:alert(5)".to_owned(),
        "<svg/onload=alert(6)>".to_owned(),
        "<style>*{display:none}</style>".to_owned(),
        "{{constructor.constructor('alert(7)')()}}".to_owned(),
        "&lt;b&gt;&#60;i&#62;".to_owned(),
        "\u{202e}gnp.exe".to_owned(),
        "דגם עברי".to_owned(),
        "模型训练".to_owned(),
        "👩\u{200d}🔬🧪".to_owned(),
        "=HYPERLINK(\"http://127.0.0.1:1/\")".to_owned(),
        "long".repeat(2_500),
        "long words ".repeat(900),
        "\u{1b}[31mred".to_owned(),
    ]
}

/// A report from a job log alone of so many runs, the first ones with hostile names; run `i` has `i + 1` minutes of 64 cores.
fn report(bench: &Bench, runs: usize, flags: &[&str]) -> PathBuf {
    let hostile = hostile();
    let mut log = "run_id,start,end,nodes,cpus,gpus,user,account,state,name\n".to_owned();
    for run in 0..runs {
        let name = match hostile.get(run) {
            Some(name) if runs > 1 => name.replace('"', "\"\""),
            _ => format!("train_{run}"),
        };
        let (start_s, length_s) = (1_780_000_000 + 60 * run, 60 * (run % 1000 + 1));
        writeln!(
            log,
            "{run},{start_s},{},n{:03},16,1,\"user{:02}<b>\",proj{},COMPLETED,\"{name}\"",
            start_s + length_s,
            run % 200,
            run % 40,
            run % 7
        )
        .unwrap();
    }
    bench.write("runs.csv", &log);
    bench.write("site.toml", CONFIG);
    let arguments = ["report", "--jobs", "runs.csv", "--config", "site.toml", "--zone", "DE", "--out", "out"];
    // Where there is no run there must be series.
    let snapshot = support::fixture("snapshot");
    let series = ["--snapshot", snapshot.to_str().unwrap()];
    let series = if runs == 0 { &series[..] } else { &[] };
    let ended = bench.run(&[&arguments[..], series, flags].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    bench.path("out/report.html")
}

/// Where pictures and prints of the page are kept to be looked at.
fn keep(name: &str, bytes: &[u8]) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), bytes).unwrap();
}

/// The texts of a column of a table as it stands.
fn column(page: &mut Browser, table: &str, name: &str) -> Vec<String> {
    let found = page.eval(&format!(
        "(() => {{ const table = document.getElementById('{table}-table');
            const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.dataset.column === '{name}');
            return [...table.tBodies[0].rows].map((row) => row.cells[at].dataset.value ?? row.cells[at].textContent); }})()"
    ));
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn numbers(page: &mut Browser, table: &str, name: &str) -> Vec<f64> {
    column(page, table, name).iter().map(|text| text.parse().unwrap()).collect()
}

fn press(page: &mut Browser, selector: &str) {
    page.eval(&format!("document.querySelector('{selector}').click()"));
}

fn count(page: &mut Browser, table: &str) -> String {
    let text = page.eval(&format!("document.querySelector('[data-count={table}]').textContent"));
    text.as_str().unwrap().replace('\u{202f}', " ")
}

/// Types words and waits for what they find.
fn search(page: &mut Browser, words: &str) {
    page.eval(&format!(
        "(() => {{ const filter = document.getElementById('runs-filter'); filter.value = {};
            filter.dispatchEvent(new Event('input')); return new Promise((done) => setTimeout(done, 400)); }})()",
        json!(words)
    ));
}

/// By how many pixels the page is wider than its window.
fn overflow(page: &mut Browser) -> i64 {
    let wide = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    wide.as_i64().unwrap()
}

/// Every window, light and dark: nothing is wider than the window but tables in their own boxes.
fn fits_every_window(page: &mut Browser, name: &str) {
    for width in [360, 768, 1440] {
        for is_dark in [false, true] {
            page.resize(width, 900, is_dark);
            assert_eq!(overflow(page), 0, "{name} at {width} px");
            let scheme = if is_dark { "dark" } else { "light" };
            let picture = page.picture(false);
            keep(&format!("{name}-{width}-{scheme}.png"), &picture);
        }
    }
    page.resize(1440, 900, false);
}

/// What screen readers and keyboards need.
fn is_accessible(page: &mut Browser) {
    let problems = page.eval(
        "(() => {
            const problems = [];
            const all = (selector) => [...document.querySelectorAll(selector)];
            if (document.documentElement.lang !== 'en') problems.push('no language');
            for (const landmark of ['header', 'nav', 'main', 'footer']) {
                if (all(`body > ${landmark}`).length !== 1) problems.push(landmark);
            }
            let level = 0;
            for (const heading of all('h1,h2,h3,h4')) {
                const next = Number(heading.tagName[1]);
                if (next > level + 1) problems.push(`${heading.textContent} skips a level`);
                level = next;
            }
            if (all('h1').length !== 1) problems.push('not one h1');
            for (const table of all('table')) {
                if (!table.caption || !table.caption.textContent) problems.push('a table without caption');
                for (const cell of table.querySelectorAll('th')) if (!cell.scope) problems.push('th without scope');
            }
            for (const image of all('img')) if (image.alt.length < 20) problems.push('img without alt');
            for (const input of all('input')) if (input.labels.length !== 1) problems.push('input without label');
            for (const button of all('button')) if (!button.textContent.trim()) problems.push('button without name');
            const ids = all('[id]').map((element) => element.id);
            for (const id of ids) if (ids.filter((other) => other === id).length > 1) problems.push(`id ${id} twice`);
            for (const link of all('a[href^=\"#\"]')) {
                if (!document.getElementById(link.getAttribute('href').slice(1))) problems.push(link.href);
            }
            for (const box of all('.scroll')) if (box.tabIndex !== 0) problems.push('a box that keys cannot reach');
            return problems;
        })()",
    );
    assert_eq!(problems, json!([]));
}

/// The least contrast of any text with what lies behind it, by WCAG 2.
fn least_contrast(page: &mut Browser) -> f64 {
    let found = page.eval(
        "(() => {
            const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            const rgba = (colour) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            const light = (colour) => {
                const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
                    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const behind = (element) => {
                for (let at = element; at; at = at.parentElement) {
                    const colour = rgba(getComputedStyle(at).backgroundColor);
                    if (colour[3] > 0) return colour;
                }
                return [255, 255, 255, 255];
            };
            let least = 21;
            for (const element of document.querySelectorAll('body *')) {
                const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
                if (!hasText || element.disabled || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue;
                const [a, b] = [rgba(getComputedStyle(element).color), behind(element)].map(light);
                least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
            }
            return least;
        })()",
    );
    found.as_f64().unwrap()
}

#[test]
#[ignore = "needs Debian's chromium"]
fn tables_sort_search_and_turn_pages() {
    let bench = Bench::new();
    let path = report(&bench, 20_000, &[]);
    let mut page = Browser::start();
    page.resize(1440, 900, false);
    page.open(&path);

    // As it stands there without the script: the runs with most energy.
    let all = bench.table("out/runs.csv");
    assert_eq!(all.len(), 20_000);
    let mut energies: Vec<f64> = all.iter().map(|row| support::number(row, "energy_kwh")).collect();
    energies.sort_by(|left, right| right.total_cmp(left));
    assert_eq!(count(&mut page, "runs"), "Rows 1 to 50 of 20 000");
    assert_eq!(numbers(&mut page, "runs", "energy_kwh"), energies[..50]);

    // Pages go on where the last one ended, and come back.
    press(&mut page, "[data-controls=runs] [data-role=next]");
    assert_eq!(count(&mut page, "runs"), "Rows 51 to 100 of 20 000");
    assert_eq!(numbers(&mut page, "runs", "energy_kwh"), energies[50..100]);
    press(&mut page, "[data-controls=runs] [data-role=previous]");
    assert_eq!(numbers(&mut page, "runs", "energy_kwh"), energies[..50]);
    assert_eq!(
        page.eval("document.querySelector('[data-controls=runs] [data-role=previous]').disabled"),
        true
    );

    // By energy the other way, then by id, as numbers, from the least.
    press(&mut page, "#runs-table [data-column=energy_kwh] button");
    energies.reverse();
    assert_eq!(numbers(&mut page, "runs", "energy_kwh"), energies[..50]);
    let sort = "document.querySelector('#runs-table [aria-sort]')";
    assert_eq!(page.eval(&format!("{sort}.ariaSort + {sort}.dataset.column")), "ascendingenergy_kwh");
    press(&mut page, "#runs-table [data-column=run_id] button");
    let ids = column(&mut page, "runs", "run_id");
    assert_eq!(ids, (0..50).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(page.eval("document.querySelectorAll('#runs-table [aria-sort]').length"), 1);
    assert_eq!(page.eval("document.activeElement.textContent"), "run id");

    // Words that one row has all of, in any column and case.
    search(&mut page, "USER07 proj3");
    let found: Vec<String> =
        (0..20_000).filter(|run| run % 40 == 7 && run % 7 == 3).map(|run: usize| run.to_string()).collect();
    assert_eq!(
        count(&mut page, "runs"),
        format!("Rows 1 to 50 of {} that match, 20 000 in all", found.len())
    );
    assert_eq!(column(&mut page, "runs", "run_id"), found[..50]);
    search(&mut page, "train_19999");
    assert_eq!(column(&mut page, "runs", "run_id"), ["19999"]);
    search(&mut page, "no such run");
    assert_eq!(count(&mut page, "runs"), "No row has all of these words");
    assert_eq!(column(&mut page, "runs", "run_id"), Vec::<String>::new());
    search(&mut page, "");
    assert_eq!(count(&mut page, "runs"), "Rows 1 to 50 of 20 000");

    // All columns of the CSV, with its figures.
    press(&mut page, "[data-controls=runs] [data-role=columns]");
    let heads = page
        .eval("[...document.querySelectorAll('#runs-table thead th')].map((cell) => cell.dataset.column)");
    let header = csv::Reader::from_path(bench.path("out/runs.csv")).unwrap().headers().unwrap().clone();
    assert_eq!(heads, json!(header.iter().collect::<Vec<_>>()));
    let by_id = |id: &str| all.iter().find(|row| row["run_id"] == id).unwrap();
    for name in ["cpu_energy_kwh_low", "emissions_gco2e_high", "tree_months", "peak_power_w"] {
        let shown = numbers(&mut page, "runs", name);
        let expected: Vec<f64> = (0..50).map(|id| support::number(by_id(&id.to_string()), name)).collect();
        assert_eq!(shown, expected, "{name}");
    }
    press(&mut page, "[data-controls=runs] [data-role=columns]");

    // The script writes numbers as the program does.
    page.open(&path);
    let before = page.eval("document.querySelector('#runs-table tbody').innerHTML");
    press(&mut page, "#runs-table [data-column=energy_kwh] button");
    press(&mut page, "#runs-table [data-column=energy_kwh] button");
    assert_eq!(page.eval("document.querySelector('#runs-table tbody').innerHTML"), before);

    let began = std::time::Instant::now();
    press(&mut page, "#runs-table [data-column=name] button");
    assert!(began.elapsed().as_secs_f64() < 5.0, "sorting takes {:?}", began.elapsed());
    assert_eq!(page.misdeeds, Vec::<String>::new());
    fits_every_window(&mut page, "many");
    keep("many.pdf", &page.pdf());
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 20_000_000, "{bytes} bytes");
}

#[test]
#[ignore = "needs Debian's chromium"]
fn hostile_names_are_words() {
    let bench = Bench::new();
    let names = hostile();
    let path = report(&bench, names.len(), &[]);
    let mut page = Browser::start();
    page.resize(1440, 900, false);
    page.open(&path);
    is_accessible(&mut page);
    let scripts = "document.scripts.length + ' ' + document.querySelectorAll('[onerror],[onload],svg[onload],iframe,object').length";
    // The eight tables' data and the one script; a table without rows has no data.
    let with_script = page.eval(scripts);
    let tables = page.eval("document.querySelectorAll('table[data-sheet]').length").as_u64().unwrap();
    assert_eq!(with_script, format!("{} 0", tables + 1));
    press(&mut page, "#runs-table [data-column=run_id] button");
    let shown = column(&mut page, "runs", "name");
    assert_eq!(shown.len(), names.len());
    for (name, shown) in names.iter().zip(&shown) {
        let harmless = name.replace('\u{202e}', "").replace('\u{1b}', "\u{fffd}");
        match harmless.chars().count() {
            0..=200 => assert_eq!(*shown, harmless),
            _ => assert!(shown.ends_with('…') && shown.chars().count() <= 300, "{shown}"),
        }
    }
    press(&mut page, "[data-controls=runs] [data-role=columns]");
    assert_eq!(page.eval(scripts), with_script);
    assert_eq!(page.misdeeds, Vec::<String>::new());
    for is_dark in [false, true] {
        page.resize(1440, 900, is_dark);
        let least = least_contrast(&mut page);
        assert!(least >= 4.5, "dark {is_dark}: contrast {least}");
    }
    fits_every_window(&mut page, "hostile");
    keep("hostile.pdf", &page.pdf());

    // The policy is in force: what is put in from outside does not run.
    page.eval("(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script); })()");
    assert_eq!(page.eval("window.ran === undefined"), true);
    page.ask("Runtime.evaluate", json!({"expression": "1"}));
    assert!(
        page.misdeeds.iter().any(|misdeed| misdeed.contains("Content Security Policy")),
        "{:?}",
        page.misdeeds
    );

    // Without any script the rows are there.
    page.misdeeds.clear();
    page.without_script(true);
    page.open(&path);
    page.without_script(false);
    let rows = page.eval("document.querySelectorAll('#runs-table tbody tr').length");
    assert_eq!(rows, names.len());
    assert_eq!(page.eval("document.querySelectorAll('thead button').length"), 0);
    assert_eq!(page.misdeeds, Vec::<String>::new());
}

#[test]
#[ignore = "needs Debian's chromium"]
fn one_run_and_none() {
    let bench = Bench::new();
    let mut page = Browser::start();
    for (name, runs) in [("one", 1), ("none", 0)] {
        let path = report(&bench, runs, &[]);
        page.resize(1440, 900, false);
        page.open(&path);
        is_accessible(&mut page);
        assert_eq!(page.eval("document.querySelectorAll('figure').length"), 11);
        let rows = page.eval("document.querySelectorAll('#runs-table tbody tr').length");
        assert_eq!(rows, runs);
        fits_every_window(&mut page, name);
        let pdf = page.pdf();
        assert!(pdf.starts_with(b"%PDF-"));
        keep(&format!("{name}.pdf"), &pdf);
    }
    assert_eq!(page.misdeeds, Vec::<String>::new());
    let path = report(&bench, 1, &["--no-charts"]);
    page.open(&path);
    assert_eq!(page.eval("document.querySelectorAll('figure').length"), 0);
    is_accessible(&mut page);
}

/// The button goes before what the system asks for.
#[test]
#[ignore = "needs Debian's chromium"]
fn light_and_dark() {
    let bench = Bench::new();
    let path = report(&bench, 3, &["--no-charts"]);
    let mut page = Browser::start();
    let paper = "getComputedStyle(document.body).backgroundColor";
    let mut seen: Vec<Value> = Vec::new();
    for is_dark in [false, true] {
        page.resize(800, 600, is_dark);
        page.open(&path);
        seen.push(page.eval(paper));
        press(&mut page, "#theme");
        seen.push(page.eval(paper));
    }
    let [light, dark] = ["rgb(255, 255, 255)", "rgb(20, 24, 29)"];
    assert_eq!(seen, [light, dark, dark, light]);
    assert_eq!(page.misdeeds, Vec::<String>::new());
}
