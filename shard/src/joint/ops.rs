//! The steps of joint commands, each on one key.

use reactor::mutants::planted;

use super::ties::{
    put_writes, take_writes, writes_bytes, Claim, Decision, JointId, Snapshot, Ties, Write, Writes,
};
use crate::command::{put_bytes, put_varint, DecodeError, Numbered, Reader};
use crate::reply::Reply;
use crate::requests::Remembered;
use crate::state::State;

/// One step of a joint command at one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JointOp {
    /// Reads the whole key: a [`Snapshot`].
    Fetch,
    /// Reads the version of its record.
    Peek,
    /// Claims it, and reads it: a [`Snapshot`], or nil where it is claimed by another, or has too many decisions.
    Claim {
        /// For whom.
        id: JointId,
        /// Which key decides.
        anchor: Box<[u8]>,
        /// The request that this is, at the anchor: if it was done before it is not claimed, and the answer is a list with what was answered then.
        request: Option<Numbered>,
    },
    /// At the anchor: it happens. 1, or 0 where the claim is gone.
    Decide {
        /// Which one.
        id: JointId,
        /// What the anchor becomes; None: it stays as it is.
        write: Option<Write>,
        /// What is to be done at other keys.
        others: Writes,
        /// The request that this was, and its encoded reply.
        request: Option<(Numbered, Box<[u8]>)>,
    },
    /// Gives a claimed key back. 1, or 0 where the claim is gone.
    Release {
        /// Which one.
        id: JointId,
        /// What the key becomes; None: it stays as it is.
        write: Option<Write>,
    },
    /// At the anchor: what became of it, for another of its keys. 0: nothing is known of it, or it does not write that key; 1: it is claimed; bytes: the
    /// [`Write`] of that key.
    Look {
        /// Which one.
        id: JointId,
        /// For which key.
        key: Box<[u8]>,
        /// A claim is dropped: it is given up.
        gives_up: bool,
    },
    /// At the anchor: what was to be done is done, at one key or (empty) at all.
    Forget {
        /// Which one.
        id: JointId,
        /// Where it is done.
        key: Option<Box<[u8]>>,
    },
}

const FETCH: u8 = 0;
const PEEK: u8 = 1;
const CLAIM: u8 = 2;
const DECIDE: u8 = 3;
const RELEASE: u8 = 4;
const LOOK: u8 = 5;
const GIVE_UP: u8 = 6;
const FORGET: u8 = 7;

impl JointOp {
    /// Whether it leaves everything as it is.
    pub fn is_read(&self) -> bool {
        matches!(self, JointOp::Fetch | JointOp::Peek | JointOp::Look { gives_up: false, .. })
    }

    /// Whether it waits while the key is claimed. Steps that may end a claim do not, and nobody waits who holds another key.
    pub fn waits(&self, own_key: &[u8]) -> bool {
        match self {
            JointOp::Fetch | JointOp::Peek => true,
            JointOp::Claim { anchor, .. } => **anchor == *own_key,
            JointOp::Decide { .. }
            | JointOp::Release { .. }
            | JointOp::Look { .. }
            | JointOp::Forget { .. } => false,
        }
    }

    /// Whether it may end a claim.
    pub(crate) fn may_end_claim(&self) -> bool {
        matches!(
            self,
            JointOp::Decide { .. } | JointOp::Release { .. } | JointOp::Look { gives_up: true, .. }
        )
    }

    /// Whether a full disk takes it nevertheless: it ends what was begun.
    pub(crate) fn goes_into_reserve(&self) -> bool {
        matches!(self, JointOp::Release { .. } | JointOp::Look { .. } | JointOp::Forget { .. })
    }

    /// Bytes of the arguments that can be long.
    pub(crate) fn bytes(&self) -> usize {
        let of = |write: &Option<Write>| write.as_ref().map_or(0, Write::bytes);
        match self {
            JointOp::Decide { write, others, request, .. } => {
                let reply = request.as_ref().map_or(0, |(request, reply)| request.client.len() + reply.len());
                writes_bytes(others) + of(write) + reply
            }
            JointOp::Release { write, .. } => of(write),
            JointOp::Claim { anchor, .. } => anchor.len(),
            JointOp::Look { key, .. } => key.len(),
            JointOp::Fetch | JointOp::Peek | JointOp::Forget { .. } => 0,
        }
    }

