//! Queues of jobs: producers push, workers wait until there is something to take (docs/design/blocking-pops.md).
//!
//! No job that was acknowledged may be lost, and none be given out twice: what no worker was given lies in the queue at the end, or was taken by
//! a pop whose reply was lost. Queues may be sorted sets; then no job is given out while one of a lower score was there all the time. Where nothing
//! fails, who waits is told in time, and who waited first before who came later.

mod play;

use std::collections::BTreeMap;

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND, SECOND};
use reactor::rng::Rng;
use shard::reply::Reply;
use shard::WaitId;

use super::clients::{Asker, Outstanding};
use super::Place;
use crate::class::Class;
use crate::ledger::show;
use crate::plan::{Plan, Routes, Transport, TURNS_DELAY_MAX};
use crate::violation::{invariant, Checked, Violation};

/// Jobs that each producer has.
const JOBS: u32 = 30;

/// The same where nothing fails, and workers wait for long.
const JOBS_CALM: u32 = 8;

/// Scores of jobs, where queues are sorted sets.
const RANKS: u64 = 8;

/// Longest pause of a producer.
const THINK: Nanos = 300 * MILLISECOND;

/// The same where nothing fails.
const THINK_CALM: Nanos = 6 * SECOND;

/// Where nothing fails, a job is given to who waits for it in this time: some messages, each of them a slow one.
const TOLD_IN: Nanos = 2 * SECOND;

/// Who began to wait so much later came later, wherever the two are.
const LATER: Nanos = 1_500 * MILLISECOND;

/// The end of the work.
#[derive(Debug)]
struct Over {
    at: Nanos,
    /// Queues that are still to be emptied.
    left: usize,
    /// Since when a worker waited, by queue; the one that waited longest.
    waiting: Vec<Option<Nanos>>,
}

/// A worker's wait: who, and the how manieth it is.
pub(super) type Stint = (u32, u64);

/// A producer's question: who, and the how manieth it is.
pub(super) type Turn = (u32, u64);

/// What happens by itself.
#[derive(Clone, Debug)]
pub(super) enum JobEvent {
    /// A producer pushes.
    Push(u32),
    /// A worker begins to wait.
    Wait(Stint),
    /// A worker hears that there may be something.
    Told(Stint),
    /// Nobody waits for an answer any longer.
    GiveUp(JobAsk),
}

