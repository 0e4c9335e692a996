//! What is known of one survey.

use std::collections::VecDeque;

use bitcask::{Fingerprint, Found, Kind, SlotSummary};
use paxos::Member;
use reactor::clock::Nanos;

use super::job::Job;
use super::place::Place;
use crate::command::{Keyspace, CATALOG_KEY};
use crate::flush::epoch::is_older;
use crate::limits::{RESEND_NS, RESEND_NS_MAX, SLOTS, SURVEY_READS_MAX, SURVEY_READ_BYTES_MAX};
use crate::objects::newest_part;
use crate::record::Record;
use crate::state::Type;
use crate::turn::{RequestId, Scope};
use crate::wire::{LiveKey, SlotAsk, SlotEntry};

/// A command about the keyspace on its way through the slots.
#[derive(Debug)]
pub(super) struct Survey {
    pub request: RequestId,
    /// What was asked, to begin anew.
    pub asked: Box<(Keyspace, Scope)>,
    pub job: Job,
    pub deadline: Nanos,
    /// Runs of slots still to be looked at. The first one goes on at `at`.
    pub runs: VecDeque<(u16, u16)>,
    pub at: Place,
    pub stage: Stage,
    pub question: Option<Question>,
    /// When it goes on by itself.
    pub again_at: Option<Nanos>,
}

/// Who asked, and what, of which slots.
pub(super) type Asked = (RequestId, Box<(Keyspace, Scope)>);

/// What it is doing.
#[derive(Debug)]
pub(super) enum Stage {
    /// A range of slots is to be chosen.
    Next,
    /// Sums of a range are compared.
    Compare(Compare),
    /// The slots of a range are gone through.
    Walk(Walk),
}

/// A comparison of sums.
#[derive(Debug)]
pub(super) struct Compare {
    pub first: u16,
    /// What this replica held of each slot when it asked.
    pub own: Vec<SlotSummary>,
    /// The members that answered, with the slots' sums where those are others.
    pub said: Vec<(Member, Option<Vec<u128>>)>,
}

/// What is to be done with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A majority has the same, and no more is wanted than this number of keys.
    Known(u32),
    /// A majority has the same: the own directory is the truth.
    Own,
    /// The lists of a majority are merged.
    Merge,
}

/// The way through a range of slots.
#[derive(Debug)]
pub(super) struct Walk {
    pub first: u16,
    pub plans: Vec<Plan>,
    /// The members whose lists, with the own one, are a majority.
    pub listers: Vec<Lister>,
    pub batch: Option<Batch>,
}

/// What a member listed.
#[derive(Debug)]
pub(super) struct Lister {
    pub member: Member,
    pub entries: VecDeque<SlotEntry>,
    /// Up to where it has listed everything.
    pub until: Place,
}

/// Keys of one slot that are being read.
#[derive(Debug)]
pub(super) struct Batch {
    pub slot: u16,
    /// Where the walk goes on after it.
    pub until: Place,
    /// Records looked at for it.
    pub seen: u64,
    pub reads: Reads,
    /// What only other members have the newest record of.
    pub remote: Vec<(Member, Vec<Fingerprint>)>,
    pub keys: Vec<Box<[u8]>>,
    /// Of which type they are to be; None: of any.
    pub kind: Option<Type>,
}

/// Reads from disk: those to come and those under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub queue: VecDeque<(Fingerprint, u32)>,
    under_way: usize,
    bytes: u64,
}

/// A question that is out.
#[derive(Debug)]
pub(super) struct Question {
    pub id: u64,
    pub ask: SlotAsk,
    /// Who has not answered.
    pub waiting: Vec<Member>,
    pub since: Nanos,
    pub resends: u32,
}

impl Survey {
    /// One over runs of slots, which need not be in order.
    pub fn new((request, asked): Asked, job: Job, deadline: Nanos, mut runs: Vec<(u16, u16)>) -> Survey {
        runs.sort_unstable();
        let at = Place::start(runs.first().map_or(SLOTS, |run| run.0));
        let runs = VecDeque::from(runs);
        Survey { request, asked, job, deadline, runs, at, stage: Stage::Next, question: None, again_at: None }
    }

    /// One that goes on where a cursor says.
    pub fn from_cursor(
        asked: Asked,
        job: Job,
        deadline: Nanos,
        runs: Vec<(u16, u16)>,
        cursor: u64,
    ) -> Survey {
        let mut survey = Survey::new(asked, job, deadline, runs);
        survey.at = survey.at.max(Place::of_cursor(cursor));
        survey
    }

    /// One that starts somewhere and comes round to it.
    pub fn around(asked: Asked, job: Job, deadline: Nanos, runs: &[(u16, u16)], start: Place) -> Survey {
        let part = |wanted: (u16, u16)| {
            let cut = move |run: &(u16, u16)| (run.0.max(wanted.0), run.1.min(wanted.1));
            runs.iter().map(cut).filter(|run| run.0 <= run.1)
        };
        let from = part((start.slot, SLOTS)).chain(part((0, start.slot))).collect();
        let mut survey = Survey::new(asked, job, deadline, Vec::new());
        (survey.runs, survey.at) = (from, start);
        survey
    }

