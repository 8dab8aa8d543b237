//! Zones and their many names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::CarbonError;

/// The canonical id of a place with an electricity mix of its own: `DE`,
/// `US-CAL-CISO`. Ids are those of Electricity Maps, or the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(Arc<str>);

impl Zone {
    /// A zone by its canonical id. No check is made; [`super::Intensity::zone`]
    /// makes a zone from what a user wrote.
    pub fn from_id(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many candidates an unknown name is answered with.
const MAX_CANDIDATES: usize = 5;
/// Letters of an unknown name that are compared: no zone's name is longer.
const MAX_COMPARED: usize = 64;

/// Every name by which a zone may be called.
#[derive(Clone, Debug, Default)]
pub(super) struct ZoneNames {
    /// Ids, in capitals.
    ids: BTreeMap<String, Zone>,
    /// Names, folded.
    aliases: BTreeMap<String, Zone>,
    /// What to print beside the id.
    labels: BTreeMap<Zone, String>,
}

impl ZoneNames {
    /// Makes an id known.
    pub(super) fn add_zone(&mut self, zone: &Zone, label: &str) {
        self.ids.entry(capitals(zone.as_str())).or_insert_with(|| zone.clone());
        if !label.is_empty() {
            self.labels.entry(zone.clone()).or_insert_with(|| label.to_owned());
        }
    }

    /// Makes another name of a zone known.
    pub(super) fn add_alias(&mut self, alias: &str, zone: &Zone) {
        self.aliases.insert(fold(alias), zone.clone());
    }

    /// The zone of that id or name, in any case and with or without accents.
    pub(super) fn find(&self, text: &str) -> Option<Zone> {
        // Ids first: `BR-N` is a part of Brazil, `BRN` is Brunei.
        let id = capitals(text.trim());
        self.ids.get(&id).or_else(|| self.aliases.get(&fold(text))).cloned()
    }

    /// As [`Self::find`], with the nearest names where there is none.
    pub(super) fn resolve(&self, text: &str) -> Result<Zone, CarbonError> {
        self.find(text).ok_or_else(|| CarbonError::UnknownZone {
            text: text.trim().to_owned(),
            candidates: self.candidates(text),
        })
    }

    fn candidates(&self, text: &str) -> Vec<String> {
        let wanted: Vec<char> = fold(text).chars().take(MAX_COMPARED).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let allowed = (wanted.len() / 3).max(1);
        let names = self.ids.iter().map(|(id, zone)| (fold(id), zone));
        let mut best: BTreeMap<&Zone, usize> = BTreeMap::new();
        for (name, zone) in names.chain(self.aliases.iter().map(|(alias, zone)| (alias.clone(), zone))) {
            let name: Vec<char> = name.chars().collect();
            // A beginning is a likely slip of patience, whatever is missing.
            let distance =
                if wanted.len() >= 3 && name.starts_with(&wanted) { 1 } else { distance(&wanted, &name) };
            if distance <= allowed {
                best.entry(zone).and_modify(|so_far| *so_far = distance.min(*so_far)).or_insert(distance);
            }
        }
        let mut ranked: Vec<(usize, &Zone)> =
            best.into_iter().map(|(zone, distance)| (distance, zone)).collect();
        ranked.sort();
        let named = |zone: &Zone| match self.labels.get(zone) {
            Some(label) => format!("`{zone}` ({label})"),
            None => format!("`{zone}`"),
        };
        ranked.into_iter().take(MAX_CANDIDATES).map(|(_, zone)| named(zone)).collect()
    }
}

fn capitals(id: &str) -> String {
    id.to_uppercase().replace('_', "-")
}

/// A name as it is compared: small letters and digits, without accents.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(plain_letter).filter(|c| c.is_alphanumeric()).collect()
}

/// The plain letter under an accent, for the letters that names of zones use.
fn plain_letter(letter: char) -> char {
    match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' | 'ā' => 'a',
        'ç' | 'č' => 'c',
        'é' | 'è' | 'ê' | 'ë' | 'ē' => 'e',
        'í' | 'ì' | 'î' | 'ï' | 'ī' => 'i',
        'ñ' => 'n',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' => 'o',
        'ú' | 'ù' | 'û' | 'ü' | 'ū' => 'u',
        other => other,
    }
}

/// Levenshtein's distance: letters to add, drop or change.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, one) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(previous.len());
        let mut beside = row.saturating_add(1);
        current.push(beside);
        for ((other, diagonal), above) in right.iter().zip(&previous).zip(previous.iter().skip(1)) {
            let change = diagonal.saturating_add(usize::from(one != other));
            beside = change.min(above.saturating_add(1)).min(beside.saturating_add(1));
            current.push(beside);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        // The textbook pair, and the two edges.
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("abc"), &chars("")), 3);
    }

    #[test]
    fn ids_beat_names_and_accents_do_not_count() {
        let mut names = ZoneNames::default();
        names.add_zone(&Zone::from_id("BR-N"), "North Brazil");
        names.add_alias("BRN", &Zone::from_id("BN"));
        names.add_alias("Côte d'Ivoire", &Zone::from_id("CI"));
        assert_eq!(names.find("br_n").unwrap().as_str(), "BR-N");
        assert_eq!(names.find(" brn ").unwrap().as_str(), "BN");
        assert_eq!(names.find("COTE D’IVOIRE").unwrap().as_str(), "CI");
        assert!(names.find("").is_none());
    }
}
