//! Numbers for people: few figures, and the unit that fits.

/// A share as a percentage, short enough to read.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.9995 && share < 1.0 || share > 0.0 && share < 0.0005 {
        return format!("{:.3} %", share * 100.0);
    }
    format!("{:.1} %", share * 100.0)
}

/// A number of kilowatt-hours, in three or four figures.
pub(crate) fn energy(kwh: f64) -> String {
    scaled(kwh * 1000.0, &[("Wh", 1.0), ("kWh", 1e3), ("MWh", 1e6), ("GWh", 1e9)])
}

/// A mass of CO2e, given in grams, in three or four figures.
pub(crate) fn mass(grams: f64) -> String {
    scaled(grams, &[("gCO2e", 1.0), ("kgCO2e", 1e3), ("tCO2e", 1e6), ("ktCO2e", 1e9)])
}

fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    let fits = units.iter().rev().find(|(_, size)| value.abs() >= *size).or(units.first());
    let Some((unit, size)) = fits else { return value.to_string() };
    format!("{} {unit}", figures(value / size))
}

/// A number in three or four figures, no more than three behind the point.
pub(crate) fn figures(number: f64) -> String {
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

/// A number for a cell among others of its unit: whole where it is whole, else three or four figures, however
/// small it is; thousands are parted by a narrow blank. `page.js` does the same.
pub(crate) fn cell(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return number.to_string();
    }
    if size >= 1e15 {
        return format!("{number:.3e}");
    }
    if size >= 1000.0 || number.fract() == 0.0 {
        return thousands(number);
    }
    if size >= 1.0 {
        return figures(number);
    }
    if size < 0.001 {
        return format!("{number:.2e}");
    }
    let digits = if size >= 0.1 {
        3
    } else if size >= 0.01 {
        4
    } else {
        5
    };
    format!("{number:.digits$}")
}

/// A whole number with its thousands parted.
fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    // What rounds to nothing has no sign.
    if number < 0.0 && digits != "0" {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
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

    #[test]
    fn cells_keep_their_figures() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (1056.0, "1\u{202f}056"),
            (-1_234_567.8, "-1\u{202f}234\u{202f}568"),
            (774.43, "774.4"),
            (22.718, "22.72"),
            (1.5, "1.500"),
            (0.5, "0.500"),
            (0.012345, "0.0123"),
            (0.0012345, "0.00123"),
            (0.000_123, "1.23e-4"),
            (1e300, "1.000e300"),
        ] {
            assert_eq!(cell(number), text, "{number}");
        }
    }
}
