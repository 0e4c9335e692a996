//! A disk in memory that knows what is durable: pure, for [`super::fuse`] to serve and for the drill to break.
//!
//! Every block has what was written last and, as long as that was not synced, what was durable before. When the
//! power fails each such block keeps the one, or the other, or is torn between the two at a sector. Directories
//! have two states likewise, and keep one of them whole.
//!
//! A sync that fails is the worst there is (as Linux does it): the blocks are taken for clean from then on, so
//! that the next sync succeeds without writing them, and they are gone when the power fails. Who syncs again
//! and believes it loses data.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rand::rngs::SmallRng;
use rand::RngExt;

/// The unit of allocation and of tracking.
pub const BLOCK_BYTES: usize = 4_096;

/// The unit that a device writes whole.
const SECTOR_BYTES: usize = 512;

/// What rot leaves alone at the end of a file: more than any host of the lab writes at once.
const SPARED_BYTES: u64 = 1 << 20;

/// The number of the top directory, fixed by FUSE.
pub const ROOT: u64 = 1;

type Block = Box<[u8]>;

/// What can go wrong, as errors of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// ENOENT
    NotFound,
    /// EEXIST
    Exists,
    /// ENOTDIR, or EISDIR: something of the other kind is needed.
    WrongKind,
    /// ENOTEMPTY
    NotEmpty,
    /// ENOSPC
    Full,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub number: u64,
    /// A directory, or else a file.
    pub is_directory: bool,
    /// Bytes of a file.
    pub size: u64,
    /// Blocks that it takes up.
    pub blocks: u64,
    /// Permission bits.
    pub mode: u16,
}

#[derive(Debug, Default)]
struct File {
    size: u64,
    durable_size: u64,
    /// Blocks that were asked for in advance; they are never refused.
    reserved: u64,
    blocks: BTreeMap<u64, Block>,
    /// What was durable of the blocks that were written since.
    unsynced: BTreeMap<u64, Option<Block>>,
    /// The same, of blocks that a failed sync has made look clean.
    doomed: BTreeMap<u64, Option<Block>>,
}

#[derive(Debug, Default)]
struct Directory {
    now: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
}

#[derive(Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

/// The disk.
#[derive(Debug)]
pub struct Store {
    nodes: BTreeMap<u64, (Node, u16)>,
    last: u64,
    /// How many hold a file open.
    open: BTreeMap<u64, u32>,
    capacity_blocks: u64,
    used_blocks: u64,
}

impl Store {
    /// An empty disk of so many bytes.
    pub fn new(bytes: u64) -> Store {
        let root = (Node::Directory(Directory::default()), 0o755);
        Store {
            nodes: BTreeMap::from([(ROOT, root)]),
            last: ROOT,
            open: BTreeMap::new(),
            capacity_blocks: bytes / BLOCK_BYTES as u64,
            used_blocks: 0,
        }
    }

    /// Blocks in all, and of them free.
    pub fn space(&self) -> (u64, u64) {
        (self.capacity_blocks, self.capacity_blocks.saturating_sub(self.used_blocks))
    }

    fn directory(&self, number: u64) -> Result<&Directory, Trouble> {
        match self.nodes.get(&number) {
            Some((Node::Directory(directory), _)) => Ok(directory),
            Some(_) => Err(Trouble::WrongKind),
            None => Err(Trouble::NotFound),
        }
    }

    fn directory_mut(&mut self, number: u64) -> Result<&mut Directory, Trouble> {
        match self.nodes.get_mut(&number) {
            Some((Node::Directory(directory), _)) => Ok(directory),
            Some(_) => Err(Trouble::WrongKind),
            None => Err(Trouble::NotFound),
        }
    }

