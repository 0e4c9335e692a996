//! The text of a history: a head line, then one line per operation.
//!
//! ```text
//! synod-history 1
//! # client key call return command => reply [@version]
//! 3 "k1" 100 250 SET "v1" => OK @7
//! 4 "k1" 120 260 GET => "v1" @7
//! 4 "k1" 300 - INCRBY 1 => ?
//! 5 "k1" 310 - DEL => FAILED
//! ```
//!
//! Keys and values stand in quotes; bytes outside printable ASCII, `"` and `\` are written `\xNN`. A return
//! of `-` goes with `?` (unknown) and `FAILED`. Empty lines and lines that start with `#` say nothing.

use std::fmt::Write as _;

use super::{Command, History, Operation, Outcome, Reply};
use crate::limits::HISTORY_ARGUMENT_BYTES_MAX;

const HEAD: &str = "synod-history 1";

/// A line that is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub text: &'static str,
}

/// Writes a history.
pub fn to_text(history: &History) -> String {
    let mut out = format!("{HEAD}\n# client key call return command => reply [@version]\n");
    for operation in &history.operations {
        push_line(&mut out, operation);
        out.push('\n');
    }
    out
}

/// One operation as a line without its end.
pub fn line(operation: &Operation) -> String {
    let mut out = String::new();
    push_line(&mut out, operation);
    out
}

// Writing to a string cannot fail, so the results of `write!` are dropped.
fn push_line(out: &mut String, operation: &Operation) {
    let _ = write!(out, "{} ", operation.client);
    push_quoted(out, &operation.key);
    let _ = match operation.returned() {
        Some(at) => write!(out, " {} {at} ", operation.call),
        None => write!(out, " {} - ", operation.call),
    };
    push_command(out, &operation.command);
    out.push_str(" => ");
    match &operation.outcome {
        Outcome::Replied { reply, .. } => push_reply(out, reply),
        Outcome::Failed => out.push_str("FAILED"),
        Outcome::Unknown => out.push('?'),
    }
    if let Some(version) = operation.version {
        let _ = write!(out, " @{version}");
    }
}

fn push_command(out: &mut String, command: &Command) {
    let (name, values): (&str, &[&[u8]]) = match command {
        Command::Get => ("GET", &[]),
        Command::Set(value) => ("SET", &[value]),
        Command::SetIfAbsent(value) => ("SETNX", &[value]),
        Command::CompareSet { expected, value } => ("CAS", &[expected, value]),
        Command::GetSet(value) => ("GETSET", &[value]),
        Command::GetDel => ("GETDEL", &[]),
        Command::Del => ("DEL", &[]),
        Command::Clear => ("CLEAR", &[]),
        Command::IncrBy(by) => {
            let _ = write!(out, "INCRBY {by}");
            return;
        }
        Command::Append(value) => ("APPEND", &[value]),
        Command::Exists => ("EXISTS", &[]),
        Command::Strlen => ("STRLEN", &[]),
    };
    out.push_str(name);
    for value in values {
        out.push(' ');
        push_quoted(out, value);
    }
}

fn push_reply(out: &mut String, reply: &Reply) {
    match reply {
        Reply::Ok => out.push_str("OK"),
        Reply::Nil => out.push_str("NIL"),
        Reply::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Reply::Value(value) => push_quoted(out, value),
        Reply::Refused => out.push_str("REFUSED"),
    }
}

