//! Commands: what clients ask for, as pure functions of arguments, state and clock.
//!
//! A command goes through five steps, each of them apart: [`Command::parse`] reads an argument list and answers
//! every error that can be told without a key's state; [`Command::split`] makes single-key commands of what
//! concerns many keys, and says how their replies are put together; [`Command::encode`] and [`Command::decode`]
//! carry a command from host to host; [`execute`] runs it on the state of one key. [`table`] names them all,
//! host-level commands (PING, HELLO, …) included, for COMMAND, ACL and routing.
//!
//! Semantics and texts are those of Redis 7.4, with the conditions of Redis 8.4 (SET … IFEQ, DELEX, DIGEST), and with
//! two commands of our own: GETV key answers [version, value], SETV key version value sets the value only if the key
//! is still at that version (0 = absent) and answers the new version.
//!
//! What differs from Redis, and why:
//! * MGET, EXISTS and TOUCH of many keys are split and not atomic across them; so are MSET, DEL and UNLINK, unless their keys are of one slot, up
//!   to 128, and what they write is no more than a MiB.
//! * HGETALL, HKEYS, HVALS and SMEMBERS answer in the order of the fields' and members' bytes. SPOP, SRANDMEMBER, HRANDFIELD and ZRANDMEMBER
//!   choose by the core's own generator; different ones come in the order of the bytes.
//! * Arguments are checked before the key is looked at, where some commands of Redis look first.
//! * A score of -0 is 0. Pages of HSCAN, SSCAN and ZSCAN have cursors of 48 bits.
//! * SORT and SORT_RO are those of a cluster: BY with a pattern of keys, and GET, are refused. ALPHA compares bytes, whatever the locale. LCS has
//!   Redis' default bound on its work, whatever the longest value is.
//! * Commands on several objects (SINTER, LMOVE, RENAME, ZUNIONSTORE, MSETNX and their like), and transactions on several keys, want keys of one
//!   slot, on the plain port too.
//! * Pops of several keys (BLPOP, LMPOP, BZPOPMIN ...) try them one after the other; each try is atomic, all of them together are not
//!   (docs/design/blocking-pops.md), but in a transaction and behind REQID, where they are.
//! * The arguments of a transaction (MULTI, EXEC) are checked when they are queued, where Redis checks them at EXEC
//!   (docs/design/transactions.md).
//! * DUMP and RESTORE are absent: they carry Redis' own file format.
//! * OBJECT ENCODING is derived from the value alone, so a short value after APPEND is `embstr` or `int`, not `raw`.
//!   OBJECT IDLETIME is 0 and OBJECT REFCOUNT 1: neither is tracked. MEMORY USAGE counts the bytes that a replica stores of the value.
//! * INCRBYFLOAT adds exact decimals, not 80-bit floats (numbers.rs).
//! * An expiry argument is checked before the key is looked at, where Redis' GETEX looks first.
//! * SCAN's cursor is a number without sign; Redis also takes what C's strtoul takes.
//! * An APPEND of nothing to a present key changes nothing, and so is no write.
//!
//! Invariants: parsing and executing never panic, whatever the bytes; a command that is [`Command::is_read`] changes
//! a state only by dropping what has expired; the version of a key never goes down in a batch.

mod algebra;
mod as_hash;
mod bytes;
mod codec;
mod errors;
mod expiry;
mod glob;
mod hash;
mod joint;
mod keys;
mod keyspace;
mod lcs;
pub mod limits;
mod list;
mod numbers;
mod objects;
pub(crate) mod on_tree;
mod once;
mod parse;
mod parse_sorted_set;
mod pops;
mod rows_data;
mod rows_hash;
mod rows_host;
mod rows_joint;
mod rows_list;
mod rows_set;
mod rows_sorted_set;
mod scan;
mod set;
mod sort;
mod sorted_set;
mod span;
mod split;
mod sql;
mod strings;
pub mod table;
mod transaction;

