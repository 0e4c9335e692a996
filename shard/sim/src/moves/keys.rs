//! The keys of a tag as one thing: what can be asked of them, what it does and what it answers.

use std::fmt;

use shard::reply::Reply;
use synod_bench::check::search::Model;
use synod_bench::history;

use super::KEYS;
use crate::ledger::{show, TOKEN_BYTES};
use crate::objects::Shape;

/// Bytes that are put somewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token([u8; TOKEN_BYTES]);

impl Token {
    pub fn of(bytes: &[u8]) -> Option<Token> {
        bytes.try_into().ok().map(Token)
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

/// What the keys of a tag hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    /// A token.
    Text,
    /// Tokens in their order.
    List,
    /// Tokens.
    Set,
}

impl Type {
    pub fn shape(self) -> Option<Shape> {
        match self {
            Type::Text => None,
            Type::List => Some(Shape::List),
            Type::Set => Some(Shape::Members),
        }
    }
}

/// What is asked about the keys of a tag, which are numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// SET, RPUSH, SADD.
    Put(Type, usize, Token),
    /// DEL.
    Delete(usize),
    /// PEXPIRE, long after the run.
    End(usize),
    /// PERSIST.
    Persist(usize),
    /// PTTL.
    AskEnd(usize),
    /// RENAME, RENAMENX.
    Rename { from: usize, to: usize, only_if_absent: bool },
    /// COPY.
    Copy { from: usize, to: usize, replaces: bool },
    /// LMOVE: from the left end or the right one, to the left end or the right one.
    MoveElement { from: usize, to: usize, take_left: bool, give_left: bool },
    /// SMOVE.
    MoveMember { from: usize, to: usize, member: Token },
    /// SINTERSTORE.
    Intersect { to: usize, of: [usize; 2] },
    /// MSETNX.
    SetAllIfAbsent(Vec<(usize, Token)>),
    /// Of some keys, side by side.
    Read(Vec<usize>),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Nil,
    Number(i64),
    Element(Token),
    NoSuchKey,
    Tokens(Vec<Vec<Token>>),
    /// What no command of these answers.
    Strange,
}

/// All keys of a tag, as one thing.
#[derive(Debug)]
pub(super) struct Keys;

/// What one key holds; nothing: it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Held {
    tokens: Vec<Token>,
    /// It ends some time, after the run.
    ends: bool,
}

impl Held {
    /// Something new in the place of all that was there.
    fn new(tokens: Vec<Token>) -> Held {
        Held { tokens, ends: false }
    }

    fn is_absent(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Of which something was taken: who holds nothing is gone, and its end with it.
    fn settle(&mut self) {
        self.ends &= !self.is_absent();
    }
}

impl Model for Keys {
    type State = [Held; KEYS];
    type Command = Act;
    type Reply = Answer;

    fn apply(state: &Self::State, act: &Act) -> (Self::State, Answer) {
        let mut keys = state.clone();
        let number = |is: bool| Answer::Number(i64::from(is));
        let answer = match act {
            Act::Put(Type::Text, key, token) => {
                keys[*key] = Held::new(vec![*token]);
                Answer::Done
            }
            Act::Put(Type::List, key, token) => {
                keys[*key].tokens.push(*token);
                Answer::Number(keys[*key].tokens.len() as i64)
            }
            Act::Put(Type::Set, key, token) => number(insert(&mut keys[*key].tokens, *token)),
            Act::Delete(key) => number(!std::mem::take(&mut keys[*key]).is_absent()),
            Act::End(key) => {
                keys[*key].ends = !keys[*key].is_absent();
                number(keys[*key].ends)
            }
            Act::Persist(key) => number(std::mem::take(&mut keys[*key].ends)),
            Act::AskEnd(key) => Answer::Number(match &keys[*key] {
                held if held.is_absent() => -2,
                held => i64::from(held.ends) * 2 - 1,
            }),
            Act::Rename { from, .. } if keys[*from].is_absent() => Answer::NoSuchKey,
            Act::Rename { to, only_if_absent: true, .. } if !keys[*to].is_absent() => number(false),
            Act::Rename { from, to, only_if_absent } => {
                keys[*to] = std::mem::take(&mut keys[*from]);
                if *only_if_absent {
                    number(true)
                } else {
                    Answer::Done
                }
            }
            Act::Copy { from, to, replaces } => {
                let copies = !keys[*from].is_absent() && (*replaces || keys[*to].is_absent());
                if copies {
                    keys[*to] = keys[*from].clone();
                }
                number(copies)
            }
            Act::MoveElement { from, .. } if keys[*from].is_absent() => Answer::Nil,
            Act::MoveElement { from, to, take_left, give_left } => {
                let taken = if *take_left { 0 } else { keys[*from].tokens.len() - 1 };
                let element = keys[*from].tokens.remove(taken);
                let given = if *give_left { 0 } else { keys[*to].tokens.len() };
                keys[*to].tokens.insert(given, element);
                keys[*from].settle();
                Answer::Element(element)
            }
            Act::MoveMember { from, to, member } => {
                let place = keys[*from].tokens.binary_search(member);
                if let Ok(place) = place {
                    keys[*from].tokens.remove(place);
                    insert(&mut keys[*to].tokens, *member);
                    keys[*from].settle();
                }
                number(place.is_ok())
            }
            Act::Intersect { to, of: [one, other] } => {
                let others = &keys[*other].tokens;
                let of_both = keys[*one].tokens.iter().filter(|token| others.contains(token));
                keys[*to] = Held::new(of_both.copied().collect());
                Answer::Number(keys[*to].tokens.len() as i64)
            }
            Act::SetAllIfAbsent(pairs) => {
                let sets = pairs.iter().all(|(key, _)| keys[*key].is_absent());
                for (key, token) in pairs.iter().filter(|_| sets) {
                    keys[*key] = Held::new(vec![*token]);
                }
                number(sets)
            }
            Act::Read(of) => Answer::Tokens(of.iter().map(|key| keys[*key].tokens.clone()).collect()),
        };
        (keys, answer)
    }

