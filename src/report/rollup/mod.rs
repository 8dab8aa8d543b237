//! The ledger's rows added up once, for everything that a report shows: node by node while the books are made, or from a frame of rows.
//! What it holds grows with runs, nodes and hours, and not with rows.

mod figures;
mod hours;
mod over_time;
mod words;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use chrono_tz::Tz;
use polars::prelude::{DataFrame, PolarsResult};

pub(super) use figures::{Figure, Figures};
pub(super) use hours::{Hour, HourNumber};
pub(super) use over_time::{BucketSums, NodeCoverage};
pub(super) use words::{JoinedWords, PricePart, Words};

use figures::{PriceWord, position_of};
use hours::Hours;

use crate::carbon::{Basis, Contracts, Matching, Zone};
use crate::jobs::Run;
use crate::ledger::{Beneficiary, Market, NodeBooks, Prices, Row, ZoneUse, visit_frame, visit_node};
use crate::sum::Sum;
use crate::time::{Window, local_days, span};
use crate::units::Joules;

/// Kinds of beneficiary.
const KINDS: usize = 4;

/// Position of a beneficiary's kind among [`BENEFICIARIES`](super::tables::BENEFICIARIES).
pub(super) fn kind_of(beneficiary: Beneficiary) -> usize {
    match beneficiary {
        Beneficiary::Run(_) => 0,
        Beneficiary::Idle => 1,
        Beneficiary::Infrastructure => 2,
        Beneficiary::Unattributed => 3,
    }
}

/// Mean intensity in gCO2e/kWh of what is priced of a group.
pub(super) fn mean_intensity(figures: &Figures) -> Option<f64> {
    let kwh = Joules(figures.priced_facility_j()).to_kwh().value();
    figures.emissions_gco2e().filter(|_| kwh > 0.0).map(|grams| grams / kwh)
}

/// What of the runs all groups of a report go by: runs that have the same user, account, partition, stage and state are of one class.
#[derive(Debug, Default)]
pub(super) struct Classes {
    of_run: Vec<u32>,
    /// A run of each class.
    examples: Vec<usize>,
}

impl Classes {
    fn new(runs: &[Run]) -> Self {
        let mut classes = Self::default();
        let mut known: BTreeMap<[&str; 5], u32> = BTreeMap::new();
        for (position, run) in runs.iter().enumerate() {
            let words = [&run.user, &run.account, &run.partition, &run.stage, &run.state].map(String::as_str);
            let next = u32::try_from(classes.examples.len()).unwrap_or(u32::MAX);
            let class = *known.entry(words).or_insert_with(|| {
                classes.examples.push(position);
                next
            });
            classes.of_run.push(class);
        }
        classes
    }

    /// A run of a class; `None` of what is no run's.
    pub(super) fn example<'r>(&self, class: Option<u32>, runs: &'r [Run]) -> Option<&'r Run> {
        runs.get(*self.examples.get(class? as usize)?)
    }
}

/// Rows that have the same day, kind of beneficiary and class of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    /// Position of the kind.
    pub(super) kind: usize,
    /// Class of the run; `None` of what is no run's.
    pub(super) class: Option<u32>,
    /// Position of the day.
    pub(super) day: u32,
}

/// What of a zone was used in a bucket at the building's meter in joules, and its factor.
type ZoneBuckets = BTreeMap<(String, u32), (Sum, Option<f64>)>;

/// A row that waits for its market-based factor.
#[derive(Debug)]
struct MarketRow {
    day: u32,
    beneficiary: Beneficiary,
    hour: (u32, u8, u8),
    price: PriceWord,
    bucket: u32,
    facility_kwh: f64,
}

/// What of one node is needed for a report.
#[derive(Debug, Default)]
pub struct NodeRollup {
    name: String,
    groups: BTreeMap<(u32, Beneficiary), Figures>,
    hours: Hours,
    over_time: Vec<BucketSums>,
    coverage: NodeCoverage,
    words: Words,
    used: ZoneBuckets,
    market_rows: Vec<MarketRow>,
}

/// What all nodes have in common.
#[derive(Debug)]
pub struct RollupFrame {
    buckets: Vec<Window>,
    bucket_ms: i64,
    /// Of each bucket the position of its day.
    day_of: Vec<u32>,
    /// True if market-based figures are asked for.
    has_market: bool,
}

