//! Recovery: from the files in the directory to the key directory in RAM.
//!
//! In phases, each of many operations at a time: list; remove what is unfinished; read the identity; open and sync
//! every file; read hints, and segments without one; judge what the ends of the segments mean; write the last frame of
//! each chain once more. Records are taken in any order, because the greatest stamp wins.
//!
//! That last write is what makes durable what was read. A sync proves nothing about a write that an earlier process saw
//! fail: the kernel may still show the bytes, have given them up, and call the file clean. Only the last frame of a chain
//! can be such a one, since none is written before the one ahead of it is durable, nor by a process before this is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use reactor::mutants::planted;
use reactor::{frame, AlignedBuf, Disk, DiskError, FileId, Op, OpId, Outcome, BLOCK_BYTES};

use crate::aside::Loss;
use crate::chain::{Chain, Writer};
use crate::core::{Core, Ready};
use crate::error::Fault;
use crate::fingerprint::Keyed;
use crate::hint;
use crate::identity;
use crate::limits::{DAMAGE_SEARCH_BYTES, RECOVERY_PARALLEL, SCAN_BYTES, SEGMENT_BYTES_MAX, UNIT_BYTES};
use crate::names;
use crate::record::{self, RecordKind, SealBody};
use crate::table::Location;
use crate::types::Recovered;
use crate::walk::{scan_bytes, Due, Walk, Walked, LOG, MERGE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Listing,
    Cleaning,
    Identity,
    Opening,
    Reading,
    Searching,
    Closing,
    Done,
}

/// What an operation was for.
#[derive(Clone, Copy, Debug)]
enum Tag {
    List,
    /// Its end is all that matters.
    Plain,
    IdentityOpened,
    IdentitySynced(FileId),
    IdentityRead(FileId),
    IdentityCreated,
    IdentityWritten(FileId),
    IdentityClosed,
    IdentityRenamed,
    SegmentOpened(usize),
    HintOpened(usize),
    Read(usize),
    Searched(usize),
    /// The last frame of a chain, read to be written once more.
    LastRead(usize),
}

/// What is to be done. Buffers are made when their turn comes.
enum Job {
    Do(Op, Tag),
    Read(usize),
    Search(usize),
}

/// A segment's file and what was found in it.
struct Found {
    id: u64,
    len: u64,
    index: u16,
    file: Option<FileId>,
    hint: Option<(u64, Option<FileId>)>,
    /// A hint was there, whatever it was worth: so the segment had its seal.
    was_hinted: bool,
    /// Walks the hint, if there is one, else the segment.
    walk: Walk,
    in_hint: bool,
    seal: Option<SealBody>,
    /// Why the walk ended, where no seal ended it.
    end: String,
    search_at: u64,
    search_end: u64,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.seal.is_none() && self.walk.last.is_none()
    }

    fn flags(&self) -> u16 {
        self.seal.map_or(self.walk.flags, |seal| seal.flags)
    }

    fn sequence(&self) -> u64 {
        self.seal.map_or(self.walk.last.map_or(0, |(sequence, _)| sequence), |seal| seal.sequence)
    }

    fn count(&self) -> u32 {
        count_of(self.id)
    }

    fn damage(&self, message: String) -> Fault {
        Fault::Damage { file: names::segment(self.id), offset: self.walk.offset, message }
    }
}

/// The state of a recovery.
pub(crate) struct Recovery {
    phase: Phase,
    queue: VecDeque<Job>,
    flying: BTreeMap<OpId, Tag>,
    /// Buffers of reads that have ended, for the next ones.
    spare: Vec<AlignedBuf>,
    has_identity: bool,
    files: Vec<Found>,
    /// Handles that are open, as far as recovery has to do with them.
    opened: BTreeSet<FileId>,
    /// How many logs were put aside before.
    losses: u32,
    /// The directory begins anew: the mark that says so is known.
    begins_anew: bool,
    /// The log is to be put aside, when nothing of this is under way any more.
    loss: Option<Loss>,
    pub recovered: Recovered,
}

