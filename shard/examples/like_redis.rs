//! Random commands on objects, given to a redis-server and to the command layer, reply by reply.
//!
//! `cargo run --release -p shard --example like_redis -- SOCKET COMMANDS SEED`: so many commands of each type; the server at the Unix
//! socket is emptied. `scripts/like-redis` starts one. What Redis answers in an order of its own is compared without the order, scores as
//! numbers, and what is chosen by chance by how many it is. The first difference ends it, with all commands on that key. In the end each command
//! is listed with how often it was compared.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, Joint, Limits};
use shard::joint::{Snapshot, Write};
use shard::reply::{format_double, Reply};
use shard::state::State;

/// Commands that are sent before their replies are read.
const PIPELINE: usize = 200;
/// One in so many commands is on a key of another type.
const STRAY_ONE_IN: u64 = 50;
/// The field that floats are added to.
const FLOAT: &str = "p";
/// Seconds since 1970, long after any test.
const FAR: u64 = 4_000_000_000;

type Words = Vec<Vec<u8>>;

/// What RESP2 can say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Line(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    List(Vec<Told>),
    Nil,
    NilList,
}

/// How replies are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As they are.
    Same,
    /// In any order of the items.
    Any,
    /// In any order of pairs of items.
    Pairs,
    /// As [`Order::Any`] or [`Order::Pairs`], of the list behind a cursor.
    Page(usize),
    /// By how many they are.
    Chance,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [socket, commands, seed] = &args[..] else {
        eprintln!("usage: like_redis SOCKET COMMANDS SEED");
        return ExitCode::from(2);
    };
    let (Ok(commands), Ok(seed)) = (commands.parse::<u64>(), seed.parse::<u64>()) else {
        eprintln!("like_redis: COMMANDS and SEED are numbers");
        return ExitCode::from(2);
    };
    let mut counts = BTreeMap::new();
    for kind in ["string", "hash", "list", "set", "zset", "joint"] {
        match compare(socket, kind, commands, seed, &mut counts) {
            Ok(errors) => println!("{kind}: {commands} commands as in Redis, {errors} of them refused"),
            Err(why) => {
                eprintln!("like_redis: {kind}, seed {seed}: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    counts.iter().for_each(|(name, count)| println!("compared {count} {name}"));
    ExitCode::SUCCESS
}

/// The name of a command, with that of its subcommand where it has some.
fn name_of(words: &Words) -> String {
    let word = |at: usize| String::from_utf8_lossy(&words[at]).to_ascii_lowercase();
    match (word(0), words.len()) {
        (name, 2..) if name == "object" => format!("{name}|{}", word(1)),
        (name, _) => name,
    }
}

fn compare(
    socket: &str,
    kind: &str,
    commands: u64,
    seed: u64,
    counts: &mut BTreeMap<String, u64>,
) -> Result<u64, String> {
    let mut redis = Redis::connect(socket).map_err(|error| format!("{socket}: {error}"))?;
    redis.send(&[b"FLUSHALL".to_vec()]).and_then(|()| redis.receive()).map_err(|error| error.to_string())?;
    let mut maker = Maker { rng: Rng::new(seed) };
    let mut store = Store { states: BTreeMap::new(), rng: Rng::new(seed), story: BTreeMap::new() };
    let (mut left, mut errors) = (commands, 0);
    while left > 0 {
        let batch: Vec<(Words, Order)> =
            (0..left.min(PIPELINE as u64)).map(|_| maker.command(kind)).collect();
        left -= batch.len() as u64;
        for (words, _) in &batch {
            redis.send(words).map_err(|error| error.to_string())?;
        }
        redis.stream.get_mut().flush().map_err(|error| error.to_string())?;
        for (words, order) in &batch {
            let ours = store.run(words);
            let theirs = redis.receive().map_err(|error| error.to_string())?;
            *counts.entry(name_of(words)).or_default() += 1;
            errors += u64::from(matches!(theirs, Told::Error(_)));
            if !same(&ours, &theirs, *order) && !checked_first(&ours, &theirs) {
                let story = store.story.remove(&words[1]).unwrap_or_default().join("\n");
                return Err(format!(
                    "{}\n redis: {theirs:?}\n synod: {ours:?}\nall commands on the key:\n{story}",
                    shown(words)
                ));
            }
        }
    }
    Ok(errors)
}

fn shown(words: &Words) -> String {
    words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

/// Arguments are checked before the key is looked at, where some commands of Redis look first, and find nothing or another type.
fn checked_first(ours: &Told, theirs: &Told) -> bool {
    let empty = match theirs {
        Told::Nil | Told::NilList | Told::Int(0) => true,
        Told::List(items) => items.is_empty(),
        Told::Error(text) => {
            text.starts_with("WRONGTYPE")
                || matches!(&**text, "ERR no such key" | "ERR The specified keys must contain string values")
        }
        Told::Line(_) | Told::Int(_) | Told::Bulk(_) => false,
    };
    matches!(ours, Told::Error(text) if text.starts_with("ERR ")) && empty
}

fn same(ours: &Told, theirs: &Told, order: Order) -> bool {
    match (ours, theirs, order) {
        (Told::List(ours), Told::List(theirs), Order::Page(step)) => {
            let inner = if step == 2 { Order::Pairs } else { Order::Any };
            ours.len() == 2 && theirs.len() == 2 && ours[0] == theirs[0] && same(&ours[1], &theirs[1], inner)
        }
        (Told::List(ours), Told::List(theirs), Order::Chance) => ours.len() == theirs.len(),
        (Told::Bulk(_), Told::Bulk(_), Order::Chance) => true,
        (Told::List(ours), Told::List(theirs), Order::Any) => {
            let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
            ours.sort();
            theirs.sort();
            ours == theirs
        }
        (Told::List(ours), Told::List(theirs), Order::Pairs) => {
            let pairs = |list: &[Told]| {
                let mut pairs: Vec<Vec<Told>> = list.chunks(2).map(<[Told]>::to_vec).collect();
                pairs.sort();
                pairs.concat()
            };
            equal_all(&pairs(ours), &pairs(theirs))
        }
        (Told::List(ours), Told::List(theirs), Order::Same) => equal_all(ours, theirs),
        _ => equal(ours, theirs),
    }
}

fn equal_all(ours: &[Told], theirs: &[Told]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| equal(ours, theirs))
}

/// The same, or the same number: Redis 7.0 shows all 17 digits of a score.
fn equal(ours: &Told, theirs: &Told) -> bool {
    let number = |told: &Told| match told {
        Told::Bulk(bytes) => std::str::from_utf8(bytes).ok()?.parse::<f64>().ok(),
        _ => None,
    };
    match (ours, theirs) {
        (Told::List(ours), Told::List(theirs)) => equal_all(ours, theirs),
        _ => ours == theirs || number(ours).is_some() && number(ours) == number(theirs),
    }
}

/// The command layer over a map of states.
struct Store {
    states: BTreeMap<Vec<u8>, State>,
    rng: Rng,
    story: BTreeMap<Vec<u8>, Vec<String>>,
}

impl Store {
    fn run(&mut self, words: &Words) -> Told {
        if let Some(key) = words.get(1) {
            self.story.entry(key.clone()).or_default().push(shown(words));
        }
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let command = match Command::parse(&args, &Limits::default()) {
            Ok(command) => command,
            Err(error) => return told(&error),
        };
        if let Command::Joint(joint) = &command {
            return told(&self.run_joint(joint));
        }
        let split = command.split();
        let replies = split.parts.iter().map(|part| self.run_one(part)).collect();
        told(&split.gather.join(replies))
    }

    fn run_joint(&mut self, joint: &Joint) -> Reply {
        let mut found = |key: &[u8]| {
            let state = self.states.entry(key.to_vec()).or_default();
            Snapshot { version: state.version, is: Write::of(state) }
        };
        let found: Vec<Snapshot> = joint.keys.iter().map(|key| found(key)).collect();
        let limits = Limits::default();
        let now_wall_ms = 1_000 * (FAR / 2);
        let ran = joint.run(
            &found,
            &mut Context { now_wall_ms, limits: &limits, rng: &mut self.rng, catalog: &Catalog::default() },
        );
        for ((key, found), write) in joint.keys.iter().zip(found).zip(ran.writes) {
            if let Some(write) = write {
                self.states.insert(key.to_vec(), write.state(found.version + 1));
            }
        }
        ran.reply
    }

    fn run_one(&mut self, command: &Command) -> Reply {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        assert_eq!(Command::decode(&wire).as_ref(), Ok(command), "a command is the same on the other host");
        let key = command.key().expect("all are about keys").to_vec();
        let state = self.states.entry(key).or_default();
        let limits = Limits::default();
        execute(
            command,
            state,
            &mut Context {
                now_wall_ms: 1_000 * (FAR / 2),
                limits: &limits,
                rng: &mut self.rng,
                catalog: &Catalog::default(),
            },
        )
    }
}

/// A reply in RESP2.
fn told(reply: &Reply) -> Told {
    let list = |items: &[Reply]| Told::List(items.iter().map(told).collect());
    match reply {
        Reply::Simple(text) => Told::Line(text.to_string()),
        Reply::Error(text) => Told::Error(text.to_string()),
        Reply::Int(number) => Told::Int(*number),
        Reply::Nil => Told::Nil,
        Reply::NilArray => Told::NilList,
        Reply::Bulk(bytes) => Told::Bulk(bytes.clone()),
        Reply::Verbatim(text) => Told::Bulk(text.clone().into_bytes()),
        Reply::Double(number) => Told::Bulk(format_double(*number).into_bytes()),
        Reply::Bool(truth) => Told::Int((*truth).into()),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(items),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            Told::List(pairs.iter().flat_map(|(one, other)| [told(one), told(other)]).collect())
        }
    }
}

/// A connection to a redis-server.
struct Redis {
    stream: BufReader<UnixStream>,
}

impl Redis {
    fn connect(socket: &str) -> std::io::Result<Redis> {
        Ok(Redis { stream: BufReader::new(UnixStream::connect(socket)?) })
    }

    fn send(&mut self, words: &[Vec<u8>]) -> std::io::Result<()> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)
    }

    fn receive(&mut self) -> std::io::Result<Told> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not RESP2");
        let text = line.trim_end_matches("\r\n");
        let (kind, rest) = text.split_at_checked(1).ok_or_else(malformed)?;
        let number = || rest.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            "+" => Told::Line(rest.to_string()),
            "-" => Told::Error(rest.to_string()),
            ":" => Told::Int(number()?),
            "$" | "*" if number()? < 0 => {
                if kind == "$" {
                    Told::Nil
                } else {
                    Told::NilList
                }
            }
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()?).map_err(|_| malformed())? + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Told::Bulk(bytes)
            }
            "*" => Told::List((0..number()?).map(|_| self.receive()).collect::<Result<_, _>>()?),
            _ => return Err(malformed()),
        })
    }
}

