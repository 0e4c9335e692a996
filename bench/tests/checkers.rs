//! The checkers: good histories pass, planted anomalies are all found, and each checker agrees with a dumber
//! one.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use synod_bench::check::{self, model, search, witness, zone, Indexed, Verdict};
use synod_bench::history::{Command, History, Operation, Outcome, Reply};

use crate::generate::{self, Shape};

const ROUNDS: u64 = 1_000;

fn indexed(history: &History) -> Vec<Indexed<'_>> {
    history.operations.iter().enumerate().map(|(index, operation)| Indexed { index, operation }).collect()
}

fn is_good(history: &History) -> bool {
    check::check(history).is_linearizable()
}

#[test]
fn good_registers_pass_all_checkers() {
    for seed in 0..ROUNDS {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape { clients: 5, operations_each: 30, unknown_percent: 5 };
        let history = generate::history(&mut random, shape, &mut generate::register, &[], &[]);
        let operations = indexed(&history);
        assert_eq!(
            zone::check(&operations),
            Some(Verdict::Linearizable),
            "seed {seed}\n{}",
            history.to_text()
        );
        assert_eq!(search::check(&operations), Verdict::Linearizable, "seed {seed}\n{}", history.to_text());
        assert_eq!(witness::check(&operations), None, "seed {seed}\n{}", history.to_text());
    }
}

#[test]
fn good_histories_of_any_commands_pass() {
    for seed in 0..ROUNDS {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape { clients: 5, operations_each: 30, unknown_percent: 2 };
        let mut history = generate::history(&mut random, shape, &mut generate::anything, &[], &[]);
        for operation in &mut history.operations {
            // The generator counts a refused condition as a change.
            operation.version = None;
        }
        let summary = check::check(&history);
        assert!(summary.is_linearizable(), "seed {seed}\n{}{}", summary.to_text(&history), history.to_text());
    }
}

/// Draws until `plant` makes something of a history, 1,000 times, and wants every one found and its original
/// passed.
fn plant(shape: Shape, plant: impl Fn(&mut SmallRng, Shape, u64) -> Option<(History, History)>) {
    let (mut planted, mut seed) = (0, 0);
    while planted < ROUNDS {
        seed += 1;
        assert!(seed < ROUNDS * 100, "only {planted} anomalies could be planted");
        let mut random = SmallRng::seed_from_u64(seed);
        let Some((good, bad)) = plant(&mut random, shape, seed) else { continue };
        assert!(is_good(&good), "seed {seed}, before planting\n{}", good.to_text());
        let summary = check::check(&bad);
        assert_eq!(summary.violations.len(), 1, "seed {seed}: not found\n{}", bad.to_text());
        assert!(!summary.violations[0].evidence.operations.is_empty());
        planted += 1;
    }
}

const FEW: Shape = Shape { clients: 4, operations_each: 15, unknown_percent: 4 };

/// A good history without versions: the zones and the search must do without.
fn good(
    random: &mut SmallRng,
    shape: Shape,
    command: &mut dyn FnMut(&mut SmallRng, u32, u32) -> Command,
) -> History {
    without_versions(generate::history(random, shape, command, &[], &[]))
}

fn without_versions(mut history: History) -> History {
    for operation in &mut history.operations {
        operation.version = None;
    }
    history
}

fn over_before(a: &Operation, b: &Operation) -> bool {
    a.returned().is_some_and(|at| at < b.call)
}

fn writes(history: &History) -> Vec<&Operation> {
    history
        .operations
        .iter()
        .filter(|o| matches!(o.command, Command::Set(_)) && o.returned().is_some())
        .collect()
}

fn value(operation: &Operation) -> Vec<u8> {
    match &operation.command {
        Command::Set(value) => value.clone(),
        other => panic!("{other:?} writes no value of its own"),
    }
}

fn tell(history: &mut History, at: usize, told: Reply) {
    match &mut history.operations[at].outcome {
        Outcome::Replied { reply, .. } => *reply = told,
        other => panic!("{other:?} has no reply"),
    }
}