impl RollupFrame {
    /// Adds up the rows of a node and empties it of them, and of what only they need. Any thread may do it.
    pub fn digest(&self, node: &mut NodeBooks, runs: &[Run], prices: Prices<'_>) -> NodeRollup {
        let mut found = NodeRollup::new(&node.name, self);
        visit_node(node, (&self.buckets, runs), prices, |row| found.add(row, self));
        found.close(self);
        node.entries = Vec::new();
        node.node_buckets = Vec::new();
        for device in &mut node.devices {
            (device.spreads, device.mean_w, device.chosen) = (Vec::new(), Vec::new(), Vec::new());
        }
        found
    }
}

impl NodeRollup {
    fn new(name: &str, frame: &RollupFrame) -> Self {
        Self {
            name: name.to_owned(),
            over_time: vec![BucketSums::default(); frame.buckets.len()],
            ..Self::default()
        }
    }

    fn add(&mut self, row: &Row<'_>, frame: &RollupFrame) {
        let (Some(bucket), Some(day)) =
            (frame.buckets.get(row.bucket), frame.day_of.get(row.bucket).copied())
        else {
            return;
        };
        let price = self.words.number(row.price.words);
        let kind = kind_of(row.beneficiary);
        self.groups.entry((day, row.beneficiary)).or_default().add(row, price, bucket.start_ms);
        let key = (position_of(row.component) as u8, kind as u8);
        let hour = self.hours.figures(row.bucket, key, (&self.words, frame.bucket_ms));
        hour.add(row, price, bucket.start_ms);
        if let Some(sums) = self.over_time.get_mut(row.bucket) {
            sums.add(row, kind);
        }
        self.coverage.add(row, frame.buckets.len());
        if frame.has_market
            && let Some(zone) = row.price.words.zone
        {
            let bucket = u32::try_from(row.bucket).unwrap_or(u32::MAX);
            let (sum, factor) = self.used.entry((zone.to_owned(), bucket)).or_default();
            sum.add(row.facility_energy_j);
            *factor = factor.or(row.price.intensity);
            self.market_rows.push(MarketRow {
                day,
                beneficiary: row.beneficiary,
                hour: (bucket, key.0, key.1),
                price,
                bucket,
                facility_kwh: Joules(row.facility_energy_j).to_kwh().value(),
            });
        }
    }

    fn close(&mut self, frame: &RollupFrame) {
        self.hours.close(&self.words, frame.bucket_ms);
        self.coverage.close(frame.buckets.len());
    }

    /// Gives its rows their market-based emissions.
    fn add_market(&mut self, market: &Market) {
        for row in std::mem::take(&mut self.market_rows) {
            let Some(zone) = self.words.text(row.price, PricePart::Zone) else { continue };
            let factor = market.factor(&Zone::from_id(zone), row.bucket as usize);
            // Where nothing was used there is nothing to match.
            let Some(factor) = factor.or((row.facility_kwh == 0.0).then_some(0.0)) else { continue };
            let grams = row.facility_kwh * factor;
            if let Some(figures) = self.groups.get_mut(&(row.day, row.beneficiary)) {
                figures.add_market(grams);
            }
            let hours = &mut self.hours.rows;
            let found =
                hours.binary_search_by_key(&row.hour, |hour| (hour.bucket, hour.component, hour.kind));
            if let Some(hour) = found.ok().and_then(|found| hours.get_mut(found)) {
                hour.add_market(grams);
            }
        }
    }
}

/// What of one node the tables show.
#[derive(Debug)]
pub(super) struct NodeSums {
    /// Its name.
    pub(super) name: String,
    /// By kind of beneficiary; `None` where no row is of it.
    pub(super) by_kind: [Option<Box<Figures>>; KINDS],
    /// In order of bucket, component and kind.
    pub(super) hours: Vec<Hour>,
    /// How much of it is known.
    pub(super) coverage: NodeCoverage,
}

