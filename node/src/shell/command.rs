//! What stands behind a backslash.

use std::path::PathBuf;

use super::error::Trouble;
use super::print::Format;
use super::scan::closing;

/// What `\?` says.
pub(super) const HELP: &str = r"\q                             end the shell
\dt                            list the tables
\d TABLE                       describe a table
\timing                        show how long statements take, or do not
\format [table|csv|json]       how rows are printed
\r                             forget the statement that has begun
\copy TABLE [(COLUMN, ...)] from 'FILE' [insert] [noheader]
                               rows of a CSV file into a table: UPSERT, or INSERT
\copy (SELECT ...) to 'FILE' [noheader]
                               rows to a CSV file
                               stdin, stdout in the place of a file: rows here, up to \.
\?                             this
statement;                     any statement of docs/sql.md; it may have several lines
";

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    Help,
    Tables,
    Describe(String),
    Timing,
    Format(Option<Format>),
    Reset,
    CopyIn(CopyIn),
    CopyOut(CopyOut),
}

/// Where rows of CSV are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    /// The standard input or output; the input: where the command stands, if that is not the command line.
    Standard,
}

/// `\copy table from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyIn {
    /// As a statement names it.
    pub(super) table: String,
    /// Their names; without them the header has them.
    pub(super) columns: Option<Vec<String>>,
    pub(super) from: Place,
    /// INSERT instead of UPSERT.
    pub(super) insert: bool,
    pub(super) header: bool,
}

/// `\copy (…) to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyOut {
    pub(super) query: String,
    pub(super) to: Place,
    pub(super) header: bool,
}

/// A word of a command: quoted ones are no keywords.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Plain(String),
    /// `'…'`
    Text(String),
    /// `"…"`
    Name(String),
    /// `(`, `)` or `,`
    Sign(char),
}

fn wrong(what: impl Into<String>) -> Trouble {
    Trouble::Local(what.into())
}

/// A name as statements have it in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn words(text: &str) -> Result<Vec<Word>, Trouble> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(one) = rest.chars().next() {
        match one {
            '(' | ')' | ',' => {
                words.push(Word::Sign(one));
                rest = &rest[1..];
            }
            '\'' | '"' => {
                let (mut inside, mut at) = (String::new(), 1);
                loop {
                    let end = rest[at..].find(one).ok_or_else(|| wrong(format!("a {one} is not closed")))?;
                    inside.push_str(&rest[at..at + end]);
                    at += end + 1;
                    if !rest[at..].starts_with(one) {
                        break;
                    }
                    inside.push(one);
                    at += 1;
                }
                words.push(if one == '"' { Word::Name(inside) } else { Word::Text(inside) });
                rest = &rest[at..];
            }
            _ => {
                let end = rest.find(|one: char| one.is_whitespace() || "(),'\"".contains(one));
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                words.push(Word::Plain(word.to_owned()));
                rest = behind;
            }
        }
        rest = rest.trim_start();
    }
    Ok(words)
}

/// A plain name: letters, digits and `_`; anything else would be no name in a statement.
fn is_plain_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|one| one.is_ascii_alphabetic() || one == '_');
    first && text.chars().all(|one| one.is_ascii_alphanumeric() || one == '_' || one == '$')
}

/// A name as it is looked up.
fn name(word: Word) -> Result<String, Trouble> {
    match word {
        Word::Name(text) => Ok(text),
        Word::Plain(text) if is_plain_name(&text) => Ok(text.to_ascii_lowercase()),
        other => Err(wrong(format!("{} is no name", shown(&other)))),
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Plain(text) => text.clone(),
        Word::Text(text) => format!("'{text}'"),
        Word::Name(text) => quoted(text),
        Word::Sign(one) => one.to_string(),
    }
}

fn keyword(word: Option<&Word>) -> String {
    match word {
        Some(Word::Plain(text)) => text.to_ascii_lowercase(),
        _ => String::new(),
    }
}

