//! Clients that ask about the keyspace, and what they are told.
//!
//! Each asks one slice of its host: a host's reply is put together from those of its cores, which is `node`'s part.

use std::collections::BTreeMap;

use paxos::Ballot;
use reactor::clock::{Nanos, MILLISECOND};
use shard::command::{Command, Limits};
use shard::reply::Reply;
use shard::slot::slot;
use shard::RequestId;
use synod_bench::history::{self, Operation, OperationId};

use super::clients::{Asker, Outstanding};
use super::{Event, Phase, Place, World};
use crate::flushes::Flush;
use crate::limits::{DEADLINE_MAX, LAST_READ_DEADLINE, PIPELINE_MAX, QUIET, SCAN_COUNT_MAX, SETTLE};
use crate::objects;
use crate::rows;
use crate::survey::{judge, page, presence, Presence, Query, Scan};
use crate::violation::Checked;
use crate::workload::Kind;

/// The client in whose name flushes empty keys that came after they were asked for.
const LATE_FLUSHES: u32 = 4000;

/// A command about the keyspace that a client asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub query: Query,
    /// When.
    pub since: Nanos,
}

impl World {
    /// A client asks about the keyspace.
    pub(super) fn issue_survey(&mut self, client: u32, at: Place) {
        let entry = &mut self.clients[client as usize];
        entry.left -= 1;
        let scan = entry.scan.take();
        let slice = match &scan {
            Some(scan) => scan.slice,
            None => self.work.below(u64::from(self.plan.cores)) as u16,
        };
        let query = scan.map_or_else(|| self.draw_query(slice), Query::Scan);
        let deadline = self.now + self.work.between(30 * MILLISECOND, DEADLINE_MAX);
        let request = self.open_survey(query, at, slice, Some(client), deadline);
        self.clients[client as usize].waits_for.insert(request);
        let arrival = self.client_delay();
        self.schedule(self.now + arrival, Event::Ask { request });
        let patience = self.work.between(self.plan.patience, 4 * self.plan.patience);
        self.schedule(self.now + patience, Event::GiveUp { client, request });
    }

    fn open_survey(
        &mut self,
        query: Query,
        at: Place,
        slice: u16,
        client: Option<u32>,
        deadline: Nanos,
    ) -> RequestId {
        let words = query.words();
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let command = Command::parse(&args, &Limits::default()).expect("a query has its words");
        let asked = Box::new(Asked { query, since: self.now });
        let asker = Asker::Survey { client, asked };
        let (arrived, chosen) = (false, Ballot::ZERO);
        self.open_request(Outstanding { at, slice, asker, deadline, command, arrived, chosen })
    }

    fn draw_query(&mut self, slice: u16) -> Query {
        let keys = self.keys_of(slice);
        let any = |world: &mut World| keys.get(world.work.below(keys.len().max(1) as u64) as usize).cloned();
        match self.work.below(12) {
            0 | 1 => Query::Size,
            2 | 3 => Query::Keys(None),
            4 => Query::Keys(any(self).and_then(|key| key.first().copied())),
            5 => Query::Random,
            6 => Query::CountInSlot(any(self).map_or(0, |key| slot(&key))),
            7 => Query::KeysInSlot(any(self).map_or(0, |key| slot(&key)), 1 + self.work.below(2)),
            8 => Query::Size,
            _ => {
                let count = self.work.between(1, SCAN_COUNT_MAX);
                Query::Scan(Scan { slice, since: self.now, cursor: 0, count, keys: Vec::new() })
            }
        }
    }

    /// A client has all keys of a slice emptied: each of them, to the history.
    pub(super) fn issue_flush(&mut self, client: u32, at: Place) {
        self.clients[client as usize].left -= 1;
        let slice = self.work.below(u64::from(self.plan.cores)) as u16;
        let thread = client * PIPELINE_MAX as u32;
        let keys = self.keys_of(slice);
        let clear = |key: &Vec<u8>| self.history.call(thread, key, history::Command::Clear, self.now);
        let operations: Vec<OperationId> = keys.iter().map(clear).collect();
        let deadline = self.now + self.work.between(30 * MILLISECOND, DEADLINE_MAX);
        let query = Query::Flush(self.flushes.len());
        self.flushes.push(Flush { slice, call: self.now, operations, is_settled: false });
        let request = self.open_survey(query, at, slice, Some(client), deadline);
        self.clients[client as usize].waits_for.insert(request);
        let arrival = self.client_delay();
        self.schedule(self.now + arrival, Event::Ask { request });
        let patience = self.work.between(self.plan.patience, 4 * self.plan.patience);
        self.schedule(self.now + patience, Event::GiveUp { client, request });
    }

    /// All keys of a slice that there ever were.
    fn keys_of(&self, slice: u16) -> Vec<Vec<u8>> {
        self.ledger.watched().into_iter().filter(|key| self.ledger.slice_of(key) == slice).collect()
    }

