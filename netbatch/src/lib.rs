//! The links of one core to its peers, without input or output: bytes and events go in, effects come out.
//!
//! A [`Net`] belongs to one core and talks to the core of the same number on every peer. For each peer it
//! keeps one outbox and a small pool of links. Everything that one turn has for one peer leaves as one frame:
//! a header with version, length, sequence and checksums, and the messages. What is pushed while a link's
//! socket is busy forms the next frame, so batching follows from load and costs an idle peer no delay. A
//! second link takes over while the first is blocked or stuck; a message longer than a frame travels in parts
//! on one link while the others go on.
//!
//! Before any message both sides prove that they know the cluster's secret (see the `handshake` module) and
//! check that they are who the other takes them for: cluster, host, core, number of slices, data directory.
//! Whoever is not is told why, and reported once.
//!
//! What the crate leaves out, and why. It knows no sockets: its owner connects, sends and closes as the
//! effects say, so the simulator runs the very same code. It knows no clock: the owner tells the time. It
//! knows nothing of what the messages mean, and repeats none: they may be lost when a link ends, and overtake
//! each other on different links; the protocol above is made for that. It does not encrypt, and does not
//! protect proven connections against somebody who can change packets on their way: a checksum is no seal.
//! Where that matters the network has to do it.
//!
//! Invariants:
//!
//! 1. A delivered message was pushed by the peer that it is said to come from, byte by byte; on one link,
//!    messages arrive in the order in which they left, none of them twice.
//! 2. No message passes before both sides have proved themselves; until then at most
//!    [`limits::UNPROVEN_BYTES_MAX`] are held of a connection, and nothing is allocated that bytes only
//!    announce.
//! 3. A frame that fails any check ends its link, and nothing of it is delivered if its checksum was wrong.
//! 4. Every queue is bounded: a message that does not fit is dropped as a whole and counted.
//! 5. The same configuration, seed and events give the same effects.
//! 6. After [`Net::end_turn`], [`Net::deadline`] lies in the future.

mod config;
mod decode;
mod error;
mod flow;
mod frame;
mod handshake;
pub mod limits;
mod link;
mod metrics;
mod net;
mod outbox;
mod peer;
mod refusals;

pub use config::{ClusterId, Config, DataId, HostId, Secret, Tuning};
pub use error::{BadFrame, ConfigError, Reason, Refusal};
pub use flow::{Recipient, Sink};
pub use link::LinkId;
pub use metrics::Metrics;
pub use net::{Effect, Net};