/// Requests about jobs.
#[derive(Clone, Debug)]
pub(super) enum JobAsk {
    /// A producer's.
    Push { turn: Turn, job: Vec<u8> },
    /// A worker's.
    Take(Stint),
    /// For all that is left of a queue, at the end.
    Rest { key: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Waiting,
    Trying { told: bool },
}

#[derive(Clone, Debug)]
struct Worker {
    at: Place,
    key: usize,
    /// The number of its wait, and since when it waits.
    stint: u64,
    since: Nanos,
    state: State,
    /// When it asked for something last.
    tried: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Producer {
    /// Jobs that it has left.
    left: u32,
    /// The number of its question.
    asked: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Job {
    key: usize,
    /// Its score, where the queue is a sorted set.
    rank: u64,
    /// When it was acknowledged.
    pushed: Option<Nanos>,
    /// It was given out, or lay in the queue at the end.
    found: bool,
    /// When the pop that took it was asked for, and when that was answered.
    taken: Option<(Nanos, Nanos)>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Jobs {
    rng: Rng,
    keys: Vec<Vec<u8>>,
    workers: Vec<Worker>,
    producers: Vec<Producer>,
    jobs: BTreeMap<Vec<u8>, Job>,
    /// Pops of which nobody knows what they took, by queue.
    unknown: Vec<usize>,
    /// Queues are sorted sets.
    ranked: bool,
    /// Nothing fails; and besides messages are quick, and one core keeps all who wait for a key.
    calm: bool,
    quick: bool,
    /// Workers have stopped.
    over: Option<Over>,
}

impl Jobs {
    pub fn new(mut rng: Rng, plan: &Plan) -> Jobs {
        // On streams what is repeated is damage on the way, which breaks links.
        let links_hold = plan.transport != Transport::Streams || plan.weather.repeat == 0;
        let calm = !plan.has_faults() && plan.weather.loss == 0 && links_hold;
        let keys: Vec<Vec<u8>> =
            (0..rng.between(1, 2)).map(|key| format!("j{key}.{}", plan.seed % 1000).into_bytes()).collect();
        let worker = |rng: &mut Rng| Worker {
            at: somewhere(rng, plan),
            key: rng.below(keys.len() as u64) as usize,
            stint: 0,
            since: 0,
            state: State::Idle,
            tried: 0,
        };
        let workers = (0..rng.between(2, 5)).map(|_| worker(&mut rng)).collect();
        let producer = Producer { left: if calm { JOBS_CALM } else { JOBS }, asked: 0 };
        let producers = vec![producer; rng.between(1, 3) as usize];
        let quick = plan.weather.tail == 0 && plan.weather.delay.1 <= TURNS_DELAY_MAX;
        let fixed = plan.routes == Routes::Fixed;
        let unknown = vec![0; keys.len()];
        Jobs {
            rng,
            keys,
            workers,
            producers,
            jobs: BTreeMap::new(),
            unknown,
            ranked: plan.classes.has(Class::RankedJobs),
            calm,
            quick: calm && quick && fixed,
            over: None,
        }
    }

    /// The queues.
    pub fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }

    /// Whether all jobs were asked to be done.
    pub fn is_done(&self) -> bool {
        self.producers.iter().all(|producer| producer.left == 0)
    }

    /// What takes a job.
    fn pop(&self) -> &'static [u8] {
        if self.ranked {
            b"ZPOPMIN"
        } else {
            b"LPOP"
        }
    }

    fn pause(&mut self) -> Nanos {
        self.rng.below(if self.calm { THINK_CALM } else { THINK })
    }

    fn worker(&mut self, (worker, stint): Stint) -> Option<&mut Worker> {
        self.workers.get_mut(worker as usize).filter(|worker| worker.stint == stint)
    }

    /// What was acknowledged and not found must have been taken by pops whose replies were lost.
    pub fn judge(&self) -> Checked {
        for (place, key) in self.keys.iter().enumerate() {
            let lost = |job: &&Job| job.key == place && job.pushed.is_some() && !job.found;
            let lost = self.jobs.values().filter(lost).count();
            if lost > self.unknown[place] {
                let detail = format!(
                    "{lost} jobs of {} are gone, and the replies of {} pops were lost",
                    show(key),
                    self.unknown[place]
                );
                return Err(Violation::new(invariant::JOBS, detail));
            }
        }
        self.judge_ranks()
    }

    /// No job was given out while one of a lower rank lay there: one that had been acknowledged before the pop was asked for, and was taken, or found in the
    /// end, by a pop that was asked for after the other was answered.
    fn judge_ranks(&self) -> Checked {
        let taken = || self.jobs.iter().filter_map(|(name, job)| Some((name, job, job.taken?)));
        for (name, job, (asked, answered)) in taken().filter(|_| self.ranked) {
            let passed = |(other_name, other, (later, _)): &(&Vec<u8>, &Job, (Nanos, Nanos))| {
                let is_lower = other.key == job.key && (other.rank, *other_name) < (job.rank, name);
                is_lower && other.pushed.is_some_and(|pushed| pushed < asked) && *later > answered
            };
            if let Some((other, _, _)) = taken().find(passed) {
                let detail =
                    format!("{} was given out, and {} was there, before it", show(name), show(other));
                return Err(Violation::new(invariant::JOBS, detail));
            }
        }
        Ok(())
    }
}

fn somewhere(rng: &mut Rng, plan: &Plan) -> Place {
    let core = rng.below(u64::from(plan.cores)) as u16;
    Place { host: rng.below(u64::from(plan.hosts)) as Member, core }
}

/// The waits of a core's workers, by both names.
#[derive(Debug, Default)]
pub(super) struct Waits {
    ids: BTreeMap<Stint, WaitId>,
    stints: BTreeMap<WaitId, Stint>,
    pub refused: Vec<Stint>,
}

impl Waits {
    pub fn begin(&mut self, stint: Stint, id: Result<WaitId, Reply>) {
        let Ok(id) = id else { return self.refused.push(stint) };
        self.ids.insert(stint, id);
        self.stints.insert(id, stint);
    }

    pub fn find(&self, stint: Stint) -> Option<WaitId> {
        self.ids.get(&stint).copied()
    }

    pub fn end(&mut self, stint: Stint) -> Option<WaitId> {
        let id = self.ids.remove(&stint)?;
        self.stints.remove(&id);
        Some(id)
    }

    pub fn stint(&self, id: WaitId) -> Option<Stint> {
        self.stints.get(&id).copied()
    }
}

/// Which request it is that nobody will answer any more.
pub(super) fn job_of(outstanding: &Outstanding) -> Option<JobAsk> {
    match &outstanding.asker {
        Asker::Job(ask) => Some(ask.clone()),
        _ => None,
    }
}
