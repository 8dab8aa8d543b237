//! The rows of the ledger: bucket × device × beneficiary.

use super::claims::ShareMethod;
use crate::time::Window;

/// Who a joule was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beneficiary {
    /// A run: its position in the list of runs.
    Run(usize),
    /// No run: free capacity, while the job log tells who was there (rule W1).
    Idle,
    /// A node that the scheduler does not know (rule W2).
    Infrastructure,
    /// Nobody is known (rule W3).
    Unattributed,
}

impl Beneficiary {
    /// Who has at `at_ms` what no run has of a node, which is `known` to the scheduler or not, where the job log tells of `covered`
    /// (rules W1 to W3).
    pub(super) fn of_the_rest(known: bool, covered: Option<Window>, at_ms: i64) -> Self {
        if !known {
            Self::Infrastructure
        } else if covered.is_some_and(|covered| covered.contains(at_ms)) {
            Self::Idle
        } else {
            Self::Unattributed
        }
    }

    /// The kind, as every table calls it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Idle => "idle",
            Self::Infrastructure => "infrastructure",
            Self::Unattributed => "unattributed",
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Position of the bucket in the books.
    pub bucket: usize,
    /// Position of the device in its node's books.
    pub device: usize,
    /// Who it was used for.
    pub beneficiary: Beneficiary,
    /// IT energy at the node, in joules.
    pub energy_j: f64,
    /// How far off the placing at run edges may be, in joules (rule C6).
    pub edge_error_j: f64,
    /// Seconds that a meter or model saw, of the time for which the beneficiary is in this row.
    pub covered_s: f64,
    /// Seconds whose energy is known but not how it was spread.
    pub interpolated_s: f64,
    /// Seconds that should have been seen.
    pub expected_s: f64,
    /// Share × seconds that should have been seen and were not (rule U2).
    pub unseen_s: f64,
    /// How much of the energy may be another GPU's, where it is not known which GPU a run has, in joules (rule U3).
    pub unbound_j: f64,
    /// How the share was found.
    pub share_method: ShareMethod,
}
