//! The batched confirm (docs/design/batched-confirm.md), alone and beside range promises: random schedules of three and five members with
//! several keys, and planted faults that prove that each part of the rule is needed. The checkers know every entry that was ever
//! chosen or shown, and judge each read by them.
//!
//! PAXOS_MODEL_SEEDS says how many seeds to run instead of the default.

use crate::cluster::plays::{a_digest_is_late, a_former_start_is_heard_late};
use crate::cluster::{hunt_all, play, seeds, Counts, Fault, Plan};

const PLAN: Plan = Plan { members: 3, grants: false, confirms: true, fault: Fault::None };
const SEEDS: u64 = 1_500;

fn assert_reached(counts: &Counts) {
    assert!(counts.confirmed > 100 && counts.absent > 10 && counts.suspects > 100, "{counts:?}");
    assert!(counts.overflows > 10 && counts.copies > 100 && counts.drops > 100, "{counts:?}");
    assert!(counts.crashes > 100 && counts.returns > 100 && counts.acked > 100, "{counts:?}");
}

#[test]
fn three_members_confirm_reads() {
    assert_reached(&play(PLAN, seeds(SEEDS)));
}

#[test]
fn five_members_confirm_reads() {
    assert_reached(&play(Plan { members: 5, ..PLAN }, seeds(SEEDS / 2)));
}

#[test]
fn confirmed_reads_beside_promised_slots() {
    let counts = play(Plan { grants: true, ..PLAN }, seeds(SEEDS / 2));
    assert_reached(&counts);
    assert!(counts.one_trip > 100 && counts.of_absent > 100 && counts.counted > 100, "{counts:?}");
}

#[test]
fn parts_of_the_rule_are_needed() {
    let planted = [
        (Fault::SuspectsForgotten, 62),
        (Fault::UnchosenServed, 3),
        (Fault::OldAnswer, 698),
        (Fault::FormerStartAnswers, 5_173),
        (Fault::OwnNotCounted, 69),
        (Fault::CountedBeforeDurable, 8_805),
        (Fault::CounterReadLater, 1_014),
        (Fault::OverflowIgnored, 852),
        (Fault::RestartIgnored, 464),
        (Fault::KeysChanged, 775),
        (Fault::LearnerConfirms, 518),
    ];
    hunt_all(PLAN, &planted);
    // Of three members one answer is the least there can be.
    hunt_all(Plan { members: 5, ..PLAN }, &[(Fault::ConfirmedByMinority, 669)]);
}

#[test]
fn what_a_former_start_of_the_asker_sent_is_counted() {
    assert_eq!(a_former_start_is_heard_late(Fault::None), Ok(()));
    let what = a_former_start_is_heard_late(Fault::FormerStartNotForeign).expect_err("it is foreign");
    assert!(what.contains("returned Log([])"), "{what}");
}

#[test]
fn a_digest_from_before_the_common_place_does_not_count() {
    assert_eq!(a_digest_is_late(Fault::None), Ok(()));
    let what = a_digest_is_late(Fault::EarlyDigest).expect_err("what was counted in between was never told");
    assert!(what.contains("returned Log([])"), "{what}");
}
