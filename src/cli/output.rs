//! Words for people: progress and notes on stderr, data on stdout.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::Style;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::plain_text::visible;

/// Prints a line of progress or a note to stderr; a closed stderr is nobody's error. Names in it are anybody's: what a
/// terminal would obey is taken out.
pub(super) fn note(line: impl std::fmt::Display) {
    styled(Style::new(), line);
}

/// [`note`] in a style, which only terminals see, and those not where `NO_COLOR` is set.
pub(super) fn styled(style: Style, line: impl std::fmt::Display) {
    let line = line.to_string();
    let _ = writeln!(anstream::stderr(), "{style}{}{style:#}", visible(&line));
}

/// Prints data to stdout. A reader that has seen enough (`| head`) ends the output, not with an error.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Io { doing: "write to standard output".to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// [`data`] in which names of others stand: in each line, what a terminal would obey is taken out.
pub(super) fn lines(text: &str) -> Result<(), Failure> {
    let shown: String = text.lines().flat_map(|line| [visible(line), "\n".into()]).collect();
    data(&shown)
}

/// Says which files lie in `directory` now; of many of one kind how many.
pub(super) fn wrote(directory: &Path, written: &[PathBuf]) {
    const NAMED: usize = 3;
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    let (directories, files): (Vec<&PathBuf>, Vec<&PathBuf>) = written.iter().partition(|path| path.is_dir());
    for name in files.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()) {
        let kind = name.split('.').nth(1).unwrap_or_default().to_uppercase();
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name.into_owned()),
            None => kinds.push((kind, vec![name.into_owned()])),
        }
    }
    let (many, few): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|(_, names)| names.len() > NAMED);
    let named = few.into_iter().flat_map(|(_, names)| names);
    let counted = many.into_iter().map(|(kind, names)| format!("{} {kind}", names.len()));
    let mut listed: Vec<String> = named.chain(counted).collect();
    if !directories.is_empty() {
        listed.push(format!("{} small reports", directories.len()));
    }
    note(format_args!("wrote {}: {}", directory.display(), listed.join(", ")));
}

/// A bar on stderr that appears only on a terminal.
pub(super) fn bar(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
