//! A table of the report as the page holds it: its first rows in HTML, and all of them as data for the page's script.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use polars::prelude::{DataFrame, DataType, PolarsResult};
use serde_json::{Value, json};

use super::heading::{Heading, Kind};
use crate::figures::cell;
use crate::plain_text::cut;
use crate::report::tables::rounded;

/// Rows that are shown at once, and without the script at all.
const ROWS: usize = 50;
/// Letters of a text at most: the page is to stay a page, the CSV has all of it.
const TEXT_COLUMNS: usize = 300;
/// Rows from which on there is something to search and to turn pages for.
const FEW: usize = 10;

/// What a table is called and which of its columns are shown first.
pub(super) struct Outline {
    /// Word that the page knows it by.
    pub(super) id: &'static str,
    /// Heading.
    pub(super) title: &'static str,
    /// The file that has all of it.
    pub(super) file: &'static str,
    /// One sentence on its rows.
    pub(super) about: &'static str,
    /// The column that says what a row is of.
    pub(super) key: &'static str,
    /// Columns that are shown before all are asked for.
    pub(super) main: &'static [&'static str],
    /// The column by which the rows stand, highest first; `None`: as in the CSV.
    pub(super) highest: Option<&'static str>,
}

enum Values {
    Texts(Vec<String>),
    Numbers(Vec<Option<f64>>),
}

struct SheetColumn {
    heading: Heading,
    /// Place among the columns that are shown first.
    main: Option<usize>,
    values: Values,
}

/// A table of the report, its rows in the order of the page.
pub(super) struct Sheet {
    outline: Outline,
    columns: Vec<SheetColumn>,
    rows: usize,
}

impl Sheet {
    /// The columns of `table` with the figures of its CSV.
    pub(super) fn new(outline: Outline, table: &DataFrame) -> PolarsResult<Self> {
        let table = rounded(table)?;
        let order = order(&outline, &table)?;
        let columns = table
            .columns()
            .iter()
            .map(|column| {
                let values = match column.dtype() {
                    DataType::String => {
                        let texts = column.str()?;
                        let text =
                            |row: &usize| cut(texts.get(*row).unwrap_or_default(), TEXT_COLUMNS).into_owned();
                        Values::Texts(order.iter().map(text).collect())
                    }
                    DataType::Boolean => {
                        let flags = column.bool()?;
                        let text =
                            |row: &usize| flags.get(*row).map(|flag| flag.to_string()).unwrap_or_default();
                        Values::Texts(order.iter().map(text).collect())
                    }
                    _ => {
                        let numbers = column.cast(&DataType::Float64)?;
                        let numbers = numbers.f64()?;
                        Values::Numbers(order.iter().map(|row| numbers.get(*row)).collect())
                    }
                };
                let heading = Heading::of(column.name(), matches!(values, Values::Numbers(_)));
                let main = outline.main.iter().position(|name| *name == column.name().as_str());
                Ok(SheetColumn { heading, main, values })
            })
            .collect::<PolarsResult<Vec<SheetColumn>>>()?;
        Ok(Self { outline, columns, rows: order.len() })
    }

