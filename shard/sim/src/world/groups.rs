//! Commands of many keys: parsed, cut into their parts and put together by the product, as a session does it. To the history each
//! part is a question of its own, answered when its core answers.

use std::collections::BTreeMap;

use shard::command::{Command, Gather, Limits};
use shard::reply::Reply;
use shard::RequestId;

use super::{Place, World};
use crate::violation::{invariant, Checked, Violation};
use crate::workload::Group;

/// Commands of many keys of which not all parts are answered.
#[derive(Debug, Default)]
pub(super) struct Groups {
    last: u64,
    /// The part that each request is. What is lost with its host stays, as do the groups: a run has a few hundred.
    parts: BTreeMap<RequestId, (u64, usize)>,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    gather: Gather,
    replies: Vec<Option<Reply>>,
}

impl World {
    /// A client asks about many keys in one command.
    pub(super) fn issue_group(&mut self, client: u32, at: Place, group: Group) {
        self.label("a client asked about many keys in one command");
        let words: Vec<&[u8]> = group.words.iter().map(Vec::as_slice).collect();
        let parsed = Command::parse(&words, &Limits::default()).expect("a group has its words");
        let split = parsed.split();
        let keys = split.parts.iter().map(Command::key);
        let meant = keys.eq(group.asks.iter().map(|ask| Some(ask.key.as_slice())));
        assert!(meant, "each key has its part, in their order");
        self.groups.last += 1;
        let id = self.groups.last;
        let replies = vec![None; split.parts.len()];
        let name = group.words[0].clone();
        self.groups.open.insert(id, Open { name, gather: split.gather, replies });
        for (index, (ask, part)) in group.asks.into_iter().zip(split.parts).enumerate() {
            self.clients[client as usize].left -= 1;
            let request = self.issue_part(client, at, index as u32, (ask, None), part);
            self.groups.parts.insert(request, (id, index));
        }
    }

    /// A part of a command of many keys is answered, perhaps: the last one completes the reply.
    pub(super) fn note_part(&mut self, request: RequestId, reply: &Reply) -> Checked {
        let Some((id, index)) = self.groups.parts.remove(&request) else { return Ok(()) };
        let Some(open) = self.groups.open.get_mut(&id) else { return Ok(()) };
        open.replies[index] = Some(reply.clone());
        if open.replies.iter().any(Option::is_none) {
            return Ok(());
        }
        let Some(Open { name, gather, replies }) = self.groups.open.remove(&id) else { return Ok(()) };
        let replies: Vec<Reply> = replies.into_iter().flatten().collect();
        let wanted = whole(&name, &replies);
        let whole = gather.join(replies.clone());
        if whole == wanted {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&name);
        let detail = format!("{name} is answered with {whole:?}, and its parts with {replies:?}");
        Err(Violation::new(invariant::GATHERED, detail))
    }
}

/// What the parts' replies come to.
fn whole(name: &[u8], replies: &[Reply]) -> Reply {
    if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
        return error.clone();
    }
    let one = Reply::Int(1);
    match name {
        b"MGET" => Reply::Array(replies.to_vec()),
        b"MSET" => Reply::OK,
        _ => Reply::Int(replies.iter().filter(|reply| **reply == one).count() as i64),
    }
}
