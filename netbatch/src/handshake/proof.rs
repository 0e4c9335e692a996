//! What the secret is used for: the proof that a side knows it, and nonces that nobody else can foresee.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::body::TAG_BYTES;
use crate::config::Secret;

/// Which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that connects.
    Dialer,
    /// The side that listens.
    Acceptor,
}

impl Role {
    /// The side at the other end.
    pub fn other(self) -> Role {
        match self {
            Role::Dialer => Role::Acceptor,
            Role::Acceptor => Role::Dialer,
        }
    }

    /// What keeps a proof of one side from serving the other, and from serving anything else.
    fn label(self) -> &'static [u8] {
        match self {
            Role::Dialer => b"synod peer handshake 1: dialer\0",
            Role::Acceptor => b"synod peer handshake 1: acceptor\0",
        }
    }
}

fn keyed(secret: &Secret) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length")
}

fn over_hellos(secret: &Secret, role: Role, dialer_hello: &[u8], acceptor_hello: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed(secret);
    mac.update(role.label());
    mac.update(dialer_hello);
    mac.update(acceptor_hello);
    mac
}

/// The proof of one side: over both hellos as they were sent, hence over both nonces and both identities.
pub fn prove(secret: &Secret, role: Role, dialer_hello: &[u8], acceptor_hello: &[u8]) -> [u8; TAG_BYTES] {
    over_hellos(secret, role, dialer_hello, acceptor_hello).finalize().into_bytes().into()
}

/// Whether the tag is the proof of that side. Takes the same time whatever the tag.
pub fn verify(
    secret: &Secret,
    role: Role,
    dialer_hello: &[u8],
    acceptor_hello: &[u8],
    tag: &[u8; TAG_BYTES],
) -> bool {
    over_hellos(secret, role, dialer_hello, acceptor_hello).verify_slice(tag).is_ok()
}

/// Yields values that never repeat (as long as seeds do not) and that nobody without the secret can foresee:
/// the secret's HMAC over the seed, who asks, and a counter. A plain generator would give its next values
/// away with the first.
#[derive(Debug)]
pub struct Nonces {
    seed: u64,
    asker: [u8; 6],
    count: u64,
}

impl Nonces {
    /// A source for one start of one core.
    pub fn new(seed: u64, host: u32, core: u16) -> Nonces {
        let [a, b, c, d] = host.to_le_bytes();
        let [e, f] = core.to_le_bytes();
        Nonces { seed, asker: [a, b, c, d, e, f], count: 0 }
    }

    /// The next value.
    pub fn next(&mut self, secret: &Secret) -> [u8; TAG_BYTES] {
        self.count += 1;
        let mut mac = keyed(secret);
        mac.update(b"synod peer nonce 1\0");
        mac.update(&self.seed.to_le_bytes());
        mac.update(&self.asker);
        mac.update(&self.count.to_le_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, to be sure that the library is called as it should be.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let mut mac = keyed(&Secret::new(*b"Jefe"));
        mac.update(b"what do ya want for nothing?");
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_proof_serves_one_side_of_one_handshake() {
        let secret = Secret::new(*b"sixteen bytes ok");
        let tag = prove(&secret, Role::Dialer, b"one", b"two");
        assert!(verify(&secret, Role::Dialer, b"one", b"two", &tag));
        assert!(!verify(&secret, Role::Acceptor, b"one", b"two", &tag), "reflected");
        assert!(!verify(&secret, Role::Dialer, b"two", b"one", &tag), "turned around");
        assert!(!verify(&secret, Role::Dialer, b"one", b"too", &tag), "replayed");
        assert!(
            !verify(&Secret::new(*b"sixteen bytes of"), Role::Dialer, b"one", b"two", &tag),
            "another secret"
        );
    }

    #[test]
    fn nonces_differ_by_count_seed_and_asker() {
        let secret = Secret::new(*b"sixteen bytes ok");
        let mut nonces = Nonces::new(1, 2, 3);
        let mut all = vec![nonces.next(&secret), nonces.next(&secret)];
        all.extend(
            [Nonces::new(2, 2, 3), Nonces::new(1, 3, 3), Nonces::new(1, 2, 4)]
                .iter_mut()
                .map(|n| n.next(&secret)),
        );
        for (index, nonce) in all.iter().enumerate() {
            assert!(!all[..index].contains(nonce));
        }
    }
}
