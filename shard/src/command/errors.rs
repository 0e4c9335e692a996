//! The exact texts of Redis 7.4, which clients compare with, and the few of our own.

use super::limits::{Limits, ERROR_ARGUMENT_BYTES_MAX, LCS_CELLS_MAX, OBJECT_ENTRIES_MAX};
use crate::limits::JOINT_KEYS_MAX;
use crate::reply::Reply;

/// A value of another type than the command is for.
pub const WRONG_TYPE: Reply =
    Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value");
/// A partition of a table, to a command that is not SQL's.
pub const ROWS: Reply = Reply::error(
    "WRONGTYPE Operation against a key that holds rows of a table: they are read and changed by SQL",
);
/// Rows that this version did not write.
pub const ROWS_UNREADABLE: Reply = Reply::error(
    "ERR the rows of this partition cannot be read: they were written by another version, or are damaged",
);
/// A statement that is planned otherwise by a newer catalog.
pub const TABLE_CHANGED: Reply = Reply::error(
    "TRYAGAIN the table was changed while the statement was on its way: nothing was done, send it again",
);
/// A statement would read an index of which a partition does not have all entries yet.
pub const INDEX_FILLING: Reply = Reply::error(
    "TRYAGAIN an index that the statement reads is being filled: send it again in a while, or read the rows by their key",
);
/// A key that is the host's own.
pub const RESERVED_KEY: Reply =
    Reply::error("ERR this key is reserved: it is where the tables of SQL are described");
