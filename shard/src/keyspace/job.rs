//! What a command about the keyspace gathers on the way, and what it answers in the end.

use crate::command::{glob, Keyspace};
use crate::limits::{ASK_KEYS_MAX, LIST_ENTRIES_MAX, LIST_ENTRIES_MIN, SCAN_COUNT_MAX};
use crate::reply::Reply;
use crate::state::Type;

use super::place::Place;

/// Bytes of SCAN's keys at which its page ends, whatever its COUNT says.
const SCAN_BYTES_MAX: usize = 1 << 20;

/// What a gathered key takes in memory beside its bytes.
const KEY_EXTRA_BYTES: usize = size_of::<Reply>() + 16;

/// What is wanted.
#[derive(Debug)]
enum Want {
    Count,
    Matching(Box<[u8]>),
    /// `none`: of a type that there is not.
    Page {
        pattern: Option<Box<[u8]>>,
        count: u64,
        kind: Option<Type>,
        none: bool,
        /// With the place of each key.
        places: bool,
    },
    Any,
    Some(u64),
}

/// A command's work so far.
#[derive(Debug)]
pub(super) struct Job {
    want: Want,
    /// Keys counted.
    count: i64,
    /// Records looked at.
    seen: u64,
    keys: Vec<Reply>,
    bytes: usize,
}

impl Job {
    /// None: a flush is none ([`crate::flush`]), nor is a catalog ([`crate::catalog`]).
    pub fn new(command: &Keyspace) -> Option<Job> {
        let want = match command {
            Keyspace::Size | Keyspace::CountInSlot(_) => Want::Count,
            Keyspace::Keys(pattern) => Want::Matching(pattern.clone()),
            Keyspace::Scan { pattern, count, kind: name, .. } => {
                let kind = Type::ALL.into_iter().find(|kind| name.as_deref() == Some(kind.name().as_bytes()));
                let (pattern, count) = (pattern.clone(), (*count).clamp(1, SCAN_COUNT_MAX));
                Want::Page { pattern, count, kind, none: name.is_some() && kind.is_none(), places: false }
            }
            Keyspace::Partitions { table, count, .. } => {
                // Names of tables have nothing in them that a pattern would not take as it is.
                let pattern = Some([b"{", &table[..], b":*"].concat().into());
                let count = (*count).clamp(1, SCAN_COUNT_MAX);
                Want::Page { pattern, count, kind: Some(Type::Rows), none: false, places: true }
            }
            Keyspace::Random => Want::Any,
            Keyspace::KeysInSlot { count, .. } => Want::Some(*count),
            Keyspace::Flush | Keyspace::Spread(_) => return None,
        };
        Some(Job { want, count: 0, seen: 0, keys: Vec::new(), bytes: 0 })
    }

    /// Whether numbers are enough and no keys are wanted.
    pub fn is_count(&self) -> bool {
        matches!(self.want, Want::Count)
    }

    /// Of which type the values of keys are to be; None: of any.
    pub fn kind(&self) -> Option<Type> {
        match self.want {
            Want::Page { kind, .. } => kind,
            _ => None,
        }
    }

    /// Bytes gathered.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many more records are wanted, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self.want {
            Want::Page { count, .. } => Some(count.saturating_sub(self.seen)),
            Want::Some(count) => Some(count.saturating_sub(self.keys.len() as u64)),
            Want::Any => Some(1),
            Want::Count | Want::Matching(_) => None,
        }
    }

    /// Records looked at in one step.
    pub fn page_max(&self) -> usize {
        match self.left() {
            Some(left) => usize::try_from(left).unwrap_or(usize::MAX).clamp(LIST_ENTRIES_MIN, ASK_KEYS_MAX),
            None if self.is_count() => LIST_ENTRIES_MAX,
            None => ASK_KEYS_MAX,
        }
    }

    /// Records listed by a peer in one answer.
    pub fn list_max(&self) -> usize {
        if self.left().is_some() {
            self.page_max()
        } else {
            LIST_ENTRIES_MAX
        }
    }

    /// Where a page of SCAN should end: after so many records. No other command needs that.
    pub fn cut(&self) -> Option<usize> {
        match self.want {
            Want::Page { .. } => self.left().map(|left| usize::try_from(left).unwrap_or(usize::MAX)),
            _ => None,
        }
    }

    /// Notes keys that were counted.
    pub fn add_count(&mut self, keys: usize) {
        self.count += i64::try_from(keys).expect("keys are counted in memory");
    }

    /// Takes the keys of one step, for which `seen` records were looked at. `pick` chooses one of them by chance, `place` says where a key is.
    pub fn take(
        &mut self,
        keys: Vec<Box<[u8]>>,
        seen: u64,
        pick: impl FnOnce(u64) -> u64,
        place: impl Fn(&[u8]) -> Place,
    ) {
        self.seen += seen;
        match &self.want {
            Want::Matching(pattern) => {
                let pattern = pattern.clone();
                self.keep(keys.into_iter().filter(|key| glob(&pattern, key)));
            }
            Want::Page { pattern: Some(pattern), places, .. } => {
                let (pattern, places, from) = (pattern.clone(), *places, self.keys.len());
                self.keep(keys.into_iter().filter(|key| glob(&pattern, key)));
                for key in self.keys.iter_mut().skip(from).filter(|_| places) {
                    let at = if let Reply::Bulk(name) = &*key { place(name).group().cursor() } else { 0 };
                    *key =
                        Reply::Array(vec![Reply::bulk(at.to_string()), std::mem::replace(key, Reply::Nil)]);
                }
            }
            Want::Page { pattern: None, .. } => self.keep(keys.into_iter()),
            Want::Any if !keys.is_empty() => {
                let index = usize::try_from(pick(keys.len() as u64)).unwrap_or(0);
                self.keep(keys.into_iter().skip(index).take(1));
            }
            Want::Some(count) => {
                let left = usize::try_from(*count).unwrap_or(usize::MAX).saturating_sub(self.keys.len());
                self.keep(keys.into_iter().take(left));
            }
            Want::Any | Want::Count => {}
        }
    }

    fn keep(&mut self, keys: impl Iterator<Item = Box<[u8]>>) {
        for key in keys {
            self.bytes += key.len() + KEY_EXTRA_BYTES;
            self.keys.push(Reply::Bulk(key.into_vec()));
        }
    }

    /// Whether the reply is complete before the end of the scope.
    pub fn is_enough(&self) -> bool {
        match self.want {
            Want::Page { count, none, .. } => none || self.seen >= count || self.bytes >= SCAN_BYTES_MAX,
            Want::Some(count) => self.keys.len() as u64 >= count,
            Want::Any => !self.keys.is_empty(),
            Want::Count | Want::Matching(_) => false,
        }
    }

    /// The reply. `rest`: where the scope goes on, if it does.
    pub fn finish(&mut self, rest: Option<Place>) -> Reply {
        // The bytes stay on the books until the survey is struck off.
        let keys = std::mem::take(&mut self.keys);
        match self.want {
            Want::Count => Reply::Int(self.count),
            Want::Matching(_) | Want::Some(_) => Reply::Array(keys),
            Want::Page { none, .. } => {
                let cursor = rest.filter(|_| !none).map_or(0, Place::cursor);
                Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(keys)])
            }
            Want::Any => keys.into_iter().next().unwrap_or(Reply::Nil),
        }
    }
}