    /// Runs it.
    pub(crate) fn run(&self, state: &mut State, now_ms: u64) -> Reply {
        match self {
            JointOp::Fetch => snapshot(state),
            JointOp::Peek => Reply::Int(i64::try_from(state.version).unwrap_or(i64::MAX)),
            JointOp::Claim { id, anchor, request } => claim(state, *id, anchor, request.as_ref()),
            JointOp::Decide { id, write, others, request } => {
                let had = end_claim(state, *id, write.as_ref());
                if had && !others.is_empty() {
                    let decision = Decision { id: *id, writes: others.clone() };
                    state.ties.get_or_insert_default().decisions.push(decision);
                }
                if let (true, Some((request, reply))) = (had && is_new(state, request.as_ref()), request) {
                    state.requests.insert(&request.client, request.seq, reply, now_ms);
                }
                Reply::Int(had.into())
            }
            JointOp::Release { id, write } => Reply::Int(end_claim(state, *id, write.as_ref()).into()),
            JointOp::Look { id, key, gives_up } => look(state, *id, key, *gives_up),
            JointOp::Forget { id, key } => forget(state, *id, key.as_deref()),
        }
    }

    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let head = |out: &mut Vec<u8>, tag, id: &JointId| {
            out.push(tag);
            id.put(out);
        };
        match self {
            JointOp::Fetch => out.push(FETCH),
            JointOp::Peek => out.push(PEEK),
            JointOp::Claim { id, anchor, request } => {
                head(out, CLAIM, id);
                put_bytes(out, anchor);
                put_request(request.as_ref(), out);
            }
            JointOp::Decide { id, write, others, request } => {
                head(out, DECIDE, id);
                put_write(write.as_ref(), out);
                put_writes(others, out);
                put_request(request.as_ref().map(|(request, _)| request), out);
                put_bytes(out, request.as_ref().map_or(&[], |(_, reply)| reply));
            }
            JointOp::Release { id, write } => {
                head(out, RELEASE, id);
                put_write(write.as_ref(), out);
            }
            JointOp::Look { id, key, gives_up } => {
                head(out, if *gives_up { GIVE_UP } else { LOOK }, id);
                put_bytes(out, key);
            }
            JointOp::Forget { id, key } => {
                head(out, FORGET, id);
                out.push(u8::from(key.is_some()));
                put_bytes(out, key.as_deref().unwrap_or_default());
            }
        }
    }

    /// Reads an encoding, all of it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<JointOp, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.byte()?;
        let op = match tag {
            FETCH => JointOp::Fetch,
            PEEK => JointOp::Peek,
            _ => JointOp::decode_own(tag, JointId::take(&mut reader)?, &mut reader)?,
        };
        reader.end()?;
        Ok(op)
    }

    fn decode_own(tag: u8, id: JointId, reader: &mut Reader<'_>) -> Result<JointOp, DecodeError> {
        Ok(match tag {
            CLAIM => JointOp::Claim { id, anchor: reader.bytes()?.into(), request: take_request(reader)? },
            DECIDE => {
                let (write, others) = (take_write(reader)?, take_writes(reader)?);
                let (request, reply) = (take_request(reader)?, reader.bytes()?);
                if request.is_none() && !reply.is_empty() {
                    return Err(DecodeError::Malformed);
                }
                JointOp::Decide { id, write, others, request: request.map(|request| (request, reply.into())) }
            }
            RELEASE => JointOp::Release { id, write: take_write(reader)? },
            LOOK | GIVE_UP => JointOp::Look { id, key: reader.bytes()?.into(), gives_up: tag == GIVE_UP },
            FORGET => {
                let key = (reader.byte()?, reader.bytes()?);
                match key {
                    (0, []) => JointOp::Forget { id, key: None },
                    (1, key) => JointOp::Forget { id, key: Some(key.into()) },
                    _ => return Err(DecodeError::Malformed),
                }
            }
            _ => return Err(DecodeError::Malformed),
        })
    }
}

