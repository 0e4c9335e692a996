//! What clients ask: the keys, the commands of each kind of key, and what a reply means to the history.

use reactor::rng::Rng;
use shard::command::{self, KeyCommand, Limits, Numbered, Op, Transaction};
use shard::reply::Reply;
use shard::state::Value;
use synod_bench::history::{self, Command};

use crate::ledger::TOKEN_BYTES;
use crate::limits::{EXPIRING_PER_KEY_MAX, EXPIRY_MAX, GROUP_MAX, UNKNOWN_PER_KEY_MAX};
use crate::objects::{self, Shape};
use crate::plan::CROWDED_KEYS_MAX;
use crate::rows::{self, Table};

/// What happens to a key; each kind has a checker that is sharp for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// APPEND of tokens that are all different, and reads: the value is its own history.
    Appended,
    /// SET of values that are all different, and GET.
    Register,
    /// INCR and GET.
    Counter,
    /// Everything conditional: SETNX, IFEQ, GETSET, GETDEL, DEL, EXISTS.
    Mixed,
    /// SETV and GETV.
    Versioned,
    /// SET with PX, and GET.
    Expiring,
    /// SET, DEL, EXISTS and GET, of one key or of many. Only where there are such commands.
    Grouped,
    /// What moves between keys of one slot (`moves`); clients ask nothing about it.
    Tagged,
}

/// What a value of a key is to the history.
pub fn text_of(value: Option<&Value>) -> Vec<u8> {
    match value {
        Some(Value::Str(bytes)) => bytes.clone(),
        Some(Value::Rows(rows)) => rows::text_of(rows.iter().map(|(_, bytes)| &bytes[..])),
        Some(object) => objects::text_of(object),
        None => Vec::new(),
    }
}

/// Commands of many keys: their first words, and what they are to each key.
const VERBS: [(&str, Verb); 8] = [
    ("MGET", Verb::Get),
    ("MGET", Verb::Get),
    ("MSET", Verb::Set),
    ("MSET", Verb::Set),
    ("DEL", Verb::Del),
    ("UNLINK", Verb::Del),
    ("EXISTS", Verb::Exists),
    ("TOUCH", Verb::Exists),
];

/// What a command of many keys does to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Set,
    Del,
    Exists,
}

/// A command of many keys.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its words.
    pub words: Vec<Vec<u8>>,
    /// What it is to each of its keys, in their order.
    pub asks: Vec<Ask>,
}

/// Kinds of keys where there are flushes: the value of none is its own history.
const KINDS_FLUSHED: [Kind; 8] = [
    Kind::Register,
    Kind::Mixed,
    Kind::Counter,
    Kind::Register,
    Kind::Versioned,
    Kind::Expiring,
    Kind::Mixed,
    Kind::Register,
];

/// Kinds of keys where there are large tables: what statements say.
const KINDS_LARGE: [Kind; 2] = [Kind::Register, Kind::Mixed];

const KINDS: [Kind; 8] = [
    Kind::Appended,
    Kind::Register,
    Kind::Appended,
    Kind::Counter,
    Kind::Mixed,
    Kind::Appended,
    Kind::Versioned,
    Kind::Expiring,
];

/// The side of the die that reads, whatever the kind.
const READS: u64 = 7;

/// What makes a command differ from its plain form in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the history has it.
    Plain,
    /// GETV, or SETV with the version expected.
    Versioned(Option<u64>),
    /// SET with an end, in milliseconds from then.
    Expiring(u64),
}

/// A command to be sent.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The place of its key.
    pub place: usize,
    /// Its key.
    pub key: Vec<u8>,
    /// What the history has of it.
    pub command: Command,
    /// How it is said.
    pub form: Form,
    /// Whether it is said as a transaction of two steps, neither of which is it alone.
    pub in_steps: bool,
    /// The client and the number that stand in front of it (REQID).
    pub number: Option<(u32, u64)>,
}

