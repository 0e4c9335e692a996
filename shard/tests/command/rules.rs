//! Rules that hold for every command on every state, on random histories; and the limits.

use super::random::Random;
use super::{words, Host};
use reactor::rng::Rng;
use shard::command::{Catalog, Command, Context, Limits, Statements};
use shard::reply::Reply;
use shard::state::{State, Value};

fn execute(command: &Command, state: &mut State, now_wall_ms: u64, limits: &Limits) -> Reply {
    let mut context = Context {
        now_wall_ms,
        limits,
        rng: &mut Rng::new(state.version),
        catalog: &Catalog::default(),
        statements: &mut Statements::default(),
    };
    shard::command::execute(command, state, &mut context)
}

#[test]
fn every_command_keeps_the_rules() {
    let (mut random, mut state, mut now_ms) = (Random(0xC0FFEE), State::default(), 1_000_000_u64);
    let limits = Limits { value_bytes_max: 64, key_bytes_max: 16 };
    let (mut writes, mut reads, mut expired) = (0, 0, 0);
    for round in 0..250_000_u64 {
        if random.below(4) == 0 {
            now_ms += random.next() % 2000;
        }
        let words = words(&random.line());
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let Ok(command) = Command::parse(&args, &limits) else {
            continue;
        };
        for command in command.split().parts.into_iter().filter(|part| part.key().is_some()) {
            let before = state.clone();
            let due = before.value.is_some() && before.expires_at_ms != 0 && before.expires_at_ms <= now_ms;
            state.changed = false;
            state.version_floor = round;
            let reply = execute(&command, &mut state, now_ms, &limits);
            let what = format!("{command:?} on {before:?} at {now_ms} gave {state:?} and {reply:?}");
            let same = state.value == before.value && state.expires_at_ms == before.expires_at_ms;
            assert!(state.changed || same, "a change is not noted: {what}");
            assert_eq!(state.changed, state.version > before.version, "{what}");
            assert!(!command.is_read() || state.changed == due, "a read changed the state: {what}");
            assert!(!reply.is_error() || state.changed == due, "an error changed the state: {what}");
            assert!(
                state.expires_at_ms == 0 || state.expires_at_ms > now_ms,
                "expired and still there: {what}"
            );
            let bytes = state.value.as_ref().map_or(0, Value::bytes);
            assert!(bytes <= limits.value_bytes_max, "{what}");
            writes += u32::from(state.changed);
            reads += u32::from(command.is_read());
            expired += u32::from(due);
        }
    }
    assert!(writes > 5_000 && reads > 5_000 && expired > 30, "too tame: {writes} {reads} {expired}");
}

/// What was made under a higher bound is emptied under a lower one, and does not grow.
#[test]
fn what_is_over_a_bound_may_shrink() {
    let items: String = (100..140).map(|item| format!(" {item}")).collect();
    let pairs: String = (100..140).map(|item| format!(" 1 {item}")).collect();
    let (wide, narrow) = (Limits::default(), Limits { value_bytes_max: 50, key_bytes_max: 16 });
    for (fill, grow, shrink) in [
        (format!("RPUSH k{items}"), "LPUSH k 1", "LPOP k"),
        (format!("RPUSH k{items}"), "RPUSH k 1", "LTRIM k 1 30"),
        (format!("SADD k{items}"), "SADD k 1", "SREM k 100"),
        (format!("HSET k{items}"), "HSET k 1 1", "HDEL k 100"),
        (format!("ZADD k{pairs}"), "ZADD k 1 1", "ZREM k 100"),
        (format!("ZADD k{pairs}"), "ZADD k 1 1", "ZPOPMIN k"),
    ] {
        let mut state = State::default();
        let mut run = |line: &str, limits: &Limits| {
            let words = words(line);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            execute(&Command::parse(&args, limits).expect("is a command"), &mut state, 1, limits)
        };
        assert!(!run(&fill, &wide).is_error());
        let Reply::Error(text) = run(grow, &narrow) else { panic!("{grow} is refused") };
        assert!(text.starts_with("ERR object exceeds maximum allowed size"), "{text}");
        assert!(!run(shrink, &narrow).is_error(), "{shrink}");
    }
}

#[test]
fn changed_is_never_cleared() {
    let limits = Limits::default();
    let run = |state: &mut State, args: &[&[u8]]| {
        execute(&Command::parse(args, &limits).expect("is valid"), state, 1, &limits)
    };
    let mut state = State::default();
    run(&mut state, &[b"GET", b"a"]);
    assert!(!state.changed);
    run(&mut state, &[b"SET", b"a", b"1"]);
    run(&mut state, &[b"GET", b"a"]);
    assert!(state.changed, "the batch holds a write");
}

#[test]
fn what_does_not_concern_one_key_is_not_executed() {
    let limits = Limits::default();
    for args in [&[&b"MGET"[..], b"a", b"b"][..], &[b"DBSIZE"]] {
        let command = Command::parse(args, &limits).expect("is valid");
        let mut state = State::default();
        assert!(execute(&command, &mut state, 1, &limits).is_error());
        assert_eq!(state, State::default());
    }
}

#[test]
fn the_expiry_of_nothing_is_no_expiry() {
    let limits = Limits::default();
    let mut state = State { expires_at_ms: 5, ..State::default() };
    let command = Command::parse(&[b"SET", b"a", b"1", b"KEEPTTL"], &limits).expect("is valid");
    assert_eq!(execute(&command, &mut state, 1, &limits), Reply::OK);
    assert_eq!(state.expires_at_ms, 0);
}

#[test]
fn limits_are_exact_and_named() {
    let mut host = Host::new();
    host.limits = Limits { value_bytes_max: 8, key_bytes_max: 3 };
    let value = Reply::error("ERR string exceeds maximum allowed size (value_bytes_max 8)");
    let key = Reply::error("ERR key exceeds maximum allowed size (key_bytes_max 3)");
    let table = [
        ("SET abc 12345678", Reply::OK),
        ("SET abc 123456789", value.clone()),
        ("SET abcd 1", key.clone()),
        ("GET abcd", key.clone()),
        ("MSET a 1 abcd 2", key.clone()),
        ("GET a", Reply::Nil),
        ("MSET a 1 b 123456789", value.clone()),
        ("DEL a abcd", key.clone()),
        ("OBJECT ENCODING abcd", key),
        ("APPEND abc 9", value.clone()),
        ("APPEND abc \"\"", Reply::Int(8)),
        ("GETRANGE abc 0 -1", Reply::bulk("12345678")),
        ("SETRANGE abc 8 9", value.clone()),
        ("SETRANGE abc 7 9", Reply::Int(8)),
        ("SETRANGE b 7 9", Reply::Int(8)),
        ("SETRANGE c 8 9", value),
        ("EXISTS c", Reply::Int(0)),
        ("GET abc", Reply::bulk("12345679")),
    ];
    for (line, want) in table {
        let words = words(line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        assert_eq!(host.run(&args), want, "{line}");
    }
}
