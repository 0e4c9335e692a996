//! The checks of histories find what is wrong, and nothing else.

use sim::order::{check, check_swaps, Swap};
use synod_bench::history::{Command, Operation, Outcome, Reply};

fn operation(call: u64, command: Command, outcome: Outcome) -> Operation {
    Operation { client: 0, key: b"a".to_vec(), call, command, outcome, version: None }
}

fn told(at: u64, reply: Reply) -> Outcome {
    Outcome::Replied { at, reply }
}

#[test]
fn appended_keys_are_judged_by_the_chosen_text() {
    let append = |token: &str| Command::Append(token.as_bytes().to_vec());
    let value = |text: &str| Reply::Value(text.as_bytes().to_vec());
    let text = b"00000001000000020000000300000004";
    // What happened, and whether it is possible.
    let table: Vec<(Vec<Operation>, bool)> = vec![
        (vec![operation(1, append("00000001"), told(2, Reply::Int(8)))], true),
        (vec![operation(1, append("00000002"), told(2, Reply::Int(8)))], false),
        (vec![operation(1, append("00000009"), Outcome::Unknown)], true),
        (vec![operation(1, append("00000001"), Outcome::Failed)], false),
        (vec![operation(1, append("00000009"), told(2, Reply::Int(8)))], false),
        (vec![operation(1, Command::Get, told(2, value("00000001")))], true),
        (vec![operation(1, Command::Get, told(2, value("00000002")))], false),
        // A read that misses what was acknowledged before it was called.
        (
            vec![
                operation(1, append("00000002"), told(2, Reply::Int(16))),
                operation(3, Command::Get, told(4, value("00000001"))),
            ],
            false,
        ),
        // The same, at once.
        (
            vec![
                operation(1, append("00000002"), told(4, Reply::Int(16))),
                operation(3, Command::Get, told(4, value("00000001"))),
            ],
            true,
        ),
        // A write that comes before what was seen earlier.
        (
            vec![
                operation(1, Command::Strlen, told(2, Reply::Int(24))),
                operation(3, append("00000002"), told(4, Reply::Int(16))),
            ],
            false,
        ),
    ];
    for (index, (operations, possible)) in table.iter().enumerate() {
        let operations: Vec<&Operation> = operations.iter().collect();
        assert_eq!(check(b"a", &operations, text).is_ok(), *possible, "row {index}");
    }
}

#[test]
fn swaps_replace_what_they_name() {
    let swap = |expected, version| Swap { key: b"v".to_vec(), expected, version };
    let table = [
        (vec![swap(0, 5), swap(5, 9), swap(9, 12)], true),
        // A SETV whose outcome is unknown made 7.
        (vec![swap(0, 5), swap(7, 9)], true),
        (vec![swap(0, 5), swap(0, 9)], false),
        (vec![swap(5, 9), swap(5, 12)], false),
    ];
    for (swaps, possible) in table {
        assert_eq!(check_swaps(&swaps).is_ok(), possible, "{swaps:?}");
    }
}
