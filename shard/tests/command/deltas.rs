//! Deltas: what batches of random commands make of an object is what their changes make of its base.

use super::random::Random;
use super::words;
use paxos::Ballot;
use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, Limits, Numbered, Statements};
use shard::limits::DELTA_BYTES_MAX;
use shard::object::{Hash, List, Score, Set, SortedSet};
use shard::record::{CommandId, Damage, Delta, Record};
use shard::requests::Changes;
use shard::state::{State, Type, Value};

const BASE: Ballot = Ballot { round: 7, node: 1 << 16, incarnation: 3 };

/// An object of a type with entries that random commands hit.
fn object(kind: Type, random: &mut Random) -> Value {
    const NAMES: [&[u8]; 8] = [b"a", b"b", b"", b"\x00", b"0", b"1", b"7", b"1.5"];
    let (mut hash, mut list, mut set, mut sorted) =
        (Hash::default(), List::default(), Set::default(), SortedSet::default());
    for place in 0..=random.below(30) {
        let long = vec![b'x'; 1 + random.below(200)];
        let name = if random.below(2) == 0 { NAMES[random.below(8)] } else { &long };
        let score = Score::new(random.below(9) as f64 - 3.5).expect("is a number");
        hash.set(name, NAMES[random.below(8)]);
        list.insert(random.below(place + 1), name);
        set.insert(name);
        sorted.set(name, score);
    }
    match kind {
        Type::Hash => Value::Hash(hash),
        Type::List => Value::List(list),
        Type::Set => Value::Set(set),
        Type::SortedSet => Value::SortedSet(sorted),
        Type::Rows => Value::Rows(hash),
        Type::String => Value::Str(b"string".to_vec()),
    }
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn encoded_delta(delta: &Delta) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(delta.encode(&mut bytes), "it is no longer than it may be");
    bytes
}

/// The digest that somebody has who knows no more than the bytes.
fn fresh_digest(record: &Record) -> u64 {
    let again = Record::decode(&encoded(record)).expect("was encoded");
    again.value.map_or(0, |value| value.digest())
}