/// Whether a request is not known yet. It was not when the key was claimed, and nothing came between.
fn is_new(state: &State, request: Option<&(Numbered, Box<[u8]>)>) -> bool {
    request.is_none_or(|(request, _)| state.requests.find(&request.client, request.seq) == Remembered::New)
}

fn put_write(write: Option<&Write>, out: &mut Vec<u8>) {
    out.push(u8::from(write.is_some()));
    write.into_iter().for_each(|write| write.put(out));
}

fn take_write(reader: &mut Reader<'_>) -> Result<Option<Write>, DecodeError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => Write::take(reader).map(Some),
        _ => Err(DecodeError::Malformed),
    }
}

/// A client's name is not empty: without a request it is.
fn put_request(request: Option<&Numbered>, out: &mut Vec<u8>) {
    put_bytes(out, request.map_or(&[], |request| &request.client));
    put_varint(out, request.map_or(0, |request| request.seq));
}

fn take_request(reader: &mut Reader<'_>) -> Result<Option<Numbered>, DecodeError> {
    let (client, seq) = (reader.bytes()?, reader.varint()?);
    match (client, seq) {
        ([], 0) => Ok(None),
        _ => Numbered::new(client, seq).map(Some).ok_or(DecodeError::Malformed),
    }
}

fn snapshot(state: &State) -> Reply {
    Reply::Bulk(Snapshot { version: state.version, is: Write::of(state) }.encoded())
}

fn claim(state: &mut State, id: JointId, anchor: &[u8], request: Option<&Numbered>) -> Reply {
    match state.claim() {
        Some(claim) if claim.id == id => return snapshot(state),
        Some(_) => return Reply::Nil,
        None => {}
    }
    let remembered =
        request.map_or(Remembered::New, |request| state.requests.find(&request.client, request.seq));
    match remembered {
        Remembered::New => {}
        Remembered::Done(reply) => {
            return Reply::Array(vec![crate::command::reply_before(reply.as_deref())]);
        }
        Remembered::Forgotten => return Reply::Array(vec![crate::command::REQUEST_FORGOTTEN]),
    }
    if state.ties.as_ref().is_some_and(|ties| ties.is_full()) {
        return Reply::Nil;
    }
    state.ties.get_or_insert_default().claim = Some(Claim { id, anchor: anchor.into() });
    state.note_ties();
    snapshot(state)
}

/// Ends the claim of a joint command, and makes the key what it is to be; false: there is no such claim, and nothing changed.
fn end_claim(state: &mut State, id: JointId, write: Option<&Write>) -> bool {
    if state.claim().is_none_or(|claim| claim.id != id) {
        if planted(505) {
            write.into_iter().for_each(|write| write.put_into(state));
            return true;
        }
        return false;
    }
    if let Some(ties) = &mut state.ties {
        ties.claim = None;
    }
    if let Some(write) = write {
        write.put_into(state);
    }
    state.note_ties();
    true
}

fn look(state: &mut State, id: JointId, key: &[u8], gives_up: bool) -> Reply {
    if state.claim().is_some_and(|claim| claim.id == id) {
        return match gives_up {
            true => Reply::Int(i64::from(!end_claim(state, id, None))),
            false => Reply::Int(1),
        };
    }
    let write = state.ties.as_ref().and_then(|ties| ties.write_of(id, key));
    write.map_or(Reply::Int(0), |write| Reply::Bulk(write.encoded()))
}

