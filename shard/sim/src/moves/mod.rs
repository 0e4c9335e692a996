//! What is moved and copied between keys of one slot, with its end: RENAME, COPY, SMOVE, LMOVE, SINTERSTORE and MSETNX.
//!
//! All keys of a tag are judged as one thing: [`Keys`] says what each command does to all of them and what it answers, and the search of `synod-bench`
//! looks for one order of everything that was asked about them, together with what is read of each of them in the end. So an effect that is lost, seen in
//! part or twice has no order. Keys of one tag hold one type. When too much is of unknown outcome movers go on with fresh keys, for the cost of
//! the search doubles with each of those.

mod keys;

use reactor::rng::Rng;
use shard::command::{Command, Limits, Queue};
use shard::reply::Reply;
use synod_bench::check::search::{search, Asked, Found, Model};
use synod_bench::history::{self, Operation};

use crate::ledger::show;
use crate::limits::UNKNOWN_PER_KEY_MAX;
use crate::objects;
use crate::violation::{invariant, Violation};

use keys::{answer, tokens_of_last, Act, Answer, Keys, Token, Type};

/// Keys of a tag.
const KEYS: usize = 3;

/// How long keys last that end: longer than any run, by whatever clock.
const END_MS: u64 = 10 * 60 * 60 * 1000;

/// Tokens that are spoken of again: those that were put somewhere last.
const RECENT: usize = 4;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// Nobody knows.
    Open,
    /// It was not done, for certain.
    Not,
    /// It was answered.
    Answer(u64, Answer),
}

#[derive(Clone, Debug)]
struct Question {
    generation: u32,
    act: Act,
    call: u64,
    told: Told,
}

impl Question {
    fn as_asked(&self) -> Asked<'_, Keys> {
        let told = match &self.told {
            Told::Answer(at, answer) => Some((*at, answer)),
            Told::Open | Told::Not => None,
        };
        Asked { call: self.call, command: &self.act, told }
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Moves {
    rng: Rng,
    tag: u64,
    holds: Type,
    generation: u32,
    /// Questions about the keys of this generation of which nobody knows whether they were done.
    unknown: usize,
    /// Tokens so far, and those that were put somewhere last.
    tokens: u64,
    recent: Vec<Token>,
    asked: Vec<Question>,
}

impl Moves {
    /// A tag whose keys hold something, drawn.
    pub fn new(mut rng: Rng) -> Moves {
        let (tag, holds) = (rng.below(1000), [Type::Text, Type::List, Type::Set][rng.below(3) as usize]);
        Moves { rng, tag, holds, generation: 0, unknown: 0, tokens: 0, recent: Vec::new(), asked: Vec::new() }
    }

    /// The keys of this generation.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        (0..KEYS).map(|key| self.key(self.generation, key)).collect()
    }

    fn key(&self, generation: u32, key: usize) -> Vec<u8> {
        let suffix = self.holds.shape().map(|shape| objects::suffix(shape, false)).unwrap_or_default();
        format!("t{{{}}}{generation}.{key}{suffix}", self.tag).into_bytes()
    }

    /// The next question: its number, one of its keys, and how it is said.
    pub fn ask(&mut self, now: u64) -> (usize, Vec<u8>, Command) {
        let (number, act) = (self.asked.len(), self.draw());
        let (key, command) = (self.key(self.generation, 0), self.said(&act));
        self.asked.push(Question { generation: self.generation, act, call: now, told: Told::Open });
        (number, key, command)
    }

    fn draw(&mut self) -> Act {
        let keys = KEYS as u64;
        let (one, other) = (self.rng.below(keys) as usize, self.rng.below(keys) as usize);
        let another = (one + self.rng.between(1, keys - 1) as usize) % KEYS;
        let (yes, no) = (self.rng.coin(), self.rng.coin());
        match (self.rng.below(15), self.holds) {
            (0..=2, holds) => Act::Put(holds, one, self.token(holds == Type::Set)),
            (3, _) => Act::Delete(one),
            (4, _) => Act::Rename { from: one, to: other, only_if_absent: yes },
            (5, _) => Act::Copy { from: one, to: another, replaces: yes },
            (6..=8, Type::List) => Act::MoveElement { from: one, to: other, take_left: yes, give_left: no },
            (6 | 7, Type::Set) => Act::MoveMember { from: one, to: other, member: self.token(true) },
            (8, Type::Set) => Act::Intersect { to: self.rng.below(keys) as usize, of: [one, another] },
            (6..=8, Type::Text) => {
                let of = [one, another, (0..KEYS).find(|key| ![one, another].contains(key)).unwrap_or(one)];
                let of = &of[..self.rng.between(2, keys) as usize];
                Act::SetAllIfAbsent(of.iter().map(|key| (*key, self.token(false))).collect())
            }
            (9, _) => Act::Read(vec![one]),
            (10, _) => Act::End(one),
            (11, _) => Act::AskEnd(one),
            (12, _) if yes && no => Act::Persist(one),
            _ => Act::Read((0..KEYS).collect()),
        }
    }

