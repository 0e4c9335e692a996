//! Several cores: mailboxes and wakes, starts that fail, deadlines, background work, and the end.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Sender as Tell};
use std::time::{Duration, Instant};

use super::support::{any_port, client, pattern, Handler, Server, PATIENCE};
use crate::clock::MILLISECOND;
use crate::uring::limits::{MAILBOX_MESSAGES_MAX, OUTSIDE_MESSAGES_MAX};
use crate::uring::{
    cpus, outside, run_cores, BootError, BootReason, CoreIndex, CoreSpec, Event, Io, Mailboxes, Next,
    OutsideError, Sender, Stats, Turn,
};
use crate::{Disk, Nanos, Op};

/// Throws a number to the other core, which throws it back plus one.
struct Player {
    mailboxes: Mailboxes<u64>,
    other: CoreIndex,
    serve: bool,
    stop: bool,
    stats: Tell<(CoreIndex, u64, Stats)>,
    seen: u64,
}

const THROWS: u64 = 20_000;

impl Turn for Player {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        assert!(matches!(event, Event::Woken), "players hear only wakes");
        while let Some((sender, ball)) = self.mailboxes.receive() {
            assert_eq!(sender, Sender::Core(self.other));
            assert!(ball >= self.seen, "the ball comes in order");
            self.seen = ball;
            self.stop = ball + 1 >= THROWS;
            if ball < THROWS {
                self.mailboxes.send(io, self.other, ball + 1).expect("one ball never fills a mailbox");
            }
        }
    }

    fn end_turn(&mut self, io: &mut Io, _now: Nanos) -> Next {
        if std::mem::take(&mut self.serve) {
            self.mailboxes.send(io, self.other, 0).expect("one ball never fills a mailbox");
        }
        if self.stop {
            self.stats.send((io.core(), self.seen, io.stats())).expect("the test listens");
        }
        Next { stop: self.stop, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

fn specs<M>(folder: &tempfile::TempDir, cores: usize) -> Vec<CoreSpec<M>> {
    (0..cores).map(|_| CoreSpec::new(folder.path())).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

#[test]
fn two_cores_play_ball() {
    let folder = folder();
    let (stats, told) = channel();
    run_cores(specs(&folder, 2), |core, _, mailboxes| {
        assert_eq!(mailboxes.cores(), 2);
        let other = CoreIndex(1 - core.0);
        let stats = stats.clone();
        Ok(Player { mailboxes, other, serve: core.0 == 0, stop: false, stats, seen: 0 })
    })
    .expect("two cores start here");
    drop(stats);
    let mut ends: Vec<_> = told.iter().collect();
    ends.sort_by_key(|(core, ..)| *core);
    assert_eq!(ends.iter().map(|(_, seen, _)| *seen).max(), Some(THROWS), "the last ball arrives");
    for (core, _, stats) in ends {
        assert!(stats.wakes_sent <= THROWS / 2 + 2, "core {core:?} wakes once per throw: {stats:?}");
        assert!(stats.enters <= 2 * THROWS, "core {core:?} does not spin: {stats:?}");
    }
}

/// Core 0 fills its mailbox to core 1 in one turn; core 1 empties it and stops both.
struct Burst {
    mailboxes: Mailboxes<u64>,
    filled: bool,
    received: u64,
    stop: bool,
    stats: Tell<(CoreIndex, Stats)>,
}

impl Turn for Burst {
    fn on_event(&mut self, io: &mut Io, _event: Event<'_>) {
        while let Some((sender, message)) = self.mailboxes.receive() {
            if io.core() == CoreIndex(0) {
                self.stop = true;
                continue;
            }
            assert_eq!((sender, message), (Sender::Core(CoreIndex(0)), self.received));
            self.received += 1;
        }
        if self.received == MAILBOX_MESSAGES_MAX as u64 {
            self.mailboxes.send(io, CoreIndex(0), 0).expect("the way back is free");
            self.stop = true;
        }
    }

    fn end_turn(&mut self, io: &mut Io, _now: Nanos) -> Next {
        if io.core() == CoreIndex(0) && !self.filled {
            self.filled = true;
            for message in 0..MAILBOX_MESSAGES_MAX as u64 {
                self.mailboxes.send(io, CoreIndex(1), message).expect("the mailbox has room");
            }
            assert_eq!(self.mailboxes.send(io, CoreIndex(1), 77), Err(77), "a full mailbox gives it back");
        }
        if self.stop {
            self.stats.send((io.core(), io.stats())).expect("the test listens");
        }
        Next { stop: self.stop, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

#[test]
fn a_turn_wakes_a_core_once() {
    let folder = folder();
    let (stats, told) = channel();
    run_cores(specs(&folder, 2), |_, _, mailboxes| {
        Ok(Burst { mailboxes, filled: false, received: 0, stop: false, stats: stats.clone() })
    })
    .expect("two cores start here");
    drop(stats);
    let mut ends: Vec<_> = told.iter().collect();
    ends.sort_by_key(|(core, _)| *core);
    let counts: Vec<_> = ends.iter().map(|(_, stats)| (stats.wakes_sent, stats.wakes_received)).collect();
    // Core 1 has told before the end of the turn in which it wakes.
    assert_eq!(counts, [(1, 1), (0, 1)], "one wake, however many messages");
}

/// Sends to a core that has stopped.
struct Orphan {
    mailboxes: Mailboxes<u8>,
    refused: bool,
}

impl Turn for Orphan {
    fn on_event(&mut self, _io: &mut Io, _event: Event<'_>) {}

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        if io.core() == CoreIndex(1) {
            return Next { stop: true, ..Next::default() };
        }
        self.refused |= self.mailboxes.send(io, CoreIndex(1), 0).is_err();
        Next { deadline: Some(now), background: false, stop: self.refused }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

#[test]
fn a_core_that_stopped_is_no_danger_to_the_others() {
    let folder = folder();
    run_cores(specs(&folder, 2), |_, _, mailboxes| Ok(Orphan { mailboxes, refused: false }))
        .expect("both stop in order");
}

/// Never runs a turn.
struct Unborn;

impl Turn for Unborn {
    fn on_event(&mut self, _io: &mut Io, _event: Event<'_>) {
        panic!("no core runs unless all do");
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        panic!("no core runs unless all do");
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

#[test]
fn one_core_that_cannot_start_stops_all() {
    let folder = folder();
    let start =
        |specs: Vec<CoreSpec<()>>| run_cores(specs, |_, _, _| Ok(Unborn)).expect_err("one cannot start");

    let mut no_directory = specs(&folder, 3);
    no_directory[1].directory = folder.path().join("absent");
    let error = start(no_directory);
    assert_eq!(error.reason, BootReason::Directory);
    assert!(error.sentence.contains("absent") && error.sentence.contains("make it"), "{error}");

    let mut no_cpu = specs(&folder, 2);
    no_cpu[1].cpu = Some(100_000);
    let error = start(no_cpu);
    assert_eq!(error.reason, BootReason::Cpu);
    assert!(error.sentence.contains("100000"), "{error}");

    let taken = std::net::TcpListener::bind(any_port()).expect("a port is free");
    let address = taken.local_addr().expect("it has an address");
    let error = run_cores::<(), Unborn, _>(specs(&folder, 2), |core, io, _| {
        if core == CoreIndex(0) {
            io.listen(address, 0)?;
        }
        Ok(Unborn)
    })
    .expect_err("the port is taken");
    assert_eq!(error.reason, BootReason::Address);
    assert!(error.sentence.contains(&address.to_string()), "{error}");

    let own = BootError::new(BootReason::System, "the owner does not want to");
    let told = run_cores::<(), Unborn, _>(specs(&folder, 2), |_, _, _| Err(own.clone()));
    assert_eq!(told, Err(own));
}

/// Wakes by its deadline alone.
struct Clockwork {
    ticks: u64,
    due: Nanos,
    stats: Tell<Stats>,
}

const TICKS: u64 = 10;
const TICK: Nanos = 5 * MILLISECOND;

impl Turn for Clockwork {
    fn on_event(&mut self, _io: &mut Io, event: Event<'_>) {
        panic!("nothing happens here, not {event:?}");
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        if now >= self.due {
            self.ticks += 1;
            self.due = now + TICK;
        }
        let stop = self.ticks == TICKS;
        if stop {
            self.stats.send(io.stats()).expect("the test listens");
        }
        Next { deadline: Some(self.due), background: false, stop }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {
        panic!("nobody asked for background work");
    }
}

#[test]
fn a_deadline_wakes_without_spinning() {
    let folder = folder();
    let (stats, told) = channel();
    let begun = Instant::now();
    run_cores::<(), _, _>(specs(&folder, 1), |_, _, _| {
        Ok(Clockwork { ticks: 0, due: 0, stats: stats.clone() })
    })
    .expect("a core starts here");
    assert!(begun.elapsed() >= Duration::from_nanos((TICKS - 1) * TICK), "no tick came early");
    let stats = told.recv().expect("the core told");
    assert!((TICKS..=2 * TICKS).contains(&stats.turns), "about a turn per tick: {stats:?}");
    assert!(stats.enters <= 2 * TICKS, "about an entry per tick: {stats:?}");
}

/// Echoes, and has background work until it has done enough steps.
struct Busy {
    steps: u64,
    answered: u64,
}

const STEPS: u64 = 2_000;

impl Handler for Busy {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        if let Event::Received { conn, bytes } = event {
            self.answered += 1;
            // The answer says how far the background has come.
            let mut answer = bytes.to_vec();
            answer.extend_from_slice(&self.steps.to_le_bytes());
            io.send(conn, answer);
        }
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { background: self.answered > 0 && self.steps < STEPS, ..Next::default() }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        self.steps += 1;
        let long_enough = now + MILLISECOND / 10;
        while io.clock() < long_enough {}
    }
}

#[test]
fn background_work_and_messages_share_the_core() {
    let server = Server::start(|| Busy { steps: 0, answered: 0 });
    let mut stream = client(server.address);
    let mut answers_while_busy = 0;
    let mut steps = 0;
    while steps < STEPS {
        stream.write_all(b"x").expect("the server reads");
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).expect("the server answers");
        assert_eq!(answer[0], b'x');
        let now = u64::from_le_bytes(answer[1..].try_into().expect("eight bytes"));
        assert!(now >= steps, "background work only grows");
        steps = now;
        answers_while_busy += 1;
    }
    let stats = server.stop();
    assert_eq!(stats.background_steps, STEPS, "a step for each time it was wanted, none after");
    assert!(
        answers_while_busy > 20,
        "messages are answered between steps, not after all: {answers_while_busy}"
    );
    assert!(stats.waits <= answers_while_busy + 10, "it sleeps again when the work is done: {stats:?}");
}

/// Asks for something in every turn that is there at once in the next, so that the pump never has nothing to take.
struct Saturated {
    turns: u64,
    steps: u64,
    told: Tell<u64>,
}

const FEW_STEPS: u64 = 50;

impl Turn for Saturated {
    fn on_event(&mut self, _io: &mut Io, event: Event<'_>) {
        assert!(matches!(event, Event::Disk(_)), "only the list was asked for");
    }

    fn end_turn(&mut self, io: &mut Io, _now: Nanos) -> Next {
        io.submit(Op::List);
        self.turns += 1;
        assert!(self.turns < 1_000_000, "background work starves: {} steps", self.steps);
        let stop = self.steps == FEW_STEPS;
        if stop {
            self.told.send(self.turns).expect("the test listens");
        }
        Next { deadline: None, background: true, stop }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        self.steps += 1;
        let long_enough = now + MILLISECOND / 10;
        while io.clock() < long_enough {}
    }
}

#[test]
fn neither_starves_when_both_always_have_work() {
    let folder = folder();
    let (told, turns) = channel();
    run_cores::<(), _, _>(specs(&folder, 1), |_, _, _| {
        Ok(Saturated { turns: 0, steps: 0, told: told.clone() })
    })
    .expect("a core starts here");
    let turns = turns.recv().expect("the core told");
    // A turn with a list takes a fraction of a step, and the pump has ten times the shares.
    assert!(turns > 2 * FEW_STEPS, "the pump comes first: {turns} turns for {FEW_STEPS} steps");
}

/// Never answers.
struct Deaf;

impl Turn for Deaf {
    fn on_event(&mut self, _io: &mut Io, _event: Event<'_>) {}

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { stop: true, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

#[test]
fn the_queue_from_outside_is_bounded_and_ends_with_the_core() {
    let (control, end) = outside::<usize>().expect("an event counter can be made");
    for message in 0..OUTSIDE_MESSAGES_MAX {
        control.send(message).expect("the queue has room");
    }
    assert_eq!(control.send(1_000), Err(OutsideError::Full(1_000)));
    let folder = folder();
    let mut spec = CoreSpec::new(folder.path());
    spec.outside = Some(end);
    run_cores(vec![spec], |_, _, _| Ok(Deaf)).expect("a core starts here");
    assert_eq!(control.send(7), Err(OutsideError::Stopped(7)));
}

/// Sends much to whoever connects, who does not read.
struct Flood;

impl Handler for Flood {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        if let Event::Accepted { conn, .. } = event {
            for piece in 0..8 {
                io.send(conn, pattern(piece, 1 << 20));
            }
        }
    }
}

#[test]
fn a_core_stops_with_sends_under_way() {
    let server = Server::start(|| Flood);
    let mut clients: Vec<_> = (0..8).map(|_| client(server.address)).collect();
    for stream in &mut clients {
        // The first byte is here: the send is under way, and cannot end while nobody reads on.
        stream.read_exact(&mut [0]).expect("the server sends");
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < PATIENCE / 2, "the kernel lets go of the sends");
}

/// Says a last word and stops in the same turn.
struct Farewell {
    said: bool,
}

impl Turn for Farewell {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        if let Event::Accepted { conn, .. } = event {
            io.send(conn, b"farewell".to_vec());
            self.said = true;
        }
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { stop: self.said, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

#[test]
fn what_the_last_turn_sends_goes_out() {
    let folder = folder();
    let (tell, told) = channel();
    let listening = std::thread::spawn(move || {
        let mut heard = String::new();
        let address = told.recv().expect("the core comes up");
        client(address).read_to_string(&mut heard).expect("the core closes in order");
        heard
    });
    run_cores::<(), _, _>(specs(&folder, 1), |_, io, _| {
        let listener = io.listen(any_port(), 0)?;
        tell.send(io.listener_address(listener)).expect("the client waits");
        Ok(Farewell { said: false })
    })
    .expect("a core starts here");
    assert_eq!(listening.join().expect("the client was content"), "farewell");
}

#[test]
fn cores_can_be_pinned() {
    static PINNED: AtomicBool = AtomicBool::new(false);
    let Some(&cpu) = cpus().last() else { panic!("a process has a CPU") };
    let folder = folder();
    let mut spec: CoreSpec<()> = CoreSpec::new(folder.path());
    spec.cpu = Some(cpu);
    run_cores(vec![spec], |_, _, _| {
        // On the core's own thread the allowed CPUs are the one that was asked for.
        PINNED.store(cpus() == [cpu], Ordering::Relaxed);
        Ok(Deaf)
    })
    .expect("a pinned core starts here");
    assert!(PINNED.load(Ordering::Relaxed));
}
