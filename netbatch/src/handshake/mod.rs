//! Before any message: both sides tell who they are and prove that they know the cluster's secret.
//!
//! ```text
//! dialer                                acceptor
//!   hello (identity, nonce)  ──▶         checks the identity
//!   checks the identity      ◀──  hello (identity, nonce)
//!   proof                    ──▶         checks it, then the data directory
//!   checks it, the directory ◀──  proof
//!   first frame              ──▶         the link is ready on both sides
//! ```
//!
//! The dialer proves first: a process that merely connects learns nothing that depends on the secret. The
//! acceptor's proof tells the dialer that it is welcome; the dialer's first frame tells the acceptor the
//! same, so that neither side counts on a link that the other is about to refuse. A side that refuses says
//! why before it closes.

mod body;
mod envelope;
mod proof;

use std::collections::BTreeMap;

use body::Hello;
use envelope::{malformed, Kind};
use proof::{prove, verify};

use crate::config::{Config, DataId, HostId};
use crate::error::{Reason, Refusal};
use crate::limits::UNPROVEN_BYTES_MAX;

pub use proof::{Nonces, Role};

/// What one's own side brings to every handshake.
#[derive(Debug)]
pub struct Own {
    /// Who we are.
    pub config: Config,
    /// The member set in force now.
    pub config_epoch: u64,
    /// This start of ours.
    pub instance: u64,
    /// The peers' data directories as far as they are known.
    pub data_ids: BTreeMap<HostId, DataId>,
}

/// A peer that proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who it is.
    pub host: HostId,
    /// Its data directory.
    pub data_id: DataId,
    /// Its start.
    pub instance: u64,
    /// The member set that it has in force.
    pub config_epoch: u64,
}

/// Why a handshake ended without a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// We refuse; the other side is to be told.
    Refused(Refusal),
    /// The other side refuses us.
    ByPeer(Reason),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Refused(refusal)
    }
}

/// What came of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// To be sent.
    pub send: Option<Vec<u8>>,
    /// The other side has proved itself and is welcome: what follows are frames.
    pub proven: Option<Proven>,
}

#[derive(Debug)]
enum Stage {
    /// The other side's hello is due.
    Hello,
    /// The other side's proof is due; its hello, read and as it was sent.
    Proof { hello: Hello, hello_bytes: Vec<u8> },
    /// Done, or failed.
    Over,
}

/// One side of one handshake.
#[derive(Debug)]
pub struct Handshake {
    role: Role,
    nonce: [u8; 32],
    /// Our hello as it was sent.
    our_hello: Vec<u8>,
    /// Whom the dialer called.
    called: Option<HostId>,
    /// Who the other side says it is.
    claimed: Option<HostId>,
    stage: Stage,
    partial: Vec<u8>,
}

impl Handshake {
    /// The dialer's side, and the bytes that it starts with.
    pub fn dial(own: &Own, called: HostId, nonce: [u8; 32]) -> (Handshake, Vec<u8>) {
        let mut handshake = Handshake::new(Role::Dialer, nonce, Some(called));
        handshake.our_hello = own.hello(nonce, called);
        let bytes = handshake.our_hello.clone();
        (handshake, bytes)
    }

    /// The acceptor's side, which waits.
    pub fn accept(nonce: [u8; 32]) -> Handshake {
        Handshake::new(Role::Acceptor, nonce, None)
    }

    fn new(role: Role, nonce: [u8; 32], called: Option<HostId>) -> Handshake {
        Handshake {
            role,
            nonce,
            our_hello: Vec::new(),
            called,
            claimed: None,
            stage: Stage::Hello,
            partial: Vec::new(),
        }
    }

    /// The peer as far as it is known: the one that was called, or the one that the other side says it is.
    pub fn claimed(&self) -> Option<HostId> {
        self.called.or(self.claimed)
    }

    /// Bytes of memory held for a message that is not yet whole.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes bytes off the front up to the end of one message and steps. Nothing comes of an incomplete
    /// message.
    pub fn step(&mut self, own: &Own, bytes: &mut &[u8]) -> Result<Progress, Failed> {
        match self.next_message(bytes)? {
            Some(message) => self.on_message(own, message),
            None => Ok(Progress::default()),
        }
    }

    fn next_message(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        while !bytes.is_empty() {
            let due_bytes = envelope::peek(&self.partial)?.unwrap_or(envelope::ENVELOPE_BYTES);
            let (taken, rest) = bytes.split_at(bytes.len().min(due_bytes.saturating_sub(self.partial.len())));
            self.partial.extend_from_slice(taken);
            *bytes = rest;
            assert!(self.partial.len() <= UNPROVEN_BYTES_MAX, "little is held of who has not proved itself");
            if envelope::peek(&self.partial)? == Some(self.partial.len()) {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
        }
        Ok(None)
    }

    fn on_message(&mut self, own: &Own, message: Vec<u8>) -> Result<Progress, Failed> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (envelope::unwrap(&message)?, stage) {
            ((Kind::Refuse, payload), _) => {
                Err(Failed::ByPeer(Reason::from_code(body::read_refuse(payload)?)))
            }
            ((Kind::Hello, payload), Stage::Hello) => {
                let hello = body::read_hello(payload)?;
                self.on_hello(own, hello, message)
            }
            ((Kind::Proof, payload), Stage::Proof { hello, hello_bytes }) => {
                let tag = body::read_proof(payload)?;
                self.on_proof(own, &hello, &hello_bytes, &tag)
            }
            _ => Err(malformed("it sent handshake messages in the wrong order").into()),
        }
    }

