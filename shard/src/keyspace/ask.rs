//! Questions of a survey to the other replicas: sent, repeated, answered.

use paxos::Member;
use reactor::Disk;

use super::place::Place;
use super::survey::{Question, Stage, Survey};
use super::SurveyId;
use crate::core::Shard;
use crate::limits::SURVEY_RESENDS_MAX;
use crate::turn::Turn;
use crate::wire::{PeerMessage, SlotAnswer, SlotAsk, SlotEntry, SlotKey, SlotQuery, SlotSaid};

impl<D: Disk> Shard<D> {
    /// The other members whose links are up.
    pub(super) fn others_up(&self) -> Vec<Member> {
        let me = self.config.me;
        (0..self.members.count()).filter(|m| *m != me && self.peers_up[usize::from(*m)]).collect()
    }

    /// Asks members something; the survey waits for all of them.
    pub(super) fn put_question(
        &mut self,
        turn: &mut Turn<'_, D>,
        survey: &mut Survey,
        ask: SlotAsk,
        members: Vec<Member>,
    ) {
        self.last_query = self.last_query.wrapping_add(1);
        let id = u64::from(self.incarnation) << 32 | u64::from(self.last_query);
        self.metrics.peer_round_trips += 1;
        let question = Question { id, ask, waiting: members, since: turn.clock.now, resends: 0 };
        self.send_question(turn, &question);
        survey.question = Some(question);
    }

    fn send_question(&mut self, turn: &mut Turn<'_, D>, question: &Question) {
        let sender = self.sender();
        let message = PeerMessage::SlotQuery(SlotQuery { id: question.id, ask: question.ask.clone() });
        for member in question.waiting.iter().filter(|member| self.peers_up[usize::from(**member)]) {
            self.metrics.messages_out += 1;
            turn.effects.message(*member, |out| message.encode(sender, out));
        }
    }

    /// Looks whether a survey's question is to be repeated, or whom it waits for is gone.
    pub(super) fn look_after(&mut self, turn: &mut Turn<'_, D>, id: SurveyId) {
        let Some(mut survey) = self.surveys.running.remove(&id) else { return };
        let now = turn.clock.now;
        let again = survey.again_at.is_some_and(|at| at <= now);
        let moved = self.repeat_question(turn, &mut survey);
        self.surveys.running.insert(id, survey);
        if again || moved {
            self.advance(turn, id);
        }
    }

    /// True if the survey may go on: it no longer waits, or starts over.
    fn repeat_question(&mut self, turn: &mut Turn<'_, D>, survey: &mut Survey) -> bool {
        let now = turn.clock.now;
        let Some(question) = &mut survey.question else { return false };
        let late = question.due() <= now;
        if let Stage::Compare(compare) = &survey.stage {
            if !late {
                return false;
            }
            // A majority is enough once the others had their time.
            if compare.said.len() + 1 >= usize::from(self.members.majority()) {
                survey.question = None;
                return true;
            }
            let me = self.config.me;
            let said = |member: &Member| compare.said.iter().any(|(other, _)| other == member);
            question.waiting = (0..self.members.count()).filter(|m| *m != me && !said(m)).collect();
        } else {
            let gone = question.waiting.iter().any(|member| !self.peers_up[usize::from(*member)]);
            if gone || late && question.resends >= SURVEY_RESENDS_MAX {
                self.metrics.survey_restarts += 1;
                survey.start_over();
                return true;
            }
            if !late {
                return false;
            }
        }
        question.resends += 1;
        question.since = now;
        self.metrics.resends += 1;
        let question = survey.question.take();
        if let Some(question) = &question {
            self.send_question(turn, question);
        }
        survey.question = question;
        false
    }

