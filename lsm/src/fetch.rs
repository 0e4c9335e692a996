//! Blocks for those who read: from memory where they are there, else with a note of what is to be read from disk.
//!
//! Whoever reads goes as far as the blocks at hand take it. What it lacks is noted as a [`Need`], and it goes on from the same place when
//! that has been read: there is no waiting, and nothing is read twice.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::block::Block;
use crate::cache::{BlockCache, Cached};
use crate::envelope::{self, BlockError, BlockKind};
use crate::table::{Section, Table};

/// A block that somebody lacks.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub table: Rc<Table>,
    pub kind: BlockKind,
    /// Where it lies, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes of it, envelope included.
    pub bytes: usize,
    /// For a data block: where the data of its section begins, which numbers the section's block.
    pub data_end: u64,
}

/// Blocks that were read for one reader, whether or not the cache keeps them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    blocks: BTreeMap<(u64, u64), Cached>,
    /// Tables in the order in which they were read from last.
    tables: VecDeque<u64>,
}

impl Held {
    pub fn find(&self, table: u64, offset: u64) -> Option<&Cached> {
        self.blocks.get(&(table, offset))
    }

    /// Takes what one read of a table brought, in place of what an earlier one did. `tables_max`: of more tables nothing is kept, so that a
    /// reader that goes from table to table leaves nothing behind; at least twice as many as it reads from at the same time.
    pub fn renew(&mut self, table: u64, blocks: Vec<(u64, Cached)>, tables_max: usize) {
        self.tables.retain(|other| *other != table);
        self.tables.push_back(table);
        if self.tables.len() > tables_max {
            let oldest = self.tables.pop_front();
            self.blocks.retain(|(id, _), _| Some(*id) != oldest);
        }
        let is_data = |cached: &Cached| matches!(cached, Cached::Data(_));
        let brings_data = blocks.iter().any(|(_, cached)| is_data(cached));
        self.blocks.retain(|(id, _), cached| *id != table || is_data(cached) != brings_data);
        self.blocks.extend(blocks.into_iter().map(|(offset, cached)| ((table, offset), cached)));
    }
}

/// Where a reader gets its blocks from.
pub(crate) struct Fetch<'a> {
    /// None: what is read is of no use to others, who would only lose what they need.
    pub cache: Option<&'a mut BlockCache>,
    pub held: &'a Held,
    /// What is lacking.
    pub needs: &'a mut Vec<Need>,
}

impl Fetch<'_> {
    /// A section of a table.
    #[inline]
    pub fn section(&mut self, table: &Rc<Table>, index: usize) -> Option<Rc<Section>> {
        let place = &table.sections[index];
        match self.find(table, place.offset) {
            Some(Cached::Section(section)) => Some(section),
            _ => {
                let (kind, bytes) = (BlockKind::Section, place.bytes as usize);
                self.need(Need {
                    table: table.clone(),
                    kind,
                    offset: place.offset,
                    bytes,
                    data_end: place.offset,
                })
            }
        }
    }

    /// A data block of a section.
    #[inline]
    pub fn data(
        &mut self,
        table: &Rc<Table>,
        index: usize,
        section: &Section,
        block: usize,
    ) -> Option<Rc<Block>> {
        let place = &table.sections[index];
        let (start, bytes) = section.block(block);
        let offset = place.start + start;
        match self.find(table, offset) {
            Some(Cached::Data(block)) => Some(block),
            _ => {
                let (kind, data_end) = (BlockKind::Data, place.offset);
                self.need(Need { table: table.clone(), kind, offset, bytes, data_end })
            }
        }
    }

    fn find(&mut self, table: &Table, offset: u64) -> Option<Cached> {
        if let Some(found) = self.held.find(table.meta.id, offset) {
            return Some(found.clone());
        }
        self.cache.as_mut()?.find(table.meta.id, offset)
    }

    fn need<T>(&mut self, need: Need) -> Option<T> {
        self.needs.push(need);
        None
    }
}

/// Makes blocks of what was read for a need: the one that was lacking, and those behind it that came along. `bytes` begin where the block
/// does.
pub(crate) fn unpack(need: &Need, bytes: &[u8]) -> Result<Vec<(u64, Cached)>, (u64, BlockError)> {
    let table = need.table.meta.id;
    let mut blocks = Vec::new();
    let mut at = 0;
    while need.offset + (at as u64) < need.data_end || at == 0 {
        let offset = need.offset + at as u64;
        let rest = bytes.get(at..).unwrap_or_default();
        let taken = match envelope::peek(rest) {
            Ok((taken, _)) if taken <= rest.len() => taken,
            // Blocks that came along in part only are read when it is their turn.
            _ if at > 0 => break,
            Ok(_) => return Err((offset, BlockError::Short)),
            Err(error) => return Err((offset, error)),
        };
        match unpack_one(need, &rest[..taken], (table, offset)) {
            Ok(cached) => blocks.push((offset, cached)),
            Err(_) if at > 0 => break,
            Err(error) => return Err((offset, error)),
        }
        at += taken;
        if need.kind != BlockKind::Data {
            break;
        }
    }
    Ok(blocks)
}

fn unpack_one(need: &Need, bytes: &[u8], place: (u64, u64)) -> Result<Cached, BlockError> {
    let raw = envelope::open(bytes, need.kind, place)?;
    match need.kind {
        BlockKind::Data => Block::parse(raw).map(|block| Cached::Data(Rc::new(block))),
        BlockKind::Section => {
            let place = need.table.sections.iter().find(|section| section.offset == need.offset);
            let place = place.ok_or(BlockError::Content("no section lies there"))?;
            Section::parse(&raw, place.offset - place.start).map(|section| Cached::Section(Rc::new(section)))
        }
        _ => Err(BlockError::Kind),
    }
}