impl Recovery {
    pub fn new() -> Recovery {
        Recovery {
            phase: Phase::Listing,
            queue: VecDeque::from([Job::Do(Op::List, Tag::List)]),
            flying: BTreeMap::new(),
            spare: Vec::new(),
            has_identity: false,
            files: Vec::new(),
            opened: BTreeSet::new(),
            losses: 0,
            begins_anew: false,
            loss: None,
            recovered: Recovered::default(),
        }
    }

    /// Of a directory whose files were put aside.
    pub fn anew() -> Recovery {
        Recovery { begins_anew: true, ..Recovery::new() }
    }

    /// The log is damaged, and its owner wants it put aside: what is under way is waited for, what is open is closed.
    pub fn give_up(&mut self, damage: Fault) {
        assert!(matches!(damage, Fault::Damage { .. }), "only damage is a loss");
        self.loss.get_or_insert(Loss { number: self.losses + 1, damage: Some(damage) });
        self.queue.clear();
    }

    /// What is to be put aside, once all is done.
    pub fn take_loss(&mut self) -> Option<Loss> {
        self.loss.take()
    }

    /// Submits what may be submitted, and goes on to the next phase when one is done. True when all are.
    pub fn advance<D: Disk + ?Sized>(
        &mut self,
        core: &mut Core,
        chains: (&mut Chain, &mut Chain),
        disk: &mut D,
    ) -> Result<bool, Fault> {
        loop {
            while self.flying.len() < RECOVERY_PARALLEL {
                let Some(job) = self.queue.pop_front() else { break };
                if let Some((op, tag)) = self.op(job) {
                    if let Op::Close { file } = &op {
                        self.opened.remove(file);
                    }
                    self.flying.insert(disk.submit(op), tag);
                }
            }
            if !self.flying.is_empty() || !self.queue.is_empty() {
                return Ok(false);
            }
            match self.phase {
                _ if self.loss.is_some() && self.opened.is_empty() => return Ok(true),
                _ if self.loss.is_some() => {
                    let close = |file: &FileId| Job::Do(Op::Close { file: *file }, Tag::Plain);
                    self.queue = self.opened.iter().map(close).collect();
                }
                Phase::Listing => self.phase = Phase::Cleaning,
                Phase::Cleaning => self.start_identity()?,
                Phase::Identity => self.start_opening(),
                Phase::Opening => self.start_reading(core),
                Phase::Reading => self.start_searching(),
                Phase::Searching => self.judge(core, (&mut *chains.0, &mut *chains.1))?,
                Phase::Closing => {
                    self.phase = Phase::Done;
                    self.finish(core);
                }
                Phase::Done => return Ok(true),
            }
        }
    }

    /// Whether the operation is recovery's.
    pub fn owns(&self, id: OpId) -> bool {
        self.flying.contains_key(&id)
    }

    /// An operation of recovery has ended.
    pub fn on_disk(
        &mut self,
        core: &mut Core,
        id: OpId,
        result: Result<Outcome, DiskError>,
    ) -> Result<(), Fault> {
        let tag = self.flying.remove(&id).expect("the operation is recovery's");
        let outcome = result.map_err(|error| Fault::Io { message: error.message })?;
        if let Outcome::Opened { file, .. } = &outcome {
            self.opened.insert(*file);
        }
        if self.loss.is_some() {
            return Ok(());
        }
        match (tag, outcome) {
            (Tag::List, Outcome::Listed { files }) => self.on_list(core, files)?,
            (Tag::Plain, _) => {}
            (Tag::SegmentOpened(i), Outcome::Opened { file, len }) => self.on_segment(core, i, file, len)?,
            (Tag::HintOpened(i), Outcome::Opened { file, len }) => self.on_hint(core, i, file, len),
            (Tag::Read(i), Outcome::Read { buf, bytes }) => {
                self.recovered.bytes_read += bytes as u64;
                self.on_read(core, i, &buf.as_slice()[..bytes])?;
                self.spare.push(buf);
            }
            (Tag::Searched(i), Outcome::Read { buf, bytes }) => {
                self.recovered.bytes_read += bytes as u64;
                self.on_searched(i, &buf.as_slice()[..bytes])?;
                self.spare.push(buf);
            }
            (Tag::LastRead(i), Outcome::Read { buf, bytes }) => {
                self.recovered.bytes_read += bytes as u64;
                self.on_last_read(i, buf, bytes)?;
            }
            (tag, outcome) => self.on_identity(core, tag, outcome)?,
        }
        Ok(())
    }