/// Makes commands: on few keys, with few fields and small numbers, so that they meet.
struct Maker {
    rng: Rng,
}

impl Maker {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn key(&mut self, kind: &str) -> String {
        let kind = if self.rng.below(STRAY_ONE_IN) == 0 {
            self.pick(&["string", "hash", "list", "set", "zset", "absent"])
        } else {
            kind
        };
        format!("{kind}-{}", self.rng.below(3))
    }

    /// A field, an element or a member: few of them, and now and then any bytes.
    fn name(&mut self) -> String {
        match self.rng.below(12) {
            0 => String::new(),
            1 => format!("{}", self.rng.below(5) as i64 - 2),
            2 => "x".repeat(self.rng.below(60) as usize),
            _ => self.pick(&["a", "b", "c", "d", "e", "f", "g", "h", "aa", "ab", "ba", FLOAT]).to_string(),
        }
    }

    fn value(&mut self) -> String {
        match self.rng.below(4) {
            0 => self.name(),
            1 => format!("{}", self.rng.below(7) as f64 / 2.0),
            _ => self.rng.below(100).to_string(),
        }
    }

    /// What SORT takes for a number, and now and then does not.
    fn weight(&mut self) -> String {
        match self.rng.below(40) {
            0 => self.pick(&["x", "1 ", "nan"]).into(),
            1..=9 => self.pick(&["", " 4", "+5", "05", "5", "-0", "0", "1e3", ".5", "inf", "-inf"]).into(),
            _ => format!("{}", (self.rng.below(40) as f64 - 20.0) / 2.0),
        }
    }

