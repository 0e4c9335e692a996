//! Tests of the crate: golden scripts and random rows over a map, bounds, sweeps, and hostile input.

mod golden;
mod hostile;
mod limits;
mod pages;
mod store;
mod sweeps;
