//! Transactions of random commands: WATCH, MULTI, some commands on keys of one tag, EXEC or DISCARD.

use shard::command::{Command, Limits};

use super::maker::{Maker, Words};
use super::same::Order;

/// Commands between MULTI and EXEC, at most.
const COMMANDS_MAX: u64 = 6;

/// One transaction, with what is around it.
pub fn one(maker: &mut Maker) -> Vec<(Words, Order)> {
    let word = |text: &str| (vec![text.as_bytes().to_vec()], Order::Same);
    let mut all = Vec::new();
    if maker.rng.below(4) == 0 {
        // What is watched may be changed by the same client before MULTI.
        let (watched, _) = maker.command("string");
        all.extend(watched.get(1).map(|key| (vec![b"WATCH".to_vec(), key.clone()], Order::Same)));
        if maker.rng.coin() {
            all.push(readable(maker));
        }
    }
    all.push(word("MULTI"));
    let commands: Vec<(Words, Order)> =
        (0..=maker.rng.below(COMMANDS_MAX)).map(|_| readable(maker)).collect();
    all.extend(commands.iter().map(|(words, _)| (words.clone(), Order::Same)));
    if maker.rng.below(10) == 0 {
        all.push(word("DISCARD"));
    } else {
        let orders = commands.into_iter().map(|(_, order)| order).collect();
        all.push((vec![b"EXEC".to_vec()], Order::Each(orders)));
    }
    all
}

/// A command that is well formed. What is not is refused when it is queued, which Redis does with fewer mistakes.
fn readable(maker: &mut Maker) -> (Words, Order) {
    const KINDS: [&str; 6] = ["string", "hash", "list", "set", "zset", "joint"];
    loop {
        let kind = KINDS[maker.rng.below(6) as usize];
        let (words, order) = maker.command(kind);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        if Command::parse(&args, &Limits::default()).is_ok() {
            return (words, order);
        }
    }
}
