//! The conversion from end to end.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::error::DumpError;
use super::format::Format;
use super::input::{Input, Opened, Place, expand, read_error};
use super::intake::Intake;
use super::reading::Reading;
use super::recognise::{is_stream, recognise};
use super::{Event, LeftOut, Observer, Request, Summary};
use super::{api_json, jtop, parquet, remote_read, table, text, vm_export};
use crate::metered::copy_unpacked;
use crate::source::staging::{Assembly, StagingError, hold};
use crate::there::Held;
use crate::time::{Window, format_instant};
use crate::tsdb::Database;
use crate::unfinished::Unfinished;

/// Changes when the same inputs would make other bytes.
const VERSION: &str = "wattledger convert 1";
/// What the loss of stale markers changes (rules C1 and C3).
const NO_MARKERS: &str = "stale markers are lost; where a series ended and came back, a counter's rise is spread over the \
     gap, and a gauge is taken to go on until its next sample if that comes within 5 minutes, or 2.5 intervals where that \
     is more";
/// Under the output directory, for what is read until blocks are made of it.
const STAGING: &str = ".wattledger-convert";
/// Most UTC days, of a block each, that one conversion makes: ten years.
const MOST_DAYS: usize = 3660;

/// Reads all inputs and writes their samples as blocks under the output directory.
///
/// An input that was named and cannot be read whole is an error, and nothing is
/// written; a file of a folder is left out instead. A line, a row or a series
/// that cannot be read is counted.
///
/// # Errors
///
/// [`DumpError`].
pub fn convert(request: &Request, observer: Observer<'_>) -> Result<Summary, DumpError> {
    let mut summary = Summary::default();
    let inputs = expand(&request.inputs, &mut summary.notes)?;
    observer(Event::Planned { inputs: inputs.len(), bytes: inputs.iter().map(|input| input.bytes).sum() });
    let staging = Staging::create(&request.out)?;
    let piece = staging.0.join("samples.piece");
    let mut work = Work {
        request,
        observer,
        staging: &staging.0,
        intake: Intake::create(&piece, request.labels.clone(), total_bytes(&inputs))?,
        summary,
        sources: Vec::new(),
    };
    for input in &inputs {
        work.input(input)?;
    }
    let Work { intake, mut summary, sources, .. } = work;
    let taken = intake.taken;
    let days = intake.finish()?;
    write(request, observer, (&piece, taken), &days, &sources, &mut summary)?;
    Ok(summary)
}

/// Length of all inputs; `None` where one is a pipe.
fn total_bytes(inputs: &[Input]) -> Option<u64> {
    let is_pipe = |input: &Input| matches!(input.place, Place::Stdin) || input.bytes == 0;
    (!inputs.iter().any(is_pipe)).then(|| inputs.iter().map(|input| input.bytes).sum())
}

