//! The tables of a report, grouped from the ledger's rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use polars::prelude::{Column, CsvWriter, DataFrame, DataType, PolarsResult, SerWriter as _};
use rayon::prelude::*;

use super::embodied;
use super::rollup::{Figure, Figures, PricePart, Rollup, Words, mean_intensity};
use crate::jobs::Run;
use crate::ledger::{Beneficiary, Books};
use crate::meter::catalog::Component;
use crate::spreadsheet::guard;
use crate::units::Joules;

/// The components that ledger lines can have, in the order of the columns.
pub(super) const COMPONENTS: [Component; 4] =
    [Component::Cpu, Component::Dram, Component::Gpu, Component::Other];

/// The kinds of beneficiary, in the order of the columns.
pub(super) const BENEFICIARIES: [&str; 4] = ["run", "idle", "infrastructure", "unattributed"];

/// Significant digits of numbers in CSV: what lies beyond is rounding error, and
/// sums of rows still agree far within the tolerance of the balances.
const DIGITS: i32 = 12;

/// What becomes of texts in CSV that a spreadsheet would take for a formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellText {
    /// An apostrophe is put before them.
    #[default]
    Guarded,
    /// They are written as they are.
    Raw,
}

/// Rows that become CSV at a time.
const ROWS_AT_ONCE: usize = 1 << 15;

/// Writes a table as CSV, a part of its rows after the other: it may be larger than what is left of the memory.
pub(super) fn write_csv(table: &DataFrame, text: CellText, out: &mut dyn Write) -> io::Result<()> {
    let parts = table.height().div_ceil(ROWS_AT_ONCE).max(1);
    write_parts(parts, text, out, |part| {
        let first = part.saturating_mul(ROWS_AT_ONCE);
        Ok(table.slice(i64::try_from(first).unwrap_or(i64::MAX), ROWS_AT_ONCE))
    })
}

/// Writes the parts of a table as one CSV; they are made in parallel, a few at a time.
pub(super) fn write_parts(
    parts: usize,
    text: CellText,
    out: &mut dyn Write,
    part: impl Fn(usize) -> PolarsResult<DataFrame> + Sync,
) -> io::Result<()> {
    let all: Vec<usize> = (0..parts).collect();
    for some in all.chunks(rayon::current_num_threads().saturating_mul(2).max(1)) {
        let texts: Vec<PolarsResult<Vec<u8>>> =
            some.par_iter().map(|nth| csv_of(rounded(&part(*nth)?)?, text, *nth == 0)).collect();
        for bytes in texts {
            out.write_all(&bytes.map_err(io::Error::other)?)?;
        }
    }
    Ok(())
}

/// A table as CSV, its numbers to the last bit.
pub(super) fn csv_as_is(table: DataFrame, text: CellText) -> PolarsResult<Vec<u8>> {
    csv_of(table, text, true)
}

pub(super) fn csv_of(mut table: DataFrame, text: CellText, has_header: bool) -> PolarsResult<Vec<u8>> {
    if text == CellText::Guarded {
        let columns = table.columns().iter().map(guarded).collect::<PolarsResult<Vec<Column>>>()?;
        table = DataFrame::new(table.height(), columns)?;
    }
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).include_header(has_header).finish(&mut table)?;
    Ok(bytes)
}

/// The column with no text that a spreadsheet would take for a formula.
fn guarded(column: &Column) -> PolarsResult<Column> {
    if column.dtype() != &DataType::String {
        return Ok(column.clone());
    }
    let texts: Vec<Option<Cow<'_, str>>> = column.str()?.iter().map(|text| text.map(guard)).collect();
    if texts.iter().flatten().all(|text| matches!(text, Cow::Borrowed(_))) {
        return Ok(column.clone());
    }
    let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
    Ok(Column::new(column.name().clone(), texts))
}

/// The table with its numbers in [`DIGITS`] significant digits.
pub(super) fn rounded(table: &DataFrame) -> PolarsResult<DataFrame> {
    let columns = table
        .columns()
        .iter()
        .map(|column| match column.f64() {
            Ok(values) => {
                let short: Vec<Option<f64>> = values.iter().map(|value| value.map(round)).collect();
                Column::new(column.name().clone(), short)
            }
            Err(_) => column.clone(),
        })
        .collect();
    DataFrame::new(table.height(), columns)
}

