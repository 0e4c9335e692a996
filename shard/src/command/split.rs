//! Commands on many keys, as commands on one key each and a way to put the replies together.
//!
//! Not atomic: each part is decided on its own, and others may come in between. Where a part fails, the whole answers
//! with the first error, though other parts may have been applied.

use super::{errors, Command, KeyCommand, Op};
use crate::reply::Reply;

/// The parts of a command, in the order of its keys, and how their replies make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Commands on one key, or on the keyspace. Never [`Command::Many`], never empty.
    pub parts: Vec<Command>,
    /// How to put the replies together.
    pub gather: Gather,
}

/// How replies of parts make the reply of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// There is one part, and its reply is the reply.
    One,
    /// MGET: a list in the order of the keys, with nil for what is no string.
    List,
    /// DEL, EXISTS, UNLINK, TOUCH: the sum of integers.
    Sum,
    /// MSET: OK.
    AllOk,
}

impl Command {
    /// Makes single-key commands of a command on many; a command that is none of those is its own only part.
    pub fn split(self) -> Split {
        match self {
            Command::Many(split) => split,
            one => Split { parts: vec![one], gather: Gather::One },
        }
    }
}

impl Split {
    /// The same operation on each key.
    pub(super) fn each<'a>(keys: impl Iterator<Item = &'a [u8]>, op: Op, gather: Gather) -> Command {
        Split::of(keys.map(|key| (key, op.clone())), gather)
    }

    /// One operation per key. What needs no gathering because it has one part is that part.
    pub(super) fn of<'a>(ops: impl Iterator<Item = (&'a [u8], Op)>, gather: Gather) -> Command {
        let part = |(key, op): (&[u8], Op)| Command::Key(KeyCommand { key: key.into(), op });
        let mut parts: Vec<Command> = ops.map(part).collect();
        match (gather, parts.pop()) {
            (Gather::One | Gather::Sum | Gather::AllOk, Some(only)) if parts.is_empty() => only,
            (_, last) => {
                parts.extend(last);
                assert!(!parts.is_empty(), "the arity says that there is a key");
                Command::Many(Split { parts, gather })
            }
        }
    }
}

impl Gather {
    /// Puts replies together, one per part and in their order.
    pub fn join(self, mut replies: Vec<Reply>) -> Reply {
        if self == Gather::List {
            replies
                .iter_mut()
                .filter(|reply| **reply == errors::WRONG_TYPE)
                .for_each(|reply| *reply = Reply::Nil);
        }
        if self != Gather::One {
            if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
                return error.clone();
            }
        }
        match self {
            Gather::One => replies.into_iter().next().unwrap_or(Reply::Nil),
            Gather::List => Reply::Array(replies),
            Gather::Sum => Reply::Int(
                replies.iter().map(|reply| if let Reply::Int(count) = reply { *count } else { 0 }).sum(),
            ),
            Gather::AllOk => Reply::OK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_put_together() {
        let error = Reply::error("ERR no quorum");
        let table = [
            (Gather::One, vec![Reply::Nil], Reply::Nil),
            (Gather::One, vec![error.clone()], error.clone()),
            (
                Gather::List,
                vec![Reply::bulk("a"), Reply::Nil],
                Reply::Array(vec![Reply::bulk("a"), Reply::Nil]),
            ),
            (Gather::List, vec![Reply::bulk("a"), error.clone()], error.clone()),
            (Gather::Sum, vec![Reply::Int(1), Reply::Int(0), Reply::Int(1)], Reply::Int(2)),
            (Gather::Sum, vec![Reply::Int(1), error.clone()], error.clone()),
            (Gather::AllOk, vec![Reply::OK, Reply::OK], Reply::OK),
            (Gather::AllOk, vec![Reply::OK, error.clone()], error),
        ];
        for (gather, replies, want) in table {
            assert_eq!(gather.join(replies), want);
        }
    }
}