pub(crate) use self::sql::{is_of_older_catalog, is_partition_of, table_of};
pub use self::sql::{sql_error, sql_reply, Planned, Sql, CATALOG_KEY};
pub use ::sql::{Catalog, Statements};
pub use as_hash::AsHash;
pub use bytes::DecodeError;
pub(crate) use bytes::{put_bytes, put_varint, Reader};
pub use errors::NOT_TO_BE_NUMBERED;
pub(crate) use errors::REQUEST_FORGOTTEN;
pub use expiry::{ExpireIf, Expiry, Moment};
pub use glob::glob;
pub use hash::HashOp;
pub use joint::{Joint, Queue};
pub use keyspace::Keyspace;
pub use limits::Limits;
pub use list::{End, ListOp, Search};
pub use objects::Chosen;
pub(crate) use once::reply_before;
pub use once::{Numbered, Once};
pub use pops::Pop;
pub use scan::Scan;
pub use set::SetOp;
pub use sort::Sort;
pub use sorted_set::{Add, Range, SortedSetOp};
pub use span::{LexEnd, ScoreEnd, Span};
pub use split::{Gather, Split};
pub use strings::{Condition, Given, Set};
pub use transaction::Transaction;

use reactor::rng::Rng;

use crate::joint::JointOp;
use crate::reply::Reply;
use crate::state::{State, Type, Value};

/// One command, owned and sendable between cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Concerns one key: what a shard executes.
    Key(KeyCommand),
    /// Concerns many keys, each on its own: to be split.
    Many(Split),
    /// Concerns many keys, as one step.
    Joint(Box<Joint>),
    /// Concerns the keys of a host or of a slot: executed by who holds the directory.
    Keyspace(Keyspace),
}

/// An operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    /// The key.
    pub key: Box<[u8]>,
    /// What to do with it.
    pub op: Op,
}

/// What can be done with one key. Several names may mean one operation: SETEX is a SET with an expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// GET.
    Get,
    /// GETV: [version, value].
    GetVersioned,
    /// GETDEL.
    GetDelete,
    /// GETEX, with what becomes of the expiry.
    GetExpire(Expiry),
    /// STRLEN.
    Length,
    /// GETRANGE, SUBSTR: first and last byte, negative from the end.
    GetRange(i64, i64),
    /// DIGEST: XXH3 of the value, in hexadecimal.
    Digest,
    /// SET and its variants.
    Set(Set),
    /// INCR, INCRBY, DECR, DECRBY.
    Add(i64),
    /// INCRBYFLOAT, by an argument that is known to be a float.
    AddFloat(Box<[u8]>),
    /// APPEND.
    Append(Box<[u8]>),
    /// SETRANGE: offset in bytes, value.
    SetRange(u64, Box<[u8]>),
    /// DEL, UNLINK, DELEX.
    Delete(Option<Condition>),
    /// EXISTS, TOUCH.
    Exists,
    /// TYPE.
    Type,
    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME.
    ExpiresAt {
        /// Milliseconds rather than seconds.
        in_ms: bool,
        /// Since 1970 rather than from now.
        absolute: bool,
    },
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, with their condition.
    Expire(Moment, ExpireIf),
    /// PERSIST.
    Persist,
    /// OBJECT ENCODING.
    Encoding,
    /// OBJECT FREQ, an error on every key that is present.
    Frequency,
    /// OBJECT IDLETIME: a constant, not tracked.
    IdleTime,
    /// OBJECT REFCOUNT: a constant.
    ReferenceCount,
    /// MEMORY USAGE.
    Memory,
    /// OBJECT VERSION: what SETV and WATCH go by.
    Version,
    /// SORT without STORE, SORT_RO: of a list, a set or a sorted set.
    Sort(Sort),
    /// What was queued between MULTI and EXEC.
    Transaction(Box<Transaction>),
    /// REQID: another operation, unless it was done before.
    Once(Box<Once>),
    /// A step of a command on many keys, at one of them.
    Joint(Box<JointOp>),
    /// What is done with a hash.
    OnHash(HashOp),
    /// What is done with a list.
    OnList(ListOp),
    /// What is done with a set.
    OnSet(SetOp),
    /// What is done with a sorted set.
    OnSortedSet(SortedSetOp),
    /// What reads a hash, where the key may be the name of a row.
    AsHash(Box<AsHash>),
    /// A statement on a partition of a table.
    Sql(Box<Sql>),
    /// A statement that changes the catalog, at its key: answers the version of the newest one, with the change.
    Define(Box<Sql>),
    /// The bytes of the newest catalog, at its key.
    Catalog,
    /// Rows of a table that was dropped go: whether there were some.
    Vacuum,
}

