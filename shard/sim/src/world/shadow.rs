//! Shadows: what a core would come back with, had the power of its machine failed at this very moment.
//!
//! A copy of its disk loses what is not durable, and the product recovers from what is left, beside the run and without a
//! part in it. What the ledger saw as durable must be there again. The power failures that a run draws prove the same, but only
//! where they strike: a mistake that the next sync happens to repair is open for microseconds. In the same way a start is tried
//! whose syncs fail. A disk that has lied is left out: what it holds is anybody's guess.

use reactor::sim::{Faults, SimDisk};
use shard::{Clock, Effects, Shard, Turn};

use super::core::{inspect, new_shard};
use super::losses::Loss;
use super::trees::all_rows;
use super::{Place, World};
use crate::class::Class;
use crate::ledger::show;
use crate::limits::{
    FAILED_START_PER_MILLION, SHADOWS_PER_MILLION, SHADOWS_PER_MILLION_VOLATILE, SHADOW_TURNS_MAX,
};
use crate::plan::Plan;
use crate::violation::{invariant, Checked, Violation};

impl World {
    /// Tries a power failure in a copy of a core that serves: at each of its starts, and now and then.
    pub(super) fn check_shadow(&mut self, place: Place, started: bool) -> Checked {
        let core = self.core(place);
        let (volatile, lied) = (core.disk.has_volatile_names(), core.disk.has_lied() || core.is_damaged);
        let often = if volatile { SHADOWS_PER_MILLION_VOLATILE } else { SHADOWS_PER_MILLION };
        let drawn = self.shadow.chance(often);
        let seed = self.shadow.next_u64();
        if lied || !started && !drawn {
            return Ok(());
        }
        self.label("a power failure was tried in a copy");
        let mut disk = self.core(place).disk.after_power_loss(seed);
        let (of, clock) = ((place, self.core(place).loss), Clock { now: self.now, wall_ms: 0 });
        let back = recover(of, &self.plan, &mut disk, clock);
        let mut back = back.map_err(|why| {
            let detail = format!("had the power of {place} failed now, it could not start again: {why}");
            Violation::new(invariant::SURVIVES, detail)
        })?;
        let spoken = self.core(place).shard().map_or(0, |shard| shard.flush_epoch());
        if back.flush_epoch() < spoken {
            let detail = format!(
                "{place} is in flush epoch {spoken}; after a power failure in {}",
                back.flush_epoch()
            );
            return Err(Violation::new(invariant::SURVIVES, detail));
        }
        self.ledger.survives(place.host, place.core, |key| inspect(&back, key))?;
        if !self.plan.classes.is_drawn(Class::LargeTables) {
            return Ok(());
        }
        let rows = all_rows(&mut back, &mut disk, clock.now);
        rows.map_or(Ok(()), |rows| self.check_rows(place, "after a power failure", rows))
    }
}

impl World {
    /// Tries, in a copy of a core's disk as a dead process left it, what comes of a start whose syncs fail, another start of the
    /// same machine, and then a power failure: the kernel shows that second start what the failed sync has given up, so what
    /// it takes for durable must have been made so by more than a sync.
    pub(super) fn check_failed_start(&mut self, place: Place) -> Checked {
        let (disk, seed) = (&self.core(place).disk, self.plan.seed.wrapping_add(self.now));
        if !disk.has_volatile_bytes() || disk.has_lied() || self.core(place).is_damaged {
            return Ok(());
        }
        let (mut failing, clock) = (disk.after_kill(seed), Clock { now: self.now, wall_ms: 0 });
        self.label("a sync failed in a copy's recovery");
        let of = (place, self.core(place).loss);
        let told = |what: &str, why: String| {
            let detail = format!("had a sync failed while {place} starts, {what} could not start: {why}");
            Violation::new(invariant::SURVIVES, detail)
        };
        failing.set_faults(Faults { sync_error_per_million: FAILED_START_PER_MILLION, ..Faults::default() });
        // It stops at the first that fails, which is not always one of a segment.
        recover(of, &self.plan, &mut failing, clock).err();
        failing.kill();
        failing.set_faults(Faults::default());
        let shown = recover(of, &self.plan, &mut failing, clock).map_err(|why| told("the next one", why))?;
        let mut left = failing.after_power_loss(seed.rotate_left(32));
        let back = recover(of, &self.plan, &mut left, clock)
            .map_err(|why| told("the one after a power failure", why))?;
        for key in self.ledger.watched() {
            let ((before, ranged), (after, still)) = (inspect(&shown, &key), inspect(&back, &key));
            if after.promised < before.promised || after.accepted < before.accepted || still < ranged {
                let detail = format!(
                    "key {} on {place}: a start after a failed sync shows promised {} accepted {}; after a power failure promised {} accepted {}",
                    show(&key), before.promised, before.accepted, after.promised, after.accepted
                );
                return Err(Violation::new(invariant::SURVIVES, detail));
            }
        }
        self.ledger.survives(place.host, place.core, |key| inspect(&back, key))
    }
}

/// Has the product recover from a disk, until it would serve.
fn recover(
    (place, loss): (Place, Loss),
    plan: &Plan,
    disk: &mut SimDisk,
    clock: Clock,
) -> Result<Shard<SimDisk>, String> {
    let mut effects = Effects::new(plan.hosts);
    let mut shard = new_shard(place, plan, (plan.seed, loss), disk);
    for _ in 0..SHADOW_TURNS_MAX {
        if let Some(fault) = shard.fault() {
            return Err(fault.to_string());
        }
        if shard.is_ready() {
            return Ok(shard);
        }
        let completions = disk.poll_completions(clock.now);
        let mut turn = Turn { disk, clock, effects: &mut effects };
        completions.into_iter().for_each(|completion| shard.on_disk(&mut turn, completion));
        shard.end_turn(&mut turn);
    }
    Err("recovery does not end".to_owned())
}
