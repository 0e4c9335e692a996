//! The range promise (docs/design/range-promise.md): random schedules of three and five members with several keys, and planted faults
//! that prove that each part of the rule is needed.
//!
//! PAXOS_MODEL_SEEDS says how many seeds to run instead of the default.

use crate::cluster::plays::a_range_promise_outlives_its_log;
use crate::cluster::{hunt_all, play, seeds, Counts, Fault, Plan};

const PLAN: Plan = Plan { members: 3, grants: true, confirms: false, fault: Fault::None };
const SEEDS: u64 = 1_500;

fn assert_reached(counts: &Counts) {
    assert!(counts.one_trip > 100 && counts.of_absent > 100, "{counts:?}");
    assert!(counts.acked > counts.one_trip && counts.reads > 100 && counts.copies > 100, "{counts:?}");
    assert!(counts.crashes > 100 && counts.returns > 100 && counts.drops > 100, "{counts:?}");
}

#[test]
fn three_members_promise_whole_slots() {
    assert_reached(&play(PLAN, seeds(SEEDS)));
}

#[test]
fn five_members_promise_whole_slots() {
    assert_reached(&play(Plan { members: 5, ..PLAN }, seeds(SEEDS / 2)));
}

#[test]
fn parts_of_the_rule_are_needed() {
    let planted = [
        (Fault::GrantedEarly, 247),
        (Fault::ListedEarly, 498),
        (Fault::NewerIgnored, 5),
        (Fault::GrantedByMinority, 2),
        (Fault::AbsentNotCovered, 58),
        (Fault::OwnBallotsNotBound, 100),
        (Fault::SlotPromiseLowered, 373),
        (Fault::UsedAfterRestart, 28),
        (Fault::FloorIgnored, 548),
        (Fault::LearnerGrants, 251),
        (Fault::FormerLifeFree, 30_238),
        (Fault::CopyUnproven, 200),
    ];
    hunt_all(PLAN, &planted);
    hunt_all(Plan { confirms: true, ..PLAN }, &[(Fault::CountedEarly, 491)]);
}

#[test]
fn a_range_promise_of_a_former_life_binds_the_new_one() {
    assert_eq!(a_range_promise_outlives_its_log(Fault::None), Ok(()));
    let what = a_range_promise_outlives_its_log(Fault::FormerLifeFree).expect_err("the bar is needed");
    assert!(what.contains("undoes"), "{what}");
}
