//! Numbers as Redis reads and writes them.
//!
//! Integers are strict: one spelling per number. Floats are added as decimals where both have at most 20 digits before
//! the point, rounded to 17 after it: 0.1 + 0.2 is 0.3, as in Redis, whose 80-bit long doubles hide the binary error
//! behind the same 17 digits. Where Redis' long double runs out of digits (1000.1 + 0 may show as
//! 1000.09999999999999998), the decimal sum is exact and so differs from Redis, for the better. Larger numbers are
//! added as 64-bit floats, where Redis has 64 bits of mantissa and we have 53. Hexadecimal floats are refused.

use crate::object::Score;

/// Digits after the point that INCRBYFLOAT keeps, as Redis' `%.17Lf`.
const SCALE_DIGITS: i32 = 17;
/// 10^17: one, as a scaled decimal.
const ONE: i128 = 10_i128.pow(SCALE_DIGITS as u32);
/// Largest magnitude that is added exactly: 10^20, scaled. Sums of two stay far inside i128.
const EXACT_MAX: i128 = 10_i128.pow(20) * ONE;

/// A 64-bit integer in its one canonical spelling: no sign but `-`, no leading zero, no space. Redis' `string2ll`.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    digits.iter().try_fold(0_i64, |sum, byte| {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        let sum = sum.checked_mul(10)?;
        // Counting down reaches i64::MIN, which has no positive.
        if negative {
            sum.checked_sub(digit)
        } else {
            sum.checked_add(digit)
        }
    })
}