/// Runs so many random commands on a copy of the record, and gives what it became, and its changes.
fn batch(
    base: &Record,
    bytes_max: usize,
    random: &mut Random,
    rng: &mut Rng,
) -> (Record, Option<(Vec<u8>, Changes)>) {
    let mut state = base.state();
    state.value.as_mut().expect("is an object").begin_notes(bytes_max);
    state.requests.begin_notes();
    let mut applied = base.applied.clone();
    for seq in 0..=random.below(6) as u64 {
        let line = random.line_on("k");
        let words = words(&line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let Ok(mut command @ Command::Key(_)) = Command::parse(&args, &Limits::default()) else { continue };
        if random.below(3) == 0 {
            // Of few clients and numbers, so that some come again.
            let client = format!("c{}", random.below(70)).into_bytes().into();
            let request = Numbered { client, seq: 1 + random.below(30) as u64 };
            command = command.numbered(&request).expect("it is on one key");
        }
        let limits = Limits { value_bytes_max: 4000, ..Limits::default() };
        let mut context = Context {
            now_wall_ms: 1_000,
            limits: &limits,
            rng,
            catalog: &Catalog::default(),
            statements: &mut Statements::default(),
        };
        execute(&command, &mut state, &mut context);
        if random.below(4) == 0 {
            let id = CommandId { node: 5, incarnation: 1, seq: base.version * 100 + seq };
            applied.insert(id, b"+OK");
        }
    }
    let requests = state.requests.changes().expect("it took notes");
    let changes = state.value.as_mut().and_then(Value::changes).map(|changes| (changes, requests));
    let State { value, expires_at_ms, requests, ties, .. } = state;
    (
        Record {
            version: base.version + 1,
            epoch: base.epoch,
            value,
            expires_at_ms,
            applied,
            requests,
            ties,
        },
        changes,
    )
}

#[test]
fn what_random_batches_change_is_what_their_deltas_mean() {
    let (mut random, mut rng) = (Random(0xDE17A), Rng::new(7));
    let (mut deltas, mut wholes, mut given_up, mut changed, mut numbered) = ([0; 5], 0, 0, 0, 0);
    for round in 0..30_000 {
        let kind = Type::ALL[1 + round % 4];
        let value = Some(object(kind, &mut random));
        let first = Record { version: 1, epoch: [0, 1, 300][round % 3], value, ..Record::default() };
        let mut chain = vec![(BASE, encoded(&first))];
        let mut last = first;
        for _ in 0..4 {
            let bytes_max = if random.below(8) == 0 { random.below(40) } else { 1000 };
            let (next, changes) = batch(&last, bytes_max, &mut random, &mut rng);
            let Some(value) = next.value.as_ref() else {
                assert_eq!(changes, None);
                wholes += 1;
                break;
            };
            assert_eq!(value.digest(), fresh_digest(&next), "{kind:?}");
            let Some((changes, requests)) = changes else {
                given_up += usize::from(value.kind() == kind);
                break;
            };
            assert!(value.kind() == kind && changes.len() <= bytes_max);
            let (base, _) = *chain.last().expect("has a whole record");
            numbered += usize::from(!requests.done.is_empty());
            let delta = Delta::new(base, &next, changes, requests).expect("is an object");
            let bytes = encoded_delta(&delta);
            assert_eq!((Delta::check(&bytes), Delta::decode(&bytes)), (Ok(()), Ok(delta.clone())));
            assert_eq!(Delta::base_of(&bytes), Some(base));
            assert_eq!(Record::head(&bytes), Ok(Some((kind, next.expires_at_ms))));
            assert_eq!(Record::is_tombstone(&bytes), Ok(false));
            assert!(Record::check(&bytes).is_err() && Record::decode(&bytes).is_err(), "it is no whole");
            let mut folded = last.clone();
            assert_eq!(delta.apply(&mut folded), Ok(()));
            assert_eq!((&folded, encoded(&folded)), (&next, encoded(&next)));
            assert_eq!(fresh_digest(&folded), delta.digest);
            assert!(delta.means(&next) && delta.means(&folded));
            let other = Record { epoch: next.epoch + 1, ..next.clone() };
            assert!(!delta.means(&other) && !delta.agrees(&Delta { epoch: other.epoch, ..delta.clone() }));
            changed += usize::from(!delta.changes.is_empty() && !delta.means(&last));
            deltas[round % 4] += 1;
            chain.push((Ballot { round: base.round + 1, ..base }, bytes));
            last = next;
        }
        let deltas = || chain[1..].iter().map(|(_, bytes)| &bytes[..]);
        assert_eq!(Delta::fold(&chain[0].1, deltas()), Ok(last));
        if chain.len() > 2 {
            assert!(matches!(Delta::fold(&chain[0].1, deltas().rev()), Err(Damage::Base | Damage::Misfit)));
            let no_whole = Delta::fold(&chain[1].1, deltas().skip(1));
            assert!(matches!(no_whole, Err(Damage::Record(_))), "{no_whole:?}");
        }
    }
    let seen = (deltas, wholes, given_up, changed);
    assert!(deltas[..4].iter().all(|count| *count > 3_000) && wholes > 100 && given_up > 100, "{seen:?}");
    assert!(changed > 3_000 && numbered > 3_000, "{seen:?} {numbered}");
}

/// A delta on another object is found: it does not fit, or its digest does not.
#[test]
fn a_delta_on_another_object_is_damage() {
    let (mut random, mut rng) = (Random(0xBA5E), Rng::new(3));
    let mut seen = [0; 3];
    for round in 0..20_000 {
        let kind = Type::ALL[1 + round % 4];
        let record = |random: &mut Random| Record {
            version: 1,
            value: Some(object(kind, random)),
            ..Record::default()
        };
        let (base, other) = (record(&mut random), record(&mut random));
        let (next, changes) = batch(&base, 1000, &mut random, &mut rng);
        let delta = changes.and_then(|(changes, requests)| Delta::new(BASE, &next, changes, requests));
        let Some(delta) = delta else { continue };
        if base == other || delta.changes.is_empty() {
            continue;
        }
        let bytes = (encoded(&other), encoded_delta(&delta));
        match Delta::fold(&bytes.0, [&bytes.1[..]]) {
            // The changes set all that differed.
            Ok(same) => {
                assert_eq!(same.value, next.value);
                seen[0] += 1;
            }
            Err(Damage::Misfit) => seen[1] += 1,
            Err(damage) => panic!("{damage}"),
        }
        let string = Record { version: 1, value: Some(Value::Str(vec![])), ..Record::default() };
        assert_eq!(delta.apply(&mut string.clone()), Err(Damage::Base));
        assert_eq!(delta.apply(&mut Record::default()), Err(Damage::Base), "a tombstone has no object");
        seen[2] += 1;
    }
    assert!(seen[1] > 800 && seen[2] > 800, "{seen:?}");
}

fn base_of_lists() -> Record {
    let mut list = List::default();
    (0..6).for_each(|place| list.insert(place, &[b'a' + place as u8]));
    Record { version: 1, value: Some(Value::List(list)), ..Record::default() }
}

fn delta_of(kind: Type, changes: &[u8]) -> Delta {
    Delta {
        base: BASE,
        version: 1025,
        epoch: 0,
        kind,
        expires_at_ms: 99,
        applied: Default::default(),
        requests: Default::default(),
        digest: 0x0123_4567_89ab_cdef,
        entries: 300,
        changes: changes.to_vec(),
    }
}

#[test]
fn the_bytes_are_those_of_the_format_page() {
    let mut delta = delta_of(Type::Hash, b"\x01\x01f\x02vv\x02\x01g");
    delta.applied.insert(CommandId { node: 5, incarnation: 1, seq: 9 }, b"+");
    let want = b"\x01\x01\x01\x04\0\0\0\0\0\0\0\0\0\0\x02\x02\x63\0\0\0\0\0\0\0\x23\0\0\0\
        \x07\0\0\0\0\0\0\0\0\0\x01\0\x03\0\0\0\xef\xcd\xab\x89\x67\x45\x23\x01\xac\x02\
        \x01\x01f\x02vv\x02\x01g\
        \x01\x05\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\x09\0\0\0\0\0\0\0\x01\0+";
    let bytes = encoded_delta(&delta);
    assert_eq!(bytes.escape_ascii().to_string(), want.escape_ascii().to_string());
    assert_eq!(Delta::decode(&bytes), Ok(delta));
}

/// What becomes of objects, and the changes that are noted: one spelling for each.
#[test]
fn changes_are_spelt_as_on_the_format_page() {
    let hash = "HSET k f v g w";
    let list = "RPUSH k a b c d e f";
    let set = "SADD k a b c";
    let sorted = "ZADD k 1 a 2 b 3 c";
    let table: [(&str, &[&str], &[u8]); 19] = [
        (hash, &["HSET k f x"], b"\x01\x01f\x01x"),
        (hash, &["HDEL k f h"], b"\x02\x01f"),
        (set, &["SADD k a d"], b"\x03\x01d"),
        (set, &["SREM k a d"], b"\x04\x01a"),
        (sorted, &["ZADD k 1 a 2.5 b"], b"\x05\x01b\0\0\0\0\0\0\x04\x40"),
        (sorted, &["ZREM k a"], b"\x06\x01a"),
        (sorted, &["ZPOPMAX k 2"], b"\x07\x01\x02"),
        (list, &["LPUSH k x y"], b"\x08\x01x\x08\x01y"),
        (list, &["RPUSH k x"], b"\x09\x01x"),
        (list, &["LPOP k", "LPOP k 2"], b"\x0a\x03"),
        (list, &["RPOP k 2"], b"\x0b\x02"),
        (list, &["LSET k -1 x"], b"\x0c\x05\x01x"),
        (list, &["LINSERT k BEFORE b x"], b"\x0d\x01\x01x"),
        (list, &["LINSERT k BEFORE a x"], b"\x08\x01x"),
        (list, &["LREM k 0 c"], b"\x0e\x02"),
        (list, &["LREM k 0 f"], b"\x0b\x01"),
        (list, &["LTRIM k 1 2"], b"\x0f\x01\x02"),
        (list, &["PEXPIRE k 1000"], b""),
        // A transaction's steps note what they do.
        (list, &["LPOP k", "RPOP k", "LPUSH k x"], b"\x0a\x01\x0b\x01\x08\x01x"),
    ];
    for (first, lines, want) in table {
        let (mut state, mut rng) = (State::default(), Rng::new(1));
        let mut run = |line: &str, state: &mut State| {
            let words = words(line);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let command = Command::parse(&args, &Limits::default()).expect("is a command");
            let limits = Limits::default();
            execute(
                &command,
                state,
                &mut Context {
                    now_wall_ms: 1,
                    limits: &limits,
                    rng: &mut rng,
                    catalog: &Catalog::default(),
                    statements: &mut Statements::default(),
                },
            );
        };
        run(first, &mut state);
        let before = state.value.clone().expect("is there");
        state.value.as_mut().expect("is there").begin_notes(1000);
        lines.iter().for_each(|line| run(line, &mut state));
        let value = state.value.as_mut().expect("is there still");
        let changes = value.changes().expect("they are few");
        assert_eq!(changes.escape_ascii().to_string(), want.escape_ascii().to_string(), "{lines:?}");
        let mut again = before;
        assert_eq!(again.apply(&changes), Ok(()));
        assert_eq!((&again, again.digest()), (&*value, value.digest()));
    }
}

/// What a batch that puts something else in the object's place leaves is no change of it.
#[test]
fn another_object_at_the_key_has_no_changes() {
    for lines in
        [&["DEL k", "RPUSH k a"][..], &["SET k v"], &["DEL k", "SADD k a"], &["LTRIM k 9 1", "RPUSH k a"]]
    {
        let (mut state, mut rng) = (base_of_lists().state(), Rng::new(1));
        state.value.as_mut().expect("is there").begin_notes(1000);
        for line in lines {
            let words = words(line);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let command = Command::parse(&args, &Limits::default()).expect("is a command");
            let limits = Limits::default();
            execute(
                &command,
                &mut state,
                &mut Context {
                    now_wall_ms: 1,
                    limits: &limits,
                    rng: &mut rng,
                    catalog: &Catalog::default(),
                    statements: &mut Statements::default(),
                },
            );
        }
        assert_eq!(state.value.as_mut().and_then(Value::changes), None, "{lines:?}");
    }
}

/// A base of another flush epoch is none: of an older one it is a tombstone, which nothing changes.
#[test]
fn a_delta_is_of_the_flush_epoch_of_its_base() {
    for (base, of) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (128, 128), (128, 127)] {
        let whole = Record { epoch: base, ..base_of_lists() };
        let delta = Delta { epoch: of, ..delta_of(Type::List, b"\x08\x01x") };
        let bytes = encoded_delta(&delta);
        assert_eq!((Delta::check(&bytes), Delta::decode(&bytes)), (Ok(()), Ok(delta.clone())));
        assert_eq!(bytes[0] == 16, of > 0, "docs/formats/record.md says how it stands in front");
        assert!(Record::is_delta(&bytes) && Delta::base_of(&bytes) == Some(BASE));
        assert_eq!(Record::entries(&bytes), Ok(300));
        let applied = delta.apply(&mut whole.clone());
        assert_eq!(applied, if base == of { Ok(()) } else { Err(Damage::Base) }, "{of} on {base}");
        (0..bytes.len()).for_each(|cut| assert!(Delta::check(&bytes[..cut]).is_err(), "cut at {cut}"));
    }
}

