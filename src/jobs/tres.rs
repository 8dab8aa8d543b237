//! Slurm's trackable resources: `billing=2,cpu=2,gres/gpu=4,mem=100M,node=1`.

use std::borrow::Cow;
use std::collections::BTreeMap;

pub(super) const KIB: f64 = 1024.0;
/// Slurm counts memory in mebibytes where it writes no unit.
pub(super) const MIB: f64 = KIB * KIB;

/// What is wrong with a resource list or an amount of memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TresError {
    /// A count that is not a number.
    #[error("`{text}` is not a count")]
    Count {
        /// The text as given.
        text: String,
    },
    /// Not an amount of memory.
    #[error("`{text}` is not an amount of memory: expected `100M`, `1.5G`, `6760Mc` or `250Gn`")]
    Memory {
        /// The text as given.
        text: String,
    },
}

/// Totals of one allocation. `None` where the list does not name the resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tres {
    /// CPUs, as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// GPUs of all types.
    pub gpus: Option<f64>,
    /// Nodes.
    pub nodes: Option<f64>,
}

/// Reads a resource list as in `AllocTRES`; resources it does not know are passed over.
///
/// Typed rows (`gres/gpu:a100=4`) are parts of the untyped `gres/gpu`, which
/// is the total where it is there; where it is not, they are added up.
///
/// # Errors
///
/// [`TresError`] if the count of a resource it does know cannot be read.
pub fn parse(text: &str) -> Result<Tres, TresError> {
    let mut tres = Tres::default();
    let mut typed_gpus = None;
    for (name, value) in text.split(',').filter_map(|item| item.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        match name {
            // Slurm's own numbers for them, as its database and `squeue -O tres-alloc` of old have them. Those
            // of generic resources, from 1001 on, differ from site to site.
            "1" => tres.cpus = Some(count(value)?),
            "2" => tres.memory_bytes = Some(memory(value)?),
            "4" => tres.nodes = Some(count(value)?),
            "cpu" => tres.cpus = Some(count(value)?),
            "node" => tres.nodes = Some(count(value)?),
            "mem" => tres.memory_bytes = Some(memory(value)?),
            "gres/gpu" => tres.gpus = Some(count(value)?),
            _ if name.starts_with("gres/gpu:") => {
                typed_gpus = Some(typed_gpus.unwrap_or(0.0) + count(value)?);
            }
            _ => {}
        }
    }
    tres.gpus = tres.gpus.or(typed_gpus);
    Ok(tres)
}

/// A resource list with names in place of the site's numbers, and whether a number of a generic resource (they
/// begin at 1001) stands in no table.
pub(super) fn named<'a>(text: &'a str, names: &BTreeMap<String, String>) -> (Cow<'a, str>, bool) {
    let is_generic = |item: &str| {
        let number = item.split_once('=').and_then(|(name, _)| name.trim().parse::<u32>().ok());
        number.is_some_and(|number| number > 1000)
    };
    if !text.split(',').any(is_generic) {
        return (Cow::Borrowed(text), false);
    }
    let mut unknown = false;
    let items = text.split(',').map(|item| {
        let (number, value) = item.split_once('=').unwrap_or((item, ""));
        match names.get(number.trim()) {
            Some(name) => format!("{name}={value}"),
            None => {
                unknown |= is_generic(item);
                item.to_owned()
            }
        }
    });
    (Cow::Owned(items.collect::<Vec<String>>().join(",")), unknown)
}

/// GPUs of a list of generic resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Gres {
    /// Number of GPUs of all types.
    pub gpus: f64,
    /// Their indices on the node, where the list gives one for each.
    pub ids: Option<Vec<String>>,
}

/// Most GPUs of a node: more indices are not kept.
const MOST_IDS: usize = 1024;

