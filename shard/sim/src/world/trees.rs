//! The cores' trees: what they hold of log groups, beside what the groups' entries say (`entries`), and what becomes of a core whose tree is closed.
//!
//! The rows of a group are those of the entry that its name row names, and that entry is chosen. That must hold of every tree at any time: it is
//! looked at in copies of disks whose power failed (`shadow`), and at the end in each core's own tree, with what is in memory.

use std::collections::BTreeMap;

use lsm::{Event as TreeEvent, Scan, Scanned};
use reactor::clock::Nanos;
use reactor::sim::{Faults, SimDisk};
use shard::metrics::Metrics;
use shard::object::Name;
use shard::tree::Standing;
use shard::Shard;

use super::{Event, Place, World};
use crate::class::Class;
use crate::entries::{self, Rows};
use crate::ledger::show;
use crate::limits::SHADOW_TURNS_MAX;
use crate::violation::{invariant, Checked, Violation};

/// Rows of one page of a tree.
const PAGE_ROWS: usize = 64;

/// The last byte of the key of a name row, where other keys of a partition have 1 or 2 (docs/formats/sql.md).
const NAME: u8 = 0;

/// Numbers in front of the name of a partition: flush epoch, table, length of the name.
const HEAD_BYTES: usize = 12;

/// What a core counts of log groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupSums {
    applied: u64,
    asked: u64,
    told: u64,
    trimmed: u64,
    taken: u64,
    pages: u64,
    waited: u64,
    stepped: u64,
}

impl GroupSums {
    pub fn of(metrics: &Metrics) -> GroupSums {
        GroupSums {
            applied: metrics.entries_applied,
            asked: metrics.entries_asked,
            told: metrics.entries_learned,
            trimmed: metrics.entries_trimmed,
            taken: metrics.rows_taken,
            pages: metrics.row_pages_taken,
            waited: metrics.runs_paused,
            stepped: metrics.fill_steps,
        }
    }
}

impl std::ops::Add for GroupSums {
    type Output = GroupSums;

    fn add(self, other: GroupSums) -> GroupSums {
        GroupSums {
            applied: self.applied + other.applied,
            asked: self.asked + other.asked,
            told: self.told + other.told,
            trimmed: self.trimmed + other.trimmed,
            taken: self.taken + other.taken,
            pages: self.pages + other.pages,
            waited: self.waited + other.waited,
            stepped: self.stepped + other.stepped,
        }
    }
}

/// All rows of a group in a tree, and the entry that they are of.
struct Held {
    name: Option<Name>,
    rows: Rows,
}

impl World {
    /// A tree is closed where its disk failed, until the core starts again: the operator sees to that. With a damaged disk it stays closed.
    pub(super) fn note_tree(&mut self, place: Place) -> Checked {
        let core = self.core(place);
        let fault = core.shard().and_then(|shard| shard.tree().fault()).map(ToString::to_string);
        let Some(fault) = fault.filter(|_| !core.tree_closed) else { return Ok(()) };
        if !core.is_sick && !core.is_damaged {
            return Err(Violation::new(invariant::NO_FAULT, format!("the tree of {place}: {fault}")));
        }
        let mended = !core.is_damaged && self.plan.classes.has(Class::LargeTables);
        self.core_mut(place).tree_closed = true;
        self.tell(|| format!("the tree of {place} is closed: {fault}"));
        self.label("a tree was closed");
        if mended {
            self.core_mut(place).disk.set_faults(Faults::default());
            let (after, life) = (self.draw_downtime(), self.hosts[usize::from(place.host)].life);
            self.schedule(self.now + after, Event::Restart { host: place.host, life });
        }
        Ok(())
    }

    /// The rows of each group in a tree are those of a chosen entry.
    pub(super) fn check_rows(&self, place: Place, when: &str, rows: Vec<(Vec<u8>, Vec<u8>)>) -> Checked {
        for (group, held) in groups(rows) {
            let fails = |why: String| {
                let detail = format!("the tree of {place}, {when}: group {}: {why}", show(&group));
                Err(Violation::new(invariant::ROWS, detail))
            };
            let Some(name) = held.name else { return fails("rows of no entry".to_owned()) };
            let lineage = self.ledger.lineage(&group[HEAD_BYTES..]);
            let Some(meant) = lineage.and_then(|lineage| lineage.chosen_rows(name)) else {
                return fails(format!("the entry {} is not chosen", entries::shown(name)));
            };
            if *meant != held.rows {
                let tell = |rows: &Rows| {
                    let row = |(key, value): (&Vec<u8>, &Vec<u8>)| format!("{}={}", show(key), show(value));
                    rows.iter().map(row).collect::<Vec<_>>().join(" ")
                };
                let (found, meant) = (tell(&held.rows), tell(meant));
                let name = entries::shown(name);
                return fails(format!("at {name} there is {found}, and its entries say {meant}"));
            }
        }
        Ok(())
    }