    fn push(&mut self, op: Op, tag: Tag) {
        self.queue.push_back(Job::Do(op, tag));
    }

    /// A buffer of this length, with whatever bytes: a read says how many of them it brought.
    fn buffer(&mut self, bytes: usize) -> AlignedBuf {
        let Some(mut buf) = self.spare.pop() else { return AlignedBuf::zeroed(bytes) };
        buf.resize(bytes);
        buf
    }

    fn op(&mut self, job: Job) -> Option<(Op, Tag)> {
        match job {
            Job::Do(op, tag) => Some((op, tag)),
            Job::Read(i) => {
                let found = &self.files[i];
                let file = match (found.in_hint, found.hint) {
                    (true, Some((_, file))) => file,
                    _ => found.file,
                };
                let (file, (offset, bytes)) = (file?, found.walk.wants()?);
                let buf = self.buffer(bytes);
                Some((Op::Read { file, offset, buf }, Tag::Read(i)))
            }
            Job::Search(i) => {
                let found = &self.files[i];
                let bytes = (found.search_end - found.search_at).min(scan_bytes(found.len) as u64) as usize;
                let (file, offset) = (found.file?, found.search_at);
                let buf = self.buffer(bytes);
                Some((Op::Read { file, offset, buf }, Tag::Searched(i)))
            }
        }
    }

    fn on_list(&mut self, core: &mut Core, files: Vec<(String, u64)>) -> Result<(), Fault> {
        let mut hints = BTreeMap::new();
        let mut mark = None;
        for (name, len) in files {
            if let Some(number) = names::lost_number(&name) {
                self.losses = self.losses.max(number);
                let count = names::lost_segment_id(&name).map_or(0, count_of);
                core.last_count = core.last_count.max(count);
            } else if let Some(number) = names::losing_number(&name) {
                mark = Some(number);
            } else if name.ends_with(names::UNFINISHED) {
                self.push(Op::Remove { name }, Tag::Plain);
            } else if name == names::IDENTITY {
                self.has_identity = true;
            } else if let Some(id) = names::segment_id(&name) {
                self.files.push(found(id, len, core.options.core));
            } else if let Some(id) = names::hint_id(&name) {
                hints.insert(id, len);
            }
        }
        for found in &mut self.files {
            found.hint = hints.remove(&found.id).map(|len| (len, None));
            core.last_count = core.last_count.max(found.count());
        }
        // A hint whose segment is gone: the process ended between the two removals.
        for (id, _) in hints {
            core.last_count = core.last_count.max((id >> 32) as u32);
            self.push(Op::Remove { name: names::hint(id) }, Tag::Plain);
        }
        self.recovered.losses = self.losses;
        if let (Some(number), false) = (mark, self.begins_anew) {
            // An earlier process was about to put all of it aside.
            self.queue.clear();
            self.loss = Some(Loss { number, damage: None });
        }
        Ok(())
    }

    fn start_identity(&mut self) -> Result<(), Fault> {
        self.phase = Phase::Identity;
        let name = names::IDENTITY.to_owned();
        if self.has_identity {
            self.push(Op::Open { name, create: false }, Tag::IdentityOpened);
        } else if let Some(found) = self.files.first() {
            let message = format!("it is missing, but {} is there", names::segment(found.id));
            return Err(Fault::Damage { file: name, offset: 0, message });
        } else {
            self.recovered.fresh = true;
            self.push(Op::Open { name: name + names::UNFINISHED, create: true }, Tag::IdentityCreated);
        }
        Ok(())
    }