/// A value of a hash that should be an integer and is not.
pub const HASH_NOT_AN_INTEGER: Reply = Reply::error("ERR hash value is not an integer");
/// A value of a hash that should be a float and is not.
pub const HASH_NOT_A_FLOAT: Reply = Reply::error("ERR hash value is not a float");
/// A number that is an integer, and too large or too small.
pub const OUT_OF_RANGE: Reply = Reply::error("ERR value is out of range");
/// A count that has no opposite.
pub const COUNT_RANGE: Reply = Reply::error(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
/// A number that must not be negative.
pub const NOT_POSITIVE: Reply = Reply::error("ERR value is out of range, must be positive");
/// LINSERT and LSET, of a place that is not there.
pub const INDEX_OUT_OF_RANGE: Reply = Reply::error("ERR index out of range");
/// LSET of an absent key.
pub const NO_SUCH_KEY: Reply = Reply::error("ERR no such key");
/// HINCRBYFLOAT by an infinity.
pub const NAN_OR_INFINITY: Reply = Reply::error("ERR value is NaN or Infinity");
/// LPOS with RANK 0.
pub const RANK_ZERO: Reply = Reply::error(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start \
     from the end of the list",
);
/// LPOS with a negative COUNT.
pub const NEGATIVE_COUNT: Reply = Reply::error("ERR COUNT can't be negative");
/// LPOS with a negative MAXLEN.
pub const NEGATIVE_MAXLEN: Reply = Reply::error("ERR MAXLEN can't be negative");
/// ZADD with both NX and XX.
pub const ZADD_NX_XX: Reply = Reply::error("ERR XX and NX options at the same time are not compatible");
/// ZADD with two of GT, LT and NX.
pub const ZADD_GT_LT_NX: Reply =
    Reply::error("ERR GT, LT, and/or NX options at the same time are not compatible");
/// ZADD with INCR and several members.
pub const ZADD_INCR: Reply = Reply::error("ERR INCR option supports a single increment-element pair");
/// An increment that infinities make no number of.
pub const SCORE_NOT_A_NUMBER: Reply = Reply::error("ERR resulting score is not a number (NaN)");
/// An end of a range of scores that is none.
pub const SCORE_RANGE: Reply = Reply::error("ERR min or max is not a float");
/// An end of a range of bytes that is none.
pub const LEX_RANGE: Reply = Reply::error("ERR min or max not valid string range item");
/// ZRANGE by rank with LIMIT.
pub const LIMIT_ALONE: Reply =
    Reply::error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
/// ZRANGE by bytes with WITHSCORES.
pub const WITHSCORES_BYLEX: Reply =
    Reply::error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
/// A time to wait that is no number.
pub const TIMEOUT: Reply = Reply::error("ERR timeout is not a float or out of range");
/// A time to wait that is below zero.
pub const TIMEOUT_NEGATIVE: Reply = Reply::error("ERR timeout is negative");
/// A time to wait past the end of time.
pub const TIMEOUT_RANGE: Reply = Reply::error("ERR timeout is out of range");
/// A number of keys that is none.
pub const NUMKEYS: Reply = Reply::error("ERR numkeys should be greater than 0");
/// A number of entries that is none.
pub const COUNT: Reply = Reply::error("ERR count should be greater than 0");
/// Options that do not go together, or an option without its argument.
pub const SYNTAX: Reply = Reply::error("ERR syntax error");
/// An argument or a value that should be a 64-bit integer and is not.
pub const NOT_AN_INTEGER: Reply = Reply::error("ERR value is not an integer or out of range");
/// An argument or a value that should be a float and is not.
pub const NOT_A_FLOAT: Reply = Reply::error("ERR value is not a valid float");
/// INCR and its kin past the end of the 64-bit integers.
pub const OVERFLOW: Reply = Reply::error("ERR increment or decrement would overflow");
/// DECRBY by the one number that has no negative.
pub const DECREMENT_OVERFLOW: Reply = Reply::error("ERR decrement would overflow");
/// INCRBYFLOAT past the largest float.
pub const NOT_FINITE: Reply = Reply::error("ERR increment would produce NaN or Infinity");
/// SETRANGE at a negative offset.
pub const OFFSET: Reply = Reply::error("ERR offset is out of range");
/// SCAN with a cursor that is no number.
pub const CURSOR: Reply = Reply::error("ERR invalid cursor");
/// EXPIRE with NX and any other condition.
pub const EXPIRE_NX: Reply =
    Reply::error("ERR NX and XX, GT or LT options at the same time are not compatible");
/// EXPIRE with both GT and LT.
pub const EXPIRE_GT_LT: Reply = Reply::error("ERR GT and LT options at the same time are not compatible");
/// CLUSTER COUNTKEYSINSLOT with a slot that does not exist.
pub const SLOT: Reply = Reply::error("ERR Invalid slot");
/// CLUSTER GETKEYSINSLOT with a slot that does not exist, or a negative count.
pub const SLOT_OR_COUNT: Reply = Reply::error("ERR Invalid slot or number of keys");
/// IFDEQ and IFDNE with what is no digest (Redis 8.4).
pub const DIGEST: Reply = Reply::error("ERR must be exactly 16 hexadecimal characters");
/// SETV with a version that is no number. Ours: Redis has no SETV.
pub const VERSION: Reply = Reply::error("ERR version is not an integer or out of range");
/// OBJECT FREQ without an LFU policy: we never evict.
pub const NO_LFU: Reply = Reply::error(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
/// A command that concerns many keys, or the keyspace, given to [`super::execute`].
pub const NOT_ONE_KEY: Reply = Reply::error("ERR this command must be split before it is executed");
/// A command of the host, given to the shard.
pub const NOT_DATA: Reply = Reply::error("ERR this command is answered by the host, not by a shard");

/// The arity error. `name` as COMMAND has it, such as `object|encoding`.
pub fn arity(name: &str) -> Reply {
    Reply::Error(format!("ERR wrong number of arguments for '{name}' command").into())
}

/// An expiry that is not positive, or lies past the end of time.
pub fn expire_time(name: &str) -> Reply {
    Reply::Error(format!("ERR invalid expire time in '{name}' command").into())
}

/// An option that EXPIRE does not know.
pub fn expire_option(option: &[u8]) -> Reply {
    Reply::Error(one_line(format!("ERR Unsupported option {}", String::from_utf8_lossy(option))).into())
}

/// A name that is not in the table, with the beginning of its arguments.
pub fn unknown_command(args: &[&[u8]]) -> Reply {
    let (name, rest) = args.split_first().map_or((&[][..], args), |(name, rest)| (*name, rest));
    let mut quoted: Vec<u8> = Vec::new();
    for arg in rest {
        let Some(room) = ERROR_ARGUMENT_BYTES_MAX.checked_sub(quoted.len()).filter(|room| *room > 0) else {
            break;
        };
        quoted.push(b'\'');
        quoted.extend_from_slice(arg.get(..room).unwrap_or(arg));
        quoted.extend_from_slice(b"' ");
    }
    Reply::Error(
        one_line(format!(
            "ERR unknown command '{}', with args beginning with: {}",
            shown(name),
            String::from_utf8_lossy(&quoted)
        ))
        .into(),
    )
}

/// A subcommand that the table does not have.
pub fn unknown_subcommand(container: &str, sub: &[u8]) -> Reply {
    let container = container.to_ascii_uppercase();
    Reply::Error(one_line(format!("ERR unknown subcommand '{}'. Try {container} HELP.", shown(sub))).into())
}

/// A partition that would be larger than values may be.
pub fn partition_too_large(limits: &Limits) -> Reply {
    let text = format!(
        "SQL 54000 the partition would have more than {} bytes (value_bytes_max) or {OBJECT_ENTRIES_MAX} rows and index entries: delete rows, or make \
         the partition key finer",
        limits.value_bytes_max
    );
    Reply::Error(text.into())
}

/// A value that is, or would become, longer than the limit.
pub fn value_too_long(limits: &Limits) -> Reply {
    let bytes = limits.value_bytes_max;
    Reply::Error(format!("ERR string exceeds maximum allowed size (value_bytes_max {bytes})").into())
}

/// An object whose bytes would be more than the limit.
pub fn object_too_long(limits: &Limits) -> Reply {
    let bytes = limits.value_bytes_max;
    Reply::Error(format!("ERR object exceeds maximum allowed size (value_bytes_max {bytes})").into())
}

/// An object that would have more entries than the limit.
pub fn too_many_entries() -> Reply {
    Reply::Error(format!("ERR object exceeds maximum allowed size ({OBJECT_ENTRIES_MAX} entries)").into())
}

/// More to answer at once than fits.
pub const REPLY_TOO_LONG: Reply =
    Reply::error("ERR the reply would exceed the maximum allowed size; ask for fewer");

/// A write in a transaction whose replies are too long together.
pub const TRANSACTION_REPLY_LEFT_OUT: Reply = Reply::error(
    "ERR the replies of this transaction would exceed the maximum allowed size: this one is left out, its command was run",
);
/// A read behind one of those.
pub const TRANSACTION_READ_LEFT_OUT: Reply = Reply::error(
    "ERR the replies of this transaction would exceed the maximum allowed size: this read was not run",
);

/// A command on more keys than one step can have.
pub fn too_many_keys(keys: usize) -> Reply {
    Reply::Error(format!("ERR {keys} keys in one step, the limit is {JOINT_KEYS_MAX}").into())
}
/// SORT by a pattern of keys, which may be of any slot.
pub const SORT_BY_OTHER_KEYS: Reply = Reply::error("ERR BY option of SORT denied in Cluster mode.");
/// SORT that is to answer what other keys hold.
pub const SORT_GET_OTHER_KEYS: Reply = Reply::error("ERR GET option of SORT denied in Cluster mode.");
/// SORT by numbers of what spells none.
pub const NOT_TO_BE_SORTED: Reply = Reply::error("ERR One or more scores can't be converted into double");
/// LCS of something else than strings.
pub const LCS_NOT_STRINGS: Reply = Reply::error("ERR The specified keys must contain string values");
/// LCS with both LEN and IDX.
pub const LCS_LEN_AND_IDX: Reply =
    Reply::error("ERR If you want both the length and indexes, please just use IDX.");
/// LCS of strings that are too long together.
pub fn lcs_too_long() -> Reply {
    let text = "ERR Insufficient memory, transient memory for LCS exceeds its bound: the lengths of both values, each plus one, \
         multiplied are more than";
    Reply::Error(format!("{text} {LCS_CELLS_MAX}").into())
}
/// COPY to another database.
pub const DB_INDEX: Reply = Reply::error("ERR DB index is out of range");
/// COPY of a key to itself.
pub const SAME_OBJECT: Reply = Reply::error("ERR source and destination objects are the same");
/// A number that is to be no less than 0.
pub const NEGATIVE_LIMIT: Reply = Reply::error("ERR LIMIT can't be negative");
/// More keys are announced than there are arguments.
pub const MORE_KEYS_THAN_ARGUMENTS: Reply =
    Reply::error("ERR Number of keys can't be greater than number of args");
/// A weight that is no number.
pub const WEIGHT: Reply = Reply::error("ERR weight value is not a float");
/// A command that announces no key.
pub fn no_input_key(name: &str) -> Reply {
    Reply::Error(format!("ERR at least 1 input key is needed for '{name}' command").into())
}

/// A name in front of a numbered request that is none.
pub const CLIENT_NAME: Reply = Reply::error("ERR REQID: the name of a client has 1 to 64 bytes");
/// A number of a request that is none.
pub const REQUEST_NUMBER: Reply = Reply::error(
    "ERR REQID: the number of a request is an integer from 1 on, above that of the request before",
);
/// A numbered request that changes no keys.
pub const NOT_TO_BE_NUMBERED: Reply = Reply::error("ERR REQID goes in front of commands on keys, or of EXEC");
/// A numbered request of which nobody knows whether it was done.
pub const REQUEST_FORGOTTEN: Reply = Reply::error(
    "UNCERTAIN write may or may not be applied: the key has forgotten this request, and remembers later ones of this client",
);
/// A numbered request that was done.
pub const REQUEST_REPLY_LOST: Reply =
    Reply::error("UNCERTAIN write was applied, but its reply was too large to be kept for a retry");

/// A key that is longer than the limit.
pub fn key_too_long(limits: &Limits) -> Reply {
    let bytes = limits.key_bytes_max;
    Reply::Error(format!("ERR key exceeds maximum allowed size (key_bytes_max {bytes})").into())
}

/// SETV that lost: the key has moved on. The text tells both versions.
pub fn version_mismatch(is: u64, expected: u64) -> Reply {
    Reply::Error(format!("ERR version mismatch: the key is at version {is}, not {expected}").into())
}

/// At most 128 bytes of a name, as Redis shows it.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..ERROR_ARGUMENT_BYTES_MAX).unwrap_or(name)).into_owned()
}

/// Line breaks become spaces: an error is one line of RESP.
fn one_line(text: String) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: Reply) -> String {
        match reply {
            Reply::Error(text) => text.into_owned(),
            other => panic!("not an error: {other:?}"),
        }
    }

    #[test]
    fn unknown_commands_read_as_in_redis() {
        let table: [(&[&[u8]], &str); 4] = [
            (&[b"foo", b"bar", b"baz"], "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "),
            (&[b"foo"], "ERR unknown command 'foo', with args beginning with: "),
            (&[b"a\r\nb", b"c\nd"], "ERR unknown command 'a  b', with args beginning with: 'c d' "),
            (&[], "ERR unknown command '', with args beginning with: "),
        ];
        for (args, want) in table {
            assert_eq!(text(unknown_command(args)), want);
        }
    }

    #[test]
    fn a_huge_unknown_command_gets_a_short_error() {
        let big = vec![b'x'; 1_000_000];
        let args: Vec<&[u8]> = vec![&big; 50];
        assert!(text(unknown_command(&args)).len() < 400);
        assert!(text(unknown_subcommand("object", &big)).len() < 400);
    }
}