fn pick<T>(random: &mut SmallRng, from: Vec<T>) -> Option<T> {
    let at = random.random_range(0..from.len().max(1));
    from.into_iter().nth(at)
}

#[test]
fn stale_reads_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::register);
        let mut choices = Vec::new();
        for (at, read) in good.operations.iter().enumerate() {
            if read.command != Command::Get || read.reply().is_none() {
                continue;
            }
            let over: Vec<&Operation> = writes(&good).into_iter().filter(|w| over_before(w, read)).collect();
            for old in &over {
                if over.iter().any(|new| over_before(old, new)) {
                    choices.push((at, value(old)));
                }
            }
        }
        let (at, stale) = pick(random, choices)?;
        let mut bad = good.clone();
        tell(&mut bad, at, Reply::Value(stale));
        Some((good, bad))
    });
}

#[test]
fn lost_writes_are_found() {
    plant(FEW, |random, shape, seed| {
        let good = good(random, shape, &mut generate::register);
        let lost = random.random_range(0..good.operations.len());
        let mut again = SmallRng::seed_from_u64(seed);
        let bad =
            without_versions(generate::history(&mut again, shape, &mut generate::register, &[lost], &[]));
        let write = &bad.operations[lost];
        // An anomaly for certain: a later read saw what was there, for certain, before the lost write.
        let before = |value: &[u8]| {
            writes(&bad)
                .into_iter()
                .any(|w| w.command == Command::Set(value.to_vec()) && over_before(w, write))
        };
        let shows = bad.operations.iter().any(|read| {
            over_before(write, read)
                && match read.reply() {
                    Some(Reply::Value(seen)) => read.command == Command::Get && before(seen),
                    Some(Reply::Nil) => true,
                    _ => false,
                }
        });
        let is_write = matches!(write.command, Command::Set(_)) && write.returned().is_some();
        (is_write && shows).then_some((good, bad))
    });
}

#[test]
fn duplicate_applies_are_found() {
    let shape = Shape { unknown_percent: 0, ..FEW };
    plant(shape, |random, shape, seed| {
        let good = good(random, shape, &mut generate::counter);
        let twice = random.random_range(0..good.operations.len());
        let mut again = SmallRng::seed_from_u64(seed);
        let bad =
            without_versions(generate::history(&mut again, shape, &mut generate::counter, &[], &[twice]));
        // An anomaly for certain: a later reply counts more than were ever called.
        (good != bad).then_some((good, bad))
    });
}

#[test]
fn a_write_applied_again_is_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::register);
        let mut choices = Vec::new();
        for first in writes(&good) {
            for second in writes(&good) {
                let reads = good.operations.iter().enumerate();
                let reads = reads.filter(|(_, r)| r.command == Command::Get && r.reply().is_some());
                let reads: Vec<usize> =
                    reads.filter(|(_, r)| over_before(second, r)).map(|(at, _)| at).collect();
                if over_before(first, second) && !reads.is_empty() {
                    choices.push((reads, value(first)));
                }
            }
        }
        let (reads, again) = pick(random, choices)?;
        let mut bad = good.clone();
        for at in reads {
            tell(&mut bad, at, Reply::Value(again.clone()));
        }
        Some((good, bad))
    });
}

#[test]
fn reordered_increments_are_found() {
    let shape = Shape { unknown_percent: 0, ..FEW };
    plant(shape, |random, shape, _| {
        let good = good(random, shape, &mut generate::counter);
        let increments: Vec<usize> = (0..good.operations.len())
            .filter(|&at| good.operations[at].command == Command::IncrBy(1))
            .collect();
        let mut choices = Vec::new();
        for &a in &increments {
            choices.extend(
                increments
                    .iter()
                    .filter(|&&b| over_before(&good.operations[a], &good.operations[b]))
                    .map(|&b| (a, b)),
            );
        }
        let (a, b) = pick(random, choices)?;
        let (reply_a, reply_b) = (good.operations[a].reply()?.clone(), good.operations[b].reply()?.clone());
        let mut bad = good.clone();
        tell(&mut bad, a, reply_b);
        tell(&mut bad, b, reply_a);
        Some((good, bad))
    });
}

