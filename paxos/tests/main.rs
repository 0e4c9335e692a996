//! Tests of the protocol.

mod rules;
