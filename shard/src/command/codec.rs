//! Commands between hosts: the argument list, which the receiver reads again.
//!
//! So there is one parser, a forwarded command is checked as a client's is, and a new option needs no new format. The
//! list is the canonical spelling of what was parsed: SETEX travels as SET … PX.
//!
//! Layout: number of arguments, then each one behind its length; numbers as in bytes.rs.

use super::bytes::{put_bytes, put_varint, DecodeError, Reader};
use super::limits::ARGUMENTS_MAX;
use super::strings::{Condition, Given, Set};
use super::{
    as_hash, sql, Command, ExpireIf, Expiry, Gather, KeyCommand, Keyspace, Limits, Moment, Once, Op, Split,
    Transaction,
};
use crate::joint::JointOp;

/// Collects arguments.
pub(super) struct Arguments<'a> {
    out: &'a mut Vec<u8>,
    count: u64,
}

impl Arguments<'_> {
    /// Each of these.
    pub(super) fn all(&mut self, list: &[Box<[u8]>]) -> &mut Self {
        list.iter().fold(self, |to, bytes| to.bytes(bytes))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        put_bytes(self.out, bytes);
        self.count += 1;
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(&mut self, number: impl ToString) -> &mut Self {
        self.text(&number.to_string())
    }
}

impl Command {
    /// Appends the command; [`Command::decode`] reads it. The caller frames it and versions the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_list(out, |to| match self {
            Command::Key(command) => on_key(&command.key, &command.op, to),
            Command::Many(split) => many(split, to),
            // It is never sent: its steps are.
            Command::Joint(_) => {}
            Command::Keyspace(command) => keyspace(command, to),
        });
    }

    /// Reads what [`Command::encode`] wrote, and nothing else: all bytes must belong to the command. The lengths are
    /// bounded by the bytes; the limits were checked where the client's bytes were parsed.
    pub fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
        let arguments = arguments(bytes)?;
        let read =
            Transaction::read(&arguments).or_else(|| Once::read(&arguments)).or_else(|| step(&arguments));
        let read = read.or_else(|| sql::read(&arguments)).or_else(|| as_hash::read(&arguments));
        read.unwrap_or_else(|| plain(&arguments))
    }
}

