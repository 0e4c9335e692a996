//! Values as bytes whose order is that of the values, for keys.
//!
//! Each value begins with a byte that says whether it is NULL, which comes last; a column that is ordered downwards has all its bits inverted.
//! No value's bytes are the beginning of another's, so that a tuple is its values one behind the other. Values that are equal have the same
//! bytes: 1.0 and 1.00, 0 and -0. Their shown form is kept in the row where it differs ([`loses`]).

use num_bigint::{BigInt, Sign};

use crate::datum::Datum;
use crate::error::Error;
use crate::numeric::Numeric;
use crate::types::{ColumnType, Type};

const VALUE: u8 = 2;
const NULL: u8 = 3;
/// First byte of a number: its sign.
const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;

/// Whether equal values of the type may be shown differently, so that the key does not hold all there is to one.
pub(crate) fn loses(kind: ColumnType) -> bool {
    kind.kind == Type::Double || kind.kind == Type::Numeric && kind.precision.is_none()
}

/// Appends a value.
pub(crate) fn encode(value: &Datum, descending: bool, out: &mut Vec<u8>) {
    let begin = out.len();
    out.push(if value.is_null() { NULL } else { VALUE });
    match value {
        Datum::Null => {}
        Datum::Bool(value) => out.push((*value).into()),
        Datum::Int(value) => out.extend((*value as u32 ^ 1 << 31).to_be_bytes()),
        Datum::BigInt(value) | Datum::Timestamp(value) => out.extend((*value as u64 ^ 1 << 63).to_be_bytes()),
        Datum::Numeric(value) => encode_numeric(value, out),
        Datum::Double(value) => out.extend(double_bits(*value).to_be_bytes()),
        Datum::Text(value) | Datum::Jsonb(value) => encode_bytes(value.as_bytes(), out),
        Datum::Bytea(value) => encode_bytes(value, out),
        Datum::Uuid(value) => out.extend(value),
    }
    if descending {
        out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn double_bits(value: f64) -> u64 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = canonical.to_bits();
    match bits >> 63 {
        0 => bits | 1 << 63,
        _ => !bits,
    }
}

/// A zero byte is followed by 255, and the end is two zero bytes.
fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

/// The sign, then, all inverted for negative numbers: the power of ten, the digits in pairs plus 1, and 0 as their end.
fn encode_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let value = value.trimmed();
    if value.is_zero() {
        out.push(ZERO);
        return;
    }
    let negative = value.digits().sign() == Sign::Minus;
    let all = value.digits().magnitude().to_string();
    let exponent = all.len() as i64 - i64::from(value.scale());
    let digits = all.trim_end_matches('0').as_bytes();
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let begin = out.len();
    out.extend((exponent as i32 as u32 ^ 1 << 31).to_be_bytes());
    for pair in digits.chunks(2) {
        let low = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((pair[0] - b'0') * 10 + low + 1);
    }
    out.push(0);
    if negative {
        out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Takes bytes off a key, inverted where the column is ordered downwards.
struct Reader<'a> {
    rest: &'a [u8],
    invert: u8,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| Error::damage("a key"))?;
        self.rest = rest;
        Ok(first ^ self.invert)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        for byte in &mut array {
            *byte = self.byte()?;
        }
        Ok(array)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    0 => return Ok(bytes),
                    0xff => bytes.push(0),
                    _ => return Err(Error::damage("a key")),
                },
                byte => bytes.push(byte),
            }
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?).map_err(|_| Error::damage("a key"))
    }

    fn numeric(&mut self) -> Result<Numeric, Error> {
        let sign = self.byte()?;
        if sign == ZERO {
            return Ok(Numeric::from(0));
        }
        if sign != NEGATIVE && sign != POSITIVE {
            return Err(Error::damage("a key"));
        }
        let before = self.invert;
        self.invert ^= if sign == NEGATIVE { 0xff } else { 0 };
        let exponent = (u32::from_be_bytes(self.array()?) ^ 1 << 31) as i32;
        let mut digits = String::new();
        loop {
            match self.byte()? {
                0 => break,
                pair @ 1..=100 => digits += &format!("{:02}", pair - 1),
                _ => return Err(Error::damage("a key")),
            }
        }
        self.invert = before;
        let scale = digits.len() as i64 - i64::from(exponent);
        let whole = digits.parse::<BigInt>().map_err(|_| Error::damage("a key"))?;
        let whole = if sign == NEGATIVE { -whole } else { whole };
        let text = format!("{whole}e{}", -scale);
        Ok(Numeric::parse(&text).map_err(|_| Error::damage("a key"))?.trimmed())
    }
}

/// Takes a value of a column off the beginning of a key; what follows it comes back too.
pub(crate) fn decode(bytes: &[u8], to: ColumnType, descending: bool) -> Result<(Datum, &[u8]), Error> {
    let mut reader = Reader { rest: bytes, invert: if descending { 0xff } else { 0 } };
    let value = match reader.byte()? {
        NULL => Datum::Null,
        VALUE => match to.kind {
            Type::Bool => Datum::Bool(reader.byte()? != 0),
            Type::Int => Datum::Int((u32::from_be_bytes(reader.array()?) ^ 1 << 31) as i32),
            Type::BigInt => Datum::BigInt((u64::from_be_bytes(reader.array()?) ^ 1 << 63) as i64),
            Type::Timestamp => Datum::Timestamp((u64::from_be_bytes(reader.array()?) ^ 1 << 63) as i64),
            Type::Numeric => {
                let number = reader.numeric()?;
                Datum::Numeric(
                    to.precision.map_or(number.clone(), |precision| number.rescaled(precision.scale)),
                )
            }
            Type::Double => {
                let bits = u64::from_be_bytes(reader.array()?);
                Datum::Double(f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits }))
            }
            Type::Text => Datum::Text(reader.text()?),
            Type::Jsonb => Datum::Jsonb(reader.text()?),
            Type::Bytea => Datum::Bytea(reader.bytes()?),
            Type::Uuid => Datum::Uuid(reader.array()?),
        },
        _ => return Err(Error::damage("a key")),
    };
    Ok((value, reader.rest))
}