    /// When it wants a turn.
    pub fn due(&self) -> Nanos {
        let question = self.question.as_ref().map(Question::due);
        [question, self.again_at].into_iter().flatten().fold(self.deadline, Nanos::min)
    }

    /// How many hosts have answered, this one included, where sums are being compared.
    pub fn answers(&self) -> Option<u8> {
        match &self.stage {
            Stage::Compare(compare) => Some(1 + compare.said.len() as u8),
            Stage::Next | Stage::Walk(_) => None,
        }
    }

    /// The keys that are being read.
    pub fn batch(&mut self) -> Option<&mut Batch> {
        match &mut self.stage {
            Stage::Walk(walk) => walk.batch.as_mut(),
            Stage::Next | Stage::Compare(_) => None,
        }
    }

    /// Compares the rest of the range anew: somebody who was needed for it is gone.
    pub fn start_over(&mut self) {
        self.stage = Stage::Next;
        self.question = None;
    }
}

impl Question {
    /// When it is to be repeated.
    pub fn due(&self) -> Nanos {
        self.since + (RESEND_NS << self.resends.min(4)).min(RESEND_NS_MAX)
    }
}

impl Compare {
    /// How many members are known to hold the same of the slot at this index, this one included.
    pub fn equals(&self, index: usize) -> usize {
        let own = self.own[index].sum;
        let same = |sums: &Option<Vec<u128>>| sums.as_ref().is_none_or(|sums| sums[index] == own);
        1 + self.said.iter().filter(|(_, sums)| same(sums)).count()
    }

    /// In how many slots a member's answer differs.
    pub fn differences(&self, sums: &Option<Vec<u128>>) -> usize {
        sums.iter().flatten().zip(&self.own).filter(|(theirs, own)| **theirs != own.sum).count()
    }
}

impl Walk {
    pub fn last(&self) -> u16 {
        self.first + (self.plans.len() - 1) as u16
    }

    pub fn plan(&self, slot: u16) -> Plan {
        self.plans[usize::from(slot - self.first)]
    }

    /// Runs of slots to be merged, from a slot on.
    pub fn merged_from(&self, slot: u16) -> Vec<(u16, u16)> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for slot in (slot..=self.last()).filter(|slot| self.plan(*slot) == Plan::Merge) {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == slot => run.1 = slot,
                _ => runs.push((slot, slot)),
            }
        }
        runs
    }
}

impl Batch {
    /// Takes a record that was read here.
    pub fn take_found(&mut self, found: Option<&Found>, (epoch, wall_ms): (u32, u64)) {
        if let Some(live) = found.and_then(|found| live(found, epoch)) {
            self.take_key(live, wall_ms);
        }
    }

    /// Takes a key, unless it has ended or its value is of another type than the one that is wanted.
    pub fn take_key(&mut self, live: LiveKey, wall_ms: u64) {
        let expired = live.expires_at_ms != 0 && live.expires_at_ms <= wall_ms;
        let fits = self.kind.is_none() || self.kind == live.kind;
        if fits && !expired && live.key != CATALOG_KEY {
            self.keys.push(live.key.into());
        }
    }

    /// Whether all keys are here.
    pub fn is_read(&self) -> bool {
        self.reads.is_over() && self.remote.is_empty()
    }
}

/// The key of a record, if it has a value in this flush epoch, with what its head says.
pub(super) fn live(found: &Found, epoch: u32) -> Option<LiveKey> {
    if found.kind == Kind::Tombstone || is_older(&found.body, epoch) {
        return None;
    }
    let (kind, expires_at_ms) = match Record::head(newest_part(found)) {
        Ok(head) => head.map(|(kind, ends)| (Some(kind), ends))?,
        // A record of a later version is there, whatever it says of its end.
        Err(_) => (None, 0),
    };
    Some(LiveKey { key: found.key.to_vec(), expires_at_ms, kind })
}

impl Reads {
    /// Reads of these records, with their bytes on disk.
    pub fn of(queue: VecDeque<(Fingerprint, u32)>) -> Reads {
        Reads { queue, under_way: 0, bytes: 0 }
    }

    /// The next read, if there is one and room for it. The caller starts it.
    pub fn next(&mut self) -> Option<(Fingerprint, u32)> {
        let bytes = u64::from(self.queue.front()?.1);
        let room =
            self.under_way < SURVEY_READS_MAX && self.bytes.saturating_add(bytes) <= SURVEY_READ_BYTES_MAX;
        if !room && self.under_way > 0 {
            return None;
        }
        self.under_way += 1;
        self.bytes += bytes;
        self.queue.pop_front()
    }

    /// A read ended.
    pub fn ended(&mut self, bytes: u32) {
        self.under_way -= 1;
        self.bytes -= u64::from(bytes);
    }

    /// Whether none is under way.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0
    }

    /// Whether none is under way or to come.
    pub fn is_over(&self) -> bool {
        self.is_quiet() && self.queue.is_empty()
    }
}
