//! The corruption matrix: every byte of a real block flipped, every file cut, emptied, dropped and exchanged, one at a time; what is
//! read then must be what was there, or less of it with a word about the loss, and never another number.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it fails by panicking, and prints its table"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wattledger::time::Window;
use wattledger::tsdb::{Database, Matcher, ReadBuffer, ReadStats};

/// What became of damages of one kind to one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tried: u64,
    /// Less or the same was read, with a word about it.
    pub(crate) detected: u64,
    /// The same was read, and what the block says of itself is the same.
    pub(crate) harmless: u64,
    /// The same samples were read, and something else that the block says of itself is another, without a word.
    pub(crate) undetectable: u64,
    /// Other samples were read, or fewer without a word.
    pub(crate) missed: u64,
}

/// All that was tried with a block.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    /// By file and kind of damage.
    pub(crate) rows: BTreeMap<(String, &'static str), Counts>,
    /// Fields of `meta.json` that nothing can check.
    pub(crate) undetectable: BTreeSet<String>,
    /// What was missed, in words.
    pub(crate) missed: Vec<String>,
}

/// Everything that a block says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    /// By series; histograms as text.
    floats: BTreeMap<String, Vec<(i64, u64)>>,
    histograms: BTreeMap<String, Vec<String>>,
    losses: BTreeSet<String>,
    about: Vec<String>,
}

impl Answer {
    fn of(block: &Path) -> Self {
        let mut answer = Self::default();
        let database = match Database::open(block) {
            Ok(database) => database,
            Err(error) => {
                answer.losses.insert(error.to_string());
                return answer;
            }
        };
        answer.losses.extend(database.left_out().iter().map(ToString::to_string));
        for block in database.blocks() {
            answer.about = vec![
                format!("ulid {}", block.ulid),
                format!("time {}", block.window),
                format!("level {}", block.compaction_level),
                format!("samples {}", block.stats.samples),
                format!("sources {:?}", block.sources),
                format!("out of order {}", block.is_out_of_order),
            ];
        }
        let all = [Matcher::regex("__name__", ".*").unwrap()];
        let mut buffer = ReadBuffer::default();
        match database.select(&all, Window::ALL) {
            Err(error) => drop(answer.losses.insert(error.to_string())),
            Ok(selected) => {
                for series in selected {
                    let mut stats = ReadStats::default();
                    database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
                    let samples = buffer.samples();
                    let times = samples.timestamps_ms.iter().copied();
                    let floats = times.zip(samples.values.iter().map(|value| value.to_bits())).collect();
                    answer.floats.insert(series.labels.to_string(), floats);
                    let mut unread = ReadStats::default();
                    let histograms = database.read_histograms(&series, Window::ALL, &mut unread).unwrap();
                    let texts = histograms.iter().map(|sample| format!("{sample:?}")).collect();
                    answer.histograms.insert(series.labels.to_string(), texts);
                    answer
                        .losses
                        .extend(stats.problems.iter().chain(&unread.problems).map(ToString::to_string));
                    answer
                        .losses
                        .extend(stats.skipped().map(|skipped| format!("{}: {skipped}", series.labels)));
                }
            }
        }
        answer.losses.extend(database.index_problems().iter().map(ToString::to_string));
        answer
    }

    /// True if all of it is in `whole`.
    fn is_part_of(&self, whole: &Self) -> bool {
        fn is_part<T: PartialEq>(part: &BTreeMap<String, Vec<T>>, whole: &BTreeMap<String, Vec<T>>) -> bool {
            part.iter().all(|(series, values)| {
                let mut rest = whole.get(series).map(|all| all.iter()).into_iter().flatten();
                values.iter().all(|value| rest.any(|other| other == value))
            })
        }
        is_part(&self.floats, &whole.floats) && is_part(&self.histograms, &whole.histograms)
    }
}

/// Damages a copy of a block, one thing at a time.
pub(crate) struct Damage {
    copy: PathBuf,
    whole: Answer,
    pub(crate) matrix: Matrix,
}

impl Damage {
    /// Copies the block into `scratch`.
    pub(crate) fn new(block: &Path, scratch: &Path) -> Self {
        let copy = scratch.join(block.file_name().unwrap());
        copy_block(block, &copy);
        let whole = Answer::of(&copy);
        assert!(!whole.floats.is_empty(), "{} has no series: {:?}", block.display(), whole.losses);
        Self { copy, whole, matrix: Matrix::default() }
    }

    /// What is lost of the block as it is.
    pub(crate) fn losses(&self) -> impl Iterator<Item = &String> {
        self.whole.losses.iter()
    }

