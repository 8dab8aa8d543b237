//! Files that appear under their name whole or not at all.

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

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
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(directory).map_err(&failed)?;
    fill(&mut file)?;
    readable_by_all(&file).map_err(&failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A temporary file is private; what is kept is as open as any file its user makes.
#[cfg(unix)]
fn readable_by_all(file: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &NamedTempFile) -> io::Result<()> {
    Ok(())
}