/// What a command runs with, beside the state of its key.
#[derive(Debug)]
pub struct Context<'a> {
    /// Wall clock: milliseconds since 1970.
    pub now_wall_ms: u64,
    /// Bounds.
    pub limits: &'a Limits,
    /// For commands that choose by chance.
    pub rng: &'a mut Rng,
    /// The tables.
    pub catalog: &'a Catalog,
    /// Statements that were read before.
    pub statements: &'a mut Statements,
}

impl Command {
    /// Reads an argument list, the name first. The error is the reply to the client. Commands that the host answers
    /// itself (level [`table::Level::Host`]) are refused: look them up in the [`table`] first.
    pub fn parse(args: &[&[u8]], limits: &Limits) -> Result<Command, Reply> {
        let row = table::resolve(args)?;
        parse::parse(row, args, limits)
    }

    /// As [`Command::parse`], for a row already found by [`table::resolve`] with the same arguments.
    pub fn parse_row(row: &'static table::Row, args: &[&[u8]], limits: &Limits) -> Result<Command, Reply> {
        parse::parse(row, args, limits)
    }

    /// The key, if there is exactly one.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Command::Key(command) => Some(&command.key),
            Command::Many(_) | Command::Joint(_) | Command::Keyspace(_) => None,
        }
    }

    /// Whether the command leaves everything as it is, apart from dropping what has expired. A command that is no
    /// read may still turn out to change nothing: only [`State::changed`] tells.
    pub fn is_read(&self) -> bool {
        match self {
            Command::Key(command) => command.op.is_read(),
            Command::Many(split) => split.parts.iter().all(Command::is_read),
            Command::Joint(joint) => joint.is_read(),
            Command::Keyspace(command) => !matches!(command, Keyspace::Flush | Keyspace::Spread(_)),
        }
    }

    /// About how many bytes the command takes in memory: what admission counts.
    pub fn bytes(&self) -> usize {
        match self {
            Command::Key(command) => std::mem::size_of::<Command>() + command.key.len() + command.op.bytes(),
            Command::Many(split) => split.parts.iter().map(Command::bytes).sum(),
            Command::Joint(joint) => joint.bytes(),
            Command::Keyspace(Keyspace::Spread(bytes)) => std::mem::size_of::<Command>() + bytes.len(),
            Command::Keyspace(_) => std::mem::size_of::<Command>(),
        }
    }

    /// Whether it can change no more than to remove values: what a full disk still takes.
    pub fn only_deletes(&self) -> bool {
        matches!(self, Command::Key(command) if command.op.only_deletes())
    }

    /// Whether it answers with a version, which a joint command does not know yet: it is not taken in one.
    pub fn tells_version(&self) -> bool {
        match self {
            Command::Key(command) => joint::tells_version(&command.op),
            Command::Many(split) => split.parts.iter().any(Command::tells_version),
            Command::Joint(_) | Command::Keyspace(_) => false,
        }
    }

    /// The opposite of [`Command::is_read`].
    pub fn is_write(&self) -> bool {
        !self.is_read()
    }
}

impl Op {
    /// Bytes of the arguments that can be long.
    fn bytes(&self) -> usize {
        match self {
            Op::Set(set) => set.value.len() + set.condition.as_ref().map_or(0, Condition::bytes),
            Op::Delete(condition) => condition.as_ref().map_or(0, Condition::bytes),
            Op::AddFloat(bytes) | Op::Append(bytes) | Op::SetRange(_, bytes) => bytes.len(),
            Op::OnHash(op) => op.bytes(),
            Op::OnList(op) => op.bytes(),
            Op::OnSet(op) => op.bytes(),
            Op::OnSortedSet(op) => op.bytes(),
            Op::Transaction(transaction) => transaction.bytes(),
            Op::Once(once) => once.bytes(),
            Op::Joint(step) => step.bytes(),
            Op::Sql(sql) | Op::Define(sql) => sql.bytes(),
            Op::AsHash(read) => read.bytes(),
            _ => 0,
        }
    }

