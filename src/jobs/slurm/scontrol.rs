//! `scontrol show job -d` and `scontrol show node`: what only the controller knows, which CPUs and GPUs of
//! which node a job has, and how large the nodes are.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;

use super::{Held, Job, stage_in, units_in};
use crate::jobs::clock::{self, Instant, When};
use crate::jobs::collect::{Collector, MOST_IDS};
use crate::jobs::error::shorten;
use crate::jobs::lines::Lines;
use crate::jobs::tres::{self, MIB, Tres};
use crate::jobs::{Allocation, JobsError, Options, RejectReason, Run, SchedulerNode, expand_nodes};
use crate::metered::LONGEST_BYTES;

/// A record is a few dozen lines; what goes on for longer is none.
const MOST_LINES: usize = 200_000;

/// Reads every record.
pub(crate) fn read(
    collector: &mut Collector,
    mut lines: Lines<impl BufRead>,
    path: &Path,
    options: &Options,
) -> Result<(), JobsError> {
    let (mut record, mut bytes) = (Record::default(), 0_u64);
    while let Some((number, text)) = lines.next_text(collector, path)? {
        let begins = ["JobId=", "NodeName="].iter().any(|key| text.trim_start().starts_with(key));
        if begins || record.lines.len() >= MOST_LINES || bytes >= LONGEST_BYTES {
            record.take(collector, options);
            (record, bytes) = (Record { number, lines: Vec::new() }, 0);
        }
        bytes = bytes.saturating_add(text.len() as u64);
        if !text.trim().is_empty() {
            record.lines.push(text.trim().to_owned());
        }
    }
    record.take(collector, options);
    Ok(())
}

/// The lines of one job or node.
#[derive(Default)]
struct Record {
    /// Where it begins.
    number: u64,
    lines: Vec<String>,
}

impl Record {
    fn take(&self, collector: &mut Collector, options: &Options) {
        let Some(first) = self.lines.first() else { return };
        let outcome = if first.starts_with("JobId=") {
            self.take_job(collector, options)
        } else if first.starts_with("NodeName=") {
            self.take_node(collector);
            Ok(())
        } else {
            Err(RejectReason::BadJobId { text: shorten(first) })
        };
        if let Err(reason) = outcome {
            collector.reject(self.number, reason, first);
        }
    }

    /// The value of a key: up to the next blank. `(null)` and `N/A` are none.
    fn get(&self, key: &str) -> &str {
        let found = self.lines.iter().find_map(|line| value_in(line, key)).unwrap_or_default();
        if ["(null)", "N/A", "n/a", "None", "Unknown"].contains(&found) { "" } else { found }
    }

    /// The value of a key whose value may hold blanks: up to the end of its line.
    fn rest(&self, key: &str) -> &str {
        let found = self.lines.iter().find_map(|line| line.split_once(key));
        found.filter(|(before, _)| before.is_empty() || before.ends_with(' ')).map_or("", |(_, rest)| rest)
    }

    fn time(&self, key: &'static str, options: &Options) -> Result<Option<Instant>, RejectReason> {
        match clock::parse(self.get(key), options.zone) {
            Ok(When::Never) => Ok(None),
            Ok(When::At(instant)) => Ok(Some(instant)),
            Err(source) => Err(RejectReason::BadTime { column: key, source }),
        }
    }

