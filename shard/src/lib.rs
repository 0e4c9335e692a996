//! One core's keys: skeleton.

pub mod command;
pub mod reply;
pub mod slot;
pub mod state;
