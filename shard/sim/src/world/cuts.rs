//! What happens to the network: cuts of every shape, cuts that come and go, and ways that are clogged.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};

use super::{Event, World};

/// A direction.
type Way = (Member, Member);

impl World {
    /// Cuts ways for up to 400 ms.
    pub(super) fn cut(&mut self, ways: &[Way]) {
        let span = self.nemesis.between(2 * MILLISECOND, 400 * MILLISECOND);
        for (from, to) in ways {
            self.set_blocked(*from, *to, true);
            self.schedule(self.now + span, Event::Way { from: *from, to: *to, blocked: false });
        }
    }

    /// Nobody reaches the host, nor is reached by it.
    pub(super) fn isolate(&mut self, host: Member) {
        self.label("a host was isolated");
        let others = (0..self.plan.hosts).filter(|other| *other != host);
        let ways: Vec<Way> = others.flat_map(|other| [(host, other), (other, host)]).collect();
        self.cut(&ways);
    }

    /// Two halves see each other no more, and one host sees both.
    pub(super) fn bridge(&mut self, bridge: Member) {
        self.label("one host was the bridge between two halves");
        let others: Vec<Member> = (0..self.plan.hosts).filter(|other| *other != bridge).collect();
        let (one, two) = others.split_at(others.len() / 2);
        let pairs = one.iter().flat_map(|a| two.iter().map(|b| (*a, *b)));
        let ways: Vec<Way> = pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        self.cut(&ways);
    }

    /// Hosts fall apart into two groups, which see each other no more.
    pub(super) fn split(&mut self) {
        self.label("hosts fell apart into two groups");
        let hosts = u64::from(self.plan.hosts);
        let (first, size) = (self.nemesis.below(hosts), self.nemesis.between(1, hosts / 2));
        let is_one = |host: Member| (u64::from(host) + hosts - first) % hosts < size;
        let pairs = (0..self.plan.hosts).flat_map(|from| (0..self.plan.hosts).map(move |to| (from, to)));
        let ways: Vec<Way> = pairs.filter(|(from, to)| is_one(*from) != is_one(*to)).collect();
        self.cut(&ways);
    }

    /// Any set of directions.
    pub(super) fn scatter(&mut self) {
        self.label("any set of directions was cut");
        let hosts = self.plan.hosts;
        let all = (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        let mut ways: Vec<Way> = all.filter(|(from, to)| from != to).collect();
        let rate = self.nemesis.between(100_000, 600_000) as u32;
        ways.retain(|_| self.nemesis.chance(rate));
        self.cut(&ways);
    }

    /// A cut that comes and goes many times.
    pub(super) fn flap(&mut self, host: Member, peer: Member) {
        self.label("a cut came and went many times");
        let longest = [MILLISECOND, 10 * MILLISECOND, 60 * MILLISECOND][self.nemesis.below(3) as usize];
        let both = self.nemesis.coin();
        let mut at = self.now;
        for _ in 0..self.nemesis.between(3, 12) {
            for blocked in [true, false] {
                self.schedule(at, Event::Way { from: host, to: peer, blocked });
                if both {
                    self.schedule(at, Event::Way { from: peer, to: host, blocked });
                }
                at += self.nemesis.between(1, longest);
            }
        }
    }

    /// What is sent one way from now on arrives when the clog is gone.
    pub(super) fn clog(&mut self, host: Member, peer: Member) {
        self.label("a way was clogged");
        let until = self.now + self.nemesis.between(MILLISECOND, 1_000 * MILLISECOND);
        self.clogged[usize::from(host)][usize::from(peer)] = until;
        self.tell(|| {
            format!("the way from host {host} to host {peer} is clogged until {} ms", until / MILLISECOND)
        });
    }

    /// When what is sent now arrives: after this delay, and not before the way is free.
    pub(super) fn arrival(&self, from: Member, to: Member, delay: Nanos) -> Nanos {
        self.now.max(self.clogged[usize::from(from)][usize::from(to)]) + delay
    }
}
