//! Commands: parsed, sent and run; compared with a model of a few lines where it has them.

use std::collections::BTreeMap;

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, Joint, Limits, Op, Statements};
use shard::joint::{Snapshot, Write};
use shard::reply::Reply;
use shard::state::{State, Type, Value};
use synod_bench::check::model;
use synod_bench::history;

use crate::limits::VALUE_BYTES_MAX;

/// Lines of words, parted by line ends and blanks; each is a command on a handful of keys.
pub fn run(data: &[u8]) {
    let limits = Limits { value_bytes_max: VALUE_BYTES_MAX, ..Limits::default() };
    let mut store = BTreeMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let Ok(command) = Command::parse(&words, &limits) else { continue };
        if let Command::Joint(joint) = &command {
            run_joint(joint, &mut store, &limits);
            continue;
        }
        let mut wire = Vec::new();
        command.encode(&mut wire);
        assert_eq!(Command::decode(&wire).as_ref(), Ok(&command), "it travels unchanged");
        let parts = command.split().parts;
        parts.iter().for_each(|part| one(part, &mut store, &limits));
    }
}

/// Wall-clock milliseconds of every input.
const NOW_MS: u64 = 1_800_000_000_000;

fn one(command: &Command, store: &mut BTreeMap<Vec<u8>, State>, limits: &Limits) {
    let Command::Key(key_command) = command else { return };
    let state = store.entry(key_command.key.to_vec()).or_default();
    let before = state.clone();
    let mut context = Context {
        now_wall_ms: NOW_MS,
        limits,
        rng: &mut Rng::new(1),
        catalog: &Catalog::default(),
        statements: &mut Statements::default(),
    };
    let reply = execute(command, state, &mut context);
    assert!(command.is_write() || state.value == before.value, "a read leaves the value");
    let length = state.value.as_ref().map_or(0, Value::bytes);
    assert!(
        length <= limits.value_bytes_max.max(before.value.as_ref().map_or(0, Value::bytes)),
        "a value has a bound"
    );
    if before.expires_at_ms == 0 {
        compare(&key_command.op, &before, state, &reply);
    }
    let mut encoded = Vec::new();
    reply.encode(&mut encoded);
    assert!(Reply::decode(&encoded).is_ok(), "a reply travels");
    state.changed = false;
}

/// Its steps travel, not the command.
fn run_joint(joint: &Joint, store: &mut BTreeMap<Vec<u8>, State>, limits: &Limits) {
    let mut found = |key: &[u8]| {
        let state = store.entry(key.to_vec()).or_default();
        Snapshot { version: state.version, is: Write::of(state) }
    };
    let found: Vec<Snapshot> = joint.keys.iter().map(|key| found(key)).collect();
    let ran = joint.run(
        &found,
        &mut Context {
            now_wall_ms: NOW_MS,
            limits,
            rng: &mut Rng::new(1),
            catalog: &Catalog::default(),
            statements: &mut Statements::default(),
        },
    );
    assert!(!joint.is_read() || ran.writes.iter().all(Option::is_none), "a read leaves the values");
    for ((key, found), write) in joint.keys.iter().zip(found).zip(ran.writes) {
        let Some(write) = write else { continue };
        let state = State { changed: false, ..write.state(found.version + 1) };
        let length = state.value.as_ref().map_or(0, Value::bytes);
        let longest = store.values().filter_map(|state| state.value.as_ref()).map(Value::bytes).max();
        assert!(length <= limits.value_bytes_max.max(longest.unwrap_or(0)), "a value has a bound");
        store.insert(key.to_vec(), state);
    }
    let mut encoded = Vec::new();
    ran.reply.encode(&mut encoded);
    assert!(Reply::decode(&encoded).is_ok(), "a reply travels");
}

fn bytes_of(state: &State) -> Option<&[u8]> {
    match &state.value {
        Some(Value::Str(bytes)) => Some(bytes),
        _ => None,
    }
}

/// The model's command for an operation, where it has one.
fn modelled(op: &Op) -> Option<history::Command> {
    Some(match op {
        Op::Get => history::Command::Get,
        Op::GetDelete => history::Command::GetDel,
        Op::Length => history::Command::Strlen,
        Op::Exists => history::Command::Exists,
        Op::Add(by) => history::Command::IncrBy(*by),
        Op::Append(tail) => history::Command::Append(tail.to_vec()),
        Op::Delete(None) => history::Command::Del,
        _ => return None,
    })
}