#[test]
fn hostile_changes_are_refused() {
    let huge = b"\x0a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01";
    let table: [(Type, &[u8], bool); 24] = [
        (Type::List, b"\x00", false),
        (Type::List, b"\x10", false),
        (Type::List, b"\x08", false),
        (Type::List, b"\x08\x02x", false),
        (Type::List, b"\x08\x80\x00", false),
        (Type::List, b"\x0a\x00", false),
        (Type::SortedSet, b"\x05\x01a\0\0\0\0\0\0\xf8\x7f", false),
        (Type::SortedSet, b"\x07\x00\x00", false),
        (Type::List, b"\x0d\x00\x01x", false),
        (Type::List, b"\x0e\x00", false),
        (Type::List, b"\x0f\x00\x00", false),
        // Well-formed, and of another object than a list of six.
        (Type::List, huge, true),
        (Type::List, b"\x0a\x07", true),
        (Type::List, b"\x0a\x06", true),
        (Type::List, b"\x0c\x06\x01x", true),
        (Type::List, b"\x0d\x06\x01x", true),
        (Type::List, b"\x0e\x05", true),
        (Type::List, b"\x0f\x00\x06", true),
        (Type::List, b"\x0f\x05\x02", true),
        (Type::List, b"\x0f\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02", true),
        (Type::List, b"\x01\x01f\x01v", true),
        (Type::List, b"\x03\x01a", true),
        (Type::List, b"\x05\x01a\0\0\0\0\0\0\0\0", true),
        (Type::List, b"\x07\x00\x01", true),
    ];
    for (kind, changes, is_well_formed) in table {
        let delta = delta_of(kind, changes);
        let bytes = encoded_delta(&delta);
        let ok = (Delta::check(&bytes).is_ok(), Delta::decode(&bytes).is_ok());
        assert_eq!(ok, (is_well_formed, is_well_formed), "{}", changes.escape_ascii());
        let damage = if kind == Type::List { Damage::Misfit } else { Damage::Base };
        assert_eq!(delta.apply(&mut base_of_lists()), Err(damage), "{}", changes.escape_ascii());
    }
    let whole = encoded(&base_of_lists());
    assert!(
        Delta::check(&whole).is_err() && Delta::decode(&whole).is_err() && Delta::base_of(&whole).is_none()
    );
    for wrong in [
        Delta { base: Ballot::ZERO, ..delta_of(Type::List, b"") },
        Delta { entries: 0, ..delta_of(Type::List, b"") },
        delta_of(Type::String, b""),
    ] {
        let bytes = encoded_delta(&wrong);
        assert!(Delta::check(&bytes).is_err() && Delta::decode(&bytes).is_err(), "{wrong:?}");
    }
    let mut long = Vec::new();
    assert!(!delta_of(Type::List, &vec![0; DELTA_BYTES_MAX]).encode(&mut long) && long.is_empty());
}

