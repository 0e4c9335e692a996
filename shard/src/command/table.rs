//! The table of all commands: what COMMAND answers, what routing and ACL go by, and where parsing starts.
//!
//! A name that is not here is an unknown command, to the shard and to the host alike. The rows themselves are data:
//! rows_data.rs has what concerns keys of any type and strings, rows_joint.rs what concerns several keys at once, rows_host.rs what a host answers by
//! itself, and each other type has a file of its own.

use super::parse::{is, Args};
use super::{
    errors, rows_data, rows_hash, rows_host, rows_joint, rows_list, rows_set, rows_sorted_set, Command, Pop,
};
use crate::reply::Reply;

/// Reads the arguments of one command; opaque outside this module.
#[derive(Clone, Copy, Debug)]
pub struct Parse(pub(super) ParseFn);

type ParseFn = fn(&Args<'_>) -> Result<Command, Reply>;

/// Reads the arguments of a pop of several keys; opaque outside this module.
#[derive(Clone, Copy, Debug)]
pub struct ParsePop(pub(super) ParsePopFn);

type ParsePopFn = fn(&Args<'_>) -> Result<Pop, Reply>;

/// Who answers a command.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// The shard that holds the key, or the shards that hold the keys after a split.
    Key(Parse),
    /// Whoever holds the key directories, gathered over cores.
    Keyspace(Parse),
    /// Who has the client: it tries the shards that hold the keys, one after the other.
    Pop(ParsePop),
    /// The host, without any key: connection, cluster map, configuration.
    Host,
}

/// Where the keys of a command are in its arguments, as COMMAND has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key; 0 = there is none.
    pub first: i8,
    /// Index of the last key; negative from the end, -1 being the last argument.
    pub last: i8,
    /// Distance between keys; 0 = there is none.
    pub step: i8,
    /// Index of the argument that says how many keys follow it; 0 = the others say where they are.
    pub counted: i8,
    /// Whether an option STORE names one more.
    pub stored: bool,
}

impl Keys {
    /// There are none.
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0, counted: 0, stored: false };

    /// As many as an argument says, behind it.
    pub(super) const fn counted(at: i8) -> Keys {
        Keys { counted: at, ..Keys::NONE }
    }

    /// The first argument, and behind the second as many as that says.
    pub(super) const STORED_COUNTED: Keys = Keys { first: 1, last: 1, step: 1, counted: 2, stored: false };

    /// The first argument, and what the option STORE names.
    pub(super) const SORTED: Keys = Keys { first: 1, last: 1, step: 1, counted: 0, stored: true };

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.first == 0 && self.counted == 0
    }
}

/// One command, or one subcommand.
#[derive(Debug)]
pub struct Row {
    /// Lower case; a subcommand as `object|encoding`.
    pub name: &'static str,
    /// Number of arguments, the name (and subcommand) included; negative: at least so many.
    pub arity: i8,
    /// Flags as COMMAND has them: `write`, `readonly`, `fast`, …
    pub flags: &'static [&'static str],
    /// Whether it is on several keys as one step.
    pub is_joint: bool,
    /// Where the keys are.
    pub keys: Keys,
    /// ACL categories, without the `@`.
    pub categories: &'static [&'static str],
    /// Group of the documentation: `string`, `generic`, …
    pub group: &'static str,
    /// The version of Redis that first had it; `synod` for our own.
    pub since: &'static str,
    /// One sentence for COMMAND DOCS and HELP.
    pub summary: &'static str,
    /// Who answers it.
    pub level: Level,
    /// Subcommands, if it has any.
    pub subcommands: &'static [Row],
}

/// A row of a command that the host answers and that has no keys; the other calls say what is different.
pub(super) const fn row(
    name: &'static str,
    arity: i8,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
) -> Row {
    let keys = Keys::NONE;
    let level = Level::Host;
    let (flags, categories, subcommands): (&[&str], &[&str], &[Row]) = (&[], &[], &[]);
    Row { name, arity, flags, is_joint: false, keys, categories, group, since, summary, level, subcommands }
}

