//! The classes of faults and of load that a seed draws on or off, and that can be switched off by name.
//!
//! A class that is switched off (`--without`) is still drawn, and strikes of it still take their turn, without effect: so
//! what is left happens much as it did before, and a failing seed can be cut down.

use std::collections::BTreeSet;

/// A class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Messages are lost; connections are reset.
    Loss,
    /// Messages arrive twice; bits of streams flip.
    Repeat,
    /// Old messages arrive once more.
    Replay,
    /// Some messages take eight times as long.
    Tail,
    /// Hosts die, one at a time.
    Crashes,
    /// Hosts die in the middle of what a turn sends.
    TurnCrashes,
    /// A host dies again and again soon after its start.
    CrashLoops,
    /// All hosts die at once.
    Blackouts,
    /// Two hosts are cut off from each other, or one from all, or one direction.
    Cuts,
    /// Cuts of every shape: two groups, bridges, and any set of directions.
    Shapes,
    /// Cuts that come and go.
    Flaps,
    /// What is sent one way takes very long.
    Clogs,
    /// Hosts stop for up to two seconds.
    Pauses,
    /// Hosts stop for up to a minute.
    LongPauses,
    /// Disks are slow for a moment.
    SlowDisks,
    /// Disks are very slow for long.
    FailSlow,
    /// Hosts are told wrong things of each other.
    FalseSignals,
    /// Wall clocks jump.
    Clocks,
    /// Clocks run fast or slow.
    Drift,
    /// Writes and syncs fail, or stop half way.
    DiskErrors,
    /// Reads fail.
    ReadErrors,
    /// Disks are full for a while.
    FullDisks,
    /// Bits on disk flip.
    Rot,
    /// Writes go to the wrong place.
    Astray,
    /// Reads bring what was there before.
    StaleReads,
    /// Hosts, or single cores, lose their disks for good, and come back as learners by the operator's hand.
    Losses,
    /// The view of who is preferred changes at any time.
    Reroutes,
    /// Clients send several requests at once.
    Pipelines,
    /// Clients ask again elsewhere what may have been done.
    Retries,
    /// Clients go away as soon as they have asked.
    Disconnects,
    /// Clients ask about the keyspace.
    Surveys,
    /// Clients ask about many keys in one command.
    ManyKeys,
    /// Some keys hold lists and hashes.
    Objects,
    /// These are long, and what is small elsewhere counts as large.
    Deltas,
    /// Some writes are transactions of several steps.
    Transactions,
    /// Producers push jobs, workers wait for them.
    Jobs,
    /// Some commands are on several keys, as one step.
    Joint,
    /// Some writes are numbered by their clients, who send them again when they do not know what became of them.
    Numbers,
    /// Clients have all keys of a slice emptied at once.
    Flushes,
    /// Some keys are partitions of a table, and the catalog is changed.
    Tables,
    /// Beside that table there is one in the large layout, whose partitions are log groups.
    LargeTables,
    /// Some keys are about when they end: that is set, asked for and taken back.
    Ends,
    /// What some keys of one slot hold is moved and copied between them.
    Moves,
    /// Queues of jobs are sorted sets.
    RankedJobs,
}

/// Classes that keep no host from working.
pub const HARMLESS: [Class; 22] = [
    Class::Tail,
    Class::Repeat,
    Class::Replay,
    Class::Reroutes,
    Class::Clocks,
    Class::Drift,
    Class::Pipelines,
    Class::Retries,
    Class::Surveys,
    Class::ManyKeys,
    Class::Objects,
    Class::Deltas,
    Class::Transactions,
    Class::Jobs,
    Class::Joint,
    Class::Numbers,
    Class::Flushes,
    Class::Tables,
    Class::LargeTables,
    Class::Ends,
    Class::Moves,
    Class::RankedJobs,
];

impl Class {
    /// All of them, with their names.
    pub const ALL: [(Class, &'static str); 44] = [
        (Class::Loss, "loss"),
        (Class::Repeat, "repeat"),
        (Class::Replay, "replay"),
        (Class::Tail, "tail"),
        (Class::Crashes, "crashes"),
        (Class::TurnCrashes, "turn-crashes"),
        (Class::CrashLoops, "crash-loops"),
        (Class::Blackouts, "blackouts"),
        (Class::Cuts, "cuts"),
        (Class::Shapes, "shapes"),
        (Class::Flaps, "flaps"),
        (Class::Clogs, "clogs"),
        (Class::Pauses, "pauses"),
        (Class::LongPauses, "long-pauses"),
        (Class::SlowDisks, "slow-disks"),
        (Class::FailSlow, "fail-slow"),
        (Class::FalseSignals, "false-signals"),
        (Class::Clocks, "clocks"),
        (Class::Drift, "drift"),
        (Class::DiskErrors, "disk-errors"),
        (Class::ReadErrors, "read-errors"),
        (Class::FullDisks, "full-disks"),
        (Class::Rot, "rot"),
        (Class::Astray, "astray"),
        (Class::StaleReads, "stale-reads"),
        (Class::Losses, "losses"),
        (Class::Reroutes, "reroutes"),
        (Class::Pipelines, "pipelines"),
        (Class::Retries, "retries"),
        (Class::Disconnects, "disconnects"),
        (Class::Surveys, "surveys"),
        (Class::ManyKeys, "many-keys"),
        (Class::Objects, "objects"),
        (Class::Deltas, "deltas"),
        (Class::Transactions, "transactions"),
        (Class::Jobs, "jobs"),
        (Class::Joint, "joint"),
        (Class::Numbers, "numbers"),
        (Class::Flushes, "flushes"),
        (Class::Tables, "tables"),
        (Class::LargeTables, "large-tables"),
        (Class::Ends, "ends"),
        (Class::Moves, "moves"),
        (Class::RankedJobs, "ranked-jobs"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Class::ALL.iter().find(|(class, _)| *class == self).map_or("", |(_, name)| name)
    }

    /// The class of a name.
    pub fn of(name: &str) -> Option<Class> {
        Class::ALL.iter().find(|(_, known)| *known == name).map(|(class, _)| *class)
    }
}

/// Which classes a plan has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    drawn: BTreeSet<Class>,
    off: BTreeSet<Class>,
}

impl Classes {
    /// Adds a class.
    pub fn draw(&mut self, class: Class, on: bool) {
        if on {
            self.drawn.insert(class);
        }
    }

    /// Switches a class off.
    pub fn switch_off(&mut self, class: Class) {
        self.off.insert(class);
    }

    /// Whether the seed drew it, switched off or not.
    pub fn is_drawn(&self, class: Class) -> bool {
        self.drawn.contains(&class)
    }

    /// Whether it happens.
    pub fn has(&self, class: Class) -> bool {
        self.drawn.contains(&class) && !self.off.contains(&class)
    }

    /// Those that happen.
    pub fn on(&self) -> impl Iterator<Item = Class> + '_ {
        self.drawn.difference(&self.off).copied()
    }

    /// Those switched off.
    pub fn off(&self) -> impl Iterator<Item = Class> + '_ {
        self.off.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let names: BTreeSet<&str> = Class::ALL.iter().map(|(_, name)| *name).collect();
        assert_eq!(names.len(), Class::ALL.len(), "names are all different");
        for (class, name) in Class::ALL {
            assert_eq!((class.name(), Class::of(name)), (name, Some(class)));
        }
    }
}
