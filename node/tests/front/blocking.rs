//! Pops that wait, step by step: what a session asks for, and that it answers once, whatever comes in which order.

use shard::reply::Reply;
use synod::cluster::Port;
use synod::session::{Action, Ticket, WaitStep};

use super::world::{readable, Options, World};

const BUSY: Reply = Reply::error("ERR busy");

struct Pop {
    world: World,
}

impl Pop {
    /// A client that has asked so, and the actions that came of it.
    fn new(command: &str) -> (Pop, Vec<Action>) {
        let mut world = World::new(&Options::default());
        world.connect(0, Port::Plain, "127.0.0.1:50000");
        let mut pop = Pop { world };
        let actions = pop.feed(command);
        (pop, actions)
    }

    fn feed(&mut self, command: &str) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let bytes = format!("{command}\r\n").into_bytes();
        self.world.sessions[0].0[0].feed(&bytes, &mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn refuse(&mut self, part: u32) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let session = &mut self.world.sessions[0].0[0];
        session.refused(Ticket { seq: 0, part }, &BUSY, &mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn wake(&mut self, part: u32) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        self.world.sessions[0].0[0].woken(Ticket { seq: 0, part }, now, &mut actions);
        actions
    }

    fn reply(&mut self, part: u32, reply: Reply) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let session = &mut self.world.sessions[0].0[0];
        session.reply(Ticket { seq: 0, part }, reply, &mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn end(&mut self, ms: u64) -> Vec<Action> {
        self.world.now.mono_us += 1000 * ms;
        let (mut actions, now) = (Vec::new(), self.world.now);
        self.world.sessions[0].0[0].end_wait(&mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn out(&mut self) -> String {
        readable(&self.world.sessions[0].0[0].take_output())
    }
}

/// What becomes of each wait; tries are told by the part that is tried.
fn steps(actions: &[Action]) -> Vec<String> {
    let one = |action: &Action| match action {
        Action::Wait(ticket, _, WaitStep::Begins(_)) => format!("{} begins", ticket.part),
        Action::Wait(ticket, _, WaitStep::Missed) => format!("{} missed", ticket.part),
        Action::Wait(ticket, _, WaitStep::Ends { took }) => format!("{} ends {took}", ticket.part),
        Action::Run { ticket, .. } => format!("{} tries", ticket.part),
        other => panic!("{other:?}"),
    };
    actions.iter().map(one).collect()
}

#[test]
fn who_is_told_tries_all_keys_and_waits_on() {
    let (mut pop, actions) = Pop::new("BLPOP a b 0");
    assert_eq!(steps(&actions), ["0 begins", "1 begins"]);
    assert_eq!(steps(&pop.wake(1)), ["0 tries"]);
    assert_eq!(steps(&pop.wake(0)), [""; 0], "it is trying");
    assert_eq!(steps(&pop.reply(0, Reply::Nil)), ["1 tries"]);
    assert_eq!(steps(&pop.reply(1, Reply::Nil)), ["1 missed", "0 tries"], "it was told meanwhile");
    assert_eq!(steps(&pop.reply(0, Reply::bulk("x"))), ["0 ends true", "1 ends false"]);
    assert_eq!(pop.out(), "*2\\r\\n$1\\r\\na\\r\\n$1\\r\\nx\\r\\n");
    assert_eq!(steps(&pop.wake(0)), [""; 0], "it waits no more");
}

#[test]
fn all_keys_refused_are_one_error() {
    let (mut pop, _) = Pop::new("BLPOP a b 0");
    assert_eq!(steps(&pop.refuse(0)), ["0 ends false", "1 ends false"]);
    assert_eq!(steps(&pop.refuse(1)), [""; 0]);
    assert_eq!(pop.out(), "-ERR busy\\r\\n");
    assert_eq!(pop.feed("PING").len(), 0);
    assert_eq!(steps(&pop.refuse(0)), [""; 0]);
    assert_eq!(pop.out(), "+PONG\\r\\n");
}

#[test]
fn what_a_try_takes_is_not_lost_to_a_refusal() {
    for (reply, out) in [(Reply::bulk("x"), "*2"), (Reply::Nil, "-ERR busy")] {
        let (mut pop, _) = Pop::new("BLPOP a b 0");
        assert_eq!(steps(&pop.wake(0)), ["0 tries"]);
        assert_eq!(steps(&pop.refuse(1)), [""; 0]);
        if reply == Reply::Nil {
            assert_eq!(steps(&pop.reply(0, Reply::Nil)), ["1 tries"]);
            pop.reply(1, Reply::Nil);
        } else {
            pop.reply(0, reply);
        }
        assert!(pop.out().starts_with(out));
    }
}

#[test]
fn a_time_that_is_over_is_answered_by_a_try() {
    let (mut pop, _) = Pop::new("BLPOP a 0.5");
    assert_eq!(steps(&pop.end(499)), [""; 0]);
    assert_eq!(steps(&pop.end(1)), ["0 tries"], "nobody has told it anything yet");
    assert_eq!(steps(&pop.end(1)), [""; 0]);
    assert_eq!(steps(&pop.reply(0, Reply::Nil)), ["0 ends false"]);
    assert_eq!(pop.out(), "*-1\\r\\n");
}

#[test]
fn a_try_that_fails_took_nothing() {
    let (mut pop, _) = Pop::new("BLPOP a 0");
    pop.wake(0);
    assert_eq!(steps(&pop.reply(0, BUSY)), ["0 ends false"]);
    assert_eq!(pop.out(), "-ERR busy\\r\\n");
}
