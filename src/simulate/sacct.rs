//! The job log as `sacct -P` of Slurm 22.05 prints it, in UTC.

use super::cluster::Cluster;
use super::workload::{Part, Run, State};
use crate::time::SECOND_MS;
use chrono::DateTime;
use std::fmt::Write;

/// The columns.
const HEADER: &str = "JobID|JobIDRaw|JobName|User|Account|Partition|State|Submit|Start|End|Elapsed|AllocCPUS|NNodes|\
                      NodeList|ReqMem|AllocTRES|ConsumedEnergyRaw|TotalCPU|Comment";

/// The whole log: a line for each job, and one for each of its steps.
pub(super) fn log(cluster: &Cluster) -> String {
    let mut text = format!("{HEADER}\n");
    for (nth, run) in cluster.runs.iter().enumerate() {
        job(&mut text, cluster, (nth, run));
        if run.started() {
            steps(&mut text, cluster, run);
        }
    }
    text
}

/// The fields in which a job's line and its steps' lines differ.
struct Line<'a> {
    id: String,
    raw_id: String,
    name: &'a str,
    comment: &'a str,
    user: &'a str,
    partition: &'a str,
    state: &'a str,
    submit_ms: i64,
    memory: String,
    tres: String,
    cpus: u32,
    /// CPU time used; empty where nothing was gathered.
    total_cpu: String,
    nodes: usize,
    node_list: String,
}

fn job(text: &mut String, cluster: &Cluster, (nth, run): (usize, &Run)) {
    let state = match run.state {
        State::Completed => "COMPLETED",
        State::Failed => "FAILED",
        // sacct prints the user's number.
        State::CancelledByUser | State::CancelledWaiting => "CANCELLED by 1000",
        State::Timeout => "TIMEOUT",
        State::OutOfMemory => "OUT_OF_MEMORY",
        State::NodeFail => "NODE_FAIL",
        State::Running => "RUNNING",
        State::Pending => "PENDING",
    };
    let cpus: u32 = run.parts.iter().map(|part| part.cpus.len() as u32).sum();
    let memory_mib: u64 = run.parts.iter().map(|part| part.memory_mib).sum();
    let line = Line {
        id: run.id.clone(),
        raw_id: run.raw_id.to_string(),
        name: &run.name,
        comment: comment(&run.name),
        user: run.user,
        partition: run.partition,
        state,
        submit_ms: run.submit_ms,
        memory: if run.started() { memory_text(memory_mib) } else { "16G".to_owned() },
        tres: if run.started() { format!("billing={cpus},{}", tres(&run.parts)) } else { String::new() },
        cpus,
        total_cpu: if run.started() {
            cpu_time_text(cpu_time_s(cluster, nth))
        } else {
            "00:00:00".to_owned()
        },
        nodes: run.parts.len().max(1),
        node_list: if run.started() { node_list(cluster, &run.parts) } else { "None assigned".to_owned() },
    };
    write_line(text, run, &line);
}

/// What users of this cluster write with `--comment`, for reports by stage.
fn comment(name: &str) -> &'static str {
    match name.split('-').next() {
        Some("train") => "stage=training",
        Some("infer") => "stage=inference",
        Some("prepare" | "sweep") => "stage=preparation",
        Some("eval") => "stage=evaluation",
        _ => "",
    }
}

/// `.batch` on the first node, `.extern` on all, and one `srun` where there are GPUs.
fn steps(text: &mut String, cluster: &Cluster, run: &Run) {
    let batch_state = match run.state {
        State::CancelledByUser | State::Timeout | State::NodeFail => "CANCELLED",
        State::Failed => "FAILED",
        State::OutOfMemory => "OUT_OF_MEMORY",
        State::Running => "RUNNING",
        _ => "COMPLETED",
    };
    let extern_state = if run.state == State::Running { "RUNNING" } else { "COMPLETED" };
    let first = run.parts.get(..1).unwrap_or_default();
    let with_gpus = run.parts.iter().any(|part| !part.gpus.is_empty());
    let steps = [
        ("batch", "batch", batch_state, first, true),
        ("extern", "extern", extern_state, run.parts.as_slice(), true),
        ("0", "python", batch_state, run.parts.as_slice(), with_gpus),
    ];
    for (suffix, name, state, parts, _) in steps.into_iter().filter(|step| step.4) {
        let line = Line {
            id: format!("{}.{suffix}", run.id),
            raw_id: format!("{}.{suffix}", run.raw_id),
            name,
            comment: "",
            user: "",
            partition: "",
            state,
            submit_ms: run.window.start_ms,
            memory: String::new(),
            tres: tres(parts),
            cpus: parts.iter().map(|part| part.cpus.len() as u32).sum(),
            total_cpu: "00:00:00".to_owned(),
            nodes: parts.len(),
            node_list: node_list(cluster, parts),
        };
        write_line(text, run, &line);
    }
}

