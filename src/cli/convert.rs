//! `wattledger convert`.

use std::cell::Cell;
use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::output::{bar, note};
use super::{Failure, Outcome};
use crate::config::{ConvertFlags, convert_request};
use crate::source::dump::{Event, Format, Summary, convert};

/// Make a directory of blocks from saved samples: API answers, text dumps, exports, tables.
///
/// The blocks are Prometheus' own format: `report` and `inspect` read them with
/// --snapshot, and so does every tool of Prometheus. What an input is, is told by its content; gzip and zstd are
/// unpacked. The same inputs give the same blocks, so that a repeated command adds nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  promtool tsdb dump data > dump.txt
  wattledger convert dump.txt --out blocks
  wattledger report --snapshot blocks --jobs sacct.txt --zone DE --out report

  Saved answers of the HTTP API, a folder of them, some compressed:
  wattledger convert answers/ --out blocks

  A scrape, which has neither a time nor a node:
  curl -s http://gpu01:9100/metrics | wattledger convert - --at 2026-11-16T12:00:00Z \\
      --label instance=gpu01 --label job=node --out blocks

  A table with names of its own:
  wattledger convert power.parquet --columns time=when,value=watts,instance=host \\
      --label __name__=ipmi_dcmi_power_consumption_watts --out blocks

  AI_Co2_Calculator's log of a Jetson:
  wattledger convert jtop_usage.csv --tz Europe/Paris --label instance=jetson1 --out blocks

docs/inputs.md shows each format, and how to save it.")]
pub(super) struct Args {
    /// Files and folders of files; `-` is standard input.
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    /// Directory for the blocks; those that are there stay.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the inputs are, instead of what their content looks like.
    #[arg(long)]
    format: Option<Choice>,
    /// Label for every series, `NAME=VALUE`, instead of its own of that name; may be given more than once.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// What the columns of a table are: `time=COLUMN,value=COLUMN,metric=COLUMN,LABEL=COLUMN,ignore=COLUMN`.
    #[arg(long, value_name = "NAMES")]
    columns: Option<String>,
    /// Time of samples that have none: an instant, or `modified` for when the file was written.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Time zone of local times, such as `Europe/Berlin`; default: UTC.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Exit with status 3 if any data had to be left out.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// An answer of the HTTP API.
    ApiJson,
    /// `promtool tsdb dump`, times in milliseconds.
    Promtool,
    /// OpenMetrics, times in seconds; `promtool tsdb dump-openmetrics`.
    Openmetrics,
    /// Text exposition, times in milliseconds; a scrape or `/federate`.
    Exposition,
    /// VictoriaMetrics' `/api/v1/export`.
    VmExport,
    /// An answer of `/api/v1/read`.
    RemoteRead,
    /// AI_Co2_Calculator's `jtop_usage.csv`.
    Jtop,
    /// A long table in CSV.
    Csv,
    /// A long table in Parquet.
    Parquet,
}

impl Choice {
    fn format(self) -> Format {
        match self {
            Self::ApiJson => Format::ApiJson,
            Self::Promtool => Format::Promtool,
            Self::Openmetrics => Format::OpenMetrics,
            Self::Exposition => Format::Exposition,
            Self::VmExport => Format::VmExport,
            Self::RemoteRead => Format::RemoteRead,
            Self::Jtop => Format::Jtop,
            Self::Csv => Format::Csv,
            Self::Parquet => Format::Parquet,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let request = convert_request(&ConvertFlags {
        inputs: args.inputs.clone(),
        out: args.out.clone(),
        format: args.format.map(Choice::format),
        labels: args.labels.clone(),
        columns: args.columns.clone(),
        at: args.at.clone(),
        tz: args.tz.clone(),
    })?;
    let watch = Watch { bar: bar("converting"), read: Cell::new(0) };
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {eta}") {
        watch.bar.set_style(style.progress_chars("=> "));
    }
    let converted = convert(&request, &|event| watch.see(event));
    watch.bar.finish_and_clear();
    let summary = converted?;
    conclude(&summary, &args.out);
    Ok(if args.strict && summary.left_out.is_any() { Outcome::LeftOut } else { Outcome::Done })
}

/// What is shown while a conversion runs.
struct Watch {
    bar: ProgressBar,
    read: Cell<u64>,
}

impl Watch {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Planned { inputs: _, bytes } => self.bar.set_length(bytes),
            Event::Opened { input, format } => {
                self.say(&format!("reading    {input}: {}", format.description()));
            }
            Event::Read { bytes } => {
                self.read.set(self.read.get() + bytes);
                self.bar.set_position(self.read.get());
            }
            Event::Rejected { input, place, reason } => {
                self.say(&format!("rejected   {input}, {place}: {reason}"));
            }
            Event::LeftOut { input, reason } => {
                // Its name stands in most reasons already.
                let name = if reason.contains(input) { String::new() } else { format!("{input}: ") };
                self.say(&format!("left out   {name}{reason}"));
            }
            Event::Written { .. } => {}
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| note(line));
    }
}

fn conclude(summary: &Summary, out: &std::path::Path) {
    let left_out = summary.left_out;
    for (count, what) in [
        (left_out.rejected, "lines, rows or series that cannot be read"),
        (left_out.histograms, "native histograms: not read"),
        (left_out.chunks, "chunks that hold no floats or do not decode"),
        (left_out.conflicts, "samples that have another value at the same time later in the input"),
        (left_out.inputs, "files that cannot be read"),
    ] {
        if count > 0 {
            note(format_args!("left out   {} {what}", HumanCount(count)));
        }
    }
    for text in &summary.notes {
        note(format_args!("note       {text}"));
    }
    let kept = match summary.kept.len() {
        0 => String::new(),
        kept => format!("; {kept} of these inputs were there already"),
    };
    note(format_args!(
        "wrote {}: {}, {} samples of {} series{kept}",
        out.display(),
        match summary.written.len() {
            1 => "1 block".to_owned(),
            blocks => format!("{blocks} blocks"),
        },
        HumanCount(summary.samples),
        HumanCount(summary.series),
    ));
}
