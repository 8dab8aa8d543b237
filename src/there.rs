//! Whether something is there, where a system that cannot say is an error and no "no"; and who may change a directory.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::path::Path;

/// True for a file, false if there is none.
///
/// # Errors
///
/// Where the system does not say.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    Ok(metadata(path)?.is_some_and(|about| about.is_file()))
}

/// True for a directory, false if there is none.
///
/// # Errors
///
/// Where the system does not say.
pub(crate) fn is_directory(path: &Path) -> io::Result<bool> {
    Ok(metadata(path)?.is_some_and(|about| about.is_dir()))
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(about) => Ok(Some(about)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A directory that this process has to itself, among processes that ask for it.
#[derive(Debug)]
pub(crate) struct Held {
    _directory: Option<File>,
}

/// Waits until no other process has `directory`. Where the system has no locks on directories, nobody waits.
pub(crate) fn hold(directory: &Path) -> Held {
    let held = File::open(directory).ok().filter(|opened| opened.lock().is_ok());
    Held { _directory: held }
}

/// The same without waiting: nothing where another process has it.
pub(crate) fn try_hold(directory: &Path) -> Option<Held> {
    let Ok(opened) = File::open(directory) else { return Some(Held { _directory: None }) };
    match opened.try_lock() {
        Ok(()) => Some(Held { _directory: Some(opened) }),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(_)) => Some(Held { _directory: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_not_there_and_not_to_be_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(is_file(&file).unwrap() && !is_directory(&file).unwrap());
        assert!(is_directory(directory.path()).unwrap() && !is_file(directory.path()).unwrap());
        assert!(
            !is_file(&directory.path().join("none")).unwrap() && !is_directory(&file.join("below")).unwrap()
        );
        // No name is that long: the system cannot look.
        assert!(is_file(&directory.path().join("x".repeat(5000))).is_err());
    }

    #[test]
    fn a_directory_is_held_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let first = hold(directory.path());
        assert!(try_hold(directory.path()).is_none());
        drop(first);
        assert!(try_hold(directory.path()).is_some());
    }
}
