//! What producers and workers do, and what they are told.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND, SECOND};
use shard::command::{Command, Limits};
use shard::reply::Reply;

use super::{
    somewhere, Job, JobAsk, JobEvent, Jobs, Over, Producer, State, Stint, Turn, Worker, LATER, RANKS, TOLD_IN,
};
use crate::ledger::show;
use crate::limits::{DEADLINE_MAX, LAST_READ_DEADLINE, OVERDUE};
use crate::violation::{invariant, Checked, Violation};
use crate::world::clients::{Asker, Outstanding};
use crate::world::core::Input;
use crate::world::{Event, Phase, Place, World};

fn command(words: &[&[u8]]) -> Command {
    Command::parse(words, &Limits::default()).expect("it can be parsed")
}

impl World {
    /// Producers and workers begin.
    pub(in crate::world) fn begin_jobs(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        let (producers, workers) = (jobs.producers.len() as u32, jobs.workers.len() as u32);
        for producer in 0..producers {
            self.push_later(producer);
        }
        for worker in 0..workers {
            self.rest_a_while(worker);
        }
    }

    pub(in crate::world) fn on_job_event(&mut self, event: JobEvent) {
        match event {
            JobEvent::Push(producer) => self.push_job(producer),
            JobEvent::Wait(stint) => self.begin_to_wait(stint),
            JobEvent::Told(stint) => self.on_told(stint),
            JobEvent::GiveUp(ask) => self.give_up_job(&ask),
        }
    }

    fn push_later(&mut self, producer: u32) {
        let Some(pause) = self.jobs.as_mut().map(Jobs::pause) else { return };
        self.schedule(self.now + pause, Event::Job(JobEvent::Push(producer)));
    }

    /// A producer's question has ended.
    fn go_on_pushing(&mut self, (producer, asked): Turn) {
        let Some(jobs) = &mut self.jobs else { return };
        if jobs.producers[producer as usize].asked == asked {
            jobs.producers[producer as usize].asked += 1;
            self.push_later(producer);
        }
    }

    /// Nobody waits for an answer any longer; it may still come.
    fn give_up_job(&mut self, ask: &JobAsk) {
        let Some(jobs) = &mut self.jobs else { return };
        let waits = match ask {
            JobAsk::Push { turn: (producer, asked), .. } => {
                jobs.producers[*producer as usize].asked == *asked
            }
            JobAsk::Take(stint) => jobs.worker(*stint).is_some_and(|worker| worker.state != State::Waiting),
            JobAsk::Rest { .. } => false,
        };
        match ask {
            JobAsk::Take(stint) if waits => {
                self.note_lost_take(*stint, true);
                self.end_stint(*stint, false);
            }
            _ if waits => self.on_job_lost(ask, true),
            _ => {}
        }
    }

