//! Numbered requests: done once however often they come, by a key that remembers them.

use reactor::rng::Rng;
use shard::command::{
    execute, Catalog, Command, Context, KeyCommand, Limits, Numbered, Op, Split, Statements, Transaction,
};
use shard::record::{CommandId, Record};
use shard::reply::Reply;
use shard::state::{State, Value};

use super::random::Random;
use super::{words, Host};

const NOW_MS: u64 = 1_000_000;

fn run(command: &Command, state: &mut State) -> Reply {
    let mut rng = Rng::new(7);
    let limits = Limits::default();
    execute(
        command,
        state,
        &mut Context {
            now_wall_ms: NOW_MS,
            limits: &limits,
            rng: &mut rng,
            catalog: &Catalog::default(),
            statements: &mut Statements::default(),
        },
    )
}

fn parse(line: &str) -> Command {
    let words = words(line);
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    Command::parse(&args, &Limits::default()).expect(line)
}

fn request(client: &str, seq: u64) -> Numbered {
    Numbered { client: client.as_bytes().into(), seq }
}

fn numbered(line: &str, client: &str, seq: u64) -> Command {
    parse(line).numbered(&request(client, seq)).expect(line)
}

#[test]
fn a_request_that_comes_again_is_answered_and_not_done() {
    let mut state = State::default();
    let incr = numbered("INCR k", "a", 1);
    assert_eq!(run(&incr, &mut state), Reply::Int(1));
    state.changed = false;
    assert_eq!((run(&incr, &mut state), state.changed), (Reply::Int(1), false));
    assert_eq!(run(&numbered("INCR k", "b", 1), &mut state), Reply::Int(2), "another client");
    assert_eq!(run(&numbered("INCR k", "a", 2), &mut state), Reply::Int(3), "another number");
    assert_eq!(run(&incr, &mut state), Reply::Int(1));
    // Whatever comes in between, and whatever it is that comes again.
    run(&parse("DEL k"), &mut state);
    assert_eq!(run(&numbered("LPUSH k x", "a", 2), &mut state), Reply::Int(3));
    assert_eq!(state.value, None);
}

#[test]
fn what_changed_nothing_is_not_done_later_either() {
    let mut state = State { value: Some(Value::Str(b"1".to_vec())), ..State::default() };
    let setnx = numbered("SETNX k 2", "a", 1);
    assert_eq!((run(&setnx, &mut state), state.changed, state.has_noted), (Reply::Int(0), false, true));
    let push = numbered("RPUSH k x", "a", 2);
    assert!(run(&push, &mut state).is_error());
    run(&parse("DEL k"), &mut state);
    assert_eq!(run(&setnx, &mut state), Reply::Int(0));
    assert!(run(&push, &mut state).is_error());
    // A first copy that comes late must not undo what was written after the second was answered.
    let del = numbered("DEL k", "a", 3);
    assert_eq!(run(&del, &mut state), Reply::Int(0));
    run(&numbered("SET k 3", "a", 4), &mut state);
    assert_eq!(run(&del, &mut state), Reply::Int(0));
    assert_eq!(state.value, Some(Value::Str(b"3".to_vec())));
}

/// A key takes the second part for the first that comes again: so there is one part for each.
#[test]
fn a_request_that_names_a_key_twice_is_done_once_for_it() {
    for (line, reply, value) in [
        ("MSET k 1 k 2", Reply::OK, Some(Value::Str(b"2".to_vec()))),
        ("MSET k 1 l x k 2", Reply::OK, Some(Value::Str(b"2".to_vec()))),
        ("DEL k k", Reply::Int(1), None),
        ("UNLINK k k k", Reply::Int(1), None),
    ] {
        for again in [false, true] {
            let before = Some(Value::Str(b"0".to_vec()));
            let mut state = State { value: before, ..State::default() };
            for _ in 0..=u8::from(again) {
                let Split { parts, gather } = numbered(line, "a", 1).split();
                let on_k = |part: &Command| matches!(part, Command::Key(command) if *command.key == *b"k");
                assert_eq!(parts.iter().filter(|part| on_k(part)).count(), 1, "{line}");
                let replies = parts.iter().map(|part| match on_k(part) {
                    true => run(part, &mut state),
                    false => run(part, &mut State::default()),
                });
                assert_eq!(gather.join(replies.collect()), reply, "{line}");
                assert_eq!(state.value, value, "{line}");
            }
        }
    }
    let Command::Many(split) = numbered("MGET k k", "a", 2) else { panic!("a list") };
    assert_eq!(split.parts.len(), 2, "reads are asked as often as they are named");
}

#[test]
fn a_request_on_a_key_whose_time_has_come_is_remembered() {
    let mut state =
        State { value: Some(Value::Str(b"5".to_vec())), expires_at_ms: NOW_MS, ..State::default() };
    let incr = numbered("INCR k", "a", 1);
    assert_eq!((run(&incr, &mut state), run(&incr, &mut state)), (Reply::Int(1), Reply::Int(1)));
}

#[test]
fn a_transaction_is_a_request_like_others() {
    let mut transaction = Transaction { version: Some(0), ..Transaction::default() };
    assert!(transaction.push(b"k", parse("SET k 1")) && transaction.push(b"k", parse("INCR k")));
    let op = Op::Transaction(Box::new(transaction));
    let exec = Command::Key(KeyCommand { key: (*b"k").into(), op }).numbered(&request("a", 9)).unwrap();
    let mut state = State::default();
    let done = Reply::Array(vec![Reply::OK, Reply::Int(2)]);
    assert_eq!(run(&exec, &mut state), done);
    assert_eq!(run(&exec, &mut state), done, "although the version is another one now");
    assert!(!Transaction::default().push(b"k", exec), "none within another");
}

