//! HSCAN, SSCAN and ZSCAN: an object page by page.
//!
//! A cursor is a place in the order of a hash of the entries' names, so that whatever is there all the time is found, whatever else comes
//! and goes, and nobody has to remember anything. Small objects come whole, as in Redis. Hashes have 48 bits, which clients that
//! count in floats can bear.

use xxhash_rust::xxh3::xxh3_64;

use super::codec::Arguments;
use super::glob::glob;
use super::parse::{is, Args};
use super::{errors, numbers};
use crate::reply::Reply;

/// Entries that a page has without COUNT, as in Redis.
const COUNT_DEFAULT: u64 = 10;

/// Objects of so many entries come whole, as those do that Redis keeps in one piece.
const WHOLE_MAX: usize = 128;

/// Bits of a hash.
const HASH_BITS: u32 = 48;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    cursor: u64,
    pattern: Option<Box<[u8]>>,
    count: u64,
    /// NOVALUES: names alone.
    pub names_only: bool,
}

impl Scan {
    /// `key cursor [MATCH pattern] [COUNT count] [NOVALUES]`, the last where `has_values`.
    pub(super) fn read(args: &Args<'_>, has_values: bool) -> Result<Scan, Reply> {
        let cursor = numbers::unsigned(args.at(2)).ok_or(errors::CURSOR)?;
        let mut scan = Scan { cursor, pattern: None, count: COUNT_DEFAULT, names_only: false };
        let mut from = args.from(3);
        while let Some(option) = from.next() {
            if is(option, "NOVALUES") && has_values {
                scan.names_only = true;
                continue;
            }
            let value = from.next().ok_or(errors::SYNTAX)?;
            if is(option, "MATCH") {
                scan.pattern = Some(value.into());
            } else if is(option, "COUNT") {
                let count = numbers::integer(value).ok_or(errors::NOT_AN_INTEGER)?;
                scan.count = u64::try_from(count).ok().filter(|count| *count > 0).ok_or(errors::SYNTAX)?;
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(scan)
    }

    /// Its arguments behind the key.
    pub(super) fn spell(&self, to: &mut Arguments<'_>) {
        to.number(self.cursor).text("COUNT").number(self.count);
        if let Some(pattern) = &self.pattern {
            to.text("MATCH").bytes(pattern);
        }
        if self.names_only {
            to.text("NOVALUES");
        }
    }

    /// Bytes of its arguments.
    pub(super) fn bytes(&self) -> usize {
        self.pattern.as_ref().map_or(0, |pattern| pattern.len())
    }

    /// The page: the next cursor and the entries, each by `show`. `len`: how many entries there are.
    pub(super) fn page<'a, T: 'a>(
        &self,
        len: usize,
        entries: impl Iterator<Item = &'a T>,
        name: impl Fn(&'a T) -> &'a [u8],
        show: impl Fn(&'a T, &mut Vec<Reply>),
    ) -> Reply {
        let fits = |entry: &&'a T| self.pattern.as_ref().is_none_or(|pattern| glob(pattern, name(entry)));
        let (mut next, mut replies) = (0, Vec::new());
        if len <= WHOLE_MAX {
            // A cursor of its pages is beyond what is still there.
            entries.filter(fits).for_each(|entry| show(entry, &mut replies));
        } else {
            let hashed = |entry: &'a T| (xxh3_64(name(entry)) >> (u64::BITS - HASH_BITS), entry);
            let mut left: Vec<(u64, &'a T)> =
                entries.map(hashed).filter(|(hash, _)| *hash >= self.cursor).collect();
            let count = usize::try_from(self.count).unwrap_or(usize::MAX);
            if left.len() > count {
                // What follows the last one is where it goes on. Entries of one hash come together.
                let (_, (until, _), _) = left.select_nth_unstable_by_key(count - 1, |(hash, _)| *hash);
                let until = *until;
                let more = left.iter().any(|(hash, _)| *hash > until);
                left.retain(|(hash, _)| *hash <= until);
                next = if more { until + 1 } else { 0 };
            }
            left.into_iter().map(|(_, entry)| entry).filter(fits).for_each(|entry| show(entry, &mut replies));
        }
        Reply::Array(vec![Reply::bulk(next.to_string()), Reply::Array(replies)])
    }
}
