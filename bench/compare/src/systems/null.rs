//! The null server, as a process of this same program.

use std::process::Command;

use super::{host, ok, System};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::load::Target;
use crate::process::Server;
use crate::record::Who;

/// Starts it.
pub fn start(context: &Context) -> Result<System> {
    let mut system = System::new(context, "null")?;
    let addr = host(1, context.port(89));
    let program = std::env::current_exe().map_err(|error| CompareError::io("finding this program", error))?;
    let mut command = Command::new(program);
    command.args(["null", &addr.to_string()]);
    system.servers.push(Server::start("null", &mut command, &context.dir)?);
    system.await_reply(context, addr, &[b"SET", b"ready", b"1"], &ok())?;
    system.targets = vec![Target {
        who: Who::Null,
        hosts: vec![addr],
        cluster: false,
        confirm: None,
        pids: system.pids(),
        threads: 1,
    }];
    Ok(system)
}