fn forget(state: &mut State, id: JointId, key: Option<&[u8]>) -> Reply {
    let Some(ties) = &mut state.ties else { return Reply::Int(0) };
    let count = |ties: &Ties| ties.decisions.iter().map(|decision| decision.writes.len()).sum::<usize>();
    let before = count(ties);
    for decision in ties.decisions.iter_mut().filter(|decision| decision.id == id) {
        decision.writes.retain(|(other, _)| key.is_some_and(|key| **other != *key));
    }
    ties.decisions.retain(|decision| !decision.writes.is_empty());
    let forgotten = before - count(ties);
    if forgotten > 0 {
        state.note_ties();
    }
    Reply::Int(i64::from(forgotten > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Value;

    fn id(seq: u64) -> JointId {
        JointId { node: 3, incarnation: 9, seq }
    }

    fn text(text: &str) -> Write {
        Write::of(&State { value: Some(Value::Str(text.into())), ..State::default() })
    }

    fn claim_of(seq: u64, anchor: &[u8]) -> JointOp {
        JointOp::Claim { id: id(seq), anchor: anchor.into(), request: None }
    }

    #[test]
    fn steps_come_back_from_their_bytes() {
        let key = || Box::from(&b"k"[..]);
        let others = vec![(key(), text("v")), (key(), Write::default())];
        let request = || Numbered::new(b"me", 7).expect("a name and a number");
        let steps = [
            JointOp::Fetch,
            JointOp::Peek,
            claim_of(1, b"k"),
            JointOp::Claim { id: id(1 << 40), anchor: key(), request: Some(request()) },
            JointOp::Decide { id: id(1), write: None, others: others.clone(), request: None },
            JointOp::Decide {
                id: id(1),
                write: Some(text("x")),
                others,
                request: Some((request(), Box::from(&b"OK"[..]))),
            },
            JointOp::Release { id: id(1), write: None },
            JointOp::Release { id: id(1), write: Some(Write::default()) },
            JointOp::Look { id: id(1), key: key(), gives_up: true },
            JointOp::Look { id: id(1), key: key(), gives_up: false },
            JointOp::Forget { id: id(1), key: None },
            JointOp::Forget { id: id(1), key: Some(key()) },
        ];
        for step in steps {
            let mut bytes = Vec::new();
            step.encode(&mut bytes);
            assert_eq!(JointOp::decode(&bytes), Ok(step.clone()));
            bytes.push(0);
            assert!(JointOp::decode(&bytes).is_err(), "{step:?}");
        }
    }

    #[test]
    fn a_claim_changes_no_version_and_a_decision_does() {
        let mut state = State { value: Some(Value::Str(b"old".to_vec())), version: 7, ..State::default() };
        let Reply::Bulk(bytes) = claim_of(1, b"a").run(&mut state, 0) else { panic!("a snapshot") };
        assert_eq!(Snapshot::decode(&bytes), Ok(Snapshot { version: 7, is: text("old") }));
        assert!(state.has_noted && !state.changed && state.version == 7);
        assert_eq!(claim_of(2, b"a").run(&mut state, 0), Reply::Nil);
        let others = vec![((*b"b").into(), text("there"))];
        let decide = JointOp::Decide { id: id(1), write: Some(text("new")), others, request: None };
        assert_eq!((decide.run(&mut state, 0), state.version), (Reply::Int(1), 8));
        assert_eq!(decide.run(&mut state, 0), Reply::Int(0));
        let look = |state: &mut State, key: &[u8]| {
            JointOp::Look { id: id(1), key: key.into(), gives_up: true }.run(state, 0)
        };
        assert_eq!(look(&mut state, b"b"), Reply::Bulk(text("there").encoded()));
        assert_eq!(look(&mut state, b"c"), Reply::Int(0));
        assert_eq!(JointOp::Forget { id: id(1), key: None }.run(&mut state, 0), Reply::Int(1));
        assert_eq!(look(&mut state, b"b"), Reply::Int(0));
        assert_eq!((state.ties, state.version), (None, 8));
    }

    #[test]
    fn a_numbered_one_is_decided_once() {
        let mut state = State::default();
        let request = Numbered::new(b"me", 7).expect("a name and a number");
        let claim =
            |seq| JointOp::Claim { id: id(seq), anchor: (*b"a").into(), request: Some(request.clone()) };
        assert!(matches!(claim(1).run(&mut state, 5), Reply::Bulk(_)));
        let mut reply = Vec::new();
        Reply::Int(3).encode(&mut reply);
        let request = Some((request.clone(), reply.into()));
        let decide = JointOp::Decide { id: id(1), write: Some(text("x")), others: Vec::new(), request };
        assert_eq!(decide.run(&mut state, 5), Reply::Int(1));
        assert_eq!(claim(2).run(&mut state, 5), Reply::Array(vec![Reply::Int(3)]));
        assert_eq!(state.ties, None, "it is not claimed for that");
    }
}
