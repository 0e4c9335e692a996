//! The keeping side: who waits for which key, in the order in which they came. Pure.
//!
//! A queue has as many of its waiters *away* as entries are believed to be there: they were told, and try. What comes of that moves the
//! belief: a new record of the key says how many entries there are now, a try that found nothing says that there are none.

use std::collections::{BTreeMap, BTreeSet};

use bitcask::{Fingerprint, FingerprintHasher};
use hashbrown::HashMap;
use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;

use crate::limits::{WAITERS_MAX, WAITER_SILENT_NS, WAIT_LOOK_NS, WAIT_LOOK_NS_MAX, WAIT_TRY_NS};

/// Who waits: the member whose client it is, and that member's number for it.
pub(super) type Who = (Member, u64);

/// One waiter in a queue.
#[derive(Debug)]
struct Waiter {
    who: Who,
    /// When its member said last that it waits.
    heard: Nanos,
    /// It was told to try: when, and of which change of the key.
    away: Option<(Nanos, u64)>,
}

/// Those who wait for one key.
#[derive(Debug)]
struct Queue {
    /// By when they came.
    waiters: BTreeMap<u64, Waiter>,
    /// The places of those who are not away.
    here: BTreeSet<u64>,
    /// Entries that are believed to be there.
    entries: u32,
    /// Changes of the key since the queue began.
    change: u64,
    /// When the first one tries although nothing was heard of the key, and how long until the time after that.
    look_at: Nanos,
    pause: Nanos,
}

/// All queues of a core.
#[derive(Debug)]
pub(super) struct Queues {
    me: Member,
    queues: HashMap<Fingerprint, Queue, FingerprintHasher>,
    /// Where each waiter is: a member's number is for one key.
    places: BTreeMap<Who, (Fingerprint, u64)>,
    /// Waiters that came so far.
    came: u64,
    looks: BTreeSet<(Nanos, Fingerprint)>,
    /// Who is to be told to try.
    pub woken: Vec<(Who, Fingerprint)>,
}

impl Queue {
    /// How many were told to try and are not back.
    fn away(&self) -> usize {
        self.waiters.len() - self.here.len()
    }
}

impl Queues {
    /// No queues. `me`: whose waiters are heard of without saying so.
    pub fn new(me: Member) -> Queues {
        Queues {
            me,
            queues: HashMap::with_hasher(FingerprintHasher),
            places: BTreeMap::new(),
            came: 0,
            looks: BTreeSet::new(),
            woken: Vec::new(),
        }
    }

    /// Waiters in all queues.
    pub fn waiters(&self) -> usize {
        self.places.len()
    }

