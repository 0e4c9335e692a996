//! etcd: three hosts. Their data may grow as far as a comparison writes; the bound that etcd has by default would stop it.

use std::process::Command;

use super::{host, System};
use crate::context::Context;
use crate::error::Result;
use crate::load::Target;
use crate::process::Server;
use crate::record::Who;

/// Bytes that etcd's database may grow to: its own maximum.
const QUOTA_BYTES: &str = "8589934592";

/// Starts them.
pub fn start(context: &Context) -> Result<System> {
    let mut system = System::new(context, "etcd3")?;
    let client = |index: u16| format!("http://127.0.0.1:{}", context.port(90 + index));
    let peer = |index: u16| format!("http://127.0.0.1:{}", context.port(93 + index));
    let members: Vec<String> = (0..3).map(|index| format!("e{index}={}", peer(index))).collect();
    for index in 0..3 {
        let name = format!("e{index}");
        let mut command = Command::new("etcd");
        command.args(["--name", &name, "--data-dir"]).arg(system.path().join(&name));
        command.args(["--listen-client-urls", &client(index), "--advertise-client-urls", &client(index)]);
        command.args(["--listen-peer-urls", &peer(index), "--initial-advertise-peer-urls", &peer(index)]);
        command.args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"]);
        command.args(["--quota-backend-bytes", QUOTA_BYTES, "--log-level", "error"]);
        system.servers.push(Server::start(&format!("etcd-{index}"), &mut command, &context.dir)?);
    }
    let hosts: Vec<_> = (0..3).map(|index| host(1, context.port(90 + index))).collect();
    for addr in &hosts {
        system.await_ready(context, || crate::etcd::put_one(*addr).map_err(|error| error.to_string()))?;
    }
    let pids = system.pids();
    system.targets = vec![Target { who: Who::Etcd, hosts, cluster: false, confirm: None, pids, threads: 1 }];
    Ok(system)
}
