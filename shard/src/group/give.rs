//! Rows for peers that lack entries which are not in the log any more: pages of a snapshot of the tree, which is held from the first page to
//! the last, as long as the peer goes on asking.
//!
//! The name row comes first, and says of which entry the rows are: one that is known to be chosen here.

use lsm::{Get, ReadError, Rows, Scan, Scanned, Snapshot, Version};
use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::advance::{name_in, TreeRead};
use super::{rows, Place};
use crate::core::Shard;
use crate::limits::{GIVEN_NS, GROUP_GIVES_MAX, GROUP_SERVES_MAX, PAGE_BYTES_MAX};
use crate::object::Name;
use crate::turn::Turn;
use crate::wire::{GroupSaid, PeerMessage};

/// A peer that is given the rows of a group.
#[derive(Debug)]
pub(super) struct Given {
    to: Member,
    place: Place,
    snapshot: Snapshot,
    /// Of which entry they are, once that was read.
    at: Option<Name>,
    /// When it is given up.
    pub until: Nanos,
}

/// What the tree is read for, for a peer.
#[derive(Debug)]
pub(super) enum Giving {
    /// Whether an entry that is not in the log is one that the rows are of, or a later one is.
    Gone { to: Member, key: Box<[u8]>, name: Name },
    /// Rows.
    Page(Page),
}

/// Rows that a peer asks for.
#[derive(Debug)]
pub(super) struct Page {
    to: Member,
    place: Place,
    /// The entry that they must be of, or a later one.
    name: Name,
    /// Those that come behind this key; empty: the first ones.
    behind: Box<[u8]>,
    /// The tree's, as it is held.
    version: Version,
}

/// Rows of which a peer says where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowsAsked<'a> {
    pub key: &'a [u8],
    pub name: Name,
    pub epoch: u32,
    pub table: u32,
    pub at: Option<Name>,
    pub behind: &'a [u8],
}

impl<D: Disk> Shard<D> {
    /// An entry that a peer asks for is not in the log: it is told so, and of what the rows are, if they have what the entry came to.
    pub(super) fn look_for_gone(&mut self, turn: &mut Turn<'_, D>, to: Member, place: &Place, name: Name) {
        let key = rows::name_key(&place.prefix());
        let Some(tree) = self.tree.rows() else { return self.say_gone(turn, to, &place.key, (name, None)) };
        match tree.get(turn.disk, &key, None) {
            Get::Ready(bytes) => {
                let at = name_in(bytes.as_deref()).ok().flatten();
                self.say_gone(turn, to, &place.key, (name, at));
            }
            Get::Pending(ticket) => {
                self.wait_to_give(ticket, Giving::Gone { to, key: place.key.clone(), name });
            }
        }
    }

    /// A read was begun for a peer. Where too many are under way the peer asks again.
    fn wait_to_give(&mut self, ticket: lsm::Ticket, giving: Giving) {
        let is_room = self.groups.giving.len() < GROUP_SERVES_MAX;
        self.groups.reads.insert(ticket, if is_room { TreeRead::Giving } else { TreeRead::Nothing });
        if is_room {
            self.groups.giving.insert(ticket, giving);
        }
    }

    fn say_gone(&mut self, turn: &mut Turn<'_, D>, to: Member, key: &[u8], (name, at): (Name, Option<Name>)) {
        let said = match at.filter(|at| *at >= name) {
            Some(at) => GroupSaid::Gone { key, name, at },
            None => GroupSaid::Tell { key, name, entries: Vec::new() },
        };
        self.say_of_group(turn, to, &said);
    }

