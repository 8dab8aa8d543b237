//! A Prometheus snapshot, a copied data directory, or any directory of TSDB
//! blocks, as a source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::{LeftOut, Series, Source, SourceError};
use crate::hash;
use crate::simulate;
use crate::time::Window;
use crate::tsdb::{self, Database, Head, Labels, Matcher, ReadBuffer, ReadStats};

/// See the module's description.
#[derive(Debug)]
pub struct Snapshot {
    paths: Vec<PathBuf>,
    database: Database,
}

impl Snapshot {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or holds nothing that can be used.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens several directories as one source: what lies in more than one of them is read once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), for the first of them, and where all together hold nothing that can be used.
    pub fn open_all(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let database = Database::open_all(paths)?;
        if database.blocks().is_empty() && database.heads().iter().all(|head| head.series_count() == 0) {
            let lost = database.left_out().iter().filter(|left| left.is_problem);
            let first = lost.clone().next().or(database.left_out().first());
            let reason = first.map(|left| left.reason.clone()).unwrap_or_default();
            let more = lost.count().saturating_sub(1);
            let path = paths.first().cloned().unwrap_or_default();
            return Err(SourceError::NothingUsable { path, reason, more });
        }
        Ok(Self { paths: paths.to_vec(), database })
    }

    fn origins(&self) -> Vec<Origin> {
        self.database.blocks().iter().filter_map(|block| Origin::read(&block.path)).collect()
    }

    /// The blocks behind it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

struct SnapshotSeries<'a> {
    database: &'a Database,
    series: tsdb::Series,
}

impl Series for SnapshotSeries<'_> {
    fn labels(&self) -> &Labels {
        &self.series.labels
    }

    fn read(
        &self,
        window: Window,
        buffer: &mut ReadBuffer,
        stats: &mut ReadStats,
    ) -> Result<(), SourceError> {
        Ok(self.database.read(&self.series, window, buffer, stats)?)
    }
}

impl Source for Snapshot {
    fn name(&self) -> String {
        let names: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        names.join(", ")
    }

    fn time_range(&self) -> Option<Window> {
        self.database.time_range()
    }

    fn series_count(&self) -> u64 {
        self.database.series_count() as u64
    }

    fn describe(&self) -> String {
        format!("{} series, {} blocks", self.series_count(), self.database.blocks().len())
    }

    fn label_values(&self, label: &str) -> Vec<String> {
        self.database.label_values(label).into_iter().collect()
    }

    fn select<'a>(
        &'a self,
        metrics: &[&str],
        window: Window,
    ) -> Result<Vec<Box<dyn Series + 'a>>, SourceError> {
        let pattern = metrics.iter().map(|metric| regex::escape(metric)).collect::<Vec<_>>().join("|");
        let matcher = Matcher::regex(tsdb::METRIC_NAME, &pattern)?;
        let found = self.database.select(&[matcher], window)?;
        Ok(found
            .into_iter()
            .map(|series| {
                Box::new(SnapshotSeries { database: &self.database, series }) as Box<dyn Series + 'a>
            })
            .collect())
    }

    fn release(&self) {
        self.database.release();
    }

    fn left_out(&self) -> Vec<LeftOut> {
        let blocks = self.database.left_out().iter().map(|left| LeftOut {
            what: left.name.clone(),
            why: left.reason.clone(),
            is_problem: left.is_problem,
        });
        let damage = self.database.index_problems().into_iter().map(|problem| LeftOut {
            what: problem.path.display().to_string(),
            why: format!("byte {}: {}", problem.offset, problem.reason),
            is_problem: true,
        });
        let mut lost: BTreeMap<String, u64> = BTreeMap::new();
        for (what, count) in self.origins().into_iter().flat_map(|origin| origin.left_out) {
            *lost.entry(what).or_default() += count;
        }
        let on_the_way = lost.into_iter().map(|(what, count)| LeftOut {
            what: "before the samples came here".to_owned(),
            why: format!("{what}: {count}"),
            is_problem: true,
        });
        blocks.chain(damage).chain(on_the_way).collect()
    }

    fn notes(&self) -> Vec<String> {
        let links = self.database.blocks().iter().flat_map(|block| &block.links);
        let followed = |link: &PathBuf| {
            let target = std::fs::read_link(link).unwrap_or_default();
            format!("the symbolic link `{}` was followed to `{}`", link.display(), target.display())
        };
        let mut notes: Vec<String> = links.map(followed).collect();
        let mut known = std::collections::HashSet::new();
        for note in self.origins().into_iter().flat_map(|origin| origin.notes) {
            if known.insert(note.clone()) {
                notes.push(note);
            }
        }
        notes
    }

    fn identity(&self) -> Vec<(String, String)> {
        let blocks = self.database.blocks().iter().map(|block| {
            let meta = block.path.join("meta.json");
            (format!("{}/meta.json", block.ulid), hash::file_sha256(&meta).unwrap_or_default())
        });
        let head = self.database.heads().iter().flat_map(Head::files).map(|file| {
            let name = self.paths.iter().find_map(|path| file.strip_prefix(path).ok()).unwrap_or(file);
            (name.display().to_string(), hash::file_sha256(file).unwrap_or_default())
        });
        blocks.chain(head).collect()
    }

    fn is_simulated(&self) -> bool {
        self.paths.iter().any(|path| simulate::is_simulated(path))
    }
}
