//! Keys of a survey: read here, or asked of a peer.

use bitcask::Read;
use reactor::Disk;

use super::place::Place;
use super::survey::{Stage, Survey};
use super::walk::Step;
use super::{Reader, SurveyId, SurveyRead};
use crate::core::{Loading, Shard};
use crate::limits::ASK_KEYS_MAX;
use crate::turn::Turn;
use crate::wire::SlotAsk;

impl<D: Disk> Shard<D> {
    /// Goes on with the keys at hand: reads, then asks.
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
        let Stage::Walk(walk) = &mut survey.stage else { return Step::On };
        if let Some(batch) = walk.batch.take() {
            survey.at = batch.until;
            let (slot, store) = (batch.slot, &self.store);
            let place = |key: &[u8]| Place { slot, fingerprint: store.key_ref(slot, key).1 };
            survey.job.take(batch.keys, batch.seen, |below| self.rng.below(below), place);
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
                    batch.take_found(Some(&found), (self.flushing.epoch(), turn.clock.wall_ms));
                }
                // A tombstone that was dropped since it was listed.
                Read::Absent => batch.reads.ended(bytes),
            }
        }
    }
}