fn compare(op: &Op, before: &State, after: &State, reply: &Reply) {
    let Some(command) = modelled(op) else { return };
    // The model knows strings.
    if before.value.as_ref().is_some_and(|value| value.kind() != Type::String) {
        return;
    }
    let told = match reply {
        Reply::Int(number) => history::Reply::Int(*number),
        Reply::Bulk(bytes) => history::Reply::Value(bytes.clone()),
        Reply::Nil => history::Reply::Nil,
        Reply::Error(_) => history::Reply::Refused,
        other => panic!("{op:?} answers {other:?}"),
    };
    let (next, says) = model::apply(&bytes_of(before).map(Into::into), &command);
    if told == history::Reply::Refused && matches!(command, history::Command::Append(_)) {
        return assert_eq!(before.value, after.value, "what is refused changes nothing");
    }
    // Nothing appended to nothing: Redis makes an empty value, and so does the model.
    assert_eq!((&told, bytes_of(after)), (&says, next.as_deref()), "{command:?} on {before:?}");
}

/// Lines with every kind of argument.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "SET k v\nGET k\nGETDEL k\nEXISTS k k\nDEL k l",
        "INCRBY n 9223372036854775807\nINCR n\nDECRBY n -5\nGET n\nINCRBYFLOAT n 1.5e3\nAPPEND n 0\nSTRLEN n",
        "SET k v NX GET\nSET k w XX KEEPTTL\nSET k x IFEQ w PX 100\nGETEX k PERSIST\nTTL k\nPEXPIREAT k 1 GT",
        "SETRANGE k 5 abc\nGETRANGE k -3 -1\nSUBSTR k 0 2\nDIGEST k\nDELEX k IFNE v",
        "MSET a 1 b 2\nMGET a b c\nUNLINK a b\nTOUCH a\nTYPE a\nOBJECT ENCODING a",
        "SETV k 0 v\nGETV k\nSETV k 1 w\nSETEX k 10 v\nPSETEX k 10 v\nSETNX k v\nGETSET k v\nEXPIRE k 10 NX",
        "HSET h a 1 b 2\nHGETALL h\nHINCRBY h a 5\nHINCRBYFLOAT h b 0.5\nHDEL h a\nHRANDFIELD h -3 WITHVALUES\nHSCAN h 0 MATCH * NOVALUES",
        "RPUSH l a b c\nLPOP l 2\nLINSERT l AFTER c d\nLRANGE l 0 -1\nLREM l -1 c\nLTRIM l 1 -1\nLPOS l d RANK -1 COUNT 0 MAXLEN 5\nLSET l 0 e",
        "SADD s a b c\nSPOP s 1\nSREM s a\nSMISMEMBER s a b\nSRANDMEMBER s -2\nSMEMBERS s\nSSCAN s 0 COUNT 5",
        "ZADD z 1 a 2 b\nZADD z XX GT CH 3 a\nZINCRBY z inf a\nZRANGE z (1 +inf BYSCORE LIMIT 0 5 WITHSCORES\nZPOPMIN z 1\nZRANK z a WITHSCORE\nZREMRANGEBYRANK z 0 -1",
        "ZADD y 0 a 0 b\nZRANGE y - (b BYLEX REV\nZREMRANGEBYLEX y [a +\nZRANGEBYLEX y - +\nZLEXCOUNT y [a [b\nZSCAN y 0\nGET y\nMGET y k",
        "RPUSH l 3 1 2 x\nSORT l ALPHA DESC LIMIT 1 2\nSORT l BY nosort STORE m\nSORT_RO m LIMIT 0 -1\nSORT l GET #\nSORT l BY w*",
        "SET s ohmytext\nSET t mynewtext\nLCS s t\nLCS s t LEN\nLCS s t IDX MINMATCHLEN 2 WITHMATCHLEN",
        "SCAN 0 MATCH * COUNT 5 TYPE string\nKEYS h[^a-c]?*\\*\nDBSIZE\nRANDOMKEY\nFLUSHALL ASYNC",
    ];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}
