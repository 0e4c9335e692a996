//! The ring against the real kernel: loopback sockets and a temporary directory.

mod echo;
mod support;
