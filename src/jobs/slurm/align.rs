//! Lines with more separators than the header: a `|` in a job's name adds a
//! field, because `sacct -P` escapes nothing.

use super::JobId;
use crate::jobs::{clock, hostlist};

/// What a column may hold; used to find which fields belong to a free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The job's name: the likeliest place for a stray separator.
    JobName,
    /// Any other text that users write.
    FreeText,
    JobId,
    Time,
    Count,
    Elapsed,
    State,
    Resources,
    HostList,
    ExitCode,
    /// Not checked, but without separators in it.
    Other,
}

impl Kind {
    /// What the column with this (lower-case) name holds.
    pub(super) fn of(column: &str) -> Self {
        match column {
            "jobname" => Self::JobName,
            "comment" | "admincomment" | "systemcomment" | "submitline" | "workdir" | "wckey" | "extra"
            | "stdout" | "stderr" | "stdin" => Self::FreeText,
            "jobid" | "jobidraw" => Self::JobId,
            "start" | "end" | "submit" | "eligible" => Self::Time,
            "elapsedraw" | "alloccpus" | "allocnodes" | "ncpus" | "nnodes" | "reqcpus" | "reqnodes"
            | "uid" | "gid" | "associd" | "dbindex" | "cputimeraw" | "consumedenergyraw" | "ntasks"
            | "qosraw" | "priority" => Self::Count,
            "elapsed" | "cputime" | "totalcpu" | "usercpu" | "systemcpu" | "suspended" => Self::Elapsed,
            "state" => Self::State,
            "alloctres" | "reqtres" => Self::Resources,
            "nodelist" => Self::HostList,
            "exitcode" | "derivedexitcode" => Self::ExitCode,
            _ => Self::Other,
        }
    }

    fn is_free(self) -> bool {
        matches!(self, Self::JobName | Self::FreeText)
    }

    /// Made of items that stand between commas.
    fn is_list(self) -> bool {
        matches!(self, Self::Resources | Self::HostList)
    }

    fn accepts(self, text: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::JobName | Self::FreeText | Self::Other => true,
            Self::JobId => JobId::parse(text).is_some(),
            Self::Time => clock::parse(text, chrono_tz::Tz::UTC).is_ok(),
            Self::Count => text.is_empty() || digits(text),
            Self::Elapsed => text.is_empty() || clock::parse_elapsed(text).is_some(),
            Self::State => {
                let word = text.split(' ').next().unwrap_or_default().trim_end_matches('+');
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            }
            Self::Resources => text.is_empty() || text.split(',').all(|item| item.contains('=')),
            Self::HostList => hostlist::is_list(text),
            Self::ExitCode => {
                text.is_empty() || text.split_once(':').is_some_and(|(a, b)| digits(a) && digits(b))
            }
        }
    }
}

/// More stray separators than anyone puts into one line.
const MOST_EXTRA: usize = 16;
/// Nor does anyone write longer lines with such.
const MOST_BYTES: usize = 64 << 10;
/// Bounds the search on lines that are made to be hard.
const MOST_STEPS: usize = 20_000;

/// Gives each column its text, letting free texts take the surplus fields.
///
/// `None` if there is no way in which every checked column holds what it
/// should, or if two ways differ in a column that is not a free text. Ways that
/// differ only in free texts are one answer: the job's name takes the most.
pub(super) fn realign(kinds: &[Kind], fields: &[&str], separator: char) -> Option<Vec<String>> {
    let extra = fields.len().checked_sub(kinds.len())?;
    if fields.iter().map(|field| field.len()).sum::<usize>() > MOST_BYTES {
        return None;
    }
    // Lists of resources and hosts have commas of their own.
    let most = if separator == ',' { 4 * MOST_EXTRA } else { MOST_EXTRA };
    if extra > most {
        return None;
    }
    let mut search = Search { kinds, fields, separator, found: Vec::new(), taken: Vec::new(), steps: 0 };
    search.go(0, extra);
    if search.steps > MOST_STEPS {
        return None;
    }
    let name = kinds.iter().position(|&kind| kind == Kind::JobName);
    let in_name = |way: &[String]| name.and_then(|at| way.get(at)).map_or(0, String::len);
    let differ = |one: &[String], other: &[String]| {
        kinds.iter().zip(one.iter().zip(other)).any(|(kind, (one, other))| !kind.is_free() && one != other)
    };
    let mut best: Option<Vec<String>> = None;
    for way in search.found.iter().map(|way| texts(way, fields, separator)) {
        if best.as_ref().is_some_and(|best| differ(best, &way)) {
            return None;
        }
        if best.as_ref().is_none_or(|best| in_name(best) <= in_name(&way)) {
            best = Some(way);
        }
    }
    best
}

/// The texts of the columns, given how many fields each of them takes.
fn texts(way: &[usize], fields: &[&str], separator: char) -> Vec<String> {
    let mut rest = fields.iter();
    way.iter()
        .map(|&count| {
            let parts: Vec<&str> = rest.by_ref().take(count).copied().collect();
            parts.join(separator.encode_utf8(&mut [0; 4]))
        })
        .collect()
}