impl Command {
    /// Reads a command, without its backslash.
    pub(super) fn parse(text: &str) -> Result<Command, Trouble> {
        // Commands end with their line; who writes a semicolon means the same.
        let text = text.trim().trim_end_matches(';').trim_end();
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (verb, rest) = match verb.split_once('(') {
            // \copy(SELECT …
            Some((verb, _)) => (verb, &text[verb.len()..]),
            None => (verb, rest.trim()),
        };
        let alone = |command: Command| match rest {
            "" => Ok(command),
            _ => Err(wrong(format!("\\{verb} stands alone, without {rest}"))),
        };
        match verb {
            "q" | "quit" => alone(Command::Quit),
            "?" | "h" | "help" => alone(Command::Help),
            "r" | "reset" => alone(Command::Reset),
            "timing" => alone(Command::Timing),
            "dt" => alone(Command::Tables),
            "d" => match words(rest)?.as_slice() {
                [] => Ok(Command::Tables),
                [one] => Ok(Command::Describe(quoted(&name(one.clone())?))),
                _ => Err(wrong("\\d takes the name of one table")),
            },
            "format" if rest.is_empty() => Ok(Command::Format(None)),
            "format" => match Format::of(&rest.to_ascii_lowercase()) {
                Some(format) => Ok(Command::Format(Some(format))),
                None => {
                    Err(wrong(format!("there is no format {rest}; there are {}", Format::NAMES.join(", "))))
                }
            },
            "copy" => copy(rest),
            other => Err(wrong(format!("there is no command \\{other}; \\? lists them"))),
        }
    }
}

fn copy(text: &str) -> Result<Command, Trouble> {
    if text.starts_with('(') {
        let end = closing(text).ok_or_else(|| wrong("the parenthesis behind \\copy is not closed"))?;
        let query = text[1..end].trim().to_owned();
        let words = words(&text[end + 1..])?;
        if keyword(words.first()) != "to" {
            return Err(wrong(
                "behind the query TO and a file are missing: \\copy (SELECT ...) to 'file.csv'",
            ));
        }
        let (to, options) = place(&words[1..], "stdout")?;
        let Options { insert: false, header } = options else {
            return Err(wrong("INSERT is for \\copy ... from"));
        };
        return Ok(Command::CopyOut(CopyOut { query, to, header }));
    }
    let mut words = words(text)?.into_iter().peekable();
    let table = words.next().ok_or_else(|| wrong("\\copy takes a table, or (SELECT ...); \\? shows how"))?;
    let table = quoted(&name(table)?);
    let mut columns = None;
    if words.next_if_eq(&Word::Sign('(')).is_some() {
        let mut names = Vec::new();
        loop {
            names.push(name(words.next().ok_or_else(|| wrong("the list of columns is not closed"))?)?);
            match words.next() {
                Some(Word::Sign(',')) => {}
                Some(Word::Sign(')')) => break,
                _ => return Err(wrong("columns are separated by commas, and end with a parenthesis")),
            }
        }
        columns = Some(names);
    }
    let rest: Vec<Word> = words.collect();
    match keyword(rest.first()).as_str() {
        "from" => {
            let (from, Options { insert, header }) = place(&rest[1..], "stdin")?;
            Ok(Command::CopyIn(CopyIn { table, columns, from, insert, header }))
        }
        "to" => Err(wrong("what is copied out is a query: \\copy (SELECT ... WHERE ...) to 'file.csv'")),
        _ => Err(wrong("behind the table FROM and a file are missing: \\copy table from 'file.csv'")),
    }
}

struct Options {
    insert: bool,
    header: bool,
}

