//! The acceptor side of an instance against a naive acceptor: a list of everything that ever happened, from which each answer is
//! worked out anew by the words of docs/design/consensus.md.

use paxos::limits::{PENDING_MAX, WITHHELD_MAX};
use paxos::{
    AcceptorState, Ballot, Entry, Instance, Member, Members, Message, Output, Recorded, Report, Token,
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Value(u64);

impl Entry for Value {
    fn agrees(&self, other: &Value) -> bool {
        self == other
    }
}

type Answer = (Member, Message<Value>);

/// The naive acceptor.
#[derive(Default)]
struct Naive {
    history: Vec<Recorded<Value>>,
    durable: usize,
    chosen_to: Ballot,
    /// Answers, and how much of the history must be durable before they leave.
    waiting: Vec<(usize, Answer)>,
    corrupt: usize,
}

fn promised(history: &[Recorded<Value>]) -> Ballot {
    let implied = |record: &Recorded<Value>| match record {
        Recorded::Promised { ballot } => *ballot,
        Recorded::Accepted { ballot, .. } => ballot.succ(),
    };
    history.iter().map(implied).max().unwrap_or(Ballot::ZERO)
}

fn accepted(history: &[Recorded<Value>]) -> (Ballot, Option<Value>) {
    let votes = history.iter().filter_map(|record| match record {
        Recorded::Accepted { ballot, entry } => Some((*ballot, Some(entry.clone()))),
        Recorded::Promised { .. } => None,
    });
    votes.max_by_key(|(ballot, _)| *ballot).unwrap_or((Ballot::ZERO, None))
}

impl Naive {
    fn bars(&self, floor: Ballot, ballot: Ballot) -> bool {
        let absent = accepted(&self.history).1.is_none();
        ballot == Ballot::ZERO || ballot < promised(&self.history) || (absent && ballot <= floor)
    }

    fn report(&self, upto: usize, holds: Ballot) -> Report<Value> {
        let (ballot, entry) = accepted(&self.history[..upto]);
        let entry = entry.filter(|_| ballot > holds);
        Report { accepted: ballot, chosen_to: self.chosen_to, taken_over: false, entry }
    }

    fn answer(&mut self, to: Member, message: Message<Value>) {
        let kind = |m: &Message<Value>| (std::mem::discriminant(m), ballot_of(m));
        let needs = self.history.len();
        let same = |(n, (t, m)): &&mut (usize, Answer)| *n == needs && *t == to && kind(m) == kind(&message);
        match self.waiting.iter_mut().find(same) {
            Some((_, (_, kept))) => *kept = message,
            None => self.waiting.push((needs, (to, message))),
        }
    }

    fn vote(&mut self, from: Member, ballot: Ballot, entry: Value) {
        self.history.push(Recorded::Accepted { ballot, entry });
        self.answer(from, Message::Accepted { ballot });
    }

    fn reject(&mut self, from: Member, ballot: Ballot, floor: Ballot) {
        let (accepted, _) = accepted(&self.history);
        let promised = promised(&self.history);
        let chosen_to = self.chosen_to;
        self.answer(from, Message::Reject { ballot, promised, accepted, chosen_to, floor });
    }

    /// Returns answers that leave at once.
    fn receive(&mut self, from: Member, message: Message<Value>, floor: Ballot) -> Vec<Answer> {
        let own = accepted(&self.history);
        match message {
            Message::Query { id, holds } => {
                return vec![(from, Message::State { id, report: self.report(self.durable, holds) })]
            }
            Message::Accept { ballot, base, entry } if ballot == own.0 && own.1.is_some() => {
                if own.1 != Some(entry) {
                    self.corrupt += 1;
                } else {
                    self.chosen_to = self.chosen_to.max(base);
                    self.answer(from, Message::Accepted { ballot });
                }
            }
            Message::Restamp { ballot, .. } if ballot == own.0 && own.1.is_some() => {
                self.answer(from, Message::Accepted { ballot });
            }
            Message::Prepare { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Restamp { ballot, .. }
                if self.bars(floor, ballot) =>
            {
                self.reject(from, ballot, floor);
            }
            Message::Prepare { ballot, holds } => {
                if promised(&self.history) < ballot {
                    self.history.push(Recorded::Promised { ballot });
                }
                let report = self.report(self.history.len(), holds);
                self.answer(from, Message::Promise { ballot, report });
            }
            Message::Accept { ballot, base, entry } => {
                self.chosen_to = self.chosen_to.max(base);
                self.vote(from, ballot, entry);
            }
            Message::Restamp { ballot, of } => match own {
                (at, Some(entry)) if at == of => self.vote(from, ballot, entry),
                _ => self.answer(from, Message::NeedBase { ballot }),
            },
            _ => {}
        }
        Vec::new()
    }

    fn take_over(&mut self, ballot: Ballot, entry: Value, floor: Ballot) {
        let held = accepted(&self.history).0 == ballot;
        if !held && self.bars(floor, ballot) {
            return;
        }
        if !held {
            self.history.push(Recorded::Accepted { ballot, entry });
        }
        self.chosen_to = self.chosen_to.max(ballot);
    }

    /// The answers that may leave.
    fn release(&mut self) -> Vec<Answer> {
        let durable = self.durable;
        let (ready, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(n, _)| *n <= durable);
        self.waiting = waiting;
        Vec::into_iter(ready).map(|(_, answer)| answer).collect()
    }

    fn crash(&mut self) {
        self.history.truncate(self.durable);
        self.waiting.clear();
        self.chosen_to = Ballot::ZERO;
    }
}

fn ballot_of(message: &Message<Value>) -> Ballot {
    match message {
        Message::Promise { ballot, .. }
        | Message::Accepted { ballot }
        | Message::Reject { ballot, .. }
        | Message::NeedBase { ballot } => *ballot,
        _ => Ballot::ZERO,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn ballot(&mut self) -> Ballot {
        let node = u32::try_from(self.below(2)).expect("small") + 1;
        match self.below(9) {
            0 => Ballot::ZERO,
            round => Ballot::new(round, node, 1),
        }
    }

    /// The one entry of a ballot, and now and then another.
    fn entry(&mut self, ballot: Ballot) -> Value {
        Value(ballot.round * 10 + u64::from(ballot.node) + if self.below(30) == 0 { 1000 } else { 0 })
    }

    fn message(&mut self) -> Message<Value> {
        let ballot = self.ballot();
        match self.below(8) {
            0 | 1 => Message::Prepare { ballot, holds: self.ballot() },
            2..=4 => Message::Accept { ballot, base: self.ballot(), entry: self.entry(ballot) },
            5 => Message::Restamp { ballot, of: self.ballot() },
            _ => Message::Query { id: self.below(100), holds: self.ballot() },
        }
    }
}

/// The instance beside the naive acceptor.
struct Pair {
    inst: Instance<Value>,
    naive: Naive,
    tokens: Vec<Token>,
    answers: Vec<Answer>,
    corrupt: usize,
    floor: Ballot,
}

impl Pair {
    fn new() -> Pair {
        let members = Members::new(3).expect("a member count");
        Pair {
            inst: Instance::new(0, members, AcceptorState::default(), None),
            naive: Naive::default(),
            tokens: Vec::new(),
            answers: Vec::new(),
            corrupt: 0,
            floor: Ballot::ZERO,
        }
    }

    fn absorb(&mut self, out: Vec<Output<Value>>) {
        for output in out {
            match output {
                Output::Persist { token, record } => {
                    self.tokens.push(token);
                    let at = self.naive.durable + self.tokens.len();
                    assert_eq!(Some(&record), self.naive.history.get(at - 1), "the same change");
                }
                Output::Send { to, message } => self.answers.push((to, message)),
                Output::Corrupt { .. } => self.corrupt += 1,
                other => panic!("an acceptor does not say {other:?}"),
            }
        }
    }

    fn step(&mut self, random: &mut Random) {
        let mut out = Vec::new();
        let mut expected = Vec::new();
        match random.below(20) {
            0..=10 => {
                let (from, message) = (1 + u8::try_from(random.below(2)).expect("small"), random.message());
                expected = self.naive.receive(from, message.clone(), self.floor);
                self.inst.receive(from, message, self.floor, &mut out);
            }
            11 => {
                let ballot = random.ballot();
                if !ballot.is_zero() {
                    let entry = Value(ballot.round * 10 + u64::from(ballot.node));
                    self.naive.take_over(ballot, entry.clone(), self.floor);
                    self.inst.take_over(ballot, entry, self.floor, &mut out);
                }
            }
            12 if random.below(4) == 0 => self.floor = self.floor.max(random.ballot()),
            13 if random.below(4) == 0 => self.crash(),
            _ => {}
        }
        self.absorb(out);
        let busy = self.tokens.len() + 2 > PENDING_MAX || self.naive.waiting.len() + 2 > WITHHELD_MAX;
        if !self.tokens.is_empty() && (busy || random.below(3) == 0) {
            let upto = if busy { self.tokens.len() } else { 1 };
            let mut out = Vec::new();
            self.inst.persisted(self.tokens[upto - 1], &mut out);
            self.tokens.drain(..upto);
            self.naive.durable += upto;
            self.absorb(out);
        }
        expected.extend(self.naive.release());
        assert_eq!(std::mem::take(&mut self.answers), expected, "the same answers leave, in the same order");
        self.compare();
    }

    fn crash(&mut self) {
        self.naive.crash();
        self.tokens.clear();
        let (accepted, entry) = accepted(&self.naive.history);
        let promised = promised(&self.naive.history);
        let state = AcceptorState { promised, accepted, ..AcceptorState::default() };
        let members = Members::new(3).expect("a member count");
        self.inst = Instance::new(0, members, state, entry);
    }

    fn compare(&self) {
        let (state, naive) = (self.inst.state(), &self.naive);
        let expected = (promised(&naive.history), accepted(&naive.history), naive.chosen_to, naive.corrupt);
        let entry = self.inst.entry().cloned();
        assert_eq!((state.promised, (state.accepted, entry), state.chosen_to, self.corrupt), expected);
        assert_eq!(self.inst.stable_accepted(), accepted(&naive.history[..naive.durable]).0);
    }
}

#[test]
fn the_acceptor_does_what_the_page_says() {
    let (mut votes, mut corrupt) = (0, 0);
    for seed in 0..8_000 {
        let mut random = Random(seed);
        let mut pair = Pair::new();
        for _ in 0..60 {
            pair.step(&mut random);
        }
        votes += pair.naive.history.len();
        corrupt += pair.corrupt;
    }
    assert!(votes > 10_000 && corrupt > 100, "the sequences reach what they test: {votes} {corrupt}");
}