    fn file(&self, number: u64) -> Result<&File, Trouble> {
        match self.nodes.get(&number) {
            Some((Node::File(file), _)) => Ok(file),
            Some(_) => Err(Trouble::WrongKind),
            None => Err(Trouble::NotFound),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut File, Trouble> {
        match self.nodes.get_mut(&number) {
            Some((Node::File(file), _)) => Ok(file),
            Some(_) => Err(Trouble::WrongKind),
            None => Err(Trouble::NotFound),
        }
    }

    /// What a node is.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn about(&self, number: u64) -> Result<About, Trouble> {
        let (node, mode) = self.nodes.get(&number).ok_or(Trouble::NotFound)?;
        let (is_directory, size, blocks) = match node {
            Node::Directory(_) => (true, 0, 0),
            Node::File(file) => (false, file.size, file.taken()),
        };
        Ok(About { number, is_directory, size, blocks, mode: *mode })
    }

    /// Finds a name.
    ///
    /// # Errors
    /// It is not there.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<About, Trouble> {
        self.about(*self.directory(parent)?.now.get(name).ok_or(Trouble::NotFound)?)
    }

    /// What a directory holds.
    ///
    /// # Errors
    /// It is none.
    pub fn list(&self, number: u64) -> Result<Vec<(OsString, About)>, Trouble> {
        let entries = self.directory(number)?.now.iter();
        entries.map(|(name, &number)| Ok((name.clone(), self.about(number)?))).collect()
    }

    /// Makes a file or a directory.
    ///
    /// # Errors
    /// The name is taken.
    pub fn make(&mut self, parent: u64, name: &OsStr, directory: bool, mode: u16) -> Result<About, Trouble> {
        if self.directory(parent)?.now.contains_key(name) {
            return Err(Trouble::Exists);
        }
        self.last += 1;
        let number = self.last;
        let node = match directory {
            true => Node::Directory(Directory::default()),
            false => Node::File(File::default()),
        };
        self.nodes.insert(number, (node, mode));
        self.directory_mut(parent)?.now.insert(name.to_owned(), number);
        self.about(number)
    }

    /// Removes a name. What it named goes when nothing durable names it and nobody holds it open.
    ///
    /// # Errors
    /// It is not there, or a directory that is not empty.
    pub fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Trouble> {
        let number = self.lookup(parent, name)?.number;
        if matches!(self.directory(number), Ok(directory) if !directory.now.is_empty()) {
            return Err(Trouble::NotEmpty);
        }
        self.directory_mut(parent)?.now.remove(name);
        self.collect();
        Ok(())
    }

