//! A core that receives messages of peers which may be of another version, or hostile: it must not stop.
//!
//! The core is one of three, on a simulated disk, with clients of its own. Messages come in as they are, or with the epoch and
//! incarnation that the core expects, so that more than their head is read. What it says in return is thrown away.

use std::collections::BTreeMap;

use reactor::sim::SimDisk;
use shard::command::{Command, Limits};
use shard::{Clock, Config, Effects, Request, RequestId, Shard, Turn};

use crate::input::{put_chunk, Input};
use crate::limits::TURNS_MAX;
use crate::message::messages;

/// Milliseconds of virtual time in nanoseconds.
const MS: u64 = 1_000_000;

/// Steps: one byte that says which, then what it needs.
pub fn run(data: &[u8]) {
    let mut core = Core::new();
    let mut input = Input::new(data);
    while !input.is_empty() {
        match input.byte() % 8 {
            0..=3 => core.message(&mut input, true),
            4 => core.message(&mut input, false),
            5 => core.command(&mut input),
            6 => core.pass(u64::from(input.byte()) * MS),
            _ => core.peer(input.byte()),
        }
    }
    // Whatever was said, clients get their answers when their time is over.
    core.pass(3000 * MS);
    assert!(core.shard.fault().is_none(), "a peer cannot stop the core: {:?}", core.shard.fault());
    assert!(core.unanswered.is_empty(), "every request has one reply: {:?}", core.unanswered);
}

struct Core {
    disk: SimDisk,
    shard: Shard<SimDisk>,
    effects: Effects,
    now: u64,
    asked: u64,
    /// Requests, and the line that each has of the commands below.
    unanswered: BTreeMap<u64, usize>,
}

impl Core {
    fn new() -> Core {
        let mut disk = SimDisk::new(1);
        let mut store = bitcask::Options::new(0, *b"the same for all");
        (store.segment_bytes, store.cache_bytes) = (bitcask::limits::SEGMENT_BYTES_MIN, 16 << 10);
        let mut config = Config::new(vec![1, 2, 3], 0, 0, 1);
        // It asks for tails whenever it lacks anything.
        config.repair_tail_records = 0;
        let shard = Shard::new(config, store, lsm::Options::new(0), &mut disk);
        let mut core =
            Core { disk, shard, effects: Effects::new(3), now: 0, asked: 0, unanswered: BTreeMap::new() };
        core.settle();
        assert!(core.shard.is_ready(), "an empty directory is soon recovered");
        core.peer(1);
        core.peer(2);
        core
    }

    fn with_turn(&mut self, work: impl FnOnce(&mut Shard<SimDisk>, &mut Turn<'_, SimDisk>)) {
        let clock = Clock { now: self.now, wall_ms: 1_800_000_000_000 + self.now / MS };
        let mut turn = Turn { disk: &mut self.disk, clock, effects: &mut self.effects };
        work(&mut self.shard, &mut turn);
        self.shard.end_turn(&mut turn);
        for (id, _) in self.effects.replies.drain(..) {
            assert!(self.unanswered.remove(&id.0).is_some(), "one reply to request {}", id.0);
        }
        self.effects.outboxes.iter_mut().for_each(|outbox| outbox.clear());
    }

    /// Turns until the disk has nothing more to do.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let Some(due) = self.disk.next_event() else { return };
            self.now = self.now.max(due);
            for completion in self.disk.poll_completions(self.now) {
                self.with_turn(|shard, turn| shard.on_disk(turn, completion));
            }
        }
        panic!("the disk is busy without end");
    }

    /// Lets time pass, with a turn at each deadline.
    fn pass(&mut self, span: u64) {
        let end = self.now + span;
        for _ in 0..TURNS_MAX {
            self.settle();
            let Some(deadline) = self.shard.deadline().filter(|deadline| *deadline <= end) else {
                self.now = self.now.max(end);
                return self.with_turn(|_, _| ());
            };
            self.now = self.now.max(deadline);
            self.with_turn(|_, _| ());
        }
        panic!("deadlines without end");
    }

    fn message(&mut self, input: &mut Input<'_>, expected: bool) {
        let from = 1 + input.byte() % 2;
        let mut bytes = input.chunk().to_vec();
        if expected {
            if let Some(head) = bytes.get_mut(1..13) {
                head.copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
        self.with_turn(|shard, turn| shard.on_message(turn, from, &bytes));
        self.settle();
    }

    fn command(&mut self, input: &mut Input<'_>) {
        let words: [&[&[u8]]; 8] = [
            &[b"GET", b"k"],
            &[b"SET", b"k", b"v"],
            &[b"INCR", b"k"],
            &[b"DEL", b"k"],
            &[b"SET", b"l", b"v", b"PX", b"5"],
            &[b"DBSIZE"],
            &[b"SCAN", b"0"],
            &[b"FLUSHALL"],
        ];
        let line = usize::from(input.byte()) % words.len();
        let command = match Command::parse(words[line], &Limits::default()).expect("a command") {
            Command::Many(split) => split.parts.into_iter().next().expect("one key"),
            command => command,
        };
        self.asked += 1;
        self.unanswered.insert(self.asked, line);
        let request =
            Request { id: RequestId(self.asked), command, deadline: self.now + 1000 * MS, scope: None };
        self.with_turn(|shard, turn| shard.submit(turn, request));
        self.settle();
    }

    fn peer(&mut self, knob: u8) {
        self.with_turn(|shard, turn| {
            shard.on_peer(turn, 1 + knob / 2 % 2, knob.is_multiple_of(2) || knob < 3)
        });
    }
}

/// Each message by itself, and a conversation of all of them with commands between.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for (index, message) in messages().iter().enumerate() {
        let mut step = vec![0, index as u8 % 2];
        put_chunk(&mut step, message);
        seeds.push([&[5, 1], step.as_slice(), &[6, 50]].concat());
        all.extend([5, index as u8 % 8]);
        all.extend(step);
    }
    seeds.push(all);
    seeds
}
