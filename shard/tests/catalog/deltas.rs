//! What random statements change in a partition is what the deltas mean that are written of it.

use paxos::Ballot;
use reactor::rng::Rng;
use shard::command::{execute, Catalog, Context, Limits, Statements};
use shard::record::{Delta, Record};
use shard::requests::Changes;
use shard::state::{State, Type, Value};

use super::planned;

const BASE: Ballot = Ballot { round: 7, node: 1 << 16, incarnation: 3 };

fn catalog() -> Catalog {
    let texts = [
        "CREATE TABLE chat (room TEXT, at BIGINT, who TEXT, PRIMARY KEY (room, at))",
        "CREATE INDEX by_who ON chat (who)",
    ];
    texts.iter().fold(Catalog::default(), |catalog, text| {
        let parsed = sql::Statement::parse(text.as_bytes()).expect("a statement");
        let context = sql::Context { parameters: &[], now_micros: 0, random: [1, 2] };
        catalog.change(&parsed, &context).expect("it is bounded").catalog.expect("it is changed")
    })
}

fn text(rng: &mut Rng) -> String {
    let (at, other) = (rng.below(40), rng.below(40));
    let who = ["ann", "bob", "", "a name that is somewhat longer than the others"][rng.below(4) as usize];
    match rng.below(8) {
        0..=2 => format!("UPSERT INTO chat VALUES ('a', {at}, '{who}')"),
        3 => format!("INSERT INTO chat VALUES ('a', {at}, '{who}'), ('a', {}, NULL)", other + 40),
        4 => format!("UPDATE chat SET who = '{who}' WHERE room = 'a' AND at = {at}"),
        5 => format!("DELETE FROM chat WHERE room = 'a' AND at = {at}"),
        6 => format!("DELETE FROM chat WHERE room = 'a' AND at > {at} AND at < {}", at + 3),
        _ => format!("UPDATE chat SET who = '{who}' WHERE room = 'a' AND at = {at} IF who = 'ann'"),
    }
}

/// Runs so many statements on a partition, and gives what it became.
fn run(catalog: &Catalog, state: &mut State, count: u64, rng: &mut Rng) {
    for _ in 0..count {
        let command = planned(catalog, &text(rng)).expect("a plan");
        let limits = &Limits::default();
        execute(
            &command,
            state,
            &mut Context {
                now_wall_ms: 1_000,
                limits,
                rng: &mut Rng::new(1),
                catalog,
                statements: &mut Statements::default(),
            },
        );
    }
}

fn record_of(state: &State, version: u64) -> Record {
    Record { version, value: state.value.clone(), ..Record::default() }
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

#[test]
fn what_random_statements_change_is_what_their_deltas_mean() {
    let (catalog, mut rng) = (catalog(), Rng::new(11));
    let (mut deltas, mut given_up, mut empty) = (0, 0, 0);
    for _ in 0..2_000 {
        let mut state = State::default();
        let before = rng.below(30);
        run(&catalog, &mut state, 1 + before, &mut rng);
        let Some(Value::Rows(_)) = state.value else { continue };
        let whole = encoded(&record_of(&state, 1));
        let mut chain: Vec<Vec<u8>> = Vec::new();
        for version in 2..6 {
            let bytes_max = if rng.below(8) == 0 { rng.below(60) as usize } else { 1_000 };
            state.value.as_mut().expect("is an object").begin_notes(bytes_max);
            let count = 1 + rng.below(5);
            run(&catalog, &mut state, count, &mut rng);
            let changes = state.value.as_mut().and_then(Value::changes);
            let next = record_of(&state, version);
            let Some(changes) = changes else {
                given_up += usize::from(next.value.is_some());
                break;
            };
            assert!(changes.len() <= bytes_max);
            empty += usize::from(changes.is_empty());
            let base = Ballot { round: BASE.round + version, ..BASE };
            let delta = Delta::new(base, &next, changes, Changes::default()).expect("is an object");
            let mut bytes = Vec::new();
            assert!(delta.encode(&mut bytes) && delta.kind == Type::Rows);
            let again = Record::decode(&encoded(&next)).expect("was encoded").value;
            assert_eq!(again.map(|value| value.digest()), Some(delta.digest));
            chain.push(bytes);
            let folded = Delta::fold(&whole, chain.iter().map(Vec::as_slice));
            assert_eq!(folded.map(|folded| encoded(&folded)), Ok(encoded(&next)));
            deltas += 1;
        }
    }
    let seen = (deltas, given_up, empty);
    assert!(deltas > 3_000 && given_up > 100 && empty > 10, "{seen:?}");
}