    /// A token: a new one, or perhaps one of those that were put somewhere last.
    fn token(&mut self, perhaps_known: bool) -> Token {
        if perhaps_known && !self.recent.is_empty() && self.rng.below(3) > 0 {
            return self.recent[self.rng.below(self.recent.len() as u64) as usize];
        }
        self.tokens += 1;
        let token = Token::of(format!("m{:06};", self.tokens).as_bytes()).expect("a token has a fixed width");
        self.recent.insert(0, token);
        self.recent.truncate(RECENT);
        token
    }

    fn said(&self, act: &Act) -> Command {
        let key = |key: &usize| self.key(self.generation, *key);
        let end = |left: &bool| if *left { b"LEFT".to_vec() } else { b"RIGHT".to_vec() };
        let mut words: Vec<Vec<u8>> = Vec::new();
        let name: &str = match act {
            Act::Put(holds, at, token) => {
                words.extend([key(at), token.bytes()]);
                match holds {
                    Type::Text => "SET",
                    Type::List => "RPUSH",
                    Type::Set => "SADD",
                }
            }
            Act::Delete(at) => {
                words.push(key(at));
                "DEL"
            }
            Act::End(at) => {
                words.extend([key(at), END_MS.to_string().into_bytes()]);
                "PEXPIRE"
            }
            Act::Persist(at) => {
                words.push(key(at));
                "PERSIST"
            }
            Act::AskEnd(at) => {
                words.push(key(at));
                "PTTL"
            }
            Act::Rename { from, to, only_if_absent } => {
                words.extend([key(from), key(to)]);
                if *only_if_absent {
                    "RENAMENX"
                } else {
                    "RENAME"
                }
            }
            Act::Copy { from, to, replaces } => {
                words.extend([key(from), key(to)]);
                words.extend(replaces.then(|| b"REPLACE".to_vec()));
                "COPY"
            }
            Act::MoveElement { from, to, take_left, give_left } => {
                words.extend([key(from), key(to), end(take_left), end(give_left)]);
                "LMOVE"
            }
            Act::MoveMember { from, to, member } => {
                words.extend([key(from), key(to), member.bytes()]);
                "SMOVE"
            }
            Act::Intersect { to, of: [one, other] } => {
                words.extend([key(to), key(one), key(other)]);
                "SINTERSTORE"
            }
            Act::SetAllIfAbsent(pairs) => {
                words.extend(pairs.iter().flat_map(|(at, token)| [key(at), token.bytes()]));
                "MSETNX"
            }
            Act::Read(of) => return self.reading(of),
        };
        words.insert(0, name.as_bytes().to_vec());
        parse(&words)
    }

    fn reading(&self, of: &[usize]) -> Command {
        let read = |key: &usize| {
            let key = self.key(self.generation, *key);
            match self.holds.shape() {
                Some(shape) => parse(&objects::words(shape, &key, &history::Command::Get)),
                None => parse(&[b"GET".to_vec(), key]),
            }
        };
        if let [key] = of {
            return read(key);
        }
        let mut queue = Queue::default();
        of.iter().for_each(|key| assert!(queue.push(read(key)), "it can be part of a transaction"));
        queue.exec(&[]).expect("they are few keys")
    }

