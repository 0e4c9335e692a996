//! TIMESTAMP as text: `2024-02-29 12:34:56.789`, years 1 to 9999, microseconds at most, and no time zone.

use jiff::civil::{date, DateTime};

use crate::error::Error;

const MICROS: i64 = 1_000_000;

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

/// Reads a date, or a date and a time of day with a blank or a `T` between.
pub(crate) fn parse(text: &str) -> Result<i64, Error> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if matches!(trimmed.trim_start_matches('-').to_ascii_lowercase().as_str(), "infinity" | "inf") {
        return Err(Error::new(
            crate::ErrorKind::Value,
            "22007",
            "TIMESTAMP holds no infinity; leave it NULL",
        ));
    }
    let wrong = || {
        Error::new(crate::ErrorKind::Value, "22007", format!("invalid input syntax for type timestamp: \"{}\" (write YYYY-MM-DD HH:MM:SS.ffffff, without a zone)", crate::error::shortened(text)))
    };
    let (day, time) = trimmed.split_once([' ', 'T', 't']).unwrap_or((trimmed, "00:00:00"));
    let day: Vec<i64> = numbers(day, '-').ok_or_else(wrong)?;
    let (clock, fraction) = time.trim_start().split_once('.').unwrap_or((time.trim_start(), ""));
    let clock = numbers(clock, ':').ok_or_else(wrong)?;
    let ([year, month, day], [hour, minute, rest @ ..]) = (day.as_slice(), clock.as_slice()) else {
        return Err(wrong());
    };
    if rest.len() > 1
        || fraction.len() > 9
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
        || rest.is_empty() && !fraction.is_empty()
    {
        return Err(wrong());
    }
    let out = || {
        Error::new(
            crate::ErrorKind::Value,
            "22008",
            format!("date/time field value out of range: \"{}\"", crate::error::shortened(text)),
        )
    };
    let second = rest.first().copied().unwrap_or(0);
    if !(1..=9999).contains(year)
        || *hour > 24
        || *minute > 59
        || second > 60
        || *hour == 24 && (*minute, second) != (0, 0)
    {
        return Err(out());
    }
    let small = |number: i64| i8::try_from(number).unwrap_or(-1);
    let day = jiff::civil::Date::new(i16::try_from(*year).unwrap_or(-1), small(*month), small(*day))
        .map_err(|_| out())?;
    let micros = format!("0.{fraction}").parse::<f64>().map_err(|_| wrong())? * MICROS as f64;
    // 24:00:00 and a second of 60 are the beginning of what follows, as in PostgreSQL.
    let seconds = (hour * 60 + minute) * 60 + second;
    within(days_since_epoch(day) * 86_400 * MICROS + seconds * MICROS + micros.round_ties_even() as i64)
        .ok_or_else(out)
}

fn numbers(text: &str, separator: char) -> Option<Vec<i64>> {
    let parse = |part: &str| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    text.split(separator).map(parse).collect()
}

fn days_since_epoch(day: jiff::civil::Date) -> i64 {
    epoch().date().until(day).map_or(0, |span| i64::from(span.get_days()))
}

/// The same moment, if its year has four digits.
pub(crate) fn within(micros: i64) -> Option<i64> {
    (FIRST..=LAST).contains(&micros).then_some(micros)
}

/// 0001-01-01 00:00:00 and 9999-12-31 23:59:59.999999.
const FIRST: i64 = -62_135_596_800 * MICROS;
const LAST: i64 = 253_402_300_800 * MICROS - 1;

/// The text of a timestamp.
pub(crate) fn show(micros: i64) -> String {
    let (seconds, micros) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
    let moment = epoch().checked_add(jiff::SignedDuration::from_secs(seconds));
    let moment = moment.unwrap_or(if seconds < 0 { DateTime::MIN } else { DateTime::MAX });
    let (year, month, day) = (moment.year(), moment.month(), moment.day());
    let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
    let whole = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    match micros {
        0 => whole,
        _ => format!("{whole}.{micros:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, show, FIRST, LAST};

    #[test]
    fn text_is_read_and_written() {
        let rows = [
            ("2024-02-29", "2024-02-29 00:00:00"),
            ("1970-01-01 00:00:00", "1970-01-01 00:00:00"),
            ("2024-2-9T1:02", "2024-02-09 01:02:00"),
            ("1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5"),
            ("2024-12-31 24:00:00", "2025-01-01 00:00:00"),
            ("2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.123457"),
            ("0001-01-01", "0001-01-01 00:00:00"),
        ];
        for (text, expected) in rows {
            assert_eq!(show(parse(text).expect("a timestamp")), expected, "{text}");
        }
        assert_eq!(parse("0001-01-01"), Ok(FIRST));
        assert_eq!(parse("9999-12-31 23:59:59.999999"), Ok(LAST));
        assert_eq!(show(LAST), "9999-12-31 23:59:59.999999");
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-01-01 25:00",
            "2024-01-01 00:00:00+02",
            "2024-01-01x",
            "0000-01-01",
            "9999-12-31 24:00:00",
            "2024-01-01 00:61",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
