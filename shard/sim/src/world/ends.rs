//! When values end that were written with an end: not before their time has come by some host's clock, and not after it has come by all of them.
//!
//! Where wall clocks jump nothing is said of how long a value lasts. Where they do not, they run as fast as the plan says.

use std::collections::BTreeMap;

use reactor::clock::{Nanos, MILLISECOND};
use synod_bench::history::{Command, Operation, Outcome, Reply};

use super::World;
use crate::class::Class;
use crate::ledger::show;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::Kind;

/// Clients from here on are the clocks that end expiring values.
const CLOCKS: u32 = 2000;

/// The value that a write puts there.
fn written(write: &Operation) -> Option<&[u8]> {
    match &write.command {
        Command::Set(value) => Some(value),
        _ => None,
    }
}

impl World {
    /// The end of a value, as an operation of its own that may happen from some time on, or never.
    pub(super) fn expiry_of(&self, write: &Operation) -> Option<Operation> {
        let failed = write.outcome == Outcome::Failed;
        (!write.command.is_read() && !failed).then(|| Operation {
            client: CLOCKS + write.client,
            call: self.ends_from(write),
            command: Command::Del,
            outcome: Outcome::Unknown,
            version: None,
            ..write.clone()
        })
    }

    /// How long the value lasts that a write puts there: by the host's clock that runs it.
    fn life(&self, write: &Operation) -> Option<u64> {
        self.lives.get(written(write)?).copied()
    }

    /// From when on the value of a write may be over: when some clock has come so far.
    fn ends_from(&self, write: &Operation) -> Nanos {
        let Some(life) = self.life(write).filter(|_| !self.plan.classes.is_drawn(Class::Clocks)) else {
            return write.call;
        };
        let clocks = || self.hosts.iter().map(|host| host.clock);
        let begun = clocks().map(|clock| clock.local(write.call) / MILLISECOND).min().unwrap_or(0);
        let over = (begun + life) * MILLISECOND;
        clocks().map(|clock| clock.global(over)).min().unwrap_or(0).max(write.call)
    }

    /// From when on the value of a write that was answered is over: when all clocks have come so far.
    fn ends_by(&self, write: &Operation) -> Option<Nanos> {
        let (returned, life) = (write.returned()?, self.life(write)?);
        let clocks = || self.hosts.iter().map(|host| host.clock);
        let begun = clocks().map(|clock| clock.local(returned) / MILLISECOND).max()?;
        let over = (begun + life + 1) * MILLISECOND;
        clocks().map(|clock| clock.global(over)).max()
    }

    /// What is over is not shown.
    pub(super) fn check_ends(&self) -> Checked {
        if self.plan.classes.is_drawn(Class::Clocks) {
            return Ok(());
        }
        let is_expiring = |one: &&Operation| self.workload.kind_of(&one.key) == Kind::Expiring;
        let operations = || self.history.operations.iter().filter(is_expiring);
        // None: nobody knows when it was written last, and so when it ends.
        let mut ends: BTreeMap<&[u8], Option<Nanos>> = BTreeMap::new();
        for write in operations().filter(|one| one.outcome != Outcome::Failed) {
            let Some(value) = written(write) else { continue };
            let by = self.ends_by(write);
            ends.entry(value)
                .and_modify(|end| *end = end.zip(by).map(|(one, other)| one.max(other)))
                .or_insert(by);
        }
        for read in operations() {
            let Some(Reply::Value(value)) = read.reply() else { continue };
            let end = ends.get(value.as_slice()).copied().flatten();
            if let Some(end) = end.filter(|end| *end < read.call) {
                let detail = format!("key {}: {read:?} shows what was over at {end}", show(&read.key));
                return Err(Violation::new(invariant::ENDED, detail));
            }
        }
        Ok(())
    }
}
