//! The program as its operators meet it: real processes, real files, real ports.

mod commands;
mod dev;
pub mod process;
