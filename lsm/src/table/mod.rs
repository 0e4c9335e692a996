//! Tables: sorted files that are written once (docs/formats/table.md).
//!
//! A table is a run of sections. A section is a run of data blocks and, behind them, one block with its index and its filter, so that a
//! key costs two blocks: the section's, which is asked whether the key can be there and where, and the data block. Which section has a
//! key is known in memory, as are the range deletions.

pub(crate) mod build;
pub(crate) mod footer;
pub(crate) mod meta;
pub(crate) mod section;

use std::cell::Cell;

use reactor::FileId;

use crate::error::Damage;
use crate::ranges::Ranges;
pub(crate) use meta::TableMeta;
pub(crate) use section::{Section, SectionRef};

/// A table whose file is open.
#[derive(Debug)]
pub(crate) struct Table {
    pub meta: TableMeta,
    pub file: FileId,
    pub sections: Box<[SectionRef]>,
    pub ranges: Ranges,
    /// A part of it could not be believed: it is not compacted any more, only dropped.
    pub is_damaged: Cell<bool>,
}

impl Table {
    /// The section that has the key, if any has.
    pub fn section_of(&self, key: &[u8]) -> Option<usize> {
        let at = self.sections.partition_point(|section| *section.separator < *key);
        (at < self.sections.len()).then_some(at)
    }

    /// What to say of a part of it that cannot be believed.
    pub fn damage(&self, offset: u64, message: String) -> Damage {
        let (first, end) = (self.meta.first.clone(), self.meta.end.clone());
        Damage { file: crate::names::table(self.meta.id), offset, message, first, end }
    }
}