/// Everything that a report shows of the ledger's rows.
#[derive(Debug)]
pub struct Rollup {
    frame: Arc<RollupFrame>,
    /// The days of the report, by name.
    days: Vec<String>,
    classes: Classes,
    runs: BTreeMap<usize, Option<Box<Figures>>>,
    groups: BTreeMap<GroupKey, Figures>,
    nodes: Vec<NodeSums>,
    over_time: Vec<BucketSums>,
    words: Words,
    hour_words: Vec<JoinedWords>,
    used: ZoneBuckets,
    /// Nodes that wait for their market-based factors.
    waiting: Vec<NodeRollup>,
    market: Option<Market>,
    /// Everything, by kind of beneficiary and in one.
    by_kind: [Figures; KINDS],
    all: Figures,
}

impl Rollup {
    /// Of no rows yet. `buckets` are those of the books, days are those of `zone`.
    pub fn new(buckets: &[Window], runs: &[Run], zone: Tz, basis: Basis) -> Self {
        let days = span(buckets).map(|window| local_days(window, zone)).unwrap_or_default();
        let day_of = |bucket: &Window| {
            let after = days.partition_point(|(_, day)| day.start_ms <= bucket.start_ms);
            u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
        };
        let frame = RollupFrame {
            bucket_ms: buckets.first().map_or(0, |bucket| bucket.length_ms()),
            day_of: buckets.iter().map(day_of).collect(),
            has_market: basis.is_scope_2(),
            buckets: buckets.to_vec(),
        };
        Self {
            days: days.into_iter().map(|(date, _)| date.to_string()).collect(),
            classes: Classes::new(runs),
            runs: BTreeMap::new(),
            groups: BTreeMap::new(),
            nodes: Vec::new(),
            over_time: vec![BucketSums::default(); buckets.len()],
            words: Words::default(),
            hour_words: Vec::new(),
            used: BTreeMap::new(),
            waiting: Vec::new(),
            market: None,
            by_kind: Default::default(),
            all: Figures::default(),
            frame: Arc::new(frame),
        }
    }

    /// Of rows as [`entries_frame`](crate::ledger::entries_frame) and a ledger on disk have them.
    ///
    /// # Errors
    ///
    /// Where a column is missing.
    pub fn of_frame(self, entries: &DataFrame) -> PolarsResult<Self> {
        let mut rollup = self;
        let mut nodes: BTreeMap<String, NodeRollup> = BTreeMap::new();
        let mut last = String::new();
        visit_frame(entries, |node, row| {
            if last != node || nodes.is_empty() {
                node.clone_into(&mut last);
            }
            let found = match nodes.get_mut(&last) {
                Some(found) => found,
                None => nodes.entry(last.clone()).or_insert_with(|| NodeRollup::new(node, &rollup.frame)),
            };
            found.add(row, &rollup.frame);
        })?;
        for (_, mut node) in nodes {
            node.close(&rollup.frame);
            rollup.take(node);
        }
        Ok(rollup)
    }

    /// What is needed to add up the rows of a node.
    pub fn frame(&self) -> Arc<RollupFrame> {
        Arc::clone(&self.frame)
    }

    /// Takes a node on; the order of the nodes is that of the sums.
    pub fn take(&mut self, mut node: NodeRollup) {
        for (key, (joules, factor)) in std::mem::take(&mut node.used) {
            let (sum, known) = self.used.entry(key).or_default();
            sum.add(joules.value());
            *known = known.or(factor);
        }
        if self.frame.has_market {
            self.waiting.push(node);
        } else {
            self.merge(node);
        }
    }

    fn merge(&mut self, node: NodeRollup) {
        if node.groups.is_empty() {
            return;
        }
        let prices = self.words.numbers(&node.words);
        let mut by_kind: [Option<Box<Figures>>; KINDS] = Default::default();
        for ((day, beneficiary), mut figures) in node.groups {
            figures.renumber(&prices);
            let kind = kind_of(beneficiary);
            if let Some(of_kind) = by_kind.get_mut(kind) {
                of_kind.get_or_insert_default().merge(&figures);
            }
            let class = match beneficiary {
                Beneficiary::Run(run) => {
                    match self.runs.entry(run).or_default() {
                        Some(known) => known.merge(&figures),
                        // A copy has no room to spare.
                        new => *new = Some(Box::new(figures.clone())),
                    }
                    self.classes.of_run.get(run).copied()
                }
                _ => None,
            };
            merge_into(self.groups.entry(GroupKey { kind, class, day }), &figures);
        }
        for (sums, more) in self.over_time.iter_mut().zip(&node.over_time) {
            sums.merge(more);
        }
        let mut hours = node.hours.rows;
        let numbers: Vec<u32> = node.hours.words.into_iter().map(|words| self.hour_word(words)).collect();
        for hour in &mut hours {
            hour.words = numbers.get(hour.words as usize).copied().unwrap_or(u32::MAX);
        }
        hours.shrink_to_fit();
        self.nodes.push(NodeSums { name: node.name, by_kind, hours, coverage: node.coverage });
    }

