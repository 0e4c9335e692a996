//! The text of a history: what is read is written as it was meant, and judging it never panics.

use synod_bench::check;
use synod_bench::history::History;

use crate::limits::JUDGED_OPERATIONS_MAX;

/// A history file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(history) = History::from_text(text) else { return };
    assert_eq!(History::from_text(&history.to_text()), Ok(history.clone()), "it reads back");
    if history.operations.len() <= JUDGED_OPERATIONS_MAX {
        let summary = check::check(&history);
        assert_eq!(summary.operations, history.operations.len());
        assert!(!summary.to_text(&history).is_empty());
    }
}

/// Every command and outcome.
pub fn seeds() -> Vec<Vec<u8>> {
    let registers =
        "1 \"k\" 1 5 SET \"a\" => OK @1\n2 \"k\" 2 6 GET => \"a\" @1\n2 \"k\" 7 - SET \"b\" => ?\n\
                     1 \"k\" 8 9 GET => NIL\n1 \"k\" 10 - SET \"c\" => FAILED\n";
    let others = "1 \"\\x00k\" 1 2 SETNX \"a\" => 1\n1 \"\\x00k\" 3 4 CAS \"a\" \"5\" => OK\n1 \"\\x00k\" 5 6 \
                  INCRBY -7 => -2\n2 \"\\x00k\" 1 9 APPEND \"x\" => 1\n2 \"\\x00k\" 10 11 GETSET \"y\" => NIL\n\
                  2 \"\\x00k\" 12 13 GETDEL => \"y\"\n2 \"\\x00k\" 14 15 DEL => 0\n2 \"\\x00k\" 16 17 STRLEN => 0\n";
    let text = |body: &str| format!("synod-history 1\n# comment\n\n{body}").into_bytes();
    vec![text(registers), text(others), text("1 \"k\" 1 2 INCRBY 1 => REFUSED\n1 \"k\" 3 4 EXISTS => 1\n")]
}
