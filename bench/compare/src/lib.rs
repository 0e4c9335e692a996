//! Synod beside its peers on one machine: Valkey, Redis, etcd and RocksDB from Debian's packages.
//!
//! **Holds**: starting and stopping them ([`systems`]); what is measured on which of them ([`groups`]), with `synod-bench` as the
//! load where the Redis protocol is spoken ([`load`]), a client of its own for etcd ([`etcd`]), a load of its own for fjall ([`fjall`]), and a server that does nothing
//! as the ceiling of the harness ([`null`]); what the machine itself can do ([`probe`]); whether the goals of the project are
//! met ([`goals`]); a table ([`table`]), JSON and a page with plots ([`page`]).
//!
//! **Leaves out**: the load itself, which is `synod-bench`'s; and any opinion on absolute numbers. They drift by a quarter
//! between runs on a shared machine, so a goal is a ratio of two figures of one run, taken seconds apart, and the result is
//! in how many runs it was met.
//!
//! **A workspace of its own**, so that the crates that speak to peers never enter the tree of the product.
//!
//! **Invariants**: every process that was started is stopped by its id, also after an error, a panic or Ctrl-C; the data lies in
//! a fresh folder that is removed. The order of the systems turns round from run to run, so that none is always first. The
//! exit code says whether measuring worked, never whether a goal was met.

pub mod cli;
pub mod context;
pub mod error;
pub mod etcd;
pub mod fjall;
pub mod goals;
pub mod groups;
pub mod limits;
pub mod load;
pub mod machine;
pub mod null;
pub mod page;
pub mod point;
pub mod probe;
pub mod process;
pub mod record;
pub mod round_trip;
pub mod systems;
pub mod table;
