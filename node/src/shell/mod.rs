//! `synod sql`: a shell for tables, as psql is one (docs/sql.md, "The shell").
//!
//! ```text
//! source ─▶ split ─▶ session ─▶ pages ──▶ client ─▶ link ─▶ a host's plain port
//!  lines   statements   │  └───▶ copy_in ───▶┘
//!          and commands └▶ print (table, csv, json)
//! ```
//!
//! It is a client like any other: it sends `SQL "statement"` and knows of a table what DESCRIBE says. What it borrows from the crate `sql` is the
//! parser, and only to tell what may be sent again, and what may be asked for in pages; a statement that this parser does not know is sent as it
//! stands.
//!
//! The client of the protocol is one of our own (`link.rs`): a hundred lines of RESP2 with a bound on every reply. The `redis` crate brings thirty
//! more crates along for the parsing of URLs, and what it adds (clusters, pools, types) is not wanted here.
//!
//! Invariants:
//!
//! 1. Whatever number of rows comes or goes, memory is bounded: a page of rows out, a window of statements in.
//! 2. A statement that changes something is sent once; only rows that go in by UPSERT are sent again, in the order of the file.
//! 3. What came from a host or a file reaches no terminal with control characters in it, and no length in it is believed.

mod answer;
mod client;
mod command;
mod copy_in;
mod copy_out;
mod csv;
mod error;
#[cfg(test)]
mod hostile;
mod interactive;
mod limits;
mod link;
mod pages;
mod print;
mod progress;
mod rows;
mod scan;
mod session;
mod source;
mod split;
mod table;
mod target;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use crate::boot::Failure;
use client::Client;
use error::Trouble;
pub(crate) use print::Format;
use session::Session;
use source::Source;

/// What the command line says.
pub(crate) struct Options {
    /// Plain ports, each `address:port`; the first that answers is taken.
    pub(crate) hosts: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// Statements to run instead of others.
    pub(crate) commands: Vec<String>,
    /// A file of statements; `-` is the standard input.
    pub(crate) file: Option<PathBuf>,
    pub(crate) format: Format,
}

/// Runs statements: those of `-c`, then those of `-f`; without both those of the standard input, with prompts if that is a terminal.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let Options { hosts, user, password, commands, file, format } = options;
    let mut session = Session::new(Client::new(hosts, user, password), format);
    if commands.is_empty() && file.is_none() && std::io::stdin().is_terminal() {
        return ended(interactive::run(&mut session));
    }
    for (number, command) in commands.iter().enumerate() {
        let name = format!("-c {}", number + 1);
        ended(session.script(&mut Source::of_text(name, command)))?;
    }
    match file {
        None if !commands.is_empty() => Ok(()),
        Some(path) if path.as_os_str() != "-" => {
            let mut source = Source::of_file(&path).map_err(|trouble| Failure::Other(trouble.to_string()))?;
            ended(session.script(&mut source))
        }
        _ => {
            let input: Box<dyn Read> = Box::new(std::io::stdin().lock());
            ended(session.script(&mut Source::of_reader("standard input".to_owned(), input)))
        }
    }
}

/// Who has read enough, such as `head`, is no failure.
fn ended(result: Result<(), Trouble>) -> Result<(), Failure> {
    match result {
        Ok(()) | Err(Trouble::Closed) => Ok(()),
        Err(trouble) => Err(Failure::Other(trouble.to_string())),
    }
}
