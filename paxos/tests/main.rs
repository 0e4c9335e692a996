//! Tests of the protocol: rules one by one, golden scripts, a twin of the acceptor, exhaustive exploration, random schedules, losses of
//! whole logs, tombstones that are dropped.

mod checker;
mod driver;
mod dropping;
mod explore;
mod golden;
mod model;
mod rejoin;
mod rules;
mod twin;
