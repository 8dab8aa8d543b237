//! What lies under a temporary name while it is written. An interruption removes it, and never falls between steps that belong
//! together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file or directory that is removed if the program is interrupted while this lives.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Notes what `make` makes, whose path is `path` of it, before an interruption can come.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(crate) fn make<T, E>(
        make: impl FnOnce() -> Result<T, E>,
        path: impl FnOnce(&T) -> &Path,
    ) -> Result<(T, Self), E> {
        let mut known = lock();
        let made = make()?;
        let path = path(&made).to_path_buf();
        known.insert(path.clone());
        Ok((made, Self { path }))
    }

    /// Notes a path under which something will be made.
    pub(crate) fn at(path: &Path) -> Self {
        lock().insert(path.to_path_buf());
        Self { path: path.to_path_buf() }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        lock().remove(&self.path);
    }
}

/// Does `step` with no interruption before its end. No [`Unfinished`] may begin or end in it.
pub(crate) fn in_one_step<T>(step: impl FnOnce() -> T) -> T {
    let _held = lock();
    step()
}

/// Removes all that is unfinished, and lets no other thread finish or begin anything for as long as what is returned lives. A step that
/// takes longer than `patience` is not waited for.
pub(crate) fn remove_all(patience: Duration) -> Option<MutexGuard<'static, BTreeSet<PathBuf>>> {
    let began = Instant::now();
    let known = loop {
        match UNFINISHED.try_lock() {
            Ok(known) => break known,
            Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => return None,
        }
    };
    for path in known.iter() {
        // The program ends: there is nobody to tell, and readers skip these names.
        let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
    }
    Some(known)
}

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