/// `value` in [`DIGITS`] significant digits.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let shift = DIGITS - 1 - value.abs().log10().floor() as i32;
    // Dividing by a power of ten is exact to the last bit, multiplying by a fraction is not.
    let rounded = if shift >= 0 {
        let scale = 10_f64.powi(shift);
        (value * scale).round() / scale
    } else {
        let scale = 10_f64.powi(-shift);
        (value / scale).round() * scale
    };
    if rounded.is_finite() { rounded } else { value }
}

/// Joules in kWh.
pub(super) fn in_kwh(joules: f64) -> f64 {
    Joules(joules).to_kwh().value()
}

/// Groups side by side, each a row of a table; null where there is none.
pub(super) struct Rows<'f> {
    groups: Vec<Option<&'f Figures>>,
    words: &'f Words,
    bucket_ms: i64,
}

/// The columns that every grouped table ends in.
pub(super) struct Totals {
    pub(super) energy: Vec<Column>,
    pub(super) coverage: Vec<Column>,
    pub(super) carbon: Vec<Column>,
}

impl<'f> Rows<'f> {
    pub(super) fn new(groups: Vec<Option<&'f Figures>>, rollup: &'f Rollup) -> Self {
        Self { groups, words: rollup.words(), bucket_ms: rollup.bucket_ms() }
    }

    /// A column of numbers; null of a row without a group.
    pub(super) fn number(&self, name: &str, value: impl Fn(&Figures) -> Option<f64>) -> Column {
        let values = self.groups.iter().map(|group| group.and_then(&value));
        Column::new(name.into(), values.collect::<Vec<Option<f64>>>())
    }

    /// A column of texts.
    pub(super) fn text(&self, name: &str, value: impl Fn(&Figures) -> String) -> Column {
        let values = self.groups.iter().map(|group| group.map(&value));
        Column::new(name.into(), values.collect::<Vec<Option<String>>>())
    }

    /// A figure of the price's words.
    fn price(&self, name: &str, part: PricePart) -> Column {
        self.text(name, |group| self.words.of(group, part))
    }

    /// `NAME_low` and `NAME_high` in the unit of `in_unit`.
    fn bounds(
        &self,
        name: &str,
        (figure, component): (Figure, Option<Component>),
        in_unit: impl Fn(f64) -> f64,
    ) -> [Column; 2] {
        let bounds: Vec<Option<(f64, f64)>> = self
            .groups
            .iter()
            .map(|group| group.and_then(|group| group.bounds(figure, component, self.bucket_ms)))
            .collect();
        let side = |side: &str, pick: fn((f64, f64)) -> f64| {
            let values = bounds.iter().map(|bounds| bounds.map(|bounds| in_unit(pick(bounds))));
            Column::new(format!("{name}_{side}").into(), values.collect::<Vec<Option<f64>>>())
        };
        [side("low", |bounds| bounds.0), side("high", |bounds| bounds.1)]
    }

    /// IT energy in kWh, of a component or all, with its bounds.
    pub(super) fn energy(&self, name: &str, component: Option<Component>) -> Vec<Column> {
        let mut columns = vec![self.number(name, |group| Some(in_kwh(group.energy_j(component))))];
        columns.extend(self.bounds(name, (Figure::Energy, component), in_kwh));
        columns
    }