#[test]
fn reordered_reads_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::register);
        let reads: Vec<(usize, Vec<u8>)> = good
            .operations
            .iter()
            .enumerate()
            .filter_map(|(at, o)| match o.reply() {
                Some(Reply::Value(value)) => Some((at, value.clone())),
                _ => None,
            })
            .collect();
        let of = |value: &[u8]| writes(&good).into_iter().find(|w| w.command == Command::Set(value.to_vec()));
        let mut choices = Vec::new();
        for (a, old) in &reads {
            for (b, new) in &reads {
                let writes = of(old).zip(of(new));
                let in_order = over_before(&good.operations[*a], &good.operations[*b]);
                if in_order && writes.is_some_and(|(old, new)| over_before(old, new)) {
                    choices.push((*a, *b, old.clone(), new.clone()));
                }
            }
        }
        let (a, b, old, new) = pick(random, choices)?;
        let mut bad = good.clone();
        tell(&mut bad, a, Reply::Value(new));
        tell(&mut bad, b, Reply::Value(old));
        Some((good, bad))
    });
}

#[test]
fn wrong_versions_are_found() {
    plant(FEW, |random, shape, _| {
        let good = generate::history(random, shape, &mut generate::register, &[], &[]);
        let mut choices = Vec::new();
        for (a, first) in good.operations.iter().enumerate() {
            for (b, second) in good.operations.iter().enumerate() {
                if over_before(first, second) && second.version.is_some() && first.version < second.version {
                    choices.push((a, b));
                }
            }
        }
        let (a, b) = pick(random, choices)?;
        let mut bad = good.clone();
        let older = bad.operations[a].version?.checked_sub(1)?;
        bad.operations[b].version = Some(older);
        Some((good, bad))
    });
}

#[test]
fn values_that_nobody_wrote_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::register);
        let reads =
            |(at, o): (usize, &Operation)| (o.command == Command::Get && o.reply().is_some()).then_some(at);
        let at = pick(random, good.operations.iter().enumerate().filter_map(reads).collect())?;
        let mut bad = good.clone();
        tell(&mut bad, at, Reply::Value(b"never".to_vec()));
        Some((good, bad))
    });
}

#[test]
fn values_from_before_a_delete_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::deletes);
        let mut choices = Vec::new();
        for delete in good.operations.iter().filter(|o| o.command == Command::Del && o.reply().is_some()) {
            for write in writes(&good).into_iter().filter(|write| over_before(write, delete)) {
                let reads = good.operations.iter().enumerate();
                let reads = reads.filter(|(_, r)| r.command == Command::Get && r.reply().is_some());
                choices
                    .extend(reads.filter(|(_, r)| over_before(delete, r)).map(|(at, _)| (at, value(write))));
            }
        }
        let (at, deleted) = pick(random, choices)?;
        let mut bad = good.clone();
        tell(&mut bad, at, Reply::Value(deleted));
        Some((good, bad))
    });
}

#[test]
fn conditions_that_did_not_hold_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::conditional);
        let was_set = |value: &[u8], before: &Operation| {
            good.operations.iter().any(|o| match &o.command {
                Command::SetIfAbsent(new) | Command::CompareSet { value: new, .. } => {
                    new == value && o.reply() != Some(&Reply::Nil) && !over_before(before, o)
                }
                _ => false,
            })
        };
        // The value that it wants was never set, for certain, before it returned: it must have failed.
        let refused = |(at, o): (usize, &Operation)| match &o.command {
            Command::CompareSet { expected, .. } if o.reply() == Some(&Reply::Nil) => {
                (!was_set(expected, o)).then_some(at)
            }
            _ => None,
        };
        let at = pick(random, good.operations.iter().enumerate().filter_map(refused).collect())?;
        let mut bad = good.clone();
        tell(&mut bad, at, Reply::Ok);
        Some((good, bad))
    });
}