    /// Word that the page knows it by.
    pub(super) fn id(&self) -> &'static str {
        self.outline.id
    }

    /// Heading.
    pub(super) fn title(&self) -> &'static str {
        self.outline.title
    }

    /// The section of the page.
    pub(super) fn section(&self) -> Markup {
        let Outline { id, title, file, about, .. } = &self.outline;
        let caption = format!("{id}-caption");
        html! {
            section id=(id) {
                h3 { (title) }
                p { (about) " All of it stands in " code { (file) } "." }
                @if self.rows == 0 {
                    p { "There is nothing to list." }
                } @else {
                    (self.controls())
                    div.scroll role="region" aria-labelledby=(caption) tabindex="0" {
                        table id=(format!("{id}-table")) data-sheet=(format!("{id}-data")) {
                            caption.quiet id=(caption) { (title) ". " (about) }
                            thead { tr { @for column in self.shown() { (self.head(column)) } } }
                            tbody {
                                @for row in 0..self.rows.min(ROWS) {
                                    tr { @for column in self.shown() { (self.cell(column, row)) } }
                                }
                            }
                        }
                    }
                    (self.pager())
                    script type="application/json" id=(format!("{id}-data")) { (PreEscaped(self.data())) }
                }
            }
        }
    }

    /// What the script needs; without it there is nothing to press.
    fn controls(&self) -> Markup {
        let id = self.outline.id;
        let filter = format!("{id}-filter");
        html! {
            div.controls data-controls=(id) hidden {
                @if self.rows > FEW {
                    label for=(filter) { "Search" }
                    input id=(filter) type="search" autocomplete="off" spellcheck="false"
                        placeholder="words that a row has" data-role="filter";
                }
                @if self.columns.iter().any(|column| column.main.is_none()) {
                    button type="button" data-role="columns" aria-pressed="false" { "All columns" }
                }
            }
        }
    }

    fn pager(&self) -> Markup {
        let last = self.rows.min(ROWS);
        let (last, all) = (cell(last as f64), cell(self.rows as f64));
        html! {
            div.pager {
                p.count role="status" data-count=(self.outline.id) { "Rows 1 to " (last) " of " (all) }
                @if self.rows > ROWS {
                    div.controls data-controls=(self.outline.id) hidden {
                        button type="button" data-role="previous" disabled { "Previous" }
                        button type="button" data-role="next" { "Next" }
                    }
                }
            }
        }
    }

    /// The columns that are shown first, in their order.
    fn shown(&self) -> Vec<&SheetColumn> {
        let mut shown: Vec<&SheetColumn> =
            self.columns.iter().filter(|column| column.main.is_some()).collect();
        shown.sort_by_key(|column| column.main);
        shown
    }

    fn head(&self, column: &SheetColumn) -> Markup {
        let Heading { name, label, unit, kind } = &column.heading;
        let sort = self.outline.highest.filter(|highest| highest == name).map(|_| "descending");
        html! {
            th scope="col" data-kind=(kind.as_str()) data-column=(name) title=(name) aria-sort=[sort] {
                (label)
                @if !unit.is_empty() { " " span.unit { (unit) } }
            }
        }
    }

    fn cell(&self, column: &SheetColumn, row: usize) -> Markup {
        let kind = column.heading.kind;
        let is_key = column.heading.name == self.outline.key;
        match &column.values {
            Values::Texts(texts) => {
                let text = texts.get(row).map(String::as_str).unwrap_or_default();
                let prose = (kind == Kind::Prose).then_some("prose");
                let title = (text.chars().count() > 24).then_some(text);
                html! {
                    @if is_key { th scope="row" title=[title] { (text) } }
                    @else { td data-kind=[prose] title=[title] { (text) } }
                }
            }
            Values::Numbers(numbers) => {
                let number = numbers.get(row).copied().flatten().filter(|number| number.is_finite());
                let text = number.map(|number| kind.text(number)).unwrap_or_default();
                html! { td data-kind=(kind.as_str()) data-value=[number] { (text) } }
            }
        }
    }

    /// All rows as JSON: each column on its own, what repeats said once.
    fn data(&self) -> String {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|column| {
                let Heading { name, label, unit, kind } = &column.heading;
                let mut all = json!({"name": name, "label": label, "unit": unit, "kind": kind.as_str(), "main": column.main});
                if let Value::Object(all) = &mut all {
                    match &column.values {
                        Values::Texts(texts) => {
                            // In the order in which they come, so that the same input gives the same bytes.
                            let mut places: BTreeMap<&str, usize> = BTreeMap::new();
                            let mut words: Vec<&str> = Vec::new();
                            let at: Vec<usize> = texts
                                .iter()
                                .map(|text| {
                                    *places.entry(text.as_str()).or_insert_with(|| {
                                        words.push(text);
                                        words.len() - 1
                                    })
                                })
                                .collect();
                            if words.len() == 1 {
                                all.insert("same".to_owned(), json!(words.first()));
                            } else if words.len() > texts.len() / 2 {
                                all.insert("values".to_owned(), json!(texts));
                            } else {
                                all.insert("words".to_owned(), json!(words));
                                all.insert("at".to_owned(), json!(at));
                            }
                        }
                        Values::Numbers(numbers) => {
                            let first = numbers.first().copied().flatten();
                            if numbers.iter().all(|number| *number == first) {
                                all.insert("same".to_owned(), json!(first));
                            } else {
                                let short: Vec<Value> = numbers.iter().map(|number| short(*number)).collect();
                                all.insert("values".to_owned(), Value::Array(short));
                            }
                        }
                    }
                }
                all
            })
            .collect();
        let sorted =
            self.columns.iter().position(|column| Some(column.heading.name.as_str()) == self.outline.highest);
        let all = json!({
            "rows": self.rows,
            "page": ROWS,
            "key": self.outline.key,
            "sorted": sorted,
            "columns": columns,
        });
        inert(&all.to_string())
    }
}

