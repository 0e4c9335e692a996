//! Reading and writing of the crate's byte formats. Bytes from outside are checked, and what does not fit is damage.

use num_bigint::BigInt;

use crate::datum::Datum;
use crate::error::Error;
use crate::numeric::Numeric;
use crate::types::{Type, TYPES};

pub(crate) fn put_count(count: u64, out: &mut Vec<u8>) {
    let mut rest = count;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len() as u64, out);
    out.extend(bytes);
}

/// A value that is not NULL; the reader knows its type.
pub(crate) fn put_value(value: &Datum, out: &mut Vec<u8>) {
    match value {
        Datum::Null => {}
        Datum::Bool(value) => out.push((*value).into()),
        Datum::Int(value) => out.extend(value.to_le_bytes()),
        Datum::BigInt(value) | Datum::Timestamp(value) => out.extend(value.to_le_bytes()),
        Datum::Numeric(value) => {
            put_count(value.scale().into(), out);
            put_bytes(&value.digits().to_signed_bytes_le(), out);
        }
        Datum::Double(value) => out.extend(value.to_bits().to_le_bytes()),
        Datum::Text(value) | Datum::Jsonb(value) => put_bytes(value.as_bytes(), out),
        Datum::Bytea(value) => put_bytes(value, out),
        Datum::Uuid(value) => out.extend(value),
    }
}

/// A value of any type, or NULL, with what it is.
pub(crate) fn put_datum(value: &Datum, out: &mut Vec<u8>) {
    let number = value.kind().and_then(|kind| TYPES.iter().position(|one| *one == kind));
    out.push(number.map_or(NULL, |number| number as u8));
    put_value(value, out);
}

/// In the place of a type's number.
const NULL: u8 = 0xff;

/// Takes what was written off the beginning of some bytes.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
    /// What is read, for the message if it is damaged.
    pub(crate) what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { rest: bytes, what }
    }

    pub(crate) fn damage(&self) -> Error {
        Error::damage(self.what)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        if count > self.rest.len() {
            return Err(self.damage());
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| self.damage())
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        let mut count = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            count |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(count);
            }
        }
        Err(self.damage())
    }

    /// A count of things of which each takes a byte at least.
    pub(crate) fn length(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.count()?).map_err(|_| self.damage())?;
        match count <= self.rest.len() {
            true => Ok(count),
            false => Err(self.damage()),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = self.length()?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.damage())
    }

    pub(crate) fn value(&mut self, kind: Type) -> Result<Datum, Error> {
        Ok(match kind {
            Type::Bool => Datum::Bool(self.byte()? != 0),
            Type::Int => Datum::Int(i32::from_le_bytes(self.array()?)),
            Type::BigInt => Datum::BigInt(i64::from_le_bytes(self.array()?)),
            Type::Timestamp => Datum::Timestamp(i64::from_le_bytes(self.array()?)),
            Type::Numeric => {
                let scale = u32::try_from(self.count()?).map_err(|_| self.damage())?;
                let digits = BigInt::from_signed_bytes_le(self.bytes()?);
                Datum::Numeric(Numeric::new(digits, scale).map_err(|_| self.damage())?)
            }
            Type::Double => Datum::Double(f64::from_bits(u64::from_le_bytes(self.array()?))),
            Type::Text => Datum::Text(self.text()?),
            Type::Jsonb => Datum::Jsonb(self.text()?),
            Type::Bytea => Datum::Bytea(self.bytes()?.to_vec()),
            Type::Uuid => Datum::Uuid(self.array()?),
        })
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, kind: Type) -> Result<(), Error> {
        let bytes = match kind {
            Type::Bool => 1,
            Type::Int => size_of::<i32>(),
            Type::BigInt | Type::Timestamp | Type::Double => size_of::<i64>(),
            Type::Uuid => 16,
            Type::Numeric => {
                self.count()?;
                self.length()?
            }
            Type::Text | Type::Jsonb | Type::Bytea => self.length()?,
        };
        self.take(bytes).map(drop)
    }

    /// What [`put_datum`] wrote.
    pub(crate) fn datum(&mut self) -> Result<Datum, Error> {
        let number = self.byte()?;
        match TYPES.get(usize::from(number)) {
            Some(kind) => self.value(*kind),
            None if number == NULL => Ok(Datum::Null),
            None => Err(self.damage()),
        }
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.damage()),
        }
    }
}