    /// Its files, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(&self.copy)
    }

    /// Flips a bit of every `stride`-th byte, and cuts the file there; of files without a checksum flips all bits of every byte.
    pub(crate) fn flip_and_cut(&mut self, stride: usize) {
        for file in self.files() {
            let path = self.copy.join(&file);
            let bytes = std::fs::read(&path).unwrap();
            let is_bare = file.ends_with("meta.json");
            let step = if is_bare { 1 } else { stride };
            for at in (0..bytes.len()).step_by(step) {
                let masks: &[u8] = match (is_bare, stride) {
                    (true, 1) => &[1, 2, 4, 8, 16, 32, 64, 128, 255],
                    // Digits of a number and of others.
                    (true, _) => &[1, 64],
                    (false, _) => &[1 << (at / step % 8)],
                };
                for mask in masks {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= mask;
                    self.tell(
                        &file,
                        "byte flipped",
                        Some(&damaged),
                        &format!("byte {at} ^ {mask}"),
                        field(&bytes, at),
                    );
                }
                self.tell(&file, "cut", Some(&bytes[..at]), &format!("cut at {at}"), field(&bytes, at));
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }

    /// Drops each file, and puts each in the place of each other one, those of `others` among them.
    pub(crate) fn drop_and_exchange(&mut self, others: &[PathBuf]) {
        let own = self.files();
        let strangers =
            others.iter().flat_map(|other| files(other).into_iter().map(|file| (other.clone(), file)));
        let pool: Vec<(PathBuf, PathBuf)> =
            own.iter().map(|file| (self.copy.clone(), file.clone())).chain(strangers).collect();
        let pool: Vec<(String, Vec<u8>)> = pool
            .into_iter()
            .map(|(block, file)| {
                (
                    format!("{}/{}", block.file_name().unwrap().display(), file.display()),
                    std::fs::read(block.join(file)).unwrap(),
                )
            })
            .collect();
        for file in own {
            let bytes = std::fs::read(self.copy.join(&file)).unwrap();
            std::fs::remove_file(self.copy.join(&file)).unwrap();
            self.tell(&file, "dropped", None, "", None);
            for (name, strange) in &pool {
                if *strange != bytes {
                    self.tell(&file, "exchanged", Some(strange), name, None);
                }
            }
            std::fs::write(self.copy.join(&file), bytes).unwrap();
        }
    }

    /// Exchanges the segments of the block among themselves, two at a time.
    pub(crate) fn exchange_segments(&mut self) {
        let segments: Vec<PathBuf> =
            self.files().into_iter().filter(|file| file.starts_with("chunks")).collect();
        for (nth, one) in segments.iter().enumerate() {
            for other in &segments[nth + 1..] {
                let (left, right) = (self.copy.join(one), self.copy.join(other));
                let (first, second) = (std::fs::read(&left).unwrap(), std::fs::read(&right).unwrap());
                std::fs::write(&right, &first).unwrap();
                self.tell(one, "two exchanged", Some(&second), &other.display().to_string(), None);
                std::fs::write(&left, first).unwrap();
                std::fs::write(&right, second).unwrap();
            }
        }
    }

    /// Reads the block with `bytes` in the place of a file, and counts what became of it.
    fn tell(
        &mut self,
        file: &Path,
        kind: &'static str,
        bytes: Option<&[u8]>,
        how: &str,
        field: Option<String>,
    ) {
        if let Some(bytes) = bytes {
            // A new file: the one before may still be mapped.
            let path = self.copy.join(file);
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, bytes).unwrap();
        }
        let answer = Answer::of(&self.copy);
        let is_named = answer.losses.iter().any(|loss| !self.whole.losses.contains(loss));
        let is_same = answer.floats == self.whole.floats && answer.histograms == self.whole.histograms;
        let name = if file.starts_with("chunks") { "chunks".to_owned() } else { file.display().to_string() };
        let counts = self.matrix.rows.entry((name, kind)).or_default();
        counts.tried += 1;
        if is_named && answer.is_part_of(&self.whole) {
            counts.detected += 1;
        } else if is_same && answer.about == self.whole.about {
            counts.harmless += 1;
        } else if is_same {
            counts.undetectable += 1;
            let changed = answer.about.iter().filter(|about| !self.whole.about.contains(about));
            let what: Vec<&str> = changed.filter_map(|about| about.split(' ').next()).collect();
            let field = field.unwrap_or_default();
            self.matrix.undetectable.insert(format!("{} ({field}): {}", file.display(), what.join(", ")));
        } else {
            counts.missed += 1;
            self.matrix.missed.push(format!(
                "{} {kind} {how} {field:?}: named {is_named}: {:?}",
                file.display(),
                answer.losses
            ));
        }
    }
}

impl Matrix {
    /// Adds what was tried with another block.
    pub(crate) fn add(&mut self, other: Self) {
        for (row, counts) in other.rows {
            let sum = self.rows.entry(row).or_default();
            sum.tried += counts.tried;
            sum.detected += counts.detected;
            sum.harmless += counts.harmless;
            sum.undetectable += counts.undetectable;
            sum.missed += counts.missed;
        }
        self.undetectable.extend(other.undetectable);
        self.missed.extend(other.missed);
    }

    /// As a table in Markdown.
    pub(crate) fn print(&self) {
        println!("| file | damage | tried | detected | harmless | undetectable | missed |");
        println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
        for ((file, kind), counts) in &self.rows {
            let Counts { tried, detected, harmless, undetectable, missed } = counts;
            println!("| {file} | {kind} | {tried} | {detected} | {harmless} | {undetectable} | {missed} |");
        }
        for field in &self.undetectable {
            println!("undetectable: {field}");
        }
        for missed in &self.missed {
            println!("MISSED: {missed}");
        }
    }
}

/// The key of JSON in whose value a byte stands.
fn field(bytes: &[u8], at: usize) -> Option<String> {
    let before = String::from_utf8_lossy(bytes.get(..at)?).into_owned();
    let key = before.rsplit("\":").nth(1)?.rsplit('"').next()?;
    Some(key.to_owned())
}

fn files(block: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["index", "meta.json", "tombstones"]
        .iter()
        .map(PathBuf::from)
        .filter(|file| block.join(file).is_file())
        .collect();
    for entry in std::fs::read_dir(block.join("chunks")).unwrap() {
        found.push(Path::new("chunks").join(entry.unwrap().file_name()));
    }
    found.sort();
    found
}

fn copy_block(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("chunks")).unwrap();
    for file in files(from) {
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}