    /// Whether it may be a step of a transaction.
    fn is_step(&self) -> bool {
        !matches!(
            self,
            Op::Transaction(_)
                | Op::Once(_)
                | Op::Joint(_)
                | Op::AsHash(_)
                | Op::Sql(_)
                | Op::Define(_)
                | Op::Catalog
                | Op::Vacuum
        )
    }

    /// Whether it can change no more than to remove the value: what a full disk still takes.
    fn only_deletes(&self) -> bool {
        match self {
            Op::Delete(_) | Op::GetDelete | Op::Vacuum => true,
            Op::Transaction(transaction) => transaction.only_deletes(),
            Op::Once(once) => once.op.only_deletes(),
            Op::Joint(step) => step.goes_into_reserve(),
            _ => false,
        }
    }

    /// The type that a value must have for it, if it must have one.
    fn wants(&self) -> Option<Type> {
        match self {
            Op::Delete(condition) => condition.as_ref().and_then(Condition::wants),
            Op::Set(set) if set.given == Given::Old => Some(Type::String),
            Op::Set(set) => set.condition.as_ref().and_then(Condition::wants),
            Op::Exists
            | Op::Type
            | Op::ExpiresAt { .. }
            | Op::Expire(..)
            | Op::Persist
            | Op::Encoding
            | Op::Frequency
            | Op::IdleTime
            | Op::ReferenceCount
            | Op::Memory
            | Op::Version
            | Op::Sort(_)
            | Op::Transaction(_)
            | Op::Joint(_)
            | Op::AsHash(_)
            | Op::Vacuum
            | Op::Once(_) => None,
            Op::OnHash(_) => Some(Type::Hash),
            Op::OnList(_) => Some(Type::List),
            Op::OnSet(_) => Some(Type::Set),
            Op::OnSortedSet(_) => Some(Type::SortedSet),
            Op::Sql(_) => Some(Type::Rows),
            Op::Define(_) | Op::Catalog => Some(Type::String),
            Op::Get
            | Op::GetVersioned
            | Op::GetDelete
            | Op::GetExpire(_)
            | Op::Length
            | Op::GetRange(..)
            | Op::Digest
            | Op::Add(_)
            | Op::AddFloat(_)
            | Op::Append(_)
            | Op::SetRange(..) => Some(Type::String),
        }
    }

    /// Whether it may meet rows of a table, because it asks only of what any value has, or is made of others.
    fn takes_rows(&self) -> bool {
        let is_made_of_others = matches!(self, Op::Transaction(_) | Op::Once(_) | Op::Joint(_));
        is_made_of_others || matches!(self, Op::Sql(_)) || self.wants().is_none() && self.is_read()
    }

    fn is_read(&self) -> bool {
        match self {
            Op::OnHash(op) => op.is_read(),
            Op::OnList(op) => op.is_read(),
            Op::OnSet(op) => op.is_read(),
            Op::OnSortedSet(op) => op.is_read(),
            Op::Transaction(transaction) => transaction.is_read(),
            Op::Joint(step) => step.is_read(),
            Op::Sql(sql) => !sql.writes,
            Op::Get
            | Op::GetVersioned
            | Op::GetExpire(Expiry::Keep)
            | Op::Length
            | Op::GetRange(..)
            | Op::Digest
            | Op::Exists
            | Op::Type
            | Op::ExpiresAt { .. }
            | Op::Encoding
            | Op::Frequency
            | Op::IdleTime
            | Op::ReferenceCount
            | Op::Memory
            | Op::Version
            | Op::Sort(_)
            | Op::AsHash(_)
            | Op::Catalog => true,
            Op::GetDelete
            | Op::GetExpire(_)
            | Op::Set(_)
            | Op::Add(_)
            | Op::AddFloat(_)
            | Op::Append(_)
            | Op::SetRange(..)
            | Op::Delete(_)
            | Op::Expire(..)
            | Op::Persist
            | Op::Define(_)
            | Op::Vacuum
            | Op::Once(_) => false,
        }
    }
}

