//! Keys of which it is of no account what they hold: when that ends stands for a value, and that it never ends for none.
//!
//! EXPIRE and its kin write it, as numbers of hours that are all different and far ahead, TTL and its kin read it, and PERSIST takes it back. Clocks are
//! off by less than half of the time between two such ends, so what is read tells which of them was set, by whatever clock. Where a key must be
//! there to take an end, a step of the same transaction puts it there.

use synod_bench::history::{self, Command};

use super::{is_long, put, token, Shape};
use crate::limits::WALL_MS;

/// Between two ends, in milliseconds: clocks are off by an hour each way, and run a fifth too fast or slow for two minutes at most.
const APART_MS: i64 = 8 * 60 * 60 * 1000;

/// What such a key holds, where that is not an object.
const CONTENT: &[u8] = b"x";

/// What is asked about when a key ends instead of a command drawn for its kind.
pub fn as_said(command: Command) -> Command {
    match command {
        Command::CompareSet { value, .. } => Command::SetIfAbsent(value),
        Command::GetSet(value) => Command::Set(value),
        Command::GetDel => Command::Del,
        Command::Exists => Command::Get,
        command => command,
    }
}

/// Whether a command asks for an end, which only a key takes that is there.
pub fn is_set(command: &Command) -> bool {
    matches!(command, Command::Set(_) | Command::SetIfAbsent(_))
}

/// The words of a command about when a key ends, which is there if an end is set.
pub fn words(key: &[u8], command: &Command) -> Vec<Vec<u8>> {
    let name = || key.to_vec();
    match command {
        Command::Get => vec![Unit::of_key(key).question(), name()],
        Command::Del | Command::Clear => vec![b"PERSIST".to_vec(), name()],
        Command::Set(token) | Command::SetIfAbsent(token) => {
            let number = number_of(token);
            let unit = Unit::of(number);
            let mut words = vec![unit.command(), name(), unit.say(number)];
            words.extend(matches!(command, Command::SetIfAbsent(_)).then(|| b"NX".to_vec()));
            words
        }
        other => unreachable!("not said of when a key ends: {other:?}"),
    }
}

/// The same as two steps, of which the first one sees to it that the key is there.
pub fn in_steps(key: &[u8], command: &Command) -> [Vec<Vec<u8>>; 2] {
    let step = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    let (Command::Set(token) | Command::SetIfAbsent(token)) = command else {
        unreachable!("it sets no end: {command:?}")
    };
    let whole = words(key, command);
    let number = number_of(token);
    let unit = Unit::of(number);
    match (number % 3, command) {
        _ if is_long(key) => [put(Shape::Hash, key, token), whole],
        (1, Command::Set(_)) => {
            [step(&[b"PERSIST", key]), step(&[b"SET", key, CONTENT, unit.option(), &unit.say(number)])]
        }
        (2, Command::Set(_)) => [step(&[b"SET", key, CONTENT]), whole],
        _ => [step(&[b"SETNX", key, CONTENT]), whole],
    }
}

/// What a number says that answers a command about when a key ends; None: nothing else than of any key.
pub fn told(key: &[u8], command: &Command, number: i64) -> Option<history::Reply> {
    Some(match (command, number) {
        (Command::Get, ..0) => history::Reply::Nil,
        (Command::Get, shown) => history::Reply::Value(Unit::of_key(key).token(shown)),
        (Command::Set(_), 1) => history::Reply::Ok,
        // A key that is there takes any end.
        (Command::Set(_), _) => history::Reply::Nil,
        _ => return None,
    })
}

/// How a moment is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    in_ms: bool,
    absolute: bool,
}

impl Unit {
    fn of(number: u64) -> Unit {
        Unit { in_ms: number & 1 == 0, absolute: number & 2 == 0 }
    }

    /// The one in which a key is asked when it ends.
    fn of_key(key: &[u8]) -> Unit {
        Unit::of(key.iter().map(|byte| u64::from(*byte)).sum())
    }

    fn command(self) -> Vec<u8> {
        let name: &[u8] = match (self.in_ms, self.absolute) {
            (true, false) => b"PEXPIRE",
            (false, false) => b"EXPIRE",
            (true, true) => b"PEXPIREAT",
            (false, true) => b"EXPIREAT",
        };
        name.to_vec()
    }

    fn question(self) -> Vec<u8> {
        let name: &[u8] = match (self.in_ms, self.absolute) {
            (true, false) => b"PTTL",
            (false, false) => b"TTL",
            (true, true) => b"PEXPIRETIME",
            (false, true) => b"EXPIRETIME",
        };
        name.to_vec()
    }

    fn option(self) -> &'static [u8] {
        match (self.in_ms, self.absolute) {
            (true, false) => b"PX",
            (false, false) => b"EX",
            (true, true) => b"PXAT",
            (false, true) => b"EXAT",
        }
    }

    fn from(self) -> i64 {
        if self.absolute {
            WALL_MS
        } else {
            0
        }
    }

    fn size(self) -> i64 {
        if self.in_ms {
            1
        } else {
            1_000
        }
    }

    /// The moment of this number.
    fn say(self, number: u64) -> Vec<u8> {
        let ms = self.from() + number.cast_signed() * APART_MS;
        (ms / self.size()).to_string().into_bytes()
    }

    /// The token whose end is shown so; something that no token is like, where it is none's.
    fn token(self, shown: i64) -> Vec<u8> {
        let ms = shown.saturating_mul(self.size()).saturating_sub(self.from());
        let number = ms.saturating_add(APART_MS / 2) / APART_MS;
        if number < 1 || (ms - number * APART_MS).abs() > APART_MS / 3 {
            return format!("{shown} is no end").into_bytes();
        }
        token(number as f64)
    }
}

fn number_of(token: &[u8]) -> u64 {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_shown_whatever_the_clocks() {
        for (number, place) in (1..300).map(|number| (number, number + number / 7)) {
            let written = token(number as f64);
            assert_eq!(number_of(&written), number);
            let (unit, shown) = (Unit::of(number), Unit::of(place));
            let said: i64 = String::from_utf8(unit.say(number)).unwrap().parse().unwrap();
            for (late, off) in [(0, 0), (100_000, 3_600_000), (100_000, -3_600_000), (20_000, 7_200_000)] {
                // Said relative to one clock, and shown by another one, later.
                let ends_ms = said * unit.size() + if unit.absolute { 0 } else { WALL_MS };
                let ms = if shown.absolute { ends_ms } else { ends_ms - WALL_MS - late + off };
                assert_eq!(shown.token(ms / shown.size()), written, "{number}: {unit:?} {shown:?} {off}");
            }
        }
        let unit = Unit { in_ms: true, absolute: false };
        assert!(unit.token(APART_MS / 2).ends_with(b"no end") && unit.token(0).ends_with(b"no end"));
    }
}
