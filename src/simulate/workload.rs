//! The runs: who asked for what, and where it was placed.

use super::hardware::Node;
use super::placement::{Request, Schedule};
use super::random::{Purpose, stream};
use super::scenario::Scenario;
use crate::time::{SECOND_MS, Window};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// What a run does, which gives its load its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Steady with periodic bursts.
    Train,
    /// Pulses at random, as requests come.
    Infer,
    /// Processors only, in steps.
    Prepare,
    /// Everything at full load.
    Check,
}

/// How a run ended, in Slurm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Completed,
    Failed,
    CancelledByUser,
    Timeout,
    OutOfMemory,
    NodeFail,
    Running,
    /// Never started, still waiting.
    Pending,
    /// Never started, withdrawn.
    CancelledWaiting,
}

/// What a run holds on one node.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) node: usize,
    pub(super) cpus: Vec<u32>,
    pub(super) gpus: Vec<u32>,
    pub(super) memory_mib: u64,
}

/// One job or array task.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// As sacct's `JobID`: `1234`, or `1230_7` for an array task.
    pub(super) id: String,
    /// As `JobIDRaw`.
    pub(super) raw_id: u64,
    pub(super) name: String,
    pub(super) user: &'static str,
    pub(super) account: &'static str,
    pub(super) partition: &'static str,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) submit_ms: i64,
    /// Start and end; of a running one the end is the window's. Empty if it never started.
    pub(super) window: Window,
    pub(super) parts: Vec<Part>,
}

impl Run {
    /// True if it ever held anything.
    pub(super) fn started(&self) -> bool {
        !matches!(self.state, State::Pending | State::CancelledWaiting)
    }
}

/// A submission: one job, or the tasks of an array.
struct Submission {
    submit_ms: i64,
    array: bool,
    runs: Vec<Run>,
}

const USERS: [(&str, &str); 6] = [
    ("alice", "climate"),
    ("bob", "nlp"),
    ("carol", "vision"),
    ("dave", "nlp"),
    ("erin", "climate"),
    ("frank", "physics"),
];
const TRAIN_NAMES: [&str; 5] =
    ["train-resnet50", "train-llama-8b", "train-unet", "train-graphcast", "train-bert"];
const INFER_NAMES: [&str; 4] = ["infer-llama-8b", "infer-whisper", "infer-yolo", "infer-embed"];
const PREPARE_NAMES: [&str; 4] = ["prepare-tokens", "prepare-era5", "prepare-images", "eval-metrics"];

/// Draws and places the runs of a scenario, in order of their ids.
pub(super) fn runs(scenario: &Scenario, window: Window, nodes: &[Node]) -> Vec<Run> {
    let mut drawing = Drawing {
        scenario,
        window,
        nodes,
        chance: stream(scenario.seed, Purpose::Workload, 0),
        schedule: Schedule::new(nodes, window),
    };
    let mut submissions = vec![drawing.node_checks()];
    submissions.extend(drawing.cut_off());
    let target = scenario.run_target() as usize;
    if scenario.nodes > 2 {
        for _ in 0..(target / 60).max(1) {
            submissions.extend(drawing.multi_node());
        }
    }
    for _ in 0..target {
        submissions.extend(drawing.submission());
    }
    submissions.extend((0..4).map(|nth| drawing.never_started(nth)));
    number(submissions)
}

/// Gives ids in order of submission. Slurm lets an array's last task keep the
/// array's own number; the others get numbers of their own after it.
fn number(mut submissions: Vec<Submission>) -> Vec<Run> {
    submissions.sort_by_key(|submission| submission.submit_ms);
    let mut next = 41_001;
    let mut runs = Vec::new();
    for submission in submissions {
        let first = next;
        next += submission.runs.len() as u64;
        let last = submission.runs.len().saturating_sub(1);
        for (task, mut run) in submission.runs.into_iter().enumerate() {
            run.raw_id = if task == last { first } else { first + 1 + task as u64 };
            run.id = if submission.array { format!("{first}_{task}") } else { first.to_string() };
            runs.push(run);
        }
    }
    runs
}

struct Drawing<'a> {
    scenario: &'a Scenario,
    window: Window,
    nodes: &'a [Node],
    chance: ChaCha8Rng,
    schedule: Schedule<'a>,
}

