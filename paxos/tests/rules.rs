//! Rules that were broken once: each test is the shortest sequence that shows the fault.

use paxos::limits::{PENDING_MAX, WITHHELD_MAX};
use paxos::{AcceptorState, Ballot, Entry, Instance, Lost, Members, Message, Output, ReadOutcome, Report};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl Entry for Word {
    fn agrees(&self, other: &Word) -> bool {
        self == other
    }
}

type Out = Vec<Output<Word>>;

fn b(round: u64, node: u32) -> Ballot {
    Ballot::new(round, node, 1)
}

fn three() -> Members {
    Members::new(3).expect("three is a member count")
}

fn fresh() -> Instance<Word> {
    Instance::new(0, three(), AcceptorState::default(), None)
}

fn holding(accepted: Ballot, entry: &'static str) -> Instance<Word> {
    let state = AcceptorState { accepted, promised: accepted.succ(), ..AcceptorState::default() };
    Instance::new(0, three(), state, Some(Word(entry)))
}

fn report(accepted: Ballot, chosen_to: Ballot, entry: Option<&'static str>) -> Report<Word> {
    Report { accepted, chosen_to, taken_over: false, entry: entry.map(Word) }
}

fn receive(instance: &mut Instance<Word>, from: u8, message: Message<Word>) -> Out {
    let mut out = Vec::new();
    instance.receive(from, message, Ballot::ZERO, &mut out);
    out
}

fn persist_all(instance: &mut Instance<Word>) -> Out {
    let mut out = Vec::new();
    instance.persisted(u64::MAX, &mut out);
    out
}

fn losses(out: &[Output<Word>]) -> Vec<Lost> {
    out.iter().filter_map(|output| if let Output::Lost(lost) = output { Some(*lost) } else { None }).collect()
}

#[test]
fn a_fast_proposal_that_is_refused_here_says_that_it_is_lost() {
    let mut instance = holding(b(1, 0), "a");
    instance.learn_chosen(b(1, 0));
    receive(&mut instance, 1, Message::Prepare { ballot: b(5, 1), holds: Ballot::ZERO });
    let mut out = Vec::new();
    assert!(!instance.propose(Word("b"), Ballot::ZERO, &mut out));
    assert_eq!(out, [Output::Lost(Lost { ballot: b(2, 0), accept_sent: false, rival: b(5, 1) })]);
}

#[test]
fn a_granted_ballot_carries_one_entry() {
    // Not known to be chosen: it is extended, and not named as the base.
    let mut instance = holding(b(1, 1), "a");
    let mut out = Vec::new();
    assert!(instance.propose_granted(b(5, 0), Word("b"), Ballot::ZERO, &mut out));
    let accept = Message::Accept { ballot: b(5, 0), base: Ballot::ZERO, entry: Word("b") };
    assert!(out.contains(&Output::Send { to: 1, message: accept }));
    instance.abandon();
    out.clear();
    assert!(!instance.propose_granted(b(5, 0), Word("c"), Ballot::ZERO, &mut out));
    assert_eq!(out, [Output::Lost(Lost { ballot: b(5, 0), accept_sent: false, rival: b(6, 0) })]);
    // The floor binds where nothing is held, and a higher promise everywhere.
    assert!(!fresh().propose_granted(b(5, 0), Word("d"), b(5, 0), &mut out));
    let mut promised = fresh();
    receive(&mut promised, 1, Message::Prepare { ballot: b(5, 1), holds: Ballot::ZERO });
    assert!(!promised.propose_granted(b(5, 0), Word("e"), Ballot::ZERO, &mut out));
    // A base that is known to be chosen is named.
    let mut known = holding(b(1, 1), "a");
    known.learn_chosen(b(1, 1));
    out.clear();
    assert!(known.propose_granted(b(5, 0), Word("f"), Ballot::ZERO, &mut out));
    let accept = Message::Accept { ballot: b(5, 0), base: b(1, 1), entry: Word("f") };
    assert!(out.contains(&Output::Send { to: 2, message: accept }));
}

#[test]
fn the_pre_authorised_ballot_may_be_prepared() {
    // The round after the own record is the natural fresh round; the own accept promised that very ballot already.
    let mut instance = holding(b(1, 0), "a");
    let mut out = Vec::new();
    instance.prepare(b(2, 0), Ballot::ZERO, &mut out);
    assert!(losses(&out).is_empty());
    receive(
        &mut instance,
        1,
        Message::Promise { ballot: b(2, 0), report: report(b(1, 0), Ballot::ZERO, None) },
    );
    let out = persist_all(&mut instance);
    assert!(matches!(out.as_slice(), [Output::Prepared { found: Some(found) }] if found.chosen), "{out:?}");
}

