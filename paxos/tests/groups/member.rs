//! A member of a log group: the head is an [`Instance`] like any other, and around it are the entries and the tree.

use std::collections::{BTreeMap, VecDeque};

use paxos::{
    AcceptorState, Ballot, Entry, Found, Instance, Member, Members, Message, Output, ReadOutcome, Recorded,
    Token,
};

use super::Mutation;

/// A command, by its request id.
pub type Id = u16;

/// An entry: what one version of the group changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub version: u64,
    /// The ballot at which it was first proposed. Names it, whatever ballots it is finished at later.
    pub origin: Ballot,
    /// The name of the entry of the version before; ZERO for the first. Whoever proposes an entry knows that one to be chosen.
    pub base: Ballot,
    pub id: Id,
}

impl Entry for Change {
    fn agrees(&self, other: &Change) -> bool {
        self == other
    }
}

/// What the entries up to a version come to; the commands that were applied are remembered in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub version: u64,
    /// The name of the entry applied last.
    pub origin: Ballot,
    pub ids: Vec<Id>,
}

/// Half of a tree's rows, with their places.
pub type Page = Vec<(usize, Id)>;

/// What members say to each other.
#[derive(Clone, Debug)]
pub enum Note {
    Paxos(Message<Change>),
    /// Asks for what is chosen above `have`, if possible up to an entry that the asker knows to be chosen.
    Fetch {
        have: u64,
        want: (u64, Ballot),
    },
    /// Chosen entries, in order.
    Entries(Vec<Change>),
    /// Rows of a tree at a version.
    Rows {
        version: u64,
        origin: Ballot,
        part: usize,
        page: Page,
    },
    /// Asks for the second half.
    More {
        version: u64,
        origin: Ballot,
    },
    /// A tree up to this version survives everything but damage.
    Flushed(u64),
}

/// What the checker must know of.
#[derive(Clone, Debug)]
pub enum Event {
    Proposed { ballot: Ballot, change: Change },
    Voted { ballot: Ballot, change: Change },
    Tree(Tree),
    WriteStarted,
    Acked { id: Id },
    WriteDropped { id: Id },
    ReadStarted,
    ReadDone { version: u64 },
    ReadDropped,
    Counted(&'static str),
    Broken(&'static str),
}

/// What a step led to.
#[derive(Default)]
pub struct Effects {
    pub sends: Vec<(Member, Note)>,
    pub events: Vec<Event>,
}

/// A change on its way to the log.
#[derive(Clone, Debug)]
enum Write {
    Head(Token, Recorded<Change>),
    Learned(Change),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Write(Id),
    Read,
}

/// Where a read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Asking(u64),
    /// The newest entry is not known to be chosen.
    Finish,
    /// It is answered when the tree has this version, whose entry bears this name.
    Behind(u64, Ballot),
}

pub struct GroupMember {
    pub(super) me: Member,
    pub(super) members: Members,
    pub(super) mutation: Mutation,
    pub(super) inst: Instance<Change>,
    durable: AcceptorState,
    durable_head: Option<Change>,
    durable_log: BTreeMap<(u64, Ballot), Change>,
    /// The tree as it is on disk.
    flushed: Tree,
    log: BTreeMap<(u64, Ballot), Change>,
    pub(super) tree: Tree,
    /// The log's disk: in order.
    disk: VecDeque<Write>,
    /// A flush or an ingestion under way: in no order with the log.
    flushing: Option<Tree>,
    /// What the others said of their flushes.
    heard_flushed: Vec<u64>,
    /// The tree that somebody is being sent, held still.
    served: Option<Tree>,
    /// The first half of a tree that is coming.
    coming: Option<(u64, Ballot, Page)>,
    /// Promised for all groups of the slot at once: nothing is accepted or proposed below it. Durable.
    pub(super) bound: Ballot,
    /// A majority has promised this one, and none of them had a newer head than the own one.
    pub(super) grant: Option<Ballot>,
    pub(super) incarnation: u32,
    pub(super) round: u64,
    pub ballots_left: u8,
    pub(super) job: Option<Job>,
    pub(super) proposal: Option<(Ballot, Change)>,
    write: Option<Id>,
    read: Option<Reading>,
    reads: u32,
    /// The entry that it must have applied before it can go on.
    lacks: Option<(u64, Ballot)>,
}

impl GroupMember {
    pub fn new(me: Member, count: u8, mutation: Mutation) -> GroupMember {
        let members = Members::new(count).expect("a member count");
        GroupMember {
            me,
            members,
            mutation,
            inst: Instance::new(me, members, AcceptorState::default(), None),
            durable: AcceptorState::default(),
            durable_head: None,
            durable_log: BTreeMap::new(),
            flushed: Tree::default(),
            log: BTreeMap::new(),
            tree: Tree::default(),
            disk: VecDeque::new(),
            flushing: None,
            heard_flushed: vec![0; usize::from(count)],
            served: None,
            coming: None,
            bound: Ballot::ZERO,
            grant: None,
            incarnation: 1,
            round: 0,
            ballots_left: 0,
            job: None,
            proposal: None,
            write: None,
            read: None,
            reads: 0,
            lacks: None,
        }
    }

