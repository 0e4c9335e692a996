//! The commands that a load can be made of: one that reads and one that writes, on values of one type; or any other, as one would type it.
//!
//! An operation is a number. Its key is the number divided by [`super::Plan::members`], and the rest names a member: the field of
//! a hash, the member of a set, the row of a partition. Loads of whole values have one member a key, so that number and key are
//! the same.
//!
//! A command is a line of words, in quotes where they have blanks, as a shell and redis-cli read them. In it stand placeholders, with the names
//! that memtier_benchmark and redis-benchmark have for them: `__key__`, `__rand_int__`, `__member__` and `__data__`.

use std::borrow::Cow;
use std::fmt;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// The key: the prefix and twelve digits.
    Key,
    /// The key's twelve digits alone.
    KeyDigits,
    /// The member's twelve digits.
    MemberDigits,
    /// A value of random bytes.
    Value,
}

/// What stands for what.
const PLACEHOLDERS: [(&str, Piece); 4] = [
    ("__key__", Piece::Key),
    ("__rand_int__", Piece::KeyDigits),
    ("__member__", Piece::MemberDigits),
    ("__data__", Piece::Value),
];

/// A command of a load. Displayed and read as its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    name: Cow<'static, str>,
    /// The type of value that it works on, where that is known.
    on: Option<&'static str>,
    line: Cow<'static, str>,
}

/// A command that has a name here.
const fn named(name: &'static str, on: &'static str, line: &'static str) -> Command {
    Command { name: Cow::Borrowed(name), on: Some(on), line: Cow::Borrowed(line) }
}

impl Command {
    /// GET key
    pub const GET: Command = named("get", "strings", "GET __key__");
    /// SET key value
    pub const SET: Command = named("set", "strings", "SET __key__ __data__");
    const INCR: Command = named("incr", "counters", "INCR __key__");
    const HGET: Command = named("hget", "hashes", "HGET __key__ m__member__");
    const HSET: Command = named("hset", "hashes", "HSET __key__ m__member__ __data__");
    const LRANGE: Command = named("lrange-100", "lists", "LRANGE __key__ 0 99");
    const LPUSH: Command = named("lpush", "lists", "LPUSH __key__ __data__");
    const RPOP: Command = named("rpop", "lists", "RPOP __key__");
    const SISMEMBER: Command = named("sismember", "sets", "SISMEMBER __key__ m__member__");
    const SADD: Command = named("sadd", "sets", "SADD __key__ m__member__");
    const ZSCORE: Command = named("zscore", "sorted sets", "ZSCORE __key__ m__member__");
    const ZADD: Command = named("zadd", "sorted sets", "ZADD __key__ __member__ m__member__");

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

    /// The command of this name that reads, or the one that stands there as a line.
    ///
    /// # Errors
    /// The names there are, or what is wrong with the line.
    pub fn read(text: &str) -> Result<Command, String> {
        Command::new(&Command::READS, text, "read")
    }

    /// The command of this name that writes, or the one that stands there as a line.
    ///
    /// # Errors
    /// The names there are, or what is wrong with the line.
    pub fn write(text: &str) -> Result<Command, String> {
        Command::new(&Command::WRITES, text, "write")
    }

    fn new(known: &[Command], text: &str, does: &str) -> Result<Command, String> {
        if let Some(found) = known.iter().find(|command| command.name == text.to_ascii_lowercase()) {
            return Ok(found.clone());
        }
        let words = shlex::split(text).ok_or("a quote is not closed")?;
        let [first, _, ..] = words.as_slice() else {
            let names: Vec<&str> = known.iter().map(|command| &*command.name).collect();
            return Err(format!("one of {}, or a command of two words and more", names.join(", ")));
        };
        // It is a tag in the log of latencies, too, and so has no blanks and commas.
        let first = first.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_ascii_lowercase();
        let name = format!("{first}-{does}").into();
        Ok(Command { name, on: None, line: text.to_owned().into() })
    }

    /// Its words, each in its pieces.
    pub(super) fn words(&self) -> Vec<Vec<Piece>> {
        let words = shlex::split(&self.line).expect("a line is only taken if it can be split");
        words.iter().map(|word| pieces(word)).collect()
    }

    /// The line, if it has no name.
    pub(super) fn own_line(&self) -> Option<&str> {
        self.on.is_none().then_some(&*self.line)
    }

    /// The command that makes what this one finds; itself but for what takes away.
    pub(super) fn preloader(&self) -> Command {
        if *self == Command::RPOP {
            Command::LPUSH
        } else {
            self.clone()
        }
    }

    /// Whether both work on values of one type. What has no name is its user's concern.
    pub fn goes_with(&self, other: &Command) -> bool {
        let strings = |on| if on == Command::INCR.on { Command::GET.on } else { on };
        self.on.is_none() || other.on.is_none() || strings(self.on) == strings(other.on)
    }

    /// The type of value that it works on, in the plural.
    pub fn on(&self) -> &'static str {
        self.on.unwrap_or("anything")
    }
}

/// A word, taken apart at its placeholders.
fn pieces(word: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = word;
    loop {
        let found = PLACEHOLDERS.iter().filter_map(|(name, piece)| Some((rest.find(name)?, name, piece)));
        let Some((at, name, piece)) = found.min_by_key(|(at, ..)| *at) else { break };
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        pieces.push(piece.clone());
        rest = &rest[at + name.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_their_names() {
        for command in Command::READS {
            assert_eq!(Command::read(&command.to_string().to_uppercase()), Ok(command.clone()));
            assert!(Command::write(&command.to_string()).is_err());
        }
        for command in Command::WRITES {
            assert_eq!(Command::write(&command.to_string()), Ok(command.clone()));
            assert!(command.goes_with(&command.preloader()));
        }
        assert!(Command::read("eval").unwrap_err().contains("hget"));
    }

    #[test]
    fn a_read_goes_with_writes_of_its_type() {
        let pairs =
            |read: &Command| Command::WRITES.iter().filter(move |write| read.goes_with(write)).count();
        let counts: Vec<usize> = Command::READS.iter().map(pairs).collect();
        assert_eq!(counts, [2, 1, 2, 1, 1]);
        let own = Command::read("EXISTS __key__").unwrap();
        assert!(Command::WRITES.iter().all(|write| own.goes_with(write) && write.goes_with(&own)));
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let table = [
            ("ECHO __key__", vec![vec![text("ECHO")], vec![Piece::Key]]),
            (
                "SQL \"SELECT * FROM t WHERE p = $1\" '__rand_int__ '",
                vec![
                    vec![text("SQL")],
                    vec![text("SELECT * FROM t WHERE p = $1")],
                    vec![Piece::KeyDigits, text(" ")],
                ],
            ),
            (
                "set a__data____member__:b __x__",
                vec![
                    vec![text("set")],
                    vec![text("a"), Piece::Value, Piece::MemberDigits, text(":b")],
                    vec![text("__x__")],
                ],
            ),
            ("ECHO ''", vec![vec![text("ECHO")], vec![]]),
        ];
        for (line, words) in table {
            let command = Command::write(line).unwrap();
            assert_eq!((command.words(), command.own_line()), (words, Some(line)));
            let name = command.to_string();
            assert!(name.ends_with("-write") && name.len() <= "echo-write".len(), "{name}");
        }
        for line in ["", " ", "PING", "ECHO \"a", "GET 'b"] {
            assert!(Command::read(line).is_err(), "{line}");
        }
        assert_eq!(Command::SET.own_line(), None);
    }
}
