//! What a write and a read cost three hosts in CPU, without kernel, sockets and disks: the shards alone, messages handed from one to
//! the next in turns.
//!
//! `cargo run --release -p shard --example rounds -- [keys] [SETs] [commands under way per host] [GETs]`
//!
//! Under `valgrind --tool=callgrind` it counts instructions, which do not depend on what else the machine does.

use std::time::Instant;

use reactor::null::NullDisk;
use reactor::rng::Rng;
use shard::command::{Command, Limits};
use shard::{Clock, Config, Effects, Request, RequestId, Shard, Turn};

const HOSTS: usize = 3;
/// Messages that are shown before they are delivered, as netbatch does.
const AHEAD: usize = 16;
/// Turns between two measurements, and the time that passes with each: long enough for some comparisons.
const RESTS: usize = 500;
const REST_NS: u64 = 20_000_000;

struct Host {
    disk: NullDisk,
    shard: Shard<NullDisk>,
    effects: Effects,
    /// Bytes of messages, by who sent them.
    inbox: Vec<(u8, Vec<u8>)>,
    answered: usize,
}

struct World {
    hosts: Vec<Host>,
    now: u64,
    requests: u64,
}

impl World {
    fn new() -> World {
        let hosts = (0..HOSTS as u8).map(|me| {
            let mut disk = NullDisk::default();
            let mut store = bitcask::Options::new(0, *b"the same for all");
            store.cache_bytes = 512 << 20;
            let config = Config::new(vec![1, 2, 3], me, 0, 7);
            let shard = Shard::new(config, store, lsm::Options::new(0), &mut disk);
            Host { disk, shard, effects: Effects::new(HOSTS as u8), inbox: Vec::new(), answered: 0 }
        });
        let mut world = World { hosts: hosts.collect(), now: 0, requests: 0 };
        while world.hosts.iter().any(|host| !host.shard.is_ready()) {
            world.round();
        }
        for me in 0..HOSTS {
            for peer in (0..HOSTS).filter(|peer| *peer != me) {
                world.step(me, |shard, turn| shard.on_peer(turn, peer as u8, true));
            }
            world.hosts[me].shard.set_routes((0..HOSTS as u8).collect());
        }
        (0..4).for_each(|_| world.round());
        world
    }

    fn step(&mut self, host: usize, step: impl FnOnce(&mut Shard<NullDisk>, &mut Turn<'_, NullDisk>)) {
        let clock = Clock { now: self.now, wall_ms: 1 };
        let Host { disk, shard, effects, .. } = &mut self.hosts[host];
        step(shard, &mut Turn { disk, clock, effects });
    }

    /// One turn of each host.
    fn round(&mut self) {
        self.now += 1000;
        for me in 0..HOSTS {
            let inbox = std::mem::take(&mut self.hosts[me].inbox);
            let completions = self.hosts[me].disk.take_completions();
            self.step(me, |shard, turn| {
                for some in inbox.chunks(AHEAD) {
                    shard.look_ahead(&some.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>());
                    some.iter().for_each(|(from, bytes)| shard.on_message(turn, *from, bytes));
                }
                completions.into_iter().for_each(|completion| shard.on_disk(turn, completion));
                shard.end_turn(turn);
            });
            let effects = &mut self.hosts[me].effects;
            let replies = effects.replies.drain(..).map(|(_, reply)| assert!(!reply.is_error(), "{reply:?}"));
            let answered = replies.count();
            let mut sent = Vec::new();
            for (to, outbox) in effects.outboxes.iter_mut().enumerate() {
                sent.extend(outbox.messages().map(|bytes| (to, bytes.to_vec())));
                outbox.clear();
            }
            self.hosts[me].answered += answered;
            sent.into_iter().for_each(|(to, bytes)| self.hosts[to].inbox.push((me as u8, bytes)));
        }
    }

    /// Lets time pass, so that the hosts compare what they hold.
    fn rest(&mut self) {
        for _ in 0..RESTS {
            self.now += REST_NS;
            self.round();
        }
    }

    /// Reads that were served by a Confirm.
    fn confirmed(&self) -> u64 {
        self.hosts.iter().map(|host| host.shard.metrics().confirmed_commands).sum()
    }

    /// Gives each command to the host that is preferred for it, and takes turns until all are answered.
    fn run(&mut self, commands: Vec<Command>) {
        let mut batches: Vec<Vec<Command>> = (0..HOSTS).map(|_| Vec::new()).collect();
        let count = commands.len();
        for command in commands {
            let slot = shard::slot::slot(command.key().expect("of one key"));
            batches[usize::from(slot) * HOSTS / 16_384].push(command);
        }
        self.hosts.iter_mut().for_each(|host| host.answered = 0);
        for (host, batch) in batches.into_iter().enumerate() {
            let first = self.requests;
            self.requests += batch.len() as u64;
            let deadline = self.now + 1_000_000_000_000;
            self.step(host, |shard, turn| {
                shard.look_ahead_of(batch.iter());
                for (command, id) in batch.into_iter().zip(first..) {
                    shard.submit(turn, Request { id: RequestId(id), command, deadline, scope: None });
                }
            });
        }
        while self.hosts.iter().map(|host| host.answered).sum::<usize>() < count {
            self.round();
        }
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map_while(|arg| arg.parse().ok()).collect();
    let number = |at: usize, otherwise| numbers.get(at).copied().unwrap_or(otherwise);
    let (keys, sets, per_host) = (number(0, 200_000), number(1, 1_000_000), number(2, 1000));
    let gets = number(3, sets);
    let batch = per_host * HOSTS as u64;
    let limits = Limits::default();
    let set =
        |key: u64| Command::parse(&[b"SET", format!("key:{key:012}").as_bytes(), &[b'x'; 100]], &limits);
    let get = |key: u64| Command::parse(&[b"GET", format!("key:{key:012}").as_bytes()], &limits);
    let mut world = World::new();
    let mut rng = Rng::new(1);
    let mut measure = |what: &str, operations: u64, make: &mut dyn FnMut(u64) -> Command| {
        world.rest();
        let before = world.confirmed();
        let mut spent = 0;
        for from in (0..operations).step_by(batch as usize) {
            let commands: Vec<Command> = (from..(from + batch).min(operations)).map(&mut *make).collect();
            let start = Instant::now();
            world.run(commands);
            spent += start.elapsed().as_nanos() as u64;
        }
        let confirmed = world.confirmed() - before;
        let each = spent / operations.max(1);
        println!("{what:<30} {each:>8} ns per operation, all three hosts; {confirmed} confirmed");
    };
    measure("first SET of each key", keys, &mut |n| set(n).expect("a command"));
    measure("SET", sets, &mut |_| set(rng.below(keys)).expect("a command"));
    measure("GET", gets, &mut |_| get(rng.below(keys)).expect("a command"));
}
