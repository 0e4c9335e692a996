//! Doubles as PostgreSQL reads and writes them: the shortest text that reads back as the same number.

use std::cmp::Ordering;

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
    // `{:e}` has the shortest digits that read back: d.ddde±x.
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
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