    /// Whether somebody waits for the key.
    pub fn has(&self, key: Fingerprint) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&key)
    }

    /// When somebody is to try although nothing was heard.
    pub fn deadline(&self) -> Option<Nanos> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// Somebody waits, or says so again. The first one of a new queue tries at once.
    pub fn register(&mut self, key: Fingerprint, who: Who, now: Nanos) {
        if let Some(waiter) = self.find(who) {
            waiter.heard = now;
            return;
        }
        if self.places.len() >= WAITERS_MAX {
            return;
        }
        self.came += 1;
        let queue = self.queues.entry(key).or_insert_with(|| {
            let look_at = now + WAIT_LOOK_NS;
            self.looks.insert((look_at, key));
            Queue {
                waiters: BTreeMap::new(),
                here: BTreeSet::new(),
                entries: 1,
                change: 0,
                look_at,
                pause: WAIT_LOOK_NS,
            }
        });
        let place = if planted(195) { u64::MAX - self.came } else { self.came };
        queue.waiters.insert(place, Waiter { who, heard: now, away: None });
        queue.here.insert(place);
        self.places.insert(who, (key, place));
        self.fill(key, now);
    }

    /// Somebody tried and found nothing: waits on, where it was.
    pub fn missed(&mut self, key: Fingerprint, who: Who, now: Nanos) {
        let Some((key, place)) = self.places.get(&who).copied() else { return self.register(key, who, now) };
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some(waiter) = queue.waiters.get_mut(&place) else { return };
        waiter.heard = now;
        if let Some((_, change)) = waiter.away.take() {
            queue.here.insert(place);
            if change == queue.change {
                queue.entries = 0;
            }
        }
        self.fill(key, now);
    }

    /// Somebody waits no more. `took`: it found something.
    pub fn end(&mut self, who: Who, took: bool, now: Nanos) {
        let Some((key, place)) = self.places.remove(&who) else { return };
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.here.remove(&place);
        if let Some((_, change)) = queue.waiters.remove(&place).and_then(|waiter| waiter.away) {
            // What it left is not known until the new record is seen.
            if took && change == queue.change {
                queue.entries = queue.entries.saturating_sub(1);
            }
        }
        self.fill(key, now);
    }

    /// A key that somebody waits for has a new record, with so many entries.
    pub fn stir(&mut self, key: Fingerprint, entries: u32, now: Nanos) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.change += 1;
        queue.entries = entries;
        if entries > 0 {
            queue.pause = WAIT_LOOK_NS;
            let sooner = queue.look_at.min(now + WAIT_LOOK_NS);
            self.look_at(key, sooner);
        }
        self.fill(key, now);
    }

    /// A member is gone, or began anew, and all who waited there.
    pub fn drop_member(&mut self, member: Member, now: Nanos) {
        let keys: Vec<Fingerprint> = self.queues.keys().copied().collect();
        for key in keys {
            self.drop_waiters(key, |waiter| waiter.who.0 == member);
            self.fill(key, now);
        }
    }

    /// What is due: who was not heard of for long is dropped, who did not come back is told again behind the others, and the first one tries.
    pub fn look(&mut self, now: Nanos) {
        let me = self.me;
        while let Some((at, key)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.drop_waiters(key, |waiter| waiter.who.0 != me && waiter.heard + WAITER_SILENT_NS <= now);
            let Some(queue) = self.queues.get_mut(&key) else {
                self.looks.remove(&(at, key));
                continue;
            };
            let is_late = |waiter: &Waiter| waiter.away.is_some_and(|(since, _)| since + WAIT_TRY_NS <= now);
            let late: Vec<u64> =
                queue.waiters.iter().filter(|(_, waiter)| is_late(waiter)).map(|(place, _)| *place).collect();
            for place in late {
                let Some(waiter) = queue.waiters.remove(&place) else { continue };
                self.came += 1;
                self.places.insert(waiter.who, (key, self.came));
                queue.here.insert(self.came);
                queue.waiters.insert(self.came, Waiter { away: None, ..waiter });
            }
            queue.entries = queue.entries.max(1);
            let pause = queue.pause;
            queue.pause = (pause * 2).min(WAIT_LOOK_NS_MAX);
            self.look_at(key, now + pause);
            self.fill(key, now);
        }
    }

    /// Nobody waits any more.
    pub fn clear(&mut self) {
        *self = Queues::new(self.me);
    }

    fn find(&mut self, who: Who) -> Option<&mut Waiter> {
        let (key, place) = self.places.get(&who)?;
        self.queues.get_mut(key)?.waiters.get_mut(place)
    }

    fn look_at(&mut self, key: Fingerprint, at: Nanos) {
        if let Some(queue) = self.queues.get_mut(&key) {
            self.looks.remove(&(queue.look_at, key));
            queue.look_at = at;
            self.looks.insert((at, key));
        }
    }

    fn drop_waiters(&mut self, key: Fingerprint, goes: impl Fn(&Waiter) -> bool) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let (places, here) = (&mut self.places, &mut queue.here);
        queue.waiters.retain(|place, waiter| {
            let stays = !goes(waiter);
            if !stays {
                places.remove(&waiter.who);
                here.remove(place);
            }
            stays
        });
    }

    /// Tells as many waiters to try as entries are believed to be there; a queue without waiters goes.
    fn fill(&mut self, key: Fingerprint, now: Nanos) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if queue.waiters.is_empty() {
            self.looks.remove(&(queue.look_at, key));
            self.queues.remove(&key);
            return;
        }
        while queue.away() < queue.entries as usize {
            let Some(place) = queue.here.pop_first() else { return };
            let Some(waiter) = queue.waiters.get_mut(&place) else { continue };
            waiter.away = Some((now, queue.change));
            self.woken.push((waiter.who, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint { hi: 7, lo: 0 };
    const A: Who = (0, 1);
    const B: Who = (1, 1);
    const C: Who = (2, 9);

    fn woken(queues: &mut Queues) -> Vec<Who> {
        queues.woken.drain(..).map(|(who, _)| who).collect()
    }

    /// A queue of three of which the first has found nothing.
    fn waiting() -> Queues {
        let mut queues = Queues::new(0);
        queues.register(KEY, A, 0);
        assert_eq!(woken(&mut queues), [A], "there may be something already");
        queues.register(KEY, B, 0);
        queues.register(KEY, C, 0);
        assert_eq!(woken(&mut queues), [], "one tries for all");
        queues.missed(KEY, A, 1);
        assert_eq!(woken(&mut queues), [], "there is nothing");
        queues
    }

    #[test]
    fn who_came_first_is_told_first_and_as_many_as_there_is_something_for() {
        let mut queues = waiting();
        queues.stir(KEY, 2, 2);
        assert_eq!(woken(&mut queues), [A, B]);
        queues.stir(KEY, 1, 3);
        assert_eq!(woken(&mut queues), [], "the first has taken one, the second is on its way");
        queues.end(A, true, 4);
        assert_eq!(woken(&mut queues), []);
        queues.stir(KEY, 2, 5);
        assert_eq!(woken(&mut queues), [C], "another one came");
        queues.end(B, true, 6);
        queues.end(C, true, 6);
        assert_eq!((queues.waiters(), queues.has(KEY), queues.deadline()), (0, false, None));
    }

    #[test]
    fn who_gives_up_leaves_it_to_the_next() {
        let mut queues = waiting();
        queues.stir(KEY, 1, 2);
        assert_eq!(woken(&mut queues), [A]);
        queues.end(A, false, 3);
        assert_eq!(woken(&mut queues), [B]);
        queues.drop_member(1, 4);
        assert_eq!(woken(&mut queues), [C]);
    }

    #[test]
    fn who_missed_one_change_tries_again_for_the_next() {
        let mut queues = waiting();
        queues.stir(KEY, 1, 2);
        queues.stir(KEY, 1, 3);
        assert_eq!(woken(&mut queues), [A]);
        queues.missed(KEY, A, 4);
        assert_eq!(woken(&mut queues), [A], "it may have looked before the second");
        queues.missed(KEY, A, 5);
        assert_eq!(woken(&mut queues), []);
    }

    #[test]
    fn the_first_one_looks_now_and_then_and_who_does_not_come_back_goes_behind() {
        let mut queues = waiting();
        let first = queues.deadline().expect("one looks");
        queues.look(first - 1);
        assert_eq!(woken(&mut queues), []);
        queues.look(first);
        assert_eq!(woken(&mut queues), [A]);
        let second = queues.deadline().expect("one looks");
        assert_eq!(second - first, WAIT_LOOK_NS, "then twice as long");
        queues.look(second);
        assert_eq!(woken(&mut queues), [B], "nothing was heard of the first");
        queues.missed(KEY, B, second);
        // Only the own ones are heard of without saying so.
        queues.look(second + WAITER_SILENT_NS);
        assert_eq!((queues.waiters(), woken(&mut queues)), (1, vec![A]));
    }

    #[test]
    fn there_is_a_bound() {
        let mut queues = Queues::new(0);
        (0..=WAITERS_MAX as u64).for_each(|number| queues.register(KEY, (0, number), 0));
        assert_eq!(queues.waiters(), WAITERS_MAX);
    }
}
