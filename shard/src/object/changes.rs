//! Changes of objects: what is left of commands when time, chance and conditions are decided (docs/design/collections.md).
//!
//! While a batch runs, an object that *takes notes* says in the end what becomes of it: a list of changes, newest first, each with the digest of the
//! object after it. The list is as persistent as the object: a copy of the object has the notes that were there, and takes further ones of its
//! own, so a command that is refused leaves none. An object without notes takes none and costs nothing.
//!
//! The same changes on the same object give the same object, in every version of the program. Each has one spelling: a push is no insertion at
//! an end, and pops that follow each other are one. What cannot be applied is a [`Misfit`]: the changes are of another object.

use std::fmt;
use std::rc::Rc;

use super::{element_bytes, varint_bytes, Element, Score};
use crate::command::{put_bytes, put_varint, DecodeError, End, Reader};

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A hash's field has this value.
    SetField(Element, Element),
    /// A hash has this field no more.
    RemoveField(Element),
    /// A set has this member, which it had not.
    AddMember(Element),
    /// A set has this member no more.
    RemoveMember(Element),
    /// A sorted set's member has this score.
    SetScore(Element, Score),
    /// A sorted set has this member no more.
    RemoveScored(Element),
    /// A sorted set has the members from this rank on no more, so many of them.
    RemoveRanks(usize, usize),
    /// A list has one more element at an end.
    Push(End, Element),
    /// A list has so many elements less at an end.
    Pop(End, usize),
    /// A list has another element at a place.
    Replace(usize, Element),
    /// A list has one more element before the one at a place, which is not the first.
    Insert(usize, Element),
    /// A list has the element at a place no more, which is neither its first nor its last.
    RemoveAt(usize),
    /// A list has only the elements from this place on, so many of them.
    Keep(usize, usize),
}

/// A change does not fit the object that it is to be applied to: it is of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the changes are of another object")
    }
}

impl std::error::Error for Misfit {}

const SET_FIELD: u8 = 1;
const REMOVE_FIELD: u8 = 2;
const ADD_MEMBER: u8 = 3;
const REMOVE_MEMBER: u8 = 4;
const SET_SCORE: u8 = 5;
const REMOVE_SCORED: u8 = 6;
const REMOVE_RANKS: u8 = 7;
const PUSH_LEFT: u8 = 8;
const PUSH_RIGHT: u8 = 9;
const POP_LEFT: u8 = 10;
const POP_RIGHT: u8 = 11;
const REPLACE: u8 = 12;
const INSERT: u8 = 13;
const REMOVE_AT: u8 = 14;
const KEEP: u8 = 15;

impl Change {
    /// Bytes of the encoding.
    fn bytes(&self) -> usize {
        let arguments = match self {
            Change::SetField(field, value) => element_bytes(field) + element_bytes(value),
            Change::SetScore(member, _) => element_bytes(member) + size_of::<f64>(),
            Change::RemoveField(bytes)
            | Change::AddMember(bytes)
            | Change::RemoveMember(bytes)
            | Change::RemoveScored(bytes)
            | Change::Push(_, bytes) => element_bytes(bytes),
            Change::Replace(place, bytes) | Change::Insert(place, bytes) => {
                varint_bytes(*place) + element_bytes(bytes)
            }
            Change::RemoveRanks(from, count) | Change::Keep(from, count) => {
                varint_bytes(*from) + varint_bytes(*count)
            }
            Change::Pop(_, number) | Change::RemoveAt(number) => varint_bytes(*number),
        };
        1 + arguments
    }

