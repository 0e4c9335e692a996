//! Whether a history is linearizable, key by key.
//!
//! Linearizability is local (Herlihy and Wing): a history is linearizable if that of each key is. So keys are
//! judged one by one, each by the cheapest way that is complete for it:
//!
//! 1. [`zone`], for keys that were only read and set, with values that are all different: Gibbons and Korach,
//!    O(n log n), any concurrency, unknown outcomes for free.
//! 2. [`search`], for everything else: the search of Wing and Gong in the form of Lowe, with a memo. Its cost
//!    grows with the number of operations open at once, not with the length; it has bounds, and beyond them
//!    says `Undecided`.
//! 3. [`witness`], besides, where the store told versions: their order must be one that explains all replies.
//!
//! Operations that failed for certain are dropped, and so are reads of unknown outcome. An unknown write may
//! take effect at any time after its call, or never.

use ahash::AHashMap;

use crate::history::{format, History, Operation, Outcome};

pub mod model;
pub mod search;
pub mod witness;
pub mod zone;

/// What makes the history of a key impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Why, in one sentence.
    pub text: String,
    /// The operations that it speaks of: places in the history that was checked.
    pub operations: Vec<usize>,
}

/// What a checker says about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains everything.
    Linearizable,
    /// No order does.
    Violation(Evidence),
    /// The bounds of the search were reached.
    Undecided(&'static str),
}

/// A key and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: Vec<u8>,
    /// What makes its history impossible.
    pub evidence: Evidence,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Keys in the history.
    pub keys: usize,
    /// Operations in the history.
    pub operations: usize,
    /// Of them: answered.
    pub replied: usize,
    /// Of them: outcome unknown.
    pub unknown: usize,
    /// Of them: failed for certain.
    pub failed: usize,
    /// Keys judged by their zones; the others were searched.
    pub by_zones: usize,
    /// Keys whose history is impossible, in order of the keys.
    pub violations: Vec<Violation>,
    /// Keys that were not decided, and why.
    pub undecided: Vec<(Vec<u8>, &'static str)>,
}

impl Summary {
    /// Every key was decided, and all are linearizable.
    pub fn is_linearizable(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }

    /// The summary for people, with the operations of the first few violations.
    pub fn to_text(&self, history: &History) -> String {
        let mut out = format!(
            "keys: {} ({} by zones, {} searched), operations: {} ({} answered, {} unknown, {} failed)\n",
            self.keys,
            self.by_zones,
            self.keys - self.by_zones,
            self.operations,
            self.replied,
            self.unknown,
            self.failed
        );
        for violation in self.violations.iter().take(10) {
            let key = String::from_utf8_lossy(&violation.key);
            out.push_str(&format!("key {key:?}: {}\n", violation.evidence.text));
            for operation in violation.evidence.operations.iter().filter_map(|&i| history.operations.get(i)) {
                out.push_str(&format!("    {}\n", format::line(operation)));
            }
        }
        for (key, why) in self.undecided.iter().take(10) {
            out.push_str(&format!("key {:?}: undecided, {why}\n", String::from_utf8_lossy(key)));
        }
        let verdict = match (self.violations.len(), self.undecided.len()) {
            (0, 0) => "linearizable".to_owned(),
            (0, undecided) => format!("undecided for {undecided} keys"),
            (violated, _) => format!("NOT linearizable for {violated} keys"),
        };
        out.push_str(&format!("verdict: {verdict}\n"));
        out
    }
}

/// An operation and its place in the history.
#[derive(Debug, Clone, Copy)]
pub struct Indexed<'a> {
    /// Its place.
    pub index: usize,
    /// The operation.
    pub operation: &'a Operation,
}

/// Judges a history.
pub fn check(history: &History) -> Summary {
    let mut summary = Summary { operations: history.operations.len(), ..Summary::default() };
    let mut places: AHashMap<&[u8], usize> = AHashMap::new();
    let mut keys: Vec<(&[u8], Vec<Indexed<'_>>)> = Vec::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let place = *places.entry(&operation.key).or_insert_with(|| {
            keys.push((&operation.key, Vec::new()));
            keys.len() - 1
        });
        let operations = &mut keys[place].1;
        match &operation.outcome {
            Outcome::Replied { .. } => summary.replied += 1,
            Outcome::Unknown => summary.unknown += 1,
            Outcome::Failed => summary.failed += 1,
        }
        if operation.outcome != Outcome::Failed {
            operations.push(Indexed { index, operation });
        }
    }
    // What is said of them is in their order, whatever the hashes are.
    keys.sort_unstable_by_key(|(key, _)| *key);
    summary.keys = keys.len();
    for (key, operations) in &keys {
        let verdict = check_key(operations, &mut summary);
        match verdict {
            Verdict::Linearizable => {}
            Verdict::Violation(evidence) => {
                summary.violations.push(Violation { key: key.to_vec(), evidence })
            }
            Verdict::Undecided(why) => summary.undecided.push((key.to_vec(), why)),
        }
    }
    summary
}

fn check_key(operations: &[Indexed<'_>], summary: &mut Summary) -> Verdict {
    let verdict = match zone::check(operations) {
        Some(verdict) => {
            summary.by_zones += 1;
            verdict
        }
        None => search::check(operations),
    };
    match (verdict, witness::check(operations)) {
        (Verdict::Linearizable | Verdict::Undecided(_), Some(evidence)) => Verdict::Violation(evidence),
        (verdict, _) => verdict,
    }
}