impl Drawing<'_> {
    /// An array with one task on each whole node: the largest allocation there can be.
    fn node_checks(&mut self) -> Submission {
        let submit_ms = self.window.start_ms + 60 * SECOND_MS;
        let length_ms = (self.window.length_ms() / 200).clamp(20 * SECOND_MS, 600 * SECOND_MS);
        let mut runs = Vec::new();
        for node in 0..self.scenario.nodes as usize {
            let wait_ms = self.chance.random_range(5..=120) * SECOND_MS;
            let start_ms = submit_ms + wait_ms;
            let request = Request::whole(self.nodes, &[node]);
            let length_ms = length_ms / SECOND_MS * SECOND_MS;
            let mut run = self.run(Kind::Check, "nodecheck", submit_ms);
            (run.user, run.account, run.partition) = ("root", "operations", "all");
            runs.extend(self.place(run, &request, start_ms, length_ms));
        }
        Submission { submit_ms, array: true, runs }
    }

    /// Training over two to four whole nodes.
    fn multi_node(&mut self) -> Option<Submission> {
        let usable = self.scenario.busy_nodes() as usize;
        let count = self.chance.random_range(2..=4).min(usable);
        let mut chosen: Vec<usize> = Vec::new();
        for _ in 0..16 {
            let node = self.chance.random_range(0..usable);
            if chosen.len() < count && !chosen.contains(&node) {
                chosen.push(node);
            }
        }
        chosen.sort_unstable();
        let submit_ms = self.submit_ms();
        let start_ms = submit_ms + self.chance.random_range(1..=900) * SECOND_MS;
        let length_ms = self.length_ms(1800.0, 28_800.0);
        let request = Request::whole(self.nodes, &chosen);
        let name = format!("{}-ddp", self.pick(&TRAIN_NAMES));
        let run = self.run(Kind::Train, &name, submit_ms);
        let run = self.place(run, &request, start_ms, length_ms)?;
        Some(Submission { submit_ms, array: false, runs: vec![run] })
    }

    /// Runs that an outage and the end of the window find at work.
    fn cut_off(&mut self) -> Vec<Submission> {
        let outage = |nth: usize| Some((nth, self.nodes.get(nth)?.on.first()?.end_ms));
        let outages = (0..self.scenario.busy_nodes() as usize)
            .filter_map(outage)
            .filter(|(_, at_ms)| *at_ms < self.window.end_ms);
        let end = (0, self.window.end_ms);
        let mut submissions = Vec::new();
        for (node, at_ms) in outages.chain([end]).collect::<Vec<_>>() {
            let length_ms = self.length_ms(1800.0, 14_400.0);
            let start_ms = (at_ms - length_ms / 2) / SECOND_MS * SECOND_MS;
            let name = self.pick(&TRAIN_NAMES);
            let run = self.run(Kind::Train, name, start_ms - 30 * SECOND_MS);
            let request =
                Request::shared(vec![node], self.scenario.cpus.min(4), 1.min(self.scenario.gpus), 16_384);
            let placed = self.place(run, &request, start_ms, length_ms);
            submissions.extend(placed.map(|run| Submission {
                submit_ms: run.submit_ms,
                array: false,
                runs: vec![run],
            }));
        }
        submissions
    }

    /// One job or array on parts of nodes.
    fn submission(&mut self) -> Option<Submission> {
        let submit_ms = self.submit_ms();
        let gpus = self.scenario.gpus;
        let cores_a_gpu = (self.scenario.cpus / gpus.max(1)).clamp(1, 16);
        let choice = self.chance.random_range(0..100);
        let (kind, names, tasks, wanted_gpus, cpus, shortest_s, longest_s): (
            _,
            &[&'static str],
            _,
            _,
            _,
            _,
            _,
        ) = match choice {
            0..35 => {
                let wanted = self.chance.random_range(1..=gpus.max(1)).min(gpus);
                let cpus = (wanted.max(1) * cores_a_gpu).min(self.scenario.cpus);
                (Kind::Train, &TRAIN_NAMES, 1, wanted, cpus, 900.0, 21_600.0)
            }
            35..60 => (Kind::Infer, &INFER_NAMES, 1, 1.min(gpus), self.cpus(8), 300.0, 7200.0),
            60..80 => (Kind::Prepare, &PREPARE_NAMES, 1, 0, self.cpus(self.scenario.cpus / 2), 120.0, 5400.0),
            80..88 => {
                let tasks = self.chance.random_range(3..=10);
                (Kind::Prepare, &["sweep-lr", "prepare-shards"], tasks, 0, self.cpus(4), 60.0, 900.0)
            }
            // Shorter than two scrapes.
            _ => (Kind::Train, &["debug-smoke", "train-dryrun"], 1, 1.min(gpus), self.cpus(4), 5.0, 40.0),
        };
        let name = self.pick(names);
        let template = self.run(kind, name, submit_ms);
        let memory_mib = u64::from(cpus) * 1024 * self.chance.random_range(2..=7);
        let mut runs = Vec::new();
        for _ in 0..tasks {
            let request = self.request(wanted_gpus, cpus, memory_mib);
            let start_ms = submit_ms + self.chance.random_range(1..=180) * SECOND_MS;
            let length_ms = self.length_ms(shortest_s, longest_s);
            runs.extend(self.place(template.clone(), &request, start_ms, length_ms));
        }
        (!runs.is_empty()).then_some(Submission { submit_ms, array: tasks > 1, runs })
    }

    /// Jobs that waited in vain: two still do, two were withdrawn.
    fn never_started(&mut self, nth: u32) -> Submission {
        let waiting = nth < 2;
        let back_ms = self.window.length_ms() / if waiting { 40 } else { 3 };
        let submit_ms =
            (self.window.end_ms - self.chance.random_range(back_ms / 2..back_ms)) / SECOND_MS * SECOND_MS;
        let name = self.pick(&TRAIN_NAMES);
        let mut run = self.run(Kind::Train, name, submit_ms);
        run.state = if waiting { State::Pending } else { State::CancelledWaiting };
        let withdrawn_ms = submit_ms + back_ms / 4 / SECOND_MS * SECOND_MS;
        run.window = Window::new(withdrawn_ms, withdrawn_ms);
        Submission { submit_ms, array: false, runs: vec![run] }
    }

    fn run(&mut self, kind: Kind, name: &str, submit_ms: i64) -> Run {
        let (user, account) = USERS.choose(&mut self.chance).copied().unwrap_or_default();
        Run {
            id: String::new(),
            raw_id: 0,
            name: name.to_owned(),
            user,
            account,
            partition: if matches!(kind, Kind::Prepare) { "cpu" } else { "gpu" },
            kind,
            state: State::Completed,
            submit_ms,
            window: Window::new(submit_ms, submit_ms),
            parts: Vec::new(),
        }
    }

    /// Places `run` at `start_ms` or, where it does not fit, somewhat later.
    fn place(&mut self, mut run: Run, request: &Request, start_ms: i64, length_ms: i64) -> Option<Run> {
        let mut start_ms = start_ms;
        for _ in 0..6 {
            if let Some((window, parts)) =
                self.schedule.place(request, Window::new(start_ms, start_ms + length_ms))
            {
                let cut = window.end_ms < start_ms + length_ms;
                run.window = window;
                run.parts = parts;
                run.state = match cut {
                    true if window.end_ms == self.window.end_ms => State::Running,
                    true => State::NodeFail,
                    false if run.kind == Kind::Check => State::Completed,
                    false => match self.chance.random_range(0..100) {
                        0..5 => State::Failed,
                        5..8 => State::CancelledByUser,
                        8..11 => State::Timeout,
                        11 => State::OutOfMemory,
                        _ => State::Completed,
                    },
                };
                return Some(run);
            }
            start_ms += self.chance.random_range(60..=3600) * SECOND_MS;
        }
        None
    }

    fn request(&mut self, gpus: u32, cpus: u32, memory_mib: u64) -> Request {
        let usable = self.scenario.busy_nodes() as usize;
        let candidates = (0..12).map(|_| self.chance.random_range(0..usable)).collect();
        Request::shared(candidates, cpus, gpus, memory_mib)
    }

    fn submit_ms(&mut self) -> i64 {
        let length_s = self.window.length_ms() / SECOND_MS;
        self.window.start_ms + self.chance.random_range(length_s / 50..length_s) * SECOND_MS
    }

    fn cpus(&mut self, most: u32) -> u32 {
        let most = most.clamp(1, self.scenario.cpus);
        self.chance.random_range(1..=most)
    }

    /// A length between two, small ones more often, in whole seconds; in short scenarios shortened.
    fn length_ms(&mut self, shortest_s: f64, longest_s: f64) -> i64 {
        let longest_s = longest_s.min(self.window.length_s() / 4.0).max(shortest_s.min(10.0) + 1.0);
        let shortest_s = shortest_s.min(longest_s / 2.0);
        let exponent: f64 = self.chance.random_range(0.0..1.0);
        let length_s = shortest_s * (longest_s / shortest_s).powf(exponent);
        (length_s.round() as i64).max(1) * SECOND_MS
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(&mut self.chance).copied().unwrap_or_default()
    }
}