    /// Longer than a word of bits, of few letters.
    fn text(&mut self) -> String {
        (0..self.rng.below(150)).map(|_| self.pick(&["a", "b", "c", "d"])).collect()
    }

    fn integer(&mut self) -> String {
        match self.rng.below(40) {
            0 => "9223372036854775807".into(),
            1 => "-9223372036854775807".into(),
            2 => self.pick(&["", "x", "1.5", "+1", "01", " 1"]).into(),
            _ => (self.rng.below(14) as i64 - 6).to_string(),
        }
    }

    fn score(&mut self) -> String {
        match self.rng.below(30) {
            0 => self.pick(&["inf", "-inf", "+inf", "x", "nan", "1e3", ""]).into(),
            _ => format!("{}", (self.rng.below(20) as f64 - 8.0) / 2.0),
        }
    }

    fn end(&mut self, by: &str) -> String {
        match by {
            "BYSCORE" => {
                let open = self.pick(&["", "", "("]);
                format!("{open}{}", self.score())
            }
            "BYLEX" => match self.rng.below(8) {
                0 => "-".into(),
                1 => "+".into(),
                2 => self.name(),
                _ => format!("{}{}", self.pick(&["[", "("]), self.name()),
            },
            _ => self.integer(),
        }
    }

    fn some(&mut self, mut make: impl FnMut(&mut Maker) -> String) -> Vec<String> {
        (0..=self.rng.below(4)).map(|_| make(self)).collect()
    }

