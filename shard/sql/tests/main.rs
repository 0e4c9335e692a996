//! Tests of the crate: golden scripts over a map, and hostile input.

mod golden;
mod hostile;
mod pages;
mod store;
