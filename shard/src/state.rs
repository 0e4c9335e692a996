//! The state of one entity as commands see it.

use reactor::mutants::planted;

use crate::command::limits::OBJECT_ENTRIES_MAX;
use crate::joint::{Claim, Ties};
use crate::object::{Change, Group, Hash, List, Misfit, Notes, Set, SortedSet};
use crate::requests::Requests;

/// A typed value. The tags of the types are part of the record format (docs/formats/record.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A Redis string.
    Str(Vec<u8>),
    /// A hash.
    Hash(Hash),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    SortedSet(SortedSet),
    /// The rows of a partition of a table, index entries included: bytes by key (docs/formats/sql.md).
    Rows(Hash),
    /// The head of a log group, whose rows lie in the tree: a partition in the large layout.
    Group(Group),
}

/// What a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Bytes.
    String,
    /// Values by field.
    Hash,
    /// Elements in an order of their own.
    List,
    /// Members.
    Set,
    /// Members by score.
    SortedSet,
    /// Rows of a table, in either layout.
    Rows,
}

impl Type {
    /// All types.
    pub const ALL: [Type; 6] = [Type::String, Type::Hash, Type::List, Type::Set, Type::SortedSet, Type::Rows];

    /// As TYPE answers it.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Hash => "hash",
            Type::List => "list",
            Type::Set => "set",
            Type::SortedSet => "zset",
            Type::Rows => "rows",
        }
    }
}

impl Value {
    /// The bytes that a bound on values counts: of a string, of the encoding of anything else.
    pub fn bytes(&self) -> usize {
        match self {
            Value::Str(bytes) => bytes.len(),
            Value::Hash(hash) | Value::Rows(hash) => hash.encoded_bytes(),
            Value::List(list) => list.encoded_bytes(),
            Value::Set(set) => set.encoded_bytes(),
            Value::SortedSet(set) => set.encoded_bytes(),
            Value::Group(group) => group.encoded_bytes(),
        }
    }

    /// Fields, elements or members; 1 for a string, and for a group, whose rows are not counted.
    pub fn entries(&self) -> usize {
        match self {
            Value::Str(_) | Value::Group(_) => 1,
            Value::Hash(hash) | Value::Rows(hash) => hash.len(),
            Value::List(list) => list.len(),
            Value::Set(set) => set.len(),
            Value::SortedSet(set) => set.len(),
        }
    }

    /// The digest of an object; 0 for a string and for a group, whose bytes are compared.
    pub fn digest(&self) -> u64 {
        match self {
            Value::Str(_) | Value::Group(_) => 0,
            Value::Hash(hash) | Value::Rows(hash) => hash.digest(),
            Value::List(list) => list.digest(),
            Value::Set(set) => set.digest(),
            Value::SortedSet(set) => set.digest(),
        }
    }

    fn notes(&mut self) -> Option<&mut Notes> {
        match self {
            Value::Str(_) | Value::Group(_) => None,
            Value::Hash(hash) | Value::Rows(hash) => Some(hash.notes()),
            Value::List(list) => Some(list.notes()),
            Value::Set(set) => Some(set.notes()),
            Value::SortedSet(set) => Some(set.notes()),
        }
    }

    /// Has an object note what becomes of it from now on, up to so many bytes of changes. Nothing else begins that, and what is made anew has no
    /// notes: so changes that are at hand in the end are those of this very object.
    pub fn begin_notes(&mut self, bytes_max: usize) {
        let digest = self.digest();
        if let Some(notes) = self.notes() {
            notes.begin(digest, bytes_max);
        }
    }

    /// The value is kept decoded: so that pages of an object cost what they give, not all of it.
    pub(crate) fn begin_scans(&mut self) {
        match self {
            Value::Str(_) | Value::List(_) | Value::Rows(_) | Value::Group(_) => {}
            Value::Hash(hash) => hash.begin_scans(),
            Value::Set(set) => set.begin_scans(),
            Value::SortedSet(set) => set.begin_scans(),
        }
    }

    /// About what the order of its scans takes in memory.
    pub(crate) fn scan_order_bytes(&self) -> usize {
        match self {
            Value::Str(_) | Value::List(_) | Value::Rows(_) | Value::Group(_) => 0,
            Value::Hash(hash) => hash.scan_order().memory_bytes(),
            Value::Set(set) => set.scan_order().memory_bytes(),
            Value::SortedSet(set) => set.scan_order().memory_bytes(),
        }
    }

    /// The changes since [`Value::begin_notes`], encoded. None: it notes nothing, or they were too many.
    pub fn changes(&mut self) -> Option<Vec<u8>> {
        self.notes()?.encoded()
    }

