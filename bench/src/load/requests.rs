//! Requests made by copying prepared parts: what a load sends millions of times a second is never formatted.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::keys::Kind;

/// Digits of a key.
const DIGITS: usize = 12;

/// Random bytes that values are cut from, beyond the length of one value.
const POOL_EXTRA_BYTES: usize = 16 << 10;

/// The prepared parts.
#[derive(Debug)]
pub struct Requests {
    prefix: Vec<u8>,
    get_head: Vec<u8>,
    set_head: Vec<u8>,
    set_middle: Vec<u8>,
    pool: Vec<u8>,
    pool_at: usize,
    value_bytes: usize,
}

impl Requests {
    /// Prepares requests whose keys are `prefix` and twelve digits and whose values have `value_bytes` bytes.
    pub fn new(prefix: &str, value_bytes: usize, seed: u64) -> Requests {
        let key_bytes = prefix.len() + DIGITS;
        let mut random = SmallRng::seed_from_u64(seed ^ 0x7661_6c75_6573);
        // Letters and digits, so that values can be read in a redis-cli.
        let pool = (0..value_bytes + POOL_EXTRA_BYTES)
            .map(|_| {
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                    [random.random_range(0..64)]
            })
            .collect();
        Requests {
            prefix: prefix.as_bytes().to_vec(),
            get_head: format!("*2\r\n$3\r\nGET\r\n${key_bytes}\r\n{prefix}").into_bytes(),
            set_head: format!("*3\r\n$3\r\nSET\r\n${key_bytes}\r\n{prefix}").into_bytes(),
            set_middle: format!("\r\n${value_bytes}\r\n").into_bytes(),
            pool,
            pool_at: 0,
            value_bytes,
        }
    }

    /// The key of a number.
    pub fn key(&self, number: u64) -> Vec<u8> {
        let mut key = self.prefix.clone();
        push_digits(&mut key, number);
        key
    }

    /// Appends the request for one operation to `out`.
    pub fn push(&mut self, out: &mut Vec<u8>, kind: Kind, number: u64) {
        match kind {
            Kind::Get => {
                out.extend_from_slice(&self.get_head);
                push_digits(out, number);
            }
            Kind::Set => {
                out.extend_from_slice(&self.set_head);
                push_digits(out, number);
                out.extend_from_slice(&self.set_middle);
                self.pool_at = (self.pool_at + 61) % POOL_EXTRA_BYTES;
                out.extend_from_slice(&self.pool[self.pool_at..self.pool_at + self.value_bytes]);
            }
        }
        out.extend_from_slice(b"\r\n");
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

    #[test]
    fn prepared_requests_equal_formatted_ones() {
        for value_bytes in [0, 1, 64, 1_000] {
            let mut requests = Requests::new("{t}k:", value_bytes, 7);
            for number in [0, 9, 1 << 32, 999_999_999_999] {
                let key = format!("{{t}}k:{number:012}");
                assert_eq!(requests.key(number), key.as_bytes());
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                requests.push(&mut out, Kind::Get, number);
                resp::request(&mut expected, &[b"GET", key.as_bytes()]);
                assert_eq!(out, expected);
                out.clear();
                expected.clear();
                requests.push(&mut out, Kind::Set, number);
                let value = out[out.len() - 2 - value_bytes..out.len() - 2].to_vec();
                resp::request(&mut expected, &[b"SET", key.as_bytes(), &value]);
                assert_eq!(out, expected);
            }
        }
    }
}