    pub fn has_write(&self) -> bool {
        self.write.is_some()
    }

    pub fn has_read(&self) -> bool {
        self.read.is_some()
    }

    pub fn has_unsaved(&self) -> bool {
        !self.disk.is_empty()
    }

    pub fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    pub fn version(&self) -> u64 {
        self.tree.version
    }

    pub fn flushed_version(&self) -> u64 {
        self.flushed.version
    }

    /// Whether [`GroupMember::poke`] would do anything.
    pub fn wants_ballot(&self) -> bool {
        self.inst.current_ballot().is_none() && (self.write.is_some() || self.read == Some(Reading::Finish))
    }

    // ---- the tree ----

    fn find(&self, version: u64, origin: Ballot) -> Option<&Change> {
        match self.mutation {
            Mutation::OneSlotPerVersion => self
                .log
                .range((version, Ballot::ZERO)..)
                .map(|(_, change)| change)
                .next_back()
                .filter(|c| c.version == version),
            _ => self.log.get(&(version, origin)),
        }
    }

    /// The entries above `have` up to the one of this name, if all are here.
    fn chain(&self, have: (u64, Option<Ballot>), to: (u64, Ballot)) -> Option<Vec<Change>> {
        let (mut version, mut origin) = to;
        let mut chain = Vec::new();
        while version > have.0 {
            let change = self.find(version, origin)?;
            (version, origin) = (version - 1, change.base);
            chain.push(change.clone());
        }
        let meets = have.1.is_none_or(|own| own == origin) && version == have.0;
        chain.reverse();
        (meets && to.0 > have.0).then_some(chain)
    }

    /// Brings the tree up to an entry that is known to be chosen. False: something is lacking.
    pub(super) fn advance(&mut self, to: (u64, Ballot), fx: &mut Effects) -> bool {
        if self.tree.version >= to.0 {
            return true;
        }
        let Some(chain) = self.chain((self.tree.version, Some(self.tree.origin)), to) else { return false };
        chain.into_iter().for_each(|change| self.apply(&change, fx));
        true
    }

    fn apply(&mut self, change: &Change, fx: &mut Effects) {
        self.tree.version = change.version;
        self.tree.origin = change.origin;
        self.tree.ids.push(change.id);
        fx.events.push(Event::Tree(self.tree.clone()));
        self.answer_read(fx);
    }

    fn answer_read(&mut self, fx: &mut Effects) {
        if matches!(self.read, Some(Reading::Behind(version, _)) if version <= self.tree.version) {
            self.finish_read(fx);
        }
        if self.lacks.is_some_and(|(version, _)| version <= self.tree.version) {
            self.lacks = None;
        }
    }

    fn finish_read(&mut self, fx: &mut Effects) {
        self.read = None;
        fx.events.push(Event::ReadDone { version: self.tree.version });
    }

    pub(super) fn has_applied(&self, id: Id) -> bool {
        self.tree.ids.contains(&id) && self.mutation != Mutation::ApplyTwice
    }

    // ---- requests ----

    pub fn start_write(&mut self, id: Id, fx: &mut Effects) {
        assert!(self.write.is_none(), "one write at a time");
        self.write = Some(id);
        fx.events.push(Event::WriteStarted);
        if self.inst.current_ballot().is_none() {
            self.poke(fx);
        }
    }

    pub fn start_read(&mut self, fx: &mut Effects) {
        assert!(self.read.is_none(), "one read at a time");
        fx.events.push(Event::ReadStarted);
        let mut out = Vec::new();
        self.reads += 1;
        let id = (u64::from(self.incarnation) << 32) | u64::from(self.reads);
        self.read = Some(Reading::Asking(id));
        self.inst.query(id, &mut out);
        self.run(out, fx);
    }