/// An unsigned 64-bit integer, for cursors and versions. Leading zeros are let through.
pub fn unsigned(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| {
        let digit = u64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A score: decimal or exponent notation, `inf`; never NaN.
pub fn score(bytes: &[u8]) -> Option<Score> {
    Score::new(std::str::from_utf8(bytes).ok()?.parse().ok()?)
}

/// What SORT compares by, as C's strtod reads it: up to a zero byte, behind blanks, nothing being 0; but for hexadecimal floats. None: it is no
/// number, or too large for a double, or so close to 0 that it is told from it by few digits or none.
pub fn weight(bytes: &[u8]) -> Option<Score> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Score::new(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let score = score(&text[blanks..])?;
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let (mut is_digits, mut is_zero) = (false, true);
    for digit in mantissa.filter(|byte| byte.is_ascii_digit()) {
        is_digits = true;
        is_zero &= *digit == b'0';
    }
    let size = score.value().abs();
    let is_out_of_range = is_digits && (size.is_infinite() || !is_zero && size < f64::MIN_POSITIVE);
    (!is_out_of_range).then_some(score)
}

/// A float as INCRBYFLOAT takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    /// An exact decimal, times 10^17.
    Decimal(i128),
    /// What is too big for that, or infinite.
    Binary(f64),
}

impl Float {
    /// Nothing: where a counter starts.
    pub const ZERO: Float = Float::Decimal(0);

    /// Reads a float: decimal or exponent notation, `inf`; never NaN.
    pub fn parse(bytes: &[u8]) -> Option<Float> {
        let text = std::str::from_utf8(bytes).ok()?;
        let binary: f64 = text.parse().ok()?;
        if binary.is_nan() {
            return None;
        }
        Some(decimal(bytes).map_or(Float::Binary(binary), Float::Decimal))
    }

    /// Whether it is no infinity.
    pub fn is_finite(self) -> bool {
        matches!(self, Float::Decimal(_)) || self.binary().is_finite()
    }

    /// The sum; None if it is not finite.
    pub fn add(self, other: Float) -> Option<Float> {
        if let (Float::Decimal(a), Float::Decimal(b)) = (self, other) {
            return Some(Float::Decimal(a.checked_add(b)?));
        }
        let sum = self.binary() + other.binary();
        sum.is_finite().then_some(Float::Binary(sum))
    }

    /// As Redis writes it: no exponent, no trailing zero, no `-0`.
    pub fn format(self) -> String {
        match self {
            Float::Binary(value) => {
                let text = format!("{value}");
                if text == "-0" {
                    "0".into()
                } else {
                    text
                }
            }
            Float::Decimal(scaled) => {
                let sign = if scaled < 0 { "-" } else { "" };
                let (whole, part) =
                    (scaled.unsigned_abs() / ONE as u128, scaled.unsigned_abs() % ONE as u128);
                let text = format!("{sign}{whole}.{part:017}");
                text.trim_end_matches('0').trim_end_matches('.').to_string()
            }
        }
    }

    fn binary(self) -> f64 {
        match self {
            Float::Binary(value) => value,
            Float::Decimal(scaled) => scaled as f64 / ONE as f64,
        }
    }
}

/// A decimal or exponent notation, scaled by 10^17 and rounded half away from zero; None if it is beyond
/// [`EXACT_MAX`] or not a number. Called only for what Rust's own parser took, so it need not refuse bad syntax.
fn decimal(bytes: &[u8]) -> Option<i128> {
    let (negative, bytes) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut parts = bytes.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next()?;
    let exponent = match parts.next() {
        None => 0,
        Some(text) => std::str::from_utf8(text).ok()?.parse::<i32>().ok()?,
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    // The power of ten of the first digit, after scaling. A digit of power -1 decides the rounding.
    let mut power =
        i32::try_from(point).ok()?.checked_add(exponent)?.checked_add(SCALE_DIGITS)?.checked_sub(1)?;
    let mut scaled = 0_i128;
    for byte in mantissa.iter().filter(|byte| **byte != b'.') {
        let digit = i128::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        if power >= 0 && digit != 0 {
            let weight = 10_i128.checked_pow(u32::try_from(power).ok()?)?;
            scaled = scaled.checked_add(digit.checked_mul(weight)?)?;
        } else if power == -1 && digit >= 5 {
            scaled = scaled.checked_add(1)?;
        }
        power = power.checked_sub(1)?;
    }
    (scaled <= EXACT_MAX).then_some(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        let good = [
            ("0", 0),
            ("1", 1),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1000", 1000),
        ];
        for (text, want) in good {
            assert_eq!(integer(text.as_bytes()), Some(want), "{text}");
        }
        let bad = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
        ];
        for text in bad {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats_add_as_in_redis() {
        let table = [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1.00000000000000000", "0"),
            ("-0", "0", "0"),
            ("-1.5", "0.25", "-1.25"),
            (".5", "5.", "5.5"),
            ("17179869184", "17179869184", "34359738368"),
            ("0.00000000000000001", "0", "0.00000000000000001"),
            ("0.000000000000000001", "0", "0"),
            ("0.000000000000000005", "0", "0.00000000000000001"),
            ("1e-300", "1", "1"),
            ("1e20", "1", "100000000000000000001"),
            ("1e22", "1e22", "20000000000000000000000"),
            ("1e22", "-1e22", "0"),
            ("1000.1", "0", "1000.1"),
            ("0e999999999", "1", "1"),
            ("1e-999999999", "1", "1"),
        ];
        for (a, b, want) in table {
            let sum = Float::parse(a.as_bytes()).zip(Float::parse(b.as_bytes())).and_then(|(a, b)| a.add(b));
            assert_eq!(sum.map(Float::format).as_deref(), Some(want), "{a} + {b}");
        }
    }

    /// The replies of a redis-server to SORT.
    #[test]
    fn weights_are_read_as_in_redis() {
        let good: [(&[u8], f64); 15] = [
            (b"", 0.0),
            (b"\x00x", 0.0),
            (b"7\x00x", 7.0),
            (b" 12", 12.0),
            (b"\t\n\x0b\x0c\r-1", -1.0),
            (b"+1", 1.0),
            (b"01", 1.0),
            (b"-0", 0.0),
            (b"5.", 5.0),
            (b".5", 0.5),
            (b"1e5", 1e5),
            (b"0e-400", 0.0),
            (b"0e400", 0.0),
            (b"INF", f64::INFINITY),
            (b"-infinity", f64::NEG_INFINITY),
        ];
        for (text, want) in good {
            assert_eq!(weight(text).map(Score::value), Some(want), "{}", text.escape_ascii());
        }
        let bad =
            ["a", "1 ", " ", "nan", "1e400", "-1e400", "1e-400", "1e-308", ".", "-", "e5", "infinit", "1x"];
        for text in bad {
            assert_eq!(weight(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_float_is_refused() {
        for text in ["", " 1", "1 ", "abc", "nan", "-nan", "1.2.3", "0x10", "--1", "1e", "\u{e9}"] {
            assert_eq!(Float::parse(text.as_bytes()), None, "{text}");
        }
        let infinite = Float::parse(b"inf").expect("is a float");
        assert_eq!(infinite.add(Float::Decimal(0)), None);
        let huge = Float::parse(b"1.7e308").expect("is a float");
        assert_eq!(huge.add(huge), None);
    }
}
