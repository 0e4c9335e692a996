//! Tests of the protocol: rules one by one, golden scripts, a twin of the acceptor, exhaustive exploration, random schedules.

mod checker;
mod driver;
mod explore;
mod golden;
mod model;
mod rules;
mod twin;