    fn on_identity(&mut self, core: &mut Core, tag: Tag, outcome: Outcome) -> Result<(), Fault> {
        match (tag, outcome) {
            (Tag::IdentityOpened, Outcome::Opened { file, .. }) => {
                self.push(Op::Sync { file }, Tag::IdentitySynced(file));
            }
            (Tag::IdentitySynced(file), _) => {
                let buf = AlignedBuf::zeroed(BLOCK_BYTES);
                self.push(Op::Read { file, offset: 0, buf }, Tag::IdentityRead(file));
            }
            (Tag::IdentityRead(file), Outcome::Read { buf, bytes }) => {
                let secret = identity::decode(core.options.core, &buf.as_slice()[..bytes])?;
                core.keyed = Keyed::new(secret);
                self.push(Op::Close { file }, Tag::Plain);
            }
            (Tag::IdentityCreated, Outcome::Opened { file, .. }) => {
                let buf = identity::encode(core.options.core, core.keyed.secret());
                let write = Op::Write { file, offset: 0, buf, sync: false };
                self.push(write, Tag::IdentityWritten(file));
            }
            (Tag::IdentityWritten(file), Outcome::Written { .. }) => {
                self.push(Op::Sync { file }, Tag::IdentityWritten(file));
            }
            (Tag::IdentityWritten(file), _) => self.push(Op::Close { file }, Tag::IdentityClosed),
            (Tag::IdentityClosed, _) => {
                let from = names::IDENTITY.to_owned() + names::UNFINISHED;
                self.push(Op::Rename { from, to: names::IDENTITY.to_owned() }, Tag::IdentityRenamed);
            }
            (Tag::IdentityRenamed, _) => self.push(Op::SyncDir, Tag::Plain),
            (tag, outcome) => {
                return Err(Fault::Io { message: format!("an operation for {tag:?} ended as {outcome:?}") });
            }
        }
        Ok(())
    }

    fn start_opening(&mut self) {
        self.phase = Phase::Opening;
        self.push(Op::SyncDir, Tag::Plain);
        for i in 0..self.files.len() {
            let id = self.files[i].id;
            self.push(Op::Open { name: names::segment(id), create: false }, Tag::SegmentOpened(i));
            if self.files[i].hint.is_some() {
                self.push(Op::Open { name: names::hint(id), create: false }, Tag::HintOpened(i));
            }
        }
    }

    fn on_segment(&mut self, core: &mut Core, i: usize, file: FileId, len: u64) -> Result<(), Fault> {
        let found = &mut self.files[i];
        let capacity = len / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        if capacity > SEGMENT_BYTES_MAX || !core.segments.has_room() {
            return Err(found.damage(format!("a segment of {len} bytes is more than can be addressed")));
        }
        found.len = capacity;
        found.file = Some(file);
        found.index = core.adopt(Ready { id: found.id, file, capacity });
        if !found.in_hint {
            found.walk = Walk::new(names::segment(found.id), found.id, core.options.core, capacity);
        }
        if !planted(216) {
            self.push(Op::Sync { file }, Tag::Plain);
        }
        Ok(())
    }

    fn on_hint(&mut self, core: &Core, i: usize, file: FileId, len: u64) {
        let found = &mut self.files[i];
        found.hint = Some((len, Some(file)));
        found.in_hint = true;
        found.walk = Walk::new(names::hint(found.id), found.id, core.options.core, len);
        self.push(Op::Sync { file }, Tag::Plain);
    }

    fn start_reading(&mut self, core: &mut Core) {
        self.phase = Phase::Reading;
        for i in (0..self.files.len()).rev() {
            if self.files[i].walk.wants().is_none() && self.files[i].in_hint {
                self.refuse_hint(core, i);
            } else {
                self.queue.push_front(Job::Read(i));
            }
        }
    }