    fn take_job(&self, collector: &mut Collector, options: &Options) -> Result<(), RejectReason> {
        let id = self.get("JobId");
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(RejectReason::BadJobId { text: shorten(id) });
        }
        let state = self.get("JobState");
        let running = ["RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STOPPED"].contains(&state);
        let nodes = self.get("NodeList");
        let job = Job {
            run: Run {
                run_id: self.run_id(id),
                job_id: id.to_owned(),
                name: self.rest("JobName=").to_owned(),
                user: self.get("UserId").split('(').next().unwrap_or_default().to_owned(),
                account: self.get("Account").to_owned(),
                partition: self.get("Partition").to_owned(),
                state: state.to_owned(),
                stage: ["Comment=", "AdminComment=", "SystemComment="]
                    .iter()
                    .find_map(|key| stage_in(self.rest(key)))
                    .unwrap_or_default()
                    .to_owned(),
                functional_units: ["Comment=", "AdminComment=", "SystemComment="]
                    .iter()
                    .find_map(|key| units_in(self.rest(key))),
                ..Run::default()
            },
            cluster: String::new(),
            submit: self.time("SubmitTime", options)?,
            start: self.time("StartTime", options)?,
            // While a job runs, this is when its time limit ends it.
            end: if running { None } else { self.time("EndTime", options)? },
            elapsed_ms: clock::parse_elapsed(self.get("RunTime")),
            nodes: expand_nodes(nodes)?,
        };
        if !job.has_run(collector) {
            return Ok(());
        }
        let list = ["AllocTRES", "TRES"].map(|key| self.get(key)).into_iter().find(|list| !list.is_empty());
        let resources = list
            .map(tres::parse)
            .transpose()
            .map_err(|source| RejectReason::BadResource { column: "TRES", source })?;
        let per_node = self.per_node(&job.nodes, resources.as_ref())?;
        let held =
            Held { resources, cpus: tres::plain_number(self.get("NumCPUs")), per_node, ..Held::default() };
        job.record(held, collector)
    }

    /// `33_2`, `28+1`, as `sacct` writes them.
    fn run_id(&self, id: &str) -> String {
        let (array, task) = (self.get("ArrayJobId"), self.get("ArrayTaskId"));
        let (het, part) = (self.get("HetJobId"), self.get("HetJobOffset"));
        if !array.is_empty() && !task.is_empty() {
            let one = task.bytes().all(|byte| byte.is_ascii_digit());
            if one { format!("{array}_{task}") } else { format!("{array}_[{task}]") }
        } else if !het.is_empty() && het != "0" && !part.is_empty() {
            format!("{het}+{part}")
        } else {
            id.to_owned()
        }
    }

    /// `Nodes=n001 CPU_IDs=0-1 Mem=100 GRES=gpu:a100:2(IDX:0-1)`, a line for each kind of node.
    fn per_node(
        &self,
        nodes: &[String],
        resources: Option<&Tres>,
    ) -> Result<Option<Vec<Allocation>>, RejectReason> {
        let mut allocations = Vec::new();
        for line in self.lines.iter().filter(|line| line.starts_with("Nodes=")) {
            let of = |key| value_in(line, key).unwrap_or_default();
            let gres = tres::gres(of("GRES"));
            let no_gpus = line.contains(" GRES=") && resources.is_some_and(|tres| tres.gpus.is_none());
            let here = expand_nodes(of("Nodes"))?;
            // Anything else than one line for each node is not what the job holds now.
            if allocations.len().saturating_add(here.len()) > nodes.len() {
                return Ok(None);
            }
            let ids = gres.as_ref().and_then(|gres| gres.ids.as_ref()).map_or(0, Vec::len);
            if here.len().saturating_mul(ids) > MOST_IDS {
                return Err(RejectReason::TooManyHosts);
            }
            for node in here {
                allocations.push(Allocation {
                    node,
                    cpus: count_ids(of("CPU_IDs")),
                    memory_bytes: tres::plain_number(of("Mem"))
                        .filter(|mebibytes| *mebibytes > 0.0)
                        .map(|mebibytes| mebibytes * MIB),
                    gpus: gres.as_ref().map(|gres| gres.gpus).or(no_gpus.then_some(0.0)),
                    gpu_ids: gres.as_ref().and_then(|gres| gres.ids.clone()),
                });
            }
        }
        let held: HashSet<&str> = allocations.iter().map(|allocation| allocation.node.as_str()).collect();
        let complete = allocations.len() == nodes.len() && nodes.iter().all(|node| held.contains(&**node));
        Ok(complete.then_some(allocations))
    }

    fn take_node(&self, collector: &mut Collector) {
        let gres = self.get("Gres");
        let configured = tres::parse(self.get("CfgTRES")).unwrap_or_default();
        let memory = tres::plain_number(self.get("RealMemory")).map(|mebibytes| mebibytes * MIB);
        collector.nodes.push(SchedulerNode {
            name: self.get("NodeName").to_owned(),
            cpus: tres::plain_number(self.get("CPUTot")).filter(|cpus| *cpus > 0.0),
            memory_bytes: memory.filter(|bytes| *bytes > 0.0),
            gpus: configured.gpus.or_else(|| tres::gres(gres).map(|gres| gres.gpus)),
        });
    }
}

/// The value of `key=` in a line of `key=value` pairs.
fn value_in<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// How many ids a list such as `0-3,8` has.
fn count_ids(list: &str) -> Option<f64> {
    if list.is_empty() {
        return None;
    }
    let mut count = 0_u64;
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_ids() {
        let line = "NumNodes=1 NumCPUs=1 Nodes=n001 CPU_IDs=0-3,8 Mem=100";
        assert_eq!(value_in(line, "Nodes"), Some("n001"));
        assert_eq!(value_in(line, "NumCPUs"), Some("1"));
        assert_eq!(value_in(line, "CPUs"), None);
        assert_eq!(count_ids("0-3,8"), Some(5.0));
        assert_eq!(count_ids(""), None);
        assert_eq!(count_ids("3-1"), None);
        assert_eq!(count_ids("0-18446744073709551615"), None);
    }
}
