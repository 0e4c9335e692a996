//! Doubles as PostgreSQL reads and writes them: the shortest text that reads back as the same number.

use std::cmp::Ordering;

use num_bigint::BigInt;

use crate::error::Error;

/// Reads a double. What is too large or too small for one is an error, not infinity or zero.
pub(crate) fn parse(text: &str) -> Result<f64, Error> {
    let wrong = || Error::malformed("double precision", text);
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let number: f64 = trimmed.parse().map_err(|_| wrong())?;
    let mantissa = trimmed.split(['e', 'E']).next().unwrap_or("");
    let named = trimmed.bytes().any(|byte| matches!(byte, b'i' | b'I' | b'n' | b'N'));
    let zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    if !named && (number.is_infinite() || number == 0.0 && !zero) {
        return Err(Error::new(
            crate::ErrorKind::Value,
            "22003",
            format!("\"{}\" is out of range for type double precision", crate::error::shortened(text)),
        ));
    }
    Ok(number)
}

/// The text of a double.
pub(crate) fn show(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let text = shortest(number);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    match usize::try_from(exponent) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(whole) if whole + 1 >= digits.len() => format!("{sign}{digits:0<width$}", width = whole + 1),
        Ok(whole) => format!("{sign}{}.{}", &digits[..=whole], &digits[whole + 1..]),
    }
}

/// The fewest digits that read back, `d.ddde±x`, as PostgreSQL finds them: of several texts with so many digits the nearest, of two that are
/// equally near the even one, and none that is exactly between this double and another, which other readers may take for that.
fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let digits = text.split('e').next().unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
    let found = (digits..=17).map(|digits| format!("{number:.*e}", digits - 1));
    let mut found =
        found.filter(|candidate| candidate.parse() == Ok(number) && !is_between(candidate, number));
    found.next().unwrap_or(text)
}

/// Whether a text is exactly in the middle of a double and one beside it. It takes integers below 10^40 to be so: others have more digits.
fn is_between(text: &str, number: f64) -> bool {
    const FRACTION_BITS: u32 = 52;
    let size = number.abs();
    if !((1u64 << FRACTION_BITS) as f64..1e40).contains(&size) {
        return false;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Both in tenths, since there may be one digit behind the point.
    let zeros = exponent.parse::<i64>().unwrap_or(0) - digits.len() as i64 + 2;
    let tenths = digits.parse::<BigInt>().unwrap_or_default()
        * BigInt::from(10).pow(u32::try_from(zeros).unwrap_or(0));
    let fraction = size.to_bits() & ((1 << FRACTION_BITS) - 1);
    let shift = (size.to_bits() >> FRACTION_BITS) as u32 - 1023 - FRACTION_BITS;
    let unit = BigInt::from(10) << shift;
    let exact = BigInt::from(fraction | 1 << FRACTION_BITS) * &unit;
    let apart = if tenths > exact { (tenths - exact) * 2 } else { (exact - tenths) * 2 };
    // Below a power of two doubles are twice as dense.
    apart == unit || fraction == 0 && apart * 2 == unit
}

/// The order of doubles: NaN equals itself and is the greatest, and both zeros are equal.
pub(crate) fn compare(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::{compare, parse, show};

    #[test]
    fn text_is_that_of_postgresql() {
        let rows = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (1e-300, "1e-300"),
            (1e23, "9.999999999999999e+22"),
            (-999_999_691_358_027.2, "-999999691358027.2"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (5e-324, "5e-324"),
            (120.0, "120"),
            (-0.5, "-0.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in rows {
            assert_eq!(show(number), text);
            assert!(compare(parse(text).expect("a double"), number).is_eq(), "{text}");
        }
    }

    #[test]
    fn what_is_no_double_is_refused() {
        for text in ["", "x", "1e400", "1e-400", "-1e999", "1 2"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["0e-400", " 1 ", "inf", "-Infinity", "nan", ".5", "5."] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn nan_is_greatest_and_zeros_are_equal() {
        assert!(compare(f64::NAN, f64::INFINITY).is_gt());
        assert!(compare(f64::NAN, f64::NAN).is_eq());
        assert!(compare(-0.0, 0.0).is_eq());
    }
}
