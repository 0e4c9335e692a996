//! Commands on the keys of a host or of a slot. They are read here and executed where the key directory is.

use super::parse::{is, Args};
use super::{errors, numbers, Command};
use crate::reply::Reply;
use crate::slot::SLOTS;

/// A command that concerns keys by their being there, not by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyspace {
    /// DBSIZE.
    Size,
    /// KEYS pattern.
    Keys(Box<[u8]>),
    /// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type].
    Scan {
        /// Where to go on; 0 = from the start.
        cursor: u64,
        /// Which keys; None = all.
        pattern: Option<Box<[u8]>>,
        /// About how many to look at: 1 or more, 10 where the client says nothing.
        count: u64,
        /// Which type, in lower case; one that does not exist matches nothing.
        kind: Option<Box<[u8]>>,
    },
    /// A page of the partitions of a table, as SCAN gives one; each with the cursor that begins with it. No command of clients.
    Partitions {
        /// Where to go on; 0 = from the start.
        cursor: u64,
        /// The name of the table.
        table: Box<[u8]>,
        /// About how many keys to look at.
        count: u64,
    },
    /// RANDOMKEY.
    Random,
    /// FLUSHALL, FLUSHDB: there is one database, and no background freeing to choose.
    Flush,
    /// These bytes are the catalog's by now: has a majority of the slice adopt it. No command of clients.
    Spread(Box<[u8]>),
    /// CLUSTER COUNTKEYSINSLOT slot.
    CountInSlot(u16),
    /// CLUSTER GETKEYSINSLOT slot count.
    KeysInSlot {
        /// The slot.
        slot: u16,
        /// At most how many keys.
        count: u64,
    },
}

/// Keys that a SCAN without COUNT looks at: Redis' default.
const SCAN_COUNT_DEFAULT: u64 = 10;

fn keyspace(command: Keyspace) -> Result<Command, Reply> {
    Ok(Command::Keyspace(command))
}

/// DBSIZE.
pub(super) fn parse_size(_: &Args<'_>) -> Result<Command, Reply> {
    keyspace(Keyspace::Size)
}

/// KEYS pattern.
pub(super) fn parse_keys(args: &Args<'_>) -> Result<Command, Reply> {
    keyspace(Keyspace::Keys(args.owned(1)))
}

/// RANDOMKEY.
pub(super) fn parse_random(_: &Args<'_>) -> Result<Command, Reply> {
    keyspace(Keyspace::Random)
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type].
pub(super) fn parse_scan(args: &Args<'_>) -> Result<Command, Reply> {
    let cursor = numbers::unsigned(args.at(1)).ok_or(errors::CURSOR)?;
    let (mut pattern, mut kind, mut count) = (None, None, SCAN_COUNT_DEFAULT);
    let mut options = args.from(2);
    while let Some(option) = options.next() {
        let value = options.next().ok_or(errors::SYNTAX)?;
        if is(option, "MATCH") {
            pattern = (value != b"*").then(|| value.into());
        } else if is(option, "COUNT") {
            let number = numbers::integer(value).ok_or(errors::NOT_AN_INTEGER)?;
            count = u64::try_from(number).ok().filter(|count| *count > 0).ok_or(errors::SYNTAX)?;
        } else if is(option, "TYPE") {
            kind = Some(value.to_ascii_lowercase().into());
        } else {
            return Err(errors::SYNTAX);
        }
    }
    keyspace(Keyspace::Scan { cursor, pattern, count, kind })
}

/// FLUSHALL and FLUSHDB [ASYNC|SYNC].
pub(super) fn parse_flush(args: &Args<'_>) -> Result<Command, Reply> {
    let mut options = args.from(1);
    match (options.next(), options.next()) {
        (None, _) => keyspace(Keyspace::Flush),
        (Some(how), None) if is(how, "ASYNC") || is(how, "SYNC") => keyspace(Keyspace::Flush),
        _ => Err(errors::SYNTAX),
    }
}

/// CLUSTER COUNTKEYSINSLOT slot.
pub(super) fn parse_count_in_slot(args: &Args<'_>) -> Result<Command, Reply> {
    let slot = slot_of(args.integer(2)?).ok_or(errors::SLOT)?;
    keyspace(Keyspace::CountInSlot(slot))
}

/// CLUSTER GETKEYSINSLOT slot count.
pub(super) fn parse_keys_in_slot(args: &Args<'_>) -> Result<Command, Reply> {
    let (slot, count) = (args.integer(2)?, args.integer(3)?);
    let parsed = slot_of(slot).zip(u64::try_from(count).ok());
    let (slot, count) = parsed.ok_or(errors::SLOT_OR_COUNT)?;
    keyspace(Keyspace::KeysInSlot { slot, count })
}

fn slot_of(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|slot| *slot < SLOTS)
}
