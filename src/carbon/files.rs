//! Files of directories.

use std::fs;
use std::path::{Path, PathBuf};

use super::CarbonError;

/// The files of a directory with one of these extensions, by name.
pub(super) fn files_of(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, CarbonError> {
    let failed = |source| CarbonError::Read { path: directory.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let is_one = |extension: &&str| name.ends_with(&format!(".{extension}")) && !name.starts_with('.');
        if extensions.iter().any(is_one) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