    fn hour_word(&mut self, words: JoinedWords) -> u32 {
        let found = self.hour_words.iter().position(|known| *known == words).unwrap_or_else(|| {
            self.hour_words.push(words);
            self.hour_words.len() - 1
        });
        u32::try_from(found).unwrap_or(u32::MAX)
    }

    /// After the last node: works out the market-based figures, if any are asked for, and the totals.
    pub(super) fn finish(&mut self, contracts: Option<&Contracts>, matching: Matching) {
        if self.frame.has_market {
            self.price_by_market(contracts, matching);
        }
        for (key, figures) in &self.groups {
            if let Some(of_kind) = self.by_kind.get_mut(key.kind) {
                of_kind.merge(figures);
            }
        }
        self.by_kind.iter_mut().for_each(Figures::settle);
        self.all = Figures::all(&self.by_kind);
    }

    fn price_by_market(&mut self, contracts: Option<&Contracts>, matching: Matching) {
        let used = std::mem::take(&mut self.used).into_iter().map(|((zone, bucket), (joules, factor))| {
            let facility_kwh = Joules(joules.value()).to_kwh().value();
            ((Zone::from_id(&zone), bucket as usize), ZoneUse { facility_kwh, location_g_per_kwh: factor })
        });
        let none = Contracts::default();
        let contracts = contracts.unwrap_or(&none);
        let market = Market::new(contracts, matching, &self.frame.buckets, &used.collect());
        for mut node in std::mem::take(&mut self.waiting) {
            node.add_market(&market);
            self.merge(node);
        }
        self.market = Some(market);
    }

    /// Lets go of the figures of single runs; that there are some stays known.
    pub(super) fn forget_runs(&mut self) {
        self.runs.values_mut().for_each(|figures| *figures = None);
    }

    /// The market-based figures, if any are asked for.
    pub(super) fn market(&self) -> Option<&Market> {
        self.market.as_ref()
    }

    /// Length of the buckets.
    pub(super) fn bucket_ms(&self) -> i64 {
        self.frame.bucket_ms
    }

    /// Positions of the runs with rows.
    pub(super) fn runs(&self) -> impl Iterator<Item = usize> {
        self.runs.keys().copied()
    }

    /// The figures of a run, if it has any and they are still there.
    pub(super) fn run(&self, position: usize) -> Option<&Figures> {
        self.runs.get(&position)?.as_deref()
    }

    /// All rows, by kind of beneficiary, class of runs and day.
    pub(super) fn groups(&self) -> &BTreeMap<GroupKey, Figures> {
        &self.groups
    }

    /// The classes of runs.
    pub(super) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Nodes with rows, in their order.
    pub(super) fn nodes(&self) -> &[NodeSums] {
        &self.nodes
    }

    /// By bucket, over all nodes.
    pub(super) fn over_time(&self) -> &[BucketSums] {
        &self.over_time
    }

    /// The days of the report.
    pub(super) fn days(&self) -> &[String] {
        &self.days
    }

    /// The words of prices.
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// The words of an hour.
    pub(super) fn words_of(&self, hour: &Hour) -> Option<&JoinedWords> {
        self.hour_words.get(hour.words as usize)
    }

    /// Everything in one.
    pub(super) fn all(&self) -> &Figures {
        &self.all
    }

    /// Everything by kind of beneficiary.
    pub(super) fn by_kind(&self) -> &[Figures] {
        &self.by_kind
    }
}

fn merge_into<K: Ord>(entry: Entry<'_, K, Figures>, figures: &Figures) {
    match entry {
        Entry::Occupied(mut known) => known.get_mut().merge(figures),
        Entry::Vacant(new) => drop(new.insert(figures.clone())),
    }
}
