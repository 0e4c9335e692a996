//! The commands that a load can be made of: one that reads and one that writes, on values of one type.
//!
//! An operation is a number. Its key is the number divided by [`super::Plan::members`], and the rest names a member: the field of
//! a hash, the member of a set, what is pushed onto a list. Loads of whole values have one member a key, so that number and key are
//! the same.

use std::fmt;

/// A word of a command behind its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// As it stands.
    Text(&'static str),
    /// The key: the prefix and twelve digits.
    Key,
    /// The member: `m` and twelve digits.
    Member,
    /// The member's twelve digits alone: a score.
    Score,
    /// A value of random bytes.
    Value,
}

use Word::{Key, Member, Score, Text, Value};

/// A command of a load. Displayed and read as its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    name: &'static str,
    /// The type of value that it works on.
    on: &'static str,
    pub(super) words: &'static [Word],
}

impl Command {
    /// GET key
    pub const GET: Command = Command { name: "get", on: "strings", words: &[Text("GET"), Key] };
    /// SET key value
    pub const SET: Command = Command { name: "set", on: "strings", words: &[Text("SET"), Key, Value] };
    const INCR: Command = Command { name: "incr", on: "counters", words: &[Text("INCR"), Key] };
    const HGET: Command = Command { name: "hget", on: "hashes", words: &[Text("HGET"), Key, Member] };
    const HSET: Command = Command { name: "hset", on: "hashes", words: &[Text("HSET"), Key, Member, Value] };
    const LRANGE: Command =
        Command { name: "lrange-100", on: "lists", words: &[Text("LRANGE"), Key, Text("0"), Text("99")] };
    const LPUSH: Command = Command { name: "lpush", on: "lists", words: &[Text("LPUSH"), Key, Value] };
    const RPOP: Command = Command { name: "rpop", on: "lists", words: &[Text("RPOP"), Key] };
    const SISMEMBER: Command =
        Command { name: "sismember", on: "sets", words: &[Text("SISMEMBER"), Key, Member] };
    const SADD: Command = Command { name: "sadd", on: "sets", words: &[Text("SADD"), Key, Member] };
    const ZSCORE: Command =
        Command { name: "zscore", on: "sorted sets", words: &[Text("ZSCORE"), Key, Member] };
    const ZADD: Command =
        Command { name: "zadd", on: "sorted sets", words: &[Text("ZADD"), Key, Score, Member] };

    /// What `--read` offers.
    pub const READS: [Command; 5] =
        [Command::GET, Command::HGET, Command::LRANGE, Command::SISMEMBER, Command::ZSCORE];

    /// What `--write` offers.
    pub const WRITES: [Command; 7] = [
        Command::SET,
        Command::INCR,
        Command::HSET,
        Command::LPUSH,
        Command::RPOP,
        Command::SADD,
        Command::ZADD,
    ];

    /// The command of this name that reads.
    ///
    /// # Errors
    /// The names there are.
    pub fn read(name: &str) -> Result<Command, String> {
        named(&Command::READS, name)
    }

    /// The command of this name that writes.
    ///
    /// # Errors
    /// The names there are.
    pub fn write(name: &str) -> Result<Command, String> {
        named(&Command::WRITES, name)
    }

    /// The command that makes what this one finds; itself but for what takes away.
    pub(super) fn preloader(self) -> Command {
        if self == Command::RPOP {
            Command::LPUSH
        } else {
            self
        }
    }

    /// Whether both work on values of one type.
    pub fn goes_with(self, other: Command) -> bool {
        let strings = |on| if on == Command::INCR.on { Command::GET.on } else { on };
        strings(self.on) == strings(other.on)
    }

    /// The type of value that it works on, in the plural.
    pub fn on(self) -> &'static str {
        self.on
    }
}

fn named(commands: &[Command], name: &str) -> Result<Command, String> {
    let found = commands.iter().find(|command| command.name == name.to_ascii_lowercase());
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = commands.iter().map(|command| command.name).collect();
        format!("one of {}", names.join(", "))
    })
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_their_names() {
        for command in Command::READS {
            assert_eq!(Command::read(&command.to_string().to_uppercase()), Ok(command));
            assert!(Command::write(&command.to_string()).is_err());
        }
        for command in Command::WRITES {
            assert_eq!(Command::write(&command.to_string()), Ok(command));
            assert!(command.goes_with(command.preloader()));
        }
        assert!(Command::read("eval").unwrap_err().contains("hget"));
    }

    #[test]
    fn a_read_goes_with_writes_of_its_type() {
        let pairs =
            |read: Command| Command::WRITES.iter().filter(move |write| read.goes_with(**write)).count();
        let counts: Vec<usize> = Command::READS.into_iter().map(pairs).collect();
        assert_eq!(counts, [2, 1, 2, 1, 1]);
    }
}
