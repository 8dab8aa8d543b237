//! Files that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::whole_file;

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

    /// Writes each file under a temporary name and renames it, so that no
    /// reader and no interruption ever sees half of one.
    ///
    /// # Errors
    ///
    /// At the first file that cannot be written.
    pub fn write(self) -> Result<Vec<PathBuf>, WriteError> {
        let error = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { doing, path, source }
        };
        std::fs::create_dir_all(&self.directory).map_err(error("create", &self.directory))?;
        let mut written = Vec::with_capacity(self.files.len());
        for (name, fill) in self.files {
            let path = self.directory.join(&name);
            let failed = |source| error("write", &path)(source);
            whole_file::write(&path, failed, |file| fill(file).map_err(failed))?;
            written.push(path);
        }
        Ok(written)
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
    fn a_file_in_the_way_of_the_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("file");
        std::fs::write(&out, "").unwrap();
        let error = Outputs::new(&out, "").write().unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
