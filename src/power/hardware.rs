//! Rated power by the name that the kernel or the driver prints.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::uncertainty::Spread;
use crate::units::Watts;

const CPU_TABLE: &str = include_str!("../../data/cpu_tdp.csv");
const CPU_BY_HAND: &str = include_str!("../../data/cpu_hand.csv");
const GPU_TABLE: &str = include_str!("../../data/gpu_tdp.csv");
const CPU_TABLE_SOURCE: &str = "codecarbon 3.3.2";

/// The score of a name that is the table's once trade marks, clock and the like are taken off.
const EXACT: f64 = 1.0;
/// The score of a GPU whose name is the table's but for the size of its memory.
const BUT_FOR_MEMORY: f64 = 0.9;

/// A processor found in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuMatch {
    /// The table's name for it.
    pub name: &'static str,
    /// Thermal design power of one socket.
    pub tdp: Watts,
    /// Cores of one socket, where known.
    pub cores: Option<u32>,
    /// Hardware threads of one socket, where known.
    pub threads: Option<u32>,
    /// How well the name fits, up to 1.
    pub score: f64,
    /// Where the figures are from.
    pub source: &'static str,
}

/// A GPU found in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuMatch {
    /// The table's name for it.
    pub name: &'static str,
    /// Rated power of one GPU as the driver counts them.
    pub tdp: Watts,
    /// Power at rest, where it was measured.
    pub idle: Option<Watts>,
    /// How well the name fits, up to 1.
    pub score: f64,
    /// Where the figure is from.
    pub source: &'static str,
}

/// The processor of that name, as in `model name` of `/proc/cpuinfo`:
/// `Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz`. Only the very model is found,
/// never a near one: a `6248` draws 150 W and a `6248R` 205 W.
pub fn find_cpu(model_name: &str) -> Option<CpuMatch> {
    static TABLE: OnceLock<BTreeMap<String, CpuMatch>> = OnceLock::new();
    let table = TABLE.get_or_init(|| every_cpu().map(|cpu| (cpu_key(cpu.name), cpu)).collect());
    table.get(&cpu_key(model_name)).copied()
}

/// All rows of the tables of processors.
pub(super) fn every_cpu() -> impl Iterator<Item = CpuMatch> {
    let made = rows(CPU_TABLE).filter_map(|row| cpu_row(&row, CPU_TABLE_SOURCE));
    let by_hand = rows(CPU_BY_HAND).filter_map(|row| cpu_row(&row, row.get(4)?));
    made.chain(by_hand)
}

/// All rows of the table of GPUs, once for each spelling.
pub(super) fn every_gpu() -> impl Iterator<Item = GpuMatch> {
    rows(GPU_TABLE).filter_map(|row| gpu_row(&row)).flat_map(|(names, tdp, idle, source)| {
        names.split('|').map(move |name| GpuMatch { name, tdp, idle, score: EXACT, source })
    })
}

/// Watts of a core of processors that nothing names: the median of Xeon and EPYC in the shipped tables.
pub const UNKNOWN_CORE_W: f64 = 8.75;
/// Between which factors of that 90 % of them lie.
pub const UNKNOWN_CORE_SPREAD: Spread = Spread::new(0.48, 2.48);
/// Watts of a GPU that nothing names: the median of the shipped table.
pub const UNKNOWN_GPU_W: f64 = 260.0;
/// Between which factors of that 90 % of them lie.
pub const UNKNOWN_GPU_SPREAD: Spread = Spread::new(0.28, 2.69);

/// The GPU of that name, as drivers print it: `NVIDIA A100-SXM4-80GB`,
/// `Tesla T4`. Where the size of the memory does not matter to the rated
/// power, a size that the table lacks is found too, with a lower score.
pub fn find_gpu(model_name: &str) -> Option<GpuMatch> {
    static TABLE: OnceLock<GpuTable> = OnceLock::new();
    let table = TABLE.get_or_init(gpu_table);
    let words = gpu_words(model_name);
    let exact = table.exact.get(&words.join(" ")).copied();
    exact.or_else(|| table.but_for_memory.get(&without_memory(&words)).copied().flatten())
}

struct GpuTable {
    exact: BTreeMap<String, GpuMatch>,
    /// `None` where sizes of memory differ in power, so that the name alone says nothing.
    but_for_memory: BTreeMap<String, Option<GpuMatch>>,
}

fn gpu_table() -> GpuTable {
    let mut table = GpuTable { exact: BTreeMap::new(), but_for_memory: BTreeMap::new() };
    for found in every_gpu() {
        let words = gpu_words(found.name);
        table.exact.insert(words.join(" "), found);
        let rough = GpuMatch { score: BUT_FOR_MEMORY, ..found };
        let entry = table.but_for_memory.entry(without_memory(&words)).or_insert(Some(rough));
        if entry.is_some_and(|other| other.tdp != found.tdp) {
            *entry = None;
        }
    }
    table
}

fn cpu_row(row: &[&'static str], source: &'static str) -> Option<CpuMatch> {
    let count = |text: Option<&&str>| text.and_then(|text| text.parse().ok());
    Some(CpuMatch {
        name: row.first()?,
        tdp: Watts(row.get(1)?.parse().ok()?),
        cores: count(row.get(2)),
        threads: count(row.get(3)),
        score: EXACT,
        source,
    })
}

fn gpu_row(row: &[&'static str]) -> Option<(&'static str, Watts, Option<Watts>, &'static str)> {
    let idle = row.get(2)?.parse().ok().map(Watts);
    Some((row.first()?, Watts(row.get(1)?.parse().ok()?), idle, row.get(3)?))
}

/// The rows of a shipped table after its header, split at their commas, of
/// which no field has one (`data/build.py` sees to it).
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split(',').collect())
}