/// What a client learns from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was done, or refused by the value itself.
    Reply(history::Reply, Option<u64>),
    /// It was not applied, for certain.
    Failed,
    /// It may be applied, or not, or later.
    Unknown,
}

/// A place that is taken by one key after the other.
#[derive(Clone, Debug)]
struct Place {
    kind: Kind,
    /// What its keys hold, if these are objects.
    object: Option<Shape>,
    /// Its keys are partitions of this table.
    table: Option<Table>,
    generation: u32,
    unknown: usize,
    expiring: usize,
    /// The last value and version that any client saw, for conditions that have a chance to hold.
    seen: Vec<u8>,
    version: u64,
}

/// The keys of a run and what becomes of them.
#[derive(Clone, Debug)]
pub struct Workload {
    rng: Rng,
    places: Vec<Place>,
    hot: bool,
    /// Three commands of four, and a share of the others, only read.
    reads: bool,
    extras: Extras,
    unique: u64,
    /// Numbered requests so far.
    numbered: u64,
}

/// What is in a workload besides commands on strings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// Some keys hold objects.
    pub objects: bool,
    /// These are long.
    pub long: bool,
    /// Half of the writes that can be are transactions.
    pub transactions: bool,
    /// Half of the writes are numbered by their clients.
    pub numbers: bool,
    /// All keys of a slice are emptied now and then.
    pub flushes: bool,
    /// Some keys are partitions of a table.
    pub tables: bool,
    /// Some of these are of one in the large layout.
    pub large_tables: bool,
    /// Some keys are about when they end, and some ends are set by a command of their own.
    pub ends: bool,
}

impl Workload {
    /// Keys for a run, and behind them so many for commands of many keys. `reads`: most commands read.
    pub fn new(mut rng: Rng, keys: usize, grouped: usize, reads: bool, extras: Extras) -> Workload {
        let first = rng.below(KINDS.len() as u64) as usize;
        let is_crowded = extras.tables && keys as u64 <= CROWDED_KEYS_MAX;
        let kind = |index: usize| match index {
            index if index >= keys => Kind::Grouped,
            index if extras.large_tables => KINDS_LARGE[(first + index) % KINDS_LARGE.len()],
            index if extras.flushes || is_crowded => KINDS_FLUSHED[(first + index) % KINDS_FLUSHED.len()],
            0 => Kind::Appended,
            index => KINDS[(first + index) % KINDS.len()],
        };
        let place = |index: usize| Place {
            kind: kind(index),
            object: None,
            table: None,
            generation: 0,
            unknown: 0,
            expiring: 0,
            seen: Vec::new(),
            version: 0,
        };
        let hot = rng.coin();
        let mut places: Vec<Place> = (0..keys + grouped).map(place).collect();
        for place in places.iter_mut().filter(|_| extras.objects) {
            place.object = objects::shape_for(place.kind, &mut rng).filter(|_| rng.below(3) > 0);
        }
        for place in places.iter_mut().filter(|place| extras.tables && place.object.is_none()) {
            let fits = matches!(place.kind, Kind::Register | Kind::Mixed);
            let is_partition = fits && rng.below(4) > 0;
            let is_large = is_partition && extras.large_tables && rng.below(4) > 0;
            let table = if is_large { Table::Large } else { Table::Small };
            place.table = is_partition.then_some(table);
        }
        for place in places.iter_mut().filter(|place| extras.ends && place.table.is_none()) {
            let fits = place.object.is_none() && matches!(place.kind, Kind::Register | Kind::Mixed);
            place.object = place.object.or((fits && rng.below(4) > 0).then_some(Shape::End));
        }
        Workload { places, hot, reads, extras, unique: 0, numbered: 0, rng }
    }

    /// The keys that are there at first, and whether they are appended to only.
    pub fn keys(&self) -> Vec<(Vec<u8>, bool)> {
        (0..self.places.len()).map(|place| (self.key(place), self.is_appended(place))).collect()
    }