#[test]
fn two_peers_behind_the_own_record_are_not_the_end_of_phase_1() {
    // Both peers leave out what the proposer holds; they hold less. Its own promise, still on its way to disk, settles it.
    let mut instance = holding(b(4, 0), "new");
    instance.prepare(b(9, 0), Ballot::ZERO, &mut Vec::new());
    for peer in [1, 2] {
        let promise = Message::Promise { ballot: b(9, 0), report: report(b(2, 1), Ballot::ZERO, None) };
        assert!(receive(&mut instance, peer, promise).is_empty());
    }
    let out = persist_all(&mut instance);
    let [Output::Prepared { found: Some(found) }] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!((found.ballot, &found.entry, found.chosen), (b(4, 0), &Word("new"), false));
}

#[test]
fn ballot_zero_from_outside_is_refused_not_a_panic() {
    for mut instance in [fresh(), holding(b(1, 0), "a")] {
        let before = instance.state();
        let messages = [
            Message::Prepare { ballot: Ballot::ZERO, holds: Ballot::ZERO },
            Message::Accept { ballot: Ballot::ZERO, base: Ballot::ZERO, entry: Word("x") },
            Message::Restamp { ballot: Ballot::ZERO, of: Ballot::ZERO },
        ];
        for message in messages {
            let out = receive(&mut instance, 1, message);
            let [Output::Send { to: 1, message: Message::Reject { .. } }] = out.as_slice() else {
                panic!("{out:?}")
            };
        }
        assert_eq!(instance.state(), before);
    }
}

#[test]
fn a_vote_is_not_undone_by_a_late_refusal() {
    let mut instance = fresh();
    instance.prepare(b(1, 0), Ballot::ZERO, &mut Vec::new());
    receive(
        &mut instance,
        1,
        Message::Promise { ballot: b(1, 0), report: report(Ballot::ZERO, Ballot::ZERO, None) },
    );
    persist_all(&mut instance);
    assert!(instance.propose(Word("a"), Ballot::ZERO, &mut Vec::new()));
    // Member 1 votes, then a repeated Accept meets the promise it has made since; member 2 refuses at once.
    receive(&mut instance, 1, Message::Accepted { ballot: b(1, 0) });
    for (peer, round) in [(1, 8), (2, 5)] {
        let reject = Message::Reject {
            ballot: b(1, 0),
            promised: b(round, 2),
            accepted: Ballot::ZERO,
            chosen_to: Ballot::ZERO,
            floor: Ballot::ZERO,
        };
        assert!(losses(&receive(&mut instance, peer, reject)).is_empty());
    }
    assert_eq!(persist_all(&mut instance), [Output::Chosen { ballot: b(1, 0) }]);
}

#[test]
fn the_rival_of_a_lost_ballot_is_the_highest_that_was_named() {
    let mut instance = fresh();
    instance.prepare(b(1, 0), Ballot::ZERO, &mut Vec::new());
    let mut lost = Vec::new();
    for (peer, round) in [(1, 8), (2, 5)] {
        let reject = Message::Reject {
            ballot: b(1, 0),
            promised: b(round, 2),
            accepted: Ballot::ZERO,
            chosen_to: Ballot::ZERO,
            floor: Ballot::ZERO,
        };
        lost.extend(losses(&receive(&mut instance, peer, reject)));
    }
    assert_eq!(lost, [Lost { ballot: b(1, 0), accept_sent: false, rival: b(8, 2) }]);
}