impl Row {
    pub(super) const fn flags(
        self,
        flags: &'static [&'static str],
        categories: &'static [&'static str],
    ) -> Row {
        Row { flags, categories, ..self }
    }

    pub(super) const fn on_key(self, parse: ParseFn) -> Row {
        Row { level: Level::Key(Parse(parse)), ..self }
    }

    pub(super) const fn in_one_step(self) -> Row {
        Row { is_joint: true, ..self }
    }

    pub(super) const fn on_keyspace(self, parse: ParseFn) -> Row {
        Row { level: Level::Keyspace(Parse(parse)), ..self }
    }

    pub(super) const fn on_keys_in_turn(self, parse: ParsePopFn) -> Row {
        Row { level: Level::Pop(ParsePop(parse)), ..self }
    }

    pub(super) const fn keys(self, keys: Keys) -> Row {
        Row { keys, ..self }
    }

    pub(super) const fn subcommands(self, subcommands: &'static [Row]) -> Row {
        Row { subcommands, ..self }
    }

    /// Whether so many arguments, the name included, fit.
    pub fn takes(&self, arguments: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        if self.arity >= 0 {
            arguments == least
        } else {
            arguments >= least
        }
    }

    /// Whether it has a flag.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it may change data.
    pub fn is_write(&self) -> bool {
        self.has_flag("write")
    }

    /// The keys in an argument list, in order.
    pub fn keys_of<'a>(&self, args: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let counted = usize::try_from(self.keys.counted).ok().filter(|at| *at > 0);
        let counted = counted.map(|at| {
            let number = args.get(at).and_then(|number| super::numbers::unsigned(number)).unwrap_or(0);
            let end = usize::try_from(number).unwrap_or(usize::MAX).saturating_add(at + 1).min(args.len());
            args.get(at + 1..end).unwrap_or_default()
        });
        let count = args.len();
        let first = usize::try_from(self.keys.first).unwrap_or(0);
        let end = match usize::try_from(self.keys.last) {
            Ok(last) => last.saturating_add(1),
            Err(_) => (count + 1).saturating_sub(usize::from(self.keys.last.unsigned_abs())),
        };
        let step = usize::try_from(self.keys.step).unwrap_or(1).max(1);
        let none = self.keys.first == 0;
        let end = if none { 0 } else { end.min(count) };
        let placed = args.get(first..end.max(first)).unwrap_or_default().iter().step_by(step);
        let stored = if self.keys.stored { stored(args) } else { None };
        placed.chain(counted.unwrap_or_default()).copied().chain(stored)
    }

    /// Whether a command with these arguments is on several keys as one step.
    pub fn is_joint_with(&self, args: &[&[u8]]) -> bool {
        self.is_joint && (!self.keys.stored || stored(args).is_some())
    }
}

/// What SORT's option STORE names, the last one if there are several. Other options' arguments are stepped over.
fn stored<'a>(args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (mut words, mut stored) = (args.iter().skip(2), None);
    while let Some(word) = words.next() {
        let behind = match word {
            word if is(word, "STORE") => {
                stored = words.next().or(stored);
                0
            }
            word if is(word, "LIMIT") => 2,
            word if is(word, "BY") || is(word, "GET") => 1,
            _ => 0,
        };
        words.by_ref().take(behind).for_each(drop);
    }
    stored.copied()
}

/// All rows, in parts.
const PARTS: [&[Row]; 7] = [
    rows_data::ROWS,
    rows_hash::ROWS,
    rows_list::ROWS,
    rows_set::ROWS,
    rows_sorted_set::ROWS,
    rows_joint::ROWS,
    rows_host::ROWS,
];

/// All commands, those on data first. Subcommands are inside their containers.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    PARTS.iter().copied().flatten()
}

/// The row of a command's name, in any case.
pub fn find(name: &[u8]) -> Option<&'static Row> {
    let mut at = hash(name) % INDEX_LEN;
    loop {
        let row = nth(INDEX[at].checked_sub(1)?)?;
        if row.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(row);
        }
        at = (at + 1) % INDEX_LEN;
    }
}

