//! Files that appear under their name whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::unfinished::{Unfinished, in_one_step};

/// A file that is written and does not have its name yet. Dropped, it is gone.
pub(crate) struct Written {
    file: NamedTempFile,
    path: PathBuf,
    _unfinished: Unfinished,
}

impl Written {
    /// Makes a file under another name beside `path` and has `fill` write it. What `fill` refuses is not kept.
    ///
    /// # Errors
    ///
    /// What `fill` returns, and what the system says, by `failed`.
    pub(crate) fn new<E>(
        path: &Path,
        failed: impl Fn(io::Error) -> E,
        fill: impl FnOnce(&mut NamedTempFile) -> Result<(), E>,
    ) -> Result<Self, E> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let make = || {
            open_to_others(tempfile::Builder::new().prefix(".").suffix(".tmp"), 0o666).tempfile_in(directory)
        };
        let (mut file, unfinished) = Unfinished::make(make, NamedTempFile::path).map_err(&failed)?;
        fill(&mut file)?;
        Ok(Self { file, path: path.to_path_buf(), _unfinished: unfinished })
    }
}

/// Gives each file its name, in order, and no interruption falls between.
///
/// # Errors
///
/// What the system says, by `failed`; the files before have their names then.
pub(crate) fn name_all<E>(files: Vec<Written>, failed: impl Fn(&Path, io::Error) -> E) -> Result<(), E> {
    let mut unfinished = Vec::with_capacity(files.len());
    let mut unnamed = files.into_iter();
    let named = in_one_step(|| {
        for Written { file, path, _unfinished } in unnamed.by_ref() {
            unfinished.push(_unfinished);
            file.persist(&path).map_err(|error| failed(&path, error.error))?;
        }
        Ok(())
    });
    drop(unfinished);
    named
}

/// Makes a file under another name beside `path`, has `fill` write it, and gives it its own: no reader and no interruption ever sees half
/// of it. What `fill` refuses is not kept.
///
/// # Errors
///
/// What `fill` returns, and what the system says, by `failed`.
pub(crate) fn write<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&mut NamedTempFile) -> Result<(), E>,
) -> Result<(), E> {
    let written = Written::new(path, &failed, fill)?;
    name_all(vec![written], |_, error| failed(error))
}

/// A temporary file or directory is private; what is kept is as open as any that its user makes: `mode` less the umask.
#[cfg(unix)]
pub(crate) fn open_to_others<'b>(
    builder: &'b mut tempfile::Builder<'static, 'static>,
    mode: u32,
) -> &'b mut tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt as _;
    builder.permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn open_to_others<'b>(
    builder: &'b mut tempfile::Builder<'static, 'static>,
    _: u32,
) -> &'b mut tempfile::Builder<'static, 'static> {
    builder
}

/// Has the system write down which names the directory of `path` holds: only then a rename outlives a power failure.
///
/// # Errors
///
/// What the system says.
#[cfg(unix)]
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// True for a file or directory that an interrupted writer left.
pub(crate) fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.ends_with(".tmp")
}