#[test]
fn damaged_deltas_never_panic() {
    let mut random = Random(0xDA3A6E);
    let changes = b"\x08\x01x\x0a\x02\x0c\x01\x01y\x0d\x01\x01z\x0e\x02\x0f\x00\x02";
    let mut delta = delta_of(Type::List, changes);
    delta.applied.insert(CommandId { node: 5, incarnation: 1, seq: 9 }, b"+");
    let bytes = encoded_delta(&delta);
    for cut in 0..bytes.len() {
        assert!(Delta::check(&bytes[..cut]).is_err() && Delta::decode(&bytes[..cut]).is_err());
        let _ = (Delta::base_of(&bytes[..cut]), Record::entries(&bytes[..cut]));
    }
    let mut still_valid = 0;
    for _ in 0..100_000 {
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let decoded = Delta::decode(&bytes);
        assert_eq!(Delta::check(&bytes).is_ok(), decoded.is_ok());
        let _ = (Delta::base_of(&bytes), Record::entries(&bytes));
        if let Ok(delta) = decoded {
            still_valid += 1;
            assert_eq!(encoded_delta(&delta), bytes);
            let _ = delta.apply(&mut base_of_lists());
        }
    }
    assert!(still_valid > 1_000, "{still_valid}");
}

/// A list's digest costs no more than a walk, whatever is done in its middle; many pops are one change.
#[test]
fn a_long_list_takes_notes_at_a_bounded_cost() {
    let mut list = List::default();
    (0..20_000).for_each(|place: usize| list.insert(place, &place.to_le_bytes()));
    let mut value = Value::List(list);
    value.begin_notes(DELTA_BYTES_MAX);
    if let Value::List(list) = &mut value {
        (0..5_000).for_each(|step| drop(list.remove(list.len() / 2 + step % 7)));
        (0..5_000).for_each(|_| drop(list.remove(0)));
        (0..5_000).for_each(|_| drop(list.remove(list.len() - 1)));
    }
    let changes = value.changes().expect("they are few");
    assert!(changes.len() < 5_000 * 3 + 10, "{}", changes.len());
    let mut bytes = Vec::new();
    if let Value::List(list) = &value {
        list.encode(&mut bytes);
        assert_eq!(Ok(value.digest()), List::decode(&bytes).map(|list| list.digest()));
    }
}
