//! Rows taken over from a peer, where entries that are lacking are not in the logs any more: all rows of the group, of one later entry, in the
//! place of those that are here, at once.
//!
//! What fits one page is applied like an entry; more becomes tables of its own ([`lsm::Lsm::ingest`]), which count when all of them are
//! durable. Until then the rows here are as they were: a crash, or a peer that dies, leaves them so, and it begins anew.

use bitcask::Fingerprint;
use lsm::{ApplyError, Batch, IngestId};
use paxos::Member;
use reactor::clock::Nanos;
use reactor::Disk;

use super::advance::{Brought, Job};
use super::rows;
use crate::core::Shard;
use crate::limits::{GROUP_TAKES_MAX, TAKE_RESENDS_MAX, TAKE_RESEND_NS};
use crate::object::Name;
use crate::turn::Turn;
use crate::wire::GroupSaid;

/// Rows that are taken over.
#[derive(Debug)]
pub(super) struct Taking {
    from: Member,
    /// The entry that is lacking: they must be of that, or a later one.
    lacking: Name,
    /// Of which entry they are, once the first page has come.
    at: Option<Name>,
    /// The last of them that is here.
    behind: Vec<u8>,
    ingestion: Option<IngestId>,
    waits_for: WaitsFor,
}

/// What the taking waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    /// The next page, which is asked for again at this time, for the so-manieth time.
    Page { again_at: Nanos, resends: u32 },
    /// The tree, which has enough to write for now.
    Room,
    /// The tree, which has it all.
    Tables,
}

impl Taking {
    /// When the next page is asked for again.
    pub fn again_at(&self) -> Option<Nanos> {
        match self.waits_for {
            WaitsFor::Page { again_at, .. } => Some(again_at),
            WaitsFor::Room | WaitsFor::Tables => None,
        }
    }
}

/// A page of rows, as a peer tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageTold<'a> {
    pub key: &'a [u8],
    pub at: Name,
    pub behind: &'a [u8],
    pub more: bool,
    pub rows: &'a [(&'a [u8], &'a [u8])],
}

impl PageTold<'_> {
    /// Whether it is what an honest peer tells: keys in their order, first the name row, with the name.
    fn is_sound(&self) -> bool {
        let keys = || self.rows.iter().map(|(key, _)| *key);
        let in_order = keys().zip(keys().skip(1)).all(|(one, other)| one < other);
        let mut rest = self.rows;
        if self.behind.is_empty() {
            let Some((&(key, name), others)) = self.rows.split_first() else { return false };
            if !rows::is_name(key) || rows::read_name(name) != Ok(self.at) {
                return false;
            }
            rest = others;
        }
        let follows = keys().next().is_none_or(|first| self.behind < first);
        let of_rows =
            rest.iter().all(|(key, value)| rows::is_of_row(key) && rows::fits(self.key, key, value));
        in_order && follows && of_rows && (!self.more || !self.rows.is_empty())
    }
}

impl<D: Disk> Shard<D> {
    /// Begins to take the rows of a job's group over. False: as many groups do as may at a time.
    pub(super) fn begin_taking(
        &mut self,
        turn: &mut Turn<'_, D>,
        job: &mut Job,
        (from, lacking): (Member, Name),
    ) -> bool {
        let fingerprint = job.place.reference.1;
        let is_room = self.groups.taking.len() < GROUP_TAKES_MAX;
        if !is_room || self.groups.taking.contains(&fingerprint) {
            return false;
        }
        self.groups.taking.push(fingerprint);
        self.metrics.rows_asked += 1;
        let waits_for = WaitsFor::Room;
        let mut taking = Taking { from, lacking, at: None, behind: Vec::new(), ingestion: None, waits_for };
        self.ask_for_page(turn, job, &mut taking, 0);
        (job.asked, job.taking) = (None, Some(taking));
        true
    }

    fn ask_for_page(&mut self, turn: &mut Turn<'_, D>, job: &Job, taking: &mut Taking, resends: u32) {
        taking.waits_for = WaitsFor::Page { again_at: turn.clock.now + TAKE_RESEND_NS, resends };
        let place = &job.place;
        let said = GroupSaid::AskRows {
            key: &place.key,
            name: taking.lacking,
            epoch: place.epoch,
            table: place.table,
            at: taking.at,
            behind: &taking.behind,
        };
        self.say_of_group(turn, taking.from, &said);
    }

