//! The end of a run: faults stop, everything must converge, and the history is judged.

use std::collections::BTreeMap;

use paxos::{Ballot, Member};
use reactor::clock::{Nanos, MICROSECOND};
use shard::reply::Reply;
use synod_bench::check;
use synod_bench::history::{self, History, OperationId};

use super::clients::{Asker, Outstanding};
use super::host::Death;
use super::jobs::Jobs;
use super::joints::Joints;
use super::tables::Tables;
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::flushes;
use crate::ledger::show;
use crate::limits::{
    ENDED_MS, LAST_PASSES_MAX, LAST_READ_DEADLINE, LAST_WAITS_MAX, LEVEL_MAX, LEVEL_POLL, QUIET, SETTLE,
};
use crate::order;
use crate::plan::Weather;
use crate::report::Report;
use crate::rows;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::{Ask, Kind, Told};

/// Clients from here on are the hosts' last reads.
const LAST_READERS: u32 = 1000;

impl World {
    /// Ends the first phase when all clients are done, or have had enough time.
    pub(super) fn check_done(&mut self) {
        let jobs_done = self.jobs.as_ref().is_none_or(Jobs::is_done);
        let joints_done = self.joints.as_ref().is_none_or(Joints::is_done);
        let tables_done = self.tables.as_ref().is_none_or(Tables::is_done);
        let clients_done = self.clients.iter().all(|client| client.is_done());
        let done = clients_done && jobs_done && joints_done && tables_done;
        if self.phase == Phase::Faults && (done || self.now > self.plan.faults_until) {
            self.stop_faults();
        }
    }

    fn stop_faults(&mut self) {
        self.phase = Phase::Settling { since: self.now };
        self.tell(|| "faults stop".to_owned());
        if self.check_equal().is_err() {
            self.label("replicas differed when faults stopped");
        }
        self.weather = Weather::FAIR;
        self.mend_disks();
        self.clogged.iter_mut().for_each(|ways| ways.fill(0));
        self.take_away_damaged();
        for from in 0..self.plan.hosts {
            for to in 0..self.plan.hosts {
                self.set_blocked(from, to, false);
            }
        }
        for host in 0..self.plan.hosts {
            let entry = &mut self.hosts[usize::from(host)];
            entry.paused_until = entry.paused_until.min(self.now);
            entry.clock.skew_ms = 0;
            entry.falls = 0;
            let (up, life) = (entry.is_up(), entry.life);
            if up {
                for place in self.places(host) {
                    self.wake(place, self.now);
                }
                self.signal_all(host);
                for place in self.places(host) {
                    self.set_routes_of(place);
                }
            } else if !self.hosts[usize::from(host)].lost {
                self.schedule(self.now, Event::Start { host, life });
            }
        }
        self.schedule(self.now + SETTLE, Event::Finish);
    }

    /// Hosts whose disks were damaged are not counted on: they could find out at any time.
    fn take_away_damaged(&mut self) {
        for host in 0..self.plan.hosts {
            let entry = &mut self.hosts[usize::from(host)];
            if entry.cores.iter().any(|core| core.is_damaged) {
                entry.lost = true;
                self.die(host, Death::Power, None);
            }
        }
    }

    /// The hosts that were not given up.
    pub(super) fn hosts_left(&self) -> Vec<Member> {
        (0..self.plan.hosts).filter(|host| !self.hosts[usize::from(*host)].lost).collect()
    }

