//! The ring against the real kernel: loopback sockets and a temporary directory.

mod cores;
mod disk;
mod echo;
mod support;
mod watched;