    /// The name of the key at a place. The kind is its first letter; what it holds, if that is an object, its last one.
    fn key(&self, place: usize) -> Vec<u8> {
        self.key_of(place, self.places[place].generation)
    }

    fn key_of(&self, place: usize, generation: u32) -> Vec<u8> {
        let Place { kind, object, table, .. } = self.places[place];
        let letter = format!("{kind:?}").to_ascii_lowercase().remove(0);
        let mut name = format!("{letter}{place}.{generation}");
        if let Some(table) = table {
            return rows::key_of(table, &name);
        }
        name.extend(object.map(|shape| objects::suffix(shape, self.extras.long)));
        name.into_bytes()
    }

    fn is_appended(&self, place: usize) -> bool {
        self.places[place].kind == Kind::Appended
    }

    /// The kind of a key, by its name.
    pub fn kind_of(&self, key: &[u8]) -> Kind {
        let key = rows::name_of(key).unwrap_or(key);
        let letter = |kind: &Kind| format!("{kind:?}").bytes().next();
        *KINDS
            .iter()
            .chain([&Kind::Grouped, &Kind::Tagged])
            .find(|kind| letter(kind) == key.first().map(u8::to_ascii_uppercase))
            .expect("keys are named by their kind")
    }

    /// The next command of a client.
    pub fn next(&mut self, client: u32) -> Ask {
        let count = self.places.len() as u64;
        let place = if self.hot && self.rng.below(3) > 0 { 0 } else { self.rng.below(count) as usize };
        let unique = self.token(client);
        let (mut command, form) = self.draw(unique.clone(), place);
        let key = self.key(place);
        let is_partition = self.places[place].table.is_some();
        if is_partition && !rows::is_said(&command) {
            command = Command::Del;
        }
        let object = self.places[place].object;
        if let Some(shape) = object {
            command = objects::as_said(shape, command);
        }
        let can = match (&command, form) {
            (command, _) if object.is_some() => {
                !command.is_read()
                    && object.and_then(|shape| objects::in_steps(shape, &key, command)).is_some()
                    && !(object == Some(Shape::Set) && matches!(command, Command::SetIfAbsent(_)))
            }
            (Command::Append(_) | Command::IncrBy(_), _) => true,
            (Command::Set(_), Form::Versioned(_)) => true,
            (Command::Set(_), Form::Expiring(_)) => self.extras.ends,
            _ => false,
        };
        let lengthens = object == Some(Shape::Set)
            && matches!(command, Command::SetIfAbsent(_))
            && objects::length_of(&key, &unique).is_some();
        // Only a key that is there takes an end: one that was seen to end was there, and nothing but a flush would take it away.
        let is_end = object == Some(Shape::End) && objects::ends::is_set(&command);
        let is_there = !self.extras.flushes && !self.places[place].seen.is_empty();
        let may = self.extras.transactions || matches!(form, Form::Expiring(_));
        let in_steps = match is_end {
            true => !(is_there && self.rng.coin()),
            false => may && can && self.rng.coin() || lengthens,
        };
        let numbers = self.extras.numbers && !is_partition;
        let number = (numbers && !command.is_read() && self.rng.coin()).then(|| {
            self.numbered += 1;
            (client, self.numbered)
        });
        Ask { place, key, command, form, in_steps, number }
    }

    /// A value that no other command has.
    fn token(&mut self, client: u32) -> Vec<u8> {
        self.unique += 1;
        let unique = format!("{client:02}{:05};", self.unique).into_bytes();
        assert!(unique.len() == TOKEN_BYTES, "a token has a fixed width");
        unique
    }

