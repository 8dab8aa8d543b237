//! Least and most watts by Cloud Carbon Footprint (release-2024-02-11, Apache-2.0): for processors by
//! microarchitecture and hardware thread, from SPECpower_ssj2008 results; for GPUs by card.

use super::model::DeviceKind;
use super::rating::Rating;
use crate::units::Watts;

/// Watts of a hardware thread at rest and at full load (`coefficients-*-use.csv`).
const CASCADE_LAKE: (f64, f64) = (0.64, 3.97);
const SKYLAKE: (f64, f64) = (0.65, 4.26);
const EPYC_2: (f64, f64) = (0.47, 1.69);
const EPYC_3: (f64, f64) = (0.45, 2.02);

/// Watts of a card at rest and at full load (`packages/gcp/src/lib/GPUTypes.ts`).
const CARDS: [(&str, (f64, f64)); 3] =
    [("a100", (46.0, 407.0)), ("v100", (35.0, 306.0)), ("t4", (8.0, 71.0))];

/// Watts of the device at rest and at full load; `None` for hardware that the tables lack, and for processors whose
/// threads are not known.
pub(super) fn range(rating: &Rating) -> Option<(Watts, Watts)> {
    let name = rating.name.to_lowercase();
    let words: Vec<&str> =
        name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match rating.kind {
        DeviceKind::CpuSocket => {
            let (least, most) = architecture(&words)?;
            let threads = f64::from(rating.threads?);
            Some((Watts(least * threads), Watts(most * threads)))
        }
        DeviceKind::Gpu => {
            let (_, (least, most)) = CARDS.iter().find(|(card, _)| words.contains(card))?;
            Some((Watts(*least), Watts(*most)))
        }
    }
}

/// By the model number: Intel's second digit and AMD's last are the generation.
fn architecture(words: &[&str]) -> Option<(f64, f64)> {
    let number = words.iter().find_map(|word| {
        let digits = word.get(..4)?;
        digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(digits.as_bytes())
    })?;
    let [first, second, _, last] = number else { return None };
    if words.contains(&"epyc") && *first == b'7' {
        return match last {
            b'2' => Some(EPYC_2),
            b'3' => Some(EPYC_3),
            _ => None,
        };
    }
    let is_scalable = ["platinum", "gold", "silver", "bronze"].iter().any(|metal| words.contains(metal));
    match second {
        b'1' if is_scalable => Some(SKYLAKE),
        b'2' if is_scalable => Some(CASCADE_LAKE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(name: &str, threads: u32) -> Option<(f64, f64)> {
        let rating = Rating { name: name.to_owned(), threads: Some(threads), ..Rating::cpu(Watts(150.0)) };
        range(&rating).map(|(least, most)| (least.value(), most.value()))
    }

    #[test]
    fn architectures_by_the_model_number() {
        assert_eq!(cpu("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", 40), Some((25.6, 158.8)));
        assert_eq!(cpu("Intel(R) Xeon(R) Platinum 8180 CPU @ 2.50GHz", 100), Some((65.0, 426.0)));
        assert_eq!(cpu("AMD EPYC 7742 64-Core Processor", 100), Some((47.0, 169.0)));
        assert_eq!(cpu("AMD EPYC 7763 64-Core Processor", 100), Some((45.0, 202.0)));
        for other in
            ["AMD EPYC 9654 96-Core Processor", "Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", "", "6248"]
        {
            assert_eq!(cpu(other, 24), None, "{other}");
        }
    }
}
