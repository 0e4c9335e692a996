//! Log groups: partitions in the large layout, whose rows lie in the core's tree (docs/design/log-groups.md).
//!
//! The record of a group's key is its head and its newest entry, and goes through everything as records do. What is added to that:
//!
//! 1. **Entries are logged by name** (`log`). With each head that is accepted, or learned to be chosen, its entry goes to the log once more, under a
//!    key of its own in a slot that no client's key has: so what this member has accepted is in its log until its tree on disk has it, whatever
//!    head comes next.
//! 2. **A member applies what it knows to be chosen** (`advance`): what an entry names as its base, and what is below; what an agreed read,
//!    phase 1 or its own proposal found chosen. In their order, each on its base, and with the name of the entry as a row of the group, in the
//!    same batch of the tree.
//! 3. **Statements run on the tree of the head that their entry extends** (`statement`, and [`crate::batch`]), with what the batch has changed so
//!    far over it. They may wait for the disk.
//! 4. **Who lacks an entry that is chosen** asks its peers for it by name (`fetch`). Where it is not in their logs any more, they hold all
//!    rows of a later one for it (`give`), and it takes them in the place of its own (`take`).
//! 5. **What the tree has on disk** goes from the log, the oldest first, beyond a window (`trim`).
//! 6. **A learner** is no voter before it has the rows of what it copied (`regain`).
//! 7. **What is found undecided is finished before it is extended**, by whoever coordinates ([`crate::coordinator`]).
//!
//! Invariant: the rows of a group are a function of the entry that their name row names.

mod advance;
mod fetch;
mod give;
mod log;
mod regain;
pub(crate) mod rows;
mod run;
pub(crate) mod statement;
mod take;
mod trim;

use std::rc::Rc;

pub(crate) use self::advance::{Brought, Groups, TreeAnswer, TreeRead};
pub(crate) use self::run::OnTree;
pub(crate) use self::trim::Kept;
use crate::object::{Group, Name};
use crate::record::Record;
use crate::state::Value;
use crate::wire::bytes::Malformed;

/// An entry of a group, without what its record remembers of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The flush epoch in which it was made.
    pub epoch: u32,
    /// The version of its record.
    pub version: u64,
    pub group: Group,
}

impl Entry {
    /// The entry that a head is. None: the record is none.
    pub fn of(record: &Record) -> Option<Entry> {
        let Some(Value::Group(group)) = &record.value else { return None };
        Some(Entry { epoch: record.epoch, version: record.version, group: group.clone() })
    }

    /// The entry that the bytes of a record are the head of, if they are. They were checked.
    pub fn of_head(bytes: &[u8]) -> Option<Rc<Entry>> {
        let read = || Record::decode(bytes).expect("records are checked before they are accepted");
        Record::is_group(bytes).then(|| Entry::of(&read()).map(Rc::new)).flatten()
    }

    /// Its name.
    pub fn name(&self) -> Name {
        self.group.name(self.version)
    }

    /// As a record of its own.
    fn encode(&self) -> Vec<u8> {
        let value = Some(Value::Group(self.group.clone()));
        let record = Record { version: self.version, epoch: self.epoch, value, ..Record::default() };
        let mut bytes = Vec::with_capacity(self.group.encoded_bytes() + RECORD_BYTES);
        record.encode(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Rc<Entry>, Malformed> {
        let entry = Entry::of(&Record::decode(bytes)?);
        entry.map(Rc::new).ok_or(Malformed("entry: no head of a group"))
    }
}

/// About what a record has beside its value.
const RECORD_BYTES: usize = 64;

/// A group, wherever something is to be done with its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub reference: bitcask::KeyRef,
    pub key: Box<[u8]>,
    pub epoch: u32,
    pub table: u32,
}

impl Place {
    /// What stands in front of its keys in the tree.
    pub fn prefix(&self) -> Vec<u8> {
        rows::prefix(self.epoch, self.table, &self.key)
    }
}