    /// Applies changes. After an error the value is of no use.
    pub fn apply(&mut self, changes: &[u8]) -> Result<(), Misfit> {
        Change::each(changes, |change| match self {
            Value::Str(_) | Value::Group(_) => Err(Misfit),
            Value::Hash(hash) | Value::Rows(hash) => hash.apply(change),
            Value::List(list) => list.apply(change),
            Value::Set(set) => set.apply(change),
            Value::SortedSet(set) => set.apply(change),
        })?;
        (1..=OBJECT_ENTRIES_MAX).contains(&self.entries()).then_some(()).ok_or(Misfit)
    }

    /// What it is.
    pub fn kind(&self) -> Type {
        match self {
            Value::Str(_) => Type::String,
            Value::Hash(_) => Type::Hash,
            Value::List(_) => Type::List,
            Value::Set(_) => Type::Set,
            Value::SortedSet(_) => Type::SortedSet,
            Value::Rows(_) | Value::Group(_) => Type::Rows,
        }
    }
}

/// What commands of one batch read and change, in order. A batch that leaves `changed` false is a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The value; None when the key is absent, deleted or expired.
    pub value: Option<Value>,
    /// Wall-clock milliseconds since 1970 at which the value ends; 0 = never.
    pub expires_at_ms: u64,
    /// The version of the entry last chosen, 0 when there never was one; raised by every change of the batch, so that
    /// what two commands of one batch wrote never has the same version (GETV, SETV). The entry that the batch leads to
    /// has the version that is here after its last command.
    pub version: u64,
    /// What the next change's version is at least. The caller sets it from the round of the ballot that the batch is
    /// to be proposed at; left at 0, versions go up by one.
    pub version_floor: u64,
    /// Whether a command changed anything, so that a new entry must be chosen before its reply may leave.
    pub changed: bool,
    /// A command is being run: all of its changes have one version.
    pub is_one_step: bool,
    /// Requests that clients numbered themselves.
    pub requests: Requests,
    /// Joint commands that have to do with the key; None rather than empty.
    pub ties: Option<Box<Ties>>,
    /// A numbered request or a tie was noted there: a new entry must be chosen, of the same version if nothing else changed.
    pub has_noted: bool,
}

impl State {
    /// Whose the key is at the moment.
    pub fn claim(&self) -> Option<&Claim> {
        self.ties.as_ref().and_then(|ties| ties.claim.as_ref())
    }

    /// Notes a change of the ties: the value, and with it the version, may stay.
    pub(crate) fn note_ties(&mut self) {
        self.has_noted = true;
        if self.ties.as_ref().is_some_and(|ties| ties.is_empty()) {
            self.ties = None;
        }
    }

    /// Notes a change, and gives it a version above all before.
    pub(crate) fn touch(&mut self) {
        if self.is_one_step && self.changed {
            return;
        }
        let next = self.version.checked_add(1).expect("versions derive from rounds, whose jumps are capped");
        self.version = next.max(self.version_floor);
        self.changed = true;
    }

    /// Sets value and expiry (0 = never).
    pub(crate) fn put(&mut self, value: Value, expires_at_ms: u64) {
        self.value = Some(value);
        self.expires_at_ms = expires_at_ms;
        self.touch();
    }

    /// Removes the value if there is one; says whether there was.
    pub(crate) fn delete(&mut self) -> bool {
        let present = self.value.take().is_some();
        self.expires_at_ms = 0;
        if present {
            self.touch();
        }
        present
    }

    /// Drops the value if its time has come; says whether it had. Expiry is a write like any other. What is claimed waits with it.
    pub fn expire(&mut self, now_wall_ms: u64) -> bool {
        let now_wall_ms = if planted(581) { now_wall_ms.saturating_sub(500) } else { now_wall_ms };
        let now_wall_ms = if planted(582) { now_wall_ms + 500 } else { now_wall_ms };
        let has_ended = self.expires_at_ms != 0 && self.expires_at_ms <= now_wall_ms;
        has_ended && self.claim().is_none() && self.delete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_from_the_floor() {
        let mut state = State { version: 7, version_floor: 3 << 8, ..State::default() };
        state.put(Value::Str(vec![1]), 0);
        assert_eq!(state.version, 768);
        state.put(Value::Str(vec![2]), 0);
        assert_eq!(state.version, 769);
        // A floor below what is there does not lower it.
        state.version_floor = 5;
        assert!(state.delete());
        assert_eq!(state.version, 770);
        // What changes nothing has no version of its own.
        assert!(!state.delete() && !state.expire(u64::MAX));
        assert_eq!(state.version, 770);
    }

    #[test]
    fn a_value_ends_at_its_millisecond() {
        let new = || State { value: Some(Value::Str(vec![])), expires_at_ms: 10, ..State::default() };
        let mut state = new();
        assert!(!state.expire(9));
        assert_eq!(state, new());
        assert!(state.expire(10));
        assert_eq!(state, State { version: 1, changed: true, ..State::default() });
    }
}