    fn draw(&mut self, unique: Vec<u8>, place: usize) -> (Command, Form) {
        let Place { kind, version, ref seen, .. } = self.places[place];
        let seen = seen.clone();
        let die = if self.reads && self.rng.below(4) > 0 { READS } else { self.rng.below(8) };
        let plain = |command: Command| (command, Form::Plain);
        match (kind, die) {
            (Kind::Appended, 0..=4) => plain(Command::Append(unique)),
            (Kind::Appended, 5) => plain(Command::Strlen),
            (Kind::Register, 0..=3) => plain(Command::Set(unique)),
            (Kind::Counter, 0..=4) => plain(Command::IncrBy(1)),
            (Kind::Mixed, 0) => plain(Command::SetIfAbsent(unique)),
            (Kind::Mixed, 1) => plain(Command::CompareSet { expected: seen, value: unique }),
            (Kind::Mixed, 2) => plain(Command::GetSet(unique)),
            (Kind::Mixed, 3) => plain(Command::GetDel),
            (Kind::Mixed, 4) => plain(Command::Del),
            (Kind::Mixed, 5) => plain(Command::Exists),
            (Kind::Versioned, 0..=3) => (Command::Set(unique), Form::Versioned(Some(version))),
            (Kind::Versioned, 4) => plain(Command::Get),
            (Kind::Versioned, _) => (Command::Get, Form::Versioned(None)),
            (Kind::Expiring, 0..=3) => {
                let ms = self.rng.between(1, EXPIRY_MAX / 1_000_000);
                (Command::Set(unique), Form::Expiring(ms))
            }
            (Kind::Grouped, 0..=2) => plain(Command::Set(unique)),
            (Kind::Grouped, 3) => plain(Command::Del),
            (Kind::Grouped, 4) => plain(Command::Exists),
            _ => plain(Command::Get),
        }
    }

    /// A command of many keys, of `most` at most. None where too few keys can be asked what was drawn.
    pub fn next_group(&mut self, client: u32, most: u64) -> Option<Group> {
        let (word, verb) = VERBS[self.rng.below(VERBS.len() as u64) as usize];
        let kinds: &[Kind] = match verb {
            Verb::Get => &[],
            Verb::Set => &[Kind::Register, Kind::Grouped],
            Verb::Del | Verb::Exists => &[Kind::Mixed, Kind::Grouped],
        };
        let fits = |place: &usize| {
            let place = &self.places[*place];
            place.object.is_none()
                && place.table.is_none()
                && (verb == Verb::Get || kinds.contains(&place.kind))
        };
        let mut places: Vec<usize> = (0..self.places.len()).filter(fits).collect();
        let wanted = self.rng.between(2, GROUP_MAX).min(most) as usize;
        let mut group = Group { words: vec![word.as_bytes().to_vec()], asks: Vec::new() };
        while group.asks.len() < wanted && !places.is_empty() {
            let place = places.swap_remove(self.rng.below(places.len() as u64) as usize);
            let (key, value) = (self.key(place), self.token(client));
            group.words.push(key.clone());
            let command = match verb {
                Verb::Get => Command::Get,
                Verb::Set => {
                    group.words.push(value.clone());
                    Command::Set(value)
                }
                Verb::Del => Command::Del,
                Verb::Exists => Command::Exists,
            };
            group.asks.push(Ask { place, key, command, form: Form::Plain, in_steps: false, number: None });
        }
        Some(group).filter(|group| group.asks.len() > 1)
    }

    /// Takes note of a flush, or a change of the catalog, of which nobody knows whether it happened, or will: it makes every key costlier to judge.
    pub fn note_unsure_flush(&mut self) {
        self.places.iter_mut().for_each(|place| place.unknown += 1);
    }