    /// Goes on with what a job takes over.
    pub(super) fn go_on_taking(&mut self, turn: &mut Turn<'_, D>, job: &mut Job) -> Brought {
        let Some(mut taking) = job.taking.take() else { return Brought::Lacking };
        let Some(tree) = self.tree.rows() else {
            self.end_taking(job, taking);
            return Brought::Closed;
        };
        let is_room = taking.ingestion.is_none_or(|ingestion| tree.ingest_has_room(ingestion));
        match taking.waits_for {
            WaitsFor::Page { again_at, resends } if again_at <= turn.clock.now => {
                if resends >= TAKE_RESENDS_MAX || !self.peers_up[usize::from(taking.from)] {
                    self.end_taking(job, taking);
                    return Brought::Lacking;
                }
                self.ask_for_page(turn, job, &mut taking, resends + 1);
            }
            WaitsFor::Room if is_room => self.ask_for_page(turn, job, &mut taking, 0),
            _ => {}
        }
        job.taking = Some(taking);
        Brought::UnderWay
    }

    /// Nothing comes of it, or it is done. An ingestion may be on its way into the tree: until that is known, the group is left alone.
    fn end_taking(&mut self, job: &Job, taking: Taking) {
        let fingerprint = job.place.reference.1;
        self.groups.taking.retain(|other| *other != fingerprint);
        self.give_up_ingestion(fingerprint, taking.ingestion);
    }

    fn give_up_ingestion(&mut self, group: Fingerprint, ingestion: Option<IngestId>) {
        if let Some((id, tree)) = ingestion.zip(self.tree.rows()) {
            tree.ingest_abandon(id);
            self.groups.ending.push((id, group));
        }
    }

    /// A peer has told rows.
    pub(super) fn on_rows_told(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        slot: u16,
        told: PageTold<'_>,
    ) {
        let fingerprint = self.store.key_ref(slot, told.key).1;
        let Some(mut job) = self.groups.jobs.remove(&fingerprint) else { return };
        if *job.place.key == *told.key {
            self.take_page(turn, from, &mut job, told);
        }
        self.groups.jobs.insert(fingerprint, job);
        self.go_on_with_job(turn, fingerprint);
    }

    fn take_page(&mut self, turn: &mut Turn<'_, D>, from: Member, job: &mut Job, told: PageTold<'_>) {
        let Some(mut taking) = job.taking.take_if(|taking| taking.from == from) else { return };
        let is_next = taking.at == Some(told.at) && told.behind == taking.behind;
        let begins = told.behind.is_empty() && taking.at != Some(told.at);
        let is_awaited = matches!(taking.waits_for, WaitsFor::Page { .. });
        if !is_awaited || !(is_next || begins) {
            job.taking = Some(taking);
            return;
        }
        if !told.is_sound() || told.at < taking.lacking {
            self.metrics.messages_refused += 1;
            return self.end_taking(job, taking);
        }
        self.metrics.row_pages_taken += 1;
        if begins {
            // What the peer held for it is gone there: it holds something later.
            self.give_up_ingestion(job.place.reference.1, taking.ingestion.take());
            taking.at = Some(told.at);
        }
        if told.behind.is_empty() && !told.more {
            return self.apply_rows(job, taking, told);
        }
        self.ingest_page(turn, job, taking, told);
    }

    /// All rows are on one page.
    fn apply_rows(&mut self, job: &mut Job, taking: Taking, told: PageTold<'_>) {
        let prefix = job.place.prefix();
        let mut batch = Batch::new();
        batch.delete_range(&prefix, &rows::end_of(&prefix));
        told.rows.iter().for_each(|(key, value)| batch.put(&[&prefix[..], key].concat(), value));
        let applied = self.tree.rows().map_or(Err(ApplyError::NotReady), |tree| tree.apply(&batch));
        match applied {
            Ok(_) => {
                self.groups.unflushed.note_applied(&prefix, job.applied.flatten(), told.at);
                self.metrics.rows_taken += told.rows.len() as u64;
                job.stands_at(told.at);
                self.end_taking(job, taking);
            }
            // It is asked for again.
            Err(ApplyError::Stalled | ApplyError::Full) => {
                job.taking = Some(Taking { at: None, ..taking });
            }
            Err(ApplyError::TooLarge | ApplyError::NotReady | ApplyError::Failed) => {
                self.end_taking(job, taking);
            }
        }
    }