/// Appends the arguments that `spell` gives, behind their count.
pub(super) fn put_list(out: &mut Vec<u8>, spell: impl FnOnce(&mut Arguments<'_>)) {
    let mut list = Vec::new();
    let count = spelt(&mut list, spell);
    put_varint(out, count);
    out.extend_from_slice(&list);
}

/// Appends the arguments that `spell` gives; says how many.
pub(super) fn spelt(out: &mut Vec<u8>, spell: impl FnOnce(&mut Arguments<'_>)) -> u64 {
    let mut arguments = Arguments { out, count: 0 };
    spell(&mut arguments);
    arguments.count
}

/// Reads a counted list of arguments, and nothing else.
pub(super) fn arguments(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count()?;
    if count > ARGUMENTS_MAX {
        return Err(DecodeError::Malformed);
    }
    let mut arguments = Vec::new();
    for _ in 0..count {
        arguments.push(reader.bytes()?);
    }
    reader.end()?;
    Ok(arguments)
}

/// The first argument of a step of a joint command on its way. No client can send it.
const STEP: &str = "JOINT";

/// Reads a step of a joint command; None: the arguments are another command's.
fn step(arguments: &[&[u8]]) -> Option<Result<Command, DecodeError>> {
    let [name, key, bytes] = arguments else { return None };
    let op = |step| Op::Joint(Box::new(step));
    (*name == STEP.as_bytes()).then(|| {
        let command = |step| Command::Key(KeyCommand { key: (*key).into(), op: op(step) });
        JointOp::decode(bytes).map(command)
    })
}

/// A command that is spelt as a client spells it.
pub(super) fn plain(arguments: &[&[u8]]) -> Result<Command, DecodeError> {
    Command::parse(arguments, &Limits::WIRE).map_err(|_| DecodeError::Malformed)
}

pub(super) fn on_key(key: &[u8], op: &Op, to: &mut Arguments<'_>) {
    match op {
        Op::Get => to.text("GET").bytes(key),
        Op::GetVersioned => to.text("GETV").bytes(key),
        Op::GetDelete => to.text("GETDEL").bytes(key),
        Op::GetExpire(expiry) => {
            to.text("GETEX").bytes(key);
            match expiry {
                Expiry::Keep => to,
                Expiry::Never => to.text("PERSIST"),
                Expiry::Set(moment) => time(*moment, to),
            }
        }
        Op::Length => to.text("STRLEN").bytes(key),
        Op::GetRange(first, last) => to.text("GETRANGE").bytes(key).number(first).number(last),
        Op::Digest => to.text("DIGEST").bytes(key),
        Op::Set(set) => self::set(key, set, to),
        Op::Add(by) => to.text("INCRBY").bytes(key).number(by),
        Op::AddFloat(by) => to.text("INCRBYFLOAT").bytes(key).bytes(by),
        Op::Append(value) => to.text("APPEND").bytes(key).bytes(value),
        Op::SetRange(offset, value) => to.text("SETRANGE").bytes(key).number(offset).bytes(value),
        Op::Delete(None) => to.text("DEL").bytes(key),
        Op::Delete(Some(condition)) => self::condition(condition, to.text("DELEX").bytes(key)),
        Op::Exists => to.text("EXISTS").bytes(key),
        Op::Type => to.text("TYPE").bytes(key),
        Op::ExpiresAt { in_ms, absolute } => {
            let name = match (in_ms, absolute) {
                (false, false) => "TTL",
                (true, false) => "PTTL",
                (false, true) => "EXPIRETIME",
                (true, true) => "PEXPIRETIME",
            };
            to.text(name).bytes(key)
        }
        Op::Expire(moment, only_if) => expire(key, *moment, *only_if, to),
        Op::Persist => to.text("PERSIST").bytes(key),
        Op::Encoding => to.text("OBJECT").text("ENCODING").bytes(key),
        Op::Frequency => to.text("OBJECT").text("FREQ").bytes(key),
        Op::IdleTime => to.text("OBJECT").text("IDLETIME").bytes(key),
        Op::Memory => to.text("MEMORY").text("USAGE").bytes(key),
        Op::ReferenceCount => to.text("OBJECT").text("REFCOUNT").bytes(key),
        Op::OnHash(op) => op.spell(key, to),
        Op::OnList(op) => op.spell(key, to),
        Op::OnSet(op) => op.spell(key, to),
        Op::OnSortedSet(op) => op.spell(key, to),
        Op::Version => to.text("OBJECT").text("VERSION").bytes(key),
        Op::Sort(sort) => sort.spell(key, to),
        Op::Transaction(transaction) => {
            transaction.spell(key, to);
            to
        }
        Op::Once(once) => {
            once.spell(key, to);
            to
        }
        Op::AsHash(read) => read.spell(key, to),
        Op::Sql(sql) => sql.spell(sql::RUN, key, to),
        Op::Define(sql) => sql.spell(sql::DEFINE, key, to),
        Op::Catalog => to.text(sql::CATALOG),
        Op::Vacuum => to.text(sql::VACUUM).bytes(key),
        Op::Joint(step) => {
            let mut bytes = Vec::new();
            step.encode(&mut bytes);
            to.text(STEP).bytes(key).bytes(&bytes)
        }
    };
}

/// Options of SET and GETEX.
fn time<'a, 'b>(moment: Moment, to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
    match moment {
        Moment::In(ms) => to.text("PX").number(ms),
        Moment::At(ms) => to.text("PXAT").number(ms),
    }
}

fn condition<'a, 'b>(condition: &Condition, to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
    match condition {
        Condition::Absent => to.text("NX"),
        Condition::Present => to.text("XX"),
        Condition::Equals(value) => to.text("IFEQ").bytes(value),
        Condition::Differs(value) => to.text("IFNE").bytes(value),
        Condition::DigestEquals(digest) => to.text("IFDEQ").text(&format!("{digest:016x}")),
        Condition::DigestDiffers(digest) => to.text("IFDNE").text(&format!("{digest:016x}")),
        // Not an option but the second argument of SETV, which has no other condition.
        Condition::Version(version) => to.number(version),
    }
}

fn set<'a, 'b>(key: &[u8], set: &Set, to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
    match (set.given, &set.condition) {
        (Given::Flag, _) => return to.text("SETNX").bytes(key).bytes(&set.value),
        (Given::Version, Some(version)) => condition(version, to.text("SETV").bytes(key)).bytes(&set.value),
        (_, None) => to.text("SET").bytes(key).bytes(&set.value),
        (_, Some(other)) => condition(other, to.text("SET").bytes(key).bytes(&set.value)),
    };
    if set.given == Given::Old {
        to.text("GET");
    }
    match set.expiry {
        Expiry::Keep => to.text("KEEPTTL"),
        Expiry::Never => to,
        Expiry::Set(moment) => time(moment, to),
    }
}

fn expire<'a, 'b>(
    key: &[u8],
    moment: Moment,
    only_if: ExpireIf,
    to: &'a mut Arguments<'b>,
) -> &'a mut Arguments<'b> {
    match moment {
        Moment::In(ms) => to.text("PEXPIRE").bytes(key).number(ms),
        Moment::At(ms) => to.text("PEXPIREAT").bytes(key).number(ms),
    };
    let ExpireIf { absent, present, later, earlier } = only_if;
    for (name, set) in [("NX", absent), ("XX", present), ("GT", later), ("LT", earlier)] {
        if set {
            to.text(name);
        }
    }
    to
}

/// A command on many keys is spelt by its parts: all of them do the same.
fn many(split: &Split, to: &mut Arguments<'_>) {
    let ops = || {
        split.parts.iter().filter_map(|part| if let Command::Key(part) = part { Some(part) } else { None })
    };
    let name = match (split.gather, ops().next().map(|part| &part.op)) {
        (Gather::AllOk, _) => "MSET",
        (Gather::Sum, Some(Op::Delete(_))) => "DEL",
        (Gather::Sum, _) => "EXISTS",
        (Gather::List | Gather::One, _) => "MGET",
    };
    to.text(name);
    for part in ops() {
        to.bytes(&part.key);
        if let Op::Set(set) = &part.op {
            to.bytes(&set.value);
        }
    }
}

fn keyspace(command: &Keyspace, to: &mut Arguments<'_>) {
    match command {
        Keyspace::Size => to.text("DBSIZE"),
        Keyspace::Keys(pattern) => to.text("KEYS").bytes(pattern),
        Keyspace::Scan { cursor, pattern, count, kind } => {
            to.text("SCAN").number(cursor).text("COUNT").number(count);
            for (name, value) in [("MATCH", pattern), ("TYPE", kind)] {
                if let Some(value) = value {
                    to.text(name).bytes(value);
                }
            }
            to
        }
        Keyspace::Random => to.text("RANDOMKEY"),
        Keyspace::Flush => to.text("FLUSHALL"),
        // They are never sent: what they do is.
        Keyspace::Spread(_) | Keyspace::Partitions { .. } => to,
        Keyspace::CountInSlot(slot) => to.text("CLUSTER").text("COUNTKEYSINSLOT").number(slot),
        Keyspace::KeysInSlot { slot, count } => {
            to.text("CLUSTER").text("GETKEYSINSLOT").number(slot).number(count)
        }
    };
}
