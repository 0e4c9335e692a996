//! The asking side: up to where this core is abreast of each member, slot by slot, and below which ballots its own records are known
//! not to be the newest. Pure.
//!
//! The first answer of a subscription that says what a member holds is where the two begin. From there on whatever the member counts
//! is told and noted; a slot is abreast once an answer that was read no earlier showed nothing that is not here or noted. Of each
//! member only what came under the newest subscription and from one start is heeded: anything else does not fit together with it.

use bitcask::{Fingerprint, FingerprintHasher};
use hashbrown::HashMap;
use paxos::{Ballot, Member};
use reactor::mutants::planted;

use crate::limits::{NEEDS_MAX, SLOTS};
use crate::wire::{Counted, Told};

/// Slots that a word of bits stands for.
const WORD: u16 = u64::BITS as u16;

/// Where this core stands with one member.
#[derive(Debug)]
struct Standing {
    /// What the slots are named under; 0 before the first.
    subscription: u64,
    /// Where the two began, and how far they came.
    begun: Option<Begun>,
    /// The slots that are abreast, as bits, and how many they are.
    slots: Box<[u64]>,
    level: u32,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    /// The member's start.
    incarnation: u32,
    /// What was counted from here on is noted,
    from: u64,
    /// up to here.
    at: u64,
}

impl Standing {
    fn new() -> Standing {
        let slots = vec![0; usize::from(SLOTS / WORD)].into_boxed_slice();
        Standing { subscription: 0, begun: None, slots, level: 0 }
    }

    fn has(&self, slot: u16) -> bool {
        self.slots[usize::from(slot / WORD)] >> (slot % WORD) & 1 != 0
    }

    fn set(&mut self, slot: u16) {
        let word = &mut self.slots[usize::from(slot / WORD)];
        let bit = 1 << (slot % WORD);
        self.level += u32::from(*word & bit == 0);
        *word |= bit;
    }
}

/// What an answer to a Confirm comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// All that was counted up to it is noted: the answer counts.
    Told,
    /// It does not belong to what is known of the member: to an earlier subscription, say.
    Stranger,
    /// More was counted than the member remembers: the two begin anew.
    Lost,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Asker {
    start: u32,
    /// Subscriptions of this start so far.
    number: u32,
    /// Runs of slots, first and last of each, in order and apart: those that this core is preferred for.
    named: Vec<(u16, u16)>,
    standing: Vec<Standing>,
    need: HashMap<Fingerprint, Ballot, FingerprintHasher>,
    /// Somebody is to hear of a new subscription, and was not told yet.
    pub wants_look: bool,
    /// This core and a member have begun, since this was looked at last.
    pub has_news: bool,
}

impl Asker {
    /// Abreast of nobody.
    pub fn new(members: usize) -> Asker {
        Asker {
            start: 0,
            number: 0,
            named: Vec::new(),
            standing: (0..members).map(|_| Standing::new()).collect(),
            need: HashMap::with_hasher(FingerprintHasher),
            wants_look: false,
            has_news: false,
        }
    }

    /// A start of this core, or a life of it, begins: with nothing known.
    pub fn begin(&mut self, incarnation: u32) {
        (self.start, self.number) = (incarnation, 0);
        self.need.clear();
        self.begin_anew_with_all();
    }

    /// The slots that this core is preferred for have changed, perhaps. Runs are in order and apart.
    /// Whether they have.
    pub fn set_named(&mut self, named: Vec<(u16, u16)>) -> bool {
        if named == self.named {
            return false;
        }
        self.named = named;
        if planted(178) {
            let named = self.named.clone();
            for standing in self.standing.iter_mut().filter(|standing| standing.level > 0) {
                named.iter().for_each(|(first, last)| (*first..=*last).for_each(|slot| standing.set(slot)));
            }
            return true;
        }
        self.begin_anew_with_all();
        true
    }

    /// The slots to be named, under this subscription. None: there is nothing to name, or the member has heard of it.
    pub fn naming(&self, member: Member) -> Option<(u64, &[(u16, u16)])> {
        let standing = &self.standing[usize::from(member)];
        let wanted = standing.begun.is_none() && standing.subscription != 0 && !self.named.is_empty();
        wanted.then_some((standing.subscription, &self.named))
    }

