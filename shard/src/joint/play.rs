//! Plays runners and finders against registers in random orders: steps that come late or get lost, runners that stop anywhere, others in between.

use std::collections::{BTreeMap, BTreeSet};

use reactor::rng::Rng;

use super::*;
use crate::error;
use crate::reply::Reply;
use crate::state::{State, Value};

const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

/// A step that is under way: whose it is, and what.
struct Flight {
    party: usize,
    place: usize,
    key: usize,
    step: JointOp,
    /// Somebody waits for its answer.
    is_awaited: bool,
}

struct Asked {
    keys: Vec<usize>,
    token: Option<u32>,
    began: u64,
    /// What it was told, and when.
    told: Option<(Reply, u64)>,
    /// What it saw, by key.
    seen: BTreeMap<usize, Vec<u32>>,
}

enum Party {
    Runner(Runner),
    Finder(Finder),
    Gone,
}

struct Play {
    rng: Rng,
    now: u64,
    states: Vec<State>,
    parties: Vec<Party>,
    asked: BTreeMap<usize, Asked>,
    flights: Vec<Flight>,
    paused: Vec<usize>,
    last_id: u64,
    last_token: u32,
    is_calm: bool,
}

fn tokens(is: &Write) -> Vec<u32> {
    match is.state(0).value {
        Some(Value::Str(bytes)) => bytes
            .chunks(4)
            .map(|four| u32::from_le_bytes(four.try_into().expect("tokens have four bytes")))
            .collect(),
        _ => Vec::new(),
    }
}

fn with_token(is: &Write, token: u32) -> Write {
    let mut state = is.state(0);
    let mut bytes = match state.value.take() {
        Some(Value::Str(bytes)) => bytes,
        _ => Vec::new(),
    };
    bytes.extend_from_slice(&token.to_le_bytes());
    state.value = Some(Value::Str(bytes));
    Write::of(&state)
}

