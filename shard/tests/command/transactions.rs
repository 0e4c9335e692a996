//! Transactions on one key: the same as their commands one by one, but for the version, and on the wire as a whole.

use super::random::Random;
use super::words;
use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, KeyCommand, Limits, Op, Statements, Transaction};
use shard::reply::Reply;
use shard::state::State;

const KEY: &[u8] = b"k";
const NOW_MS: u64 = 1_000_000;

fn run(command: &Command, state: &mut State, limits: &Limits) -> Reply {
    let mut rng = Rng::new(7);
    execute(
        command,
        state,
        &mut Context {
            now_wall_ms: NOW_MS,
            limits,
            rng: &mut rng,
            catalog: &Catalog::default(),
            statements: &mut Statements::default(),
        },
    )
}

fn parse(line: &str) -> Option<Command> {
    let words = words(line);
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    Command::parse(&args, &Limits::default()).ok()
}

fn whole(version: Option<u64>, commands: &[Command]) -> Command {
    let mut transaction = Transaction { version, ..Transaction::default() };
    for command in commands {
        assert!(transaction.push(KEY, command.clone()), "{command:?} is on the key");
    }
    Command::Key(KeyCommand { key: KEY.into(), op: Op::Transaction(Box::new(transaction)) })
}

fn items(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) => items,
        other => panic!("not a list: {other:?}"),
    }
}

/// A line whose command is on the one key, and answers the same at every run.
fn line(random: &mut Random) -> (String, Command) {
    loop {
        let line = random.line();
        let mut words: Vec<&str> = line.split(' ').collect();
        let place = if line.starts_with("OBJECT") { 2 } else { 1 };
        words.get_mut(place).into_iter().for_each(|key| *key = "k");
        let line = words.join(" ");
        let chosen = ["SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"];
        let versions = ["GETV", "SETV", "OBJECT VERSION"];
        if chosen.iter().chain(&versions).any(|name| line.starts_with(name)) {
            continue;
        }
        let Some(command) = parse(&line) else { continue };
        if Transaction::default().push(KEY, command.clone()) {
            return (line, command);
        }
    }
}

#[test]
fn a_transaction_is_its_commands_one_by_one() {
    let (mut random, limits) = (Random(0xACED), Limits::default());
    for round in 0..3000 {
        let mut state = State { version_floor: round << 10, ..State::default() };
        for _ in 0..random.below(4) {
            run(&line(&mut random).1, &mut state, &limits);
        }
        let before = State { changed: false, ..state.clone() };
        let (lines, commands): (Vec<String>, Vec<Command>) =
            (0..1 + random.below(6)).map(|_| line(&mut random)).unzip();
        let (mut at_once, mut one_by_one) = (before.clone(), before.clone());
        let transaction = whole(None, &commands);
        let replies = items(run(&transaction, &mut at_once, &limits));
        let want: Vec<Reply> = commands
            .iter()
            .map(|command| {
                let split = command.clone().split();
                let parts = split.parts.iter().map(|part| run(part, &mut one_by_one, &limits));
                split.gather.join(parts.collect())
            })
            .collect();
        assert_eq!(replies, want, "{lines:?}");
        assert_eq!(at_once.value, one_by_one.value, "{lines:?}");
        assert_eq!(at_once.expires_at_ms, one_by_one.expires_at_ms, "{lines:?}");
        assert_eq!(at_once.changed, one_by_one.changed, "{lines:?}");
        assert_eq!(at_once.version > before.version, at_once.changed, "{lines:?}");
        assert!(at_once.version <= one_by_one.version, "one version for all: {lines:?}");
        assert_eq!(transaction.is_read(), commands.iter().all(Command::is_read), "{lines:?}");
        assert!(!at_once.is_one_step);

        let mut wire = Vec::new();
        transaction.encode(&mut wire);
        assert_eq!(Command::decode(&wire), Ok(transaction), "{lines:?}");
    }
}

#[test]
fn what_is_watched_must_be_as_it_was() {
    let limits = Limits::default();
    let set = |value: &str| parse(&format!("SET k {value}")).unwrap();
    let version = parse("OBJECT VERSION k").unwrap();
    let mut state = State::default();
    assert_eq!(run(&version, &mut state, &limits), Reply::Int(0));
    let absent = whole(Some(0), &[set("1"), parse("INCR k").unwrap(), version.clone()]);
    assert_eq!(
        run(&absent, &mut state, &limits),
        Reply::Array(vec![Reply::OK, Reply::Int(2), Reply::Int(1)]),
        "both changes have one version"
    );
    state.changed = false;
    let kept = state.clone();
    assert_eq!(run(&absent, &mut state, &limits), Reply::NilArray);
    assert_eq!(run(&whole(Some(7), &[]), &mut state, &limits), Reply::NilArray);
    assert_eq!(run(&whole(Some(1), &[]), &mut state, &limits), Reply::Array(vec![]));
    assert_eq!(state, kept, "nothing is changed by what is not run");
    assert_eq!(run(&whole(Some(1), &[set("3")]), &mut state, &limits), Reply::Array(vec![Reply::OK]));
    assert_eq!(state.version, 2);
    // A key whose time has come has changed, too.
    state.expires_at_ms = NOW_MS;
    assert_eq!(run(&whole(Some(2), &[set("4")]), &mut state, &limits), Reply::NilArray);
    assert_eq!(state.value, None);
}