    pub(super) fn say_of_group(&mut self, turn: &mut Turn<'_, D>, to: Member, said: &GroupSaid<'_>) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Group(said.clone()).encode(sender, out));
    }

    /// A peer asks for rows. If what it was given so far is not held any more, then it begins anew.
    pub(super) fn give_rows(&mut self, turn: &mut Turn<'_, D>, to: Member, slot: u16, asked: RowsAsked<'_>) {
        let RowsAsked { key, name, epoch, table, at, behind } = asked;
        let is_here = epoch == self.flushing.epoch() && self.catalogs.current().table_by_id(table).is_some();
        if !is_here {
            return;
        }
        let place = Place { reference: self.store.key_ref(slot, key), key: key.into(), epoch, table };
        let until = turn.clock.now + GIVEN_NS;
        let given = self.groups.given.iter_mut().find(|given| given.to == to && given.place == place);
        let is_held = given.is_some_and(|given| {
            given.until = until;
            at.is_some() && given.at == at
        });
        if !is_held {
            self.groups.given.retain(|given| given.to != to || given.place != place);
            let room = self.groups.given.len() < GROUP_GIVES_MAX;
            let snapshot = self.tree.rows().filter(|_| room).and_then(|tree| tree.snapshot());
            let Some(snapshot) = snapshot else { return };
            let place = place.clone();
            self.groups.given.push(Given { to, place, snapshot, at: None, until });
        }
        let behind = if is_held { behind.into() } else { Box::default() };
        let held = self.groups.given.iter().find(|given| given.to == to && given.place == place);
        let Some(snapshot) = held.map(|given| given.snapshot.clone()) else { return };
        let version = snapshot.version();
        self.read_page(turn, Page { to, place, name, behind, version }, &snapshot);
    }

    fn read_page(&mut self, turn: &mut Turn<'_, D>, page: Page, snapshot: &Snapshot) {
        let prefix = page.place.prefix();
        let first = match page.behind.is_empty() {
            true => prefix.clone(),
            false => [&prefix[..], &page.behind, &[0]].concat(),
        };
        let scan = Scan {
            first: first.into(),
            end: Some(rows::end_of(&prefix).into()),
            reverse: false,
            rows_max: self.config.row_page_max,
            bytes_max: PAGE_BYTES_MAX / 2,
        };
        let Some(tree) = self.tree.rows() else { return };
        match tree.scan(turn.disk, scan, (!planted(559)).then_some(snapshot)) {
            Scanned::Ready(found) => self.give_page(turn, &page, &found),
            Scanned::Pending(ticket) => self.wait_to_give(ticket, Giving::Page(page)),
        }
    }

    /// The place in the list of what a page is of, if that is still held.
    fn given(&self, page: &Page) -> Option<usize> {
        let is_it = |given: &Given| given.to == page.to && given.place == page.place;
        let is_held = |given: &Given| is_it(given) && given.snapshot.version() == page.version;
        self.groups.given.iter().position(is_held)
    }

    /// A name row was read for a peer.
    pub(super) fn on_given_name(
        &mut self,
        turn: &mut Turn<'_, D>,
        ticket: lsm::Ticket,
        result: Result<Option<lsm::Value>, ReadError>,
    ) {
        let Some(Giving::Gone { to, key, name }) = self.groups.giving.remove(&ticket) else { return };
        let at = result.ok().and_then(|bytes| name_in(bytes.as_deref()).ok().flatten());
        self.say_gone(turn, to, &key, (name, at));
    }

    /// Rows were read for a peer. Where they cannot be, it asks elsewhere.
    pub(super) fn on_given_rows(
        &mut self,
        turn: &mut Turn<'_, D>,
        ticket: lsm::Ticket,
        result: Result<Rows, ReadError>,
    ) {
        let Some(Giving::Page(page)) = self.groups.giving.remove(&ticket) else { return };
        if let Ok(found) = result {
            self.give_page(turn, &page, &found);
        }
    }

    fn give_page(&mut self, turn: &mut Turn<'_, D>, page: &Page, found: &Rows) {
        let Some(given) = self.given(page) else { return };
        let prefix = page.place.prefix();
        let known = self.groups.given[given].at;
        let first = || {
            let (key, value) = (!found.is_empty()).then(|| found.row(0))?;
            let is_name = key == rows::name_key(&prefix);
            is_name.then(|| rows::read_name(value).ok()).flatten().filter(|at| *at >= page.name)
        };
        let at = if page.behind.is_empty() { first() } else { known };
        let Some(at) = at else {
            // There are none, or they are older than what is asked for.
            self.groups.given.swap_remove(given);
            return self.say_gone(turn, page.to, &page.place.key, (page.name, None));
        };
        self.groups.given[given].at = Some(at);
        let rows = found.iter().map(|(key, value)| (&key[prefix.len()..], value)).collect();
        let said = GroupSaid::Rows { key: &page.place.key, at, behind: &page.behind, more: found.more, rows };
        self.metrics.row_pages_given += 1;
        self.say_of_group(turn, page.to, &said);
        if !found.more {
            self.groups.given.swap_remove(given);
        }
    }

    /// What nobody asks for any more is held no longer.
    pub(super) fn drop_given(&mut self, now: Nanos) {
        self.groups.given.retain(|given| given.until > now);
    }
}
