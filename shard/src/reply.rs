//! What a command answers: the value model of RESP2 and RESP3. Encoding it is the front end's work.

use std::borrow::Cow;

use crate::command::limits::REPLY_DEPTH_MAX;
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// A reply, owned, so that it can cross cores.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK` and other one-line texts.
    Simple(Cow<'static, str>),
    /// An error: code and text, such as `ERR no such key`, without the leading `-` and without line breaks.
    Error(Cow<'static, str>),
    /// A signed integer.
    Int(i64),
    /// No value: `$-1` in RESP2, `_` in RESP3.
    Nil,
    /// No list: `*-1` in RESP2, `_` in RESP3.
    NilArray,
    /// Bytes.
    Bulk(Vec<u8>),
    /// Text with a format of its own: a bulk in RESP2, `=txt:` in RESP3.
    Verbatim(String),
    /// A floating-point number: a bulk in RESP2, `,` in RESP3.
    Double(f64),
    /// A truth value: `:0`/`:1` in RESP2, `#f`/`#t` in RESP3.
    Bool(bool),
    /// A list.
    Array(Vec<Reply>),
    /// Pairs, in order: a flat list in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// Pairs, in order: a list of lists of two in RESP3, a flat list in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// Distinct members, in order: a list in RESP2.
    Set(Vec<Reply>),
    /// An out-of-band message: RESP3 alone.
    Push(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    pub const OK: Reply = Reply::Simple(Cow::Borrowed("OK"));

    /// An error with a fixed text.
    pub const fn error(text: &'static str) -> Reply {
        Reply::Error(Cow::Borrowed(text))
    }

    /// A bulk copied from bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    /// How many bytes [`Reply::encode`] appends, or one or two more.
    pub fn encoded_bytes(&self) -> usize {
        let list = |items: &[Reply]| items.iter().map(Reply::encoded_bytes).sum();
        let inside: usize = match self {
            Reply::Simple(text) | Reply::Error(text) => text.len(),
            Reply::Bulk(bytes) => bytes.len(),
            Reply::Verbatim(text) => text.len(),
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(items),
            Reply::Map(pairs) | Reply::Pairs(pairs) => {
                pairs.iter().map(|(one, other)| one.encoded_bytes() + other.encoded_bytes()).sum()
            }
            Reply::Int(_) => 9,
            Reply::Double(_) => 8,
            Reply::Nil | Reply::NilArray | Reply::Bool(_) => 1,
        };
        // The tag, and how long it is.
        1 + (usize::BITS - inside.leading_zeros()).div_ceil(7).max(1) as usize + inside
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }
}

/// A double as text: the shortest digits that read back the same, with an exponent where plain digits would
/// be long.
pub fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (1e-5..1e17).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => text,
    }
}

/// Tags of the compact form. They are part of the peer protocol: numbers are never used anew.
mod tag {
    pub const SIMPLE: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const INT: u8 = 2;
    pub const NIL: u8 = 3;
    pub const NIL_ARRAY: u8 = 4;
    pub const BULK: u8 = 5;
    pub const VERBATIM: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BOOL: u8 = 8;
    pub const ARRAY: u8 = 9;
    pub const MAP: u8 = 10;
    pub const SET: u8 = 11;
    pub const PUSH: u8 = 12;
    /// `+OK`, the most frequent reply of all, is its tag alone.
    pub const OK: u8 = 13;
    pub const PAIRS: u8 = 14;
}

impl Reply {
    /// Appends the compact form, in which replies travel between hosts: a tag, then a number, counted bytes or a
    /// counted list. The caller frames it and versions the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(text) if text == "OK" => out.push(tag::OK),
            Reply::Simple(text) => put_tagged(out, tag::SIMPLE, text.as_bytes()),
            Reply::Error(text) => put_tagged(out, tag::ERROR, text.as_bytes()),
            Reply::Int(number) => {
                out.push(tag::INT);
                put_varint(out, zigzag(*number));
            }
            Reply::Nil => out.push(tag::NIL),
            Reply::NilArray => out.push(tag::NIL_ARRAY),
            Reply::Bulk(bytes) => put_tagged(out, tag::BULK, bytes),
            Reply::Verbatim(text) => put_tagged(out, tag::VERBATIM, text.as_bytes()),
            Reply::Double(number) => {
                out.push(tag::DOUBLE);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Reply::Bool(truth) => out.extend_from_slice(&[tag::BOOL, u8::from(*truth)]),
            Reply::Array(items) => put_list(out, tag::ARRAY, items),
            Reply::Set(items) => put_list(out, tag::SET, items),
            Reply::Push(items) => put_list(out, tag::PUSH, items),
            Reply::Map(pairs) => put_pairs(out, tag::MAP, pairs),
            Reply::Pairs(pairs) => put_pairs(out, tag::PAIRS, pairs),
        }
    }

    /// Reads what [`Reply::encode`] wrote, and nothing else: all bytes must belong to the reply.
    pub fn decode(bytes: &[u8]) -> Result<Reply, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reply = take(&mut reader, REPLY_DEPTH_MAX)?;
        reader.end()?;
        Ok(reply)
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_bytes(out, bytes);
}

fn put_list(out: &mut Vec<u8>, tag: u8, items: &[Reply]) {
    out.push(tag);
    put_varint(out, items.len() as u64);
    for item in items {
        item.encode(out);
    }
}