/// The least key that is greater than all that begin with this one; none if there is no such key.
pub(crate) fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::{after_all, decode, encode};
    use crate::datum::Datum;
    use crate::types::{ColumnType, Type};

    fn samples() -> Vec<(Type, Vec<&'static str>)> {
        vec![
            (Type::Bool, vec!["f", "t"]),
            (Type::Int, vec!["-2147483648", "-1", "0", "1", "2147483647"]),
            (
                Type::BigInt,
                vec!["-9223372036854775808", "-256", "-1", "0", "255", "256", "9223372036854775807"],
            ),
            (
                Type::Numeric,
                vec![
                    "-1e30", "-100.5", "-100", "-99.99", "-0.001", "0", "0.00001", "0.5", "0.51", "1", "9.9",
                    "10", "100", "1e30",
                ],
            ),
            (
                Type::Double,
                vec![
                    "-Infinity",
                    "-1e300",
                    "-1.5",
                    "-1e-300",
                    "0",
                    "1e-300",
                    "2",
                    "1e300",
                    "Infinity",
                    "NaN",
                ],
            ),
            (Type::Text, vec!["", "\u{1}", "a", "a\u{1}", "aa", "b", "é"]),
            (Type::Bytea, vec!["", "\\x00", "\\x0000", "\\x0001", "\\x01", "\\xff", "\\xff00", "\\xffff"]),
            (
                Type::Timestamp,
                vec![
                    "0001-01-01 00:00:00",
                    "1969-12-31 23:59:59.999999",
                    "1970-01-01 00:00:00",
                    "2024-02-29 00:00:00",
                ],
            ),
            (
                Type::Uuid,
                vec!["00000000-0000-0000-0000-000000000001", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
            ),
        ]
    }

    #[test]
    fn bytes_are_ordered_as_values_and_read_back() {
        for (kind, texts) in samples() {
            let column = ColumnType::plain(kind);
            let values = texts.iter().map(|text| Datum::parse(text, column).expect("a value"));
            let values: Vec<Datum> = values.chain([Datum::Null]).collect();
            for descending in [false, true] {
                let keys: Vec<Vec<u8>> = values
                    .iter()
                    .map(|value| {
                        let mut key = Vec::new();
                        encode(value, descending, &mut key);
                        key
                    })
                    .collect();
                for pair in keys.windows(2) {
                    assert_eq!(pair[0] < pair[1], !descending, "{kind}: {pair:?}");
                    assert!(
                        !pair[1].starts_with(&pair[0]) && !pair[0].starts_with(&pair[1]),
                        "{kind}: {pair:?}"
                    );
                }
                for (value, key) in values.iter().zip(&keys) {
                    let followed = [key.as_slice(), b"rest"].concat();
                    let (read, rest) = decode(&followed, column, descending).expect("what was written");
                    assert!(read.same(value) && rest == b"rest", "{kind}: {value:?} came back as {read:?}");
                    for cut in 0..key.len() {
                        assert!(
                            decode(&key[..cut], column, descending).is_err(),
                            "{kind}: {cut} bytes of {key:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn random_values_are_ordered_as_their_bytes() {
        let mut state = 1u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut text = move |kind: Type| match kind {
            Type::Numeric => format!("{}e{}", (next() as i64) >> (next() % 64), next() % 9),
            Type::Double => format!("{}e{}", (next() as i64) >> (next() % 64), next() % 60),
            Type::BigInt => ((next() as i64) >> (next() % 64)).to_string(),
            Type::Text => (0..next() % 4).map(|_| ['\u{1}', 'a', '\u{ff}'][(next() % 3) as usize]).collect(),
            _ => (0..next() % 4)
                .fold("\\x".to_owned(), |text, _| text + ["00", "01", "fe", "ff"][(next() % 4) as usize]),
        };
        for kind in [Type::Numeric, Type::Double, Type::BigInt, Type::Text, Type::Bytea] {
            let column = ColumnType::plain(kind);
            for _ in 0..20_000 {
                let values = [(); 2].map(|()| Datum::parse(&text(kind), column).expect("a value"));
                for descending in [false, true] {
                    let [left, right] = [&values[0], &values[1]].map(|value| {
                        let mut key = Vec::new();
                        encode(value, descending, &mut key);
                        key
                    });
                    let order = if descending { right.cmp(&left) } else { left.cmp(&right) };
                    assert_eq!(Some(order), values[0].compare(&values[1]), "{kind}: {values:?}");
                }
            }
        }
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        let bytes = |text: &str, kind| {
            let mut key = Vec::new();
            encode(&Datum::parse(text, ColumnType::plain(kind)).expect("a value"), false, &mut key);
            key
        };
        assert_eq!(bytes("1.0", Type::Numeric), bytes("1.000", Type::Numeric));
        assert_eq!(bytes("-0", Type::Double), bytes("0", Type::Double));
    }

    #[test]
    fn what_follows_a_prefix() {
        assert_eq!(after_all(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_all(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_all(b"\xff"), None);
    }
}
