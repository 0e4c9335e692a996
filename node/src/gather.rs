//! Commands that concern many keys or many cores: how they are spread, and how the replies are put together.
//!
//! The parts of a spread command run apart, on their own cores; none waits for another, and others may come
//! in between. So a spread command is not atomic, and where a part fails the whole answers with the first
//! error, though other parts may have been applied. A flush says so: how many of its parts are emptied.
//!
//! Keys are spread by `shard` ([`shard::command::Split`]); this file spreads commands on the keyspace over
//! slices, with the cursor of SCAN telling the slice.

use shard::command::{Command, Gather, Keyspace};
use shard::reply::Reply;

use crate::cluster::{ClusterMap, Port};
use crate::server::slowlog;

/// How the replies of the parts make the reply of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// As the command on keys says.
    Keys(Gather),
    /// One part, whose reply is the reply.
    One,
    /// What is there under a name, in an array; else what the row of that name is answered, if there is a second part.
    Row,
    /// The sum of integers.
    Sum,
    /// OK if all say so.
    AllOk,
    /// OK if all say so; where some say so and others do not, what was emptied.
    Flush,
    /// OK if all say so; else that the tables are changed, and may not be known everywhere.
    Spread,
    /// Lists, one behind the other.
    Concat,
    /// Texts, one behind the other.
    Text,
    /// The first that is not nil, from this part on.
    AnyFrom(usize),
    /// Slow commands by time, up to so many.
    Slowlog(usize),
    /// OK if any closed something: CLIENT KILL address.
    Killed,
    /// A page of SCAN by this slice; `next` is the slice that follows.
    Scan {
        /// The slice that was asked.
        slice: u16,
        /// The one to go on with when it is through.
        next: Option<u16>,
    },
}

/// Slots that a command on the keyspace is about, first and last of each run. None: all that the slice has.
pub type Scope = Option<Box<[(u16, u16)]>>;

/// A command on the keyspace for one slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePart {
    /// The slice, on this host.
    pub slice: u16,
    /// What it is asked.
    pub command: Keyspace,
    /// Which of its slots.
    pub scope: Scope,
}

/// Bits of a cursor that tell the slice.
const SLICE_BITS: u32 = 8;

const _: () = assert!(crate::session::limits::CORES_MAX <= 1 << SLICE_BITS);

/// The answer of a SCAN that is through.
fn end_of_scan() -> Reply {
    Reply::Array(vec![Reply::bulk("0"), Reply::Array(vec![])])
}

/// Spreads a command on the keyspace for a client of `port`; `turn` varies which part RANDOMKEY prefers. The
/// error is the reply.
pub fn spread(
    command: Keyspace,
    map: &ClusterMap,
    port: Port,
    turn: u64,
) -> Result<(Vec<SlicePart>, Join), Reply> {
    let places = scopes(map, port);
    let join = match &command {
        Keyspace::Size => Join::Sum,
        Keyspace::Keys(_) => Join::Concat,
        Keyspace::Random => Join::AnyFrom((turn % places.len().max(1) as u64) as usize),
        Keyspace::Flush => {
            // All keys of a slice at one moment: there is no flush of some of its slots.
            let part = |(slice, _)| SlicePart { slice, command: command.clone(), scope: None };
            return Ok((places.into_iter().map(part).collect(), Join::Flush));
        }
        Keyspace::Spread(_) => {
            // What is known of tables every core needs, whatever slots the port shows.
            let part = |slice| SlicePart { slice, command: command.clone(), scope: None };
            return Ok(((0..map.layout().slices()).map(part).collect(), Join::Spread));
        }
        Keyspace::CountInSlot(slot) | Keyspace::KeysInSlot { slot, .. } => {
            let slice = map.slice(*slot);
            return Ok((vec![SlicePart { slice, command, scope: None }], Join::One));
        }
        Keyspace::Scan { .. } | Keyspace::Partitions { .. } => return scan(command, places),
    };
    let part = |(slice, scope)| SlicePart { slice, command: command.clone(), scope };
    Ok((places.into_iter().map(part).collect(), join))
}

/// The slices that a port speaks for, and which of their slots.
fn scopes(map: &ClusterMap, port: Port) -> Vec<(u16, Scope)> {
    match port {
        Port::Plain => (0..map.layout().slices()).map(|slice| (slice, None)).collect(),
        Port::Core(_) => map
            .scope(port)
            .into_iter()
            .map(|(slice, ranges)| (slice, Some(ranges.into_boxed_slice())))
            .collect(),
    }
}