/// A directory for what is read, gone when it is dropped. What a conversion left
/// that was killed is removed first: one at a time may write into a directory.
struct Staging(PathBuf, #[expect(dead_code, reason = "they are held")] (Unfinished, Held));

impl Staging {
    fn create(out: &Path) -> Result<Self, StagingError> {
        let held = hold(out)?;
        let path = out.join(STAGING);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(StagingError::io("remove", &path))?;
        }
        let unfinished = Unfinished::at(&path);
        std::fs::create_dir_all(&path).map_err(StagingError::io("create", &path))?;
        Ok(Self(path, (unfinished, held)))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Readers of blocks skip it, and the next conversion removes it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Work<'a> {
    request: &'a Request,
    observer: Observer<'a>,
    staging: &'a Path,
    intake: Intake,
    summary: Summary,
    sources: Vec<Source>,
}

/// What makes a difference to the blocks of an input that was read.
struct Source {
    format: Format,
    /// SHA-256 of the file as it lies there.
    sha256: String,
    /// The time of samples that have none.
    at_ms: Option<i64>,
}

impl Work<'_> {
    /// Reads one input, or leaves it out.
    fn input(&mut self, input: &Input) -> Result<(), DumpError> {
        let mark = self.intake.mark()?;
        let error = match self.read(input) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !(input.from_folder && error.is_of_input()) {
            return Err(error);
        }
        self.intake.rewind(&mark)?;
        if !error.is_harmless() {
            self.summary.left_out.inputs += 1;
        }
        let reason = chain(&error);
        (self.observer)(Event::LeftOut { input: &input.name, reason: &reason });
        Ok(())
    }

    fn read(&mut self, input: &Input) -> Result<(), DumpError> {
        let mut opened = Opened::open(input, self.observer)?;
        let format = match self.request.format {
            Some(format) => format,
            None => recognise(&opened.head, opened.is_whole, &self.request.columns)
                .map_err(|reason| DumpError::Unrecognised { input: input.name.clone(), reason })?,
        };
        (self.observer)(Event::Opened { input: &input.name, format });
        let taken_before = self.intake.taken;
        let histograms_before = self.intake.tally_mut().histograms_skipped;
        let mut reading = Reading::new(input, format, self.request, &mut self.intake, self.observer);
        match format {
            Format::ApiJson => api_json::read(opened.reader(), &mut reading)?,
            Format::Promtool | Format::OpenMetrics | Format::Exposition => {
                text::read(opened.reader(), &mut reading)?;
            }
            Format::VmExport => vm_export::read(opened.reader(), &mut reading)?,
            Format::RemoteRead => {
                let is_stream = is_stream(&opened.head);
                remote_read::read(opened.reader(), is_stream, &mut reading)?;
            }
            Format::Jtop => jtop::read(opened.reader(), &mut reading)?,
            Format::Csv => table::read(opened.reader(), &mut reading)?,
            Format::Parquet => match &input.place {
                Place::Path(path) if opened.is_plain_file => parquet::read(path, &mut reading)?,
                // Its table of contents stands at the end.
                _ => {
                    let path = self.staging.join("input.parquet");
                    let mut file = File::create(&path).map_err(StagingError::io("create", &path))?;
                    if opened.is_packed {
                        copy_unpacked(opened.reader(), input.bytes, &mut file).map_err(reading.failed())?;
                    } else {
                        std::io::copy(&mut opened.reader(), &mut file).map_err(reading.failed())?;
                    }
                    parquet::read(&path, &mut reading)?;
                }
            },
        }
        let sha256 = opened.finish().map_err(|source| read_error(input, source))?;
        let Reading { rejected, first_reject, stale, notes, untimed_ms: at_ms, .. } = reading;
        let taken = self.intake.taken - taken_before;
        let rejected = rejected + std::mem::take(&mut self.intake.out_of_range);
        let histograms = self.intake.tally_mut().histograms_skipped - histograms_before;
        if taken == 0 {
            return Err(match first_reject {
                Some((place, reason)) => {
                    let more = rejected.saturating_sub(1);
                    DumpError::AllRejected { input: input.name.clone(), format, place, reason, more }
                }
                None => {
                    let reason =
                        if histograms > 0 { "all are native histograms" } else { "nothing stands in it" };
                    DumpError::NoSamples { input: input.name.clone(), reason: reason.to_owned() }
                }
            });
        }
        self.summary.left_out.rejected += rejected;
        let stale = (stale > 0).then(|| {
            format!(
                "{} cannot tell a stale marker from NaN: {stale} NaN were taken for the end of a series",
                format.description()
            )
            .into()
        });
        let exact = (format == Format::VmExport).then(|| {
            "VictoriaMetrics keeps decimal numbers: the last digits of a value may differ from those that were scraped"
                .into()
        });
        for note in notes.into_iter().chain(stale).chain(exact) {
            if !self.summary.notes.iter().any(|seen| *seen == note) {
                self.summary.notes.push(note.into_owned());
            }
        }
        self.summary.inputs.push((input.name.clone(), format));
        self.sources.push(Source { format, sha256, at_ms });
        Ok(())
    }
}