    /// Gives something another name; what had that name before loses it.
    ///
    /// # Errors
    /// It is not there.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Trouble> {
        let number = self.lookup(from.0, from.1)?.number;
        self.directory(to.0)?;
        self.directory_mut(from.0)?.now.remove(from.1);
        self.directory_mut(to.0)?.now.insert(to.1.to_owned(), number);
        self.collect();
        Ok(())
    }

    /// Changes permission bits.
    ///
    /// # Errors
    /// There is no such node.
    pub fn set_mode(&mut self, number: u64, mode: u16) -> Result<(), Trouble> {
        self.nodes.get_mut(&number).ok_or(Trouble::NotFound)?.1 = mode;
        Ok(())
    }

    /// Counts an opening of a file.
    pub fn opened(&mut self, number: u64) {
        *self.open.entry(number).or_default() += 1;
    }

    /// The opposite of [`Store::opened`].
    pub fn closed(&mut self, number: u64) {
        let left = self.open.get_mut(&number).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            self.open.remove(&number);
            self.collect();
        }
    }

    /// Reads: fewer bytes at the end of the file.
    ///
    /// # Errors
    /// It is no file.
    pub fn read(&self, number: u64, offset: u64, bytes: usize) -> Result<Vec<u8>, Trouble> {
        let file = self.file(number)?;
        let length = (bytes as u64).min(file.size.saturating_sub(offset)) as usize;
        let mut out = vec![0; length];
        for (block, inside, span) in spans(offset, length) {
            if let Some(bytes) = file.blocks.get(&block) {
                out[span.clone()].copy_from_slice(&bytes[inside..inside + span.len()]);
            }
        }
        Ok(out)
    }

    /// Writes, and nothing of it is durable yet.
    ///
    /// # Errors
    /// It is no file, or the disk is full: then nothing is written.
    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let before = self.file(number)?.taken();
        let file = self.file(number)?;
        let new =
            spans(offset, bytes.len()).filter(|(block, ..)| !file.blocks.contains_key(block)).count() as u64;
        let after = (file.blocks.len() as u64 + new).max(file.reserved);
        self.take(before, after)?;
        let file = self.file_mut(number)?;
        for (block, inside, span) in spans(offset, bytes.len()) {
            file.touch(block);
            let content = file.blocks.entry(block).or_insert_with(|| vec![0; BLOCK_BYTES].into());
            content[inside..inside + span.len()].copy_from_slice(&bytes[span]);
        }
        file.size = file.size.max(offset + bytes.len() as u64);
        Ok(())
    }

    /// Asks for room in advance, and makes the file so long.
    ///
    /// # Errors
    /// It is no file, or the disk is full.
    pub fn reserve(&mut self, number: u64, end: u64, keep_size: bool) -> Result<(), Trouble> {
        let file = self.file(number)?;
        let (before, reserved) = (file.taken(), file.reserved.max(end.div_ceil(BLOCK_BYTES as u64)));
        let after = (file.blocks.len() as u64).max(reserved);
        self.take(before, after)?;
        let file = self.file_mut(number)?;
        file.reserved = reserved;
        if !keep_size {
            file.size = file.size.max(end);
        }
        Ok(())
    }

    /// Cuts a file, or makes it longer.
    ///
    /// # Errors
    /// It is no file.
    pub fn resize(&mut self, number: u64, size: u64) -> Result<(), Trouble> {
        let file = self.file_mut(number)?;
        let before = file.taken();
        let end = size.div_ceil(BLOCK_BYTES as u64);
        let gone: Vec<u64> = file.blocks.range(end..).map(|(block, _)| *block).collect();
        for block in gone {
            file.touch(block);
            file.blocks.remove(&block);
        }
        if size < file.size && !size.is_multiple_of(BLOCK_BYTES as u64) {
            let last = size / BLOCK_BYTES as u64;
            if file.blocks.contains_key(&last) {
                file.touch(last);
            }
            if let Some(block) = file.blocks.get_mut(&last) {
                block[(size % BLOCK_BYTES as u64) as usize..].fill(0);
            }
        }
        file.reserved = file.reserved.min(end);
        file.size = size;
        let after = file.taken();
        self.used_blocks = self.used_blocks + after - before;
        Ok(())
    }

    /// Makes a file durable.
    ///
    /// # Errors
    /// It is no file.
    pub fn sync(&mut self, number: u64) -> Result<(), Trouble> {
        let file = self.file_mut(number)?;
        file.unsynced.clear();
        file.durable_size = file.size;
        Ok(())
    }

    /// Makes what one write wrote durable.
    ///
    /// # Errors
    /// It is no file.
    pub fn sync_range(&mut self, number: u64, offset: u64, bytes: usize) -> Result<(), Trouble> {
        let file = self.file_mut(number)?;
        for (block, ..) in spans(offset, bytes) {
            file.unsynced.remove(&block);
        }
        file.durable_size = file.durable_size.max(offset + bytes as u64);
        Ok(())
    }

    /// A sync of a file that fails: see the head of this module.
    ///
    /// # Errors
    /// It is no file.
    pub fn fail_sync(&mut self, number: u64) -> Result<(), Trouble> {
        let file = self.file_mut(number)?;
        let unsynced = std::mem::take(&mut file.unsynced);
        for (block, durable) in unsynced {
            file.doomed.entry(block).or_insert(durable);
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// It is none.
    pub fn sync_directory(&mut self, number: u64) -> Result<(), Trouble> {
        let directory = self.directory_mut(number)?;
        directory.durable = directory.now.clone();
        self.collect();
        Ok(())
    }

    /// The power fails: what was not synced is lost, or not, or torn. Nothing is open any more.
    pub fn cut_power(&mut self, random: &mut SmallRng) {
        self.open.clear();
        for (node, _) in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.cut_power(random),
                Node::Directory(directory) if random.random() => directory.now = directory.durable.clone(),
                Node::Directory(directory) => directory.durable = directory.now.clone(),
            }
        }
        self.used_blocks = self.nodes.values().map(|(node, _)| node.taken()).sum();
        self.collect();
    }

    /// Flips bits of files, anywhere but in their last part that was written (1 MiB): of what was written last no
    /// host can tell whether it decayed or was never whole.
    pub fn rot(&mut self, bits: usize, random: &mut SmallRng) {
        let files = self.nodes.values_mut().filter_map(|(node, _)| match node {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        });
        let mut blocks: Vec<&mut Block> = files.flat_map(File::old_blocks).collect();
        for _ in 0..bits.min(blocks.len()) {
            let at = random.random_range(0..blocks.len());
            blocks[at][random.random_range(0..BLOCK_BYTES)] ^= 1 << random.random_range(0..8);
        }
    }

    /// Accounts for a file that grows.
    fn take(&mut self, before: u64, after: u64) -> Result<(), Trouble> {
        let used = self.used_blocks + after.saturating_sub(before);
        if used > self.capacity_blocks && after > before {
            return Err(Trouble::Full);
        }
        self.used_blocks = used;
        Ok(())
    }

    /// Drops what nothing names, now or durably, and nobody holds open.
    fn collect(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        for (node, _) in self.nodes.values() {
            if let Node::Directory(directory) = node {
                reached.extend(directory.now.values().chain(directory.durable.values()));
            }
        }
        let gone: Vec<u64> = self
            .nodes
            .keys()
            .copied()
            .filter(|n| !reached.contains(n) && !self.open.contains_key(n))
            .collect();
        for number in gone {
            let taken = self.nodes.remove(&number).map_or(0, |(node, _)| node.taken());
            self.used_blocks -= taken;
        }
    }
}

