//! Log groups (docs/design/log-groups.md): state too large for a record, as a tree that chosen entries are applied to.
//!
//! The head, the newest entry, is an [`Instance`](paxos::Instance) like any other. What is modelled here stands behind it: entries that name
//! their base, trees that only chosen entries reach, flushes in no order with the log, trimming, and catching up by entries or by rows.
//! Random schedules of three and five members, with crashes, damaged trees, losses, repeats, and links that are cut. In the end all faults
//! stop, every request is answered, and all trees are equal. `PAXOS_GROUP_SEEDS`: how many seeds to run instead of the default.

mod checker;
mod grants;
mod member;
mod world;

use world::{schedule, Counts};

/// A rule left out, to prove that it is needed and that the checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The protocol as it is.
    None,
    /// An entry is applied when it is accepted.
    ApplyUndecided,
    /// What phase 1 found is extended without having been finished.
    ExtendUnfinished,
    /// The fast path extends the tree, without applying the head first.
    ExtendTreeAsItIs,
    /// A read is answered from the tree, without applying what it found first.
    ReadTreeAsItIs,
    /// Entries are dropped that no tree on disk has.
    TrimUnflushed,
    /// The head is given to who is behind, chosen or not.
    ServeUndecided,
    /// Entries are applied over a gap.
    SkipVersions,
    /// The rows that are sent come from the tree as it is at each time.
    RunOfTwoVersions,
    /// After a restart the head is applied like what is below it.
    RestartAppliesHead,
    /// Entries are found by their version, not by their name.
    OneSlotPerVersion,
    /// A retried command is applied without looking for its id.
    ApplyTwice,
    /// At a ballot that was promised for the whole slot the own head is extended, chosen or not.
    GrantExtendsUndecided,
}

const SEEDS: u64 = 6_000;

/// The rarest needs several members to have dropped what none of them has on disk.
const FAULT_SEEDS: u64 = 40_000;

fn seeds() -> u64 {
    let wanted = std::env::var("PAXOS_GROUP_SEEDS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(SEEDS)
}

fn run(members: u8) {
    let mut counts = Counts::default();
    for seed in 0..seeds() {
        if let Err(what) = schedule(seed, members, Mutation::None, &mut counts) {
            panic!("seed {seed}, {members} members: {what}");
        }
    }
    println!("{members} members, {} seeds: {counts:?}", seeds());
    let reached = [counts.crashes, counts.damages, counts.acked, counts.reads, counts.trims];
    assert!(reached.iter().all(|count| *count > 0), "{counts:?}");
    for what in ["lacks base", "learned", "ingested", "finished", "granted"] {
        assert!(counts.named.get(what).is_some_and(|count| *count > 0), "{what}: {counts:?}");
    }
}

#[test]
fn three_members() {
    run(3);
}

#[test]
fn five_members() {
    run(5);
}

#[test]
fn rules_left_out_are_found() {
    let left_out = [
        Mutation::ApplyUndecided,
        Mutation::ExtendUnfinished,
        Mutation::ExtendTreeAsItIs,
        Mutation::ReadTreeAsItIs,
        Mutation::TrimUnflushed,
        Mutation::ServeUndecided,
        Mutation::SkipVersions,
        Mutation::RunOfTwoVersions,
        Mutation::RestartAppliesHead,
        Mutation::OneSlotPerVersion,
        Mutation::ApplyTwice,
        Mutation::GrantExtendsUndecided,
    ];
    let mut counts = Counts::default();
    for mutation in left_out {
        let found =
            (0..FAULT_SEEDS).find_map(|seed| Some((seed, schedule(seed, 3, mutation, &mut counts).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{mutation:?} was not found"));
        println!("{mutation:?}: seed {seed}: {what}");
    }
}