fn push_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for &byte in bytes {
        if (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}

/// Reads what [`to_text`] wrote.
///
/// # Errors
/// The first line that cannot be read, and why.
pub fn from_text(text: &str) -> Result<History, ParseError> {
    let mut lines = text.lines().enumerate();
    match lines.next() {
        Some((_, head)) if head.trim_end() == HEAD => {}
        _ => return Err(ParseError { line: 1, text: "a history starts with the line 'synod-history 1'" }),
    }
    let mut history = History::new();
    for (index, line) in lines {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let operation = read_line(line).map_err(|text| ParseError { line: index + 1, text })?;
        history.operations.push(operation);
    }
    Ok(history)
}

/// What a line is made of.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Bare(&'a str),
    Quoted(Vec<u8>),
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<Option<Word<'a>>, &'static str> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return Ok(None);
        }
        if let Some(body) = self.rest.strip_prefix('"') {
            let (body, rest) = split_at_byte(body, b'"').ok_or("a quote without its end")?;
            self.rest = rest;
            return Ok(Some(Word::Quoted(unquote(body)?)));
        }
        let (word, rest) = split_at_byte(self.rest, b' ').unwrap_or((self.rest, ""));
        self.rest = rest;
        Ok(Some(Word::Bare(word)))
    }

    fn bare(&mut self, missing: &'static str) -> Result<&'a str, &'static str> {
        match self.next()? {
            Some(Word::Bare(word)) => Ok(word),
            _ => Err(missing),
        }
    }

    fn quoted(&mut self, missing: &'static str) -> Result<Vec<u8>, &'static str> {
        match self.next()? {
            Some(Word::Quoted(bytes)) => Ok(bytes),
            _ => Err(missing),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, missing: &'static str) -> Result<T, &'static str> {
        self.bare(missing)?.parse().map_err(|_| missing)
    }
}

/// What lies before an ASCII byte, and behind it. Words are short, and a loop finds their ends faster than `split_once`.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn unquote(body: &str) -> Result<Vec<u8>, &'static str> {
    if body.len() > HISTORY_ARGUMENT_BYTES_MAX {
        return Err("an argument longer than any value");
    }
    if !body.as_bytes().contains(&b'\\') {
        return Ok(body.as_bytes().to_vec());
    }
    let mut parts = body.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let bad = "an escape other than \\xNN";
        let code = part.strip_prefix('x').and_then(|part| part.get(..2)).ok_or(bad)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| bad)?);
        bytes.extend_from_slice(part.get(3..).unwrap_or_default().as_bytes());
    }
    Ok(bytes)
}

fn read_line(line: &str) -> Result<Operation, &'static str> {
    let mut words = Words { rest: line };
    let client = words.number("the client is a number")?;
    let key = words.quoted("the key stands in quotes")?;
    let call: u64 = words.number("the time of the call is a number")?;
    let returned = match words.bare("the time of the return is a number or -")? {
        "-" => None,
        at => Some(at.parse::<u64>().map_err(|_| "the time of the return is a number or -")?),
    };
    let command = read_command(&mut words)?;
    if words.bare("=> stands before the reply")? != "=>" {
        return Err("=> stands before the reply");
    }
    let outcome = read_outcome(&mut words, returned)?;
    if returned.is_some_and(|at| at < call) {
        return Err("a return before its call");
    }
    let version = match words.next()? {
        None => None,
        Some(Word::Bare(word)) => {
            let number = word.strip_prefix('@').and_then(|number| number.parse().ok());
            Some(number.ok_or("after the reply only @version may stand")?)
        }
        Some(Word::Quoted(_)) => return Err("after the reply only @version may stand"),
    };
    if words.next()?.is_some() {
        return Err("after the version nothing may stand");
    }
    Ok(Operation { client, key, call, command, outcome, version })
}

fn read_command(words: &mut Words<'_>) -> Result<Command, &'static str> {
    let value = "the command needs a value in quotes";
    Ok(match words.bare("a command is missing")? {
        "GET" => Command::Get,
        "SET" => Command::Set(words.quoted(value)?),
        "SETNX" => Command::SetIfAbsent(words.quoted(value)?),
        "CAS" => Command::CompareSet { expected: words.quoted(value)?, value: words.quoted(value)? },
        "GETSET" => Command::GetSet(words.quoted(value)?),
        "GETDEL" => Command::GetDel,
        "DEL" => Command::Del,
        "CLEAR" => Command::Clear,
        "INCRBY" => Command::IncrBy(words.number("INCRBY needs a number")?),
        "APPEND" => Command::Append(words.quoted(value)?),
        "EXISTS" => Command::Exists,
        "STRLEN" => Command::Strlen,
        _ => return Err("an unknown command"),
    })
}

fn read_outcome(words: &mut Words<'_>, returned: Option<u64>) -> Result<Outcome, &'static str> {
    let reply = match words.next()?.ok_or("a reply is missing")? {
        Word::Quoted(value) => Reply::Value(value),
        Word::Bare("OK") => Reply::Ok,
        Word::Bare("NIL") => Reply::Nil,
        Word::Bare("REFUSED") => Reply::Refused,
        Word::Bare(open @ ("?" | "FAILED")) => {
            let outcome = if open == "?" { Outcome::Unknown } else { Outcome::Failed };
            return if returned.is_none() { Ok(outcome) } else { Err("? and FAILED have no time of return") };
        }
        Word::Bare(number) => Reply::Int(number.parse().map_err(|_| "an unknown reply")?),
    };
    let at = returned.ok_or("a reply has a time of return")?;
    Ok(Outcome::Replied { at, reply })
}