    fn on_hello(&mut self, own: &Own, hello: Hello, hello_bytes: Vec<u8>) -> Result<Progress, Failed> {
        self.claimed = Some(hello.from);
        check_identity(own, self.called, &hello)?;
        let send = match self.role {
            Role::Acceptor => {
                self.our_hello = own.hello(self.nonce, hello.from);
                self.our_hello.clone()
            }
            Role::Dialer => body::proof(self.prove(own, &hello_bytes)),
        };
        self.stage = Stage::Proof { hello, hello_bytes };
        Ok(Progress { send: Some(send), proven: None })
    }

    fn on_proof(
        &mut self,
        own: &Own,
        hello: &Hello,
        theirs: &[u8],
        tag: &[u8; 32],
    ) -> Result<Progress, Failed> {
        let (dialer, acceptor) = self.ordered(theirs);
        if !verify(&own.config.secret, self.role.other(), dialer, acceptor, tag) {
            let detail = format!("host {} does not know the cluster secret", hello.from);
            return Err(Refusal::new(Reason::Secret, detail).into());
        }
        let proven = Proven {
            host: hello.from,
            data_id: DataId(hello.data_id),
            instance: hello.instance,
            config_epoch: hello.config_epoch,
        };
        check_data_id(own, &proven)?;
        let send = match self.role {
            Role::Acceptor => Some(body::proof(self.prove(own, theirs))),
            Role::Dialer => None,
        };
        Ok(Progress { send, proven: Some(proven) })
    }

    fn prove(&self, own: &Own, theirs: &[u8]) -> [u8; 32] {
        let (dialer, acceptor) = self.ordered(theirs);
        prove(&own.config.secret, self.role, dialer, acceptor)
    }

    /// The dialer's hello and the acceptor's.
    fn ordered<'a>(&'a self, theirs: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        match self.role {
            Role::Dialer => (&self.our_hello, theirs),
            Role::Acceptor => (theirs, &self.our_hello),
        }
    }
}

/// The message that tells the other side why it is refused.
pub fn refuse_message(reason: Reason) -> Vec<u8> {
    body::refuse(reason.code())
}

impl Own {
    /// As configured.
    pub fn new(config: Config, instance: u64) -> Own {
        Own {
            config_epoch: config.config_epoch,
            instance,
            data_ids: config.known_peer_data_ids.clone(),
            config,
        }
    }

    fn hello(&self, nonce: [u8; 32], to: HostId) -> Vec<u8> {
        body::hello(&Hello {
            cluster: self.config.cluster.0,
            data_id: self.config.data_id.0,
            nonce,
            instance: self.instance,
            config_epoch: self.config_epoch,
            from: self.config.host,
            to,
            core: self.config.core,
            slices: self.config.slices,
        })
    }
}

/// Whether the other side is who belongs at the other end of this connection, by its own account.
fn check_identity(own: &Own, called: Option<HostId>, hello: &Hello) -> Result<(), Refusal> {
    let config = &own.config;
    let from = hello.from;
    let refuse = |reason, detail| Err(Refusal::new(reason, detail));
    if hello.cluster != config.cluster.0 {
        let theirs = crate::config::ClusterId(hello.cluster);
        let detail = format!("host {from} belongs to cluster {theirs}, this host to {}", config.cluster);
        return refuse(Reason::Cluster, detail);
    }
    if hello.to != config.host {
        let detail = format!("host {from} called host {}, this is host {}", hello.to, config.host);
        return refuse(Reason::WrongHost, detail);
    }
    if called.is_some_and(|called| called != from) {
        let detail = format!("host {from} answered where host {} should", called.unwrap_or_default());
        return refuse(Reason::WrongHost, detail);
    }
    if !config.peers.contains_key(&from) {
        return refuse(Reason::UnknownHost, format!("host {from} is not in this host's configuration"));
    }
    if hello.slices != config.slices {
        let detail = format!("host {from} has {} slices, this host {}", hello.slices, config.slices);
        return refuse(Reason::Slices, detail);
    }
    if hello.core != config.core {
        let detail =
            format!("core {} of host {from} is at the other end, core {} should be", hello.core, config.core);
        return refuse(Reason::Core, detail);
    }
    Ok(())
}

/// Whether a peer that proved itself has the data directory that it had before.
fn check_data_id(own: &Own, proven: &Proven) -> Result<(), Refusal> {
    match own.data_ids.get(&proven.host) {
        Some(known) if *known != proven.data_id => {
            let (host, shown) = (proven.host, proven.data_id);
            let detail = format!(
                "host {host} has data directory {shown}, but {known} is known: if its data was lost, run `synod \
                 recover --lost-host {host}` on the other hosts, and `synod init --rejoin` on that one"
            );
            Err(Refusal { shown: Some((host, shown)), ..Refusal::new(Reason::DataDirectory, detail) })
        }
        _ => Ok(()),
    }
}
