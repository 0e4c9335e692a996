//! Commands of a batch that are run on the rows of a group: the part of a run that waits for the disk.

use std::mem;

use lsm::Snapshot;
use reactor::mutants::planted;
use reactor::Disk;

use super::rows::Overlay;
use super::statement::{Source, Statement, Trouble};
use super::{Brought, Place, TreeAnswer, TreeRead};
use crate::batch::{known_reply, note_applied, Next, Run};
use crate::command::on_tree::{self, Done};
use crate::command::{self, Command, Op};
use crate::core::{EntityId, Shard};
use crate::entity::{Queued, Stage};
use crate::error;
use crate::limits::{CONFLICTS_MAX, ENTRY_BYTES_MAX, OVERLAY_BYTES_MAX};
use crate::object::{Group, Name};
use crate::reply::Reply;
use crate::state::{State, Value};
use crate::turn::Turn;

/// What a run knows of the rows of its group.
#[derive(Debug, Default)]
pub(crate) struct OnTree {
    /// The head that the batch extends: its table, and its name.
    pub head: Option<(u32, Name)>,
    /// What the batch has changed so far.
    overlay: Overlay,
    /// The rows are those of the head.
    is_there: bool,
    /// What came of bringing them up to it, where the run waited for that.
    brought: Option<Brought>,
    /// Held while the batch waits.
    snapshot: Option<Snapshot>,
    /// What stands in front of the keys, once that is asked for.
    prefix: Vec<u8>,
    statement: Option<Statement>,
}

impl OnTree {
    /// Of a batch that extends a state.
    pub fn of(state: &State) -> OnTree {
        let head = match &state.value {
            Some(Value::Group(group)) => Some((group.table, group.name(state.version))),
            _ => None,
        };
        OnTree { head, ..OnTree::default() }
    }

    /// The entry that the batch leads to, in the place of the head.
    pub fn make_entry(&self, state: &mut State, ballot: paxos::Ballot) {
        let Some(Value::Group(group)) = &state.value else { return };
        let (table, indexes) = (group.table, group.indexes.clone());
        let base = self.head.filter(|(of, _)| *of == table || planted(556)).map(|(_, name)| name);
        let changes = self.overlay.rows.iter().map(|(key, value)| (&key[..], value.as_deref()));
        state.value = Some(Value::Group(Group::new(table, ballot, base, indexes, changes)));
    }
}

impl<D: Disk> Shard<D> {
    /// Runs a command on the rows of the group that its key is.
    pub(crate) fn run_on_tree(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        run: &mut Run,
        queued: &Queued,
    ) -> Next {
        let Command::Key(command) = &*queued.command else { return Next::Reply(Some(error::UNREADABLE)) };
        let catalog = self.catalogs.shared();
        if run.tree.statement.is_none() {
            let known = known_reply(queued, &run.applied, catalog.version());
            if let Some(reply) = known.filter(|_| !planted(552)) {
                return Next::Reply(reply);
            }
            if run.tree.overlay.bytes > OVERLAY_BYTES_MAX {
                return Next::Full;
            }
            let Some(table) = on_tree::table_on_tree(&queued.command, run.state.value.as_ref(), &catalog)
            else {
                return Next::Reply(Some(error::UNREADABLE));
            };
            let (value, rows_max) = (run.state.value.as_ref(), self.config.fill_rows_max);
            if on_tree::indexes_of(table, value).is_some_and(|indexes| indexes.next_task(table).is_some()) {
                self.expiring.note_undone(self.peek(id).reference);
            }
            let begun = self.with_context(turn.clock.wall_ms, |context| {
                on_tree::begin(command, table, value, rows_max, context)
            });
            let work = match begun {
                Ok(work) => work,
                Err(reply) => return self.end_on_tree(run, queued, reply),
            };
            if let Err(next) = self.stand_on_head(turn, id, run, table.id) {
                return match next {
                    Next::Reply(Some(reply)) => self.end_on_tree(run, queued, reply),
                    next => next,
                };
            }
            if run.number == 0 {
                self.groups.runs += 1;
                run.number = self.groups.runs;
            }
            run.tree.statement = Some(Statement::new(work));
        }
        self.go_on_with_statement(turn, id, run, queued)
    }

