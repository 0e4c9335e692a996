//! The payloads of the handshake, archived by rkyv: fixed in size, no pointers, access checked.

use rkyv::rancor::Error;
use rkyv::{Archive, Serialize};

use super::envelope::{malformed, wrap, Kind};
use crate::error::Refusal;

/// Bytes of a nonce and of a proof.
pub const TAG_BYTES: usize = 32;

/// Who the sender is.
#[derive(Archive, Serialize, rkyv::Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's cluster.
    pub cluster: [u8; 16],
    /// The sender's data directory.
    pub data_id: [u8; 16],
    /// Fresh for each connection, never used twice.
    pub nonce: [u8; TAG_BYTES],
    /// Fresh for each start of the sender.
    pub instance: u64,
    /// The member set that the sender has in force.
    pub config_epoch: u64,
    /// The sender.
    pub from: u32,
    /// Whom the sender takes the receiver for.
    pub to: u32,
    /// The sender's core.
    pub core: u16,
    /// How many slices the sender has.
    pub slices: u16,
}

/// The proof of the secret.
#[derive(Archive, Serialize, rkyv::Deserialize)]
struct Proof {
    tag: [u8; TAG_BYTES],
}

/// The reason of a refusal.
#[derive(Archive, Serialize, rkyv::Deserialize)]
struct Refuse {
    reason: u8,
}

/// A hello in its envelope.
pub fn hello(hello: &Hello) -> Vec<u8> {
    let payload = rkyv::to_bytes::<Error>(hello).expect("a fixed-size value is archived into memory");
    wrap(Kind::Hello, &payload)
}

/// A proof in its envelope.
pub fn proof(tag: [u8; TAG_BYTES]) -> Vec<u8> {
    let payload =
        rkyv::to_bytes::<Error>(&Proof { tag }).expect("a fixed-size value is archived into memory");
    wrap(Kind::Proof, &payload)
}

/// A refusal in its envelope.
pub fn refuse(reason: u8) -> Vec<u8> {
    let payload =
        rkyv::to_bytes::<Error>(&Refuse { reason }).expect("a fixed-size value is archived into memory");
    wrap(Kind::Refuse, &payload)
}

/// Reads the payload of a hello.
pub fn read_hello(payload: &[u8]) -> Result<Hello, Refusal> {
    exact::<ArchivedHello>(payload)?;
    rkyv::from_bytes::<Hello, Error>(payload).map_err(|_| malformed("its hello cannot be read"))
}

/// Reads the payload of a proof.
pub fn read_proof(payload: &[u8]) -> Result<[u8; TAG_BYTES], Refusal> {
    exact::<ArchivedProof>(payload)?;
    let proof =
        rkyv::access::<ArchivedProof, Error>(payload).map_err(|_| malformed("its proof cannot be read"))?;
    Ok(proof.tag)
}

/// Reads the payload of a refusal.
pub fn read_refuse(payload: &[u8]) -> Result<u8, Refusal> {
    exact::<ArchivedRefuse>(payload)?;
    let refuse = rkyv::access::<ArchivedRefuse, Error>(payload)
        .map_err(|_| malformed("its refusal cannot be read"))?;
    Ok(refuse.reason)
}

/// rkyv reads from the end and would pass over bytes in front; one value has one encoding here.
fn exact<T>(payload: &[u8]) -> Result<(), Refusal> {
    if payload.len() == size_of::<T>() {
        Ok(())
    } else {
        Err(malformed("its handshake message has the wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{unwrap, ENVELOPE_BYTES};
    use super::*;

    fn sample() -> Hello {
        Hello {
            cluster: [1; 16],
            data_id: [2; 16],
            nonce: [3; 32],
            instance: 4,
            config_epoch: 5,
            from: 6,
            to: 7,
            core: 8,
            slices: 9,
        }
    }

    /// The bytes of docs/formats/peer-frame.md: they may change only with the version.
    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = hello(&sample());
        let expected = [
            &[1; 16][..],
            &[2; 16],
            &[3; 32],
            &4_u64.to_le_bytes(),
            &5_u64.to_le_bytes(),
            &6_u32.to_le_bytes(),
            &7_u32.to_le_bytes(),
            &8_u16.to_le_bytes(),
            &9_u16.to_le_bytes(),
        ]
        .concat();
        assert_eq!(&bytes[ENVELOPE_BYTES..], expected);
        assert_eq!(proof([5; 32])[ENVELOPE_BYTES..], [5; 32]);
        assert_eq!(refuse(8)[ENVELOPE_BYTES..], [8]);
    }

    #[test]
    fn what_is_written_is_read_back_and_other_lengths_are_refused() {
        let bytes = hello(&sample());
        let (_, payload) = unwrap(&bytes).unwrap();
        assert_eq!(read_hello(payload), Ok(sample()));
        assert!(read_hello(&payload[1..]).is_err());
        assert!(read_hello(&[&[0], payload].concat()).is_err());
        assert!(read_proof(payload).is_err() && read_refuse(&[]).is_err());
        assert_eq!(read_refuse(&[3]), Ok(3));
    }
}
