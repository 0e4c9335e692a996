//! Sessions without sockets: scripts, twins and random bytes against a host made of maps.

mod blocking;
mod golden;
mod map;
mod parser_twin;
mod pipeline;
mod random;
mod rows;
mod scans;
mod sql;
mod world;
