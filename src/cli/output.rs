//! Words for people: progress and notes on stderr, data on stdout.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

/// Prints a line of progress or a note to stderr; a closed stderr is nobody's error.
pub(super) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
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

/// Says which files lie in `directory` now.
pub(super) fn wrote(directory: &Path, written: &[PathBuf]) {
    let names: Vec<_> =
        written.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()).collect();
    note(format_args!("wrote {}: {}", directory.display(), names.join(", ")));
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

/// A share as a percentage, short enough to read.
pub(super) fn percent(share: f64) -> String {
    if share > 0.9995 && share < 1.0 || share > 0.0 && share < 0.0005 {
        return format!("{:.3} %", share * 100.0);
    }
    format!("{:.1} %", share * 100.0)
}

/// A number of kilowatt-hours, in three or four figures.
pub(super) fn energy(kwh: f64) -> String {
    scaled(kwh * 1000.0, &[("Wh", 1.0), ("kWh", 1e3), ("MWh", 1e6), ("GWh", 1e9)])
}

/// A mass of CO2e, given in grams, in three or four figures.
pub(super) fn mass(grams: f64) -> String {
    scaled(grams, &[("gCO2e", 1.0), ("kgCO2e", 1e3), ("tCO2e", 1e6), ("ktCO2e", 1e9)])
}

fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    let fits = units.iter().rev().find(|(_, size)| value.abs() >= *size).or(units.first());
    let Some((unit, size)) = fits else { return value.to_string() };
    format!("{} {unit}", figures(value / size))
}

/// A number in three or four figures, no more than three behind the point.
pub(super) fn figures(number: f64) -> String {
    let digits = if number == 0.0 || number.abs() >= 1000.0 {
        0
    } else if number.abs() >= 100.0 {
        1
    } else if number.abs() >= 10.0 {
        2
    } else {
        3
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        assert_eq!(energy(123.456), "123.5 kWh");
        assert_eq!(energy(0.0), "0 Wh");
        assert_eq!(mass(1_234_567.0), "1.235 tCO2e");
        assert_eq!(figures(0.01135), "0.011");
        assert_eq!(percent(0.12345), "12.3 %");
        assert_eq!(percent(0.99999), "99.999 %");
    }
}