    /// Takes note of what a client learned. A key that has taken its place when the old one became too costly to judge is
    /// returned, with whether it is appended to only.
    pub fn learn(&mut self, ask: &Ask, told: &Told) -> Option<(Vec<u8>, bool)> {
        if ask.key != self.key(ask.place) {
            return None;
        }
        let place = &mut self.places[ask.place];
        match told {
            Told::Reply(history::Reply::Value(value), version) => {
                place.seen.clone_from(value);
                place.version = version.unwrap_or(place.version);
            }
            Told::Reply(_, Some(version)) => place.version = *version,
            Told::Unknown if !ask.command.is_read() => place.unknown += 1,
            _ => {}
        }
        if matches!(ask.form, Form::Expiring(_)) && *told != Told::Failed {
            place.expiring += 1;
        }
        let searched = matches!(place.kind, Kind::Mixed | Kind::Counter | Kind::Expiring | Kind::Grouped)
            || self.extras.flushes
            || place.table.is_some();
        let costly =
            searched && place.unknown >= UNKNOWN_PER_KEY_MAX || place.expiring >= EXPIRING_PER_KEY_MAX;
        if !costly {
            return None;
        }
        place.generation += 1;
        (place.unknown, place.expiring, place.version) = (0, 0, 0);
        place.seen.clear();
        Some((self.key(ask.place), self.is_appended(ask.place)))
    }
}

impl Ask {
    /// The command as the product takes it.
    pub fn to_command(&self) -> command::Command {
        let command = if self.in_steps { self.to_transaction() } else { self.to_plain() };
        let Some((client, seq)) = self.number else { return command };
        let client = format!("client {client}").into_bytes().into();
        command.numbered(&Numbered { client, seq }).expect("it is a write of keys")
    }

