//! NUMERIC: an integer of any length and how many of its digits are behind the point. Scales and rounding are PostgreSQL's (numeric.c): sums have
//! the greater scale, products the sum of both, quotients at least 16 significant digits; halves are rounded away from zero. There is no NaN
//! and no infinity.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

use crate::error::Error;
use crate::limits::NUMERIC_DIGITS_MAX;

/// A decimal number. Two of them are equal if their values are: 1.0 and 1.00 differ in what is shown alone.
#[derive(Clone, Debug)]
pub struct Numeric {
    digits: BigInt,
    scale: u32,
}

/// Digits of precision and of scale that a column is declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Digits in all.
    pub digits: u32,
    /// Digits behind the point.
    pub scale: u32,
}

fn power(exponent: u32) -> BigInt {
    BigInt::from(10u8).pow(exponent)
}

/// Decimal digits of a number, without its sign; of 0 none.
fn length(digits: &BigInt) -> u32 {
    if digits.sign() == Sign::NoSign {
        return 0;
    }
    u32::try_from(digits.magnitude().to_string().len()).unwrap_or(u32::MAX)
}

/// The quotient, halves away from zero.
fn divide_rounded(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let twice = BigInt::from(rest.magnitude().clone()) * 2u8;
    if twice < BigInt::from(divisor.magnitude().clone()) {
        return quotient;
    }
    let negative = (dividend.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
    if negative {
        quotient - 1u8
    } else {
        quotient + 1u8
    }
}

impl Numeric {
    pub(crate) fn new(digits: BigInt, scale: u32) -> Result<Numeric, Error> {
        // Bits are counted first: they cost nothing, and a digit has more than three of them.
        let number = Numeric { digits, scale };
        let bits_max = u64::from(NUMERIC_DIGITS_MAX) * 4;
        if number.scale > NUMERIC_DIGITS_MAX || number.digits.bits() > bits_max {
            return Err(Error::new(crate::ErrorKind::Value, "22003", "value overflows numeric format"));
        }
        Ok(number)
    }

    /// Reads `-12.50e3`, with white space around it.
    pub(crate) fn parse(text: &str) -> Result<Numeric, Error> {
        let wrong = || Error::malformed("numeric", text);
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let named = trimmed.trim_start_matches(['-', '+']).to_ascii_lowercase();
        if matches!(named.as_str(), "nan" | "inf" | "infinity") {
            return Err(Error::new(
                crate::ErrorKind::Value,
                "22P02",
                "NUMERIC holds neither NaN nor infinity; DOUBLE does",
            ));
        }
        let (mantissa, exponent) = match trimmed.find(['e', 'E']) {
            Some(at) => (&trimmed[..at], trimmed[at + 1..].parse::<i32>().map_err(|_| wrong())?),
            None => (trimmed, 0),
        };
        let (negative, plain) = match mantissa.as_bytes().first() {
            Some(b'-') => (true, &mantissa[1..]),
            Some(b'+') => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let overflow = || Error::new(crate::ErrorKind::Value, "22003", "value overflows numeric format");
        if all.len() > NUMERIC_DIGITS_MAX as usize {
            return Err(overflow());
        }
        let digits = BigInt::parse_bytes(all.as_bytes(), 10).ok_or_else(wrong)?;
        let digits = if negative { -digits } else { digits };
        let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent);
        if scale.unsigned_abs() > u64::from(NUMERIC_DIGITS_MAX) {
            return Err(overflow());
        }
        match u32::try_from(scale) {
            Ok(scale) => Numeric::new(digits, scale),
            Err(_) => Numeric::new(digits * power(u32::try_from(-scale).unwrap_or(0)), 0),
        }
    }

    pub(crate) fn scale(&self) -> u32 {
        self.scale
    }

    pub(crate) fn digits(&self) -> &BigInt {
        &self.digits
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.sign() == Sign::NoSign
    }

    /// With so many digits behind the point.
    pub(crate) fn rescaled(&self, scale: u32) -> Numeric {
        let digits = match scale.cmp(&self.scale) {
            Ordering::Equal => self.digits.clone(),
            Ordering::Greater => &self.digits * power(scale - self.scale),
            Ordering::Less => divide_rounded(&self.digits, &power(self.scale - scale)),
        };
        Numeric { digits, scale }
    }

    /// The greatest number with so many digits behind the point that is no greater.
    pub(crate) fn floored(&self, scale: u32) -> Numeric {
        let rounded = self.rescaled(scale);
        match rounded > *self {
            true => Numeric { digits: rounded.digits - 1, scale },
            false => rounded,
        }
    }

    /// The greatest number that a column of this precision holds.
    pub(crate) fn greatest(precision: Precision) -> Numeric {
        Numeric { digits: power(precision.digits) - 1, scale: precision.scale }
    }

    /// As a column of this precision holds it.
    pub(crate) fn fitted(&self, precision: Precision) -> Result<Numeric, Error> {
        let rounded = self.rescaled(precision.scale);
        if length(&rounded.digits) > precision.digits {
            let (digits, scale) = (precision.digits, precision.scale);
            let message = format!(
                "numeric field overflow: NUMERIC({digits},{scale}) holds numbers below 10^{}",
                i64::from(digits) - i64::from(scale)
            );
            return Err(Error::new(crate::ErrorKind::Value, "22003", message));
        }
        Ok(rounded)
    }

    /// Without zeros at the end of its fraction: one form for all numbers that are equal.
    pub(crate) fn trimmed(&self) -> Numeric {
        let text = self.digits.magnitude().to_string();
        let zeros = text.bytes().rev().take_while(|byte| *byte == b'0').count();
        let zeros = u32::try_from(zeros).unwrap_or(0).min(self.scale);
        match self.is_zero() {
            true => Numeric { digits: BigInt::ZERO, scale: 0 },
            false => Numeric { digits: &self.digits / power(zeros), scale: self.scale - zeros },
        }
    }

    /// The number as an integer, halves away from zero, if it fits.
    pub(crate) fn to_integer(&self) -> Option<i64> {
        i64::try_from(&self.rescaled(0).digits).ok()
    }

    pub(crate) fn negated(&self) -> Numeric {
        Numeric { digits: -&self.digits, scale: self.scale }
    }

    pub(crate) fn absolute(&self) -> Numeric {
        Numeric { digits: BigInt::from(self.digits.magnitude().clone()), scale: self.scale }
    }

    fn aligned(&self, other: &Numeric) -> (BigInt, BigInt, u32) {
        let scale = self.scale.max(other.scale);
        (self.rescaled(scale).digits, other.rescaled(scale).digits, scale)
    }

    pub(crate) fn plus(&self, other: &Numeric) -> Result<Numeric, Error> {
        let (left, right, scale) = self.aligned(other);
        Numeric::new(left + right, scale)
    }

    pub(crate) fn minus(&self, other: &Numeric) -> Result<Numeric, Error> {
        let (left, right, scale) = self.aligned(other);
        Numeric::new(left - right, scale)
    }

    pub(crate) fn times(&self, other: &Numeric) -> Result<Numeric, Error> {
        Numeric::new(&self.digits * &other.digits, self.scale + other.scale)
    }

    pub(crate) fn modulo(&self, other: &Numeric) -> Result<Numeric, Error> {
        if other.is_zero() {
            return Err(Error::division_by_zero());
        }
        let (left, right, scale) = self.aligned(other);
        Numeric::new(left % right, scale)
    }

    pub(crate) fn divided_by(&self, other: &Numeric) -> Result<Numeric, Error> {
        if other.is_zero() {
            return Err(Error::division_by_zero());
        }
        let scale = quotient_scale(self, other);
        // self / other = (a / 10^s) / (b / 10^t), to be counted in units of 10^-scale.
        let up = scale + other.scale;
        let (dividend, divisor) = match up.checked_sub(self.scale) {
            Some(more) => (&self.digits * power(more), other.digits.clone()),
            None => (self.digits.clone(), &other.digits * power(self.scale - up)),
        };
        Numeric::new(divide_rounded(&dividend, &divisor), scale)
    }
}

/// The weight, in digits of base 10,000, and the first such digit, as PostgreSQL stores a number.
fn leading(number: &Numeric) -> (i64, u32) {
    if number.is_zero() {
        return (0, 0);
    }
    let text = number.digits.magnitude().to_string();
    let whole = i64::try_from(text.len()).unwrap_or(i64::MAX) - i64::from(number.scale);
    // The first decimal digit stands at 10^(whole - 1); its group of four begins at a multiple of four.
    let weight = (whole - 1).div_euclid(4);
    let in_group = usize::try_from(whole - 4 * weight).unwrap_or(0);
    let group: String = text.chars().chain(std::iter::repeat('0')).take(in_group).collect();
    (weight, group.parse().unwrap_or(0))
}

/// `select_div_scale` of PostgreSQL's numeric.c.
fn quotient_scale(dividend: &Numeric, divisor: &Numeric) -> u32 {
    let ((weight, first), (other_weight, other_first)) = (leading(dividend), leading(divisor));
    let quotient_weight = weight - other_weight - i64::from(first <= other_first);
    let scale = (16 - quotient_weight * 4).max(i64::from(dividend.scale)).max(i64::from(divisor.scale));
    u32::try_from(scale.clamp(0, 1_000)).unwrap_or(0)
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Numeric {
        Numeric { digits: BigInt::from(value), scale: 0 }
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        if self.scale == other.scale {
            return self.digits.cmp(&other.digits);
        }
        let (left, right, _) = self.aligned(other);
        left.cmp(&right)
    }
}

impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.digits.sign() == Sign::Minus {
            f.write_str("-")?;
        }
        let text = self.digits.magnitude().to_string();
        let scale = self.scale as usize;
        if scale == 0 {
            return f.write_str(&text);
        }
        let padded = format!("{text:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Numeric, Precision};

    fn number(text: &str) -> Numeric {
        Numeric::parse(text).expect("a number")
    }

    #[test]
    fn arithmetic_has_the_scales_of_postgresql() {
        let rows = [
            ("1.5", '+', "2.25", "3.75"),
            ("1.50", '*', "2.0", "3.000"),
            ("1", '/', "3", "0.33333333333333333333"),
            ("10", '/', "4", "2.5000000000000000"),
            ("1", '/', "7000", "0.00014285714285714286"),
            ("-7", '/', "2", "-3.5000000000000000"),
            ("100000", '/', "3", "33333.333333333333"),
            ("-7.5", '%', "2", "-1.5"),
            ("0", '/', "5", "0.00000000000000000000"),
        ];
        for (left, operator, right, expected) in rows {
            let (a, b) = (number(left), number(right));
            let result = match operator {
                '+' => a.plus(&b),
                '*' => a.times(&b),
                '/' => a.divided_by(&b),
                _ => a.modulo(&b),
            };
            assert_eq!(result.expect("a number").to_string(), expected, "{left} {operator} {right}");
        }
    }

    #[test]
    fn text_is_read_and_written() {
        let rows = [
            ("12.50", "12.50"),
            (" -0.5 ", "-0.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
        ];
        for (text, expected) in rows {
            assert_eq!(number(text).to_string(), expected);
        }
        for wrong in ["", "-", ".", "1e", "1.2.3", "NaN", "1 2", "1e99999999999"] {
            assert!(Numeric::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn columns_round_half_away_from_zero() {
        let precision = Precision { digits: 4, scale: 2 };
        assert_eq!(number("1.005").fitted(precision).expect("it fits").to_string(), "1.01");
        assert_eq!(number("-1.005").fitted(precision).expect("it fits").to_string(), "-1.01");
        assert!(number("99.995").fitted(precision).is_err());
        assert_eq!(number("2.5").to_integer(), Some(3));
        assert_eq!(number("-2.5").to_integer(), Some(-3));
        assert_eq!(number("1.555").floored(2).to_string(), "1.55");
        assert_eq!(number("-1.555").floored(2).to_string(), "-1.56");
        assert_eq!(number("-1.5").floored(2).to_string(), "-1.50");
        assert_eq!(Numeric::greatest(precision).to_string(), "99.99");
        assert_eq!(number("100.00").trimmed().to_string(), "100");
    }
}
