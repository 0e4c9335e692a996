//! Bytes of the words about waits: there and back, cut short, and hostile.

use bitcask::Fingerprint;
use shard::wire::{PeerMessage, Sender, Wait, Waiting};

use crate::repair::messages::{assert_cuts_are_not, assert_random_bytes_do_no_harm};

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };

fn samples() -> Vec<PeerMessage<'static>> {
    let key = Fingerprint { hi: u64::MAX - 1, lo: 0x0201 };
    let all = [Waiting::Registers, Waiting::Missed, Waiting::Took, Waiting::GaveUp, Waiting::Wakes];
    all.map(|what| PeerMessage::Wait(Wait { id: 9 << 32 | 5, key, what })).to_vec()
}

fn bytes_of(message: &PeerMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(SENDER, &mut bytes);
    bytes
}

#[test]
fn messages_come_back() {
    for (message, tag) in samples().into_iter().zip(1..) {
        let bytes = bytes_of(&message);
        assert_eq!((bytes.len(), bytes[32]), (33, tag), "as docs/formats/peer-message.md says");
        assert_eq!(PeerMessage::decode(&bytes), Ok((SENDER, message)));
    }
}

#[test]
fn what_is_cut_short_or_makes_no_sense_is_refused() {
    for message in samples() {
        assert_cuts_are_not(&message, &bytes_of(&message));
        for tag in [0, 6, 255] {
            let mut bytes = bytes_of(&message);
            bytes[32] = tag;
            assert!(PeerMessage::decode(&bytes).is_err());
        }
        assert!(PeerMessage::decode(&[bytes_of(&message), vec![0]].concat()).is_err());
    }
}

#[test]
fn random_bytes_do_no_harm() {
    assert_random_bytes_do_no_harm(&samples().iter().map(bytes_of).collect::<Vec<_>>(), 20_000);
}