/// The row of an argument list, subcommand included, with its arity checked; or what to answer the client.
pub fn resolve(args: &[&[u8]]) -> Result<&'static Row, Reply> {
    let (name, rest) = args.split_first().ok_or_else(|| errors::unknown_command(args))?;
    let row = find(name).ok_or_else(|| errors::unknown_command(args))?;
    let row = match rest.first() {
        Some(sub) if !row.subcommands.is_empty() => {
            subcommand(row, sub).ok_or_else(|| errors::unknown_subcommand(row.name, sub))?
        }
        _ => row,
    };
    if row.takes(args.len()) {
        Ok(row)
    } else {
        Err(errors::arity(row.name))
    }
}

/// The row of a subcommand, in any case.
pub fn subcommand(container: &Row, name: &[u8]) -> Option<&'static Row> {
    container.subcommands.iter().find(|row| {
        let own = row.name.split_once('|').map_or(row.name, |(_, own)| own);
        own.as_bytes().eq_ignore_ascii_case(name)
    })
}

/// Places of the index: sparse, so that most names are found at the first look.
const INDEX_LEN: usize = 1024;

/// An open-addressed index by name: 0 = free, else the number of the row plus one.
static INDEX: [u16; INDEX_LEN] = {
    let mut index = [0; INDEX_LEN];
    let (mut part, mut number) = (0, 0);
    while part < PARTS.len() {
        let mut place = 0;
        while place < PARTS[part].len() {
            let mut at = hash(PARTS[part][place].name.as_bytes()) % INDEX_LEN;
            while index[at] != 0 {
                at = (at + 1) % INDEX_LEN;
            }
            number += 1;
            index[at] = number;
            place += 1;
        }
        part += 1;
    }
    assert!((number as usize) * 3 < INDEX_LEN, "the index is sparse");
    index
};

fn nth(number: u16) -> Option<&'static Row> {
    let mut number = usize::from(number);
    for part in PARTS {
        match part.get(number) {
            Some(row) => return Some(row),
            None => number -= part.len(),
        }
    }
    None
}

/// FNV-1a over the lower-case name, cut at 32 bytes: no name is longer, and a client's may be.
const fn hash(name: &[u8]) -> usize {
    let mut hash = 0x811C_9DC5_u32;
    let mut at = 0;
    while at < name.len() && at < 32 {
        hash = (hash ^ name[at].to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 15)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_are_unique() {
        for row in rows() {
            assert!(
                std::ptr::eq(find(row.name.as_bytes()).expect(row.name), row),
                "{} is there twice",
                row.name
            );
            let upper = row.name.to_ascii_uppercase();
            assert!(std::ptr::eq(find(upper.as_bytes()).expect(row.name), row));
        }
        for name in ["", "getx", "ge", "object|encoding", "get\0"] {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
        assert!(find(&[b'x'; 100_000]).is_none());
    }

    #[test]
    fn key_positions() {
        let table: [(&[&str], &[&str]); 13] = [
            (&["get", "a"], &["a"]),
            (&["mset", "a", "1", "b", "2"], &["a", "b"]),
            (&["del", "a", "b", "c"], &["a", "b", "c"]),
            (&["object", "encoding", "a"], &["a"]),
            (&["ping"], &[]),
            (&["scan", "0"], &[]),
            (&["setex", "a", "1", "b"], &["a"]),
            (&["sort", "a", "by", "nosort", "desc"], &["a"]),
            (&["sort", "a", "store", "b", "limit", "0", "store", "alpha", "STORE", "c"], &["a", "c"]),
            (&["sort", "a", "by", "store", "store", "a"], &["a", "a"]),
            (&["sort", "a", "store"], &["a"]),
            (&["sort_ro", "a", "store", "b"], &["a"]),
            (&["zunionstore", "d", "2", "a", "b", "aggregate", "sum"], &["d", "a", "b"]),
        ];
        for (args, want) in table {
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            let keys: Vec<&[u8]> = resolve(&args).expect("in the table").keys_of(&args).collect();
            let want: Vec<&[u8]> = want.iter().map(|key| key.as_bytes()).collect();
            assert_eq!(keys, want);
        }
    }
}