impl Node {
    fn taken(&self) -> u64 {
        match self {
            Node::File(file) => file.taken(),
            Node::Directory(_) => 0,
        }
    }
}

impl File {
    /// Blocks that it takes up.
    fn taken(&self) -> u64 {
        (self.blocks.len() as u64).max(self.reserved)
    }

    /// The durable blocks of it that hold something and are far enough from the last that do.
    fn old_blocks(&mut self) -> impl Iterator<Item = &mut Block> {
        let holds = |block: &Block| block.iter().any(|byte| *byte != 0);
        let last = self.blocks.iter().rev().find(|(_, block)| holds(block)).map_or(0, |(number, _)| *number);
        let end = last.saturating_sub(SPARED_BYTES / BLOCK_BYTES as u64);
        let (unsynced, doomed) = (&self.unsynced, &self.doomed);
        self.blocks
            .range_mut(..end)
            .filter(move |(number, block)| {
                holds(block) && !unsynced.contains_key(number) && !doomed.contains_key(number)
            })
            .map(|(_, block)| block)
    }

    /// Keeps what is durable of a block that is about to change. A block that a failed sync spoilt is written
    /// anew by the next sync, so it is no longer doomed.
    fn touch(&mut self, block: u64) {
        let now = self.blocks.get(&block).cloned();
        let durable = self.doomed.remove(&block).unwrap_or(now);
        self.unsynced.entry(block).or_insert(durable);
    }

    fn cut_power(&mut self, random: &mut SmallRng) {
        for (block, durable) in std::mem::take(&mut self.doomed) {
            self.put(block, durable);
        }
        for (block, durable) in std::mem::take(&mut self.unsynced) {
            match random.random_range(0..3) {
                0 => {}
                1 => self.put(block, durable),
                _ => self.tear(block, durable, random),
            }
        }
        if self.size != self.durable_size && random.random() {
            self.size = self.durable_size;
        }
        self.durable_size = self.size;
        let end = self.size.div_ceil(BLOCK_BYTES as u64);
        self.blocks.retain(|block, _| *block < end);
        self.reserved = self.reserved.min(end);
    }

