//! Values, their order, and their text.

use std::cmp::Ordering;

use crate::double;
use crate::error::Error;
use crate::limits::JSON_DEPTH_MAX;
use crate::numeric::Numeric;
use crate::timestamp;
use crate::types::{ColumnType, Type};

/// A value. Those of one column have its type, or are NULL.
#[derive(Clone, Debug)]
pub enum Datum {
    /// No value.
    Null,
    /// See [`Type::Bool`], and so on.
    Bool(bool),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    BigInt(i64),
    /// Decimal.
    Numeric(Numeric),
    /// A double.
    Double(f64),
    /// UTF-8 without a zero byte.
    Text(String),
    /// Bytes.
    Bytea(Vec<u8>),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// 16 bytes.
    Uuid([u8; 16]),
    /// Valid JSON.
    Jsonb(String),
}

/// A row: a value for each column of its table, in their order.
pub type Row = Vec<Datum>;

impl Datum {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// Its type, unless it is NULL.
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Datum::Null => return None,
            Datum::Bool(_) => Type::Bool,
            Datum::Int(_) => Type::Int,
            Datum::BigInt(_) => Type::BigInt,
            Datum::Numeric(_) => Type::Numeric,
            Datum::Double(_) => Type::Double,
            Datum::Text(_) => Type::Text,
            Datum::Bytea(_) => Type::Bytea,
            Datum::Timestamp(_) => Type::Timestamp,
            Datum::Uuid(_) => Type::Uuid,
            Datum::Jsonb(_) => Type::Jsonb,
        })
    }

    /// The text of a value as PostgreSQL writes it; of NULL none.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            Datum::Null => return None,
            Datum::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
            Datum::Int(value) => value.to_string(),
            Datum::BigInt(value) => value.to_string(),
            Datum::Numeric(value) => value.to_string(),
            Datum::Double(value) => double::show(*value),
            Datum::Text(value) | Datum::Jsonb(value) => value.clone(),
            Datum::Bytea(value) => {
                value.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
            }
            Datum::Timestamp(value) => timestamp::show(*value),
            Datum::Uuid(value) => uuid::Uuid::from_bytes(*value).hyphenated().to_string(),
        })
    }

    /// Reads the text of a value.
    pub fn parse(text: &str, to: ColumnType) -> Result<Datum, Error> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let datum = match to.kind {
            Type::Bool => Datum::Bool(parse_bool(trimmed).ok_or_else(|| Error::malformed("boolean", text))?),
            Type::Int => Datum::Int(parse_integer(text, "integer", i32::MIN.into(), i32::MAX.into())? as i32),
            Type::BigInt => Datum::BigInt(parse_integer(text, "bigint", i64::MIN, i64::MAX)?),
            Type::Numeric => {
                let number = Numeric::parse(text)?;
                Datum::Numeric(match to.precision {
                    Some(precision) => number.fitted(precision)?,
                    None => number,
                })
            }
            Type::Double => Datum::Double(double::parse(text)?),
            Type::Text if text.contains('\0') => {
                let message = "TEXT holds no zero byte; use BYTEA for what is no text";
                return Err(Error::new(crate::ErrorKind::Value, "22021", message));
            }
            Type::Text => Datum::Text(text.to_owned()),
            Type::Bytea => Datum::Bytea(parse_bytea(text.as_bytes())?),
            Type::Timestamp => Datum::Timestamp(timestamp::parse(text)?),
            Type::Uuid => {
                let read = uuid::Uuid::try_parse(text).map_err(|_| Error::malformed("uuid", text))?;
                Datum::Uuid(*read.as_bytes())
            }
            Type::Jsonb => {
                validate_json(text)?;
                Datum::Jsonb(text.to_owned())
            }
        };
        Ok(datum)
    }

    /// As [`Datum::parse`], of a text that may become the value.
    pub(crate) fn of_text(text: String, to: ColumnType) -> Result<Datum, Error> {
        match to.kind {
            Type::Text if !text.contains('\0') => Ok(Datum::Text(text)),
            _ => Datum::parse(&text, to),
        }
    }

    /// Bytes of memory behind the value, for bounds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Datum::Text(value) | Datum::Jsonb(value) => value.len() + 16,
            Datum::Bytea(value) => 2 * value.len() + 16,
            Datum::Numeric(value) => {
                usize::try_from(value.digits().bits() / 3).unwrap_or(usize::MAX / 2) + 16
            }
            _ => 16,
        }
    }

    /// The order of two values of one type; NULL has none.
    pub(crate) fn compare(&self, other: &Datum) -> Option<Ordering> {
        Some(match (self, other) {
            (Datum::Bool(left), Datum::Bool(right)) => left.cmp(right),
            (Datum::Int(left), Datum::Int(right)) => left.cmp(right),
            (Datum::BigInt(left), Datum::BigInt(right)) => left.cmp(right),
            (Datum::Numeric(left), Datum::Numeric(right)) => left.cmp(right),
            (Datum::Double(left), Datum::Double(right)) => double::compare(*left, *right),
            (Datum::Text(left), Datum::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Datum::Bytea(left), Datum::Bytea(right)) => left.cmp(right),
            (Datum::Timestamp(left), Datum::Timestamp(right)) => left.cmp(right),
            (Datum::Uuid(left), Datum::Uuid(right)) => left.cmp(right),
            _ => return None,
        })
    }

    /// Whether both are NULL, or equal values: what `IS NOT DISTINCT FROM` asks. JSONB is compared as text.
    pub(crate) fn same(&self, other: &Datum) -> bool {
        match (self, other) {
            (Datum::Null, Datum::Null) => true,
            (Datum::Jsonb(left), Datum::Jsonb(right)) => left == right,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }
}