    pub(super) fn totals(&self) -> Totals {
        let mut energy = self.energy("energy_kwh", None);
        for component in COMPONENTS {
            energy.extend(self.energy(&format!("{component}_energy_kwh"), Some(component)));
        }
        let facility = "facility_energy_kwh";
        energy.push(self.number(facility, |group| Some(in_kwh(group.facility_energy_j()))));
        energy.extend(self.bounds(facility, (Figure::Facility, None), in_kwh));
        let share = |part: f64, expected_s: f64| (expected_s > 0.0).then(|| part / expected_s);
        let coverage = vec![
            self.number("coverage", |group| {
                let (covered_s, interpolated_s, expected_s) = group.seconds();
                share(covered_s + interpolated_s, expected_s)
            }),
            self.number("interpolated", |group| {
                let (_, interpolated_s, expected_s) = group.seconds();
                share(interpolated_s, expected_s)
            }),
            self.number("energy_extrapolated_kwh", |group| group.extrapolated_j().map(in_kwh)),
            self.text("method", |group| group.method.joined(|method| Some(method.as_str()))),
        ];
        let mut carbon = vec![
            self.number("intensity_gco2e_per_kwh", mean_intensity),
            self.price("intensity_tier", PricePart::Tier),
            self.price("zone", PricePart::Zone),
            self.number("emissions_gco2e", Figures::emissions_gco2e),
        ];
        carbon.extend(self.bounds("emissions_gco2e", (Figure::Emissions, None), |grams| grams));
        carbon.push(self.number("unpriced_energy_kwh", |group| Some(in_kwh(group.unpriced_j()))));
        carbon.push(self.number("emissions_market_gco2e", Figures::market_gco2e));
        carbon.push(self.number("upstream_gco2e", Figures::upstream_gco2e));
        Totals { energy, coverage, carbon }
    }
}

/// Groups of all kinds of beneficiary, as `by_node.csv` and the like show them: those of each kind, and all of them.
#[derive(Default)]
pub(super) struct OfKinds {
    by_kind: [Figures; BENEFICIARIES.len()],
}

impl OfKinds {
    /// Adds a group of the kind at a position.
    pub(super) fn add(&mut self, kind: usize, figures: &Figures) {
        if let Some(sum) = self.by_kind.get_mut(kind) {
            sum.merge(figures);
        }
    }

    /// All kinds.
    fn all(&self) -> Figures {
        Figures::all(&self.by_kind)
    }
}

/// Energy by component and by kind of beneficiary, emissions and coverage of each row.
pub(super) fn sums_of_kinds(rows: &[&OfKinds], rollup: &Rollup) -> Vec<Column> {
    let all: Vec<Figures> = rows.iter().map(|row| row.all()).collect();
    let Totals { energy, coverage, carbon } = Rows::new(all.iter().map(Some).collect(), rollup).totals();
    let mut columns = energy;
    for (at, kind) in BENEFICIARIES.iter().enumerate() {
        let of_kind = rows.iter().map(|row| row.by_kind.get(at)).collect();
        columns.extend(Rows::new(of_kind, rollup).energy(&format!("{kind}_energy_kwh"), None));
    }
    columns.extend(carbon);
    columns.extend(coverage);
    columns
}