#[test]
fn older_requests_than_are_remembered_are_uncertain() {
    let mut state = State::default();
    for seq in 1..=40 {
        run(&numbered("INCR k", "a", seq), &mut state);
    }
    let Reply::Error(text) = run(&numbered("INCR k", "a", 3), &mut state) else { panic!("an error") };
    assert!(text.starts_with("UNCERTAIN"), "{text}");
    assert_eq!(run(&numbered("INCR k", "a", 30), &mut state), Reply::Int(30));
    assert_eq!(state.value, Some(Value::Str(b"40".to_vec())));
}

#[test]
fn numbered_requests_come_back_from_the_wire_and_from_the_record() {
    let mut random = Random(0xFACE);
    let mut kept = 0;
    let mut state = State::default();
    for seq in 1..4000 {
        let line = random.line();
        let Ok(command) =
            Command::parse(&words(&line).iter().map(Vec::as_slice).collect::<Vec<_>>(), &Limits::default())
        else {
            continue;
        };
        let read = command.is_read();
        for part in command.split().parts {
            let Ok(part) = part.numbered(&request(&format!("c{}", seq % 90), seq)) else { continue };
            assert_eq!(part.is_read(), read, "{line}");
            let mut wire = Vec::new();
            part.encode(&mut wire);
            assert_eq!(Command::decode(&wire), Ok(part.clone()), "{line}");
            run(&part, &mut state);
            let record = Record {
                value: state.value.clone(),
                expires_at_ms: state.expires_at_ms,
                requests: state.requests.clone(),
                ..Record::default()
            };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::check(&bytes), Ok(()), "{line}");
            assert_eq!(Record::is_tombstone(&bytes), Ok(state.value.is_none()), "{line}");
            assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record), "{line}");
            kept += usize::from(!state.requests.is_empty());
        }
    }
    assert!(kept > 1000, "{kept}");
}

#[test]
fn bytes_that_no_host_sends_are_refused() {
    for (client, seq, inner) in [
        ("", "1", "INCR k"),
        ("a", "0", "INCR k"),
        ("a", "x", "INCR k"),
        ("a", "1", "GET k"),
        ("a", "1", "DBSIZE"),
    ] {
        let mut list = Vec::new();
        parse(inner).encode(&mut list);
        let mut bytes = vec![4];
        for argument in [b"REQID", client.as_bytes(), seq.as_bytes(), &list] {
            bytes.push(argument.len() as u8);
            bytes.extend_from_slice(argument);
        }
        assert!(Command::decode(&bytes).is_err(), "{client:?} {seq:?} {inner:?}");
    }
}

#[test]
fn commands_of_a_record_that_do_not_rise_are_refused() {
    let mut record = Record::default();
    let mut insert = |seq| {
        record.applied.insert(CommandId { node: 1 << 16, incarnation: 1, seq }, b"");
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    };
    insert(0x11_1111);
    let bytes = insert(0x22_2222);
    let at = |seq: u64| bytes.windows(8).position(|some| some == seq.to_le_bytes()).expect("it is in there");
    let (first, second) = (at(0x11_1111), at(0x22_2222));
    let with = |seqs: [u64; 2]| {
        let mut bytes = bytes.clone();
        bytes[first..first + 8].copy_from_slice(&seqs[0].to_le_bytes());
        bytes[second..second + 8].copy_from_slice(&seqs[1].to_le_bytes());
        let (check, decoded) = (Record::check(&bytes), Record::decode(&bytes));
        assert_eq!(check.is_ok(), decoded.is_ok(), "{seqs:?}");
        check.is_ok()
    };
    assert!(with([1, 2]) && with([0, u64::MAX]));
    assert!(!with([2, 2]) && !with([2, 1]) && !with([u64::MAX, 0]));
}

#[test]
fn a_numbered_command_on_several_keys_is_done_once() {
    let mut host = Host::new();
    let numbered = |host: &mut Host, seq: u64, words: &[&[u8]]| {
        let request = Numbered::parse(b"me", seq.to_string().as_bytes()).expect("a name and a number");
        let command = Command::parse(words, &Limits::default()).expect("it can be parsed");
        let Ok(Command::Joint(joint)) = command.numbered(&request) else { panic!("it is on several keys") };
        host.run_joint(&joint)
    };
    let run = |host: &mut Host, line: &str| host.run(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    run(&mut host, "RPUSH {l}1 a b");
    let move_one: [&[u8]; 5] = [b"LMOVE", b"{l}1", b"{l}2", b"LEFT", b"RIGHT"];
    assert_eq!(numbered(&mut host, 1, &move_one), Reply::bulk("a"));
    assert_eq!(numbered(&mut host, 1, &move_one), Reply::bulk("a"), "it is not done again");
    assert_eq!(run(&mut host, "LLEN {l}1"), Reply::Int(1));
    assert_eq!(numbered(&mut host, 2, &move_one), Reply::bulk("b"));
    let both = Reply::Array(vec![Reply::bulk("a"), Reply::bulk("b")]);
    assert_eq!(run(&mut host, "LRANGE {l}2 0 -1"), both);
}
