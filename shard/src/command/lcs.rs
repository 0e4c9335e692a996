//! LCS: the longest common subsequence of two strings.
//!
//! Redis fills a table with the length of the longest common subsequence of each prefix of the one string and each prefix of the other, and walks
//! back through it. Here a row of that table is its steps alone, a bit each, for lengths grow by one at most from one prefix to the next; a
//! row follows from the one above with a few operations on 64 of them at a time (Hyyrö, "Bit-parallel LCS-length computation revisited",
//! 2004). Where Redis, on its way back, asks which of two neighbours is the longer one, one bit of the row tells: so of several
//! subsequences of the same length both find the same one, with the same ranges.

use super::joint::{Keys, States, Work};
use super::limits::LCS_CELLS_MAX;
use super::objects::count;
use super::parse::{is, Args};
use super::{errors, numbers, Command};
use crate::reply::Reply;
use crate::state::Value;

/// What is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// The subsequence itself.
    Bytes,
    /// LEN.
    Length,
    /// IDX: where in both strings its parts are, those of a length at least.
    Ranges { length_min: u64, with_length: bool },
}

/// LCS of the strings at two places among the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lcs {
    keys: (usize, usize),
    wanted: Wanted,
}

/// Bits of a row that are worked on at once.
const WORD_BITS: usize = u64::BITS as usize;

/// A table of prefixes: what is behind a row of the longest common subsequences of a prefix of `a` and each prefix of `b`.
struct Table {
    /// Whether the length stays the same from one prefix of `b` to the next, all of `a` given. Bits that stand for none are set, and stay so.
    row: Vec<u64>,
    /// The rows of all prefixes of `a` but the empty one, each in as many bytes as it needs. Empty if they are not kept.
    rows: Vec<u8>,
    /// Bytes of a kept row.
    row_bytes: usize,
}

impl Table {
    fn of(a: &[u8], b: &[u8], keeps_rows: bool) -> Table {
        let (words, row_bytes) = (b.len().div_ceil(WORD_BITS), b.len().div_ceil(8));
        let (masks, number_of) = masks(a, b, words);
        let mut rows = Vec::with_capacity(if keeps_rows { a.len() * row_bytes } else { 0 });
        let mut row = vec![u64::MAX; words];
        for byte in a {
            let at = number_of[usize::from(*byte)] * words;
            let mut carry = false;
            for (same, mask) in row.iter_mut().zip(&masks[at..at + words]) {
                let meets = *same & mask;
                let (sum, first) = same.overflowing_add(meets);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                carry = first || second;
                *same = sum | (*same & !mask);
            }
            if keeps_rows {
                let end = rows.len() + row_bytes;
                row.iter().for_each(|word| rows.extend_from_slice(&word.to_le_bytes()));
                rows.truncate(end);
            }
        }
        Table { row, rows, row_bytes }
    }

    /// The length of the subsequence: how often it grows in the last row.
    fn length(&self) -> usize {
        self.row.iter().map(|word| word.count_zeros() as usize).sum()
    }

    /// Whether, of so many bytes of `a`, the subsequence with so many bytes of `b` is longer than that with one less. Neither number is 0.
    fn grows(&self, of_a: usize, of_b: usize) -> bool {
        let byte = self.rows[(of_a - 1) * self.row_bytes + (of_b - 1) / 8];
        byte >> ((of_b - 1) % 8) & 1 == 0
    }
}

/// For each byte that is in `a`: where it is in `b`, a bit for each place. Second: which of these is a byte's.
fn masks(a: &[u8], b: &[u8], words: usize) -> (Vec<u64>, [usize; 256]) {
    let (mut is_there, mut number_of, mut numbers) = ([false; 256], [0; 256], 0);
    for byte in a.iter().map(|byte| usize::from(*byte)) {
        if !is_there[byte] {
            (is_there[byte], number_of[byte]) = (true, numbers);
            numbers += 1;
        }
    }
    let mut masks = vec![0; numbers * words];
    for (place, byte) in b.iter().map(|byte| usize::from(*byte)).enumerate() {
        if is_there[byte] {
            masks[number_of[byte] * words + place / WORD_BITS] |= 1 << (place % WORD_BITS);
        }
    }
    (masks, number_of)
}

