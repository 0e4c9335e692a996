//! Tests of the crate: golden scripts and random rows over a map, bounds, backfills, and hostile input.

mod backfills;
mod golden;
mod hostile;
mod limits;
mod pages;
mod store;