fn scan(mut command: Keyspace, places: Vec<(u16, Scope)>) -> Result<(Vec<SlicePart>, Join), Reply> {
    let (Keyspace::Scan { cursor: at, .. } | Keyspace::Partitions { cursor: at, .. }) = &mut command else {
        return Err(Reply::error("ERR syntax error"));
    };
    let cursor = *at;
    *at >>= SLICE_BITS;
    // Zero is the start, whatever the first slice is.
    let at = if cursor == 0 {
        Some(0)
    } else {
        places.iter().position(|(slice, _)| u64::from(*slice) == cursor & ((1 << SLICE_BITS) - 1))
    };
    // A cursor of a port that shows other slots: as in Redis, a cursor from elsewhere finds nothing and ends.
    let Some((slice, scope)) = at.and_then(|at| places.get(at)) else { return Err(end_of_scan()) };
    let next = at.and_then(|at| places.get(at + 1)).map(|place| place.0);
    let part = SlicePart { slice: *slice, command, scope: scope.clone() };
    Ok((vec![part], Join::Scan { slice: *slice, next }))
}

impl From<SlicePart> for (u16, Command, Scope) {
    fn from(part: SlicePart) -> Self {
        (part.slice, Command::Keyspace(part.command), part.scope)
    }
}

/// The replies of the parts of one command, as they come.
#[derive(Clone, Debug)]
pub struct Parts {
    replies: Vec<Option<Reply>>,
    missing: usize,
    join: Join,
}

impl Parts {
    /// Waits for `count` replies: at least one.
    pub fn new(count: usize, join: Join) -> Parts {
        assert!(count > 0, "a spread command has a part");
        Parts { replies: vec![None; count], missing: count, join }
    }

    /// Notes the reply of a part; returns the whole once all are there. A second reply of a part is a broken
    /// invariant.
    pub fn put(&mut self, part: usize, reply: Reply) -> Option<Reply> {
        let place = self.replies.get_mut(part).expect("a part that was asked");
        assert!(place.is_none(), "part {part} was answered twice");
        *place = Some(reply);
        self.missing -= 1;
        (self.missing == 0).then(|| {
            let replies = std::mem::take(&mut self.replies).into_iter().flatten().collect();
            join(self.join, replies)
        })
    }
}

fn join(how: Join, replies: Vec<Reply>) -> Reply {
    if let Join::Keys(gather) = how {
        return gather.join(replies);
    }
    if how == Join::Flush {
        return flushed(&replies);
    }
    if how == Join::Spread {
        return made_known(&replies);
    }
    if let Some(error) = replies.iter().find(|reply| reply.is_error()).filter(|_| how != Join::Row) {
        return error.clone();
    }
    match how {
        Join::Keys(gather) => gather.join(replies),
        Join::One => replies.into_iter().next().unwrap_or(Reply::Nil),
        Join::Row => row(replies),
        Join::Sum => Reply::Int(sum(&replies)),
        Join::AllOk | Join::Flush | Join::Spread => Reply::OK,
        Join::Killed if sum(&replies) > 0 => Reply::OK,
        Join::Killed => Reply::error("ERR No such client"),
        Join::Concat => Reply::Array(replies.into_iter().flat_map(items).collect()),
        Join::Text => Reply::Verbatim(replies.iter().map(text).collect()),
        Join::AnyFrom(first) => {
            let (before, from) = replies.split_at(first.min(replies.len()));
            from.iter().chain(before).find(|reply| **reply != Reply::Nil).cloned().unwrap_or(Reply::Nil)
        }
        Join::Slowlog(count) => slowlog::join(replies, count),
        Join::Scan { slice, next } => {
            replies.into_iter().next().map_or_else(end_of_scan, |page| turn(page, slice, next))
        }
    }
}

/// What the slices say to a flush. One of them may say that nothing was written where another was emptied, or may have been.
fn flushed(replies: &[Reply]) -> Reply {
    let emptied = replies.iter().filter(|reply| !reply.is_error()).count();
    let mut errors = replies.iter().filter_map(|reply| match reply {
        Reply::Error(text) => Some(text),
        _ => None,
    });
    let Some(first) = errors.next() else { return Reply::OK };
    let is_uncertain = |text: &str| text.starts_with("UNCERTAIN");
    if emptied > 0 {
        let parts = replies.len();
        let text = format!("UNCERTAIN {emptied} of {parts} parts are emptied, run it again: {first}");
        return Reply::Error(text.into());
    }
    let uncertain = errors.find(|text| is_uncertain(text)).filter(|_| !is_uncertain(first));
    Reply::Error(uncertain.unwrap_or(first).clone())
}