    /// Appends the encoding: what it is, then numbers, and bytes behind their lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, number: usize| put_varint(out, number as u64);
        match self {
            Change::SetField(field, value) => {
                out.push(SET_FIELD);
                put_bytes(out, field);
                put_bytes(out, value);
            }
            Change::RemoveField(field) => put_named(out, REMOVE_FIELD, field),
            Change::AddMember(member) => put_named(out, ADD_MEMBER, member),
            Change::RemoveMember(member) => put_named(out, REMOVE_MEMBER, member),
            Change::SetScore(member, score) => {
                put_named(out, SET_SCORE, member);
                out.extend_from_slice(&score.to_bytes());
            }
            Change::RemoveScored(member) => put_named(out, REMOVE_SCORED, member),
            Change::RemoveRanks(from, count) => {
                out.push(REMOVE_RANKS);
                number(out, *from);
                number(out, *count);
            }
            Change::Push(End::Left, element) => put_named(out, PUSH_LEFT, element),
            Change::Push(End::Right, element) => put_named(out, PUSH_RIGHT, element),
            Change::Pop(end, count) => {
                out.push(if *end == End::Left { POP_LEFT } else { POP_RIGHT });
                number(out, *count);
            }
            Change::Replace(place, element) | Change::Insert(place, element) => {
                out.push(if matches!(self, Change::Insert(..)) { INSERT } else { REPLACE });
                number(out, *place);
                put_bytes(out, element);
            }
            Change::RemoveAt(place) => {
                out.push(REMOVE_AT);
                number(out, *place);
            }
            Change::Keep(from, count) => {
                out.push(KEEP);
                number(out, *from);
                number(out, *count);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Change, DecodeError> {
        let tag = reader.byte()?;
        Ok(match tag {
            SET_FIELD => Change::SetField(reader.bytes()?.into(), reader.bytes()?.into()),
            REMOVE_FIELD => Change::RemoveField(reader.bytes()?.into()),
            ADD_MEMBER => Change::AddMember(reader.bytes()?.into()),
            REMOVE_MEMBER => Change::RemoveMember(reader.bytes()?.into()),
            SET_SCORE => Change::SetScore(reader.bytes()?.into(), take_score(reader)?),
            REMOVE_SCORED => Change::RemoveScored(reader.bytes()?.into()),
            REMOVE_RANKS => Change::RemoveRanks(take_number(reader)?, take_positive(reader)?),
            PUSH_LEFT => Change::Push(End::Left, reader.bytes()?.into()),
            PUSH_RIGHT => Change::Push(End::Right, reader.bytes()?.into()),
            POP_LEFT => Change::Pop(End::Left, take_positive(reader)?),
            POP_RIGHT => Change::Pop(End::Right, take_positive(reader)?),
            REPLACE => Change::Replace(take_number(reader)?, reader.bytes()?.into()),
            INSERT => Change::Insert(take_positive(reader)?, reader.bytes()?.into()),
            REMOVE_AT => Change::RemoveAt(take_positive(reader)?),
            KEEP => Change::Keep(take_number(reader)?, take_positive(reader)?),
            _ => return Err(DecodeError::Malformed),
        })
    }

    /// Goes through an encoding, all of it.
    pub fn each(bytes: &[u8], mut each: impl FnMut(Change) -> Result<(), Misfit>) -> Result<(), Misfit> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut reader = Reader::new(rest);
            each(Change::take(&mut reader).map_err(|_| Misfit)?)?;
            rest = reader.rest();
        }
        Ok(())
    }

    /// Whether bytes are an encoding of changes, of which there may be none, without making copies.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut reader = Reader::new(rest);
            match reader.byte()? {
                SET_FIELD => drop((reader.bytes()?, reader.bytes()?)),
                SET_SCORE => drop((reader.bytes()?, take_score(&mut reader)?)),
                REMOVE_FIELD | ADD_MEMBER | REMOVE_MEMBER | REMOVE_SCORED | PUSH_LEFT | PUSH_RIGHT => {
                    let _ = reader.bytes()?;
                }
                REMOVE_RANKS | KEEP => drop((take_number(&mut reader)?, take_positive(&mut reader)?)),
                POP_LEFT | POP_RIGHT | REMOVE_AT => drop(take_positive(&mut reader)?),
                REPLACE => drop((take_number(&mut reader)?, reader.bytes()?)),
                INSERT => drop((take_positive(&mut reader)?, reader.bytes()?)),
                _ => return Err(DecodeError::Malformed),
            }
            rest = reader.rest();
        }
        Ok(())
    }
}

fn put_named(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_bytes(out, bytes);
}

fn take_number(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    usize::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)
}

fn take_positive(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    take_number(reader).and_then(|number| if number > 0 { Ok(number) } else { Err(DecodeError::Malformed) })
}

fn take_score(reader: &mut Reader<'_>) -> Result<Score, DecodeError> {
    let bits = reader.take(size_of::<f64>())?.try_into().expect("so many were taken");
    Score::from_bytes(bits).ok_or(DecodeError::Malformed)
}

