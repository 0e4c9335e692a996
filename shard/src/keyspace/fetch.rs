//! Keys of a survey: read here, asked of a peer, and, for a sweep, deleted.

use std::rc::Rc;

use bitcask::Read;
use reactor::Disk;

use super::survey::{Stage, Survey};
use super::walk::Step;
use super::{Reader, SurveyId, SurveyRead};
use crate::command::{Command, KeyCommand, Op};
use crate::core::{Loading, Shard};
use crate::entity::{Queued, Waiter};
use crate::limits::{ASK_KEYS_MAX, FLUSH_DELETES_MAX, MS};
use crate::turn::Turn;
use crate::wire::SlotAsk;

impl<D: Disk> Shard<D> {
    /// Goes on with the keys at hand: reads, then asks, then deletes if that is wanted.
    pub(super) fn go_on_reading(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: SurveyId,
        survey: &mut Survey,
    ) -> Step {
        self.start_reads(turn, id, survey);
        let Some(batch) = survey.batch() else { return Step::On };
        if let Some((member, fingerprints)) = batch.remote.first() {
            let (member, slot) = (*member, batch.slot);
            let fingerprints = fingerprints.iter().take(ASK_KEYS_MAX).copied().collect();
            self.put_question(turn, survey, SlotAsk::Keys { slot, fingerprints }, vec![member]);
            return Step::Wait;
        }
        if !batch.is_read() {
            return Step::Wait;
        }
        if survey.job.is_sweep() && !self.delete_some(turn, id, survey) {
            return Step::Wait;
        }
        let Stage::Walk(walk) = &mut survey.stage else { return Step::On };
        if let Some(batch) = walk.batch.take() {
            survey.at = batch.until;
            survey.job.take(batch.keys, batch.seen, |below| self.rng.below(below));
        }
        Step::On
    }

    /// Starts as many reads from disk as may be under way at a time.
    pub(super) fn start_reads(&mut self, turn: &mut Turn<'_, D>, id: SurveyId, survey: &mut Survey) {
        let Some(batch) = survey.batch() else { return };
        while let Some((fingerprint, bytes)) = batch.reads.next() {
            self.metrics.disk_reads += 1;
            match self.store.read_newest_fingerprint(turn.disk, (batch.slot, fingerprint)) {
                Read::Pending(ticket) => {
                    let read = SurveyRead { reader: Reader::Survey(id), fingerprint, bytes };
                    self.expect_read(ticket, Loading::Survey(read));
                }
                Read::Ready(found) => {
                    batch.reads.ended(bytes);
                    batch.take_found(Some(&found), turn.clock.wall_ms);
                }
                // A tombstone that was dropped since it was listed.
                Read::Absent => batch.reads.ended(bytes),
            }
        }
    }

    /// Deletes keys of the batch, a bounded number at a time; true once all are answered.
    fn delete_some(&mut self, turn: &mut Turn<'_, D>, id: SurveyId, survey: &mut Survey) -> bool {
        let deadline = survey.deadline;
        let Some(batch) = survey.batch() else { return true };
        while batch.deleting < FLUSH_DELETES_MAX && self.commands < self.config.commands_max {
            let Some(key) = batch.keys.pop() else { break };
            let slot = batch.slot;
            let command = Rc::new(Command::Key(KeyCommand { key, op: Op::Delete(None) }));
            let bytes = command.bytes();
            self.commands += 1;
            self.command_bytes += bytes;
            batch.deleting += 1;
            let waiter = Waiter::Survey(id);
            let queued = Queued::new(waiter, self.own_id(false), command, bytes, deadline);
            self.enqueue(turn, slot, queued);
        }
        let (over, stuck) = (batch.keys.is_empty() && batch.deleting == 0, batch.deleting == 0);
        if !over && stuck {
            // Clients have taken all places for commands.
            survey.again_at = Some(turn.clock.now + MS);
        }
        over
    }

    /// Notes the answers to deletions, and lets their surveys go on.
    pub(super) fn collect_deleted(&mut self, turn: &mut Turn<'_, D>) {
        self.surveys.deleted_at = None;
        let answers = std::mem::take(&mut self.surveys.deleted);
        let mut ids = Vec::new();
        for (id, reply) in answers {
            let Some(survey) = self.surveys.running.get_mut(&id) else { continue };
            survey.job.take_deleted(reply);
            if let Some(batch) = survey.batch() {
                batch.deleting -= 1;
            }
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
        ids.into_iter().for_each(|id| self.advance(turn, id));
    }
}
