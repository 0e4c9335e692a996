//! Schedules that are told step by step, for what random ones seldom come to.

use super::{Body, Counts, Fault, Plan, Verdict, Wire, World, BALLOTS_PER_OP};
use crate::driver::Replica;

impl World<'_> {
    /// Has everything written, and the mail of these members delivered; all other mail is returned.
    fn among(&mut self, members: &[u8]) -> Result<Vec<Wire>, String> {
        let mut others = Vec::new();
        loop {
            for me in members {
                while !self.peek(*me).log.is_empty() {
                    self.persist(*me)?;
                }
            }
            let Some(wire) = self.net.pop() else { return Ok(others) };
            if members.contains(&wire.from) && members.contains(&wire.to) {
                self.deliver(wire)?;
            } else {
                others.push(wire);
            }
        }
    }
}

/// The asker proposes, and dies before its own record is durable. It starts again and compares; then its Accepts arrive, and another
/// member's client sees what they made chosen. Whoever counts must count that, although the ballot is the asker's.
pub fn a_former_start_is_heard_late(fault: Fault) -> Verdict {
    let plan = Plan { members: 3, grants: false, confirms: true, fault };
    let mut counts = Counts::default();
    let mut world = World::new(0, plan, &mut counts);
    (0..3).for_each(|me| world.host(me).keys[0].ballots_left = BALLOTS_PER_OP);
    world.with(0, 0, |replica, fx| replica.start_write(1, fx))?;
    while world.peek(0).keys[0].state().accepted.is_zero() {
        let wire = world.net.remove(0);
        while !world.peek(0).log.is_empty() {
            world.persist(0)?;
        }
        world.deliver(wire)?;
        while !world.peek(1).log.is_empty() {
            world.persist(1)?;
        }
    }
    let accepts = std::mem::take(&mut world.net);
    world.die(0)?;
    world.subscribe(0, 1);
    world.among(&[0, 1])?;
    for wire in accepts {
        if matches!(&wire.body, Body::Paxos { message: paxos::Message::Accept { .. }, .. }) {
            world.deliver(wire)?;
        }
    }
    world.among(&[1, 2])?;
    world.with(2, 0, Replica::start_read)?;
    world.among(&[1, 2])?;
    world.start_confirmed_read(0, 0)?;
    world.ask_confirm(0);
    world.among(&[0, 1])?;
    world.heal()
}

/// Of two comparisons each has one answer that arrives: that of the first, about key 0, comes after that of the second, about key 1. In between
/// another member's write of key 0 was counted.
pub fn a_digest_is_late(fault: Fault) -> Verdict {
    let plan = Plan { members: 3, grants: false, confirms: true, fault };
    let mut counts = Counts::default();
    let mut world = World::new(0, plan, &mut counts);
    (0..3).for_each(|me| world.host(me).keys[0].ballots_left = BALLOTS_PER_OP);
    let digest_of = |world: &mut World<'_>, wanted: usize| {
        let of = |wire: &Wire| matches!(&wire.body, Body::Confirm(super::confirms::Body::Digest { key, .. }) if *key == wanted);
        let index = world.net.iter().position(of).expect("an answer is on its way");
        let wire = world.net.swap_remove(index);
        world.net.clear();
        wire
    };
    let answer = |world: &mut World<'_>| {
        let to_1 = |wire: &Wire| wire.to == 1;
        let index = world.net.iter().position(to_1).expect("a question is on its way");
        let wire = world.net.swap_remove(index);
        world.deliver(wire)
    };
    world.subscribe(0, 3);
    answer(&mut world)?;
    let first = digest_of(&mut world, 0);
    world.with(2, 0, |replica, fx| replica.start_write(1, fx))?;
    world.among(&[1, 2])?;
    world.compare(0);
    answer(&mut world)?;
    let second = digest_of(&mut world, 1);
    world.deliver(second)?;
    world.deliver(first)?;
    world.start_confirmed_read(0, 0)?;
    world.ask_confirm(0);
    world.among(&[0, 1])?;
    world.heal()
}

/// Of five, 3 has the promises of 0 and 1 for all keys, and accepts its own entry alone. 0 loses its log and comes back by what 1, 2 and 4
/// tell it, who have never heard of that entry; 3 hears of nothing. If 0 is not bound by what it promised, 2 can have another entry chosen
/// below with 0 and 4, and the one of 3 undoes it later.
pub fn a_range_promise_outlives_its_log(fault: Fault) -> Verdict {
    let plan = Plan { members: 5, grants: true, confirms: false, fault };
    let mut counts = Counts::default();
    let mut world = World::new(0, plan, &mut counts);
    (0..5).for_each(|me| world.host(me).keys[0].ballots_left = BALLOTS_PER_OP);
    world.ask_grant(3);
    world.among(&[0, 1, 3])?;
    world.with(3, 0, |replica, fx| replica.take_write(1, fx))?;
    world.go_on(3, 0)?;
    world.among(&[3])?;
    assert_eq!(world.counts.one_trip, 1, "phase 1 is done for all keys");
    world.lose_log(0)?;
    world.among(&[0, 1, 2, 4])?;
    world.come_back(0)?;
    assert_eq!(world.counts.returns, 1, "three voters have told what they hold");
    world.with(2, 0, |replica, fx| replica.start_write(2, fx))?;
    world.among(&[0, 2, 4])?;
    world.heal()
}
