//! What cores of one slice say to each other, laid out by hand (docs/formats/peer-message.md).
//!
//! ```text
//! type u8 | epoch u32 | incarnation u32 | flush epoch u32 | version of the catalog varint (the sender's) | body
//! paxos types: slot u16 | key_len u32, key | fields of the message
//! report:      accepted ballot | chosen_to ballot | taken_over u8 | has entry u8 | [len u32, entry]
//! ```
//!
//! A message may be lost, repeated or reordered on its way, never altered (netbatch has checksums). What arrives
//! is still checked field by field: a peer of another version or a hostile one must not be able to stop this core.

pub mod bytes;

use paxos::{Ballot, Message, Report};

use self::bytes::{put_ballot, put_bytes, Malformed, Reader};
use crate::command::put_varint;
use crate::held::{Bytes, Held};
use crate::limits::{FLUSH_EPOCH_MAX, SLOTS, VERSION_MAX};
use crate::record::CommandId;

/// What confirms many reads at once.
pub use self::abreast::{Confirm, Confirmed, Counted, Name, Told};
/// What is said of the catalog.
pub use self::catalog::CatalogSaid;
/// What is said of flushes.
pub use self::flush::{Flush, FlushSaid};
/// What is said of entries of log groups.
pub use self::group::GroupSaid;
/// What is said about many keys at once.
pub use self::keyspace::{LiveKey, SlotAnswer, SlotAsk, SlotEntry, SlotKey, SlotQuery, SlotSaid};
/// What promises whole ranges of slots.
pub use self::ranges::{RangePrepare, RangePromise, RangeRefused};
/// What replicas say to become equal.
pub use self::repair::{Copied, Listed, RepairAnswer, RepairAsk, RepairAsked, RepairSaid, Wanted, Watermark};
/// What is said of clients that wait.
pub use self::waits::{Wait, Waiting};

mod abreast;
mod catalog;
mod flush;
mod group;
mod keyspace;
mod ranges;
mod repair;
mod waits;

