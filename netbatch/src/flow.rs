//! The frames of one proven link, both ways: sequence numbers, acknowledgements, and when something is due.
//!
//! Acknowledgements ride in every header. They are not for repeating anything: they tell a link that is stuck
//! (a lost packet, a stopped peer) from one that is fine, long before the operating system would.

use std::collections::VecDeque;

use reactor::Nanos;

use crate::config::{HostId, Tuning};
use crate::decode::{Assembly, Decoder};
use crate::error::BadFrame;
use crate::frame::{seal, take, Header, Part};
use crate::handshake::Proven;
use crate::limits::AHEAD_MESSAGES;
use crate::metrics::Metrics;
use crate::outbox::Unsealed;

/// Where delivered messages go: the peer and the message.
pub type Sink<'a> = &'a mut dyn FnMut(HostId, &[u8]);

/// Where delivered messages go, for an owner who can make use of a look ahead.
pub trait Recipient {
    /// These messages of the peer come next, in this order. Nothing is to be done for them yet but to get ready.
    fn ahead(&mut self, from: HostId, messages: &[&[u8]]);

    /// A message of the peer.
    fn message(&mut self, from: HostId, message: &[u8]);
}

/// A [`Sink`] does not look ahead.
pub struct Plain<'a>(pub Sink<'a>);

impl Recipient for Plain<'_> {
    fn ahead(&mut self, _: HostId, _: &[&[u8]]) {}

    fn message(&mut self, from: HostId, message: &[u8]) {
        self.0(from, message);
    }
}

/// The state of one proven link.
#[derive(Debug)]
pub struct Flow {
    /// Who is at the other end.
    pub proven: Proven,
    /// Both sides are known to have accepted each other.
    pub confirmed: bool,
    /// Frames that must leave on this link, after the one that left last.
    pub follow: VecDeque<Unsealed>,
    decoder: Decoder,
    assembly: Assembly,
    incoming: Incoming,
    outgoing: Outgoing,
}

#[derive(Debug)]
struct Incoming {
    /// Sequence of the last frame.
    sequence: u64,
    /// When bytes came last.
    heard_at: Nanos,
    /// When what came is to be acknowledged at the latest.
    ack_due: Option<Nanos>,
}

#[derive(Debug)]
struct Outgoing {
    /// Sequence of the last frame.
    sequence: u64,
    /// Sequence of the last frame with messages.
    messages_sequence: u64,
    /// The highest sequence that was acknowledged.
    acknowledged: u64,
    /// When the acknowledgements last made progress, or the oldest frame that lacks one left; none when none
    /// is due.
    waiting_since: Option<Nanos>,
    /// When a frame left last.
    sent_at: Nanos,
}

impl Flow {
    /// A link that was proved just now.
    pub fn new(now: Nanos, proven: Proven) -> Flow {
        Flow {
            proven,
            confirmed: false,
            follow: VecDeque::new(),
            decoder: Decoder::default(),
            assembly: Assembly::default(),
            incoming: Incoming { sequence: 0, heard_at: now, ack_due: None },
            outgoing: Outgoing {
                sequence: 0,
                messages_sequence: 0,
                acknowledged: 0,
                waiting_since: None,
                sent_at: now,
            },
        }
    }

    /// Whether any frame came yet.
    pub fn has_heard(&self) -> bool {
        self.incoming.sequence > 0
    }

    /// When bytes came last.
    pub fn heard_at(&self) -> Nanos {
        self.incoming.heard_at
    }