    fn agrees(_: &Act, model: &Answer, told: &Answer) -> bool {
        model == told
    }

    fn is_read(act: &Act) -> bool {
        matches!(act, Act::Read(_) | Act::AskEnd(_))
    }
}

/// Puts a token into a set, which is in order; whether it was not there.
fn insert(set: &mut Vec<Token>, token: Token) -> bool {
    match set.binary_search(&token) {
        Ok(_) => false,
        Err(place) => {
            set.insert(place, token);
            true
        }
    }
}

/// What a reply answers; None: nothing that could be asked so.
pub(super) fn answer(act: &Act, reply: &Reply) -> Option<Answer> {
    Some(match (act, reply) {
        (Act::Read(of), Reply::Array(parts)) if of.len() > 1 => {
            Answer::Tokens(parts.iter().map(tokens).collect::<Option<_>>()?)
        }
        (Act::Read(_), reply) => Answer::Tokens(vec![tokens(reply)?]),
        (_, Reply::Simple(_)) => Answer::Done,
        // How long it is until then differs from clock to clock.
        (Act::AskEnd(_), Reply::Int(1..)) => Answer::Number(1),
        (_, Reply::Int(number)) => Answer::Number(*number),
        (_, Reply::Bulk(element)) => Answer::Element(Token::of(element)?),
        (_, Reply::Nil) => Answer::Nil,
        _ => return None,
    })
}

/// The tokens that one key was said to hold.
fn tokens(reply: &Reply) -> Option<Vec<Token>> {
    let all = |elements: &[Reply]| elements.iter().map(token).collect::<Option<Vec<Token>>>();
    match reply {
        Reply::Nil => Some(Vec::new()),
        Reply::Array(elements) => all(elements),
        Reply::Set(members) => all(members).map(|mut tokens| {
            tokens.sort_unstable();
            tokens
        }),
        one => token(one).map(|token| vec![token]),
    }
}

fn token(reply: &Reply) -> Option<Token> {
    match reply {
        Reply::Bulk(bytes) => Token::of(bytes),
        _ => None,
    }
}

/// The tokens that a key held when it was read last.
pub(super) fn tokens_of_last(reply: &history::Reply) -> Option<Vec<Token>> {
    match reply {
        history::Reply::Nil => Some(Vec::new()),
        history::Reply::Value(text) => text.chunks(TOKEN_BYTES).map(Token::of).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u8) -> Token {
        Token([number; TOKEN_BYTES])
    }

    #[test]
    fn commands_do_what_redis_does() {
        use Answer::{Done, Element, Nil, NoSuchKey, Number};
        let rename = |from, to, only_if_absent| Act::Rename { from, to, only_if_absent };
        let copy = |from, to, replaces| Act::Copy { from, to, replaces };
        let element = |from, to, take_left, give_left| Act::MoveElement { from, to, take_left, give_left };
        let member = |from, to, of| Act::MoveMember { from, to, member: of };
        let put = |holds, key, number| Act::Put(holds, key, of(number));
        // Command, reply, and what all keys hold after it; one after the other.
        type Step = (Act, Answer, [&'static [u8]; KEYS]);
        let texts: Vec<Step> = vec![
            (rename(0, 1, false), NoSuchKey, [&[], &[], &[]]),
            (Act::SetAllIfAbsent(vec![(0, of(1)), (1, of(2))]), Number(1), [&[1], &[2], &[]]),
            (Act::SetAllIfAbsent(vec![(2, of(3)), (1, of(4))]), Number(0), [&[1], &[2], &[]]),
            (rename(0, 1, true), Number(0), [&[1], &[2], &[]]),
            (rename(0, 2, true), Number(1), [&[], &[2], &[1]]),
            (rename(2, 2, false), Done, [&[], &[2], &[1]]),
            (rename(2, 2, true), Number(0), [&[], &[2], &[1]]),
            (rename(2, 1, false), Done, [&[], &[1], &[]]),
            (copy(1, 0, false), Number(1), [&[1], &[1], &[]]),
            (put(Type::Text, 0, 5), Done, [&[5], &[1], &[]]),
            (copy(1, 0, false), Number(0), [&[5], &[1], &[]]),
            (copy(1, 0, true), Number(1), [&[1], &[1], &[]]),
            (copy(2, 0, true), Number(0), [&[1], &[1], &[]]),
            (Act::Delete(0), Number(1), [&[], &[1], &[]]),
            (Act::Delete(0), Number(0), [&[], &[1], &[]]),
        ];
        let lists: Vec<Step> = vec![
            (element(0, 1, true, true), Nil, [&[], &[], &[]]),
            (put(Type::List, 0, 1), Number(1), [&[1], &[], &[]]),
            (put(Type::List, 0, 2), Number(2), [&[1, 2], &[], &[]]),
            (put(Type::List, 0, 3), Number(3), [&[1, 2, 3], &[], &[]]),
            (element(0, 0, true, false), Element(of(1)), [&[2, 3, 1], &[], &[]]),
            (element(0, 1, false, true), Element(of(1)), [&[2, 3], &[1], &[]]),
            (element(0, 1, true, false), Element(of(2)), [&[3], &[1, 2], &[]]),
            (element(0, 1, true, true), Element(of(3)), [&[], &[3, 1, 2], &[]]),
        ];
        let sets: Vec<Step> = vec![
            (put(Type::Set, 0, 2), Number(1), [&[2], &[], &[]]),
            (put(Type::Set, 0, 1), Number(1), [&[1, 2], &[], &[]]),
            (put(Type::Set, 0, 1), Number(0), [&[1, 2], &[], &[]]),
            (put(Type::Set, 1, 2), Number(1), [&[1, 2], &[2], &[]]),
            (Act::Intersect { to: 2, of: [0, 1] }, Number(1), [&[1, 2], &[2], &[2]]),
            (member(0, 1, of(3)), Number(0), [&[1, 2], &[2], &[2]]),
            (member(0, 1, of(2)), Number(1), [&[1], &[2], &[2]]),
            (member(0, 0, of(1)), Number(1), [&[1], &[2], &[2]]),
            (Act::Intersect { to: 0, of: [0, 1] }, Number(0), [&[], &[2], &[2]]),
        ];
        for script in [texts, lists, sets] {
            let mut state = <Keys as Model>::State::default();
            for (step, (act, answer, after)) in script.into_iter().enumerate() {
                let (next, told) = Keys::apply(&state, &act);
                assert_eq!(told, answer, "step {step}: {act:?}");
                let after = after.map(|numbers| numbers.iter().map(|number| of(*number)).collect::<Vec<_>>());
                let (_, read) = Keys::apply(&next, &Act::Read(vec![0, 1, 2]));
                assert_eq!(read, Answer::Tokens(after.to_vec()), "step {step}: {act:?}");
                state = next;
            }
        }
    }

    #[test]
    fn an_end_goes_where_what_ends_goes() {
        let table: [(Type, &[Act], [i64; KEYS]); 7] = [
            (Type::Text, &[], [1, -1, -2]),
            (Type::Text, &[Act::Rename { from: 0, to: 2, only_if_absent: false }], [-2, -1, 1]),
            (Type::Text, &[Act::Rename { from: 1, to: 0, only_if_absent: false }], [-1, -2, -2]),
            (Type::Text, &[Act::Copy { from: 0, to: 1, replaces: true }, Act::Persist(0)], [-1, 1, -2]),
            (Type::Text, &[Act::Put(Type::Text, 0, of(3))], [-1, -1, -2]),
            (
                Type::List,
                &[Act::MoveElement { from: 0, to: 2, take_left: true, give_left: true }],
                [-2, -1, -1],
            ),
            (Type::Set, &[Act::Intersect { to: 0, of: [0, 0] }], [-1, -1, -2]),
        ];
        for (holds, acts, ends) in table {
            let begun = [Act::Put(holds, 0, of(1)), Act::Put(holds, 1, of(2)), Act::End(0), Act::End(2)];
            let state = begun
                .iter()
                .chain(acts)
                .fold(<Keys as Model>::State::default(), |state, act| Keys::apply(&state, act).0);
            let shown = [0, 1, 2].map(|key| Keys::apply(&state, &Act::AskEnd(key)).1);
            assert_eq!(shown, ends.map(Answer::Number), "{acts:?}");
        }
    }
}
