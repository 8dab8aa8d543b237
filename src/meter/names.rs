//! Node names: what Prometheus calls a machine against what the scheduler
//! calls it (rule N1).

use std::collections::BTreeMap;

use regex::Regex;

use crate::tsdb::Labels;

/// Labels that name a machine, in the order in which they are believed.
const NAME_LABELS: [&str; 4] = ["Hostname", "nodename", "node", "host"];

/// Longer names are no machine's: those of the DNS have 253 bytes, and a port may follow.
const LONGEST_NAME: usize = 300;

/// A pattern of `[nodes.alias]` that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alias pattern `{pattern}` is not a regular expression: {reason}")]
pub struct AliasError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What is wrong with a pattern, without the drawing over several lines of where.
pub(crate) fn reason_of(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The alias table: patterns, matched against the whole of a name from either
/// side, and the node that is meant. `$1` stands for the first group.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    patterns: Vec<(Regex, String)>,
}

impl Aliases {
    /// From patterns and nodes; earlier ones are tried first.
    ///
    /// # Errors
    ///
    /// For a pattern that does not compile.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, AliasError> {
        let patterns = pairs
            .into_iter()
            .map(|(pattern, node)| {
                Regex::new(&format!("^(?i:{pattern})$"))
                    .map(|regex| (regex, node.to_owned()))
                    .map_err(|error| AliasError { pattern: pattern.to_owned(), reason: reason_of(&error) })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    fn find(&self, name: &str) -> Option<String> {
        self.patterns.iter().find_map(|(pattern, node)| {
            let groups = pattern.captures(name)?;
            let mut expanded = String::new();
            groups.expand(node, &mut expanded);
            Some(expanded.to_lowercase())
        })
    }

    /// The node that a name from either side stands for: the alias' if one
    /// fits the name as it is or stripped, else the stripped name.
    pub fn canonical(&self, name: &str) -> String {
        let stripped = strip(name);
        self.find(name).or_else(|| self.find(&stripped)).unwrap_or(stripped)
    }
}

/// A name without port and domain, in lower case; an IP address is kept whole.
pub fn strip(name: &str) -> String {
    let name = name.trim().to_lowercase();
    if let Some(inner) = name.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default().to_owned();
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return name;
    }
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name.as_str(),
    };
    if host.parse::<std::net::IpAddr>().is_ok() {
        return host.to_owned();
    }
    host.split('.').next().unwrap_or(host).to_owned()
}

/// Finds the node of a series.
#[derive(Clone, Debug, Default)]
pub struct NodeNames {
    aliases: Aliases,
    /// `node_uname_info{nodename}` by instance.
    by_instance: BTreeMap<String, String>,
    /// The same by the instance's host part, where all its instances agree.
    by_host: BTreeMap<String, Option<String>>,
}

impl NodeNames {
    /// With the aliases of the site and the `node_uname_info` series that there are.
    pub fn new<'a>(aliases: Aliases, uname: impl IntoIterator<Item = &'a Labels>) -> Self {
        let mut names = Self { aliases, ..Self::default() };
        for labels in uname {
            if let (Some(instance), Some(nodename)) = (labels.get("instance"), labels.get("nodename")) {
                names.by_instance.insert(instance.to_owned(), nodename.to_owned());
                names
                    .by_host
                    .entry(strip(instance))
                    .and_modify(|known| {
                        if known.as_deref() != Some(nodename) {
                            *known = None;
                        }
                    })
                    .or_insert_with(|| Some(nodename.to_owned()));
            }
        }
        names
    }

    /// The aliases, for names from the job log.
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// The node that `labels` belong to; `None` for a series that names no machine.
    /// A label that the catalog says to name the node goes before all others.
    pub fn node_of(&self, labels: &Labels, named_by: Option<&str>) -> Option<String> {
        let instance = labels.get("instance");
        let nodename = instance.and_then(|instance| {
            let by_host = || self.by_host.get(&strip(instance)).cloned().flatten();
            self.by_instance.get(instance).cloned().or_else(by_host)
        });
        let candidates = [named_by.and_then(|label| labels.get(label)), nodename.as_deref()]
            .into_iter()
            .chain(NAME_LABELS.map(|label| labels.get(label)))
            .chain([instance])
            .flatten()
            .filter(|name| name.len() <= LONGEST_NAME);
        for candidate in candidates.clone() {
            if let Some(node) = self.aliases.find(candidate).or_else(|| self.aliases.find(&strip(candidate)))
            {
                return Some(node);
            }
        }
        candidates.map(strip).find(|name| !name.is_empty())
    }
}

/// The nearest of `candidates` to `name`, if one is near: for hints only.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|candidate| name.len().max(candidate.len()) <= LONGEST_NAME)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(name.chars().count()) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, left_char) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut west = line + 1;
        let mut next = vec![west];
        for (north, right_char) in row.iter().skip(1).zip(&right) {
            west = (diagonal + usize::from(left_char != *right_char)).min(north + 1).min(west + 1);
            diagonal = *north;
            next.push(west);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_domains_go_addresses_stay() {
        assert_eq!(strip("GPU001.cluster.example:9100"), "gpu001");
        assert_eq!(strip("10.0.0.7:9400"), "10.0.0.7");
        assert_eq!(strip("[fe80::1]:9100"), "fe80::1");
        assert_eq!(strip("fe80::1"), "fe80::1");
    }

    #[test]
    fn alias_before_uname_before_labels_before_instance() {
        let uname = Labels::new([("instance", "10.0.0.7:9100"), ("nodename", "Gpu7.site")]);
        let aliases = Aliases::new([("bmc-(\\d+)", "gpu$1"), ("n00[1-3]", "vm")]).unwrap();
        let names = NodeNames::new(aliases, [&uname]);
        let node = |pairs: &[(&str, &str)]| names.node_of(&Labels::new(pairs.iter().copied()), None);
        assert_eq!(node(&[("instance", "10.0.0.7:9100")]).as_deref(), Some("gpu7"));
        assert_eq!(node(&[("instance", "10.0.0.7:9400"), ("Hostname", "x")]).as_deref(), Some("gpu7"));
        assert_eq!(node(&[("instance", "exp:9400"), ("Hostname", "gpu8.site")]).as_deref(), Some("gpu8"));
        assert_eq!(node(&[("instance", "bmc-9:9290")]).as_deref(), Some("gpu9"));
        assert_eq!(node(&[("instance", "login1:9100")]).as_deref(), Some("login1"));
        assert_eq!(node(&[("job", "x")]), None);
        assert_eq!(names.aliases().canonical("n002"), "vm");
    }

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(nearest("gpu01", ["gpu001", "login1"]), Some("gpu001"));
        assert_eq!(nearest("zebra", ["gpu001", "login1"]), None);
    }
}
