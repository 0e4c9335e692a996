//! The recorder and the text of a history.

use crate::generate;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use synod_bench::history::{Command, History, Outcome, Reply};

#[test]
fn text_says_everything() {
    for seed in 0..50 {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = generate::Shape { clients: 3, operations_each: 20, unknown_percent: 10 };
        let mut history = generate::history(&mut random, shape, &mut generate::anything, &[], &[]);
        for operation in &mut history.operations {
            operation.key = (0..5).map(|_| random.random_range(0..=255)).collect();
            if operation.outcome == Outcome::Unknown && random.random_range(0..2) == 0 {
                operation.outcome = Outcome::Failed;
            }
        }
        assert_eq!(History::from_text(&history.to_text()), Ok(history));
    }
}

#[test]
fn the_text_is_the_documented_one() {
    let mut history = History::new();
    let set = history.call(3, b"k1", Command::Set(b"v \"1\"".to_vec()), 100);
    let increment = history.call(4, b"k1", Command::IncrBy(1), 300);
    let delete = history.call(5, b"k1", Command::Del, 310);
    history.replied(set, 250, Reply::Ok, Some(7));
    history.failed(delete);
    assert_eq!(increment.0, 1);
    let expected = "synod-history 1\n# client key call return command => reply [@version]\n\
                    3 \"k1\" 100 250 SET \"v \\x221\\x22\" => OK @7\n\
                    4 \"k1\" 300 - INCRBY 1 => ?\n\
                    5 \"k1\" 310 - DEL => FAILED\n";
    assert_eq!(history.to_text(), expected);
}

#[test]
fn odd_lines_are_refused_with_their_number() {
    let table = [
        ("x \"k\" 1 2 GET => NIL", "the client is a number"),
        ("1 k 1 2 GET => NIL", "the key stands in quotes"),
        ("1 \"k 1 2 GET => NIL", "a quote without its end"),
        ("1 \"\\k\" 1 2 GET => NIL", "an escape other than \\xNN"),
        ("1 \"\\xé\" 1 2 GET => NIL", "an escape other than \\xNN"),
        ("1 \"k\" 1 2 FLY => NIL", "an unknown command"),
        ("1 \"k\" 1 2 SET => NIL", "the command needs a value in quotes"),
        ("1 \"k\" 1 2 GET NIL", "=> stands before the reply"),
        ("1 \"k\" 1 2 GET =>", "a reply is missing"),
        ("1 \"k\" 1 2 GET => MAYBE", "an unknown reply"),
        ("1 \"k\" 2 1 GET => NIL", "a return before its call"),
        ("1 \"k\" 1 - GET => NIL", "a reply has a time of return"),
        ("1 \"k\" 1 2 GET => ?", "? and FAILED have no time of return"),
        ("1 \"k\" 1 2 GET => NIL 7", "after the reply only @version may stand"),
        ("1 \"k\" 1 2 GET => NIL @7 8", "after the version nothing may stand"),
    ];
    for (line, text) in table {
        let error = History::from_text(&format!("synod-history 1\n\n{line}\n")).unwrap_err();
        assert_eq!((error.line, error.text), (3, text), "{line}");
    }
    assert_eq!(History::from_text("").unwrap_err().line, 1);
}

#[test]
#[should_panic(expected = "two outcomes")]
fn an_operation_ends_once() {
    let mut history = History::new();
    let id = history.call(1, b"k", Command::Get, 1);
    history.failed(id);
    history.failed(id);
}