#[test]
fn one_that_fails_leaves_the_others() {
    let limits = Limits::default();
    let commands = ["SET k 1", "LPUSH k a", "INCR k", "MGET k", "HGETALL k"].map(|line| parse(line).unwrap());
    let replies = items(run(&whole(None, &commands), &mut State::default(), &limits));
    assert_eq!(replies[0], Reply::OK);
    assert!(replies[1].is_error() && replies[4].is_error());
    assert_eq!(replies[2..4], [Reply::Int(2), Reply::Array(vec![Reply::bulk("2")])]);
}

#[test]
fn only_commands_on_the_key_fit() {
    for line in ["GET other", "MGET k other", "DEL k k", "DBSIZE", "SCAN 0", "MSET k 1 other 2"] {
        assert!(!Transaction::default().push(KEY, parse(line).unwrap()), "{line}");
    }
    for line in ["GET k", "MGET k", "DEL k", "MSET k 1", "EXISTS k", "LPUSH k a b"] {
        assert!(Transaction::default().push(KEY, parse(line).unwrap()), "{line}");
    }
    assert!(!Transaction::default().push(KEY, whole(None, &[])), "none in another");
}

#[test]
fn replies_together_are_bounded_and_writes_run_all_the_same() {
    let limits = Limits::default();
    let value = "x".repeat(15 << 20);
    let commands =
        [format!("SET k {value}"), "GET k".into(), "GETSET k 5".into(), "GET k".into(), "INCR k".into()]
            .map(|line| parse(&line).unwrap());
    let mut state = State::default();
    let replies = items(run(&whole(None, &commands), &mut state, &limits));
    let says = |reply: &Reply, what: &str| matches!(reply, Reply::Error(text) if text.contains(what));
    assert_eq!(replies[1], Reply::bulk(&value));
    assert!(says(&replies[2], "was run") && says(&replies[3], "not run"));
    assert_eq!(replies[4], Reply::Int(6), "short ones still fit");
    assert_eq!(run(&parse("GET k").unwrap(), &mut state, &limits), Reply::bulk("6"));
}

#[test]
fn the_size_of_a_reply_is_reckoned_as_it_is_encoded() {
    let long = Reply::bulk(vec![b'x'; 300]);
    let pairs = vec![(Reply::bulk("a"), Reply::Double(1.5)); 200];
    for reply in [Reply::OK, Reply::Nil, Reply::Int(-1), long, Reply::Pairs(pairs), Reply::Array(vec![])] {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        let reckoned = reply.encoded_bytes();
        let items = if let Reply::Pairs(pairs) = &reply { 2 * pairs.len() } else { 0 };
        assert!(bytes.len() <= reckoned && reckoned <= bytes.len() + 10 + 2 * items, "{reply:?}: {reckoned}");
    }
}

#[test]
fn hostile_transactions_are_refused() {
    let mut good = Vec::new();
    whole(Some(3), &[parse("SET k 1").unwrap(), parse("MGET k").unwrap()]).encode(&mut good);
    assert!(Command::decode(&good).is_ok());
    let mut random = Random(0xBAD5EED);
    for _ in 0..100_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        if let Ok(command) = Command::decode(&bytes) {
            let mut again = Vec::new();
            command.encode(&mut again);
            assert_eq!(Command::decode(&again), Ok(command));
        }
    }
    // On another key, within another one, more than there may be.
    let step = |words: &[&[u8]]| {
        let mut out = vec![words.len() as u8];
        words.iter().for_each(|word| {
            out.push(word.len() as u8);
            out.extend_from_slice(word);
        });
        out
    };
    let inner = step(&[b"EXEC", b"k", b"", &step(&[b"GET", b"k"])]);
    for bad in [step(&[b"GET", b"other"]), inner, step(&[b"PING"]), vec![], vec![1, 3, b'G']] {
        assert!(Command::decode(&step(&[b"EXEC", b"k", b"", &bad])).is_err());
    }
    assert!(Command::decode(&step(&[b"EXEC", b"k", b"x"])).is_err());
    assert!(Command::decode(&step(&[b"EXEC", b"k"])).is_err());
}

#[test]
fn several_keys_of_one_slot_are_written_in_one_step() {
    let many: String = (0..129).map(|key| format!(" {{k}}{key} x")).collect();
    let long = format!("MSET {{k}}1 {0} {{k}}2 {0}", "x".repeat(600_000));
    let (too_many, most) = (format!("MSET{many}"), format!("MSET{}", many.replacen(" {k}0 x", "", 1)));
    for (line, keys) in [
        ("MSET {k}1 a {k}2 b", Some(2)),
        ("MSET {k}1 a {k}2 b {k}1 c", Some(2)),
        ("DEL {k}1 {k}2 {k}3", Some(3)),
        ("UNLINK {k}1 {k}2", Some(2)),
        (&most, Some(128)),
        (&too_many, None),
        (&long, None),
        ("MSET k 1 k 2", None),
        ("MSET {k}1 a {l}2 b", None),
        ("DEL {k}1 {l}1", None),
        ("MGET {k}1 {k}2", None),
        ("EXISTS {k}1 {k}2", None),
        ("TOUCH {k}1 {k}2", None),
    ] {
        let Some(Command::Many(split)) = parse(line) else { panic!("{line:.40}") };
        let found = match split.in_one_step() {
            Command::Joint(joint) => {
                assert!(!joint.is_read());
                Some(joint.keys.len())
            }
            Command::Many(_) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, keys, "{line:.40}");
    }
}
