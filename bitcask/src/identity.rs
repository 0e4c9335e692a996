//! The identity file: the directory's secret, made once, and the core that it belongs to.

use reactor::frame::{self, Filling, Header};
use reactor::AlignedBuf;

use crate::error::Fault;
use crate::names::IDENTITY;
use crate::walk;

/// Length of the secret, which is the whole payload.
const SECRET_BYTES: usize = 16;

/// The file's bytes.
pub(crate) fn encode(core: u32, secret: [u8; SECRET_BYTES]) -> AlignedBuf {
    let mut filling = Filling::default();
    filling.extend(SECRET_BYTES).copy_from_slice(&secret);
    let header = Header {
        version: frame::FRAME_VERSION,
        flags: walk::IDENTITY,
        core,
        previous_crc: 0,
        segment: 0,
        sequence: 0,
        payload_bytes: 0,
        crc: 0,
    };
    filling.seal(header).1
}

/// The secret in the file's bytes.
pub(crate) fn decode(core: u32, bytes: &[u8]) -> Result<[u8; SECRET_BYTES], Fault> {
    let damage = |message: String| Fault::Damage { file: IDENTITY.to_owned(), offset: 0, message };
    let (header, payload) = frame::decode(bytes).map_err(|error| match error {
        frame::FrameError::Newer { found, supported } => {
            Fault::Newer { file: IDENTITY.to_owned(), found, supported }
        }
        error => damage(error.to_string()),
    })?;
    if header.flags != walk::IDENTITY {
        return Err(damage("it is no identity".to_owned()));
    }
    if header.core != core {
        return Err(Fault::Foreign { file: IDENTITY.to_owned(), found: header.core, expected: core });
    }
    <[u8; SECRET_BYTES]>::try_from(payload)
        .map_err(|_| damage(format!("a secret of {} bytes", payload.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_written_and_refused_elsewhere() {
        let buf = encode(3, [7; 16]);
        assert_eq!(decode(3, buf.as_slice()), Ok([7; 16]));
        let error = decode(4, buf.as_slice()).unwrap_err().to_string();
        assert_eq!(error, "bitcask.id says that the directory belongs to core 3, but this is core 4");
        assert!(decode(3, &[0; 4096]).is_err());
    }
}