    /// Starts a ballot for what is waiting: the read that must be finished, else the write.
    pub fn poke(&mut self, fx: &mut Effects) {
        assert!(self.wants_ballot(), "somebody waits and no ballot is under way");
        let mut out = Vec::new();
        match (self.read, self.write) {
            (Some(Reading::Finish), _) => self.start_ballot(Job::Read, &mut out, fx),
            (_, Some(id)) if self.may_go_fast() => self.go_fast(id, &mut out, fx),
            (_, Some(id)) if self.may_use_grant() => self.use_grant(id, &mut out, fx),
            (_, Some(id)) => self.start_ballot(Job::Write(id), &mut out, fx),
            _ => {}
        }
        self.run(out, fx);
    }

    fn may_go_fast(&self) -> bool {
        self.inst.can_fast(u32::from(self.me), self.incarnation)
            && self.inst.state().accepted.succ() >= self.bound
    }

    fn go_fast(&mut self, id: Id, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        let head = self.inst.entry().cloned().expect("a chosen record is held");
        if self.mutation != Mutation::ExtendTreeAsItIs && !self.advance((head.version, head.origin), fx) {
            return self.want((head.version, head.origin), fx);
        }
        self.extend(id, self.inst.state().accepted.succ(), out, fx);
    }

    /// The tree is that of the chosen state that a proposal at this ballot extends.
    fn extend(&mut self, id: Id, ballot: Ballot, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        if self.has_applied(id) {
            self.give_up_ballot();
            self.write = None;
            return fx.events.push(Event::Acked { id });
        }
        let change = Change { version: self.tree.version + 1, origin: ballot, base: self.tree.origin, id };
        self.job = Some(Job::Write(id));
        self.round = self.round.max(ballot.round);
        self.proposal = Some((ballot, change.clone()));
        if self.inst.propose(change.clone(), Ballot::ZERO, out) {
            fx.events.push(Event::Proposed { ballot, change });
        }
    }

    fn start_ballot(&mut self, job: Job, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        if self.ballots_left == 0 {
            match job {
                Job::Write(id) => {
                    self.write = None;
                    fx.events.push(Event::WriteDropped { id });
                }
                Job::Read => {
                    self.read = None;
                    fx.events.push(Event::ReadDropped);
                }
            }
            return;
        }
        self.ballots_left -= 1;
        let round = self.round.max(self.inst.state().promised.round).max(self.bound.round) + 1;
        self.round = round;
        self.job = Some(job);
        self.inst.prepare(Ballot::new(round, u32::from(self.me), self.incarnation), Ballot::ZERO, out);
    }

    pub fn give_up_ballot(&mut self) {
        self.inst.abandon();
        self.job = None;
        self.proposal = None;
    }

    pub fn give_up_requests(&mut self, fx: &mut Effects) {
        self.give_up_ballot();
        fx.events.extend(self.write.take().map(|id| Event::WriteDropped { id }));
        fx.events.extend(self.read.take().map(|_| Event::ReadDropped));
        self.inst.abandon_read();
    }

    pub fn resend(&mut self, fx: &mut Effects) {
        let mut out = Vec::new();
        self.inst.resend(&mut out);
        self.run(out, fx);
        self.ask(fx);
    }

    pub fn settle(&mut self, fx: &mut Effects) {
        let mut out = Vec::new();
        self.inst.settle_read(&mut out);
        self.run(out, fx);
    }

    // ---- catching up ----

    /// The entry of this name is chosen and not applied here.
    pub(super) fn want(&mut self, entry: (u64, Ballot), fx: &mut Effects) {
        self.lacks = Some(entry);
        self.ask(fx);
    }

    /// Asks all others for what is lacking, or for what may be.
    pub fn ask(&mut self, fx: &mut Effects) {
        let behind = match self.read {
            Some(Reading::Behind(version, origin)) => Some((version, origin)),
            _ => None,
        };
        let want = self.lacks.max(behind).unwrap_or((0, Ballot::ZERO));
        let others = self.members.all().filter(|member| *member != self.me);
        fx.sends.extend(others.map(|to| (to, Note::Fetch { have: self.tree.version, want })));
    }

