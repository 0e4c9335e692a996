//! The network of messages: each delayed on its own, lost, repeated, replayed, and so reordered.

use std::collections::VecDeque;
use std::rc::Rc;

use paxos::Member;
use shard::wire::PeerMessage;

use super::core::Input;
use super::{streams, Event, Place, World};
use crate::class::Class;
use crate::limits::REPLAY_KEPT;
use crate::story::describe;

/// Messages of the past: from, to, bytes.
#[derive(Debug, Default)]
pub(super) struct Messages {
    kept: VecDeque<(Member, Place, Rc<[u8]>)>,
}

impl World {
    /// A message leaves a core, for the same core of a peer.
    pub(super) fn send(&mut self, place: Place, peer: Member, bytes: &[u8]) {
        assert!(place.host != peer, "a host does not write to itself");
        self.tell(|| format!("{place} -> host {peer}: {}", describe(bytes)));
        let (from, to) = (place.host, Place { host: peer, core: place.core });
        if let Some(net) = &mut self.core_mut(place).net {
            if !streams::push(net, peer, bytes) {
                self.label("a message was lost");
            }
            return;
        }
        let weather = self.weather;
        // All are drawn, whatever comes of them, so that one fault does not shift the others.
        let lost = self.net.chance(weather.loss);
        let repeated = self.net.chance(weather.repeat);
        let replayed = self.net.chance(weather.replay);
        let bytes: Rc<[u8]> = Rc::from(bytes);
        if !lost && !self.blocked[usize::from(from)][usize::from(peer)] {
            self.launch(from, to, bytes.clone());
        } else {
            self.label("a message was lost");
        }
        if repeated {
            self.launch(from, to, bytes.clone());
        }
        let kept = &mut self.messages.kept;
        if replayed && !kept.is_empty() {
            let (from, to, bytes) = kept[self.net.below(kept.len() as u64) as usize].clone();
            self.label("an old message was replayed");
            self.launch(from, to, bytes);
        }
        let kept = &mut self.messages.kept;
        if kept.len() < REPLAY_KEPT {
            kept.push_back((from, to, bytes));
        } else {
            // Any of them gives way, so that some stay for long.
            let index = self.net.below(kept.len() as u64) as usize;
            kept[index] = (from, to, bytes);
        }
    }

    /// A host has died. A learner rests on this: links bring nothing of a former start, or for one, after something of a newer one.
    /// Where there are learners only because logs are damaged, no more is held to that than what it is needed for: commands that are handed
    /// over, and what is said of them.
    pub(super) fn forget_messages_of(&mut self, host: Member) {
        let has = |class| self.plan.classes.has(class);
        if self.has_streams() {
            return;
        }
        if has(Class::Losses) {
            self.drop_messages_of(host);
        } else if has(Class::Rot) || has(Class::Astray) {
            self.drop_messages(host, is_about_hand_over);
        }
    }

    /// Nothing that a host sent, or that was sent to it, arrives any more.
    pub(super) fn drop_messages_of(&mut self, host: Member) {
        self.drop_messages(host, |_| true);
    }

    fn drop_messages(&mut self, host: Member, goes: impl Fn(&[u8]) -> bool) {
        let of_it = |from: Member, to: Place, bytes: &[u8]| (from == host || to.host == host) && goes(bytes);
        self.queue.retain(
            |_, event| !matches!(event, Event::Deliver { from, to, bytes } if of_it(*from, *to, bytes)),
        );
        self.messages.kept.retain(|(from, to, bytes)| !of_it(*from, *to, bytes));
    }

    fn launch(&mut self, from: Member, to: Place, bytes: Rc<[u8]>) {
        let (low, high) = self.weather.delay;
        let mut delay = self.net.between(low, high);
        if self.net.chance(self.weather.tail) {
            delay *= 8;
        }
        let at = self.arrival(from, to.host, delay);
        self.schedule(at, Event::Deliver { from, to, bytes });
    }

    /// A message arrives, if the way is open and the host is up.
    pub(super) fn deliver(&mut self, from: Member, to: Place, bytes: &Rc<[u8]>) {
        if self.blocked[usize::from(from)][usize::from(to.host)] {
            return;
        }
        self.story.mix(u64::from(to.core) << 16 | u64::from(from) << 8 | u64::from(to.host));
        self.story.mix_bytes(bytes);
        self.arrive(to, Input::Message { from, bytes: bytes.clone() });
    }
}

fn is_about_hand_over(bytes: &[u8]) -> bool {
    let message = PeerMessage::decode(bytes).map(|(_, message)| message);
    matches!(
        message,
        Ok(PeerMessage::HandOver(_) | PeerMessage::Forwarded { .. } | PeerMessage::NotForwarded { .. })
    )
}