/// Reads generic resources as `scontrol show job -d` and the `AllocGRES` of old have them:
/// `gpu:a100:4(IDX:0-3)`, `gpu:2`, `gres/gpu:1`. `None` if there is no GPU among them.
pub fn gres(text: &str) -> Option<Gres> {
    let (mut gpus, mut ids, mut found) = (0.0, Vec::new(), false);
    let mut depth = 0_u32;
    let items = text.split(|character: char| {
        depth = match character {
            '(' => depth.saturating_add(1),
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        character == ',' && depth == 0
    });
    for item in items {
        let item = item.trim();
        let item = ["gres/", "gres:"].iter().find_map(|prefix| item.strip_prefix(prefix)).unwrap_or(item);
        let (name, indices) = match item.split_once('(') {
            Some((name, rest)) => (name, rest.strip_prefix("IDX:").and_then(|rest| rest.strip_suffix(')'))),
            None => (item, None),
        };
        let mut parts = name.split(':');
        if parts.next() != Some("gpu") {
            continue;
        }
        let listed = indices.map(index_list).unwrap_or_default();
        // A count is the last part; without one it is one, or as many as there are indices.
        let count = parts.next_back().and_then(plain_number);
        gpus += count.unwrap_or_else(|| (listed.len() as f64).max(1.0));
        if ids.len() <= MOST_IDS {
            ids.extend(listed);
        }
        found = true;
    }
    let complete = !ids.is_empty() && ids.len() as f64 == gpus;
    found.then_some(Gres { gpus, ids: complete.then_some(ids) })
}

/// `0-3,7` as five indices. Empty if it is no such list, or a node had more than 1,024 GPUs.
fn index_list(text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Vec::new() };
        if last as usize >= MOST_IDS || last < first {
            return Vec::new();
        }
        ids.extend((first..=last).map(|id| id.to_string()));
        if ids.len() > MOST_IDS {
            return Vec::new();
        }
    }
    ids
}

/// Requested memory as `ReqMem` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestedMemory {
    /// Bytes for the whole job (`100M`; Slurm since 21.08).
    Total(f64),
    /// Bytes for each CPU (`6760Mc`; before 21.08).
    PerCpu(f64),
    /// Bytes for each node (`250Gn`; before 21.08).
    PerNode(f64),
}

impl RequestedMemory {
    /// Bytes for the whole job, where the counts that are needed are known.
    pub fn total_bytes(self, cpus: Option<f64>, nodes: usize) -> Option<f64> {
        match self {
            Self::Total(bytes) => Some(bytes),
            Self::PerCpu(bytes) => cpus.map(|cpus| bytes * cpus),
            Self::PerNode(bytes) => Some(bytes * nodes as f64),
        }
    }
}

/// Reads `ReqMem`. `None` for an empty text and for nought, which stands for
/// "all of the node's memory" and so gives no amount.
///
/// # Errors
///
/// [`TresError::Memory`] for anything that is not an amount.
pub fn requested_memory(text: &str) -> Result<Option<RequestedMemory>, TresError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (amount, kind): (&str, fn(f64) -> RequestedMemory) = match text.as_bytes().last() {
        Some(b'c') => (text.get(..text.len().saturating_sub(1)).unwrap_or_default(), RequestedMemory::PerCpu),
        Some(b'n') => {
            (text.get(..text.len().saturating_sub(1)).unwrap_or_default(), RequestedMemory::PerNode)
        }
        _ => (text, RequestedMemory::Total),
    };
    let bytes = memory(amount)?;
    Ok((bytes > 0.0).then(|| kind(bytes)))
}

/// Bytes of an amount of memory as Slurm writes it: `100M`, `1.5G`, `0`. Units
/// are powers of 1024; a bare number is in mebibytes.
///
/// # Errors
///
/// [`TresError::Memory`] for anything else.
pub fn memory(text: &str) -> Result<f64, TresError> {
    memory_with_default(text, MIB)
}

/// Bytes of an amount of memory as people write it: `17179869184`, `16G`,
/// `16GiB`. Units are powers of 1024; a bare number is in bytes.
///
/// # Errors
///
/// [`TresError::Memory`] for anything else.
pub fn memory_in_bytes(text: &str) -> Result<f64, TresError> {
    let trimmed = text.trim();
    let short = ["iB", "ib", "B", "b"].iter().find_map(|unit| trimmed.strip_suffix(unit)).unwrap_or(trimmed);
    memory_with_default(short, 1.0)
}

fn memory_with_default(text: &str, default_unit: f64) -> Result<f64, TresError> {
    let wrong = || TresError::Memory { text: text.to_owned() };
    let trimmed = text.trim();
    let unit = match trimmed.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => Some(KIB),
        Some(b'M') => Some(MIB),
        Some(b'G') => Some(MIB * KIB),
        Some(b'T') => Some(MIB * MIB),
        Some(b'P') => Some(MIB * MIB * KIB),
        _ => None,
    };
    let digits = if unit.is_some() { trimmed.get(..trimmed.len().saturating_sub(1)) } else { Some(trimmed) };
    digits.and_then(plain_number).map(|number| number * unit.unwrap_or(default_unit)).ok_or_else(wrong)
}

fn count(text: &str) -> Result<f64, TresError> {
    plain_number(text.trim()).ok_or_else(|| TresError::Count { text: text.to_owned() })
}

