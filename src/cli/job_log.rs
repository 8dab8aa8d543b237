//! The flags by which every command reads job logs.

use std::path::PathBuf;

use chrono_tz::Tz;

use super::Failure;
use crate::config::ConfigError;
use crate::jobs::{self, ColumnMap, JobLog, LogFormat};
use crate::ledger::store::LogOptions;

/// Which job logs, and how to read them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct JobsArgs {
    /// Job log of Slurm, PBS, LSF, Grid Engine, HTCondor, Kubernetes, or a table of runs; may be given more than
    /// once. `wattledger jobs --help` lists what is read. Without it all energy is unattributed.
    #[arg(long = "jobs", value_name = "FILE", help_heading = "Job logs")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
}

/// How to read job logs.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ReadingArgs {
    /// Kind of all job logs; default: recognised from their content.
    #[arg(long, value_name = "KIND", help_heading = "Job logs")]
    jobs_format: Option<LogFormat>,
    /// Columns of a table of runs, `run_id=Job,start=Begin,end=Finish,nodes=Host`; or the names of all columns, for a
    /// table without a header.
    #[arg(long, value_name = "LIST", help_heading = "Job logs")]
    jobs_columns: Option<ColumnMap>,
    /// Node of runs whose log names none.
    #[arg(long, value_name = "NODE", help_heading = "Job logs")]
    jobs_node: Option<String>,
    /// Time zone of job-log times without an offset, such as `Europe/Berlin`; default UTC.
    #[arg(long, value_name = "ZONE", help_heading = "Job logs")]
    pub(super) jobs_tz: Option<String>,
}

impl ReadingArgs {
    /// Reads `files` as one log.
    pub(super) fn read(&self, files: &[PathBuf], zone: Tz) -> Result<JobLog, Failure> {
        let options = jobs::Options {
            zone,
            format: self.jobs_format,
            columns: self.jobs_columns.clone().unwrap_or_default(),
            default_node: self.jobs_node.clone(),
        };
        Ok(jobs::read_all(files, &options)?)
    }

    /// The zone that was typed, or UTC.
    pub(super) fn zone(&self) -> Result<Tz, ConfigError> {
        crate::config::jobs_time_zone(self.jobs_tz.as_deref())
    }
}

impl JobsArgs {
    /// One log, read with nothing else said.
    pub(super) fn of_file(file: PathBuf) -> Self {
        Self { files: vec![file], reading: ReadingArgs::default() }
    }

    /// The files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The zone as typed.
    pub(super) fn zone_name(&self) -> Option<&String> {
        self.reading.jobs_tz.as_ref()
    }

    /// How a ledger is to read them again.
    pub(super) fn kept_options(&self, zone: Tz) -> LogOptions {
        let format = self.reading.jobs_format;
        let word = format.and_then(|format| LogFormat::ALL.into_iter().find(|(_, known)| *known == format));
        LogOptions {
            time_zone: zone.name().to_owned(),
            format: word.map(|(word, _)| word.to_owned()),
            columns: self.reading.jobs_columns.as_ref().map(ToString::to_string),
            node: self.reading.jobs_node.clone(),
        }
    }

    /// Reads the logs; `None` if there are none.
    pub(super) fn read(&self, zone: Tz) -> Result<Option<JobLog>, Failure> {
        if self.files.is_empty() {
            return Ok(None);
        }
        self.reading.read(&self.files, zone).map(Some)
    }
}
