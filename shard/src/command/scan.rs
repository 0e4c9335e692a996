//! HSCAN, SSCAN and ZSCAN: an object page by page.
//!
//! A cursor is a place in the order of a hash of the entries' names, so that whatever is there all the time is found, whatever else comes
//! and goes, and at whichever host it is asked for ([`ScanOrder`]). Small objects come whole, as in Redis.

use super::codec::Arguments;
use super::glob::glob;
use super::parse::{is, Args};
use super::{errors, numbers};
use crate::object::{Element, ScanOrder};
use crate::reply::Reply;

/// Entries that a page has without COUNT, as in Redis.
const COUNT_DEFAULT: u64 = 10;

/// Objects of so many entries come whole, as those do that Redis keeps in one piece.
const WHOLE_MAX: usize = 128;

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

    /// The page: the next cursor and the entries of these `names`, each by `show`.
    pub(super) fn page<'a>(
        &self,
        order: &ScanOrder,
        names: impl ExactSizeIterator<Item = &'a Element>,
        show: impl Fn(&Element, &mut Vec<Reply>),
    ) -> Reply {
        let fits = |name: &Element| self.pattern.as_ref().is_none_or(|pattern| glob(pattern, name));
        let mut replies = Vec::new();
        let mut add = |name: &Element| {
            if fits(name) {
                show(name, &mut replies);
            }
        };
        let mut next = None;
        if names.len() <= WHOLE_MAX {
            // A cursor of its pages is beyond what is still there.
            names.for_each(add);
        } else {
            let count = usize::try_from(self.count).unwrap_or(usize::MAX);
            let page;
            (page, next) = order.page(names, self.cursor, count);
            page.iter().for_each(&mut add);
        }
        Reply::Array(vec![Reply::bulk(next.unwrap_or(0).to_string()), Reply::Array(replies)])
    }
}