/// A part of both strings: where it begins in each, and its length.
type Range = (usize, usize, usize);

/// The subsequence, and its ranges, the last one first.
fn walk(table: &Table, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Range>) {
    let (mut of_a, mut of_b) = (a.len(), b.len());
    let (mut bytes, mut ranges, mut range) = (Vec::new(), Vec::new(), None::<Range>);
    while of_a > 0 && of_b > 0 {
        if a[of_a - 1] == b[of_b - 1] {
            bytes.push(a[of_a - 1]);
            (of_a, of_b) = (of_a - 1, of_b - 1);
            range = Some((of_a, of_b, range.map_or(1, |(.., length)| length + 1)));
        } else {
            ranges.extend(range.take());
            if table.grows(of_a, of_b) {
                of_a -= 1;
            } else {
                of_b -= 1;
            }
        }
    }
    ranges.extend(range);
    bytes.reverse();
    (bytes, ranges)
}

fn bytes_at<'a>(states: &'a States<'_>, place: usize) -> Result<&'a [u8], Reply> {
    match &states.look(place).value {
        None => Ok(&[]),
        Some(Value::Str(bytes)) => Ok(bytes),
        Some(_) => Err(errors::LCS_NOT_STRINGS),
    }
}

/// Runs it.
pub(super) fn run(work: &Lcs, states: &States<'_>) -> Result<Reply, Reply> {
    let (a, b) = (bytes_at(states, work.keys.0)?, bytes_at(states, work.keys.1)?);
    let cells = (a.len() + 1).checked_mul(b.len() + 1);
    if cells.is_none_or(|cells| cells > LCS_CELLS_MAX) {
        return Err(errors::lcs_too_long());
    }
    let table = Table::of(a, b, work.wanted != Wanted::Length);
    let length = table.length();
    if work.wanted == Wanted::Length {
        return Ok(count(length));
    }
    let (bytes, ranges) = walk(&table, a, b);
    assert_eq!(bytes.len(), length, "the way back meets as many bytes as the rows say");
    let Wanted::Ranges { length_min, with_length } = work.wanted else { return Ok(Reply::Bulk(bytes)) };
    let told = |(of_a, of_b, length): Range| {
        let range = |from: usize| Reply::Array(vec![count(from), count(from + length - 1)]);
        let mut parts = vec![range(of_a), range(of_b)];
        parts.extend(with_length.then(|| count(length)));
        Reply::Array(parts)
    };
    let ranges = ranges.into_iter().filter(|(.., length)| *length as u64 >= length_min);
    let matches = Reply::Array(ranges.map(told).collect());
    Ok(Reply::Map(vec![(Reply::bulk("matches"), matches), (Reply::bulk("len"), count(length))]))
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]`.
pub(super) fn parse(args: &Args<'_>) -> Result<Command, Reply> {
    let (mut length, mut ranges, mut length_min, mut with_length) = (false, false, 0, false);
    let mut words = args.from(3);
    while let Some(option) = words.next() {
        match option {
            option if is(option, "LEN") => length = true,
            option if is(option, "IDX") => ranges = true,
            option if is(option, "WITHMATCHLEN") => with_length = true,
            option if is(option, "MINMATCHLEN") => {
                let number = numbers::integer(words.next().ok_or(errors::SYNTAX)?);
                length_min = u64::try_from(number.ok_or(errors::NOT_AN_INTEGER)?).unwrap_or(0);
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    let wanted = match (length, ranges) {
        (true, true) => return Err(errors::LCS_LEN_AND_IDX),
        (true, false) => Wanted::Length,
        (false, true) => Wanted::Ranges { length_min, with_length },
        (false, false) => Wanted::Bytes,
    };
    let mut keys = Keys::default();
    let places = (keys.place(args.at(1)), keys.place(args.at(2)));
    keys.joint(Work::Lcs(Lcs { keys: places, wanted }))
}