    /// A question was answered; what that is called.
    pub fn answered(&mut self, number: usize, now: u64, reply: &Reply) -> &'static str {
        let question = &mut self.asked[number];
        let answer = match reply {
            Reply::Error(text) if text.starts_with("UNCERTAIN") => return "a move is uncertain",
            Reply::Error(text) if text.ends_with("no such key") => Answer::NoSuchKey,
            Reply::Error(text) if text.starts_with("WRONGTYPE") => Answer::Strange,
            Reply::Error(_) => {
                question.told = Told::Not;
                return "a move was refused";
            }
            reply => answer(&question.act, reply).unwrap_or(Answer::Strange),
        };
        let did = matches!(&answer, Answer::Done | Answer::Element(_) | Answer::Number(1..));
        let label = match &question.act {
            _ if !did => "a move changed nothing, or something was read",
            Act::Rename { .. } => "a key was renamed",
            Act::Copy { .. } => "a key was copied",
            Act::MoveElement { .. } => "an element was moved",
            Act::MoveMember { .. } => "a member was moved",
            Act::Intersect { .. } => "an intersection was stored",
            Act::SetAllIfAbsent(_) => "several keys were set where there was none",
            Act::Put(..) | Act::Delete(_) | Act::End(_) | Act::Persist(_) | Act::AskEnd(_) | Act::Read(_) => {
                "a key was changed between moves"
            }
        };
        question.told = Told::Answer(now, answer);
        label
    }

    /// Nobody waits for the answer to a question any longer. The keys that took the place of those that have become too costly to judge.
    pub fn ended(&mut self, number: usize) -> Option<Vec<Vec<u8>>> {
        let question = &self.asked[number];
        let is_unknown = question.told == Told::Open && !Keys::is_read(&question.act);
        self.unknown += usize::from(is_unknown && question.generation == self.generation);
        if self.unknown < UNKNOWN_PER_KEY_MAX {
            return None;
        }
        (self.generation, self.unknown) = (self.generation + 1, 0);
        self.recent.clear();
        Some(self.keys())
    }

    /// Judges all of it, with what was read of the keys in the end. Whether all could be decided.
    pub fn judge(&self, last_reads: &[&Operation]) -> Result<bool, Violation> {
        let mut all_decided = true;
        for generation in 0..=self.generation {
            all_decided &= self.judge_generation(generation, last_reads)?;
        }
        Ok(all_decided)
    }

    fn judge_generation(&self, generation: u32, last_reads: &[&Operation]) -> Result<bool, Violation> {
        let own = |one: &&Question| one.generation == generation && one.told != Told::Not;
        let mut asked: Vec<Question> = self.asked.iter().filter(own).cloned().collect();
        for key in 0..KEYS {
            let name = self.key(generation, key);
            for read in last_reads.iter().filter(|read| read.key == name) {
                let Some((at, tokens)) = read.returned().zip(read.reply().and_then(tokens_of_last)) else {
                    continue;
                };
                let told = Told::Answer(at, Answer::Tokens(vec![tokens]));
                asked.push(Question { generation, act: Act::Read(vec![key]), call: read.call, told });
            }
        }
        // Of what was only read nobody needs to know whether it was.
        asked.retain(|one| one.told != Told::Open || !Keys::is_read(&one.act));
        let operations: Vec<Asked<'_, Keys>> = asked.iter().map(Question::as_asked).collect();
        match search(&operations) {
            Found::Order => Ok(true),
            Found::Undecided(_) => Ok(false),
            Found::Nothing { at, open } => {
                let open: Vec<_> = open.iter().map(|one| format!("\n    {:?}", asked[*one])).collect();
                let detail = format!(
                    "keys {}…: no order explains {:?}; open were{}",
                    show(&self.key(generation, 0)),
                    asked[at],
                    open.concat()
                );
                Err(Violation::new(invariant::TOGETHER, detail))
            }
        }
    }
}

fn parse(words: &[Vec<u8>]) -> Command {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match Command::parse(&words, &Limits::default()).expect("it can be parsed") {
        Command::Many(split) if split.parts.len() == 1 => split.parts[0].clone(),
        parsed => parsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked one after the other, of keys that do all of it but the effect of one question.
    fn played(seed: u64, lost: Option<usize>) -> (Moves, bool) {
        let mut moves = Moves::new(Rng::new(seed));
        let mut state = <Keys as Model>::State::default();
        let mut changed = false;
        for number in 0..120_usize {
            let now = 10 * number as u64;
            moves.ask(now);
            let (next, answer) = Keys::apply(&state, &moves.asked[number].act);
            if lost == Some(number) {
                changed = next != state;
            } else {
                state = next;
            }
            moves.asked[number].told = Told::Answer(now + 1, answer);
        }
        (moves, changed)
    }

    #[test]
    fn what_is_lost_has_no_order() {
        let (mut lost, mut found) = (0, 0);
        for seed in 0..200 {
            assert_eq!(played(seed, None).0.judge(&[]).ok(), Some(true), "seed {seed}");
            let (moves, changed) = played(seed, Some(40));
            let verdict = moves.judge(&[]);
            assert!(changed || verdict.is_ok(), "seed {seed}");
            (lost, found) = (lost + u32::from(changed), found + u32::from(verdict.is_err()));
        }
        // What was overwritten before it was read is not missed.
        assert!(lost > 50 && found * 4 > lost * 3, "{lost} effects were lost, {found} of them found");
    }

    #[test]
    fn what_nobody_knows_may_have_happened_or_not() {
        for seed in 0..20 {
            for lost in [None, Some(40)] {
                let (mut moves, _) = played(seed, lost);
                moves.asked[40].told = Told::Open;
                assert_eq!(moves.judge(&[]).ok(), Some(true), "seed {seed}, {lost:?}");
            }
        }
    }
}