#[test]
fn two_that_both_were_first_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::conditional);
        let of = |reply: Reply| {
            let is = move |o: &Operation| {
                matches!(o.command, Command::SetIfAbsent(_)) && o.reply() == Some(&reply)
            };
            good.operations.iter().position(is)
        };
        // Nothing is deleted there, so one SETNX succeeds.
        of(Reply::Ok)?;
        let second = of(Reply::Nil)?;
        let mut bad = good.clone();
        tell(&mut bad, second, Reply::Ok);
        Some((good, bad))
    });
}

#[test]
fn failed_writes_that_show_are_found() {
    plant(FEW, |random, shape, _| {
        let good = good(random, shape, &mut generate::register);
        let seen = |write: &Operation| {
            let seen = Reply::Value(value(write));
            good.operations.iter().any(|read| read.reply() == Some(&seen))
        };
        let choices: Vec<Vec<u8>> =
            writes(&good).into_iter().filter(|write| seen(write)).map(value).collect();
        let shown = Command::Set(pick(random, choices)?);
        let mut bad = good.clone();
        for operation in bad.operations.iter_mut().filter(|o| o.command == shown) {
            operation.outcome = Outcome::Failed;
        }
        Some((good, bad))
    });
}

#[test]
fn readers_that_go_back_are_found() {
    plant(FEW, |random, shape, _| {
        // One write, unknown for good, and two readers one after the other: the second may not unsee it.
        let good = good(random, Shape { unknown_percent: 30, ..shape }, &mut generate::register);
        let unknown: Vec<&Operation> = good
            .operations
            .iter()
            .filter(|o| matches!(o.command, Command::Set(_)) && o.outcome == Outcome::Unknown)
            .collect();
        let mut choices = Vec::new();
        for write in unknown {
            let shown = Reply::Value(value(write));
            let first = good.operations.iter().find(|o| o.reply() == Some(&shown));
            let Some(first) = first else { continue };
            for (at, second) in good.operations.iter().enumerate() {
                let reads = second.command == Command::Get && second.reply().is_some();
                for old in writes(&good).into_iter().filter(|old| over_before(old, write)) {
                    if reads && over_before(first, second) {
                        choices.push((at, value(old)));
                    }
                }
            }
        }
        let (at, old) = pick(random, choices)?;
        let mut bad = good.clone();
        tell(&mut bad, at, Reply::Value(old));
        Some((good, bad))
    });
}

/// Tells lies at random, which may or may not be anomalies.
fn lie(random: &mut SmallRng, history: &mut History) {
    let replies: Vec<Reply> = history.operations.iter().filter_map(|o| o.reply().cloned()).collect();
    for at in 0..history.operations.len() {
        let operation = &history.operations[at];
        if operation.reply().is_some() && operation.command.is_read() && random.random_range(0..6) == 0 {
            if let Some(reply) = pick(random, replies.clone()) {
                if !matches!(reply, Reply::Ok) {
                    tell(history, at, reply);
                }
            }
        }
    }
}

#[test]
fn zones_and_search_agree_on_lies() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..3 * ROUNDS {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape { clients: 4, operations_each: 5, unknown_percent: 10 };
        let mut history = generate::history(&mut random, shape, &mut generate::register, &[], &[]);
        lie(&mut random, &mut history);
        let by_zones = zone::check(&indexed(&history)).expect("unique values, GET and SET");
        let by_search = search::check(&indexed(&history));
        let same = matches!(by_zones, Verdict::Linearizable) == matches!(by_search, Verdict::Linearizable);
        assert!(same, "seed {seed}: {by_zones:?} {by_search:?}\n{}", history.to_text());
        *if by_zones == Verdict::Linearizable { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 200 && bad > 200, "{good} good and {bad} bad histories try both answers");
}