    /// Bytes of memory held for frames and messages that are not yet whole.
    pub fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.assembly.held_bytes()
    }

    /// Takes bytes and delivers the messages that are whole with them. After an error the link must be
    /// closed.
    pub fn on_bytes(
        &mut self,
        now: Nanos,
        tuning: &Tuning,
        bytes: &[u8],
        metrics: &mut Metrics,
        recipient: &mut dyn Recipient,
    ) -> Result<(), BadFrame> {
        let Flow { proven, decoder, assembly, incoming, outgoing, .. } = self;
        incoming.heard_at = now;
        decoder.feed(bytes, &mut |header, body| {
            incoming.step(now, tuning, header)?;
            outgoing.on_acknowledged(now, header.acknowledged)?;
            metrics.frames_in += 1;
            deliver(header, body, assembly, proven.host, metrics, recipient)
        })
    }

    /// Makes a frame ready to leave now.
    pub fn seal(&mut self, now: Nanos, frame: Unsealed) -> Vec<u8> {
        let outgoing = &mut self.outgoing;
        outgoing.sequence += 1;
        outgoing.sent_at = now;
        if frame.count > 0 {
            outgoing.messages_sequence = outgoing.sequence;
            outgoing.waiting_since.get_or_insert(now);
        }
        self.incoming.ack_due = None;
        let mut bytes = frame.bytes;
        seal(&mut bytes, frame.count, outgoing.sequence, self.incoming.sequence);
        bytes
    }

    /// Asks for a frame at the end of this turn, be it empty.
    pub fn speak_now(&mut self, now: Nanos) {
        self.incoming.ack_due = Some(now);
    }

    /// When a frame must leave even if it is empty.
    pub fn speak_at(&self, tuning: &Tuning) -> Nanos {
        let beat_at = self.beat_at(tuning);
        self.incoming.ack_due.map_or(beat_at, |due| due.min(beat_at))
    }

    /// When the link has carried nothing for so long that it must.
    pub fn beat_at(&self, tuning: &Tuning) -> Nanos {
        self.outgoing.sent_at.saturating_add(tuning.heartbeat)
    }

    /// When the link is to be given up.
    pub fn hang_at(&self, tuning: &Tuning) -> Nanos {
        let silent_since = self.incoming.heard_at;
        self.outgoing
            .waiting_since
            .map_or(silent_since, |at| at.min(silent_since))
            .saturating_add(tuning.hang)
    }

    /// When the link is no longer in good health.
    pub fn unhealthy_at(&self, tuning: &Tuning) -> Nanos {
        self.troubled_since(tuning).saturating_add(tuning.unhealthy)
    }

    /// For so long this side did not run: what it could not hear in that time does not count as silence.
    pub fn forgive(&mut self, now: Nanos, pause: Nanos) {
        for at in
            [Some(&mut self.incoming.heard_at), self.outgoing.waiting_since.as_mut()].into_iter().flatten()
        {
            *at = at.saturating_add(pause).min(now);
        }
    }

    /// Whether nothing seems to get through at the moment, in either direction.
    pub fn is_stalled(&self, now: Nanos, tuning: &Tuning) -> bool {
        self.troubled_since(tuning).saturating_add(tuning.stall) <= now
    }

    /// Since when something is overdue, an acknowledgement or a heartbeat; in the future if nothing is.
    fn troubled_since(&self, tuning: &Tuning) -> Nanos {
        let silent_at = self.incoming.heard_at.saturating_add(tuning.heartbeat);
        self.outgoing.waiting_since.map_or(silent_at, |at| at.min(silent_at))
    }
}

impl Incoming {
    fn step(&mut self, now: Nanos, tuning: &Tuning, header: &Header) -> Result<(), BadFrame> {
        if self.sequence.checked_add(1) != Some(header.sequence) {
            return Err(BadFrame::Sequence);
        }
        self.sequence = header.sequence;
        if header.count > 0 {
            self.ack_due.get_or_insert(now.saturating_add(tuning.ack_delay));
        }
        Ok(())
    }
}

impl Outgoing {
    fn on_acknowledged(&mut self, now: Nanos, acknowledged: u64) -> Result<(), BadFrame> {
        if !(self.acknowledged..=self.sequence).contains(&acknowledged) {
            return Err(BadFrame::Acknowledgement);
        }
        if acknowledged >= self.messages_sequence {
            self.waiting_since = None;
        } else if acknowledged > self.acknowledged {
            self.waiting_since = Some(now);
        }
        self.acknowledged = acknowledged;
        Ok(())
    }
}

/// Walks the messages of a checked frame.
fn deliver(
    header: &Header,
    mut body: &[u8],
    assembly: &mut Assembly,
    from: HostId,
    metrics: &mut Metrics,
    recipient: &mut dyn Recipient,
) -> Result<(), BadFrame> {
    for place in 0..header.count as usize {
        if place.is_multiple_of(AHEAD_MESSAGES) {
            look_ahead(body, from, recipient);
        }
        assembly.step(take(&mut body)?, &mut |message| {
            metrics.messages_in += 1;
            recipient.message(from, message);
        })?;
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(BadFrame::Messages)
    }
}