#[test]
fn a_chosen_record_that_is_not_taken_over_leaves_no_trace() {
    // A tombstone that is dropped everywhere else: the floor bars the copy. Remembering that it is chosen would make every
    // later phase 1 wait for a record that nobody has any more.
    let floor = Ballot::new(7, u32::MAX, u32::MAX);
    let mut instance = fresh();
    let mut out = Vec::new();
    instance.query(1, &mut out);
    out.clear();
    let state = Message::State { id: 1, report: report(b(3, 1), b(3, 1), Some("tombstone")) };
    instance.receive(1, state, floor, &mut out);
    let [Output::Read { outcome: ReadOutcome::Remote { ballot, entry }, .. }] = out.as_slice() else {
        panic!("{out:?}")
    };
    instance.take_over(*ballot, entry.clone(), floor, &mut Vec::new());
    assert_eq!(instance.state(), AcceptorState::default());
    let mut out = Vec::new();
    instance.prepare(b(8, 0), floor, &mut out);
    let absent = Message::Promise { ballot: b(8, 0), report: report(Ballot::ZERO, Ballot::ZERO, None) };
    instance.receive(2, absent, floor, &mut out);
    assert!(persist_all(&mut instance).contains(&Output::Prepared { found: None }));
}

#[test]
fn what_waits_for_a_stalled_disk_is_bounded() {
    let mut instance = fresh();
    let (mut persists, mut round) = (0, 0);
    for _ in 0..10 * PENDING_MAX {
        round += 1;
        let prepare = Message::Prepare { ballot: b(round, 1), holds: Ballot::ZERO };
        persists += receive(&mut instance, 1, prepare).len();
    }
    assert_eq!(persists, PENDING_MAX);
    let mut instance = fresh();
    receive(&mut instance, 1, Message::Prepare { ballot: b(1000, 1), holds: Ballot::ZERO });
    for round in 1..10 * u64::try_from(WITHHELD_MAX).expect("small") {
        for _ in 0..3 {
            receive(&mut instance, 2, Message::Prepare { ballot: b(round, 2), holds: Ballot::ZERO });
        }
    }
    let out = persist_all(&mut instance);
    assert_eq!(out.len(), WITHHELD_MAX);
    assert!(matches!(out[0], Output::Send { to: 1, message: Message::Promise { .. } }));
}

#[test]
fn a_repeated_request_is_answered_once_when_the_disk_comes_back() {
    let mut instance = fresh();
    for _ in 0..5 {
        receive(&mut instance, 1, Message::Accept { ballot: b(1, 1), base: Ballot::ZERO, entry: Word("a") });
    }
    let answer = Message::Accepted { ballot: b(1, 1) };
    assert_eq!(persist_all(&mut instance), [Output::Send { to: 1, message: answer }]);
}

#[test]
fn a_read_is_told_before_anything_that_makes_the_caller_go_on() {
    // The caller answers the read from `entry()`. If it hears of Chosen or Prepared first, it proposes the next entry, and what it
    // then finds there is not chosen.
    let mut instance = fresh();
    instance.prepare(b(1, 0), Ballot::ZERO, &mut Vec::new());
    receive(
        &mut instance,
        1,
        Message::Promise { ballot: b(1, 0), report: report(Ballot::ZERO, Ballot::ZERO, None) },
    );
    persist_all(&mut instance);
    assert!(instance.propose(Word("a"), Ballot::ZERO, &mut Vec::new()));
    instance.query(7, &mut Vec::new());
    receive(&mut instance, 1, Message::State { id: 7, report: report(Ballot::ZERO, Ballot::ZERO, None) });
    receive(&mut instance, 1, Message::Accepted { ballot: b(1, 0) });
    let out = persist_all(&mut instance);
    let local = ReadOutcome::Local { ballot: b(1, 0) };
    assert_eq!(out, [Output::Read { id: 7, outcome: local.clone() }, Output::Chosen { ballot: b(1, 0) }]);

    // The same with a promise of the own that completes phase 1 when the own record becomes durable.
    let mut instance = fresh();
    let accept = Message::Accept { ballot: b(1, 1), base: Ballot::ZERO, entry: Word("a") };
    receive(&mut instance, 1, accept);
    instance.prepare(b(3, 0), Ballot::ZERO, &mut Vec::new());
    receive(
        &mut instance,
        1,
        Message::Promise { ballot: b(3, 0), report: report(b(1, 1), Ballot::ZERO, None) },
    );
    instance.query(8, &mut Vec::new());
    receive(&mut instance, 1, Message::State { id: 8, report: report(b(1, 1), Ballot::ZERO, None) });
    let out = persist_all(&mut instance);
    let place = |wanted: fn(&Output<Word>) -> bool| out.iter().position(wanted);
    let read = place(|output| matches!(output, Output::Read { outcome: ReadOutcome::Local { .. }, .. }));
    let prepared = place(|output| matches!(output, Output::Prepared { .. }));
    assert!(read.is_some() && read < prepared, "{out:?}");
}