/// A number without `.0`, which would be a sixth of the page.
fn short(number: Option<f64>) -> Value {
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(number as i64),
        number => json!(number),
    }
}

/// JSON that a script element can hold: nothing in it ends the element or begins another.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            letter => out.push(letter),
        }
    }
    out
}

/// The rows in the order of the page.
fn order(outline: &Outline, table: &DataFrame) -> PolarsResult<Vec<usize>> {
    let mut order: Vec<usize> = (0..table.height()).collect();
    // A report without any time has only the columns that name the runs.
    if let Some(column) = outline.highest.and_then(|name| table.column(name).ok()) {
        let numbers = column.f64()?;
        let of = |row: &usize| numbers.get(*row).unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|left, right| of(right).total_cmp(&of(left)));
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use polars::prelude::Column;

    use super::*;

    const RUNS: Outline = Outline {
        id: "runs",
        title: "Runs",
        file: "runs.csv",
        about: "A row for each run.",
        key: "run_id",
        main: &["run_id", "name", "energy_kwh"],
        highest: Some("energy_kwh"),
    };

    const HOSTILE: &str = "</script><script>alert(1)</script>\"><img src=x onerror=alert(2)>\u{2028}\u{202e}";

    fn sheet() -> Sheet {
        let table = DataFrame::new(
            3,
            vec![
                Column::new("run_id".into(), ["1", "2", "3"]),
                Column::new("name".into(), ["a", HOSTILE, "a"]),
                Column::new("energy_kwh".into(), [Some(1.5), Some(1_234.567_890_123_456), None]),
                Column::new("short".into(), [true, false, true]),
                Column::new("cpus".into(), [4_u64, 4, 4]),
            ],
        )
        .unwrap();
        Sheet::new(RUNS, &table).unwrap()
    }

    #[test]
    fn rows_stand_by_energy_and_names_are_text() {
        let html = sheet().section().into_string();
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text} in {html}"));
        assert!(at("<th scope=\"row\">2</th>") < at("<th scope=\"row\">1</th>"));
        assert!(at("<th scope=\"row\">1</th>") < at("<th scope=\"row\">3</th>"));
        assert!(html.contains("data-value=\"1234.56789012\">1\u{202f}235</td>"), "{html}");
        assert!(html.contains("aria-sort=\"descending\""), "{html}");
        assert!(html.contains("&lt;/script&gt;&lt;script&gt;alert(1)"), "{html}");
        // The one script element is the data.
        assert_eq!((html.matches("<script").count(), html.matches("</script").count()), (1, 1));
        assert_eq!(html.matches("<img").count(), 0);
        assert!(!html.contains('\u{202e}') && !html.contains('\u{2028}'));
    }

    #[test]
    fn data_is_whole_and_says_what_repeats_once() {
        let data = sheet().data();
        assert!(!data.contains(['<', '>', '&']), "{data}");
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["rows"], 3);
        assert_eq!(data["sorted"], 2);
        let column = |at: usize, key: &str| data["columns"][at][key].clone();
        assert_eq!(column(0, "values"), json!(["2", "1", "3"]));
        let shown = HOSTILE.replace('\u{2028}', " ").replace('\u{202e}', "");
        assert_eq!(column(1, "values"), json!([shown, "a", "a"]));
        assert_eq!(column(2, "values"), json!([1_234.567_890_12, 1.5, null]));
        assert_eq!(column(3, "values"), json!(["false", "true", "true"]));
        assert_eq!(column(4, "same"), json!(4.0));
        assert_eq!((column(4, "main"), column(2, "unit")), (Value::Null, json!("kWh")));
    }

    #[test]
    fn many_rows_are_shown_in_part() {
        let ids: Vec<String> = (0..120).map(|id| id.to_string()).collect();
        let table = DataFrame::new(120, vec![Column::new("run_id".into(), ids)]).unwrap();
        let html = Sheet::new(RUNS, &table).unwrap().section().into_string();
        assert_eq!(html.matches("<th scope=\"row\"").count(), 50);
        assert!(html.contains("Rows 1 to 50 of 120") && html.contains("data-role=\"next\""));
        let none = DataFrame::new(0, vec![Column::new("run_id".into(), Vec::<String>::new())]).unwrap();
        let html = Sheet::new(RUNS, &none).unwrap().section().into_string();
        assert!(html.contains("There is nothing to list.") && !html.contains("<table"));
    }
}