/// Writes a block for each day of `days`.
fn write(
    request: &Request,
    observer: Observer<'_>,
    (piece, taken): (&Path, u64),
    days: &[Window],
    sources: &[Source],
    summary: &mut Summary,
) -> Result<(), DumpError> {
    if days.len() > MOST_DAYS {
        let edge = |day: Option<&Window>| day.map_or_else(String::new, |day| format_instant(day.start_ms));
        return Err(DumpError::ManyDays {
            days: days.len(),
            first: edge(days.first()),
            last: edge(days.last()),
            most: MOST_DAYS,
        });
    }
    let mut assembly = Assembly::open(&[piece.to_owned()])?;
    let tally = assembly.tally().clone();
    summary.series = assembly.series() as u64;
    summary.left_out.histograms = tally.histograms_skipped;
    summary.left_out.chunks = tally.chunks_damaged + tally.chunks_skipped.values().sum::<u64>();
    // Those that lie in one batch of samples; the others show when blocks are made.
    summary.left_out.conflicts = tally.conflicts;
    let lossy: BTreeSet<Format> =
        sources.iter().map(|source| source.format).filter(|format| format.loses_stale_markers()).collect();
    // One sample of each series has no end that a marker could show.
    if taken > summary.series && !lossy.is_empty() {
        let formats: Vec<&str> = lossy.iter().map(|format| format.description()).collect();
        summary.notes.push(format!("{}: {NO_MARKERS}", formats.join(", ")));
    }
    let identity = identity(request, sources);
    for day in days {
        let Some(window) = assembly.span(*day) else { continue };
        let ulid = name(&identity, *day);
        let path = request.out.join(ulid.to_string());
        if is_whole(&path)? {
            summary.kept.push(path);
            continue;
        }
        let section = section(summary, &identity, sources);
        let (block, samples) = assembly.write(&request.out, window, ulid, section)?;
        summary.samples += samples;
        summary.left_out.conflicts = assembly.tally().conflicts;
        if let Some(block) = block {
            observer(Event::Written { block: &block });
            summary.written.push(block);
        }
    }
    Ok(())
}

/// What `meta.json` of a block says of where it came from.
fn section(summary: &Summary, identity: &str, sources: &[Source]) -> serde_json::Value {
    let LeftOut { rejected, histograms, chunks, conflicts, inputs } = summary.left_out;
    let inputs_read: Vec<serde_json::Value> = summary
        .inputs
        .iter()
        .zip(sources)
        .map(|((name, format), source)| {
            json!({"name": name.trim_matches('`'), "format": format.as_str(), "sha256": source.sha256})
        })
        .collect();
    json!({"convert": {
        "version": 1,
        "request": identity,
        "inputs": inputs_read,
        "notes": summary.notes,
        "left_out": {
            "lines_rejected": rejected,
            "histograms_skipped": histograms,
            "chunks_skipped": chunks,
            "samples_in_conflict": conflicts,
            "inputs_not_read": inputs,
        },
    }})
}

/// True if there is a block there that was written whole.
fn is_whole(path: &Path) -> Result<bool, DumpError> {
    if !path.exists() {
        return Ok(false);
    }
    if Database::open(path).is_ok_and(|database| database.blocks().len() == 1) {
        return Ok(true);
    }
    // Only a crash of the whole machine leaves that: the name is given last.
    std::fs::remove_dir_all(path).map_err(StagingError::io("remove", path))?;
    Ok(false)
}

/// All that makes a difference to the blocks, as a number.
fn identity(request: &Request, sources: &[Source]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    };
    add(VERSION);
    for source in sources {
        add(source.format.as_str());
        add(&source.sha256);
        add(&source.at_ms.map_or_else(String::new, |at_ms| at_ms.to_string()));
    }
    add(&request.labels.to_string());
    add(&request.columns.text());
    add(request.zone.name());
    hex(&hasher.finalize())
}

/// The name of a day's block: it begins with the day, so that names sort by time.
fn name(identity: &str, day: Window) -> Ulid {
    let digest = Sha256::digest(format!("{identity} {}", day.start_ms));
    let chance = digest.iter().take(10).fold(0, |all, byte| (all << 8) | u128::from(*byte));
    Ulid::from_parts(day.start_ms.max(0).cast_unsigned(), chance)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error with its causes, in one line.
fn chain(error: &DumpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