/// A message between the cores of a slice.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage<'a> {
    /// A protocol message about one entity.
    Paxos {
        /// The entity's slot.
        slot: u16,
        /// The entity's key.
        key: &'a [u8],
        /// The message.
        message: Message<Held>,
    },
    /// A command for the receiver to coordinate, because it is the preferred core of the slot.
    Forward(Forward<'a>),
    /// A learner's command for the receiver to coordinate as if a client of its own had sent it. It is sent once, to one
    /// receiver: nobody else will ever propose it.
    HandOver(Forward<'a>),
    /// The answer to a Forward.
    Forwarded {
        /// The command.
        id: CommandId,
        /// Its encoded reply.
        reply: &'a [u8],
    },
    /// The sender does not take a Forward up: this start of it proposed nothing for it, and will not.
    NotForwarded {
        /// The command.
        id: CommandId,
        /// Nor did an earlier start: the command was meant for this one. Links repeat what they are not sure of, so a copy that comes to a
        /// later start tells nothing of what became of the first.
        never: bool,
    },
    /// A forwarded command waits at the sender, because its key is claimed: that it comes late says nothing of the sender.
    ForwardHeld(CommandId),
    /// The sender works under another config epoch and refused a message.
    WrongEpoch,
    /// The link just came up, or the sender became a voter: tells its incarnation, and what it is.
    Hello {
        /// The sender is a learner.
        learner: bool,
    },
    /// Asks what the receiver holds of some slots.
    SlotQuery(SlotQuery),
    /// The answer to a SlotQuery.
    SlotAnswer(SlotAnswer),
    /// A question of a replica that looks for what it lacks.
    RepairAsk(RepairAsk),
    /// The answer to a RepairAsk.
    RepairAnswer(RepairAnswer<'a>),
    /// The sender has votes counted for the slots that it is preferred for.
    Name(Name),
    /// Asks what was counted.
    Confirm(Confirm),
    /// The answer to a Confirm.
    Confirmed(Confirmed),
    /// Asks for a promise for all keys of some slots.
    RangePrepare(RangePrepare),
    /// It is promised.
    RangePromise(RangePromise),
    /// It is not.
    RangeRefused(RangeRefused),
    /// A word about a client that waits for a key.
    Wait(Wait),
    /// A word about a flush.
    Flush(Flush),
    /// A word about the catalog of tables.
    Catalog(CatalogSaid<'a>),
    /// A word about entries of a log group.
    Group(GroupSaid<'a>),
}

/// What every message says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The config epoch it works under.
    pub epoch: u32,
    /// The incarnation of its core.
    pub incarnation: u32,
    /// Its flush epoch, which is durable there.
    pub flush: u32,
    /// The version of its catalog of tables, which is durable there.
    pub catalog: u64,
}

/// A forwarded command.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<'a> {
    /// Who waits for the answer.
    pub id: CommandId,
    /// The incarnation of the receiver that it is meant for: another one does not know which commands its predecessor
    /// has answered already.
    pub to_incarnation: u32,
    /// Every travelling command of that core below this is settled.
    pub settled_below: u64,
    /// How long the client still waits, in milliseconds.
    pub remaining_ms: u32,
    /// The encoded command.
    pub command: &'a [u8],
}

const PREPARE: u8 = 1;
const PROMISE: u8 = 2;
const ACCEPT: u8 = 3;
const RESTAMP: u8 = 4;
const ACCEPTED: u8 = 5;
const REJECT: u8 = 6;
const NEED_BASE: u8 = 7;
const QUERY: u8 = 8;
const STATE: u8 = 9;
const FORWARD: u8 = 16;
const FORWARDED: u8 = 17;
const NOT_FORWARDED: u8 = 18;
const WRONG_EPOCH: u8 = 19;
const SLOT_QUERY: u8 = 20;
const SLOT_ANSWER: u8 = 21;
const HELLO: u8 = 22;
const HAND_OVER: u8 = 23;
const REPAIR_ASK: u8 = 24;
const REPAIR_ANSWER: u8 = 25;
const NAME: u8 = 26;
const CONFIRM: u8 = 27;
const CONFIRMED: u8 = 28;
const RANGE_PREPARE: u8 = 29;
const RANGE_PROMISE: u8 = 30;
const RANGE_REFUSED: u8 = 31;
const WAIT: u8 = 32;
const FORWARD_HELD: u8 = 33;
const ACCEPT_DELTA: u8 = 34;
const FLUSH: u8 = 35;
const CATALOG: u8 = 36;
const GROUP: u8 = 37;

impl<'a> PeerMessage<'a> {
    /// Appends the encoding.
    pub fn encode(&self, sender: Sender, out: &mut Vec<u8>) {
        let head = |out: &mut Vec<u8>, kind: u8| {
            out.push(kind);
            out.extend_from_slice(&sender.epoch.to_le_bytes());
            out.extend_from_slice(&sender.incarnation.to_le_bytes());
            out.extend_from_slice(&sender.flush.to_le_bytes());
            put_varint(out, sender.catalog);
        };
        match self {
            PeerMessage::Paxos { slot, key, message } => {
                head(out, paxos_type(message));
                out.extend_from_slice(&slot.to_le_bytes());
                put_bytes(out, key);
                put_paxos(out, message);
            }
            PeerMessage::Forward(forward) => {
                head(out, FORWARD);
                put_forward(out, forward);
            }
            PeerMessage::HandOver(forward) => {
                head(out, HAND_OVER);
                put_forward(out, forward);
            }
            PeerMessage::Forwarded { id, reply } => {
                head(out, FORWARDED);
                put_id(out, *id);
                out.extend_from_slice(reply);
            }
            PeerMessage::NotForwarded { id, never } => {
                head(out, NOT_FORWARDED);
                put_id(out, *id);
                out.push(u8::from(*never));
            }
            PeerMessage::ForwardHeld(id) => {
                head(out, FORWARD_HELD);
                put_id(out, *id);
            }
            PeerMessage::WrongEpoch => head(out, WRONG_EPOCH),
            PeerMessage::Hello { learner } => {
                head(out, HELLO);
                out.push(u8::from(*learner));
            }
            PeerMessage::SlotQuery(query) => {
                head(out, SLOT_QUERY);
                query.encode(out);
            }
            PeerMessage::SlotAnswer(answer) => {
                head(out, SLOT_ANSWER);
                answer.encode(out);
            }
            PeerMessage::RepairAsk(ask) => {
                head(out, REPAIR_ASK);
                ask.encode(out);
            }
            PeerMessage::RepairAnswer(answer) => {
                head(out, REPAIR_ANSWER);
                answer.encode(out);
            }
            PeerMessage::Name(name) => {
                head(out, NAME);
                name.encode(out);
            }
            PeerMessage::Confirm(confirm) => {
                head(out, CONFIRM);
                confirm.encode(out);
            }
            PeerMessage::Confirmed(confirmed) => {
                head(out, CONFIRMED);
                confirmed.encode(out);
            }
            PeerMessage::RangePrepare(prepare) => {
                head(out, RANGE_PREPARE);
                prepare.encode(out);
            }
            PeerMessage::RangePromise(promise) => {
                head(out, RANGE_PROMISE);
                promise.encode(out);
            }
            PeerMessage::RangeRefused(refused) => {
                head(out, RANGE_REFUSED);
                refused.encode(out);
            }
            PeerMessage::Wait(wait) => {
                head(out, WAIT);
                wait.encode(out);
            }
            PeerMessage::Flush(flush) => {
                head(out, FLUSH);
                flush.encode(out);
            }
            PeerMessage::Catalog(said) => {
                head(out, CATALOG);
                said.encode(out);
            }
            PeerMessage::Group(said) => {
                head(out, GROUP);
                said.encode(out);
            }
        }
    }

    /// Reads a message, all of it: what the sender says of itself, and what it says.
    pub fn decode(bytes: &'a [u8]) -> Result<(Sender, PeerMessage<'a>), Malformed> {
        let mut reader = Reader::new(bytes, "peer message");
        let kind = reader.u8()?;
        let sender = take_sender(&mut reader)?;
        let message = match kind {
            PREPARE..=STATE | ACCEPT_DELTA => {
                let slot = reader.u16()?;
                if slot >= SLOTS {
                    return Err(reader.malformed());
                }
                let key = reader.bytes()?;
                let message = take_paxos(kind, &mut reader)?;
                reader.end()?;
                PeerMessage::Paxos { slot, key, message }
            }
            FORWARD => PeerMessage::Forward(take_forward(reader)?),
            HAND_OVER => PeerMessage::HandOver(take_forward(reader)?),
            FORWARDED => PeerMessage::Forwarded { id: take_id(&mut reader)?, reply: reader.rest() },
            NOT_FORWARDED => {
                let (id, never) = (take_id(&mut reader)?, keyspace::take_flag(&mut reader)?);
                reader.end()?;
                PeerMessage::NotForwarded { id, never }
            }
            FORWARD_HELD => {
                let id = take_id(&mut reader)?;
                reader.end()?;
                PeerMessage::ForwardHeld(id)
            }
            WRONG_EPOCH => {
                reader.end()?;
                PeerMessage::WrongEpoch
            }
            HELLO => {
                let learner = self::keyspace::take_flag(&mut reader)?;
                reader.end()?;
                PeerMessage::Hello { learner }
            }
            SLOT_QUERY => PeerMessage::SlotQuery(SlotQuery::decode(reader)?),
            SLOT_ANSWER => PeerMessage::SlotAnswer(SlotAnswer::decode(reader)?),
            REPAIR_ASK => PeerMessage::RepairAsk(RepairAsk::decode(reader)?),
            REPAIR_ANSWER => PeerMessage::RepairAnswer(RepairAnswer::decode(reader)?),
            NAME => PeerMessage::Name(Name::decode(reader)?),
            CONFIRM => PeerMessage::Confirm(Confirm::decode(reader)?),
            CONFIRMED => PeerMessage::Confirmed(Confirmed::decode(reader)?),
            RANGE_PREPARE => PeerMessage::RangePrepare(RangePrepare::decode(reader)?),
            RANGE_PROMISE => PeerMessage::RangePromise(RangePromise::decode(reader)?),
            RANGE_REFUSED => PeerMessage::RangeRefused(RangeRefused::decode(reader)?),
            WAIT => PeerMessage::Wait(Wait::decode(reader)?),
            FLUSH => PeerMessage::Flush(Flush::decode(reader)?),
            CATALOG => PeerMessage::Catalog(CatalogSaid::decode(reader)?),
            GROUP => PeerMessage::Group(GroupSaid::decode(reader)?),
            _ => return Err(Malformed("peer message of an unknown type")),
        };
        Ok((sender, message))
    }
}

/// An Accept as it lies in a message, nothing of it copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptMessage<'a> {
    /// What the sender says of itself.
    pub sender: Sender,
    /// The entity's slot.
    pub slot: u16,
    /// The entity's key.
    pub key: &'a [u8],
    /// The proposer's ballot; not zero.
    pub ballot: Ballot,
    /// The ballot of the chosen record that the entry extends; zero claims nothing.
    pub base: Ballot,
    /// The encoded entry.
    pub entry: &'a [u8],
    /// Whether that is a delta.
    pub is_delta: bool,
}

impl<'a> AcceptMessage<'a> {
    /// Reads an Accept, all of it. None: it is none, or malformed; [`PeerMessage::decode`] tells which.
    pub fn read(bytes: &'a [u8]) -> Option<AcceptMessage<'a>> {
        if !matches!(bytes.first(), Some(&(ACCEPT | ACCEPT_DELTA))) {
            return None;
        }
        AcceptMessage::take(Reader::new(bytes, "peer message")).ok()
    }

    fn take(mut reader: Reader<'a>) -> Result<AcceptMessage<'a>, Malformed> {
        let is_delta = reader.u8()? == ACCEPT_DELTA;
        let sender = take_sender(&mut reader)?;
        let (slot, key) = (reader.u16()?, reader.bytes()?);
        let (ballot, base, entry) = (reader.ballot()?, reader.ballot()?, reader.bytes()?);
        if slot >= SLOTS || ballot.is_zero() {
            return Err(reader.malformed());
        }
        reader.end()?;
        Ok(AcceptMessage { sender, slot, key, ballot, base, entry, is_delta })
    }
}

/// The slot and key of a request about one entity: what its receiver will look up. Nothing else of it is checked.
pub(crate) fn asked_for(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let mut reader = Reader::new(bytes, "peer message");
    if !matches!(reader.u8().ok()?, PREPARE | ACCEPT | ACCEPT_DELTA | RESTAMP | QUERY) {
        return None;
    }
    take_sender(&mut reader).ok()?;
    let slot = reader.u16().ok().filter(|slot| *slot < SLOTS)?;
    Some((slot, reader.bytes().ok()?))
}

fn take_sender(reader: &mut Reader<'_>) -> Result<Sender, Malformed> {
    let (epoch, incarnation, flush) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let sender = Sender { epoch, incarnation, flush, catalog: reader.varint()? };
    if sender.flush > FLUSH_EPOCH_MAX || sender.catalog > VERSION_MAX {
        return Err(reader.malformed());
    }
    Ok(sender)
}

fn put_id(out: &mut Vec<u8>, id: CommandId) {
    out.extend_from_slice(&id.node.to_le_bytes());
    out.extend_from_slice(&id.incarnation.to_le_bytes());
    out.extend_from_slice(&id.seq.to_le_bytes());
}

fn take_id(reader: &mut Reader<'_>) -> Result<CommandId, Malformed> {
    Ok(CommandId { node: reader.u32()?, incarnation: reader.u32()?, seq: reader.u64()? })
}

fn put_forward(out: &mut Vec<u8>, forward: &Forward<'_>) {
    put_id(out, forward.id);
    out.extend_from_slice(&forward.to_incarnation.to_le_bytes());
    out.extend_from_slice(&forward.settled_below.to_le_bytes());
    out.extend_from_slice(&forward.remaining_ms.to_le_bytes());
    out.extend_from_slice(forward.command);
}

fn take_forward<'a>(mut reader: Reader<'a>) -> Result<Forward<'a>, Malformed> {
    let id = take_id(&mut reader)?;
    let to_incarnation = reader.u32()?;
    let (settled_below, remaining_ms) = (reader.u64()?, reader.u32()?);
    Ok(Forward { id, to_incarnation, settled_below, remaining_ms, command: reader.rest() })
}

fn paxos_type(message: &Message<Held>) -> u8 {
    match message {
        Message::Prepare { .. } => PREPARE,
        Message::Promise { .. } => PROMISE,
        Message::Accept { entry: Held::Delta(_), .. } => ACCEPT_DELTA,
        Message::Accept { .. } => ACCEPT,
        Message::Restamp { .. } => RESTAMP,
        Message::Accepted { .. } => ACCEPTED,
        Message::Reject { .. } => REJECT,
        Message::NeedBase { .. } => NEED_BASE,
        Message::Query { .. } => QUERY,
        Message::State { .. } => STATE,
    }
}

fn put_paxos(out: &mut Vec<u8>, message: &Message<Held>) {
    match message {
        Message::Prepare { ballot, holds } => [ballot, holds].into_iter().for_each(|b| put_ballot(out, *b)),
        Message::Promise { ballot, report } => {
            put_ballot(out, *ballot);
            put_report(out, report);
        }
        Message::Accept { ballot, base, entry } => {
            put_ballot(out, *ballot);
            put_ballot(out, *base);
            put_entry(out, entry);
        }
        Message::Restamp { ballot, of } => [ballot, of].into_iter().for_each(|b| put_ballot(out, *b)),
        Message::Accepted { ballot } | Message::NeedBase { ballot } => put_ballot(out, *ballot),
        Message::Reject { ballot, promised, accepted, chosen_to, floor } => {
            [ballot, promised, accepted, chosen_to, floor].into_iter().for_each(|b| put_ballot(out, *b));
        }
        Message::Query { id, holds } => {
            out.extend_from_slice(&id.to_le_bytes());
            put_ballot(out, *holds);
        }
        Message::State { id, report } => {
            out.extend_from_slice(&id.to_le_bytes());
            put_report(out, report);
        }
    }
}

fn take_paxos(kind: u8, reader: &mut Reader<'_>) -> Result<Message<Held>, Malformed> {
    Ok(match kind {
        PREPARE => Message::Prepare { ballot: reader.ballot()?, holds: reader.ballot()? },
        PROMISE => Message::Promise { ballot: reader.ballot()?, report: take_report(reader)? },
        ACCEPT | ACCEPT_DELTA => {
            let (ballot, base) = (reader.ballot()?, reader.ballot()?);
            if ballot.is_zero() {
                return Err(reader.malformed());
            }
            let bytes = Bytes::from(reader.bytes()?);
            let entry = if kind == ACCEPT { Held::Here(bytes) } else { Held::Delta(bytes) };
            Message::Accept { ballot, base, entry }
        }
        RESTAMP => {
            let (ballot, of) = (reader.ballot()?, reader.ballot()?);
            if ballot.is_zero() {
                return Err(reader.malformed());
            }
            Message::Restamp { ballot, of }
        }
        ACCEPTED => Message::Accepted { ballot: reader.ballot()? },
        REJECT => Message::Reject {
            ballot: reader.ballot()?,
            promised: reader.ballot()?,
            accepted: reader.ballot()?,
            chosen_to: reader.ballot()?,
            floor: reader.ballot()?,
        },
        NEED_BASE => Message::NeedBase { ballot: reader.ballot()? },
        QUERY => Message::Query { id: reader.u64()?, holds: reader.ballot()? },
        STATE => Message::State { id: reader.u64()?, report: take_report(reader)? },
        _ => return Err(reader.malformed()),
    })
}

fn put_entry(out: &mut Vec<u8>, entry: &Held) {
    match entry {
        Held::Delta(delta) => put_bytes(out, delta),
        entry => put_bytes(out, entry.bytes().expect("an entry is loaded before it is sent")),
    }
}

fn put_report(out: &mut Vec<u8>, report: &Report<Held>) {
    put_ballot(out, report.accepted);
    put_ballot(out, report.chosen_to);
    out.push(u8::from(report.taken_over));
    out.push(u8::from(report.entry.is_some()));
    if let Some(entry) = &report.entry {
        put_entry(out, entry);
    }
}

fn take_report(reader: &mut Reader<'_>) -> Result<Report<Held>, Malformed> {
    let (accepted, chosen_to) = (reader.ballot()?, reader.ballot()?);
    let flag = |byte: u8, reader: &Reader<'_>| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed()),
    };
    let byte = reader.u8()?;
    let taken_over = flag(byte, reader)?;
    let byte = reader.u8()?;
    let entry = if flag(byte, reader)? { Some(Held::Here(Bytes::from(reader.bytes()?))) } else { None };
    Ok(Report { accepted, chosen_to, taken_over, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_read_in_short_says_the_same() {
        let sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 1 << 20 };
        let (ballot, base) = (Ballot::new(5, 2, 9), Ballot::new(4, 2, 9));
        let entry = Held::Here(Bytes::from(&b"entry"[..]));
        let message = Message::Accept { ballot, base, entry };
        let mut bytes = Vec::new();
        PeerMessage::Paxos { slot: 3, key: b"key", message }.encode(sender, &mut bytes);
        let accept =
            AcceptMessage { sender, slot: 3, key: b"key", ballot, base, entry: b"entry", is_delta: false };
        assert_eq!(AcceptMessage::read(&bytes), Some(accept));
        assert_eq!(asked_for(&bytes), Some((3, &b"key"[..])));
        for cut in 0..bytes.len() {
            assert_eq!(AcceptMessage::read(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(AcceptMessage::read(&bytes), None);
        let mut other = Vec::new();
        let message = Message::Accepted { ballot };
        PeerMessage::Paxos { slot: 3, key: b"key", message }.encode(sender, &mut other);
        assert_eq!((AcceptMessage::read(&other), asked_for(&other)), (None, None));
    }
}
