//! Runs a statement. Rows come page by page where the statement leaves it open how many it wants, so that any number of them can be had.
//!
//! The rows of one page are one state of the partition, and so are all rows of a statement that has LIMIT. Between two pages others may write.

use std::sync::atomic::{AtomicBool, Ordering};

use sql::{Kind, Statement};

use super::answer::{Answer, Rows};
use super::client::Client;
use super::error::Trouble;
use super::limits::PAGE_ROWS;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Manner {
    /// It changes nothing: if its answer is lost another host may be asked.
    repeatable: bool,
    /// LIMIT and CURSOR may be put behind it.
    unpaged: bool,
}

/// What this version does not know is sent once, as it stands.
fn manner(text: &str) -> Manner {
    match Statement::parse(text.as_bytes()) {
        Ok(statement) => Manner {
            repeatable: matches!(statement.kind(), Kind::Read | Kind::Catalog),
            unpaged: statement.is_unpaged(),
        },
        Err(_) => Manner { repeatable: false, unpaged: false },
    }
}

/// Runs a statement and gives `take` its answer; rows in pages, the last of which has no cursor.
pub(super) fn run(
    client: &mut Client,
    text: &str,
    stop: &AtomicBool,
    mut take: impl FnMut(Answer) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let manner = manner(text);
    let mut ask = |text: &str| Answer::read(client.call(&[b"SQL", text.as_bytes()], manner.repeatable)?);
    if !manner.unpaged {
        return take(ask(text)?);
    }
    let (mut cursor, mut rows) = ("0".to_owned(), PAGE_ROWS);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Trouble::Interrupted);
        }
        // On a line of its own: the statement may end with a comment.
        let page = match ask(&format!("{text}\nLIMIT {rows} CURSOR '{cursor}'")) {
            // Aggregates are one row, and have no pages. What else is not supported is told of the statement as it was written.
            Err(Trouble::Refused { state, .. }) if state == "0A000" && cursor == "0" => {
                return take(ask(text)?)
            }
            // Rows are large: fewer of them are an answer that hosts give.
            Err(Trouble::Refused { state, .. }) if state == "54000" && rows > 1 => {
                rows = rows.div_ceil(8);
                continue;
            }
            other => other?,
        };
        let Answer::Rows(Rows { names, rows: lines, cursor: Some(next) }) = page else {
            return Err(Trouble::Local("the answer is no page of rows: is this a host of Synod?".to_owned()));
        };
        // It becomes a part of a statement.
        if !next.bytes().all(|byte| byte.is_ascii_hexdigit()) || next.is_empty() {
            return Err(Trouble::Local("the answer has no cursor where one must be".to_owned()));
        }
        take(Answer::Rows(Rows { names, rows: lines, cursor: None }))?;
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_select_without_limit_is_read_in_pages() {
        let of = |text: &str| manner(text);
        let table = [
            ("SELECT * FROM t WHERE k = 'a'", true, true),
            ("SELECT * FROM t WHERE k = 'a' -- LIMIT 1", true, true),
            ("SELECT * FROM t WHERE k = 'limit' ALLOW SCAN", true, true),
            ("SELECT * FROM t WHERE k = 'a' LIMIT 5", true, false),
            ("SELECT * FROM t WHERE k = 'a' CURSOR '0'", true, false),
            ("SHOW TABLES", true, false),
            ("EXPLAIN DELETE FROM t WHERE k = 'a'", true, false),
            ("DELETE FROM t WHERE k = 'a'", false, false),
            ("UPSERT INTO t VALUES (1)", false, false),
            ("DROP TABLE t", false, false),
            ("GRANT ALL ON t TO u", false, false),
        ];
        for (text, repeatable, unpaged) in table {
            assert_eq!(of(text), Manner { repeatable, unpaged }, "{text}");
        }
    }
}