struct Search<'a> {
    kinds: &'a [Kind],
    fields: &'a [&'a str],
    separator: char,
    /// Fields taken by each column so far.
    taken: Vec<usize>,
    found: Vec<Vec<usize>>,
    steps: usize,
}

impl Search<'_> {
    fn go(&mut self, at_field: usize, extra: usize) {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MOST_STEPS {
            return;
        }
        let Some(&kind) = self.kinds.get(self.taken.len()) else {
            if extra == 0 {
                self.found.push(self.taken.clone());
            }
            return;
        };
        let Some(field) = self.fields.get(at_field) else { return };
        if self.separator == ',' && kind.is_list() {
            self.go_list(kind, at_field, extra);
            return;
        }
        if !kind.accepts(field) {
            return;
        }
        let most = if kind.is_free() { extra } else { 0 };
        for more in 0..=most {
            self.take(more, at_field, extra);
        }
    }

    /// A list whose items are separated as the columns are: resources take all `name=value` that follow.
    fn go_list(&mut self, kind: Kind, at_field: usize, extra: usize) {
        let rest = self.fields.get(at_field..).unwrap_or_default();
        let pairs = rest.iter().take_while(|field| field.contains('=')).count();
        for more in 0..=extra {
            let all = kind != Kind::Resources || more.saturating_add(1) == pairs.max(1);
            let joined = rest.get(..more.saturating_add(1)).map(|fields| fields.join(","));
            if all && joined.is_some_and(|joined| kind.accepts(&joined)) {
                self.take(more, at_field, extra);
            }
        }
    }

    fn take(&mut self, more: usize, at_field: usize, extra: usize) {
        let count = more.saturating_add(1);
        self.taken.push(count);
        self.go(at_field.saturating_add(count), extra.saturating_sub(more));
        self.taken.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn way(columns: &str, line: &str) -> Option<Vec<String>> {
        let kinds: Vec<Kind> = columns.split('|').map(|name| Kind::of(&name.to_ascii_lowercase())).collect();
        realign(&kinds, &line.split('|').collect::<Vec<_>>(), '|')
    }

    #[test]
    fn a_separator_in_the_name() {
        let found = way("JobID|JobName|State|Start", "2|we|ird|COMPLETED|2026-11-23T13:31:13").unwrap();
        assert_eq!(found, ["2", "we|ird", "COMPLETED", "2026-11-23T13:31:13"]);
    }

    #[test]
    fn commas_between_columns_and_in_lists() {
        let kinds = ["jobid", "nodelist", "alloctres", "state", "jobname"].map(Kind::of);
        let line = "7,n[001,003],login1,billing=2,cpu=2,mem=4G,COMPLETED,a, b";
        let found = realign(&kinds, &line.split(',').collect::<Vec<_>>(), ',').unwrap();
        assert_eq!(found, ["7", "n[001,003],login1", "billing=2,cpu=2,mem=4G", "COMPLETED", "a, b"]);
    }

    #[test]
    fn a_name_that_looks_like_a_state() {
        // `A|B` as name and `OK` in the state's place would fit as well, but for the time.
        let found = way("JobName|State|Start", "A|B|OK|Unknown").unwrap();
        assert_eq!(found, ["A|B", "OK", "Unknown"]);
    }

    #[test]
    fn two_free_texts_with_checked_columns_between() {
        let found = way("JobID|JobName|State|Comment|NodeList", "2|a|b|COMPLETED|x|y|n1").unwrap();
        assert_eq!(found, ["2", "a|b", "COMPLETED", "x|y", "n1"]);
    }

    #[test]
    fn neighbouring_free_texts_cost_nothing_but_the_text() {
        let found = way("JobID|Comment|JobName|State", "2|a|b|c|COMPLETED").unwrap();
        assert_eq!(found, ["2", "a", "b|c", "COMPLETED"]);
    }

    #[test]
    fn what_cannot_be_told_is_left_alone() {
        // The user may be `b` or `c`.
        assert_eq!(way("JobName|User|Comment", "a|b|c|d"), None);
        assert_eq!(way("JobID|User|State", "2|x|y|COMPLETED"), None);
        assert_eq!(way("JobID|JobName|State", &format!("2|{}|COMPLETED", "a|".repeat(40))), None);
        assert_eq!(way("JobID|JobName|State", "2|a"), None);
    }

    proptest! {
        #[test]
        fn what_was_joined_comes_apart(name in "[a-z|, ]{0,12}", node in "[a-z][0-9]{1,3}") {
            let line = format!("7_1|{name}|COMPLETED|1795440647|1795440673|{node}");
            let found = way("JobID|JobName|State|Start|End|NodeList", &line).unwrap();
            prop_assert_eq!(found, ["7_1", &name, "COMPLETED", "1795440647", "1795440673", &node]);
        }
    }
}