/// Shows the recipient the next few whole messages of the body. What is wrong with it is found when it is walked.
fn look_ahead(mut body: &[u8], from: HostId, recipient: &mut dyn Recipient) {
    let mut messages = [&[][..]; AHEAD_MESSAGES];
    let mut count = 0;
    for place in &mut messages {
        let Ok(Part::Whole(message)) = take(&mut body) else { break };
        *place = message;
        count += 1;
    }
    recipient.ahead(from, messages.get(..count).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataId;
    use crate::outbox::Outbox;

    fn flow() -> Flow {
        Flow::new(0, Proven { host: 2, data_id: DataId([0; 16]), instance: 1, config_epoch: 1 })
    }

    fn message() -> Unsealed {
        let mut outbox = Outbox::new(1 << 20);
        assert!(outbox.push(b"m"));
        outbox.take(&mut VecDeque::new()).unwrap()
    }

    fn feed(flow: &mut Flow, now: Nanos, bytes: &[u8]) -> Result<(), BadFrame> {
        let sink: Sink<'_> = &mut |_, _| ();
        flow.on_bytes(now, &Tuning::default(), bytes, &mut Metrics::default(), &mut Plain(sink))
    }

    #[test]
    fn messages_are_acknowledged_in_time_and_empty_frames_are_not() {
        let tuning = Tuning::default();
        let (mut one, mut two) = (flow(), flow());
        let bytes = one.seal(0, message());
        assert!(one.is_stalled(tuning.stall, &tuning) && !one.is_stalled(tuning.stall - 1, &tuning));
        feed(&mut two, 5, &bytes).unwrap();
        assert_eq!(two.speak_at(&tuning), 5 + tuning.ack_delay);
        let bytes = two.seal(6, Unsealed::empty());
        feed(&mut one, 7, &bytes).unwrap();
        assert!(!one.is_stalled(7 + tuning.heartbeat + tuning.stall - 1, &tuning), "acknowledged");
        assert!(one.is_stalled(7 + tuning.heartbeat + tuning.stall, &tuning), "silent");
        assert_eq!(one.speak_at(&tuning), tuning.heartbeat, "an empty frame asks for no acknowledgement");
    }

    #[test]
    fn what_is_not_acknowledged_counts_as_silence() {
        let tuning = Tuning::default();
        let (mut one, mut two) = (flow(), flow());
        let at = 10 * tuning.heartbeat;
        one.seal(at, message());
        // Two speaks, but has not heard: the link is deaf in one direction.
        for beat in 1..=20 {
            let bytes = two.seal(0, Unsealed::empty());
            feed(&mut one, beat * tuning.heartbeat, &bytes).unwrap();
        }
        assert_eq!(one.unhealthy_at(&tuning), at + tuning.unhealthy);
        assert_eq!(one.hang_at(&tuning), at + tuning.hang);
        assert_eq!(two.unhealthy_at(&tuning), tuning.heartbeat + tuning.unhealthy);
        assert_eq!(two.hang_at(&tuning), tuning.hang);
    }

    #[test]
    fn repeated_missing_and_unsent_are_seen() {
        let (mut one, mut two) = (flow(), flow());
        let (first, second) = (one.seal(0, message()), one.seal(0, message()));
        assert_eq!(feed(&mut two, 0, &second), Err(BadFrame::Sequence));
        feed(&mut two, 0, &first).unwrap();
        assert_eq!(feed(&mut two, 0, &first), Err(BadFrame::Sequence));
        let acknowledges_one = two.seal(0, Unsealed::empty());
        assert_eq!(feed(&mut flow(), 0, &acknowledges_one), Err(BadFrame::Acknowledgement));
    }

    #[test]
    fn the_count_of_messages_must_be_right() {
        let one = message().bytes;
        let two = [&one[..], &[0; 4]].concat();
        let half = [&one[..], &[0; 3]].concat();
        let wrong = Err(BadFrame::Messages);
        for (bytes, count, expected) in
            [(&one, 0, wrong), (&one, 1, Ok(())), (&two, 1, wrong), (&two, 2, Ok(())), (&half, 1, wrong)]
        {
            let mut bytes = bytes.clone();
            seal(&mut bytes, count, 1, 0);
            assert_eq!(feed(&mut flow(), 0, &bytes), expected, "{count} in {} bytes", bytes.len());
        }
    }
}