    fn serve(&mut self, to: Member, have: u64, want: (u64, Ballot), fx: &mut Effects) {
        if self.mutation == Mutation::ServeUndecided {
            if let Some(head) = self.inst.entry().filter(|head| head.version > have) {
                if let Some(chain) = self.chain((have, None), (head.version, head.origin)) {
                    return fx.sends.push((to, Note::Entries(chain)));
                }
            }
        }
        let own = (self.tree.version, self.tree.origin);
        let chain = self.chain((have, None), want).or_else(|| self.chain((have, None), own));
        if let Some(chain) = chain {
            return fx.sends.push((to, Note::Entries(chain)));
        }
        if own.0 > have {
            self.served = Some(self.tree.clone());
            let page = rows(&self.tree, 0);
            fx.sends.push((to, Note::Rows { version: own.0, origin: own.1, part: 0, page }));
        }
    }

    fn serve_more(&mut self, to: Member, version: u64, origin: Ballot, fx: &mut Effects) {
        let tree = match self.mutation {
            Mutation::RunOfTwoVersions => Some(&self.tree),
            _ => self.served.as_ref().filter(|tree| (tree.version, tree.origin) == (version, origin)),
        };
        if let Some(page) = tree.map(|tree| rows(tree, 1)) {
            fx.sends.push((to, Note::Rows { version, origin, part: 1, page }));
        }
    }

    fn learn(&mut self, entries: Vec<Change>, fx: &mut Effects) {
        for change in entries {
            let skips = self.mutation == Mutation::SkipVersions && change.version > self.tree.version;
            if change.version != self.tree.version + 1 && !skips {
                continue;
            }
            if change.base != self.tree.origin && !skips {
                return fx.events.push(Event::Broken("a chosen entry does not follow the tree"));
            }
            self.log.insert((change.version, change.origin), change.clone());
            self.disk.push_back(Write::Learned(change.clone()));
            fx.events.push(Event::Counted("learned"));
            self.apply(&change, fx);
        }
    }

    fn on_rows(
        &mut self,
        from: Member,
        (version, origin): (u64, Ballot),
        part: usize,
        page: Page,
        fx: &mut Effects,
    ) {
        if version <= self.tree.version {
            self.coming = None;
            return;
        }
        if part == 0 {
            self.coming = Some((version, origin, page));
            return fx.sends.push((from, Note::More { version, origin }));
        }
        // The second half may come twice, or from somebody else, who has the same tree.
        let is_it = |coming: &(u64, Ballot, Page)| (coming.0, coming.1) == (version, origin);
        if !self.coming.as_ref().is_some_and(is_it) || self.flushing.is_some() {
            return;
        }
        let (_, _, mut all) = self.coming.take().expect("it was looked at");
        all.extend(page);
        all.sort_unstable();
        let ids = all.into_iter().map(|(_, id)| id).collect();
        self.tree = Tree { version, origin, ids };
        self.flushing = Some(self.tree.clone());
        fx.events.push(Event::Counted("ingested"));
        fx.events.push(Event::Tree(self.tree.clone()));
        self.answer_read(fx);
    }

    // ---- messages ----

    pub fn deliver(&mut self, from: Member, note: Note, fx: &mut Effects) {
        match note {
            Note::Paxos(message) => self.on_message(from, message, fx),
            Note::Fetch { have, want } => self.serve(from, have, want, fx),
            Note::Entries(entries) => self.learn(entries, fx),
            Note::Rows { version, origin, part, page } => {
                self.on_rows(from, (version, origin), part, page, fx)
            }
            Note::More { version, origin } => self.serve_more(from, version, origin, fx),
            Note::Flushed(version) => {
                let heard = &mut self.heard_flushed[usize::from(from)];
                *heard = (*heard).max(version);
            }
        }
    }

    fn on_message(&mut self, from: Member, message: Message<Change>, fx: &mut Effects) {
        self.round = self.round.max(message.round_max());
        if let Some(refusal) = self.refusal(&message) {
            return fx.sends.push((from, Note::Paxos(refusal)));
        }
        let base = match &message {
            Message::Accept { entry, .. } => Some((entry.version - 1, entry.base)),
            _ => None,
        };
        let mut out = Vec::new();
        self.inst.receive(from, message, Ballot::ZERO, &mut out);
        self.run(out, fx);
        // That an entry is proposed says that its base is chosen; whether that is here is no matter of the vote.
        if let Some(base) = base.filter(|base| !self.advance(*base, fx)) {
            fx.events.push(Event::Counted("lacks base"));
            fx.sends.push((from, Note::Fetch { have: self.tree.version, want: base }));
        }
    }