    /// A worker does something else for a moment, then waits again, here or elsewhere.
    fn rest_a_while(&mut self, worker: u32) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        let pause = jobs.rng.between(MILLISECOND, 20 * MILLISECOND);
        let elsewhere = (jobs.rng.below(3) == 0).then(|| somewhere(&mut jobs.rng, &plan));
        let Some(entry) = jobs.workers.get_mut(worker as usize) else { return };
        entry.at = elsewhere.unwrap_or(entry.at);
        entry.state = State::Idle;
        entry.stint += 1;
        let stint = (worker, entry.stint);
        self.schedule(self.now + pause, Event::Job(JobEvent::Wait(stint)));
    }

    fn push_job(&mut self, producer: u32) {
        let plan = self.plan.clone();
        let Some(jobs) = self.jobs.as_mut().filter(|jobs| jobs.over.is_none()) else { return };
        let Producer { left, asked } = jobs.producers[producer as usize];
        if self.phase != Phase::Faults || left == 0 {
            return self.check_done();
        }
        let (at, key) = (somewhere(&mut jobs.rng, &plan), jobs.rng.below(jobs.keys.len() as u64) as usize);
        if !self.core(at).serves() {
            return self.push_later(producer);
        }
        let Some(jobs) = &mut self.jobs else { return };
        jobs.producers[producer as usize].left -= 1;
        let (name, job) = (jobs.keys[key].clone(), format!("job {producer}.{left}").into_bytes());
        let rank = if jobs.ranked { jobs.rng.below(RANKS) } else { 0 };
        jobs.jobs.insert(job.clone(), Job { key, rank, ..Job::default() });
        let score = rank.to_string().into_bytes();
        let words: &[&[u8]] =
            if jobs.ranked { &[b"ZADD", &name, &score, &job] } else { &[b"RPUSH", &name, &job] };
        self.ask_about_jobs(
            at,
            &name,
            command(words),
            JobAsk::Push { turn: (producer, asked), job: job.clone() },
        );
    }

    fn ask_about_jobs(&mut self, at: Place, key: &[u8], command: Command, ask: JobAsk) {
        let last = matches!(ask, JobAsk::Rest { .. });
        if !last {
            // What was on its way to a core that is gone is not answered, and nobody says so.
            let patience = DEADLINE_MAX + OVERDUE + SECOND;
            self.schedule(self.now + patience, Event::Job(JobEvent::GiveUp(ask.clone())));
        }
        let request = self.open_request(Outstanding {
            at,
            slice: self.ledger.slice_of(key),
            asker: Asker::Job(ask),
            deadline: self.now + if last { LAST_READ_DEADLINE } else { DEADLINE_MAX },
            command,
            arrived: false,
            chosen: self.ledger.newest_chosen(key),
        });
        let delay = self.client_delay();
        self.schedule(self.now + delay, Event::Ask { request });
    }

    fn begin_to_wait(&mut self, stint: Stint) {
        let (now, Some(jobs)) = (self.now, &mut self.jobs) else { return };
        if jobs.over.is_some() {
            return;
        }
        let Some(worker) = jobs.worker(stint) else { return };
        let (at, place) = (worker.at, worker.key);
        let key = jobs.keys[place].clone();
        let owner = Place { core: self.ledger.slice_of(&key), ..at };
        if !self.core(owner).serves() {
            return self.rest_a_while(stint.0);
        }
        if let Some(worker) = self.jobs.as_mut().and_then(|jobs| jobs.worker(stint)) {
            (worker.state, worker.since) = (State::Waiting, now);
        }
        self.tell(|| format!("worker {} waits for {} at {owner}", stint.0, show(&key)));
        self.arrive(owner, Input::Wait { stint, key });
    }

    /// There may be something, or who waits cannot wait there.
    pub(in crate::world) fn hear_of_waits(&mut self, woken: Vec<Stint>, refused: Vec<Stint>) {
        for stint in woken {
            let delay = self.client_delay();
            self.schedule(self.now + delay, Event::Job(JobEvent::Told(stint)));
        }
        for stint in refused {
            if self.jobs.as_mut().and_then(|jobs| jobs.worker(stint)).is_some() {
                self.rest_a_while(stint.0);
            }
        }
    }

    fn on_told(&mut self, stint: Stint) {
        let Some(jobs) = self.jobs.as_mut().filter(|jobs| jobs.over.is_none()) else { return };
        let Some(worker) = jobs.worker(stint) else { return };
        match &mut worker.state {
            State::Trying { told } => *told = true,
            State::Waiting => self.try_to_take(stint),
            State::Idle => {}
        }
    }

    fn try_to_take(&mut self, stint: Stint) {
        let Some(jobs) = &mut self.jobs else { return };
        let (now, pop) = (self.now, jobs.pop());
        let Some(worker) = jobs.worker(stint) else { return };
        (worker.state, worker.tried) = (State::Trying { told: false }, now);
        let (at, place) = (worker.at, worker.key);
        let key = jobs.keys[place].clone();
        self.ask_about_jobs(at, &key, command(&[pop, &key]), JobAsk::Take(stint));
    }

    /// A request about jobs was answered.
    pub(in crate::world) fn on_job_reply(&mut self, ask: &JobAsk, reply: &Reply) -> Checked {
        let uncertain = matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"));
        match ask {
            JobAsk::Push { turn, job } => {
                let now = self.now;
                if let Some(jobs) = &mut self.jobs {
                    match reply {
                        Reply::Int(_) => {
                            jobs.jobs.entry(job.clone()).or_default().pushed = Some(now);
                        }
                        _ if uncertain => {}
                        _ => drop(jobs.jobs.remove(job)),
                    }
                }
                // Whether all is done is looked at when its next turn comes: not in the middle of what a host says.
                self.go_on_pushing(*turn);
            }
            JobAsk::Take(stint) => match reply {
                Reply::Nil => self.on_nothing_to_take(*stint),
                Reply::Array(none) if none.is_empty() => self.on_nothing_to_take(*stint),
                Reply::Bulk(_) | Reply::Array(_) => {
                    for (job, rank) in given_out(reply) {
                        self.on_taken(*stint, job, rank)?;
                    }
                    self.end_stint(*stint, true);
                }
                _ => {
                    self.note_lost_take(*stint, uncertain);
                    self.end_stint(*stint, false);
                }
            },
            JobAsk::Rest { key } => self.on_rest(*key, reply)?,
        }
        Ok(())
    }

    /// A job was given out.
    fn on_taken(&mut self, (worker, stint): Stint, job: &[u8], rank: u64) -> Checked {
        self.label("a job was given out");
        let now = self.now;
        let Some(jobs) = &mut self.jobs else { return Ok(()) };
        if jobs.ranked {
            self.label("a job was given out of a sorted set");
        }
        let Some(jobs) = &mut self.jobs else { return Ok(()) };
        let tried = jobs.worker((worker, stint)).map(|worker| worker.tried);
        let Some(entry) = jobs.jobs.get_mut(job).filter(|entry| !entry.found && entry.rank == rank) else {
            let detail = format!("worker {worker} was given {} again, or nobody pushed it", show(job));
            return Err(Violation::new(invariant::JOBS, detail));
        };
        entry.found = true;
        entry.taken = tried.map(|tried| (tried, now));
        let (key, pushed) = (entry.key, entry.pushed);
        let Some(taker) = jobs.workers.get(worker as usize).filter(|taker| taker.stint == stint) else {
            return Ok(());
        };
        let waited = pushed.filter(|pushed| taker.since < *pushed).map(|pushed| now - pushed);
        let (timed, judged) = (jobs.calm && waited.is_some(), jobs.quick);
        if jobs.calm && waited.is_some_and(|waited| waited > TOLD_IN) {
            let detail = format!("worker {worker} waited all the time, and was given {} late", show(job));
            return Err(Violation::new(invariant::WAITS, detail));
        }
        let earlier = |other: &Worker| {
            other.key == key && other.state == State::Waiting && other.since + LATER < taker.since
        };
        if jobs.quick && jobs.workers.iter().any(earlier) {
            let detail = format!("worker {worker} was given {}, and others waited before it", show(job));
            return Err(Violation::new(invariant::WAITS, detail));
        }
        if timed {
            self.label("a job was given out in time");
        }
        if judged {
            self.label("a job was given out in turn");
        }
        Ok(())
    }

    fn on_nothing_to_take(&mut self, stint: Stint) {
        self.label("a worker was told in vain");
        let Some(jobs) = &mut self.jobs else { return };
        let over = jobs.over.is_some();
        let Some(worker) = jobs.worker(stint) else { return };
        let told = worker.state == State::Trying { told: true };
        worker.state = State::Waiting;
        if over {
            return self.end_stint(stint, false);
        }
        if let Some(owner) = self.owner_of(stint) {
            self.arrive(owner, Input::Missed { stint });
        }
        if told {
            self.try_to_take(stint);
        }
    }

    fn note_lost_take(&mut self, (worker, _): Stint, uncertain: bool) {
        let Some(jobs) = &mut self.jobs else { return };
        if let Some(worker) = jobs.workers.get(worker as usize).filter(|_| uncertain) {
            jobs.unknown[worker.key] += 1;
        }
    }

    /// The core that keeps the wait of a worker, as its host has it.
    fn owner_of(&mut self, stint: Stint) -> Option<Place> {
        let jobs = self.jobs.as_mut()?;
        let worker = jobs.worker(stint)?;
        let (at, key) = (worker.at, worker.key);
        Some(Place { core: self.ledger.slice_of(&jobs.keys[key]), ..at })
    }

    fn end_stint(&mut self, stint: Stint, took: bool) {
        let Some(owner) = self.owner_of(stint) else { return };
        self.arrive(owner, Input::EndWait { stint, took });
        self.rest_a_while(stint.0);
    }

    /// The reply to a request about jobs will not come, or it never reached a host.
    pub(in crate::world) fn on_job_lost(&mut self, ask: &JobAsk, arrived: bool) {
        match ask {
            JobAsk::Push { turn, job } => {
                if let (false, Some(jobs)) = (arrived, &mut self.jobs) {
                    jobs.jobs.remove(job);
                }
                self.go_on_pushing(*turn);
            }
            JobAsk::Take(stint) => {
                self.note_lost_take(*stint, arrived);
                if self.jobs.as_mut().and_then(|jobs| jobs.worker(*stint)).is_some() {
                    self.rest_a_while(stint.0);
                }
            }
            JobAsk::Rest { .. } => {}
        }
    }

    /// A host died: who waited there goes elsewhere.
    pub(in crate::world) fn hang_up_workers(&mut self, host: Member) {
        let Some(jobs) = &self.jobs else { return };
        let there = |worker: &Worker| worker.at.host == host && worker.state == State::Waiting;
        let workers: Vec<u32> =
            (0..jobs.workers.len() as u32).filter(|place| there(&jobs.workers[*place as usize])).collect();
        if !workers.is_empty() {
            self.label("a host died with workers waiting");
        }
        workers.into_iter().for_each(|worker| self.rest_a_while(worker));
    }

    /// Workers stop, and what is left in the queues is looked at. False: that is done.
    pub(in crate::world) fn end_jobs(&mut self) -> bool {
        let at = self.hosts_left().first().copied();
        let (Some(jobs), Some(host)) = (&mut self.jobs, at) else { return false };
        if jobs.over.is_some() {
            return false;
        }
        let since = |key: usize| {
            let waiting =
                jobs.workers.iter().filter(|worker| worker.key == key && worker.state == State::Waiting);
            waiting.map(|worker| worker.since).min()
        };
        let waiting = (0..jobs.keys.len()).map(since).collect();
        jobs.over = Some(Over { at: self.now, left: jobs.keys.len(), waiting });
        let waiting: Vec<Stint> =
            (0..).zip(&jobs.workers).map(|(place, worker)| (place, worker.stint)).collect();
        let (keys, pop) = (jobs.keys.clone(), jobs.pop());
        for stint in waiting {
            if let Some(owner) = self.owner_of(stint) {
                self.arrive(owner, Input::EndWait { stint, took: false });
            }
        }
        for (key, name) in keys.iter().enumerate() {
            let at = Place { host, core: self.ledger.slice_of(name) };
            self.ask_about_jobs(at, name, command(&[pop, name, b"100000"]), JobAsk::Rest { key });
        }
        true
    }

    /// Whether all queues were emptied.
    pub(in crate::world) fn check_jobs_ended(&self) -> Checked {
        match self.jobs.as_ref().and_then(|jobs| jobs.over.as_ref()) {
            Some(Over { left, .. }) if *left > 0 => {
                Err(Violation::new(invariant::CONVERGES, format!("{left} queues of jobs were not read")))
            }
            _ => Ok(()),
        }
    }

    fn on_rest(&mut self, key: usize, reply: &Reply) -> Checked {
        let now = self.now;
        let Some(jobs) = &mut self.jobs else { return Ok(()) };
        if !matches!(reply, Reply::Array(_) | Reply::Pairs(_) | Reply::NilArray) {
            let detail = format!("the rest of {} is {reply:?}", show(&jobs.keys[key]));
            return Err(Violation::new(invariant::CONVERGES, detail));
        }
        let rest = given_out(reply);
        let Some(over) = &mut jobs.over else { return Ok(()) };
        over.left = over.left.saturating_sub(1);
        let (ended, waiting) = (over.at, over.waiting.get(key).copied().flatten());
        for (job, rank) in &rest {
            let Some(entry) = jobs.jobs.get_mut(*job).filter(|entry| !entry.found && entry.rank == *rank)
            else {
                let detail = format!("{} was given out and is still there, or nobody pushed it", show(job));
                return Err(Violation::new(invariant::JOBS, detail));
            };
            entry.found = true;
            entry.taken = Some((ended, now));
            let seen =
                |pushed: &Nanos| waiting.is_some_and(|since| since < *pushed) && ended - *pushed > TOLD_IN;
            if jobs.calm && entry.pushed.as_ref().is_some_and(seen) {
                let detail = format!("{} was left, and a worker waited all the time", show(job));
                return Err(Violation::new(invariant::WAITS, detail));
            }
        }
        if !rest.is_empty() {
            self.label("jobs were left at the end");
        }
        Ok(())
    }
}

/// The jobs that a reply gives out, with their ranks.
fn given_out(reply: &Reply) -> Vec<(&[u8], u64)> {
    fn job<'a>(entry: &'a Reply, score: Option<&Reply>) -> Option<(&'a [u8], u64)> {
        match (entry, score) {
            (Reply::Bulk(job), None) => Some((job, 0)),
            (Reply::Bulk(job), Some(Reply::Double(score))) => Some((job, *score as u64)),
            _ => None,
        }
    }
    match reply {
        Reply::Array(entries) => match entries.as_slice() {
            [entry, score @ Reply::Double(_)] => job(entry, Some(score)).into_iter().collect(),
            entries => entries.iter().filter_map(|entry| job(entry, None)).collect(),
        },
        Reply::Pairs(pairs) => pairs.iter().filter_map(|(entry, score)| job(entry, Some(score))).collect(),
        entry => job(entry, None).into_iter().collect(),
    }
}
