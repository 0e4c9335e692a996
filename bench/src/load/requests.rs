//! Requests made by copying prepared parts: what a load sends millions of times a second is never formatted.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::commands::{Command, Piece};
use super::keys::Kind;
use super::Plan;

/// Digits of a key.
const DIGITS: usize = 12;

/// Random bytes that values are cut from, beyond the length of one value.
const POOL_EXTRA_BYTES: usize = 16 << 10;

/// A part of a prepared request.
#[derive(Debug)]
enum Part {
    /// Bytes that are the same in all requests.
    Fixed(Vec<u8>),
    /// Twelve digits of the key.
    Key,
    /// Twelve digits of the member.
    Member,
    /// A value.
    Value,
}

/// The prepared parts.
#[derive(Debug)]
pub struct Requests {
    prefix: Vec<u8>,
    read: Vec<Part>,
    write: Vec<Part>,
    /// Members a key.
    members: u64,
    pool: Vec<u8>,
    pool_at: usize,
    value_bytes: usize,
}

/// The parts of a command, with as few of them fixed as can be.
fn parts(command: &Command, prefix: &str, value_bytes: usize) -> Vec<Part> {
    let words = command.words();
    let mut parts = Vec::new();
    let mut fixed = format!("*{}\r\n", words.len());
    for word in words {
        let bytes: usize = word.iter().map(|piece| piece_bytes(piece, prefix, value_bytes)).sum();
        fixed.push_str(&format!("${bytes}\r\n"));
        for piece in word {
            let part = match piece {
                Piece::Text(text) => {
                    fixed.push_str(&text);
                    continue;
                }
                Piece::Key => {
                    fixed.push_str(prefix);
                    Part::Key
                }
                Piece::KeyDigits => Part::Key,
                Piece::MemberDigits => Part::Member,
                Piece::Value => Part::Value,
            };
            parts.extend([Part::Fixed(std::mem::take(&mut fixed).into_bytes()), part]);
        }
        fixed.push_str("\r\n");
    }
    parts.push(Part::Fixed(fixed.into_bytes()));
    parts
}

fn piece_bytes(piece: &Piece, prefix: &str, value_bytes: usize) -> usize {
    match piece {
        Piece::Text(text) => text.len(),
        Piece::Key => prefix.len() + DIGITS,
        Piece::KeyDigits | Piece::MemberDigits => DIGITS,
        Piece::Value => value_bytes,
    }
}

impl Requests {
    /// Prepares a plan's requests; `seed` is of their values.
    pub fn new(plan: &Plan, seed: u64) -> Requests {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x7661_6c75_6573);
        // Letters and digits, so that values can be read in a redis-cli.
        let pool = (0..plan.value_bytes + POOL_EXTRA_BYTES)
            .map(|_| {
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                    [random.random_range(0..64)]
            })
            .collect();
        Requests {
            prefix: plan.key_prefix.as_bytes().to_vec(),
            read: parts(&plan.read, &plan.key_prefix, plan.value_bytes),
            write: parts(&plan.write, &plan.key_prefix, plan.value_bytes),
            members: plan.members,
            pool,
            pool_at: 0,
            value_bytes: plan.value_bytes,
        }
    }

    /// The key of an operation.
    pub fn key(&self, number: u64) -> Vec<u8> {
        let mut key = self.prefix.clone();
        push_digits(&mut key, number / self.members);
        key
    }

    /// Appends the request for one operation to `out`.
    pub fn push(&mut self, out: &mut Vec<u8>, kind: Kind, number: u64) {
        let parts = match kind {
            Kind::Read => &self.read,
            Kind::Write => &self.write,
        };
        for part in parts {
            match part {
                Part::Fixed(bytes) => out.extend_from_slice(bytes),
                Part::Key => push_digits(out, number / self.members),
                Part::Member => push_digits(out, number % self.members),
                Part::Value => {
                    self.pool_at = (self.pool_at + 61) % POOL_EXTRA_BYTES;
                    out.extend_from_slice(&self.pool[self.pool_at..self.pool_at + self.value_bytes]);
                }
            }
        }
    }
}

fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    assert!(number == 0, "a key number of a checked plan has at most {DIGITS} digits");
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp;

    fn plan(read: Command, write: Command, value_bytes: usize, members: u64) -> Plan {
        Plan {
            read,
            write,
            value_bytes,
            members,
            key_prefix: "{t}k:".to_owned(),
            ..super::super::tests::plan()
        }
    }

    #[test]
    fn prepared_requests_equal_formatted_ones() {
        for value_bytes in [0, 1, 64, 1_000] {
            let mut requests = Requests::new(&plan(Command::GET, Command::SET, value_bytes, 1), 7);
            for number in [0, 9, 1 << 32, 999_999_999_999] {
                let key = format!("{{t}}k:{number:012}");
                assert_eq!(requests.key(number), key.as_bytes());
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                requests.push(&mut out, Kind::Read, number);
                resp::request(&mut expected, &[b"GET", key.as_bytes()]);
                assert_eq!(out, expected);
                out.clear();
                expected.clear();
                requests.push(&mut out, Kind::Write, number);
                let value = out[out.len() - 2 - value_bytes..out.len() - 2].to_vec();
                resp::request(&mut expected, &[b"SET", key.as_bytes(), &value]);
                assert_eq!(out, expected);
            }
        }
    }

    #[test]
    fn a_number_names_a_key_and_a_member_of_it() {
        let lrange = "LRANGE {t}k:000000000123 0 99";
        let table = [
            (
                "zscore",
                "zadd",
                "ZSCORE {t}k:000000000123 m000000000045",
                "ZADD {t}k:000000000123 000000000045 m000000000045",
            ),
            ("hget", "hset", "HGET {t}k:000000000123 m000000000045", "HSET {t}k:000000000123 m000000000045 "),
            ("lrange-100", "rpop", lrange, "RPOP {t}k:000000000123"),
            (
                "EXISTS x __key__",
                "SQL INSERT_$1 '__rand_int__' a__member__b__rand_int__",
                "EXISTS x {t}k:000000000123",
                "SQL INSERT_$1 000000000123 a000000000045b000000000123",
            ),
        ];
        for (read, write, reads, writes) in table {
            let plan = plan(Command::read(read).unwrap(), Command::write(write).unwrap(), 0, 1_000);
            let mut requests = Requests::new(&plan, 7);
            for (kind, text) in [(Kind::Read, reads), (Kind::Write, writes)] {
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                requests.push(&mut out, kind, 123_045);
                resp::request(&mut expected, &text.split(' ').map(str::as_bytes).collect::<Vec<_>>());
                assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
            }
        }
    }
}
