//! `--confirm`: what the server is asked after each batch of writes, so that servers which acknowledge a write before it is
//! replicated or synced can be compared with one that does not: `WAIT replicas ms` and `WAITAOF local replicas ms`.
//!
//! A write counts as answered when the confirmation behind it says that enough copies have it; less than that is an error.

use std::fmt;

use crate::resp::{self, Value};

/// The command, and the least that it must answer. Displayed as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    text: String,
    request: Vec<u8>,
    least: Vec<i64>,
}

impl Confirm {
    /// Reads `WAIT 1 1000` or `WAITAOF 1 1 1000`.
    ///
    /// # Errors
    /// A text that says what is expected.
    pub fn parse(text: &str) -> Result<Confirm, String> {
        let expected = "write \"WAIT replicas ms\" or \"WAITAOF local replicas ms\"";
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (name, numbers) = words.split_first().ok_or(expected)?;
        let numbers: Result<Vec<i64>, _> = numbers.iter().map(|word| word.parse::<i64>()).collect();
        let numbers = numbers.map_err(|error| format!("{error}; {expected}"))?;
        let least = match (name.to_ascii_uppercase().as_str(), numbers.as_slice()) {
            ("WAIT", [replicas, _ms]) => vec![*replicas],
            ("WAITAOF", [local, replicas, _ms]) => vec![*local, *replicas],
            _ => return Err(expected.to_owned()),
        };
        let mut request = Vec::new();
        resp::request(&mut request, &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        Ok(Confirm { text: words.join(" "), request, least })
    }

    /// The bytes to send.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Whether this reply says that enough copies have the writes before it.
    pub fn is_enough(&self, reply: &[u8]) -> bool {
        let counts = match resp::parse(reply) {
            Ok(Some((Value::Int(count), _))) => vec![count],
            Ok(Some((Value::Array(counts), _))) => counts
                .iter()
                .filter_map(|value| if let Value::Int(n) = value { Some(*n) } else { None })
                .collect(),
            _ => return false,
        };
        counts.len() == self.least.len()
            && counts.iter().zip(&self.least).all(|(count, least)| count >= least)
    }
}

impl fmt::Display for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_what_was_asked_for() {
        let wait = Confirm::parse("wait 1 100").unwrap();
        assert_eq!(wait.request(), b"*3\r\n$4\r\nwait\r\n$1\r\n1\r\n$3\r\n100\r\n");
        let aof = Confirm::parse("WAITAOF 1 1 0").unwrap();
        let table: [(&Confirm, &[u8], bool); 7] = [
            (&wait, b":1\r\n", true),
            (&wait, b":0\r\n", false),
            (&wait, b"-ERR no\r\n", false),
            (&aof, b"*2\r\n:1\r\n:2\r\n", true),
            (&aof, b"*2\r\n:0\r\n:2\r\n", false),
            (&aof, b"*2\r\n:1\r\n:0\r\n", false),
            (&aof, b":1\r\n", false),
        ];
        for (confirm, reply, enough) in table {
            assert_eq!(confirm.is_enough(reply), enough, "{}", String::from_utf8_lossy(reply));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "WAIT", "WAIT 1", "WAITAOF 1 1", "SAVE", "WAIT one 1"] {
            assert!(Confirm::parse(text).is_err(), "{text}");
        }
    }
}