    /// Has the rows of the table be those of the head that the batch extends.
    fn stand_on_head(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        run: &mut Run,
        table: u32,
    ) -> Result<(), Next> {
        let name = match run.tree.head {
            Some((of, name)) if of == table => name,
            // Of another table of that name there is nothing.
            _ => return Ok(()),
        };
        if run.tree.is_there {
            return Ok(());
        }
        let entity = self.peek(id);
        let epoch = self.flushing.epoch();
        let place = Place { reference: entity.reference, key: entity.key.clone().into(), epoch, table };
        run.tree.prefix = place.prefix();
        // What is found is chosen, and may not have been accepted here.
        if let Some(entry) = run.found.take() {
            let (reference, key) = (place.reference, place.key.clone());
            if !self.learn_entry(reference, &key, entry) {
                return Err(Next::PutOff);
            }
        }
        // To look once more could mean to wait once more: what was read need not be at hand.
        let brought = run.tree.brought.take();
        match brought.unwrap_or_else(|| self.bring_up(turn, place, name)) {
            Brought::There => {
                run.tree.is_there = true;
                Ok(())
            }
            Brought::UnderWay | Brought::Lacking if planted(548) => {
                run.tree.is_there = true;
                Ok(())
            }
            Brought::UnderWay => Err(Next::Paused),
            Brought::Ahead => {
                // The own head is older than what is chosen: the others know the newer one.
                let entity = self.entity(id);
                entity.collisions = entity.collisions.max(CONFLICTS_MAX);
                Err(Next::PutOff)
            }
            Brought::Lacking => Err(Next::PutOff),
            Brought::Closed => Err(Next::Reply(Some(error::TREE_CLOSED))),
        }
    }

    fn go_on_with_statement(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        run: &mut Run,
        queued: &Queued,
    ) -> Next {
        let Command::Key(command) = &*queued.command else { return Next::Reply(Some(error::UNREADABLE)) };
        let Some(mut statement) = run.tree.statement.take() else { return Next::PutOff };
        let mut begun = Vec::new();
        let tree = match run.tree.is_there {
            true => self.tree.rows().map(|lsm| (lsm, &mut *turn.disk)),
            false => None,
        };
        if run.tree.is_there && tree.is_none() {
            return self.end_on_tree(run, queued, error::TREE_CLOSED);
        }
        let OnTree { overlay, snapshot, prefix, .. } = &mut run.tree;
        let mut source = Source { tree, prefix, snapshot, overlay, begun: &mut begun };
        let ended = statement.step(&mut source);
        begun.into_iter().for_each(|ticket| {
            self.groups.reads.insert(ticket, TreeRead::Statement(id, run.number));
        });
        let ended = match ended {
            None => {
                run.tree.statement = Some(statement);
                return Next::Paused;
            }
            Some(Err(Trouble::Busy)) => return Next::PutOff,
            Some(Err(Trouble::Sql(_))) if matches!(command.op, Op::Vacuum) => {
                // A row whose values are too long for an entry of the index: it cannot be, and is to be dropped.
                self.metrics.fills_refused += 1;
                return self.end_on_tree(run, queued, Reply::Int(0));
            }
            Some(Err(Trouble::Sql(error))) => {
                return self.end_on_tree(run, queued, command::sql_error(&error));
            }
            Some(Err(Trouble::Read(error))) => {
                return self.end_on_tree(run, queued, error::rows_unreadable(&error));
            }
            Some(Ok(ended)) => ended,
        };
        let catalog = self.catalogs.shared();
        let value = run.state.value.as_ref();
        let Some(table) = on_tree::table_on_tree(&queued.command, value, &catalog) else {
            return self.end_on_tree(run, queued, error::UNREADABLE);
        };
        let done = self
            .with_context(turn.clock.wall_ms, |context| on_tree::end(command, ended, table, value, context));
        let Done { reply, changes, indexes } = done;
        let bytes = |change: &sql::Change| change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        let bytes: usize = changes.iter().map(bytes).sum();
        if bytes > ENTRY_BYTES_MAX - OVERLAY_BYTES_MAX {
            return self.end_on_tree(run, queued, error::ENTRY_TOO_LARGE);
        }
        let before = mem::replace(&mut run.state.changed, false);
        if let Some(indexes) = indexes {
            self.metrics.fill_steps += u64::from(matches!(command.op, Op::Vacuum));
            // The entry takes its place in the end.
            let none = Group::new(table.id, run.ballot, None, indexes, std::iter::empty());
            run.state.put(Value::Group(none), 0);
            run.tree.overlay.add(changes);
        }
        note_applied(queued, &mut run.state, &mut run.applied, &reply, before, &mut self.scratch);
        Next::Reply(Some(reply))
    }