    /// The next part of the end.
    pub(super) fn finish(&mut self) -> Checked {
        match self.phase {
            Phase::Settling { since } if self.learner().is_some() => {
                self.label("a learner had to be waited for");
                self.schedule(self.now + LEVEL_POLL, Event::Finish);
                self.check_voters(self.now - since)
            }
            Phase::Settling { since } => {
                if self.waits_for_ended(since)? {
                    self.schedule(self.now + LEVEL_POLL, Event::Finish);
                    return Ok(());
                }
                if self.end_jobs() {
                    self.schedule(self.now + LAST_READ_DEADLINE + SETTLE, Event::Finish);
                    return Ok(());
                }
                self.check_jobs_ended()?;
                self.phase = Phase::LastReads { pass: 1, waits: 0 };
                self.read_everything(self.now);
                Ok(())
            }
            Phase::LastReads { .. } => {
                let missing = self.outstanding.len();
                let detail = format!("{missing} last reads were not answered at all");
                Err(Violation::new(invariant::CONVERGES, detail))
            }
            Phase::LastSurveys { .. } => {
                let missing = self.outstanding.len();
                let detail = format!("{missing} last surveys were not answered at all");
                Err(Violation::new(invariant::CONVERGES, detail))
            }
            Phase::Quiet => {
                let since = self.now;
                self.phase = Phase::Levelling { since };
                self.level()
            }
            Phase::Levelling { .. } => self.level(),
            Phase::Faults | Phase::Over => Ok(()),
        }
    }

