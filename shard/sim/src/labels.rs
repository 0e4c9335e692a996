//! The rare states that runs must reach: a simulator that never meets one proves nothing about it.

use crate::report::Sums;

/// Hits that each label needs in [`SEEDS`] seeds.
const HITS: u64 = 10;

/// Seeds in which they are counted; in fewer nothing can be said.
const SEEDS: u64 = 5_000;

/// All of them.
pub const WANTED: &[&str] = &[
    "UNCERTAIN",
    "a bit flipped on the way",
    "a bit of a segment rotted",
    "a core told its host of a catalog",
    "a change of the catalog is uncertain",
    "a change of the catalog was refused",
    "a session asked for the newest catalog",
    "a bit of a table rotted",
    "a member asked for an entry",
    "a statement on a large partition",
    "a statement on a partition",
    "a statement waited for the tree",
    "a tree was closed",
    "an undecided head of a group was finished",
    "entries were applied again",
    "entries were applied to rows",
    "entries were told by a peer",
    "entries went from a log",
    "pages of rows came",
    "rows were taken over",
    "rows of a group were compared",
    "messages waited for a catalog",
    "statements were found before a catalog",
    "the catalog was changed",
    "a client asked about many keys in one command",
    "a client asked again",
    "a client asked several things at once",
    "a client went away at once",
    "a clock jumped",
    "a command about a hash",
    "a command about a list",
    "a command about a set",
    "a command about a sorted set",
    "a command about when a key ends",
    "a command went to another core",
    "a connection was reset",
    "a core failed",
    "a cut came and went many times",
    "a core lost its disk",
    "a damaged log was put aside",
    "a disk failed reads",
    "a disk had errors",
    "a disk had stale reads",
    "a disk was full",
    "a disk was slow",
    "a disk was very slow",
    "a disk wrote to wrong places",
    "a frame was refused",
    "a host died",
    "a host died with workers waiting",
    "a host died again and again",
    "a host died at a turn",
    "a host that was given up came back",
    "a host was isolated",
    "a host was paused",
    "a host was paused for more than ten seconds",
    "a claim was given up",
    "a claim was met",
    "a decision was finished by a sweep",
    "a host was told wrong things of a peer",
    "a host lost all its disks",
    "a job was given out",
    "a job was given out in time",
    "a job was given out in turn",
    "a job was given out of a sorted set",
    "a joint command is uncertain",
    "a joint command met another one",
    "a key was copied",
    "a key was renamed",
    "a learner became a voter",
    "a learner became a voter under faults",
    "a learner had to be waited for",
    "a learner was started again",
    "a member was moved",
    "a message was lost",
    "a move is uncertain",
    "a power failure was tried in a copy",
    "a reply came too late for its client",
    "a slice failed alone",
    "a survey failed",
    "a survey was answered",
    "a sync failed in a copy's recovery",
    "a tombstone was dropped",
    "a transaction",
    "a numbered request was answered when it was sent again",
    "a walk by SCAN came to its end",
    "a way was clogged",
    "a worker was told in vain",
    "absent keys confirmed",
    "absent keys written at a ballot for a range",
    "all hosts died at once",
    "an old message was replayed",
    "an element was moved",
    "an epoch was heard with commands under way",
    "an intersection was stored",
    "any set of directions was cut",
    "ballots lost",
    "chains of deltas ended by wholes",
    "chains of deltas read",
    "classic proposals",
    "commands forwarded",
    "commands taken back",
    "confirms late",
    "confirms of before",
    "deltas not taken",
    "deltas written",
    "disk reads",
    "failed",
    "fast proposals",
    "hosts fell apart into two groups",
    "keys expired",
    "keys found to have ended by sweeps",
    "keys were flushed",
    "keys were flushed while a disk was full",
    "a core started behind a flush",
    "a core started in a flush epoch",
    "a flush is uncertain",
    "a flush was refused",
    "a learner started behind a flush",
    "attempts began anew by a flush",
    "commands were found before a flush",
    "flush epochs began",
    "flush epochs began at learners",
    "flushes came to their end",
    "messages waited for a flush epoch",
    "more counted than is remembered",
    "no quorum",
    "one direction was cut",
    "one host was the bridge between two halves",
    "questions repeated",
    "read conflicts",
    "reads confirmed",
    "reads not confirmed",
    "records finished",
    "records taken over",
    "records taken over in the order of a log",
    "replicas differed when faults stopped",
    "replied",
    "routes changed",
    "several keys were read side by side",
    "several keys were set where there was none",
    "several keys were written in one step",
    "several lists were written in one step",
    "slots merged by surveys",
    "still reading",
    "the last frame went astray, unnoticed",
    "the last surveys had to wait",
    "timeout",
    "two hosts were cut off from each other",
    "uncertain replies",
    "unknown by a reset",
    "unknown by giving up",
    "unknown by reply",
    "votes of others told",
    "wholes sent in the place of deltas",
    "written at a ballot for a range",
];

/// The labels that were met too rarely, with how often. None where too few seeds were played to tell.
pub fn missed(sums: &Sums) -> Vec<(&'static str, u64)> {
    if sums.seeds < SEEDS {
        return Vec::new();
    }
    let hits = |label: &&'static str| (*label, sums.labels.get(label).copied().unwrap_or(0));
    WANTED.iter().map(hits).filter(|(_, hits)| hits * SEEDS < HITS * sums.seeds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_missed_below_its_share_of_the_seeds() {
        let with = |seeds, hits| {
            let mut sums = Sums { seeds, ..Sums::default() };
            sums.labels.extend(WANTED.iter().map(|label| (*label, 1_000_000)));
            sums.labels.insert("timeout", hits);
            missed(&sums)
        };
        assert_eq!(with(5_000, 10), []);
        assert_eq!(with(5_000, 9), [("timeout", 9)]);
        assert_eq!(with(50_000, 99), [("timeout", 99)]);
        assert_eq!(with(4_999, 0), []);
    }
}