    /// The reply to a command that changes nothing.
    fn end_on_tree(&mut self, run: &mut Run, queued: &Queued, reply: Reply) -> Next {
        let before = mem::replace(&mut run.state.changed, false);
        note_applied(queued, &mut run.state, &mut run.applied, &reply, before, &mut self.scratch);
        Next::Reply(Some(reply))
    }

    // ---- what was waited for ----

    /// A statement has got what it asked for; if that is all, then its batch goes on.
    pub(crate) fn on_statement_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        (id, number): (EntityId, u64),
        answer: TreeAnswer,
    ) {
        let Some(entity) = self.entities.get_mut(id) else { return };
        let Some(run) = entity.run.as_mut().filter(|run| run.number == number) else { return };
        let OnTree { overlay, prefix, statement, .. } = &mut run.tree;
        let Some(statement) = statement else { return };
        match answer {
            TreeAnswer::Got(ticket, result) => statement.got(ticket, result),
            TreeAnswer::Scanned(result) => statement.scanned(prefix, overlay, result),
        }
        if !statement.is_waiting() {
            self.resume(turn, id);
        }
    }

    /// The rows of a group are those of an entry, or will not be: a run that waits for its rows goes on, or looks anew.
    pub(crate) fn on_brought(&mut self, turn: &mut Turn<'_, D>, place: &Place, to: Name, brought: Brought) {
        self.groups.regaining.note_brought(place.reference.1, to, brought);
        let Some(id) = self.find(place.reference, &place.key) else { return };
        let entity = self.entity(id);
        let waits = |run: &&mut Run| run.tree.statement.is_none();
        let Some(run) = entity.run.as_deref_mut().filter(waits) else { return };
        run.tree.brought = (run.tree.head == Some((place.table, to))).then_some(brought);
        self.resume(turn, id);
    }

    /// The run of a batch comes to nothing: it begins anew.
    pub(crate) fn give_up_run(&mut self, id: EntityId) {
        let entity = self.entity(id);
        entity.run = None;
        entity.replies.clear();
        entity.instance.abandon();
        entity.instance.abandon_read();
        entity.stage = Stage::Idle;
    }
}

#[cfg(test)]
mod tests {
    use paxos::Ballot;

    use super::*;
    use crate::object::Indexes;

    #[test]
    fn an_entry_stands_on_the_head_of_its_own_table() {
        let (before, ballot) = (Ballot::new(1, 1, 1), Ballot::new(2, 1, 1));
        let head =
            |table| Value::Group(Group::new(table, before, None, Indexes::default(), std::iter::empty()));
        let mut state = State { value: Some(head(7)), version: 40, ..State::default() };
        let mut tree = OnTree::of(&state);
        tree.overlay.add(vec![sql::Change { key: b"k".to_vec(), value: None }]);
        tree.make_entry(&mut state, ballot);
        let Some(Value::Group(entry)) = &state.value else { panic!("an entry") };
        assert_eq!((state.version, entry.base), (40, Some(Name { version: 40, origin: before })));
        assert_eq!((entry.origin, entry.changes().count()), (ballot, 1));
        // Another table of that name starts from nothing.
        let mut state = State { value: Some(head(7)), version: 40, ..State::default() };
        let tree = OnTree::of(&state);
        state.put(head(8), 0);
        tree.make_entry(&mut state, ballot);
        let Some(Value::Group(entry)) = &state.value else { panic!("an entry") };
        assert_eq!((state.version, entry.base, entry.table), (41, None, 8));
    }
}