    /// The two are not abreast any more, and compare anew: under a new number, because what is still on its way under the old one does
    /// not fit together with that.
    pub fn begin_anew(&mut self, member: Member) {
        self.number = self.number.wrapping_add(1);
        let standing = &mut self.standing[usize::from(member)];
        standing.subscription = u64::from(self.start) << 32 | u64::from(self.number);
        (standing.begun, standing.level) = (None, 0);
        standing.slots.fill(0);
        self.wants_look = true;
    }

    /// As [`Asker::begin_anew`], with everybody.
    pub fn begin_anew_with_all(&mut self) {
        (0..self.standing.len()).for_each(|member| self.begin_anew(member as Member));
    }

    /// Whether the two have begun: a Confirm may be asked.
    pub fn has_begun(&self, member: Member) -> bool {
        self.standing[usize::from(member)].begun.is_some()
    }

    /// Up to where the two are abreast, and the member's start.
    pub fn place(&self, member: Member) -> Option<(Counted, u32)> {
        let Standing { subscription, begun, .. } = &self.standing[usize::from(member)];
        let begun = begun.as_ref()?;
        Some((Counted { subscription: *subscription, count: begun.at }, begun.incarnation))
    }

    /// Whether reads of a slot can be confirmed by a member.
    pub fn is_abreast(&self, member: Member, slot: u16) -> bool {
        self.standing[usize::from(member)].has(slot)
    }

    /// How many slots are abreast with a member.
    pub fn level(&self, member: Member) -> u32 {
        self.standing[usize::from(member)].level
    }

    /// A member said something of what it holds, as of this place of its counter. Whether that may make slots abreast.
    pub fn on_counted(&mut self, member: Member, incarnation: u32, counted: Counted) -> bool {
        let standing = &mut self.standing[usize::from(member)];
        if counted.subscription == 0 || counted.subscription != standing.subscription {
            return false;
        }
        match &standing.begun {
            Some(begun) if begun.incarnation > incarnation => false,
            // What was counted between this and the place where the two began was never told.
            Some(begun) if begun.incarnation == incarnation => counted.count >= begun.from || planted(179),
            // Of two starts of the member the one with the higher number is the newer one.
            _ => {
                let count = counted.count;
                standing.begun = Some(Begun { incarnation, from: count, at: count });
                standing.level = 0;
                standing.slots.fill(0);
                self.has_news = true;
                true
            }
        }
    }

    /// A member holds nothing of these slots that is not here or noted, as an answer shows that may make slots abreast.
    pub fn note_level(&mut self, member: Member, first: u16, last: u16) {
        let standing = &mut self.standing[usize::from(member)];
        for (from, to) in &self.named {
            (first.max(*from)..=last.min(*to)).for_each(|slot| standing.set(slot));
        }
    }

    /// The slots that this core is preferred for.
    pub fn named(&self) -> &[(u16, u16)] {
        &self.named
    }

