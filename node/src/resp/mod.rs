//! The Redis serialization protocol, both versions: bytes in, arguments out; replies in, bytes out.
//!
//! **What it holds.** [`Parser`] finds requests (arrays of bulks, and inline commands) in a byte stream that
//! arrives in pieces of any size. [`encode`] appends one [`shard::reply::Reply`] to a buffer, as RESP2 or
//! RESP3.
//!
//! **What it leaves out.** Sockets, buffers of its own for what has not arrived whole (the session keeps
//! those), and any meaning of a command: an argument is bytes.
//!
//! **Invariants.**
//! 1. Nothing is allocated ahead of the bytes that arrived: an announced length is compared with a limit and
//!    then waited for, never reserved.
//! 2. A byte is looked at a bounded number of times, however the stream is cut.
//! 3. No input panics. What is malformed ends in a [`ProtocolError`] with the text Redis has for it, and the
//!    connection is then closed: after a broken request nobody can say where the next one starts.

mod encoder;
mod inline;
pub mod limits;
mod parser;

pub use encoder::{encode, Protocol};
pub use parser::{Args, Limits, Parser, ProtocolError, Step};
