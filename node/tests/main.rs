//! The integration tests of the node, in one binary.

mod front;
mod host;
mod learner;
mod world;
