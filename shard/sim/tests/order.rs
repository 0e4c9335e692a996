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
    // Each at its own time: the first from 10 to 12, the second from 20 to 22.
    type Versions = (u64, u64);
    type Clear = (u64, Outcome);
    type Line<'a> = (&'a [Versions], &'a [Clear], bool);
    let ok = |at| told(at, Reply::Ok);
    let table: [Line; 13] = [
        (&[(0, 5), (5, 9), (9, 12)], &[], true),
        // A SETV whose outcome is unknown made 7.
        (&[(0, 5), (7, 9)], &[], true),
        (&[(0, 5), (0, 9)], &[], false),
        (&[(5, 9), (5, 12)], &[], false),
        // A flush lies between them, or may.
        (&[(0, 5), (0, 9)], &[(14, ok(16))], true),
        (&[(0, 5), (0, 9)], &[(22, ok(30))], true),
        (&[(0, 5), (0, 9)], &[(1, ok(10))], true),
        (&[(0, 5), (0, 9)], &[(1, Outcome::Unknown)], true),
        // None can.
        (&[(0, 5), (0, 9)], &[(1, ok(9)), (23, ok(30))], false),
        (&[(0, 5), (0, 9)], &[(14, Outcome::Failed)], false),
        (&[(0, 5), (0, 9), (0, 12)], &[(14, ok(16))], false),
        // What was emptied has no version that could be named.
        (&[(5, 9), (5, 12)], &[(14, ok(16))], false),
        (&[(5, 9), (7, 12)], &[(14, ok(16))], false),
    ];
    for (index, (versions, clears, possible)) in table.into_iter().enumerate() {
        let swaps: Vec<Swap> = (1..)
            .zip(versions)
            .map(|(place, (expected, version))| Swap {
                key: b"a".to_vec(),
                expected: *expected,
                version: *version,
                call: 10 * place,
                returned: 10 * place + 2,
            })
            .collect();
        let clear = |(call, outcome): &Clear| operation(*call, Command::Clear, outcome.clone());
        let mut history: Vec<Operation> = clears.iter().map(clear).collect();
        assert_eq!(check_swaps(&swaps, &history).is_ok(), possible, "row {index}");
        // A flush of another slice is none of this key.
        history.iter_mut().for_each(|one| one.key = b"b".to_vec());
        assert_eq!(
            check_swaps(&swaps, &history).is_ok(),
            possible && clears.is_empty(),
            "row {index}, another"
        );
    }
}
