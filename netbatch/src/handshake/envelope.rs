//! The envelope of the handshake's messages: laid out by hand, so that every version can read at least the
//! versions.

use crate::error::{Reason, Refusal};
use crate::frame::VERSION;
use crate::limits::HANDSHAKE_BYTES_MAX;

/// Bytes before the payload.
pub const ENVELOPE_BYTES: usize = 16;

/// The oldest version that this build speaks.
pub const VERSION_MIN: u8 = 3;

/// The newest version that this build speaks.
pub const VERSION_MAX: u8 = VERSION;

const MAGIC: [u8; 4] = *b"SYNH";
const CRC_AT: usize = 12;

const _: () = assert!(VERSION_MIN <= VERSION_MAX, "at least one version is spoken");

/// What a handshake message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who the sender is, and its nonce.
    Hello = 1,
    /// The sender's proof that it knows the secret.
    Proof = 2,
    /// The sender refuses; it closes the connection.
    Refuse = 3,
}

/// The payload in its envelope.
pub fn wrap(kind: Kind, payload: &[u8]) -> Vec<u8> {
    assert!(
        ENVELOPE_BYTES + payload.len() <= HANDSHAKE_BYTES_MAX,
        "a handshake message stays below its bound"
    );
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION_MIN, VERSION_MAX, kind as u8, 0]);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), payload);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Length of the message whose start this is, envelope included; none while that cannot be told. Bytes that
/// cannot be the start of a message are refused as soon as that shows.
pub fn peek(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    if !MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
        return Err(malformed("it does not speak the peer protocol"));
    }
    let Some(head) = bytes.first_chunk::<ENVELOPE_BYTES>() else { return Ok(None) };
    let (theirs_min, theirs_max) = (head[4], head[5]);
    if theirs_min > VERSION_MAX || theirs_max < VERSION_MIN {
        let detail = format!(
            "it speaks versions {theirs_min} to {theirs_max} of the peer protocol, this build \
             {VERSION_MIN} to {VERSION_MAX}; run releases that are neighbours"
        );
        return Err(Refusal::new(Reason::Version, detail));
    }
    let payload_bytes = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    if payload_bytes > HANDSHAKE_BYTES_MAX - ENVELOPE_BYTES {
        return Err(malformed("it announces a longer handshake message than there is"));
    }
    Ok(Some(ENVELOPE_BYTES + payload_bytes))
}

/// The kind and the payload of a whole message.
pub fn unwrap(message: &[u8]) -> Result<(Kind, &[u8]), Refusal> {
    let Some((head, payload)) = message.split_first_chunk::<ENVELOPE_BYTES>() else {
        return Err(malformed("its handshake message is cut off"));
    };
    let (covered, crc) = head.split_at(CRC_AT);
    let computed = crc32c::crc32c_append(crc32c::crc32c(covered), payload);
    if crc != computed.to_le_bytes() {
        return Err(malformed("its handshake message does not match its checksum"));
    }
    match head[6] {
        1 => Ok((Kind::Hello, payload)),
        2 => Ok((Kind::Proof, payload)),
        3 => Ok((Kind::Refuse, payload)),
        _ => Err(malformed("it sent a handshake message of an unknown kind")),
    }
}

/// A refusal of what is not the handshake that is due.
pub fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::Malformed, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_read_back_and_every_flipped_bit_is_seen() {
        let message = wrap(Kind::Proof, b"payload");
        assert_eq!(peek(&message[..15]), Ok(None));
        assert_eq!(peek(&message), Ok(Some(message.len())));
        assert_eq!(unwrap(&message), Ok((Kind::Proof, &b"payload"[..])));
        for bit in 0..message.len() * 8 {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(peek(&damaged).is_err() || unwrap(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn nonsense_is_refused_at_its_first_byte() {
        assert!(peek(b"").is_ok_and(|length| length.is_none()));
        assert!(peek(b"SY").is_ok());
        assert_eq!(peek(b"G").map_err(|refusal| refusal.reason), Err(Reason::Malformed));
        let mut long = wrap(Kind::Hello, b"");
        long[10] = 1;
        assert_eq!(peek(&long).map_err(|refusal| refusal.reason), Err(Reason::Malformed));
    }

    #[test]
    fn versions_must_overlap() {
        let mut message = wrap(Kind::Hello, b"");
        message[5] = 9;
        assert!(peek(&message).is_ok(), "3 to 9 has 3 in common");
        message[4] = 4;
        assert_eq!(peek(&message).map_err(|refusal| refusal.reason), Err(Reason::Version));
        message[4..6].copy_from_slice(&[1, 2]);
        assert_eq!(peek(&message).map_err(|refusal| refusal.reason), Err(Reason::Version));
    }
}