/// A processor's name as it is compared: `intel xeon gold 6248`.
fn cpu_key(name: &str) -> String {
    let name = name.to_lowercase();
    // The clock and what a processor comes `with` (graphics) are no part of its name.
    let name = name.split('@').next().unwrap_or_default();
    let name = name.split(" with ").next().unwrap_or_default();
    let name = without_marks(name);
    let words: Vec<&str> = name.split_whitespace().filter(|word| !is_cpu_filler(word)).collect();
    // `11th Gen Intel Core i7-1165G7`.
    let words = match words.as_slice() {
        [number, "gen", rest @ ..] if number.ends_with("th") => rest.join(" "),
        _ => words.join(" "),
    };
    // `Intel Xeon CPU E5-2670 0`: the first version, which nobody writes.
    // ARK writes `Core i9 14901E` where the kernel prints `Core i9-14901E`.
    words.strip_suffix(" 0").unwrap_or(&words).replace('-', " ")
}

/// The words of a processor's name as it is compared.
pub(super) fn cpu_words(name: &str) -> Vec<String> {
    cpu_key(name).split_whitespace().map(str::to_owned).collect()
}

/// Words in a processor's name that say nothing about the model.
fn is_cpu_filler(word: &str) -> bool {
    let counted = |ending: &str| word.strip_suffix(ending).is_some_and(|count| count.parse::<u32>().is_ok());
    matches!(word, "cpu" | "processor" | "coprocessor" | "apu") || counted("-core") || counted("-cores")
}

/// A GPU's name as it is compared, word by word: `a100 sxm4 80gb`.
pub(super) fn gpu_words(name: &str) -> Vec<String> {
    let name = without_marks(&name.to_lowercase()).replace(['-', '_', '(', ')'], " ");
    // `80 GB` is one word.
    let name = name.replace(" gb", "gb");
    name.split_whitespace().filter(|word| !is_gpu_filler(word)).map(str::to_owned).collect()
}

/// Makers and brands that drivers print or leave out as they please.
fn is_gpu_filler(word: &str) -> bool {
    matches!(
        word,
        "nvidia"
            | "amd"
            | "intel"
            | "tesla"
            | "radeon"
            | "instinct"
            | "geforce"
            | "gpu"
            | "graphics"
            | "oam"
            | "mcm"
            | "mba"
            | "ac"
    )
}

fn without_memory(words: &[String]) -> String {
    let is_size = |word: &str| word.strip_suffix("gb").is_some_and(|size| size.parse::<u32>().is_ok());
    let rest: Vec<&str> = words.iter().map(String::as_str).filter(|word| !is_size(word)).collect();
    rest.join(" ")
}

/// A name in small letters without `(R)`, `(TM)`, `®` and `™`.
fn without_marks(name: &str) -> String {
    name.replace("(r)", " ").replace("(tm)", " ").replace(['®', '™'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_of_which_nothing_is_known_is_the_middle_of_the_tables() {
        let spread = |mut watts: Vec<f64>| {
            watts.sort_by(f64::total_cmp);
            let at = |share: f64| watts[(share * (watts.len() - 1) as f64).round() as usize];
            (at(0.5), at(0.05) / at(0.5), at(0.95) / at(0.5))
        };
        let servers = every_cpu().filter(|cpu| cpu.name.contains("Xeon") || cpu.name.contains("EPYC"));
        let (middle, low, high) =
            spread(servers.filter_map(|cpu| Some(cpu.tdp.value() / f64::from(cpu.cores?))).collect());
        assert_eq!(middle, UNKNOWN_CORE_W);
        let is = |spread: Spread, low: f64, high: f64| {
            (spread.low() - low).abs() < 0.006 && (spread.high() - high).abs() < 0.006
        };
        assert!(is(UNKNOWN_CORE_SPREAD, low, high), "{low} {high}");
        let cards = rows(GPU_TABLE).map(|row| gpu_row(&row).unwrap().1.value());
        let (middle, low, high) = spread(cards.collect());
        assert_eq!(middle, UNKNOWN_GPU_W);
        assert!(is(UNKNOWN_GPU_SPREAD, low, high), "{low} {high}");
    }

    #[test]
    fn every_row_of_every_table_is_whole_and_found_by_its_own_name() {
        for (table, fields) in [(CPU_TABLE, 4), (CPU_BY_HAND, 5)] {
            for row in rows(table) {
                assert_eq!(row.len(), fields, "{row:?}");
                let cpu = cpu_row(&row, "").unwrap();
                assert!(cpu.tdp > Watts::ZERO && cpu.tdp <= Watts(500.0), "{row:?}");
                assert_eq!(find_cpu(row[0]).unwrap().tdp, cpu.tdp, "{row:?}");
                if let (Some(cores), Some(threads)) = (cpu.cores, cpu.threads) {
                    assert!(cores <= threads && threads <= 8 * cores, "{row:?}");
                }
            }
        }
        for row in rows(GPU_TABLE) {
            assert_eq!(row.len(), 4, "{row:?}");
            let (names, tdp, idle, source) = gpu_row(&row).unwrap();
            assert!(idle.is_none_or(|idle| idle > Watts(5.0) && idle < tdp * 0.5), "{row:?}");
            assert!(!source.is_empty() && tdp > Watts(29.0) && tdp <= Watts(1400.0), "{row:?}");
            for name in names.split('|') {
                let found = find_gpu(name).unwrap();
                assert_eq!((found.tdp, found.score), (tdp, EXACT), "{name}");
            }
        }
    }
}