/// What the cores say to a change of the catalog that was chosen.
fn made_known(replies: &[Reply]) -> Reply {
    let mut errors = replies.iter().filter_map(|reply| match reply {
        Reply::Error(text) => Some(text),
        _ => None,
    });
    errors.next().map_or(Reply::OK, |text| match text.starts_with("UNCERTAIN") {
        true => may_be_unknown("a majority of them did not say so in time"),
        false => may_be_unknown(text),
    })
}

/// The answer to a change of the catalog that was chosen, and may not have been made known.
pub fn may_be_unknown(why: &str) -> Reply {
    let text = "UNCERTAIN the tables are changed, but not every host may know it yet; again, with IF EXISTS or IF NOT EXISTS, it is answered when they do";
    Reply::Error(format!("{text}: {why}").into())
}

/// What is there under a name that a row may have, or else what the row is answered.
pub fn row(replies: Vec<Reply>) -> Reply {
    let mut replies = replies.into_iter();
    match replies.next() {
        Some(Reply::Array(found)) => found.into_iter().next().unwrap_or(Reply::Nil),
        Some(Reply::Nil) => replies.next().unwrap_or(Reply::Nil),
        refused => refused.unwrap_or(Reply::Nil),
    }
}

fn sum(replies: &[Reply]) -> i64 {
    replies.iter().map(|reply| if let Reply::Int(count) = reply { *count } else { 0 }).sum()
}

fn items(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items,
        _ => Vec::new(),
    }
}

fn text(reply: &Reply) -> &str {
    match reply {
        Reply::Verbatim(text) => text,
        _ => "",
    }
}

/// The cursor of a host for that of a slice.
pub fn cursor_in(slice: u16, inner: u64) -> u64 {
    inner << SLICE_BITS | u64::from(slice)
}

/// A page of SCAN with the cursor of its slice turned into one of the host.
fn turn(page: Reply, slice: u16, next: Option<u16>) -> Reply {
    let Reply::Array(mut fields) = page else { return page };
    let inner = match fields.first() {
        Some(Reply::Bulk(digits)) => {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok())
        }
        _ => None,
    };
    let outer = match (inner, next) {
        (Some(0), None) => Some(0),
        (Some(0), Some(next)) => Some(u64::from(next)),
        (Some(inner), _) if inner >> (u64::BITS - SLICE_BITS) == 0 => Some(cursor_in(slice, inner)),
        _ => None,
    };
    match (outer, fields.first_mut()) {
        (Some(outer), Some(cursor)) => {
            *cursor = Reply::bulk(outer.to_string());
            Reply::Array(fields)
        }
        _ => Reply::error("ERR the cursor of this slice does not fit: scan by a core port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_tells_what_was_emptied() {
        let (ok, no) = (Reply::OK, Reply::error("ERR timeout: nothing was written"));
        let unsure = Reply::error("UNCERTAIN write may or may not be applied");
        let mixed = |text: &'static str| Reply::error(text);
        let table = [
            (vec![&ok], ok.clone()),
            (vec![&no], no.clone()),
            (vec![&unsure], unsure.clone()),
            (vec![&ok, &ok], ok.clone()),
            (vec![&no, &no], no.clone()),
            (vec![&no, &unsure], unsure.clone()),
            (vec![&unsure, &no], unsure.clone()),
            (
                vec![&ok, &no, &ok],
                mixed("UNCERTAIN 2 of 3 parts are emptied, run it again: ERR timeout: nothing was written"),
            ),
            (
                vec![&unsure, &ok],
                mixed(
                    "UNCERTAIN 1 of 2 parts are emptied, run it again: UNCERTAIN write may or may not be applied",
                ),
            ),
        ];
        for (replies, want) in table {
            let replies: Vec<Reply> = replies.into_iter().cloned().collect();
            assert_eq!(join(Join::Flush, replies), want);
        }
    }

    #[test]
    fn a_change_of_the_catalog_is_known_when_all_cores_say_so() {
        let (ok, unsure) = (Reply::OK, Reply::error("UNCERTAIN write may or may not be applied"));
        let text = "UNCERTAIN the tables are changed, but not every host may know it yet; again, with IF EXISTS or IF NOT EXISTS, it is answered when they do: ";
        let told = |why: &str| Reply::Error(format!("{text}{why}").into());
        assert_eq!(join(Join::Spread, vec![ok.clone(), ok.clone()]), ok);
        let busy = Reply::error("BUSY");
        assert_eq!(join(Join::Spread, vec![busy.clone(), ok.clone(), busy]), told("BUSY"));
        assert_eq!(join(Join::Spread, vec![ok, unsure]), told("a majority of them did not say so in time"));
    }
}