    /// What log groups met.
    pub(super) fn sums_of_groups(&self) -> [(&'static str, u64); 10] {
        let (mut finished, mut again, mut all) = (0, 0, GroupSums::default());
        let mut chosen = vec![0; usize::from(self.plan.cores)];
        for key in self.ledger.watched() {
            let Some(lineage) = self.ledger.lineage(&key) else { continue };
            finished += lineage.finished;
            chosen[usize::from(self.ledger.slice_of(&key))] += lineage.chosen();
        }
        for core in self.hosts.iter().flat_map(|host| &host.cores) {
            let own = core.group_sums();
            again += own.applied.saturating_sub(chosen[usize::from(core.place.core)]);
            all = all + own;
        }
        [
            ("an undecided head of a group was finished", finished),
            ("entries were applied again", again),
            ("entries were applied to rows", all.applied),
            ("a member asked for an entry", all.asked),
            ("entries were told by a peer", all.told),
            ("entries went from a log", all.trimmed),
            ("rows were taken over", all.taken),
            ("pages of rows came", all.pages),
            ("a statement waited for the tree", all.waited),
            ("a step was taken for an index", all.stepped),
        ]
    }

    /// What the entries of groups say of indexes is true of their rows.
    fn check_indexes(&mut self) -> Checked {
        let Some(tables) = &self.tables else { return Ok(()) };
        let mut compared = 0;
        for key in self.ledger.watched() {
            let Some(lineage) = self.ledger.lineage(&key) else { continue };
            let fails = |why: String| {
                let detail = format!("group {}: {why}", show(&key));
                Err(Violation::new(invariant::INDEXES, detail))
            };
            for (group, rows) in lineage.all_chosen() {
                if let Err(why) = tables.schemas.check(&key, group, rows) {
                    return fails(why);
                }
                compared += 1;
            }
        }
        *self.labels.entry("indexes of a group were compared").or_default() += compared;
        match self.hosts_left().len() < usize::from(self.plan.hosts) {
            true => Ok(()),
            false => self.check_filled(),
        }
    }

    /// Indexes of all groups are those of their tables. A host that was down when they were changed, or had no record of the group then, has not seen
    /// to that: the last reads have it done.
    pub(super) fn check_filled(&self) -> Checked {
        let Some(tables) = &self.tables else { return Ok(()) };
        for key in self.ledger.watched().into_iter().filter(|key| !self.ledger.is_gone(key)) {
            let newest = self.ledger.lineage(&key).and_then(|lineage| lineage.all_chosen().next_back());
            let Some((newest, _)) = newest else { continue };
            if tables.schemas.current(newest.table).is_some_and(|now| newest.indexes.next_task(now).is_some())
            {
                let detail =
                    format!("group {}: indexes are not those of the table: {:?}", show(&key), newest.indexes);
                return Err(Violation::new(invariant::INDEXES, detail));
            }
        }
        Ok(())
    }

    /// At the end: what is in each core's tree.
    pub(super) fn check_trees(&mut self) -> Checked {
        if !self.plan.classes.is_drawn(Class::LargeTables) {
            return Ok(());
        }
        self.check_indexes()?;
        for host in self.hosts_left() {
            for place in self.places(host) {
                let now = self.now;
                let Some(rows) = self.core_mut(place).rows(now) else { continue };
                let newest = |group: &[u8]| self.ledger.lineage(&group[HEAD_BYTES..])?.newest();
                let all = groups(rows.clone());
                let behind = all.iter().filter(|(group, held)| held.name != newest(group)).count() as u64;
                *self.labels.entry("rows of a group were compared").or_default() += all.len() as u64;
                *self.labels.entry("rows of a group were behind at the end").or_default() += behind;
                self.check_rows(place, "at the end", rows)?;
            }
        }
        Ok(())
    }
}

/// Rows by what stands in front of their keys: flush epoch, table and the name of the partition.
fn groups(rows: Vec<(Vec<u8>, Vec<u8>)>) -> BTreeMap<Vec<u8>, Held> {
    let mut all = BTreeMap::new();
    for (key, value) in rows {
        let length = key.get(HEAD_BYTES - 4..HEAD_BYTES).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(0, u32::from_be_bytes) as usize;
        let (group, row) = key.split_at(key.len().min(HEAD_BYTES + length));
        let none = || Held { name: None, rows: Rows::new() };
        let held: &mut Held = all.entry(group.to_vec()).or_insert_with(none);
        match row {
            [NAME] => held.name = entries::read_name(&value),
            row => drop(held.rows.insert(row.to_vec(), value)),
        }
    }
    all
}

/// All rows of a shard's tree, which nobody else goes on with: completions of other operations are dropped. None: it is closed, or cannot be read.
pub(super) fn all_rows(
    shard: &mut Shard<SimDisk>,
    disk: &mut SimDisk,
    now: Nanos,
) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut time = now;
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut asked = None;
    for _ in 0..SHADOW_TURNS_MAX {
        let tree = shard.tree_mut();
        match tree.standing() {
            Standing::Closed(_) => return None,
            Standing::Opening => {}
            Standing::Open(_) => {
                let found = match asked {
                    None => match tree.rows()?.scan(disk, page_after(rows.last()), None) {
                        Scanned::Ready(page) => Some(page),
                        Scanned::Pending(ticket) => {
                            asked = Some(ticket);
                            None
                        }
                    },
                    Some(wanted) => {
                        let is_wanted = |event: &TreeEvent| matches!(event, TreeEvent::Scanned { ticket, .. } if *ticket == wanted);
                        match tree.poll_for(is_wanted) {
                            Some(TreeEvent::Scanned { result, .. }) => {
                                asked = None;
                                Some(result.ok()?)
                            }
                            _ => None,
                        }
                    }
                };
                if let Some(page) = found {
                    rows.extend(page.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
                    if !page.more {
                        return Some(rows);
                    }
                    continue;
                }
            }
        }
        time = disk.next_event().map_or(time, |at| at.max(time));
        for completion in disk.poll_completions(time) {
            if tree.owns(completion.id) {
                tree.on_disk(disk, completion);
            }
        }
    }
    None
}

fn page_after(last: Option<&(Vec<u8>, Vec<u8>)>) -> Scan {
    let first = last.map_or(Vec::new(), |(key, _)| [&key[..], &[0]].concat());
    Scan { first: first.into(), end: None, reverse: false, rows_max: PAGE_ROWS, bytes_max: usize::MAX }
}