/// Runs a command on the state of its key. What has expired is dropped
/// first, which counts as a change: expiry is a write. [`State::changed`] is set if anything changed, and is never
/// cleared. A command that does not concern one key gets an error and changes nothing.
pub fn execute(command: &Command, state: &mut State, context: &mut Context<'_>) -> Reply {
    let Command::Key(command) = command else {
        return errors::NOT_ONE_KEY;
    };
    if state.value.is_none() {
        // The expiry of what is gone says nothing, whoever left it there.
        state.expires_at_ms = 0;
    }
    let (before, read) = (state.version, command.op.is_read());
    let expired = state.expire(context.now_wall_ms);
    let changed_before = std::mem::replace(&mut state.changed, expired);
    state.is_one_step = true;
    let reply = match &command.op {
        // Rows in the large layout are read from the tree, which is not here: see [`on_tree`]. What is no rows any more has no part in a statement that reads all of them.
        Op::Sql(sql) if sql.share.is_some() || is_of(state, &command.op) => {
            sql::run(&command.key, sql, state, context)
        }
        Op::AsHash(read) => as_hash::run(&command.key, read, state, context),
        Op::Vacuum => sql::vacuum(state, context),
        op => run(op, state, context),
    };
    state.is_one_step = false;
    assert!(!read || state.changed == expired, "a read changed the state: {:?}", command.op);
    assert!(
        state.version > before || (!state.changed && state.version == before),
        "a change has its own version"
    );
    assert!(state.value.is_some() || state.expires_at_ms == 0, "an absent key does not expire");
    state.changed |= changed_before;
    reply
}

/// Whether the value, if there is one, has the type that an operation wants, if it wants one.
fn is_of(state: &State, op: &Op) -> bool {
    let is = state.value.as_ref().map(Value::kind);
    is.zip(op.wants()).is_none_or(|(is, wanted)| is == wanted)
}

fn run(op: &Op, state: &mut State, context: &mut Context<'_>) -> Reply {
    let is_rows = matches!(state.value, Some(Value::Rows(_) | Value::Group(_)));
    if is_rows && !op.takes_rows() {
        return errors::ROWS;
    }
    if !is_of(state, op) {
        return errors::WRONG_TYPE;
    }
    let (now_ms, limits) = (context.now_wall_ms, context.limits);
    match op {
        Op::OnHash(op) => hash::run(op, state, context),
        Op::OnList(op) => list::run(op, state, context),
        Op::OnSet(op) => set::run(op, state, context),
        Op::OnSortedSet(op) => sorted_set::run(op, state, context),
        Op::Get => strings::get(state),
        Op::GetVersioned => strings::get_versioned(state),
        Op::GetDelete => strings::get_delete(state),
        Op::GetExpire(expiry) => strings::get_expire(state, *expiry, now_ms),
        Op::Length => strings::length(state),
        Op::GetRange(first, last) => strings::get_range(state, *first, *last),
        Op::Digest => strings::digest(state),
        Op::Set(set) => strings::set(state, set, now_ms),
        Op::Add(by) => strings::add(state, *by),
        Op::AddFloat(by) => strings::add_float(state, by),
        Op::Append(bytes) => strings::append(state, bytes, limits),
        Op::SetRange(offset, bytes) => strings::set_range(state, *offset, bytes, limits),
        Op::Delete(condition) => keys::delete(state, condition.as_ref()),
        Op::Exists => Reply::Int(state.value.is_some().into()),
        Op::Type => keys::type_of(state),
        Op::ExpiresAt { in_ms, absolute } => expiry::expires_at(state, *in_ms, *absolute, now_ms),
        Op::Expire(moment, only_if) => expiry::expire(state, *moment, *only_if, now_ms),
        Op::Persist => expiry::persist(state),
        Op::Encoding => keys::encoding(state),
        Op::Frequency => keys::of_present(state, errors::NO_LFU),
        Op::IdleTime => keys::of_present(state, Reply::Int(0)),
        Op::ReferenceCount => keys::of_present(state, Reply::Int(1)),
        Op::Memory => keys::memory(state),
        Op::Version => strings::version_of(state),
        Op::Sort(sort) => sort::run(sort, state),
        Op::Transaction(transaction) => transaction::run(transaction, state, context),
        Op::Once(once) => once::run(once, state, context),
        Op::Joint(step) => step.run(state, now_ms),
        Op::Define(sql) => sql::define(sql, state, context),
        Op::Catalog => sql::catalog(state, context),
        // They are about the key as well, and none of several steps.
        Op::Sql(_) | Op::AsHash(_) | Op::Vacuum => errors::WRONG_TYPE,
    }
}