    fn to_plain(&self) -> command::Command {
        let key = self.key.as_slice();
        if rows::name_of(key).is_some() {
            // Of every other partition the row is read as a hash.
            return match &self.command {
                Command::Get if self.place % 2 == 1 => rows::hash_read(key),
                command => rows::statement(key, command),
            };
        }
        if let Some(shape) = objects::shape_of(key) {
            let words = objects::words(shape, key, &self.command);
            return parse(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        let number = |number: u64| number.to_string().into_bytes();
        let (expiry, version, by);
        let args: Vec<&[u8]> = match (&self.command, self.form) {
            (Command::Get, Form::Versioned(_)) => vec![b"GETV", key],
            (Command::Set(value), Form::Versioned(expected)) => {
                version = number(expected.unwrap_or(0));
                vec![b"SETV", key, &version, value]
            }
            (Command::Set(value), Form::Expiring(ms)) => {
                expiry = number(ms);
                vec![b"SET", key, value, b"PX", &expiry]
            }
            (Command::Get, _) => vec![b"GET", key],
            (Command::Set(value), Form::Plain) => vec![b"SET", key, value],
            (Command::SetIfAbsent(value), _) => vec![b"SETNX", key, value],
            (Command::CompareSet { expected, value }, _) => vec![b"SET", key, value, b"IFEQ", expected],
            (Command::GetSet(value), _) => vec![b"GETSET", key, value],
            (Command::GetDel, _) => vec![b"GETDEL", key],
            (Command::Del | Command::Clear, _) => vec![b"DEL", key],
            (Command::IncrBy(step), _) => {
                by = step.to_string().into_bytes();
                vec![b"INCRBY", key, &by]
            }
            (Command::Append(value), _) => vec![b"APPEND", key, value],
            (Command::Exists, _) => vec![b"EXISTS", key],
            (Command::Strlen, _) => vec![b"STRLEN", key],
        };
        match parse(&args) {
            command::Command::Many(split) if split.parts.len() == 1 => split.parts[0].clone(),
            parsed => parsed,
        }
    }

    /// The same, in two steps: what is between them is a value that no other command makes.
    fn to_transaction(&self) -> command::Command {
        let key = self.key.as_slice();
        let (by, expiry, of_object);
        let (version, steps): (Option<u64>, [Vec<&[u8]>; 2]) = match (&self.command, self.form) {
            (command, _) if objects::shape_of(key).is_some() => {
                of_object = objects::shape_of(key).and_then(|shape| objects::in_steps(shape, key, command));
                let steps = of_object.as_ref().expect("it was asked whether it can be said so");
                (None, steps.each_ref().map(|words| words.iter().map(Vec::as_slice).collect()))
            }
            (Command::Append(token), _) => {
                let (one, other) = token.split_at(token.len() / 2);
                (None, [vec![b"APPEND", key, one], vec![b"APPEND", key, other]])
            }
            (Command::IncrBy(step), _) => {
                by = (step + 1).to_string().into_bytes();
                (None, [vec![b"INCRBY", key, &by], vec![b"DECR", key]])
            }
            (Command::Set(value), Form::Expiring(ms)) => {
                expiry = ms.to_string().into_bytes();
                (None, [vec![b"SET", key, value], vec![b"PEXPIRE", key, &expiry]])
            }
            (Command::Set(value), Form::Versioned(expected)) => {
                (expected.or(Some(0)), [vec![b"SET", key, value], vec![b"OBJECT", b"VERSION", key]])
            }
            other => unreachable!("not said in steps: {other:?}"),
        };
        let mut transaction = Transaction { version, ..Transaction::default() };
        for step in steps {
            assert!(transaction.push(key, parse(&step)), "a step is on the key");
        }
        let op = Op::Transaction(Box::new(transaction));
        command::Command::Key(KeyCommand { key: key.into(), op })
    }

    /// The last read of a key.
    pub fn last_read(key: &[u8]) -> Ask {
        Ask {
            place: 0,
            key: key.to_vec(),
            command: Command::Get,
            form: Form::Plain,
            in_steps: false,
            number: None,
        }
    }

    /// The value that it writes, if it is one that it bears.
    pub fn value(&self) -> Option<&[u8]> {
        match &self.command {
            Command::Set(value)
            | Command::SetIfAbsent(value)
            | Command::CompareSet { value, .. }
            | Command::GetSet(value) => Some(value),
            _ => None,
        }
    }

    /// What a reply says to the client that asked.
    pub fn told(&self, reply: &Reply) -> Told {
        if let Some((table, _)) = rows::partition_of(&self.key) {
            return rows::told(table, &self.command, reply);
        }
        if let (true, Reply::Array(steps)) = (self.in_steps, reply) {
            // The second step answers what the whole would have answered.
            return steps.last().map_or(Told::Failed, |last| self.told(last));
        }
        let of_object = |shape| objects::told(shape, &self.key, &self.command, reply);
        if let Some(told) = objects::shape_of(&self.key).and_then(of_object) {
            return told;
        }
        let known = |reply: history::Reply| Told::Reply(reply, None);
        match (reply, self.form) {
            (Reply::Error(text), _) if text.starts_with("UNCERTAIN") => Told::Unknown,
            // A transaction that is not run: the key is at another version.
            (Reply::Error(_) | Reply::NilArray, _) => Told::Failed,
            // A key that is there takes an end.
            (Reply::Int(1), Form::Expiring(_)) => known(history::Reply::Ok),
            (Reply::Int(version), Form::Versioned(Some(_))) => {
                Told::Reply(history::Reply::Ok, u64::try_from(*version).ok())
            }
            (Reply::Array(both), Form::Versioned(None)) => match both.as_slice() {
                [Reply::Int(version), Reply::Bulk(value)] => {
                    Told::Reply(history::Reply::Value(value.clone()), u64::try_from(*version).ok())
                }
                _ => known(history::Reply::Nil),
            },
            (Reply::Simple(_), _) => known(history::Reply::Ok),
            (Reply::Int(number), _) => known(history::Reply::Int(*number)),
            (Reply::Bulk(value), _) => known(history::Reply::Value(value.clone())),
            _ => known(history::Reply::Nil),
        }
    }
}

fn parse(args: &[&[u8]]) -> command::Command {
    command::Command::parse(args, &Limits::default()).expect("the workload asks what can be parsed")
}