/// A prefix of `true`, `false`, `yes` or `no` that says which, `on`, `off`, 1 or 0.
fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let begins = |word: &str| !lower.is_empty() && word.starts_with(&lower);
    match lower.as_str() {
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        _ if begins("true") || begins("yes") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ => None,
    }
}

fn parse_integer(text: &str, kind: &str, least: i64, greatest: i64) -> Result<i64, Error> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::malformed(kind, text));
    }
    let read = trimmed.parse().ok().filter(|number| (least..=greatest).contains(number));
    read.ok_or_else(|| Error::out_of_range(format!("value \"{}\" is {kind}", crate::error::shortened(text))))
}

/// `\x` and hexadecimal digits, or bytes with `\\` for a backslash and `\ooo` for any byte.
pub(crate) fn parse_bytea(text: &[u8]) -> Result<Vec<u8>, Error> {
    let wrong = |what: &str| {
        Error::new(crate::ErrorKind::Value, "22P02", format!("invalid input syntax for type bytea: {what}"))
    };
    let Some(hex) = text.strip_prefix(b"\\x") else {
        return parse_escaped(text).ok_or_else(|| wrong("a backslash begins \\\\ or \\ooo"));
    };
    let digits: Vec<u8> = hex.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| {
        Error::new(
            crate::ErrorKind::Value,
            "22023",
            "invalid hexadecimal data for type bytea: digits come in pairs",
        )
    })
}

fn parse_escaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                after
            }
            (b'\\', [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', after @ ..]) => {
                bytes.push((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'));
                after
            }
            (b'\\', _) => return None,
            (byte, after) => {
                bytes.push(byte);
                after
            }
        };
    }
    Some(bytes)
}

fn validate_json(text: &str) -> Result<(), Error> {
    let wrong = |why: String| {
        Error::new(crate::ErrorKind::Value, "22P02", format!("invalid input syntax for type jsonb: {why}"))
    };
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| {
        let why = error.to_string();
        match why.starts_with("recursion limit") {
            true => wrong(format!("it is nested deeper than {JSON_DEPTH_MAX} levels")),
            false => wrong(why),
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{parse_bytea, Datum};
    use crate::types::{ColumnType, Type};

    fn parse(text: &str, kind: Type) -> Result<String, &'static str> {
        let read = Datum::parse(text, ColumnType::plain(kind));
        read.map(|datum| datum.text().expect("a value")).map_err(|error| error.state)
    }

    #[test]
    fn values_are_read_and_written() {
        let rows = [
            (" yes ", Type::Bool, Ok("t")),
            ("o", Type::Bool, Err("22P02")),
            (" -12 ", Type::Int, Ok("-12")),
            ("2147483648", Type::Int, Err("22003")),
            ("1.0", Type::Int, Err("22P02")),
            ("-9223372036854775808", Type::BigInt, Ok("-9223372036854775808")),
            ("\\x00fF", Type::Bytea, Ok("\\x00ff")),
            ("a\\\\b\\001", Type::Bytea, Ok("\\x615c6201")),
            ("\\x0", Type::Bytea, Err("22023")),
            ("a\\b", Type::Bytea, Err("22P02")),
            ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", Type::Uuid, Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            ("a0ee", Type::Uuid, Err("22P02")),
            ("{\"a\": [1, null]}", Type::Jsonb, Ok("{\"a\": [1, null]}")),
            ("{a: 1}", Type::Jsonb, Err("22P02")),
            ("a\0b", Type::Text, Err("22021")),
        ];
        for (text, kind, expected) in rows {
            assert_eq!(parse(text, kind).as_deref().map_err(|state| *state), expected, "{text} as {kind}");
        }
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse(&deep, Type::Jsonb), Err("22P02"));
    }

    #[test]
    fn bytes_that_are_no_text_are_bytea() {
        assert_eq!(parse_bytea(&[0xff, 0xfe]), Ok(vec![0xff, 0xfe]));
    }
}
