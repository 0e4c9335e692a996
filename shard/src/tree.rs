//! The core's tree: the engine for rows in their order (`lsm`), beside the log of records.
//!
//! It shares the core's directory and disk with the log; names of files do not meet, and a completion goes to whoever began the operation.
//! It has no log of its own: who applies to it has that in the core's log until [`lsm::Event::Flushed`] names the version. Nothing else of
//! the core rests on it: where it does not open, or fails, it is closed until the next start, with a fault for the operator, and the core
//! goes on with its records. A tree that was never applied to has no file, asks for no turn and takes no memory but its cache's tables.
//!
//! Everything that it can do is [`lsm::Lsm`]'s, to be had from [`Tree::rows`] while it is open. What becomes of pending reads, flushes and
//! ingestions is heard from [`Tree::poll`]; what concerns the tree as a whole is kept here.

use std::collections::VecDeque;

use lsm::{Damage, Event, Lsm, Options, Pressure, Recovered, Stats};
use reactor::clock::Nanos;
use reactor::{Completion, Disk, OpId};

/// Whether a tree is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is being read.
    Opening,
    /// Rows can be read and applied.
    Open(Recovered),
    /// It did not open, or a write to it failed: nothing of it is read or applied any more.
    Closed(lsm::Fault),
}

/// See the module's head.
pub struct Tree {
    lsm: Lsm,
    standing: Standing,
    /// What those who apply and read have not heard yet. One answer for each read that waits and each ingestion; of flushes the newest.
    told: VecDeque<Event>,
    /// The table that was found damaged last, and how many were.
    damage: (Option<Damage>, u64),
    is_full: bool,
    /// Background work was the log's at the last step: see [`Tree::takes_step`].
    was_passed_over: bool,
}

impl Tree {
    /// Starts to read what is there.
    pub fn open<D: Disk>(options: Options, disk: &mut D) -> Tree {
        Tree {
            lsm: Lsm::open(options, disk),
            standing: Standing::Opening,
            told: VecDeque::new(),
            damage: (None, 0),
            is_full: false,
            was_passed_over: false,
        }
    }

    /// Whether a disk operation is the tree's.
    pub fn owns(&self, id: OpId) -> bool {
        self.lsm.owns(id)
    }

    /// A disk operation of the tree ended.
    pub fn on_disk<D: Disk>(&mut self, disk: &mut D, completion: Completion) {
        assert!(self.lsm.on_disk(disk, completion), "the operation is the tree's");
        self.gather();
    }

    /// What there is to tell is kept here, or waits for [`Tree::poll`].
    fn gather(&mut self) {
        while let Some(event) = self.lsm.poll() {
            match event {
                Event::Ready(recovered) => self.standing = Standing::Open(recovered),
                Event::Failed(fault) => self.standing = Standing::Closed(fault),
                Event::Full(full) => self.is_full = full,
                Event::Damaged(damage) => self.damage = (Some(damage), self.damage.1 + 1),
                Event::Flushed(_) => {
                    self.told.retain(|told| !matches!(told, Event::Flushed(_)));
                    self.told.push_back(event);
                }
                told => self.told.push_back(told),
            }
        }
    }

    /// The rows; none while the tree is not open.
    pub fn rows(&mut self) -> Option<&mut Lsm> {
        matches!(self.standing, Standing::Open(_)).then_some(&mut self.lsm)
    }

    /// What became of a pending read, of what was applied (`Flushed`), or of an ingestion. A tree that is closed answers all reads, and says
    /// nothing of ingestions, which came to nothing.
    pub fn poll(&mut self) -> Option<Event> {
        self.gather();
        self.told.pop_front()
    }

    /// As [`Tree::poll`], for one who has asked for some of it: what others have asked for waits for them.
    pub fn poll_for(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        self.gather();
        let place = self.told.iter().position(is_wanted)?;
        self.told.remove(place)
    }

    // ---- background work ----

    /// Whether the tree has work that it would get on with.
    pub fn background_wanted(&self) -> bool {
        self.lsm.background_wanted()
    }

    /// When work that the disk refused is tried again.
    pub fn background_deadline(&self) -> Option<Nanos> {
        self.lsm.background_deadline()
    }

    /// Works, for about so many bytes of rows.
    pub fn background<D: Disk>(&mut self, disk: &mut D, now: Nanos, budget_bytes: u64) {
        self.lsm.background(disk, now, budget_bytes);
        self.gather();
    }

    /// Whether the next step of background work is the tree's: the log's and the tree's take turns where both have some.
    pub fn takes_step(&mut self, log_wants: bool) -> bool {
        let takes = self.background_wanted() && (self.was_passed_over || !log_wants);
        self.was_passed_over = !takes;
        takes
    }

    // ---- what it shows ----

    /// Whether it is there.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Why it is closed, if it is.
    pub fn fault(&self) -> Option<&lsm::Fault> {
        match &self.standing {
            Standing::Closed(fault) => Some(fault),
            _ => None,
        }
    }

    /// The table that was found damaged last: reads of its keys fail until its range is taken from a peer, or goes.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.0.as_ref()
    }

    /// How many tables were found damaged since the start.
    pub fn damages(&self) -> u64 {
        self.damage.1
    }

    /// Whether the disk is full: what is applied stays in memory, as long as there is room.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether it keeps up with what is applied.
    pub fn pressure(&self) -> Pressure {
        self.lsm.pressure()
    }

    /// How the engine stands.
    pub fn stats(&self) -> Stats {
        self.lsm.stats()
    }
}