/// What is noted of an object: nothing, or its digest and what became of it since it takes notes. No part of what the object is.
#[derive(Clone, Default)]
pub struct Notes(Option<Rc<Note>>);

/// The newest of the notes, which has the others behind it.
struct Note {
    /// Of the object as it is with this change. None: it is to be made anew, because keeping it up would cost more than that.
    digest: Option<u64>,
    /// Terms that were gone through for lists, beyond those of what came and went.
    terms: usize,
    /// Bytes of all changes, and how many they may be; None: they were more, and are forgotten.
    bytes: Option<usize>,
    bytes_max: usize,
    change: Option<Change>,
    before: Option<Rc<Note>>,
}

impl Drop for Note {
    /// One after the other: there may be many.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut note) = next.and_then(|note| Rc::try_unwrap(note).ok()) {
            next = note.before.take();
        }
    }
}

impl Notes {
    /// Begins to note changes of an object with this digest, as long as their encoding has no more than so many bytes.
    pub(crate) fn begin(&mut self, digest: u64, bytes_max: usize) {
        let digest = Some(digest);
        let (change, before) = (None, None);
        self.0 = Some(Rc::new(Note { digest, terms: 0, bytes: Some(0), bytes_max, change, before }));
    }

    /// The digest of the object, where it is at hand.
    pub(super) fn digest(&self) -> Option<u64> {
        self.0.as_ref()?.digest
    }

    /// The digest before a change for which it has to go through so many terms beyond those of what comes or goes, of so many in all. None:
    /// that would come to more than making it anew.
    pub(super) fn digest_for(&self, terms: usize, terms_max: usize) -> Option<u64> {
        let newest = self.0.as_ref()?;
        newest.digest.filter(|_| newest.terms.saturating_add(terms) <= terms_max)
    }

    /// Notes a change, where the object takes notes, and what it makes of the digest.
    pub(super) fn add(&mut self, change: impl FnOnce() -> Change, digest: impl FnOnce(u64) -> u64) {
        let digest = self.digest().map(digest);
        self.put(change, digest, 0);
    }

    /// Notes a change, where the object takes notes, with the digest after it, for which so many terms were gone through beyond those of what
    /// came or went.
    pub(super) fn put(&mut self, change: impl FnOnce() -> Change, digest: Option<u64>, terms: usize) {
        let Some(last) = self.0.take() else { return };
        let (terms, bytes_max) = (last.terms.saturating_add(terms), last.bytes_max);
        let noted = last.bytes.and_then(|so_far| {
            let (change, before, so_far) = match (&last.change, change()) {
                (Some(Change::Pop(end, many)), Change::Pop(other, more)) if *end == other => {
                    let one = Change::Pop(other, many + more);
                    (one, last.before.clone(), so_far - Change::Pop(other, *many).bytes())
                }
                (_, change) => (change, Some(last.clone()), so_far),
            };
            let bytes = so_far + change.bytes();
            (bytes <= bytes_max).then_some((change, before, bytes))
        });
        let note = match noted {
            Some((change, before, bytes)) => {
                Note { digest, terms, bytes: Some(bytes), bytes_max, change: Some(change), before }
            }
            None => Note { digest, terms, bytes: None, bytes_max, change: None, before: None },
        };
        self.0 = Some(Rc::new(note));
    }

    /// The encoding of what became of the object since it takes notes, if that is not more than it may be.
    pub fn encoded(&self) -> Option<Vec<u8>> {
        let newest = self.0.as_ref()?;
        let bytes = newest.bytes?;
        let (mut changes, mut next) = (Vec::new(), Some(newest));
        while let Some(note) = next {
            changes.extend(&note.change);
            next = note.before.as_ref();
        }
        let mut out = Vec::with_capacity(bytes);
        changes.into_iter().rev().for_each(|change| change.encode(&mut out));
        assert!(out.len() == bytes, "the bytes of changes are known before");
        Some(out)
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Notes").field(&self.0.is_some()).finish()
    }
}

/// What is noted of objects says nothing of what they are.
impl PartialEq for Notes {
    fn eq(&self, _: &Notes) -> bool {
        true
    }
}

impl Eq for Notes {}
