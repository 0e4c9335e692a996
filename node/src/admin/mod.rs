//! The admin port: metrics, health and status over HTTP, on a thread of its own.
//!
//! Cores publish into their [`CorePage`]; everything here reads those pages and never reaches into a core, so a scrape
//! costs a data executor nothing and a stuck core cannot stop the answer that says so.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | all metrics in the text format of Prometheus |
//! | `/healthz` | 200 while every core's thread is alive and none has stopped |
//! | `/readyz` | 200 once all cores have recovered and see a majority |
//! | `/status` | JSON, for `synod status` |
//! | `/` | the same for people, one page |
//!
//! Left out: anything that changes the node, because the port asks for no password.

pub mod exposition;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod page;
pub mod pages;
pub mod process;
pub mod server;
pub mod status;

pub use metrics::{Metric, Timing};
pub use pages::{CorePage, CoreState, TimingCounts};
pub use server::{start, AdminServer};
pub use status::{HostView, Status};