fn put_pairs(out: &mut Vec<u8>, tag: u8, pairs: &[(Reply, Reply)]) {
    out.push(tag);
    put_varint(out, pairs.len() as u64);
    for (one, other) in pairs {
        one.encode(out);
        other.encode(out);
    }
}

/// Small magnitudes become small numbers: 0, -1, 1, -2 are 0, 1, 2, 3.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn take(reader: &mut Reader<'_>, depth: usize) -> Result<Reply, DecodeError> {
    Ok(match reader.byte()? {
        tag::OK => Reply::OK,
        tag::SIMPLE => Reply::Simple(line(reader)?.into()),
        tag::ERROR => Reply::Error(line(reader)?.into()),
        tag::INT => Reply::Int(unzigzag(reader.varint()?)),
        tag::NIL => Reply::Nil,
        tag::NIL_ARRAY => Reply::NilArray,
        tag::BULK => Reply::Bulk(reader.bytes()?.to_vec()),
        tag::VERBATIM => Reply::Verbatim(text(reader)?),
        tag::DOUBLE => {
            let bytes = reader.take(8)?.try_into().map_err(|_| DecodeError::Truncated)?;
            Reply::Double(f64::from_bits(u64::from_le_bytes(bytes)))
        }
        tag::BOOL => match reader.byte()? {
            0 => Reply::Bool(false),
            1 => Reply::Bool(true),
            _ => return Err(DecodeError::Malformed),
        },
        tag::ARRAY => Reply::Array(list(reader, depth)?),
        tag::SET => Reply::Set(list(reader, depth)?),
        tag::PUSH => Reply::Push(list(reader, depth)?),
        tag::MAP => Reply::Map(pairs(reader, depth)?),
        tag::PAIRS => Reply::Pairs(pairs(reader, depth)?),
        _ => return Err(DecodeError::Malformed),
    })
}

/// Nothing is reserved ahead: the vector grows with what is really there.
fn pairs(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<(Reply, Reply)>, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let count = reader.count()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((take(reader, depth)?, take(reader, depth)?));
    }
    Ok(pairs)
}

fn list(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Reply>, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let count = reader.count()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(take(reader, depth)?);
    }
    Ok(items)
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| DecodeError::Malformed)
}

/// A text that is to be one line of RESP: a line break in it would let a peer forge replies to a client.
fn line(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = text(reader)?;
    if text.contains(['\r', '\n']) {
        return Err(DecodeError::Malformed);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Reply> {
        let flat = vec![
            Reply::OK,
            Reply::Simple("PONG".into()),
            Reply::error("ERR no such key"),
            Reply::Int(0),
            Reply::Int(-1),
            Reply::Int(i64::MAX),
            Reply::Int(i64::MIN),
            Reply::Nil,
            Reply::NilArray,
            Reply::bulk("a\r\nb\0"),
            Reply::bulk(vec![7; 300]),
            Reply::Verbatim("text\n".into()),
            Reply::Double(-0.5),
            Reply::Double(f64::INFINITY),
            Reply::Bool(true),
            Reply::Bool(false),
        ];
        let pairs: Vec<_> = flat.iter().cloned().zip(flat.iter().rev().cloned()).collect();
        let mut all = flat.clone();
        all.extend([
            Reply::Array(flat.clone()),
            Reply::Set(flat.clone()),
            Reply::Push(vec![]),
            Reply::Map(pairs.clone()),
            Reply::Pairs(pairs),
        ]);
        all.push(Reply::Array(all.clone()));
        all
    }

    #[test]
    fn replies_come_back() {
        for reply in samples() {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            assert_eq!(Reply::decode(&bytes).as_ref(), Ok(&reply));
            bytes.push(0);
            assert_eq!(Reply::decode(&bytes), Err(DecodeError::Trailing));
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let mut bytes = Vec::new();
        Reply::Array(samples()).encode(&mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(Reply::decode(&bytes[..end]), Err(DecodeError::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let deep = [tag::ARRAY, 1].repeat(100_000);
        let table: [(&[u8], DecodeError); 7] = [
            (&[99], DecodeError::Malformed),
            (&[tag::BOOL, 2], DecodeError::Malformed),
            (&[tag::SIMPLE, 2, b'a', b'\n'], DecodeError::Malformed),
            (&[tag::ERROR, 1, 0xFF], DecodeError::Malformed),
            (&[tag::ARRAY, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], DecodeError::Truncated),
            (&[tag::BULK, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], DecodeError::Truncated),
            (&deep, DecodeError::TooDeep),
        ];
        for (bytes, want) in table {
            assert_eq!(Reply::decode(bytes), Err(want));
        }
    }

    #[test]
    fn doubles_read_back_and_stay_short() {
        let table = [
            (0.0, "0"),
            (3.0, "3"),
            (-2.25, "-2.25"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (1.5e-9, "1.5e-9"),
            (f64::NAN, "nan"),
        ];
        for (value, want) in table {
            assert_eq!(format_double(value), want);
        }
    }

    #[test]
    fn zigzag_has_an_inverse() {
        for (number, coded) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!(zigzag(number), coded);
            assert_eq!(unzigzag(coded), number);
        }
    }
}