    /// Whether a slot is among those named.
    pub fn has_named(&self, slot: u16) -> bool {
        self.named.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// Takes note of records that a member lists and that are newer than the own ones. False at the bound: then the list makes no slot abreast. It is no
    /// reason to begin anew, because a core that lacks so much is about to take it over.
    pub fn note_listed(&mut self, mut newer: impl Iterator<Item = (Fingerprint, Ballot)>) -> bool {
        newer.all(|(fingerprint, ballot)| {
            let room = self.need.len() < NEEDS_MAX || self.need.contains_key(&fingerprint);
            if room && !planted(182) {
                self.note_need(fingerprint, ballot);
            }
            room
        })
    }

    /// Takes note of what a member has counted.
    pub fn on_told(&mut self, member: Member, incarnation: u32, told: &Told) -> Noted {
        let standing = &mut self.standing[usize::from(member)];
        let Some(begun) = &mut standing.begun else { return Noted::Stranger };
        let same = standing.subscription == told.place.subscription
            && (begun.incarnation == incarnation || planted(177));
        if !same || told.from > begun.at {
            return Noted::Stranger;
        }
        let Some(records) = &told.records else {
            self.begin_anew(member);
            return Noted::Lost;
        };
        begun.at = begun.at.max(told.place.count);
        if !planted(170) {
            records.iter().for_each(|(fingerprint, ballot)| self.note_need(*fingerprint, *ballot));
        }
        // Those that were noted last may have been too many.
        if self.has_begun(member) {
            Noted::Told
        } else {
            Noted::Lost
        }
    }

    /// A record at this ballot was voted for somewhere. At the bound everything begins anew, and nothing that was noted matters:
    /// comparisons show it again.
    pub fn note_need(&mut self, fingerprint: Fingerprint, ballot: Ballot) {
        if self.need.len() >= NEEDS_MAX && !self.need.contains_key(&fingerprint) {
            self.need.clear();
            return self.begin_anew_with_all();
        }
        let need = self.need.entry(fingerprint).or_insert(ballot);
        *need = ballot.max(*need);
    }

    /// Below this ballot a record of the key is not the newest.
    pub fn need(&self, fingerprint: Fingerprint) -> Ballot {
        if self.need.is_empty() {
            return Ballot::ZERO;
        }
        self.need.get(&fingerprint).copied().unwrap_or(Ballot::ZERO)
    }

    /// A record at this ballot is durable here, or was a tombstone that all have agreed to drop: nothing up to it is needed any more.
    pub fn on_reached(&mut self, fingerprint: Fingerprint, ballot: Ballot) {
        if !self.need.is_empty() && self.need.get(&fingerprint).is_some_and(|need| *need <= ballot) {
            self.need.remove(&fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 5;
    const X: Member = 1;

    fn asker() -> Asker {
        let mut asker = Asker::new(3);
        asker.set_named(vec![(10, 20), (30, 40)]);
        asker.begin(START);
        asker
    }

    /// Fingerprints are hashes: what tells them apart is in their upper bits as well.
    fn fingerprint(number: u64) -> Fingerprint {
        Fingerprint { hi: number.rotate_left(48), lo: 0 }
    }

    fn counted(asker: &Asker, count: u64) -> Counted {
        Counted { subscription: asker.standing[usize::from(X)].subscription, count }
    }

    fn told(asker: &Asker, from: u64, to: u64, records: Option<&[u64]>) -> Told {
        let record = |number: &u64| (fingerprint(*number), Ballot::new(*number, 1, 1));
        let records = records.map(|records| records.iter().map(record).collect());
        Told { from, place: counted(asker, to), records }
    }

    #[test]
    fn a_member_is_abreast_from_its_first_answer_on() {
        let mut asker = asker();
        let (subscription, named) = asker.naming(X).expect("it is to be told");
        assert_eq!((subscription >> 32, named), (u64::from(START), &[(10, 20), (30, 40)][..]));
        assert!(!asker.on_counted(X, 7, Counted { subscription: subscription - 1, count: 3 }));
        assert!(!asker.on_counted(X, 7, Counted::default()));
        assert_eq!(asker.place(X), None);
        assert!(asker.on_counted(X, 7, counted(&asker, 3)));
        assert_eq!((asker.place(X), asker.naming(X)), (Some((counted(&asker, 3), 7)), None));
        asker.note_level(X, 0, 32);
        let level: Vec<u16> = (0..SLOTS).filter(|slot| asker.is_abreast(X, *slot)).collect();
        assert_eq!(level, (10..=20).chain(30..=32).collect::<Vec<_>>());
        assert_eq!((asker.level(X), asker.level(2)), (14, 0));
        // What was read before that says nothing, what was read later does.
        assert!(!asker.on_counted(X, 7, counted(&asker, 2)));
        assert!(asker.on_counted(X, 7, counted(&asker, 9)));
        assert_eq!(asker.place(X), Some((counted(&asker, 3), 7)), "a comparison moves no place");
        // A newer start of the member has counted nothing; an older one is gone.
        assert!(!asker.on_counted(X, 6, counted(&asker, 9)));
        assert!(asker.on_counted(X, 8, counted(&asker, 0)));
        assert_eq!((asker.place(X), asker.level(X)), (Some((counted(&asker, 0), 8)), 0));
    }

    #[test]
    fn what_is_told_is_needed_until_it_is_here() {
        let mut asker = asker();
        assert_eq!(asker.on_told(X, 7, &told(&asker, 0, 1, Some(&[]))), Noted::Stranger);
        assert!(asker.on_counted(X, 7, counted(&asker, 3)));
        assert_eq!(asker.on_told(X, 7, &told(&asker, 3, 5, Some(&[8, 9]))), Noted::Told);
        assert_eq!(
            asker.on_told(X, 7, &told(&asker, 3, 4, Some(&[8]))),
            Noted::Told,
            "an older one comes late"
        );
        assert_eq!(asker.place(X), Some((counted(&asker, 5), 7)));
        assert_eq!(
            asker.on_told(X, 7, &told(&asker, 6, 7, Some(&[]))),
            Noted::Stranger,
            "something is missing"
        );
        assert_eq!(asker.on_told(X, 8, &told(&asker, 5, 5, Some(&[]))), Noted::Stranger, "of another start");
        let eight = fingerprint(8);
        assert_eq!(asker.need(eight), Ballot::new(8, 1, 1));
        assert_eq!(asker.need(fingerprint(7)), Ballot::ZERO);
        asker.on_reached(eight, Ballot::new(7, 9, 9));
        assert_eq!(asker.need(eight), Ballot::new(8, 1, 1));
        asker.on_reached(eight, Ballot::new(8, 1, 1));
        assert_eq!(asker.need(eight), Ballot::ZERO);
    }

    #[test]
    fn what_is_lost_begins_anew_under_another_number() {
        let mut asker = asker();
        assert!(asker.on_counted(X, 7, counted(&asker, 3)));
        asker.note_level(X, 0, SLOTS - 1);
        asker.wants_look = false;
        let old = counted(&asker, 9);
        assert_eq!(asker.on_told(X, 7, &told(&asker, 3, 9, None)), Noted::Lost);
        assert_eq!((asker.place(X), asker.level(X), asker.wants_look), (None, 0, true));
        assert!(!asker.on_counted(X, 7, old), "what was said under the old number is void");
        assert!(asker.naming(X).is_some_and(|(subscription, _)| subscription > old.subscription));
    }

    #[test]
    fn other_slots_begin_anew_and_the_same_do_not() {
        let mut asker = asker();
        assert!(asker.on_counted(X, 7, counted(&asker, 3)));
        asker.set_named(vec![(10, 20), (30, 40)]);
        assert!(asker.has_begun(X));
        asker.set_named(vec![(10, 21)]);
        assert!(!asker.has_begun(X) && asker.has_named(21) && !asker.has_named(22));
        asker.set_named(Vec::new());
        assert_eq!(asker.naming(X), None, "there is nothing to name");
    }

    #[test]
    fn at_the_bound_of_needs_everything_begins_anew() {
        let mut asker = asker();
        assert!(asker.on_counted(X, 7, counted(&asker, 0)));
        let all: Vec<u64> = (0..NEEDS_MAX as u64).collect();
        assert_eq!(asker.on_told(X, 7, &told(&asker, 0, 1, Some(&all))), Noted::Told);
        assert_eq!(asker.on_told(X, 7, &told(&asker, 1, 2, Some(&[3]))), Noted::Told, "one of those");
        assert_eq!(asker.on_told(X, 7, &told(&asker, 2, 3, Some(&[NEEDS_MAX as u64]))), Noted::Lost);
        assert!(!asker.has_begun(X) && asker.need.len() <= 1);
        // What is listed is another matter: it is left out.
        let record = |number| (fingerprint(number), Ballot::new(1, 1, 1));
        assert!(asker.on_counted(X, 7, counted(&asker, 0)));
        assert!(asker.note_listed((0..NEEDS_MAX as u64).map(record)));
        assert!(
            asker.note_listed([record(5)].into_iter()) && !asker.note_listed([record(1 << 20)].into_iter())
        );
        assert!(asker.has_begun(X));
    }
}
