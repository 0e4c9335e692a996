//! Why a core stopped serving, and the errors that clients see.

use std::borrow::Cow;

use crate::reply::Reply;

/// The storage of a core failed: its slice stops until the process is restarted. The other replicas carry it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    message: String,
}

impl Fault {
    pub(crate) fn append(error: &bitcask::AppendError) -> Fault {
        Fault { message: format!("append to the log: {error}") }
    }

    pub(crate) fn starts() -> Fault {
        let message = "this core was started a million times since it became a voter; empty its data directory and run \
                       `synod init --rejoin`";
        Fault { message: message.to_owned() }
    }

    pub(crate) fn unreadable_ranges() -> Fault {
        let message = "what this core has promised for ranges of slots cannot be read by this version; start the version that wrote it";
        Fault { message: message.to_owned() }
    }

    pub(crate) fn unreadable_flush_epoch() -> Fault {
        let message =
            "the flush epoch of this core cannot be read by this version; start the version that wrote it";
        Fault { message: message.to_owned() }
    }

    pub(crate) fn unreadable_catalog() -> Fault {
        let message =
            "the catalog of tables of this core cannot be read by this version; start the version that wrote it";
        Fault { message: message.to_owned() }
    }

    pub(crate) fn read(error: &bitcask::ReadError) -> Fault {
        Fault { message: format!("read a record: {error}") }
    }

    pub(crate) fn chain(key: &[u8], ballot: paxos::Ballot, damage: crate::record::Damage) -> Fault {
        let (key, paxos::Ballot { round, node, incarnation }) = (key.escape_ascii(), ballot);
        Fault { message: format!("read the record of {key} at {round}.{node}.{incarnation}: {damage}") }
    }

    pub(crate) fn refused_start(error: &bitcask::AppendError) -> Fault {
        Fault { message: format!("make the new incarnation durable: {error}; free space and start again") }
    }
}

impl From<bitcask::Fault> for Fault {
    fn from(fault: bitcask::Fault) -> Fault {
        Fault { message: fault.to_string() }
    }
}

/// The write may or may not be applied: its own code, which no client library retries by itself.
pub(crate) const UNCERTAIN: Reply = Reply::error("UNCERTAIN write may or may not be applied");

/// A command about the keyspace, on a host that votes for nothing and so holds nothing.
pub(crate) const LEARNER_KEYSPACE: Reply =
    Reply::error("ERR this host is a learner: it holds no keys and cannot go through them; ask another host");

/// A voter did not take up what a learner handed over.
pub(crate) const NOT_TAKEN_UP: Reply = Reply::error(
    "ERR busy: the host that this learner handed the command to did not take it up; nothing was written, retry",
);

/// A read that a learner handed over was not answered.
pub(crate) const READ_LOST: Reply =
    Reply::error("ERR the host that this learner handed the read to did not answer; retry");

/// The rows of large tables are not to be had.
pub(crate) const TREE_CLOSED: Reply = Reply::error(
    "ERR the tree of this core is closed, and with it the rows of large tables: ask another host, and see `synod status`",
);

/// What a statement would change is too much for one entry.
pub(crate) const ENTRY_TOO_LARGE: Reply = Reply::error(
    "SQL 54000 the statement changes more than 9437184 bytes, which are one entry; change fewer rows at a time",
);

/// Rows could not be read.
pub(crate) fn rows_unreadable(error: &lsm::ReadError) -> Reply {
    Reply::Error(format!("ERR rows cannot be read at this host, ask another one: {error}").into())
}

/// A retried write was applied, but its reply was too large to be kept.
pub(crate) const REPLY_LOST: Reply =
    Reply::error("UNCERTAIN write was applied, but its reply was too large to be kept for a retry");

/// A bound of the core is reached.
pub(crate) const BUSY: Reply = Reply::error(
    "ERR busy: this core has too many commands under way; nothing was written, retry with fewer at once",
);

/// The disk is full here.
pub(crate) const DISK_FULL: Reply = Reply::error(
    "OOM the disk of this host is full; nothing was written. Reads and deletes work; free space or add a disk",
);

/// The log's next segment is being made: who has time tries again.
pub(crate) const NOT_YET: Reply =
    Reply::error("ERR busy: the log's next segment is still being made; nothing was written, retry");

/// The disk is full here, and what is kept back for deletes is used up as well.
pub(crate) const RESERVE_USED: Reply = Reply::error(
    "OOM the disk of this host is full, and so is what it kept back for deletes; nothing was written. Reads work; free space or add a disk",
);

/// The deadline passed with a majority answering: contention or overload.
pub(crate) const TIMED_OUT: Reply =
    Reply::error("ERR timeout: not decided within the request deadline; nothing was written");

/// There are no flush epochs left.
pub(crate) const FLUSHES_USED_UP: Reply = Reply::error(
    "ERR this core was flushed two billion times; nothing was deleted. Delete the keys one by one",
);

/// A survey did not come to its end in time.
pub(crate) const SURVEY_TIMED_OUT: Reply =
    Reply::error("ERR timeout: not all keys were gone through within the deadline; use SCAN for many keys");

/// What a survey gathered is too much for one reply.
pub(crate) const TOO_MANY_KEYS_FOUND: Reply =
    Reply::error("ERR too many keys match for one reply; use SCAN, or KEYS with a narrower pattern");

/// The key directory is full.
pub(crate) const TOO_MANY_KEYS: Reply = Reply::error(
    "OOM this core has as many keys as keys_max allows; nothing was written. Raise keys_max or delete keys",
);

/// What a client is told when the log takes no record.
pub(crate) fn refused(error: bitcask::AppendError) -> Reply {
    match error {
        bitcask::AppendError::Full => DISK_FULL,
        bitcask::AppendError::ReserveUsed => RESERVE_USED,
        bitcask::AppendError::Making => NOT_YET,
        bitcask::AppendError::TooManyKeys => TOO_MANY_KEYS,
        bitcask::AppendError::Backlog => BUSY,
        other => Reply::Error(Cow::Owned(format!("ERR {other}; nothing was written"))),
    }
}

/// A stored record cannot be read by this version.
pub(crate) const UNREADABLE: Reply =
    Reply::error("ERR the stored record cannot be read by this version of synod; see the log");

/// Keys of one step that are of several slots.
pub(crate) const CROSS_SLOT: Reply = Reply::error("CROSSSLOT Keys in request don't hash to the same slot");

/// A command of several keys would write more at once than a record has room for.
pub(crate) const JOINT_TOO_LARGE: Reply = Reply::error(
    "ERR this command would change several keys to values of more than 2 MB together in one step; nothing was written. Move them one by one",
);

/// A command of several keys would read more at once than a core has room for.
pub(crate) const JOINT_READS_TOO_MUCH: Reply = Reply::error(
    "ERR this command would read keys that hold more than 40 MB together in one step; nothing was written. Use fewer keys",
);

/// No majority of hosts answers.
pub(crate) fn no_quorum(answers: u8, hosts: u8, read: bool) -> Reply {
    let tail = if read { "cannot confirm the newest value" } else { "nothing was written" };
    let verb = if answers == 1 { "answers" } else { "answer" };
    let text = format!("ERR no quorum: {answers} of {hosts} hosts {verb}; {tail}");
    Reply::Error(Cow::Owned(text))
}

/// The core's storage failed.
pub(crate) fn failed(fault: &Fault, sent: bool) -> Reply {
    if sent {
        return UNCERTAIN;
    }
    Reply::Error(Cow::Owned(format!(
        "ERR the storage of this core failed and it stopped serving: {fault}; use another host"
    )))
}