/// Tries every order: the definition, word by word.
fn by_definition(history: &History) -> bool {
    fn extend(operations: &[Operation], taken: u32, state: &model::State) -> bool {
        let left = |at: usize| taken & (1 << at) == 0;
        if (0..operations.len()).all(|at| !left(at) || operations[at].returned().is_none()) {
            return true;
        }
        (0..operations.len()).filter(|&at| left(at)).any(|at| {
            let one = &operations[at];
            let first =
                (0..operations.len()).all(|other| !left(other) || !over_before(&operations[other], one));
            let (next, reply) = model::apply(state, &one.command);
            first
                && one.reply().is_none_or(|told| model::agrees(&one.command, &reply, told))
                && extend(operations, taken | (1 << at), &next)
        })
    }
    extend(&history.operations, 0, &None)
}

#[test]
fn the_search_agrees_with_the_definition() {
    // Where much is unknown there are many ways to explain a history, of which some stand for others.
    for (unknown_percent, flushes, least) in
        [(15, false, 200), (15, true, 200), (50, false, 100), (50, true, 100)]
    {
        let (mut good, mut bad) = (0, 0);
        for seed in 0..3 * ROUNDS {
            let mut random = SmallRng::seed_from_u64(seed);
            let shape = Shape { clients: 3, operations_each: 3, unknown_percent };
            let mut command = if flushes { generate::flushed } else { generate::anything };
            let mut history = generate::history(&mut random, shape, &mut command, &[], &[]);
            lie(&mut random, &mut history);
            let searched = search::check(&indexed(&history)) == Verdict::Linearizable;
            let said = || format!("seed {seed}, {unknown_percent} %\n{}", history.to_text());
            assert_eq!(searched, by_definition(&history), "{}", said());
            *if searched { &mut good } else { &mut bad } += 1;
        }
        assert!(good > least && bad > least, "{good} good and {bad} bad histories try both answers");
    }
}

#[test]
fn a_search_that_is_too_large_says_so() {
    let mut history = History::new();
    for client in 0..200 {
        history.call(client, b"k", Command::Append(client.to_string().into_bytes()), 1);
    }
    let summary = check::check(&history);
    assert!(!summary.is_linearizable() && summary.violations.is_empty());
    assert_eq!(summary.undecided.len(), 1);
}

#[test]
fn many_unknown_writes_cost_little() {
    let mut history = History::new();
    for n in 0..60u64 {
        history.call(1, b"count", Command::IncrBy(1), n * 10);
        history.call(1, b"value", Command::GetSet(format!("v{n}").into_bytes()), n * 10);
    }
    for n in 0..20u64 {
        let read = history.call(2, b"count", Command::Get, 1_000 + n * 10);
        history.replied(read, 1_005 + n * 10, Reply::Value(format!("{}", n + 20).into_bytes()), None);
    }
    let read = history.call(2, b"value", Command::Get, 2_000);
    history.replied(read, 2_005, Reply::Value(b"v7".to_vec()), None);
    assert!(is_good(&history));
}

#[test]
fn keys_are_judged_one_by_one() {
    let mut history = History::new();
    for key in [b"good", b"evil"] {
        let set = history.call(1, key, Command::Set(b"1".to_vec()), 10);
        history.replied(set, 20, Reply::Ok, None);
        let get = history.call(1, key, Command::Get, 30);
        let seen = if key == b"good" { Reply::Value(b"1".to_vec()) } else { Reply::Nil };
        history.replied(get, 40, seen, None);
    }
    let summary = check::check(&history);
    assert_eq!(summary.violations.len(), 1);
    assert_eq!(summary.violations[0].key, b"evil");
    let text = summary.to_text(&history);
    assert!(
        text.contains("1 \"evil\" 30 40 GET => NIL")
            && text.ends_with("verdict: NOT linearizable for 1 keys\n")
    );
}