/// A file, or the standard input or output, and what stands behind it. The words of PostgreSQL that say what is so anyway may be there.
fn place(words: &[Word], standard: &str) -> Result<(Place, Options), Trouble> {
    let (first, rest) = words.split_first().ok_or_else(|| wrong(format!("give a file, or {standard}")))?;
    let place = match first {
        Word::Plain(word) if word.eq_ignore_ascii_case(standard) => Place::Standard,
        Word::Plain(path) | Word::Text(path) | Word::Name(path) => Place::File(PathBuf::from(path)),
        Word::Sign(one) => return Err(wrong(format!("{one} is no file"))),
    };
    let mut options = Options { insert: false, header: true };
    for word in rest {
        match keyword(Some(word)).as_str() {
            "insert" => options.insert = true,
            "noheader" => options.header = false,
            "with" | "csv" | "format" | "header" | "upsert" => {}
            _ if matches!(word, Word::Sign(_)) => {}
            _ => return Err(wrong(format!("{} is no option; there are insert and noheader", shown(word)))),
        }
    }
    Ok((place, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Command {
        Command::parse(text).unwrap_or_else(|trouble| panic!("{text}: {trouble}"))
    }

    fn copy_in(
        table: &str,
        columns: Option<&[&str]>,
        from: Option<&str>,
        insert: bool,
        header: bool,
    ) -> Command {
        let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let from = from.map_or(Place::Standard, |path| Place::File(path.into()));
        Command::CopyIn(CopyIn { table: table.to_owned(), columns, from, insert, header })
    }

    fn copy_out(query: &str, to: Option<&str>, header: bool) -> Command {
        let to = to.map_or(Place::Standard, |path| Place::File(path.into()));
        Command::CopyOut(CopyOut { query: query.to_owned(), to, header })
    }

    #[test]
    fn commands_are_read() {
        let table = [
            ("q", Command::Quit),
            ("  ? ", Command::Help),
            ("dt;", Command::Tables),
            ("d", Command::Tables),
            ("d Orders", Command::Describe("\"orders\"".to_owned())),
            ("d \"Or\"\"ders\"", Command::Describe("\"Or\"\"ders\"".to_owned())),
            ("format", Command::Format(None)),
            ("format JSON", Command::Format(Some(Format::Json))),
            ("copy t from 'a b.csv'", copy_in("\"t\"", None, Some("a b.csv"), false, true)),
            ("copy t(A, \"B\") FROM stdin insert;", copy_in("\"t\"", Some(&["a", "B"]), None, true, true)),
            (
                "copy t from /x/y.csv with (format csv, header)",
                copy_in("\"t\"", None, Some("/x/y.csv"), false, true),
            ),
            ("copy t from 'it''s' noheader", copy_in("\"t\"", None, Some("it's"), false, false)),
            (
                "copy (SELECT (a) FROM t WHERE k = ')') to 'x'",
                copy_out("SELECT (a) FROM t WHERE k = ')'", Some("x"), true),
            ),
            ("copy(SELECT 1) TO STDOUT noheader", copy_out("SELECT 1", None, false)),
        ];
        for (text, want) in table {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn wrong_ones_say_what_is_right() {
        let table = [
            ("", "there is no command"),
            ("x", "\\? lists them"),
            ("q now", "stands alone"),
            ("d a b", "one table"),
            ("d a;DROP", "is no name"),
            ("d 'a'", "is no name"),
            ("format xml", "table, csv, json"),
            ("copy", "takes a table"),
            ("copy t", "FROM and a file"),
            ("copy t to 'x'", "is a query"),
            ("copy t(a from 'x'", "separated by commas"),
            ("copy t(a,", "not closed"),
            ("copy t from", "give a file, or stdin"),
            ("copy t from 'x", "a ' is not closed"),
            ("copy t from 'x' delimiter ';'", "is no option"),
            ("copy (SELECT ')' to 'x'", "is not closed"),
            ("copy (SELECT 1) from 'x'", "TO and a file"),
            ("copy (SELECT 1) to 'x' insert", "for \\copy ... from"),
        ];
        for (text, want) in table {
            let told = Command::parse(text).expect_err(text).to_string();
            assert!(told.contains(want), "{text}: {told}");
        }
    }
}