    fn run(&mut self, outputs: Vec<Output<Change>>, fx: &mut Effects) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            let mut out = Vec::new();
            match output {
                Output::Persist { token, record } => self.on_persist(token, record, fx),
                Output::Send { to, message } => fx.sends.push((to, Note::Paxos(message))),
                Output::Prepared { found } => self.on_prepared(found, &mut out, fx),
                Output::Chosen { ballot } => self.on_chosen(ballot, &mut out, fx),
                Output::Lost(lost) => {
                    self.round = self.round.max(lost.rival.round);
                    self.job = None;
                    self.proposal = None;
                }
                Output::Read { id, outcome } => self.on_read(id, outcome, &mut out, fx),
                Output::Corrupt { .. } => fx.events.push(Event::Broken("two entries at one ballot met")),
            }
            queue.extend(out);
        }
    }

    fn on_persist(&mut self, token: Token, record: Recorded<Change>, fx: &mut Effects) {
        if let Recorded::Accepted { entry, .. } = &record {
            self.log.insert((entry.version, entry.origin), entry.clone());
            if self.mutation == Mutation::ApplyUndecided && entry.version == self.tree.version + 1 {
                self.apply(&entry.clone(), fx);
            }
        }
        self.disk.push_back(Write::Head(token, record));
    }

    fn on_prepared(&mut self, found: Option<Found<Change>>, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        let ballot = self.inst.current_ballot().expect("phase 1 is done");
        let job = self.job.expect("phase 1 was started for something");
        if ballot < self.bound {
            return self.give_up_ballot();
        }
        let Some(found) = found else {
            return match job {
                Job::Read => {
                    self.give_up_ballot();
                    self.finish_read(fx);
                }
                Job::Write(id) => self.extend(id, ballot, out, fx),
            };
        };
        let Found { entry, chosen, .. } = &found;
        // What is applied is chosen, at whatever ballot somebody finishes it once more.
        let is_applied = (entry.version, entry.origin) == (self.tree.version, self.tree.origin);
        let chosen = *chosen || is_applied || self.mutation == Mutation::ExtendUnfinished;
        if !chosen {
            let change = entry.clone();
            self.proposal = Some((ballot, change.clone()));
            fx.events.push(Event::Counted("finished"));
            if self.inst.finish(Ballot::ZERO, out) {
                fx.events.push(Event::Proposed { ballot, change });
            }
            return;
        }
        let found = (entry.version, entry.origin);
        self.log.entry((entry.version, entry.origin)).or_insert_with(|| entry.clone());
        if !self.advance(found, fx) {
            self.give_up_ballot();
            return self.want(found, fx);
        }
        if self.tree.version > found.0 {
            // Somebody went on meanwhile, at a higher ballot.
            return self.give_up_ballot();
        }
        match job {
            Job::Read => {
                self.give_up_ballot();
                self.finish_read(fx);
            }
            Job::Write(id) => self.extend(id, ballot, out, fx),
        }
    }

    fn on_chosen(&mut self, ballot: Ballot, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        let (proposed, change) = self.proposal.take().expect("what is chosen was proposed");
        assert_eq!(proposed, ballot, "the ballot under way is the one chosen");
        let entry = (change.version, change.origin);
        let is_applied = self.advance(entry, fx);
        if !is_applied {
            self.want(entry, fx);
        }
        match self.job.take() {
            Some(Job::Read) if is_applied => self.finish_read(fx),
            Some(Job::Read) => self.read = Some(Reading::Behind(entry.0, entry.1)),
            Some(Job::Write(id)) if change.id == id => {
                self.write = None;
                fx.events.push(Event::Acked { id });
            }
            // What was found is finished; the write itself follows.
            Some(Job::Write(id)) if self.may_go_fast() => self.go_fast(id, out, fx),
            _ => {}
        }
    }

    fn on_read(
        &mut self,
        id: u64,
        outcome: ReadOutcome<Change>,
        out: &mut Vec<Output<Change>>,
        fx: &mut Effects,
    ) {
        if self.read != Some(Reading::Asking(id)) {
            return;
        }
        let newest = match outcome {
            ReadOutcome::Local { .. } => self.inst.entry().map(|head| (head.version, head.origin)),
            ReadOutcome::Remote { ballot, entry } => {
                let newest = (entry.version, entry.origin);
                if self.advance((entry.version - 1, entry.base), fx) {
                    self.learn(vec![entry.clone()], fx);
                    // The head may be taken over as well, but need not be.
                    if self.reads.is_multiple_of(2) {
                        self.inst.take_over(ballot, entry, Ballot::ZERO, out);
                    }
                }
                Some(newest)
            }
            ReadOutcome::Conflict => {
                self.read = Some(Reading::Finish);
                return;
            }
        };
        match newest {
            Some(newest) if self.mutation != Mutation::ReadTreeAsItIs && !self.advance(newest, fx) => {
                self.read = Some(Reading::Behind(newest.0, newest.1));
                self.ask(fx);
            }
            _ => self.finish_read(fx),
        }
    }

    // ---- the disk ----

    /// The log's disk finishes the oldest change that is under way.
    pub fn persist(&mut self, fx: &mut Effects) {
        match self.disk.pop_front().expect("a change is under way") {
            Write::Learned(change) => drop(self.durable_log.insert((change.version, change.origin), change)),
            Write::Head(token, record) => {
                match record {
                    Recorded::Promised { ballot } => self.durable.promised = ballot,
                    Recorded::Accepted { ballot, entry } => {
                        self.durable.promised = ballot.succ();
                        self.durable.accepted = ballot;
                        self.durable_log.insert((entry.version, entry.origin), entry.clone());
                        self.durable_head = Some(entry.clone());
                        fx.events.push(Event::Voted { ballot, change: entry });
                    }
                }
                let mut out = Vec::new();
                self.inst.persisted(token, &mut out);
                self.run(out, fx);
            }
        }
    }

    /// Begins to write the tree to disk.
    pub fn flush(&mut self) {
        if self.flushing.is_none() && self.tree.version > self.flushed.version {
            self.flushing = Some(self.tree.clone());
        }
    }

    /// The tree that was being written is on disk.
    pub fn flushed(&mut self, fx: &mut Effects) {
        self.flushed = self.flushing.take().expect("a flush is under way");
        let version = self.flushed.version;
        let others = self.members.all().filter(|member| *member != self.me);
        fx.sends.extend(others.map(|to| (to, Note::Flushed(version))));
    }

    /// Drops entries that are in every member's tree, or, where the window is used up, in the own one.
    pub fn trim(&mut self, window: u64) {
        let others = self.members.all().filter(|member| *member != self.me);
        let everywhere =
            others.map(|member| self.heard_flushed[usize::from(member)]).min().unwrap_or(u64::MAX);
        let behind = self.flushed.version.saturating_sub(window);
        let mut limit = self.flushed.version.min(everywhere.max(behind));
        if self.mutation == Mutation::TrimUnflushed {
            limit = self.tree.version;
        }
        let head = self.durable_head.as_ref().map(|head| (head.version, head.origin));
        let keeps = |key: &(u64, Ballot)| key.0 > limit || Some(*key) == head;
        self.log.retain(|key, _| keeps(key));
        self.durable_log.retain(|key, _| keeps(key));
    }

    /// Power loss and restart. With `damage`, the tree is lost as well.
    pub fn crash(&mut self, damage: bool, fx: &mut Effects) {
        self.give_up_requests(fx);
        self.disk.clear();
        (self.flushing, self.served, self.coming, self.lacks) = (None, None, None, None);
        self.incarnation += 1;
        self.grant = None;
        self.round = self.durable.promised.round.max(self.durable.accepted.round);
        self.reads = 0;
        if damage {
            self.flushed = Tree::default();
        }
        self.tree = self.flushed.clone();
        self.log.clone_from(&self.durable_log);
        self.inst = Instance::new(self.me, self.members, self.durable, self.durable_head.clone());
        if let Some(head) = self.durable_head.clone() {
            // That there is a head says that all before it is chosen, and nothing of the head itself.
            match self.mutation {
                Mutation::RestartAppliesHead => self.advance((head.version, head.origin), fx),
                _ => self.advance((head.version - 1, head.base), fx),
            };
        }
    }
}

fn rows(tree: &Tree, part: usize) -> Page {
    tree.ids.iter().copied().enumerate().filter(|(place, _)| place % 2 == part).collect()
}