    fn on_read(&mut self, core: &mut Core, i: usize, bytes: &[u8]) -> Result<(), Fault> {
        let found = &mut self.files[i];
        let walked =
            if found.in_hint { take_hint(core, found, bytes) } else { take_segment(core, found, bytes) };
        let in_hint = found.in_hint;
        match walked {
            Ok(Walked::More) if found.seal.is_none() && found.walk.wants().is_some() => {
                self.queue.push_front(Job::Read(i));
            }
            Ok(_) if found.seal.is_some() => self.on_sealed(core, i),
            Err(Fault::Newer { file, found, supported }) => {
                return Err(Fault::Newer { file, found, supported });
            }
            // A hint only saves time: without a whole one, the segment itself is read.
            _ if in_hint => self.refuse_hint(core, i),
            Ok(Walked::End(reason)) => found.end = reason,
            Ok(Walked::More) => found.end = "the file ends here".to_owned(),
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    fn on_sealed(&mut self, core: &mut Core, i: usize) {
        let found = &self.files[i];
        let segment = core.segments.at_mut(found.index);
        segment.written = if found.in_hint { found.len } else { found.walk.offset };
        segment.hinted = found.in_hint;
        self.recovered.hints_used += u64::from(found.in_hint);
        if let Some((_, Some(file))) = found.hint {
            self.push(Op::Close { file }, Tag::Plain);
        }
    }

    fn refuse_hint(&mut self, core: &mut Core, i: usize) {
        self.recovered.hints_refused += 1;
        let found = &mut self.files[i];
        core.segments.at_mut(found.index).removes = 0;
        (found.in_hint, found.was_hinted) = (false, true);
        found.walk = Walk::new(names::segment(found.id), found.id, core.options.core, found.len);
        if let Some((_, Some(file))) = found.hint.take() {
            self.push(Op::Close { file }, Tag::Plain);
        }
        self.queue.push_front(Job::Read(i));
    }

    /// Behind the end of a segment without seal, any frame of this use of the file says that what ended the walk is damage and not
    /// a torn tail: one frame at a time is written, so behind a torn one there is none, of whatever sequence.
    fn start_searching(&mut self) {
        self.phase = Phase::Searching;
        for (i, found) in self.files.iter_mut().enumerate() {
            if found.seal.is_some() {
                continue;
            }
            // A file without any frame is most likely one that was never used.
            let far = if found.is_empty() { SCAN_BYTES as u64 } else { DAMAGE_SEARCH_BYTES };
            found.search_at = found.walk.offset;
            found.search_end = found.len.min(found.walk.offset + far);
            if found.search_at < found.search_end && !planted(214) {
                self.queue.push_back(Job::Search(i));
            }
        }
    }

    fn on_searched(&mut self, i: usize, bytes: &[u8]) -> Result<(), Fault> {
        let found = &mut self.files[i];
        let whole = &bytes[..bytes.len() / BLOCK_BYTES * BLOCK_BYTES];
        let mut skipped = 0;
        if found.search_at == found.walk.offset {
            let first = whole.get(..BLOCK_BYTES).unwrap_or_default();
            match found.walk.due(first) {
                Due::Nothing => {}
                Due::Torn(bytes) => self.recovered.torn_bytes += bytes as u64,
                Due::Another => return Err(found.damage(found.end.clone())),
            }
            skipped = first.len();
            if found.is_empty() && first.iter().any(|&byte| byte != 0) {
                found.search_end = found.len.min(found.walk.offset + DAMAGE_SEARCH_BYTES);
            }
        }
        if let Some(at) = found.walk.later_frame(&whole[skipped..]) {
            let at = skipped + at;
            let later = found.search_at + at as u64;
            let message = format!("{}; but a later frame follows at byte {later}", found.end);
            return Err(found.damage(message));
        }
        found.search_at += whole.len().max(BLOCK_BYTES) as u64;
        if found.search_at < found.search_end {
            self.queue.push_front(Job::Search(i));
        }
        Ok(())
    }

    /// Decides what the ends of the segments mean, and where the chains go on.
    fn judge(&mut self, core: &mut Core, chains: (&mut Chain, &mut Chain)) -> Result<(), Fault> {
        self.phase = Phase::Closing;
        self.recovered.segments = self.files.iter().filter(|found| !found.is_empty()).count() as u64;
        let log = self.in_order(LOG)?;
        let merged = self.in_order(MERGE)?;
        let next = self.check_links(&log)?;
        self.check_hinted()?;
        self.check_room(log.last().into_iter().chain(merged.last()).copied().chain(next))?;
        take_chains(core)?;
        // Not before: that there was a hint tells, at the next start too.
        for i in (0..self.files.len()).filter(|&i| self.files[i].was_hinted) {
            self.queue.push_back(Job::Do(Op::Remove { name: names::hint(self.files[i].id) }, Tag::Plain));
        }
        self.resume(core, chains.0, log.last().copied());
        self.resume(core, chains.1, merged.last().copied());
        core.merge_rest = chains.1.rest(core);
        if let Some(i) = next {
            chains.0.writer = Some(Writer { segment: self.files[i].index, offset: 0 });
            core.predecessor = log.last().map(|&last| self.files[last].index);
        }
        for i in log.last().into_iter().chain(merged.last()) {
            self.read_last(*i);
        }
        for i in 0..self.files.len() {
            if self.files[i].is_empty() && next != Some(i) {
                self.put_aside(core, i);
            }
        }
        Ok(())
    }

    /// Reads the last frame of a chain, to write it once more. A hint proves its segment: it was begun after the seal was
    /// durable, and got its name after it was durable itself.
    fn read_last(&mut self, i: usize) {
        let found = &self.files[i];
        if planted(215) || planted(216) {
            return;
        }
        if let (false, Some(_), Some(file)) = (found.in_hint, found.walk.last, found.file) {
            let offset = found.walk.last_at;
            let buf = AlignedBuf::zeroed((found.walk.offset - offset) as usize);
            self.push(Op::Read { file, offset, buf }, Tag::LastRead(i));
        }
    }

    /// The same bytes go to the same place: whatever happens meanwhile, the frame is there as much as it was.
    fn on_last_read(&mut self, i: usize, buf: AlignedBuf, bytes: usize) -> Result<(), Fault> {
        let found = &self.files[i];
        let same = match frame::decode(&buf.as_slice()[..bytes]) {
            Ok((header, _)) => found.walk.last == Some((header.sequence, header.crc)) && bytes == buf.len(),
            Err(_) => false,
        };
        let (true, Some(file)) = (same, found.file) else {
            let (name, offset) = (names::segment(found.id), found.walk.last_at);
            let message = format!("the frame at byte {offset} of {name} is not what was read there before");
            return Err(Fault::Io { message });
        };
        let offset = found.walk.last_at;
        self.push(Op::Write { file, offset, buf, sync: true }, Tag::Plain);
        Ok(())
    }

    /// A hint is begun when its segment's seal is durable. Where the hint is of no use and the seal is not there either, the
    /// segment was cut, and what the directory took from the hint may lie behind the cut.
    fn check_hinted(&self) -> Result<(), Fault> {
        match self.files.iter().find(|found| found.was_hinted && found.seal.is_none()) {
            Some(found) => {
                Err(found.damage(format!("it had a hint, so it had a seal; but here: {}", found.end)))
            }
            None => Ok(()),
        }
    }

    /// The segments of a chain, by sequence. Only the last one may lack its seal.
    fn in_order(&self, flags: u16) -> Result<Vec<usize>, Fault> {
        let of_chain = |found: &Found| !found.is_empty() && found.flags() == flags;
        let mut order: Vec<usize> = (0..self.files.len()).filter(|&i| of_chain(&self.files[i])).collect();
        order.sort_by_key(|&i| (self.files[i].sequence(), self.files[i].id));
        let (_, earlier) = order.split_last().unwrap_or((&0, &[]));
        match earlier.iter().find(|&&i| self.files[i].seal.is_none()) {
            Some(&i) => {
                let message = format!("the log goes on behind it, but here: {}", self.files[i].end);
                Err(self.files[i].damage(message))
            }
            None => Ok(order),
        }
    }

    /// Each seal of the log names the segment in which it goes on. The empty one in which it goes on now, if any.
    fn check_links(&self, log: &[usize]) -> Result<Option<usize>, Fault> {
        for (position, &i) in log.iter().enumerate() {
            let Some(seal) = self.files[i].seal else { continue };
            let next = self.files.iter().position(|found| found.count() == seal.next);
            let last = position + 1 == log.len();
            match next {
                Some(next) if self.files[next].is_empty() && last => return Ok(Some(next)),
                Some(next) if self.files[next].is_empty() => {
                    let message = format!("its frames are gone: {}", self.files[next].end);
                    return Err(self.files[next].damage(message));
                }
                None if last => {
                    let message = format!("segment {} is missing, in which the log goes on", seal.next);
                    return Err(self.files[i].damage(message));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Where a chain goes on there is room for a seal: every writer leaves it.
    fn check_room(&self, mut last: impl Iterator<Item = usize>) -> Result<(), Fault> {
        let short =
            |found: &Found| found.seal.is_none() && found.walk.offset + BLOCK_BYTES as u64 > found.len;
        match last.find(|&i| short(&self.files[i])) {
            Some(i) => {
                let message = format!("the file was {} bytes longer, at least", BLOCK_BYTES);
                Err(self.files[i].damage(message))
            }
            None => Ok(()),
        }
    }

    fn resume(&self, core: &mut Core, chain: &mut Chain, last: Option<usize>) {
        let Some(found) = last.map(|i| &self.files[i]) else { return };
        chain.sequence = found.sequence() + 1;
        chain.previous_crc = found.walk.last.map_or(0, |(_, crc)| crc);
        if found.seal.is_none() {
            core.segments.at_mut(found.index).written = found.walk.offset;
            let offset = if planted(227) { found.walk.last_at } else { found.walk.offset };
            chain.writer = Some(Writer { segment: found.index, offset });
        }
    }

    /// An empty segment is ready for use, or of no use.
    fn put_aside(&mut self, core: &mut Core, i: usize) {
        let found = &self.files[i];
        let segment = core.segments.remove(found.index);
        if segment.capacity == core.options.segment_bytes {
            core.ready.push_back(Ready { id: segment.id, file: segment.file, capacity: segment.capacity });
        } else {
            let name = segment.name();
            self.push(Op::Close { file: segment.file }, Tag::Plain);
            self.push(Op::Remove { name }, Tag::Plain);
        }
    }

    fn finish(&mut self, core: &mut Core) {
        self.recovered.entries = core.directory.entries();
        self.recovered.promises = core.directory.promises() as u64;
        self.recovered.round_max = core.directory.round_max();
        self.files = Vec::new();
        self.spare = Vec::new();
    }
}

/// All records were found: what extends what comes together.
fn take_chains(core: &mut Core) -> Result<(), Fault> {
    let taken = core.directory.recovered(&mut core.segments, &core.keyed);
    taken.map_err(|(at, message)| Fault::Damage {
        file: core.segments.at(at.segment).name(),
        offset: u64::from(at.offset) * UNIT_BYTES as u64,
        message,
    })
}

/// The count in a segment's id.
fn count_of(id: u64) -> u32 {
    (id >> 32) as u32
}

fn found(id: u64, len: u64, core: u32) -> Found {
    Found {
        id,
        len,
        index: 0,
        file: None,
        hint: None,
        was_hinted: false,
        walk: Walk::new(names::segment(id), id, core, 0),
        in_hint: false,
        seal: None,
        end: String::new(),
        search_at: 0,
        search_end: 0,
    }
}

fn take_segment(core: &mut Core, found: &mut Found, bytes: &[u8]) -> Result<Walked, Fault> {
    let Found { walk, seal, index, .. } = found;
    walk.feed(bytes, |start, payload| {
        record::each(payload, |raw, at, taken| {
            if raw.kind == RecordKind::Seal {
                *seal = Some(SealBody::from_bytes(raw.body)?);
            }
            let offset = ((start + at as u64) / UNIT_BYTES as u64) as u32;
            let length = (taken / UNIT_BYTES) as u32;
            core.take_found(&raw, core.era_of(&raw), Location { segment: *index, offset, length })
        })
    })
}

fn take_hint(core: &mut Core, found: &mut Found, bytes: &[u8]) -> Result<Walked, Fault> {
    let Found { walk, seal, index, len, .. } = found;
    walk.feed(bytes, |_, payload| {
        hint::each(payload, |entry| {
            hint::check_location(&entry, *len)?;
            if entry.raw.kind == RecordKind::Seal {
                *seal = Some(SealBody::from_bytes(entry.raw.body)?);
            }
            let location = Location { segment: *index, offset: entry.offset, length: entry.length };
            core.take_found(&entry.raw, entry.era, location)
        })
    })
}