/// `by_user.csv`, `by_account.csv`, `by_stage.csv`: a row for each text that
/// runs have, and rows for what no run used, so that the column adds up to the cluster.
pub(super) fn by_run_text<'r>(
    rollup: &Rollup,
    (books, runs): (&Books, &'r [Run]),
    name: &str,
    text: impl Fn(&'r Run) -> &'r String,
) -> PolarsResult<DataFrame> {
    by_run_text_of(rollup, (books, runs), (name, text), |_| true)
}

/// The same of the runs that are wanted.
pub(super) fn by_run_text_of<'r>(
    rollup: &Rollup,
    (books, runs): (&Books, &'r [Run]),
    (name, text): (&str, impl Fn(&'r Run) -> &'r String),
    is_wanted: impl Fn(&Run) -> bool,
) -> PolarsResult<DataFrame> {
    let mut groups: BTreeMap<(&str, &str), Figures> = BTreeMap::new();
    for (key, figures) in rollup.groups() {
        let run = rollup.classes().example(key.class, runs);
        if key.kind == 0 && !run.is_some_and(&is_wanted) {
            continue;
        }
        let kind = BENEFICIARIES.get(key.kind).copied().unwrap_or_default();
        let text = run.map_or("", |run| text(run).as_str());
        groups.entry((kind, text)).or_default().merge(figures);
    }
    groups.values_mut().for_each(Figures::settle);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for run in rollup.runs().filter_map(|run| runs.get(run)).filter(|run| is_wanted(run)) {
        *counts.entry(text(run)).or_default() += 1;
    }
    let count = |(kind, text): &(&str, &str)| {
        if *kind == "run" { counts.get(text).copied().unwrap_or(0) } else { 0 }
    };
    let Totals { energy, coverage, carbon } = Rows::new(groups.values().map(Some).collect(), rollup).totals();
    let mut columns = vec![
        Column::new("beneficiary".into(), groups.keys().map(|(kind, _)| *kind).collect::<Vec<&str>>()),
        Column::new(name.into(), groups.keys().map(|(_, text)| *text).collect::<Vec<&str>>()),
        Column::new("runs".into(), groups.keys().map(count).collect::<Vec<u64>>()),
    ];
    columns.extend(energy);
    columns.extend(carbon);
    columns.extend(coverage);
    let of_beneficiary = |row: &embodied::Row<'_>| {
        let text = match row.beneficiary {
            Beneficiary::Run(run) => runs.get(run).map_or("", |run| text(run).as_str()),
            _ => "",
        };
        Some(vec![row.beneficiary.kind().to_owned(), text.to_owned()])
    };
    let sums = embodied::by(&embodied::rows(books), of_beneficiary);
    embodied::join(DataFrame::new(groups.len(), columns)?, &["beneficiary", name], sums)
}

/// `by_node.csv`.
pub(super) fn by_node(rollup: &Rollup, books: &Books) -> PolarsResult<DataFrame> {
    let mut rows: BTreeMap<&str, OfKinds> = BTreeMap::new();
    for node in rollup.nodes() {
        let row = rows.entry(&node.name).or_default();
        for (kind, figures) in node.by_kind.iter().enumerate() {
            figures.iter().for_each(|figures| row.add(kind, figures));
        }
    }
    let mut columns = vec![Column::new("node".into(), rows.keys().copied().collect::<Vec<&str>>())];
    columns.extend(sums_of_kinds(&rows.values().collect::<Vec<_>>(), rollup));
    let sums = embodied::by(&embodied::rows(books), |row| Some(vec![row.node.to_owned()]));
    let table = embodied::join(DataFrame::new(rows.len(), columns)?, &["node"], sums)?;
    let by_name: BTreeMap<&str, &crate::ledger::NodeBooks> =
        books.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let nodes: Vec<Option<&crate::ledger::NodeBooks>> = table
        .column("node")?
        .str()?
        .iter()
        .map(|name| name.and_then(|name| by_name.get(name).copied()))
        .collect();
    let text = |name: &str, value: &dyn Fn(&crate::ledger::NodeBooks) -> String| {
        let values: Vec<String> = nodes.iter().map(|node| node.map(value).unwrap_or_default()).collect();
        Column::new(name.into(), values)
    };
    let mut all = table.columns().to_vec();
    all.push(text("known_to_scheduler", &|node| node.known.to_string()));
    all.push(text("cpus", &|node| {
        node.size.and_then(|size| size.cpus).map(|cpus| cpus.to_string()).unwrap_or_default()
    }));
    all.push(text("cpus_origin", &|node| node.size_origin.clone()));
    all.push(text("cpu_model", &|node| node.machine.cpu_model.clone().unwrap_or_default()));
    all.push(text("gpus", &|node| node.size.map(|size| size.gpus.to_string()).unwrap_or_default()));
    all.push(text("node_meter", &|node| {
        node.node_meter.as_ref().map(|meter| meter.source.clone()).unwrap_or_default()
    }));
    all.push(text("notes", &|node| node.notes.join("; ")));
    DataFrame::new(table.height(), all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_twelve_digits() {
        assert_eq!(round(255.827_639_254_756_9), 255.827_639_255);
        assert_eq!(round(-0.000_123_456_789_012_345), -0.000_123_456_789_012);
        assert_eq!(round(1.234_567_890_123_4e20), 1.234_567_890_12e20);
        assert_eq!(round(5e-324), 5e-324);
        assert!(round(f64::NAN).is_nan());
    }

    #[test]
    fn texts_that_compute_are_guarded_and_numbers_are_not() {
        let columns = vec![
            Column::new("name".into(), [Some("=1+1"), Some("train"), None]),
            Column::new("saving".into(), [-0.5, 0.0, 1.0]),
        ];
        let table = DataFrame::new(3, columns).unwrap();
        let text = |text| {
            let mut bytes = Vec::new();
            write_csv(&table, text, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text(CellText::Guarded), "name,saving\n'=1+1,-0.5\ntrain,0.0\n,1.0\n");
        assert_eq!(text(CellText::Raw), "name,saving\n=1+1,-0.5\ntrain,0.0\n,1.0\n");
    }
}
