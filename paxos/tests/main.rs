//! Tests of the protocol: rules one by one, golden scripts, a twin of the acceptor, exhaustive exploration, random schedules, losses of
//! whole logs, tombstones that are dropped, promises and reads of many keys at once.

mod checker;
mod cluster;
mod confirm;
mod driver;
mod dropping;
mod explore;
mod flush;
mod golden;
mod groups;
mod model;
mod ranges;
mod rejoin;
mod rules;
mod twin;
