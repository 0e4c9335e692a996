//! Random commands on objects, given to a redis-server and to Synod, reply by reply.
//!
//! `cargo run --release -p shard --example like_redis -- SOCKET COMMANDS SEED [HOST:PORT ...]`: so many commands of each type; the server at the
//! Unix socket is emptied. Without hosts it is the command layer by itself that is compared; with hosts they are, by their plain ports, one pipeline at
//! the one and the next at another, and transactions are among the commands; they are emptied, too. `scripts/like-redis` starts all of them.
//!
//! What Redis answers in an order of its own is compared without the order, scores as numbers, and what is chosen by chance by how many it is. The
//! first difference ends it, with all commands on that key. In the end each command is listed with how often it was compared.

mod connection;
mod maker;
mod same;
mod store;
mod transactions;

use std::collections::BTreeMap;
use std::process::ExitCode;

use reactor::rng::Rng;

use connection::{Connection, Told};
use maker::{Maker, Words};
use same::{checked_first, same, Order};
use store::Store;

/// Commands that are sent before their replies are read.
const PIPELINE: u64 = 200;

/// Commands that are shown before a difference.
const STORY_LINES_MAX: usize = 300;

/// Who is compared with Redis.
enum Ours {
    /// The command layer.
    Store(Box<Store>),
    /// Hosts, of which the next one is asked next.
    Hosts(Vec<Connection>, usize),
}

impl Ours {
    fn run(&mut self, batch: &[(Words, Order)]) -> std::io::Result<Vec<Told>> {
        match self {
            Ours::Store(store) => Ok(batch.iter().map(|(words, _)| store.run(words)).collect()),
            Ours::Hosts(hosts, next) => {
                let count = hosts.len();
                let host = &mut hosts[*next % count];
                *next += 1;
                host.ask(batch.iter().map(|(words, _)| &words[..]))
            }
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [socket, commands, seed, hosts @ ..] = &args[..] else {
        eprintln!("usage: like_redis SOCKET COMMANDS SEED [HOST:PORT ...]");
        return ExitCode::from(2);
    };
    let (Ok(commands), Ok(seed)) = (commands.parse::<u64>(), seed.parse::<u64>()) else {
        eprintln!("like_redis: COMMANDS and SEED are numbers");
        return ExitCode::from(2);
    };
    let mut counts = BTreeMap::new();
    // Transactions are the hosts' matter.
    let kinds = ["string", "hash", "list", "set", "zset", "joint", "transaction"];
    let kinds = if hosts.is_empty() { &kinds[..6] } else { &kinds[..] };
    for kind in kinds {
        match compare(socket, hosts, kind, commands, seed, &mut counts) {
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

/// A connection to a server, at which these commands are answered OK.
fn begun(place: &str, first: &[&str]) -> Result<Connection, String> {
    let words: Vec<Words> =
        first.iter().map(|line| line.split(' ').map(|word| word.as_bytes().to_vec()).collect()).collect();
    let begun = Connection::to(place).and_then(|mut server| {
        let told = server.ask(words.iter().map(|words| &words[..]))?;
        Ok((server, told))
    });
    match begun {
        Ok((server, told)) if told.iter().all(|told| *told == Told::Line("OK".into())) => Ok(server),
        Ok((_, told)) => Err(format!("{place}: {told:?}")),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

/// A host waits for its disk rather than to answer UNCERTAIN.
const HOST_FIRST: [&str; 2] = ["CONFIG SET request_deadline_ms 15000", "FLUSHALL"];

fn compare(
    socket: &str,
    hosts: &[String],
    kind: &str,
    commands: u64,
    seed: u64,
    counts: &mut BTreeMap<String, u64>,
) -> Result<u64, String> {
    let mut redis = begun(socket, &["FLUSHALL"])?;
    let mut ours = match hosts {
        [] => Ours::Store(Box::new(Store::new(Rng::new(seed)))),
        hosts => Ours::Hosts(hosts.iter().map(|host| begun(host, &HOST_FIRST)).collect::<Result<_, _>>()?, 0),
    };
    // Hosts want keys of one slot for what is one step.
    let tag = if matches!(kind, "joint" | "transaction") { "{t}" } else { "" };
    let mut maker = Maker { rng: Rng::new(seed), tag, for_hosts: !hosts.is_empty() };
    let mut story: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    let (mut left, mut errors) = (commands, 0);
    while left > 0 {
        let mut batch: Vec<(Words, Order)> = Vec::new();
        while batch.len() < left.min(PIPELINE) as usize {
            match kind {
                "transaction" => batch.extend(transactions::one(&mut maker)),
                kind => batch.push(maker.command(kind)),
            }
        }
        left = left.saturating_sub(batch.len() as u64);
        let failed = |who: &'static str| move |error: std::io::Error| format!("{who}: {error}");
        let theirs = redis.ask(batch.iter().map(|(words, _)| &words[..])).map_err(failed("redis"))?;
        let ours = ours.run(&batch).map_err(failed("synod"))?;
        for (((words, order), ours), theirs) in batch.iter().zip(ours).zip(theirs) {
            // Where commands are on several keys, all of them belong to one story.
            let about = if tag.is_empty() { words.get(1).unwrap_or(&words[0]) } else { &words[0][..0] };
            story.entry(about.to_vec()).or_default().push(shown(words));
            *counts.entry(name_of(words)).or_default() += 1;
            errors += u64::from(matches!(theirs, Told::Error(_)));
            if !same(&ours, &theirs, order) && !checked_first(&ours, &theirs) {
                let story = story.remove(about).unwrap_or_default();
                let last = story[story.len().saturating_sub(STORY_LINES_MAX)..].join("\n");
                return Err(format!(
                    "{}\n redis: {theirs:?}\n synod: {ours:?}\nwhat came before, on the key or those of its tag:\n{last}",
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
