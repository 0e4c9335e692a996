//! The systems that are compared: each is started on loopback ports of its own with its data in a folder of its own, is ready when
//! it has taken a write, and is stopped and removed when it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use synod_bench::resp::Value;
use synod_bench::wire::Wire;
use tempfile::TempDir;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{POLL, READY_PATIENCE};
use crate::load::Target;
use crate::process::Server;
use crate::record::Who;

pub mod etcd;
pub mod null;
pub mod redis;
pub mod synod;

/// A running system. Dropping it stops its processes and removes its data, in that order.
#[derive(Debug)]
pub struct System {
    /// The ways to reach it.
    pub targets: Vec<Target>,
    servers: Vec<Server>,
    folder: TempDir,
}

impl System {
    fn new(context: &Context, name: &str) -> Result<System> {
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(&context.dir);
        let folder =
            folder.map_err(|error| CompareError::io(format!("making a folder for {name}"), error))?;
        Ok(System { targets: Vec::new(), servers: Vec::new(), folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// How to reach it as `who`.
    pub fn target(&self, who: Who) -> &Target {
        let found = self.targets.iter().find(|target| target.who == who);
        found.expect("a group asks its own systems for the targets that they have")
    }

    /// Waits until a server answers a request as wanted.
    ///
    /// # Errors
    /// One of the processes ended, it took too long, or somebody asked to stop.
    fn await_reply(
        &mut self,
        context: &Context,
        addr: SocketAddr,
        request: &[&[u8]],
        wanted: &Value,
    ) -> Result<()> {
        self.await_ready(context, || {
            let mut wire = Wire::connect(addr, None, READY_PATIENCE).map_err(|error| error.to_string())?;
            let reply = wire.call(request).map_err(|error| error.to_string())?;
            if reply == *wanted {
                return Ok(());
            }
            Err(format!("{reply:?}"))
        })
    }

    /// Waits until `ready` holds; what it says last stands in the error.
    fn await_ready(
        &mut self,
        context: &Context,
        mut ready: impl FnMut() -> std::result::Result<(), String>,
    ) -> Result<()> {
        let end = Instant::now() + READY_PATIENCE;
        loop {
            for server in &mut self.servers {
                server.check()?;
            }
            match ready() {
                Ok(()) => return Ok(()),
                Err(text) if Instant::now() >= end => {
                    return Err(CompareError::tool("starting", format!("not ready in time: {text}")));
                }
                Err(_) => context.stop.sleep(POLL)?,
            }
        }
    }

    fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(Server::pid).collect()
    }
}

/// The reply to a write.
fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

/// Host `number` of those on loopback, from 1.
fn host(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), port))
}