    /// What clients know of a key since then.
    fn presence_of(&self, key: &[u8], since: Nanos) -> Presence {
        // Of a table that was dropped partitions lie there until somebody sweeps them.
        if rows::name_of(key).is_some() || objects::may_lack_value(key) {
            return Presence::Either;
        }
        let operations: Vec<&Operation> =
            self.history.operations.iter().filter(|one| one.key == key).collect();
        presence(&operations, self.workload.kind_of(key) == Kind::Expiring, since, self.now)
    }

    /// The reply to a command about the keyspace leaves.
    pub(super) fn on_survey(
        &mut self,
        slice: u16,
        request: RequestId,
        client: Option<u32>,
        asked: Asked,
        reply: &Reply,
    ) -> Checked {
        let Some(client) = client else { return self.on_last_survey(slice, &asked.query, reply) };
        if let Reply::Error(_) = reply {
            self.label("a survey failed");
        } else {
            self.label("a survey was answered");
            let since = if let Query::Scan(scan) = &asked.query { scan.since } else { asked.since };
            let of = |key: Vec<u8>| {
                let presence = self.presence_of(&key, since);
                (key, presence)
            };
            let keys: BTreeMap<Vec<u8>, Presence> = self.keys_of(slice).into_iter().map(of).collect();
            judge(&asked.query, reply, &keys)?;
        }
        if !self.waits(client, request) {
            return Ok(());
        }
        match asked.query {
            Query::Scan(scan) => self.go_on_scanning(client, scan, reply),
            Query::Flush(flush) => self.note_flushed(flush, reply),
            _ => {}
        }
        let delay = self.client_delay();
        self.schedule(self.now + delay, Event::Answer { client, request, reply: Box::new(reply.clone()) });
        Ok(())
    }

    fn go_on_scanning(&mut self, client: u32, mut scan: Scan, reply: &Reply) {
        let Some((cursor, mut keys)) = page(reply) else { return };
        if cursor == 0 {
            return self.label("a walk by SCAN came to its end");
        }
        scan.cursor = cursor;
        scan.keys.append(&mut keys);
        self.clients[client as usize].scan = Some(scan);
    }

    /// A key comes to be: flushes that were asked for and may come yet empty it, too.
    pub(super) fn note_new_key(&mut self, key: &[u8]) {
        let slice = self.ledger.slice_of(key);
        for flush in self.flushes.iter_mut().filter(|flush| flush.slice == slice && !flush.is_settled) {
            flush.operations.push(self.history.call(LATE_FLUSHES, key, history::Command::Clear, flush.call));
        }
    }

    /// A flush was answered.
    fn note_flushed(&mut self, flush: usize, reply: &Reply) {
        let operations = self.flushes[flush].operations.clone();
        self.flushes[flush].is_settled =
            !matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"));
        match reply {
            Reply::Error(text) if text.starts_with("UNCERTAIN") => {
                self.label("a flush is uncertain");
                self.workload.note_unsure_flush();
            }
            Reply::Error(_) => {
                self.label("a flush was refused");
                operations.iter().for_each(|operation| self.history.failed(*operation));
            }
            _ => {
                self.label("keys were flushed");
                let slice = usize::from(self.flushes[flush].slice);
                let cores = self.hosts.iter().filter_map(|host| host.cores[slice].shard());
                if cores.into_iter().any(|shard| shard.is_full()) {
                    self.label("keys were flushed while a disk was full");
                }
                let ok = |operation: &OperationId| {
                    self.history.replied(*operation, self.now, history::Reply::Ok, None);
                };
                operations.iter().for_each(ok);
            }
        }
    }

    /// After the last reads each slice of each host is asked for its keys, and how many they are.
    pub(super) fn survey_everything(&mut self, level: bool) {
        self.phase = Phase::LastSurveys { level };
        for host in self.hosts_left() {
            for place in self.places(host) {
                for query in [Query::Keys(None), Query::Size] {
                    let deadline = self.now + LAST_READ_DEADLINE;
                    let request = self.open_survey(query, place, place.core, None, deadline);
                    self.schedule(self.now, Event::Ask { request });
                }
            }
        }
        self.schedule(self.now + LAST_READ_DEADLINE + SETTLE, Event::Finish);
    }

    /// They must be those that the last reads found, give or take what ends by itself.
    fn on_last_survey(&mut self, slice: u16, query: &Query, reply: &Reply) -> Checked {
        let level = self.phase == Phase::LastSurveys { level: true };
        let of = |(key, replies): (&Vec<u8>, &Vec<history::Reply>)| {
            let presence = match (replies.first(), self.workload.kind_of(key)) {
                _ if rows::name_of(key).is_some() || objects::may_lack_value(key) => Presence::Either,
                (Some(history::Reply::Nil) | None, _) if level => Presence::Absent,
                (Some(history::Reply::Nil) | None, _) => Presence::Either,
                (_, Kind::Expiring) => Presence::Either,
                _ => Presence::There,
            };
            (key.clone(), presence)
        };
        let own = self.last_reads.iter().filter(|(key, _)| self.ledger.slice_of(key) == slice);
        judge(query, reply, &own.map(of).collect())?;
        if self.outstanding.is_empty() {
            self.queue.retain(|_, event| !matches!(event, Event::Finish));
            self.phase = Phase::Quiet;
            self.schedule(self.now + QUIET, Event::Finish);
        }
        Ok(())
    }
}