    fn put(&mut self, block: u64, content: Option<Block>) {
        match content {
            Some(content) => self.blocks.insert(block, content),
            None => self.blocks.remove(&block),
        };
    }

    /// The first sectors are the new ones, the others the old ones.
    fn tear(&mut self, block: u64, durable: Option<Block>, random: &mut SmallRng) {
        let old = durable.unwrap_or_else(|| vec![0; BLOCK_BYTES].into());
        let at = random.random_range(1..BLOCK_BYTES / SECTOR_BYTES) * SECTOR_BYTES;
        if let Some(now) = self.blocks.get_mut(&block) {
            now[at..].copy_from_slice(&old[at..]);
        }
    }
}

/// The blocks that a range touches: the block, where in it the range begins, and which part of the range.
fn spans(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let block_bytes = BLOCK_BYTES as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let inside = (at % block_bytes) as usize;
        let part = (BLOCK_BYTES - inside).min(length - done);
        let span = done..done + part;
        done += part;
        Some((at / block_bytes, inside, span))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn named(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    /// A disk with one durable file.
    fn with_file(bytes: u64, content: &[u8]) -> (Store, u64) {
        let mut store = Store::new(bytes);
        let number = store.make(ROOT, named("a"), false, 0o600).unwrap().number;
        store.write(number, 0, content).unwrap();
        store.sync(number).unwrap();
        store.sync_directory(ROOT).unwrap();
        (store, number)
    }

    #[test]
    fn what_was_synced_survives_every_power_cut_and_the_rest_some() {
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let (mut store, number) = with_file(1 << 20, &[1; 2 * BLOCK_BYTES]);
            store.write(number, 0, &[2; BLOCK_BYTES]).unwrap();
            store.cut_power(&mut SmallRng::seed_from_u64(seed));
            let block = store.read(number, 0, BLOCK_BYTES).unwrap();
            match (block[0], block[BLOCK_BYTES - 1]) {
                (2, 2) => kept += 1,
                (1, 1) => lost += 1,
                (2, 1) => torn += 1,
                other => panic!("a block of {other:?}"),
            }
            assert_eq!(store.read(number, BLOCK_BYTES as u64, BLOCK_BYTES).unwrap(), [1; BLOCK_BYTES]);
        }
        assert!(kept > 30 && lost > 30 && torn > 30, "{kept} {lost} {torn}");
    }

    #[test]
    fn a_write_that_was_synced_by_itself_is_durable_and_its_neighbour_is_not() {
        let mut lost = 0;
        for seed in 0..100 {
            let (mut store, number) = with_file(1 << 20, &[]);
            store.reserve(number, 1 << 16, false).unwrap();
            store.sync(number).unwrap();
            store.write(number, 0, &[1; BLOCK_BYTES]).unwrap();
            store.sync_range(number, 0, BLOCK_BYTES).unwrap();
            store.write(number, BLOCK_BYTES as u64, &[2; BLOCK_BYTES]).unwrap();
            store.cut_power(&mut SmallRng::seed_from_u64(seed));
            assert_eq!(store.read(number, 0, BLOCK_BYTES).unwrap(), [1; BLOCK_BYTES]);
            lost += u32::from(store.read(number, BLOCK_BYTES as u64, 1).unwrap() == [0]);
        }
        assert!(lost > 10);
    }

    #[test]
    fn a_second_sync_after_a_failed_one_saves_nothing_but_writing_again_does() {
        let (mut store, number) = with_file(1 << 20, &[1; BLOCK_BYTES]);
        store.write(number, 0, &[2; BLOCK_BYTES]).unwrap();
        store.fail_sync(number).unwrap();
        assert_eq!(store.read(number, 0, 1).unwrap(), [2], "it looks as if it were there");
        store.sync(number).unwrap();
        store.cut_power(&mut SmallRng::seed_from_u64(1));
        assert_eq!(store.read(number, 0, BLOCK_BYTES).unwrap(), [1; BLOCK_BYTES]);

        store.write(number, 0, &[3; BLOCK_BYTES]).unwrap();
        store.fail_sync(number).unwrap();
        store.write(number, 0, &[3; BLOCK_BYTES]).unwrap();
        store.sync(number).unwrap();
        store.cut_power(&mut SmallRng::seed_from_u64(1));
        assert_eq!(store.read(number, 0, BLOCK_BYTES).unwrap(), [3; BLOCK_BYTES]);
    }

    #[test]
    fn names_are_durable_when_their_directory_was_synced() {
        let (mut gone, mut renamed) = (0, 0);
        for seed in 0..100 {
            let (mut store, number) = with_file(1 << 20, &[1]);
            store.make(ROOT, named("new"), false, 0o600).unwrap();
            store.rename((ROOT, named("a")), (ROOT, named("b"))).unwrap();
            store.cut_power(&mut SmallRng::seed_from_u64(seed));
            let names: Vec<OsString> = store.list(ROOT).unwrap().into_iter().map(|(name, _)| name).collect();
            match names.iter().filter_map(|name| name.to_str()).collect::<Vec<_>>().as_slice() {
                ["a"] => gone += 1,
                ["b", "new"] => renamed += 1,
                other => panic!("{other:?}"),
            }
            assert_eq!(store.about(number).unwrap().size, 1, "by either name");
        }
        assert!(gone > 10 && renamed > 10);
    }

    #[test]
    fn a_full_disk_takes_what_was_asked_for_in_advance_and_nothing_else() {
        let (mut store, number) = with_file(4 * BLOCK_BYTES as u64, &[1]);
        store.reserve(number, 3 * BLOCK_BYTES as u64, false).unwrap();
        let other = store.make(ROOT, named("b"), false, 0o600).unwrap().number;
        store.write(other, 0, &[1; BLOCK_BYTES]).unwrap();
        assert_eq!(store.space(), (4, 0));
        assert_eq!(store.write(other, BLOCK_BYTES as u64, &[1]), Err(Trouble::Full));
        store.write(number, 2 * BLOCK_BYTES as u64, &[1; BLOCK_BYTES]).unwrap();
        store.remove(ROOT, named("b")).unwrap();
        assert_eq!(store.space(), (4, 1), "what was never durable goes at once");
        store.resize(number, 1).unwrap();
        assert_eq!(store.space(), (4, 3));
        assert_eq!(store.read(number, 0, 10).unwrap(), [1]);
    }

    #[test]
    fn rot_changes_what_was_written_long_ago_and_nothing_else() {
        let content = vec![7; 2 * SPARED_BYTES as usize];
        let (mut store, number) = with_file(4 * SPARED_BYTES, &content);
        store.sync(number).expect("synced");
        store.rot(50, &mut SmallRng::seed_from_u64(5));
        let now = store.read(number, 0, content.len()).expect("read");
        let last = content.len() - SPARED_BYTES as usize;
        let changed = now.iter().zip(&content).filter(|(now, then)| now != then).count();
        assert!((40..=50).contains(&changed), "{changed} bytes changed");
        assert_eq!(now[last..], content[last..]);
    }

    #[test]
    fn a_file_that_is_open_outlives_its_name() {
        let (mut store, number) = with_file(1 << 20, &[7]);
        store.opened(number);
        store.remove(ROOT, named("a")).unwrap();
        store.sync_directory(ROOT).unwrap();
        assert_eq!(store.read(number, 0, 1).unwrap(), [7]);
        store.closed(number);
        assert_eq!(store.read(number, 0, 1), Err(Trouble::NotFound));
        assert_eq!(store.space().0, store.space().1);
    }
}