fn write_line(text: &mut String, run: &Run, line: &Line<'_>) {
    let (start, end) = match run.state {
        State::Pending => ("Unknown".to_owned(), "Unknown".to_owned()),
        State::CancelledWaiting => ("None".to_owned(), time_text(run.window.end_ms)),
        State::Running => (time_text(run.window.start_ms), "Unknown".to_owned()),
        _ => (time_text(run.window.start_ms), time_text(run.window.end_ms)),
    };
    let energy = if run.started() { "0" } else { "" };
    let fields = [
        line.id.as_str(),
        &line.raw_id,
        line.name,
        line.user,
        run.account,
        line.partition,
        line.state,
        &time_text(line.submit_ms),
        &start,
        &end,
        &elapsed_text(run.window.length_ms() / SECOND_MS),
        &line.cpus.to_string(),
        &line.nodes.to_string(),
        &line.node_list,
        &line.memory,
        &line.tres,
        energy,
        &line.total_cpu,
        line.comment,
    ];
    // Writing into a string does not fail.
    let _ = writeln!(text, "{}", fields.join("|"));
}

fn tres(parts: &[Part]) -> String {
    let cpus: usize = parts.iter().map(|part| part.cpus.len()).sum();
    let gpus: usize = parts.iter().map(|part| part.gpus.len()).sum();
    let memory_mib: u64 = parts.iter().map(|part| part.memory_mib).sum();
    let gpus = if gpus > 0 { format!("gres/gpu={gpus},") } else { String::new() };
    format!("cpu={cpus},{gpus}mem={},node={}", memory_text(memory_mib), parts.len())
}

fn memory_text(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{}G", mib / 1024) } else { format!("{mib}M") }
}

fn time_text(at_ms: i64) -> String {
    DateTime::from_timestamp_millis(at_ms)
        .map_or_else(|| "Unknown".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%S").to_string())
}

/// `[days-]hours:minutes:seconds`.
fn elapsed_text(seconds: i64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{clock}") } else { clock }
}

/// CPU seconds that the run used on all its nodes.
fn cpu_time_s(cluster: &Cluster, nth: usize) -> f64 {
    let (Some(run), Some(loads)) = (cluster.runs.get(nth), cluster.loads.get(nth)) else { return 0.0 };
    let used = run.parts.iter().zip(loads);
    crate::sum::sum(used.map(|(part, load)| part.cpus.len() as f64 * load.cpu.integral(run.window)))
}

/// `minutes:seconds.milliseconds`, or from an hour on whole seconds as [`elapsed_text`].
fn cpu_time_text(seconds: f64) -> String {
    if seconds >= 3600.0 {
        return elapsed_text(seconds.round() as i64);
    }
    let milliseconds = (seconds * 1000.0).round() as i64;
    let whole = milliseconds / 1000;
    format!("{:02}:{:02}.{:03}", whole / 60, whole % 60, milliseconds % 1000)
}

fn node_list(cluster: &Cluster, parts: &[Part]) -> String {
    let names = parts.iter().filter_map(|part| cluster.nodes.get(part.node)).map(|node| node.name.as_str());
    compress(names)
}

/// Folds names with one prefix and numbers of one width: `gpu[001-003,007],login1`.
fn compress<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut groups: Vec<(&str, usize, Vec<u64>)> = Vec::new();
    for name in names {
        let prefix = name.trim_end_matches(|last: char| last.is_ascii_digit());
        let digits = name.get(prefix.len()..).unwrap_or_default();
        let number = digits.parse().unwrap_or_default();
        match groups.iter_mut().find(|(known, width, _)| *known == prefix && *width == digits.len()) {
            Some((.., numbers)) => numbers.push(number),
            None => groups.push((prefix, digits.len(), vec![number])),
        }
    }
    let folded = groups.into_iter().map(|(prefix, width, numbers)| match numbers.as_slice() {
        [_] if width == 0 => prefix.to_owned(),
        [only] => format!("{prefix}{only:0width$}"),
        several => format!("{prefix}[{}]", ranges(several, width)),
    });
    folded.collect::<Vec<String>>().join(",")
}

fn ranges(numbers: &[u64], width: usize) -> String {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => spans.push((number, number)),
        }
    }
    let texts = spans.into_iter().map(|(first, last)| {
        if first == last { format!("{first:0width$}") } else { format!("{first:0width$}-{last:0width$}") }
    });
    texts.collect::<Vec<String>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_lists_fold_as_slurm_folds_them() {
        let fold = |names: &[&str]| compress(names.iter().copied());
        assert_eq!(fold(&["gpu001"]), "gpu001");
        assert_eq!(fold(&["gpu001", "gpu002", "gpu003", "gpu007"]), "gpu[001-003,007]");
        assert_eq!(fold(&["gpu009", "gpu010", "login1", "head"]), "gpu[009-010],login1,head");
    }

    #[test]
    fn lengths_print_as_sacct_prints_them() {
        assert_eq!(elapsed_text(26), "00:00:26");
        assert_eq!(elapsed_text(86_400 + 2 * 3600 + 3 * 60 + 4), "1-02:03:04");
        assert_eq!(cpu_time_text(62.25), "01:02.250");
        assert_eq!(cpu_time_text(3600.4), "01:00:00");
        assert_eq!(memory_text(65_536), "64G");
        assert_eq!(memory_text(1500), "1500M");
    }
}
