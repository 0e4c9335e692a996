//! Histories of a store that is linearizable by construction: each operation takes effect at one moment
//! between its call and its return, in the order of those moments, by the model.

use rand::rngs::SmallRng;
use rand::RngExt;
use synod_bench::check::model;
use synod_bench::history::{Command, History, Operation, Outcome};

/// How a history is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub clients: u32,
    pub operations_each: u32,
    /// Percent of operations whose outcome nobody learns.
    pub unknown_percent: u32,
}

/// An operation of a generated history, with the moment of its effect; `None`: it never takes effect.
struct Drawn {
    operation: Operation,
    returned: u64,
    effect: Option<u64>,
}

/// One key's history. `skip` names the operations (by place) that the store forgets to apply although it
/// answers, `twice` those that it applies twice: both empty for a good history.
pub fn history(
    random: &mut SmallRng,
    shape: Shape,
    command: &mut dyn FnMut(&mut SmallRng, u32, u32) -> Command,
    skip: &[usize],
    twice: &[usize],
) -> History {
    let mut drawn = Vec::new();
    for client in 0..shape.clients {
        let mut now = random.random_range(0..50);
        for number in 0..shape.operations_each {
            let call = now + random.random_range(1..20);
            let unknown = random.random_range(0..100) < shape.unknown_percent;
            // An unknown operation may take effect long after its client gave up, or never.
            let effect_max = if unknown { 400 } else { 60 };
            let effect = call + random.random_range(1..effect_max);
            let effect = (!unknown || random.random_range(0..3) > 0).then_some(effect);
            let returned = if unknown { call } else { effect.unwrap_or(call) + random.random_range(1..60) };
            let command = command(random, client, number);
            now = returned;
            let outcome = Outcome::Unknown;
            let operation = Operation { client, key: b"k".to_vec(), call, command, outcome, version: None };
            drawn.push((unknown, Drawn { operation, returned, effect }));
        }
    }
    let mut order: Vec<usize> = (0..drawn.len()).filter(|&at| drawn[at].1.effect.is_some()).collect();
    order.sort_by_key(|&at| (drawn[at].1.effect, at));
    let mut state = None;
    let mut version = 0;
    for at in order {
        let (unknown, one) = &mut drawn[at];
        let (mut next, reply) = model::apply(&state, &one.operation.command);
        if twice.contains(&at) {
            next = model::apply(&next, &one.operation.command).0;
        }
        if !skip.contains(&at) {
            version += u64::from(!one.operation.command.is_read());
            state = next;
        }
        if !*unknown {
            one.operation.outcome = Outcome::Replied { at: one.returned, reply };
            one.operation.version = Some(version);
        }
    }
    History { operations: drawn.into_iter().map(|(_, one)| one.operation).collect() }
}

/// GET and SET with values that are all different.
pub fn register(random: &mut SmallRng, client: u32, number: u32) -> Command {
    match random.random_range(0..2) {
        0 => Command::Get,
        _ => Command::Set(format!("{client}.{number}").into_bytes()),
    }
}

/// GET, SET with values that are all different, and DEL.
pub fn deletes(random: &mut SmallRng, client: u32, number: u32) -> Command {
    match random.random_range(0..4) {
        0 => Command::Del,
        1 => Command::Get,
        _ => Command::Set(format!("{client}.{number}").into_bytes()),
    }
}

/// SETNX, compare-and-set and GET, with values that are all different; one in two conditions may hold.
pub fn conditional(random: &mut SmallRng, client: u32, number: u32) -> Command {
    let value = format!("{client}.{number}").into_bytes();
    let expected = format!("{}.{}", random.random_range(0..3), random.random_range(0..number + 1));
    match random.random_range(0..4) {
        0 => Command::SetIfAbsent(value),
        1 | 2 => Command::CompareSet { expected: expected.into_bytes(), value },
        _ => Command::Get,
    }
}

/// Every command of the model, on few values so that conditions hold now and then.
pub fn anything(random: &mut SmallRng, _client: u32, _number: u32) -> Command {
    let mut value = |max: u32| random.random_range(0..max).to_string().into_bytes();
    let (a, b) = (value(4), value(4));
    match random.random_range(0..13) {
        0..=2 => Command::Get,
        3 => Command::Set(a),
        4 => Command::SetIfAbsent(a),
        5 => Command::CompareSet { expected: a, value: b },
        6 => Command::GetSet(a),
        7 => Command::GetDel,
        8 => Command::Del,
        9 => Command::IncrBy(1),
        10 => Command::Append(a),
        11 => Command::Exists,
        _ => Command::Strlen,
    }
}

/// As [`anything`], with flushes.
pub fn flushed(random: &mut SmallRng, client: u32, number: u32) -> Command {
    match random.random_range(0..5) {
        0 => Command::Clear,
        _ => anything(random, client, number),
    }
}

/// INCRBY and GET.
pub fn counter(random: &mut SmallRng, _client: u32, _number: u32) -> Command {
    match random.random_range(0..3) {
        0 => Command::Get,
        _ => Command::IncrBy(1),
    }
}
