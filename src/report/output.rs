//! Files that appear whole or not at all.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::there;
use crate::whole_file::{Written, name_all};

/// The file that a directory has once all others in it are of one report.
const LAST: &str = "summary.json";

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{}`", path.display())]
pub struct WriteError {
    /// What was being done, as an infinitive.
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's own words.
    pub source: std::io::Error,
}

/// What writes a file.
type Fill<'f> = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + 'f>;

/// Files on their way into a directory.
pub struct Outputs<'f> {
    directory: PathBuf,
    suffix: &'static str,
    files: Vec<(String, Fill<'f>)>,
}

impl<'f> Outputs<'f> {
    /// Nothing yet, for `directory`; `suffix` is added to every name.
    pub fn new(directory: &Path, suffix: &'static str) -> Self {
        Self { directory: directory.to_owned(), suffix, files: Vec::new() }
    }

    /// One more file.
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.add_with(name, move |out| out.write_all(&bytes));
    }

    /// One more file, of which `fill` writes the content when it is written.
    pub fn add_with(&mut self, name: &str, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + 'f) {
        self.files.push((format!("{name}{}", self.suffix), Box::new(fill)));
    }

    /// Writes each file under a temporary name, and gives them their own once all are written: no reader and no interruption
    /// ever sees half of one. `summary.json` is taken away before and named after all others, so that files of two reports
    /// never pass for one, whatever stops the program.
    ///
    /// # Errors
    ///
    /// At the first file that cannot be written: what was there is then as it was. Where one cannot be named, those before it have
    /// their names, and `summary.json` is not there.
    pub fn write(self) -> Result<Vec<PathBuf>, WriteError> {
        let error = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { doing, path, source }
        };
        std::fs::create_dir_all(&self.directory).map_err(error("create", &self.directory))?;
        let mut paths = Vec::with_capacity(self.files.len());
        let (mut written, mut last) = (Vec::with_capacity(self.files.len()), Vec::new());
        for (name, fill) in self.files {
            let path = self.directory.join(&name);
            let failed = |source| error("write", &path)(source);
            let file = Written::new(&path, failed, |file| fill(file).map_err(failed))?;
            if name.strip_suffix(self.suffix) == Some(LAST) {
                last.push((file, path.clone()));
            } else {
                written.push(file);
            }
            paths.push(path);
        }
        // Another report into this directory is named before or after all of this one.
        let _held = there::hold(&self.directory);
        for (file, path) in last {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(error("replace", &path)(source));
                }
                _ => written.push(file),
            }
        }
        name_all(written, |path, source| error("write", path)(source))?;
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_what_was_there_and_leave_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("new");
        for content in ["one", "two"] {
            let mut outputs = Outputs::new(&out, ".unbalanced");
            outputs.add("a.csv", content.as_bytes().to_vec());
            assert_eq!(outputs.write().unwrap(), [out.join("a.csv.unbalanced")]);
        }
        assert_eq!(std::fs::read_to_string(out.join("a.csv.unbalanced")).unwrap(), "two");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_changes_no_file_that_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let write = |content: &'static str, fails: bool| {
            let mut outputs = Outputs::new(directory.path(), "");
            outputs.add("summary.json", content.as_bytes().to_vec());
            outputs.add("a.csv", content.as_bytes().to_vec());
            outputs.add_with("b.csv", move |out| {
                out.write_all(content.as_bytes())?;
                if fails { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
            });
            outputs.write()
        };
        let paths = write("one", false).unwrap();
        let error = write("two", true).unwrap_err();
        assert!(error.path.ends_with("b.csv"), "{error}");
        for path in &paths {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "one", "{}", path.display());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_directory_of_files_of_two_reports_has_no_summary() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = |text: &str| {
            let mut outputs = Outputs::new(directory.path(), "");
            for name in ["summary.json", "a.csv", "b.csv"] {
                outputs.add(name, text.as_bytes().to_vec());
            }
            outputs
        };
        outputs("one").write().unwrap();
        // A directory in the place of a file is what a rename refuses.
        std::fs::remove_file(directory.path().join("b.csv")).unwrap();
        std::fs::create_dir_all(directory.path().join("b.csv/x")).unwrap();
        let error = outputs("two").write().unwrap_err();
        assert!(error.path.ends_with("b.csv"), "{error}");
        assert_eq!(std::fs::read_to_string(directory.path().join("a.csv")).unwrap(), "two");
        assert!(!directory.path().join("summary.json").exists());
    }

    #[test]
    fn a_file_in_the_way_of_the_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("file");
        std::fs::write(&out, "").unwrap();
        let error = Outputs::new(&out, "").write().unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