    /// A peer answered. Late, repeated and unexpected answers are dropped.
    pub(crate) fn on_slot_answer(&mut self, turn: &mut Turn<'_, D>, from: Member, answer: SlotAnswer) {
        let asked = |survey: &Survey| {
            survey.question.as_ref().is_some_and(|q| q.id == answer.id && q.waiting.contains(&from))
        };
        let found = self.surveys.running.iter().find(|(_, survey)| asked(survey)).map(|(id, _)| *id);
        let Some(id) = found else { return };
        let Some(mut survey) = self.surveys.running.remove(&id) else { return };
        let taken = match answer.said {
            SlotSaid::Same => take_sums(&mut survey, from, None),
            SlotSaid::Sums(sums) => take_sums(&mut survey, from, Some(sums)),
            SlotSaid::List { entries, more } => take_list(&mut survey, from, entries, more),
            SlotSaid::Keys(keys) => self.take_keys(&mut survey, from, keys, turn.clock.wall_ms),
        };
        if taken {
            self.strike_off(&mut survey, from);
        } else {
            self.metrics.messages_refused += 1;
        }
        self.surveys.running.insert(id, survey);
        self.advance(turn, id);
    }

    /// A member has answered; the question is over when nobody else is needed.
    fn strike_off(&self, survey: &mut Survey, from: Member) {
        let Some(question) = &mut survey.question else { return };
        question.waiting.retain(|member| *member != from);
        let over = match &survey.stage {
            Stage::Compare(compare) => {
                let majority = usize::from(self.members.majority());
                // One equal replica more may spare a merge, so all are waited for a while unless there is none.
                compare.said.len() + 1 >= majority
                    && (question.waiting.is_empty()
                        || (0..compare.own.len()).all(|slot| compare.equals(slot) >= majority))
            }
            Stage::Next | Stage::Walk(_) => question.waiting.is_empty(),
        };
        if over {
            survey.question = None;
        }
    }

    /// Takes keys that a peer has the newest records of. False where the answer does not fit the question.
    fn take_keys(&self, survey: &mut Survey, from: Member, keys: Vec<SlotKey>, wall_ms: u64) -> bool {
        let Some(batch) = survey.batch() else { return false };
        let slot = batch.slot;
        let Some(index) = batch.remote.iter().position(|(member, _)| *member == from) else { return false };
        let mut known = false;
        for SlotKey { fingerprint, live } in keys {
            let (_, wanted) = &mut batch.remote[index];
            let Some(place) = wanted.iter().position(|one| *one == fingerprint) else { continue };
            let is_right =
                |key: &[u8]| crate::slot::slot(key) == slot && self.store.fingerprint(key) == fingerprint;
            if live.as_ref().is_some_and(|live| !is_right(&live.key)) {
                continue;
            }
            wanted.swap_remove(place);
            known = true;
            if let Some(live) = live {
                batch.take_key(live, wall_ms);
            }
        }
        batch.remote.retain(|(_, wanted)| !wanted.is_empty());
        known
    }
}

fn take_sums(survey: &mut Survey, from: Member, sums: Option<Vec<u128>>) -> bool {
    let Stage::Compare(compare) = &mut survey.stage else { return false };
    if sums.as_ref().is_some_and(|sums| sums.len() != compare.own.len()) {
        return false;
    }
    compare.said.push((from, sums));
    true
}

fn take_list(survey: &mut Survey, from: Member, entries: Vec<SlotEntry>, more: bool) -> bool {
    let at = survey.at;
    let Stage::Walk(walk) = &mut survey.stage else { return false };
    let (plans, last) = (&walk.plans, walk.last());
    let fits = |entry: &SlotEntry| Place::from(entry) >= at && entry.slot <= last;
    if plans.is_empty() || walk.batch.is_some() || !entries.iter().all(fits) {
        return false;
    }
    let Some(lister) = walk.listers.iter_mut().find(|lister| lister.member == from) else { return false };
    let end = Place::start(last + 1);
    let reached = entries.last().filter(|_| more).map(|last| at.reached(Place::from(last)));
    lister.until = reached.unwrap_or(end);
    lister.entries = entries.into();
    true
}
