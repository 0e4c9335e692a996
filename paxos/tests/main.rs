//! Tests of the protocol: rules one by one, exhaustive exploration, random schedules.

mod checker;
mod driver;
mod explore;
mod model;
mod rules;