/// A finite number of nought or more, written in digits: `f64::from_str` alone
/// would also take `inf`, `nan` and `1e300`.
pub(super) fn plain_number(text: &str) -> Option<f64> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits_only { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_slurm_22() {
        let tres = parse("billing=2,cpu=2,gres/gpu=4,gres/gpu:a100=4,mem=100M,node=1").unwrap();
        // 100 × 1024 × 1024
        let memory_bytes = Some(104_857_600.0);
        assert_eq!(tres, Tres { cpus: Some(2.0), memory_bytes, gpus: Some(4.0), nodes: Some(1.0) });
    }

    /// The published cases of Open XDMoD's test of GPU counts.
    #[test]
    fn gpus_are_counted_once() {
        let gpus = |text| parse(text).unwrap().gpus;
        assert_eq!(gpus("billing=1,cpu=1,gres/gpu=4,mem=1G,node=1"), Some(4.0));
        assert_eq!(gpus("billing=1,cpu=1,gres/gpu:p100=1,mem=1G,node=1"), Some(1.0));
        assert_eq!(gpus("billing=1,cpu=1,gres/gpu:volta=2,mem=1G,node=1"), Some(2.0));
        assert_eq!(gpus("gres/gpu:tesla=4"), Some(4.0));
        assert_eq!(gpus("billing=1,cpu=1,mem=1G,node=1"), None);
        assert_eq!(gpus("gres/gpu:a100=2,gres/gpu:v100=1"), Some(3.0));
        assert_eq!(gpus("gres/gpu:a100=2,gres/gpu=3,gres/gpu:v100=1"), Some(3.0));
        assert_eq!(gpus("gres/gpumem=80G,gres/gpuutil=100,gres/shard=2"), None);
    }

    #[test]
    fn numbers_for_names() {
        // Slurm's TRES ids: 1 is cpu, 2 is mem (MiB), 3 is energy, 4 is node, 5 is billing.
        let tres = parse("1=8,2=16384,3=18446744073709551614,4=2,5=8,1001=4").unwrap();
        let memory_bytes = Some(17_179_869_184.0);
        assert_eq!(tres, Tres { cpus: Some(8.0), memory_bytes, gpus: None, nodes: Some(2.0) });
    }

    #[test]
    fn generic_resources() {
        let read = |text| gres(text).map(|gres| (gres.gpus, gres.ids.unwrap_or_default().join(" ")));
        assert_eq!(read("gpu:a100:4(IDX:0-3)"), Some((4.0, "0 1 2 3".to_owned())));
        assert_eq!(read("gres/gpu:a100:2(IDX:0,3),gpu:v100:1(IDX:7)"), Some((3.0, "0 3 7".to_owned())));
        assert_eq!(read("gpu:2"), Some((2.0, String::new())));
        assert_eq!(read("gpu:a100:8(S:0-1)"), Some((8.0, String::new())));
        assert_eq!(read("gpu:a100"), Some((1.0, String::new())));
        assert_eq!(read("gpu:4(IDX:0-1)"), Some((4.0, String::new())));
        for none in ["", "(null)", "shard:4(IDX:0)", "mps:100", "craynetwork:1"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn memory_in_all_its_spellings() {
        assert_eq!(memory("1.5G"), Ok(1_610_612_736.0));
        assert_eq!(memory("6760M"), Ok(7_088_373_760.0));
        assert_eq!(memory("512K"), Ok(524_288.0));
        assert_eq!(memory("2T"), Ok(2_199_023_255_552.0));
        assert_eq!(memory("100"), Ok(104_857_600.0));
        assert_eq!(memory_in_bytes("17179869184"), memory_in_bytes("16GiB"));
        assert_eq!(memory_in_bytes("16G"), Ok(17_179_869_184.0));
        for wrong in ["", "G", "-1G", "1e9", "infM", "nan", "1.2.3M", "é"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn requested_memory_of_old_slurm() {
        let total =
            |text, cpus, nodes| requested_memory(text).unwrap().and_then(|m| m.total_bytes(cpus, nodes));
        // 6760 MiB × 4 CPUs = 27,040 MiB; 250 GiB × 3 nodes = 750 GiB
        assert_eq!(total("6760Mc", Some(4.0), 2), Some(27_040.0 * 1_048_576.0));
        assert_eq!(total("6760Mc", None, 2), None);
        assert_eq!(total("250Gn", Some(4.0), 3), Some(750.0 * 1_073_741_824.0));
        assert_eq!(total("100M", None, 3), Some(104_857_600.0));
        assert_eq!(total("0n", None, 3), None);
        assert_eq!(total("", None, 3), None);
        assert!(requested_memory("?").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-zIDX/:=,()0-9.KMGTé-]{0,40}") {
            let _ = parse(&text);
            let _ = requested_memory(&text);
            let _ = memory_in_bytes(&text);
            let _ = gres(&text);
        }
    }
}