    fn command(&mut self, kind: &str) -> (Words, Order) {
        let key = self.key(kind);
        if self.rng.below(25) == 0 {
            return self.of_any_type(key);
        }
        match kind {
            "hash" => self.of_hash(key),
            "list" => self.of_list(key),
            "set" => self.of_set(key),
            "zset" => self.of_sorted_set(key),
            "joint" => self.of_several_keys(),
            _ => self.of_string(key),
        }
    }

    fn of_any_type(&mut self, key: String) -> (Words, Order) {
        let far = (FAR + self.rng.below(3)).to_string();
        let other = self.key("hash");
        let words: Vec<String> = match self.rng.below(9) {
            0 => vec!["DEL".into(), key],
            1 => vec!["TYPE".into(), key],
            2 => vec!["EXISTS".into(), key, other],
            3 => vec!["EXPIREAT".into(), key, far],
            4 => vec!["EXPIRETIME".into(), key],
            5 => vec!["PERSIST".into(), key],
            6 => vec!["MGET".into(), key, other],
            7 => vec!["UNLINK".into(), key],
            _ => vec!["EXPIREAT".into(), key, "1".into()],
        };
        (bytes(words), Order::Same)
    }

    fn of_string(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&["SET", "GET", "APPEND", "INCRBY", "STRLEN", "GETRANGE", "SETRANGE", "GETDEL"]);
        let mut words = vec![name.to_string(), key];
        match name {
            "SET" => {
                words.push(self.value());
                let options = self.pick(&["", "", "", "NX", "XX", "GET", "KEEPTTL", "BAD"]);
                words.extend((!options.is_empty()).then(|| options.to_string()));
            }
            "APPEND" => words.push(self.name()),
            "INCRBY" => words.push(self.integer()),
            "GETRANGE" => words.extend([self.integer(), self.integer()]),
            "SETRANGE" => words.extend([self.rng.below(30).to_string(), self.name()]),
            _ => {}
        }
        (bytes(words), Order::Same)
    }

    fn of_hash(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "HSET",
            "HSET",
            "HMSET",
            "HSETNX",
            "HGET",
            "HMGET",
            "HGETALL",
            "HKEYS",
            "HVALS",
            "HLEN",
            "HEXISTS",
            "HSTRLEN",
            "HDEL",
            "HINCRBY",
            "HINCRBYFLOAT",
            "HRANDFIELD",
            "HSCAN",
        ]);
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "HSET" | "HMSET" => {
                let fields = self.some(Maker::name);
                words.extend(fields.into_iter().flat_map(|field| [field, self.value()]));
            }
            "HSETNX" => words.extend([self.name(), self.value()]),
            "HGET" | "HEXISTS" | "HSTRLEN" => words.push(self.name()),
            "HMGET" | "HDEL" => words.extend(self.some(Maker::name)),
            // Numbers beyond the digits of Redis' floats, which differ, are kept away from where floats are added.
            "HINCRBY" => {
                let field = self.name();
                words.extend([if field == FLOAT { "a".into() } else { field }, self.integer()]);
            }
            "HINCRBYFLOAT" => words.extend([FLOAT.to_string(), self.score()]),
            "HGETALL" => order = Order::Pairs,
            "HKEYS" | "HVALS" => order = Order::Any,
            "HRANDFIELD" => {
                order = Order::Chance;
                if self.rng.coin() {
                    words.push((self.rng.below(20) as i64 - 9).to_string());
                    words.extend(self.rng.coin().then(|| "WITHVALUES".to_string()));
                }
            }
            "HSCAN" => {
                order = Order::Page(2);
                words.extend(self.scan());
            }
            _ => {}
        }
        (bytes(words), order)
    }

    fn scan(&mut self) -> Vec<String> {
        let mut words = vec!["0".to_string()];
        if self.rng.coin() {
            words.extend(["MATCH".into(), self.pick(&["a*", "*", "?", "[a-c]", "x*"]).to_string()]);
        }
        if self.rng.below(4) == 0 {
            words.extend(["COUNT".into(), (1 + self.rng.below(9)).to_string()]);
        }
        words
    }

    fn of_list(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "LPUSH", "RPUSH", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LLEN", "LINDEX",
            "LRANGE", "LSET", "LINSERT", "LREM", "LTRIM", "LPOS",
        ]);
        let mut words = vec![name.to_string(), key];
        match name {
            "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => words.extend(self.some(Maker::name)),
            "LPOP" | "RPOP" => words.extend((self.rng.below(3) == 0).then(|| self.integer())),
            "LINDEX" => words.push(self.integer()),
            "LRANGE" => words.extend([self.integer(), self.integer()]),
            "LTRIM" => words.extend([self.rng.below(3).to_string(), self.integer()]),
            "LSET" => words.extend([self.integer(), self.name()]),
            "LREM" => words.extend([self.integer(), self.name()]),
            "LINSERT" => {
                let side = self.pick(&["BEFORE", "AFTER", "before", "BESIDE"]);
                words.extend([side.to_string(), self.name(), self.name()]);
            }
            "LPOS" => {
                words.push(self.name());
                for option in ["RANK", "COUNT", "MAXLEN"] {
                    if self.rng.below(3) == 0 {
                        words.extend([option.to_string(), self.integer()]);
                    }
                }
            }
            _ => {}
        }
        (bytes(words), Order::Same)
    }

    fn of_set(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "SADD",
            "SADD",
            "SADD",
            "SREM",
            "SPOP",
            "SCARD",
            "SISMEMBER",
            "SMISMEMBER",
            "SMEMBERS",
            "SRANDMEMBER",
            "SSCAN",
        ]);
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "SADD" | "SREM" | "SMISMEMBER" => words.extend(self.some(Maker::name)),
            "SISMEMBER" => words.push(self.name()),
            // All or nothing: what is left must be the same.
            "SPOP" => {
                order = Order::Any;
                words.push(self.pick(&["0", "1000000", "-1", "x"]).to_string());
            }
            "SMEMBERS" => order = Order::Any,
            "SRANDMEMBER" => {
                order = Order::Chance;
                words.extend(self.rng.coin().then(|| (self.rng.below(20) as i64 - 9).to_string()));
            }
            "SSCAN" => {
                // Redis 7.0 keeps most sets in a table, and shows a page of those.
                order = Order::Page(1);
                words.extend(["0", "COUNT", "1000"].map(String::from));
            }
            _ => {}
        }
        (bytes(words), order)
    }

    fn of_sorted_set(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "ZADD",
            "ZADD",
            "ZADD",
            "ZINCRBY",
            "ZREM",
            "ZREMRANGEBYRANK",
            "ZREMRANGEBYSCORE",
            "ZPOPMIN",
            "ZPOPMAX",
            "ZCARD",
            "ZCOUNT",
            "ZSCORE",
            "ZMSCORE",
            "ZRANK",
            "ZREVRANK",
            "ZRANGE",
            "ZRANGE",
            "ZREVRANGE",
            "ZRANGEBYSCORE",
            "ZREVRANGEBYSCORE",
            "ZRANDMEMBER",
            "ZSCAN",
            "lex",
        ]);
        if name == "lex" {
            return self.of_lex();
        }
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "ZADD" => {
                for option in ["NX", "XX", "GT", "LT", "CH", "INCR"] {
                    words.extend((self.rng.below(9) == 0).then(|| option.to_string()));
                }
                let members = self.some(Maker::name);
                words.extend(members.into_iter().flat_map(|member| [self.score(), member]));
            }
            "ZINCRBY" => words.extend([self.score(), self.name()]),
            "ZREM" | "ZMSCORE" => words.extend(self.some(Maker::name)),
            "ZREMRANGEBYRANK" => words.extend([self.rng.below(8).to_string(), self.integer()]),
            "ZREMRANGEBYSCORE" | "ZCOUNT" => words.extend([self.end("BYSCORE"), self.end("BYSCORE")]),
            "ZPOPMIN" | "ZPOPMAX" => words.extend(self.rng.coin().then(|| self.rng.below(3).to_string())),
            "ZSCORE" | "ZRANK" | "ZREVRANK" => words.push(self.name()),
            "ZRANGE" => {
                let by = self.pick(&["", "BYSCORE"]);
                words.extend([self.end(by), self.end(by)]);
                words.extend((!by.is_empty()).then(|| by.to_string()));
                words.extend(self.rng.coin().then(|| "REV".to_string()));
                words.extend(self.limit());
            }
            "ZREVRANGE" => {
                words.extend([self.integer(), self.integer()]);
                words.extend(self.rng.coin().then(|| "WITHSCORES".to_string()));
            }
            "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => {
                words.extend([self.end("BYSCORE"), self.end("BYSCORE")]);
                words.extend(self.limit());
            }
            "ZRANDMEMBER" => {
                order = Order::Chance;
                if self.rng.coin() {
                    words.push((self.rng.below(20) as i64 - 9).to_string());
                    words.extend(self.rng.coin().then(|| "WITHSCORES".to_string()));
                }
            }
            "ZSCAN" => {
                order = Order::Page(2);
                words.extend(self.scan());
            }
            _ => {}
        }
        (bytes(words), order)
    }

    /// What several keys hold, and what is done with them in one step.
    fn of_several_keys(&mut self) -> (Words, Order) {
        let name = self.pick(&[
            "fill",
            "fill",
            "look",
            "RENAME",
            "RENAMENX",
            "COPY",
            "MSETNX",
            "LMOVE",
            "RPOPLPUSH",
            "SMOVE",
            "SINTER",
            "SUNION",
            "SDIFF",
            "SINTERSTORE",
            "SUNIONSTORE",
            "SDIFFSTORE",
            "SINTERCARD",
            "ZINTER",
            "ZUNION",
            "ZDIFF",
            "ZINTERSTORE",
            "ZUNIONSTORE",
            "ZDIFFSTORE",
            "ZINTERCARD",
            "ZRANGESTORE",
            "SORT",
            "SORT",
            "SORT_RO",
            "LCS",
        ]);
        let kind = match name {
            "LMOVE" | "RPOPLPUSH" => "list",
            "SORT" | "SORT_RO" => self.pick(&["list", "set", "zset", "numbers", "numbers", "numbers"]),
            "LCS" => "string",
            name if name.starts_with('S') => "set",
            name if name.starts_with('Z') => self.pick(&["zset", "zset", "zset", "set"]),
            _ => self.pick(&["string", "hash", "list", "set", "zset", "numbers"]),
        };
        if matches!(name, "fill" | "look") {
            return self.filled_or_seen(kind, name == "fill");
        }
        let mut words = vec![name.to_string()];
        let mut order = Order::Same;
        match name {
            "RENAME" | "RENAMENX" | "RPOPLPUSH" => words.extend([self.key(kind), self.key(kind)]),
            "COPY" => {
                words.extend([self.key(kind), self.key(kind)]);
                words.extend(self.rng.coin().then(|| "REPLACE".to_string()));
            }
            "MSETNX" => {
                let keys = self.some(|maker| maker.key("string"));
                words.extend(keys.into_iter().flat_map(|key| [key, self.value()]));
            }
            "LMOVE" => {
                words.extend([self.key(kind), self.key(kind)]);
                words.extend(
                    [self.pick(&["LEFT", "RIGHT"]), self.pick(&["LEFT", "RIGHT", "UP"])].map(String::from),
                );
            }
            "SMOVE" => words.extend([self.key(kind), self.key(kind), self.name()]),
            "SORT" | "SORT_RO" => {
                words.push(self.key(kind));
                order = self.sort(&mut words, name == "SORT");
            }
            "LCS" => {
                words.extend([self.key(kind), self.key(kind)]);
                for option in ["LEN", "IDX", "IDX", "WITHMATCHLEN", "BAD"] {
                    let one_in = if option == "BAD" { 30 } else { 3 };
                    words.extend((self.rng.below(one_in) == 0).then(|| option.to_string()));
                }
                if self.rng.below(3) == 0 {
                    words.extend(["MINMATCHLEN".into(), self.integer()]);
                }
            }
            "SINTERCARD" | "ZINTERCARD" => {
                self.add_counted(&mut words, kind);
                if self.rng.coin() {
                    words.extend(["LIMIT".into(), self.integer()]);
                }
            }
            "ZRANGESTORE" => {
                words.extend([self.key(kind), self.key(kind)]);
                let by = self.pick(&["", "BYSCORE"]);
                words.extend([self.end(by), self.end(by)]);
                words.extend((!by.is_empty()).then(|| by.to_string()));
                words.extend(self.rng.coin().then(|| "REV".to_string()));
            }
            name if name.starts_with('S') => {
                words.extend(self.some(|maker| maker.key(kind)));
                order = Order::Any;
            }
            name => {
                if name.ends_with("STORE") {
                    words.push(self.key("zset"));
                }
                let count = self.add_counted(&mut words, kind);
                if self.rng.below(3) == 0 {
                    words.push("WEIGHTS".into());
                    words.extend((0..count).map(|_| self.score()));
                }
                if self.rng.below(3) == 0 {
                    words.extend(["AGGREGATE", self.pick(&["SUM", "MIN", "MAX", "AVG"])].map(String::from));
                }
                words.extend((self.rng.below(3) == 0).then(|| "WITHSCORES".to_string()));
            }
        }
        (bytes(words), order)
    }

    /// Adds options of SORT; says how replies are compared. Which pages of a set there are, and in which order, is not said where none is asked for.
    fn sort(&mut self, words: &mut Vec<String>, may_store: bool) -> Order {
        let (mut stays, mut is_limited, mut is_stored) = (false, false, false);
        for option in ["ASC", "DESC", "ALPHA", "BY", "LIMIT", "STORE", "BAD"] {
            let one_in = if option == "BAD" { 60 } else { 3 };
            if self.rng.below(one_in) > 0 || option == "STORE" && !may_store {
                continue;
            }
            words.push(option.to_string());
            match option {
                "BY" => {
                    stays = true;
                    words.push("nothing".into());
                }
                "LIMIT" => {
                    is_limited = true;
                    words.extend([self.integer(), self.integer()]);
                }
                "STORE" => {
                    is_stored = true;
                    let kind = self.pick(&["list", "numbers"]);
                    words.push(self.key(kind));
                }
                _ => {}
            }
        }
        match (stays && !is_stored, is_limited) {
            (false, _) => Order::Same,
            (true, false) => Order::Any,
            (true, true) => Order::Chance,
        }
    }

    /// Adds some keys behind their number, which is a wrong one now and then.
    fn add_counted(&mut self, words: &mut Vec<String>, kind: &str) -> usize {
        let keys = self.some(|maker| maker.key(kind));
        let wrong = self.rng.below(20) == 0;
        words.push(if wrong { self.integer() } else { keys.len().to_string() });
        let count = keys.len();
        words.extend(keys);
        count
    }

    fn filled_or_seen(&mut self, kind: &str, fills: bool) -> (Words, Order) {
        let key = self.key(kind);
        let (words, order) = match (kind, fills) {
            ("hash", true) => (vec!["HSET".into(), key, self.name(), self.value()], Order::Same),
            ("hash", false) => (vec!["HGETALL".into(), key], Order::Pairs),
            ("list", true) => (vec!["RPUSH".into(), key, self.name(), self.name()], Order::Same),
            ("list", false) => (vec!["LRANGE".into(), key, "0".into(), "-1".into()], Order::Same),
            ("set", true) => (vec!["SADD".into(), key, self.name(), self.name()], Order::Same),
            ("set", false) => (vec!["SMEMBERS".into(), key], Order::Any),
            ("zset", true) => (vec!["ZADD".into(), key, self.score(), self.name()], Order::Same),
            ("zset", false) => {
                let words = ["0", "-1", "WITHSCORES"].map(String::from);
                (["ZRANGE".into(), key].into_iter().chain(words).collect(), Order::Same)
            }
            ("numbers", true) => {
                let numbers = self.some(Maker::weight);
                (["RPUSH".into(), key].into_iter().chain(numbers).collect(), Order::Same)
            }
            ("numbers", false) => (vec!["LRANGE".into(), key, "0".into(), "-1".into()], Order::Same),
            (_, true) => {
                let value = if self.rng.coin() { self.value() } else { self.text() };
                (vec!["SET".into(), key, value], Order::Same)
            }
            (_, false) => (vec!["GET".into(), key], Order::Same),
        };
        (bytes(words), order)
    }

    fn limit(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        if self.rng.below(3) == 0 {
            words.extend(["LIMIT".to_string(), self.integer(), self.integer()]);
        }
        words.extend((self.rng.below(3) == 0).then(|| "WITHSCORES".to_string()));
        words
    }

    /// Where all scores are equal, as spans by bytes want it.
    fn of_lex(&mut self) -> (Words, Order) {
        let name = self.pick(&[
            "ZADD",
            "ZADD",
            "ZRANGE",
            "ZRANGEBYLEX",
            "ZREVRANGEBYLEX",
            "ZLEXCOUNT",
            "ZREMRANGEBYLEX",
        ]);
        let mut words = vec![name.to_string(), "lex-0".to_string()];
        if name == "ZADD" {
            let members = self.some(Maker::name);
            words.extend(members.into_iter().flat_map(|member| ["0".to_string(), member]));
            return (bytes(words), Order::Same);
        }
        words.extend([self.end("BYLEX"), self.end("BYLEX")]);
        match name {
            "ZRANGE" => {
                words.push("BYLEX".into());
                words.extend(self.rng.coin().then(|| "REV".to_string()));
                words.extend(self.limit());
            }
            "ZRANGEBYLEX" | "ZREVRANGEBYLEX" => words.extend(self.limit()),
            _ => {}
        }
        (bytes(words), Order::Same)
    }
}

fn bytes(words: Vec<String>) -> Words {
    words.into_iter().map(String::into_bytes).collect()
}