    /// Keys whose time has come go by themselves. Whether that is still to be waited for.
    fn waits_for_ended(&mut self, since: Nanos) -> Result<bool, Violation> {
        if self.hosts_left().len() < usize::from(self.plan.hosts) {
            return Ok(false);
        }
        let clocks = self.hosts.iter().map(|host| host.clock.read(self.now).wall_ms);
        let ended_ms = clocks.min().unwrap_or(0).saturating_sub(ENDED_MS);
        let is_late = self.now - since > 2 * LEVEL_MAX;
        let mut cores = self.hosts.iter().flat_map(|host| &host.cores).filter_map(|core| core.shard());
        if cores.any(|shard| shard.is_expiry_behind(ended_ms)) {
            if is_late {
                let detail = "a sweep for keys whose time has come did not end";
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
        } else {
            // A host that has promised more than the tombstone's ballot gets that by repair.
            match self.check_ended(ended_ms) {
                Ok(()) => return Ok(false),
                Err(violation) if is_late => return Err(violation),
                Err(_) => {}
            }
        }
        self.label("keys whose time had come were waited for");
        Ok(true)
    }

    /// Asks for the last reads from a moment on.
    fn read_everything(&mut self, from: Nanos) {
        self.tell(|| "the last reads".to_owned());
        self.last_reads.clear();
        self.schedule(from + LAST_READ_DEADLINE + SETTLE, Event::Finish);
        let mut at = from;
        let queues: Vec<Vec<u8>> = self.jobs.iter().flat_map(Jobs::keys).cloned().collect();
        for key in self.ledger.watched().into_iter().filter(|key| !queues.contains(key)) {
            for host in self.hosts_left() {
                let command = Ask::last_read(&key).to_command();
                at += self.work.below(100 * MICROSECOND);
                let client = LAST_READERS + u32::from(host);
                let operation = self.history.call(client, &key, history::Command::Get, at);
                let slice = self.ledger.slice_of(&key);
                let request = self.open_request(Outstanding {
                    at: Place { host, core: slice },
                    slice,
                    asker: Asker::LastRead { key: key.clone(), operation },
                    deadline: at + LAST_READ_DEADLINE,
                    command,
                    arrived: false,
                    chosen: self.ledger.newest_chosen(&key),
                });
                self.schedule(at, Event::Ask { request });
            }
        }
    }

    /// A last read was answered. When all are, quiet must follow.
    pub(super) fn on_last_read(
        &mut self,
        host: Member,
        key: Vec<u8>,
        (id, chosen): (OperationId, Ballot),
        reply: Reply,
    ) -> Checked {
        let told = match Ask::last_read(&key).told(&reply) {
            Told::Reply(told @ (history::Reply::Value(_) | history::Reply::Nil), _) => told,
            _ => {
                let detail = format!("the last read of key {} on host {host} got {reply:?}", show(&key));
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
        };
        self.check_shown(&key, &told, chosen)?;
        self.history.replied(id, self.now, told.clone(), None);
        self.last_reads.entry(key).or_default().push(told);
        if self.outstanding.is_empty() {
            self.end_pass();
        }
        Ok(())
    }

    /// All last reads of a pass are answered. A record that is accepted by a minority only may be missed by a read, and finished by
    /// the next; so hosts may disagree for a few passes, and no longer. That all of them together are linearizable is judged
    /// with the rest of the history.
    fn end_pass(&mut self) {
        let Phase::LastReads { pass, waits } = self.phase else { return };
        self.queue.retain(|_, event| !matches!(event, Event::Finish));
        if self.disagreement().is_none() {
            return self.survey_when_level(pass, waits);
        }
        if pass == LAST_PASSES_MAX {
            self.phase = Phase::Quiet;
            return self.schedule(self.now + QUIET, Event::Finish);
        }
        self.label("the last reads were repeated");
        self.phase = Phase::LastReads { pass: pass + 1, waits };
        self.read_everything(self.now);
    }

    /// What no host has finished may be seen by a survey or not, and finished after it was read as absent. So surveys wait until all replicas
    /// hold the same, and everything is read once more then. With a host given up they may never do: then surveys are judged as under faults.
    fn survey_when_level(&mut self, pass: u32, waits: u32) {
        let level = self.check_equal().is_ok() && self.check_filled().is_ok();
        let whole = self.hosts_left().len() == usize::from(self.plan.hosts);
        if level || !whole || waits == LAST_WAITS_MAX {
            return self.survey_everything(level);
        }
        self.label("the last surveys had to wait");
        self.phase = Phase::LastReads { pass, waits: waits + 1 };
        self.read_everything(self.now + LEVEL_POLL);
    }

    fn disagreement(&self) -> Option<(&Vec<u8>, &Vec<history::Reply>)> {
        self.last_reads.iter().find(|(_, replies)| replies.windows(2).any(|pair| pair[0] != pair[1]))
    }

    /// Nothing may be under way any more, and all replicas must hold the same: at once, or when repair has made it so.
    fn level(&mut self) -> Checked {
        let mut found = self.check_idle();
        // With a host given up nothing is dropped any more, and what some had dropped before the others keep: the bytes tell.
        if found.is_ok() && self.hosts_left().len() == usize::from(self.plan.hosts) {
            found = self.check_equal();
        }
        if found.is_ok() {
            found = self.check_flush_epochs();
        }
        if found.is_ok() {
            found = self.check_catalogs();
        }
        if found.is_ok() {
            found = self.check_bytes();
        }
        let Phase::Levelling { since } = self.phase else { return found };
        if found.is_ok() {
            self.phase = Phase::Over;
        } else if self.now - since > LEVEL_MAX {
            return found;
        } else {
            self.schedule(self.now + LEVEL_POLL, Event::Finish);
        }
        Ok(())
    }

    /// The replicas of each slice hold the same (key, ballot) pairs, as their slots' sums tell.
    fn check_equal(&self) -> Checked {
        let left = self.hosts_left();
        for core in 0..self.plan.cores {
            let sums = |host: Member| {
                let shard = self.core(Place { host, core }).shard();
                shard.map(|shard| shard.slot_sums().collect::<Vec<_>>()).unwrap_or_default()
            };
            let Some((first, others)) = left.split_first() else { continue };
            let expected = sums(*first);
            for other in others {
                let theirs = sums(*other);
                let slots = expected.iter().zip(&theirs).filter(|(one, other)| one != other);
                let slots: Vec<String> = slots.map(|((slot, _), _)| slot.to_string()).collect();
                if !slots.is_empty() || expected.len() != theirs.len() {
                    let slots = slots.join(", ");
                    let detail = format!(
                        "core {core} of hosts {first} and {other} do not hold the same in slots {slots}"
                    );
                    return Err(Violation::new(invariant::CONVERGES, detail));
                }
            }
        }
        Ok(())
    }

    /// All cores of a slice come to the same flush epoch.
    fn check_flush_epochs(&self) -> Checked {
        let left = self.hosts_left();
        for core in 0..self.plan.cores {
            let epoch = |host: &Member| {
                self.core(Place { host: *host, core }).shard().map(|shard| shard.flush_epoch())
            };
            let epochs: Vec<Option<u32>> = left.iter().map(epoch).collect();
            if epochs.windows(2).any(|pair| pair[0] != pair[1]) {
                let detail = format!("core {core} of hosts {left:?} is in flush epochs {epochs:?}");
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
        }
        Ok(())
    }

    /// All cores of a slice come to the same catalog.
    fn check_catalogs(&self) -> Checked {
        let left = self.hosts_left();
        for core in 0..self.plan.cores {
            let version = |host: &Member| {
                self.core(Place { host: *host, core }).shard().map(|shard| shard.catalog().version())
            };
            let versions: Vec<Option<u64>> = left.iter().map(version).collect();
            if versions.windows(2).any(|pair| pair[0] != pair[1]) {
                let detail = format!("core {core} of hosts {left:?} has catalogs {versions:?}");
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
        }
        Ok(())
    }

    /// Nothing may be under way any more.
    fn check_idle(&self) -> Checked {
        for core in self.hosts.iter().filter(|host| !host.lost).flat_map(|host| &host.cores) {
            let place = core.place;
            let Some(shard) = core.shard() else {
                return Err(Violation::new(invariant::CONVERGES, format!("{place} is not up")));
            };
            let (entities, commands) = shard.under_way();
            if (entities, commands) != (0, 0) {
                let detail =
                    format!("{place} still has {entities} entities and {commands} commands under way");
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
            if shard.waits() != (0, 0) {
                let (own, kept) = shard.waits();
                let detail = format!("{place} still has {own} who wait, and keeps {kept}");
                return Err(Violation::new(invariant::CONVERGES, detail));
            }
        }
        Ok(())
    }

    /// Judges the run as a whole.
    pub(super) fn judge(&mut self) -> Checked {
        self.ledger.finish()?;
        self.jobs.as_ref().map_or(Ok(()), Jobs::judge)?;
        if let Some((key, replies)) = self.disagreement() {
            let detail = format!("hosts disagree on key {}: {replies:?}", show(key));
            return Err(Violation::new(invariant::CONVERGES, detail));
        }
        let has_flushes = self.plan.classes.is_drawn(Class::Flushes);
        let text = |key: &[u8]| match self.last_reads.get(key).and_then(|replies| replies.first()) {
            // What is chosen is of no account where a flush came after it.
            Some(history::Reply::Value(value)) if has_flushes => value.clone(),
            _ if has_flushes => Vec::new(),
            _ => self.ledger.chosen_text(key).to_vec(),
        };
        self.joints.as_ref().map_or(Ok(()), |joints| joints.judge(text))?;
        self.judge_history()?;
        self.check_trees()
    }

    fn judge_history(&mut self) -> Checked {
        let has_flushes = self.plan.classes.is_drawn(Class::Flushes);
        let (mut appended, mut others) = (BTreeMap::<&[u8], Vec<_>>::new(), History::new());
        let mut tagged = Vec::new();
        for operation in &self.history.operations {
            match self.workload.kind_of(&operation.key) {
                Kind::Appended if !has_flushes => appended.entry(&operation.key).or_default().push(operation),
                Kind::Expiring => {
                    others.operations.extend(self.expiry_of(operation));
                    others.operations.push(operation.clone());
                }
                Kind::Tagged => tagged.push(operation),
                _ => others.operations.push(operation.clone()),
            }
        }
        self.check_ends()?;
        let decided = self.joints.as_ref().map_or(Ok(true), |joints| joints.judge_moves(&tagged))?;
        for (key, operations) in appended {
            order::check(key, &operations, self.ledger.chosen_text(key))?;
        }
        order::check_swaps(&self.swaps, &self.history.operations)?;
        // Partitions are emptied with their table as well.
        let is_sharp = |key: &[u8]| {
            rows::name_of(key).is_none()
                && matches!(self.workload.kind_of(key), Kind::Register | Kind::Versioned)
        };
        flushes::check(&self.flushes, &self.history.operations, is_sharp)?;
        let summary = check::check(&others);
        if !summary.undecided.is_empty() {
            *self.labels.entry("a key was undecided").or_default() += 1;
        }
        if !decided {
            *self.labels.entry("moves were undecided").or_default() += 1;
        }
        if summary.violations.is_empty() {
            return Ok(());
        }
        Err(Violation::new(invariant::LINEARIZABLE, summary.to_text(&others)))
    }

    /// What a run comes to.
    pub(super) fn report(mut self, violation: Option<Violation>) -> Report {
        let mut sums = Vec::new();
        let disks = self.hosts.iter().flat_map(|host| &host.cores).map(|core| core.disk.counters().faults);
        let faults = self.faults + disks.sum::<u64>();
        for core in self.hosts.iter().flat_map(|host| &host.cores) {
            let Some(shard) = core.shard() else { continue };
            let m = shard.metrics();
            sums.extend([
                ("fast proposals", m.fast_proposals),
                ("classic proposals", m.classic_proposals),
                ("ballots lost", m.lost),
                ("records finished", m.finished),
                ("read conflicts", m.read_conflicts),
                ("records taken over", m.taken_over),
                ("questions repeated", m.resends),
                ("commands forwarded", m.forwarded),
                ("commands taken back", m.forward_fallbacks),
                ("uncertain replies", m.uncertain),
                ("keys expired", m.expired_keys),
                ("keys found to have ended by sweeps", m.swept_keys),
                ("a joint command met another one", m.joint_collisions),
                ("a claim was met", m.claims_met),
                ("a claim was given up", m.claims_given_up),
                ("a decision was finished by a sweep", m.decisions_swept),
                ("flushes came to their end", m.flushes),
                ("flush epochs began", m.flush_epochs),
                ("flush epochs began at learners", m.flush_epochs_learned),
                ("attempts began anew by a flush", m.flush_voided),
                ("messages waited for a flush epoch", m.flush_held),
                ("commands were found before a flush", m.flush_doubts),
                ("messages waited for a catalog", m.catalog_held),
                ("statements were found before a catalog", m.catalog_doubts),
                ("a tombstone was dropped", m.tombstones_dropped),
                ("records taken over in the order of a log", m.tail_records),
                ("disk reads", m.disk_reads),
                ("deltas written", m.deltas_written),
                ("deltas not taken", m.need_base_sent),
                ("wholes sent in the place of deltas", m.wholes_sent),
                ("chains of deltas ended by wholes", m.folds),
                ("chains of deltas read", m.chain_reads),
                ("messages refused", m.messages_refused),
                ("slots merged by surveys", m.slots_merged),
                ("written at a ballot for a range", m.granted_proposals),
                ("absent keys written at a ballot for a range", m.granted_absent),
                ("ballots for ranges taken", m.range_ballots),
                ("ballots for ranges promised", m.range_promises),
                ("reads confirmed", m.confirmed_commands),
                ("absent keys confirmed", m.confirmed_absent),
                ("reads not confirmed", m.unconfirmed_commands),
                ("confirms late", m.confirms_late),
                ("votes of others told", m.votes_told),
                ("more counted than is remembered", m.counts_lost),
                ("confirms of before", m.confirms_strange),
            ]);
        }
        sums.extend(self.sums_of_groups());
        for (label, count) in sums {
            *self.labels.entry(label).or_default() += count;
        }
        let told = |wanted: fn(&history::Outcome) -> bool| {
            self.history.operations.iter().filter(|operation| wanted(&operation.outcome)).count() as u64
        };
        Report {
            seed: self.plan.seed,
            violation,
            hash: self.story.hash(),
            steps: self.steps,
            virtual_ns: self.now,
            replied: told(|outcome| matches!(outcome, history::Outcome::Replied { .. })),
            failed: told(|outcome| *outcome == history::Outcome::Failed),
            unknown: told(|outcome| *outcome == history::Outcome::Unknown),
            choices: self.ledger.choices,
            faults,
            labels: self.labels,
        }
    }
}