    /// There are several pages: their rows go to tables.
    fn ingest_page(&mut self, turn: &mut Turn<'_, D>, job: &mut Job, mut taking: Taking, told: PageTold<'_>) {
        let prefix = job.place.prefix();
        let Some(tree) = self.tree.rows() else { return self.end_taking(job, taking) };
        let begin = || tree.ingest(&prefix, &rows::end_of(&prefix));
        let ingestion = taking.ingestion.unwrap_or_else(begin);
        taking.ingestion = Some(ingestion);
        let Some(tree) = self.tree.rows() else { return self.end_taking(job, taking) };
        for (key, value) in told.rows {
            if !tree.ingest_row(ingestion, &[&prefix[..], key].concat(), value) {
                // It was given up, for want of space.
                return self.end_taking(job, taking);
            }
        }
        self.metrics.rows_taken += told.rows.len() as u64;
        if let Some((key, _)) = told.rows.last() {
            taking.behind = key.to_vec();
        }
        taking.waits_for = WaitsFor::Room;
        if !told.more {
            tree.ingest_end(ingestion);
            taking.waits_for = WaitsFor::Tables;
        } else if tree.ingest_has_room(ingestion) {
            self.ask_for_page(turn, job, &mut taking, 0);
        }
        job.taking = Some(taking);
    }

    /// An ingestion has come to its end: the tree has its rows, or they came to nothing.
    pub(super) fn on_ingestion_ended(&mut self, turn: &mut Turn<'_, D>, id: IngestId, is_there: bool) {
        self.groups.ending.retain(|(ending, _)| *ending != id);
        for fingerprint in self.groups.taking.clone() {
            let Some(mut job) = self.groups.jobs.remove(&fingerprint) else { continue };
            if let Some(taking) = job.taking.take_if(|taking| taking.ingestion == Some(id)) {
                let at = taking.at.filter(|_| is_there);
                self.end_taking(&job, Taking { ingestion: None, ..taking });
                match at {
                    Some(at) => {
                        self.groups.unflushed.note_ingested(&job.place.prefix());
                        job.stands_at(at);
                    }
                    None => {
                        self.finish_job(turn, &job, Brought::Lacking);
                        continue;
                    }
                }
            }
            self.groups.jobs.insert(fingerprint, job);
            self.go_on_with_job(turn, fingerprint);
        }
    }

    /// Has those go on that waited until the tree takes more.
    pub(super) fn take_more(&mut self, turn: &mut Turn<'_, D>) {
        for fingerprint in self.groups.taking.clone() {
            let waits =
                |job: &Job| job.taking.as_ref().is_some_and(|taking| taking.waits_for == WaitsFor::Room);
            if self.groups.jobs.get(&fingerprint).is_some_and(waits) {
                self.go_on_with_job(turn, fingerprint);
            }
        }
    }

    /// All that is taken over is given up.
    pub(super) fn void_takings(&mut self) {
        for fingerprint in std::mem::take(&mut self.groups.taking) {
            let taking = self.groups.jobs.get_mut(&fingerprint).and_then(|job| job.taking.take());
            self.give_up_ingestion(fingerprint, taking.and_then(|taking| taking.ingestion));
        }
    }
}

#[cfg(test)]
mod tests {
    use paxos::Ballot;

    use super::*;

    #[test]
    fn a_page_of_rows_is_sound_or_refused() {
        let at = Name { version: 7, origin: Ballot::new(7, 1, 1) };
        let mut name = Vec::new();
        at.encode(&mut name);
        let (first, row, other): (&[u8], &[u8], &[u8]) = (&[0], &[1, 5], &[2, 0, 0, 0, 1]);
        let is_sound =
            |behind, more, rows: &[(&[u8], &[u8])]| PageTold { key: b"k", at, behind, more, rows }.is_sound();
        assert!(is_sound(&[], false, &[(first, &name)]));
        assert!(is_sound(&[], true, &[(first, &name), (row, b"1"), (other, b"")]));
        assert!(is_sound(row, false, &[(other, b"")]) && is_sound(row, false, &[]));
        assert!(!is_sound(&[], false, &[]), "no name");
        assert!(!is_sound(&[], false, &[(row, b"1")]), "no name");
        assert!(!is_sound(&[], false, &[(first, b"other")]), "another name");
        assert!(!is_sound(row, false, &[(first, &name)]), "a name among rows");
        assert!(!is_sound(&[], false, &[(first, &name), (other, b""), (row, b"")]), "not in order");
        assert!(!is_sound(other, false, &[(row, b"")]), "in front of what is here");
        assert!(!is_sound(row, false, &[(&[0xFF], b"")]), "no key of a row");
        assert!(!is_sound(row, true, &[]), "nothing, and more");
    }
}
