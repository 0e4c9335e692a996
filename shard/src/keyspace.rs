//! Commands about whole slots: DBSIZE, SCAN, KEYS, RANDOMKEY, FLUSHALL, answered from a majority.

use paxos::Member;
use reactor::clock::Nanos;
use reactor::Disk;

use crate::command::Keyspace;
use crate::core::Shard;
use crate::error::Fault;
use crate::reply::Reply;
use crate::turn::{RequestId, Scope, Turn};
use crate::wire::{SlotAnswer, SlotQuery};

/// What a disk read of a survey is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SurveyRead {}

/// The surveys under way.
#[derive(Debug, Default)]
pub(crate) struct Surveys {}

impl Surveys {
    pub fn deadline(&self) -> Option<Nanos> {
        None
    }
}

impl<D: Disk> Shard<D> {
    pub(crate) fn survey(
        &mut self,
        turn: &mut Turn<'_, D>,
        request: RequestId,
        _: Keyspace,
        _: Scope,
        _: Nanos,
    ) {
        turn.effects.replies.push((request, Reply::error("ERR not built yet")));
    }
    pub(crate) fn survey_timers(&mut self, _: &mut Turn<'_, D>) {}
    pub(crate) fn fail_surveys(&mut self, _: &mut Turn<'_, D>, _: &Fault) {}
    pub(crate) fn on_survey_read(&mut self, _: &mut Turn<'_, D>, _: SurveyRead, _: Option<bitcask::Found>) {}
    pub(crate) fn on_slot_query(&mut self, _: &mut Turn<'_, D>, _: Member, _: &SlotQuery) {}
    pub(crate) fn on_slot_answer(&mut self, _: &mut Turn<'_, D>, _: Member, _: SlotAnswer) {}
}