impl Play {
    fn new(seed: u64) -> Play {
        Play {
            rng: Rng::new(seed),
            now: 0,
            states: vec![State::default(); KEYS.len()],
            parties: Vec::new(),
            asked: BTreeMap::new(),
            flights: Vec::new(),
            paused: Vec::new(),
            last_id: 0,
            last_token: 0,
            is_calm: false,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    fn id(&mut self) -> JointId {
        self.last_id += 1;
        JointId { node: 1, incarnation: 1, seq: self.last_id }
    }

    /// A new joint command: it puts a token to all of its keys, or only reads them.
    fn ask(&mut self) {
        let mut keys: Vec<usize> = (0..KEYS.len()).collect();
        while keys.len() > 2 && self.below(2) == 0 {
            let place = self.below(keys.len());
            keys.remove(place);
        }
        let first = self.below(keys.len());
        keys.swap(0, first);
        let reads = self.below(3) == 0;
        self.last_token += 1;
        let id = self.id();
        let names = keys.iter().map(|key| KEYS[*key].into()).collect();
        let runner = Runner::new(names, reads, None, id);
        let token = (!reads).then_some(self.last_token);
        let party = self.parties.len();
        let (began, seen) = (self.now, BTreeMap::new());
        self.asked.insert(party, Asked { keys, token, began, told: None, seen });
        self.parties.push(Party::Runner(runner));
        self.resume(party);
    }

    fn resume(&mut self, party: usize) {
        let id = self.id();
        if let Party::Runner(runner) = &mut self.parties[party] {
            let todos = runner.resume(id);
            self.do_all(party, todos);
        }
    }

    fn do_all(&mut self, party: usize, todos: Vec<Todo>) {
        let mut todos = std::collections::VecDeque::from(todos);
        while let Some(todo) = todos.pop_front() {
            let now = self.now;
            let Party::Runner(runner) = &mut self.parties[party] else { return };
            match todo {
                Todo::Ask(place, step) => {
                    let name = runner.keys()[place].clone();
                    let key = KEYS.iter().position(|key| **key == *name).expect("a key of the play");
                    self.flights.push(Flight { party, place, key, step, is_awaited: true });
                }
                Todo::Run => {
                    let asked = self.asked.get_mut(&party).expect("only who asked runs anything");
                    let found: Vec<Write> = runner.states().iter().map(|state| state.is.clone()).collect();
                    let seen = asked.keys.iter().zip(&found).map(|(key, is)| (*key, tokens(is)));
                    asked.seen = seen.collect();
                    let token = asked.token;
                    let writes = found.iter().map(|is| token.map(|token| with_token(is, token))).collect();
                    todos.extend(runner.on_ran(Ran { reply: Reply::OK, writes }));
                }
                Todo::Pause => self.paused.push(party),
                Todo::Answer(reply) => {
                    let asked = self.asked.get_mut(&party);
                    if let Some(asked) = asked {
                        assert!(asked.told.replace((reply, now)).is_none(), "told twice");
                    }
                }
                Todo::End => {
                    self.parties[party] = Party::Gone;
                    return;
                }
            }
        }
    }

    fn find_next(&mut self, party: usize, next: Next) {
        let Party::Finder(finder) = &self.parties[party] else { return };
        let place = |at: At| match at {
            At::Key => finder.key(),
            At::Anchor => &finder.claim().anchor,
        };
        let index = |name: &[u8]| KEYS.iter().position(|key| *key == name).expect("a key of the play");
        match next {
            Next::Ask(at, step) => {
                let key = index(place(at));
                self.flights.push(Flight { party, place: 0, key, step, is_awaited: true });
            }
            Next::Over(step) => {
                if let Some((at, step)) = step {
                    let key = index(place(at));
                    self.flights.push(Flight { party, place: 0, key, step, is_awaited: false });
                }
                self.parties[party] = Party::Gone;
            }
            Next::Wait => self.parties[party] = Party::Gone,
        }
    }

    fn tell(&mut self, flight: &Flight, reply: Reply) {
        if !flight.is_awaited {
            return;
        }
        match &mut self.parties[flight.party] {
            Party::Runner(runner) => {
                let todos = runner.on_reply(flight.place, reply);
                self.do_all(flight.party, todos);
            }
            Party::Finder(finder) => {
                let next = finder.on_reply(&reply);
                self.find_next(flight.party, next);
            }
            Party::Gone => {}
        }
    }

    /// One step under way comes to its key, or is lost.
    fn fly(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.below(self.flights.len());
        let Flight { key, step, .. } = &self.flights[at];
        let key = *key;
        if self.states[key].claim().is_some() && step.waits(KEYS[key]) {
            // It waits; its host may give it up in the meantime.
            if self.is_calm || self.below(8) > 0 {
                return self.find(key);
            }
        }
        let mut flight = self.flights.swap_remove(at);
        let waits = self.states[key].claim().is_some() && flight.step.waits(KEYS[key]);
        match if self.is_calm { 9 } else { self.below(10) } {
            _ if waits => self.tell(&flight, error::TIMED_OUT),
            // It never comes there, as everybody knows.
            0 => self.tell(&flight, error::TIMED_OUT),
            // It may come there later, or never.
            1 => {
                self.tell(&flight, error::UNCERTAIN);
                flight.is_awaited = false;
                if self.below(2) == 0 && !flight.step.is_read() {
                    self.flights.push(flight);
                }
            }
            // It comes there, and the answer is lost.
            2 => {
                flight.step.run(&mut self.states[key], 0);
                self.tell(&flight, error::UNCERTAIN);
            }
            _ => {
                let reply = flight.step.run(&mut self.states[key], 0);
                self.tell(&flight, reply);
            }
        }
    }

    /// Somebody meets the claim of a key.
    fn find(&mut self, key: usize) {
        let Some(claim) = self.states[key].claim().cloned() else { return };
        let gives_up = self.is_calm || self.below(4) == 0;
        let party = self.parties.len();
        let mut finder = Finder::new(KEYS[key], claim);
        let next = finder.look(gives_up);
        self.parties.push(Party::Finder(finder));
        self.find_next(party, next);
    }

    /// A command on one key.
    fn write(&mut self) {
        let key = self.below(KEYS.len());
        if self.states[key].claim().is_some() {
            return self.find(key);
        }
        self.last_token += 1;
        let write = with_token(&Write::of(&self.states[key]), self.last_token);
        let state = &mut self.states[key];
        state.put(write.state(0).value.expect("it was just made"), 0);
    }

    /// The sweep: decisions that are left are finished.
    fn sweep(&mut self, key: usize) {
        let found = self.states[key].ties.as_ref().map(|ties| ties.decisions.clone()).unwrap_or_default();
        for Decision { id, writes } in found {
            for (other, write) in writes {
                let party = self.parties.len();
                let mut finder = Finder::new(&other, Claim { id, anchor: KEYS[key].into() });
                let next = finder.finish(write);
                self.parties.push(Party::Finder(finder));
                self.find_next(party, next);
            }
        }
    }

    fn stop_one(&mut self) {
        let party = self.below(self.parties.len());
        self.parties[party] = Party::Gone;
        self.flights.iter_mut().filter(|flight| flight.party == party).for_each(|one| one.is_awaited = false);
    }

    fn one(&mut self) {
        self.now += 1;
        for state in &mut self.states {
            (state.changed, state.is_one_step) = (false, false);
        }
        match self.below(60) {
            0..4 if !self.is_calm => self.ask(),
            4..6 if !self.is_calm => self.write(),
            6 if !self.is_calm && !self.parties.is_empty() => self.stop_one(),
            7 => {
                let key = self.below(KEYS.len());
                self.find(key);
            }
            8 => {
                let key = self.below(KEYS.len());
                self.sweep(key);
            }
            9..14 if !self.paused.is_empty() => {
                let at = self.below(self.paused.len());
                let party = self.paused.swap_remove(at);
                self.resume(party);
            }
            _ => self.fly(),
        }
    }

    fn is_over(&self) -> bool {
        let untied = self.states.iter().all(|state| state.ties.is_none());
        untied && self.flights.is_empty() && self.paused.is_empty()
    }

    fn check(&self) {
        let ends: Vec<Vec<u32>> = self.states.iter().map(|state| tokens(&Write::of(state))).collect();
        for (key, all) in ends.iter().enumerate() {
            let different: BTreeSet<&u32> = all.iter().collect();
            assert_eq!(different.len(), all.len(), "twice at {key}: {all:?}");
        }
        for asked in self.asked.values() {
            let Asked { keys, token: Some(token), told, .. } = asked else { continue };
            let places: Vec<bool> = keys.iter().map(|key| ends[*key].contains(token)).collect();
            let is_there = places[0];
            assert!(places.iter().all(|there| *there == is_there), "{token} is at some of {keys:?}");
            match told {
                Some((Reply::Simple(_), _)) => assert!(is_there, "{token} was told to have happened"),
                Some((reply, _)) if *reply != error::UNCERTAIN => {
                    assert!(!is_there, "{token} was told not to have happened: {reply:?}");
                }
                _ => {}
            }
        }
        // Whatever was seen side by side is a state that there was: nothing of a command is seen without the rest of it.
        for asked in self.asked.values().filter(|asked| matches!(asked.told, Some((Reply::Simple(_), _)))) {
            for (key, seen) in &asked.seen {
                assert!(ends[*key].starts_with(seen), "{seen:?} was never at {key}: {:?}", ends[*key]);
            }
            for other in self.asked.values() {
                let Some(token) = other.token else { continue };
                let common = other.keys.iter().filter_map(|key| asked.seen.get(key));
                let there: Vec<bool> = common.map(|seen| seen.contains(&token)).collect();
                let is_there = there.first().copied().unwrap_or_default();
                assert!(there.iter().all(|there| *there == is_there), "{token} was seen in part");
                if let Some((Reply::Simple(_), at)) = &other.told {
                    assert!(*at >= asked.began || there.is_empty() || is_there, "{token} was there before");
                }
            }
        }
        self.check_order(&ends);
    }

    /// One order for all: no circle among what follows what at some key.
    fn check_order(&self, ends: &[Vec<u32>]) {
        let mut follows: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for all in ends {
            for pair in all.windows(2) {
                follows.entry(pair[0]).or_default().insert(pair[1]);
            }
        }
        let mut before: BTreeMap<u32, usize> = BTreeMap::new();
        follows.values().flatten().for_each(|token| *before.entry(*token).or_default() += 1);
        let mut free: Vec<u32> =
            ends.iter().flatten().filter(|token| !before.contains_key(token)).copied().collect();
        free.sort_unstable();
        free.dedup();
        while let Some(token) = free.pop() {
            for next in follows.remove(&token).into_iter().flatten() {
                let count = before.get_mut(&next).expect("it follows something");
                *count -= 1;
                if *count == 0 {
                    before.remove(&next);
                    free.push(next);
                }
            }
        }
        assert!(before.is_empty(), "a circle: {before:?}");
    }
}

#[test]
fn what_belongs_together_is_there_together() {
    let seeds: u64 = std::env::var("JOINT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    let (mut happened, mut read, mut uncertain) = (0, 0, 0);
    for seed in 0..seeds {
        let mut play = Play::new(seed);
        for _ in 0..400 {
            play.one();
        }
        play.is_calm = true;
        let mut steps = 0;
        while !play.is_over() {
            play.one();
            steps += 1;
            assert!(steps < 200_000, "seed {seed}: it does not come to an end");
        }
        let told = |asked: &&Asked| matches!(asked.told, Some((Reply::Simple(_), _)));
        happened += play.asked.values().filter(told).filter(|asked| asked.token.is_some()).count();
        read += play.asked.values().filter(told).filter(|asked| asked.token.is_none()).count();
        let is_uncertain =
            |asked: &&Asked| asked.told.as_ref().is_some_and(|told| told.0 == error::UNCERTAIN);
        uncertain += play.asked.values().filter(is_uncertain).count();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play.check()));
        assert!(checked.is_ok(), "seed {seed}");
    }
    assert!(
        happened > 0 && read > 0 && uncertain > 0,
        "{happened} happened, {read} read, {uncertain} uncertain"
    );
}
