//! Synod: three hosts, or one.

use std::net::SocketAddr;
use std::process::Command;

use serde::Deserialize;
use synod_bench::wire::Wire;

use super::{host, ok, System};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::READY_PATIENCE;
use crate::load::Target;
use crate::process::Server;
use crate::record::Who;

/// Segments of the size that a real host has; for trying things out the default is smaller.
pub const SEGMENT: &str = "256 MiB";

/// Small segments, so that merging begins soon.
pub const SEGMENT_SMALL: &str = "32 MiB";

/// The part of `DIR/cluster.json` that is needed.
#[derive(Debug, Deserialize)]
struct Described {
    pids: Vec<u32>,
}

/// Values in memory per core: those of all preloaded keys, as their peers have them.
const CACHE: &str = "1 GiB";

/// First ports of one cluster, 40 apart from the next.
fn ports(context: &Context, offset: u16) -> [(&'static str, u16); 4] {
    [
        ("--plain-port", context.port(offset)),
        ("--client-port-base", context.port(offset + 10)),
        ("--peer-port-base", context.port(offset + 20)),
        ("--admin-port", context.port(offset + 30)),
    ]
}

fn arguments(command: &mut Command, ports: &[(&'static str, u16)], cores: u16, segment: &str) {
    command.args(["--cores", &cores.to_string(), "--segment-bytes", segment, "--cache-bytes", CACHE]);
    command.args(["--pin-cores", "false"]);
    for (name, port) in ports {
        command.args([*name, &port.to_string()]);
    }
}

/// Three hosts of `cores` cores each.
pub fn three(context: &Context, cores: u16, segment: &str) -> Result<System> {
    let mut system = System::new(context, "synod3")?;
    let ports = ports(context, 0);
    let data = system.path().join("cluster");
    let mut command = Command::new(&context.programs.synod);
    command.args(["cluster", "--dev", "--dir"]).arg(&data);
    arguments(&mut command, &ports, cores, segment);
    system.servers.push(Server::start("synod3", &mut command, &context.dir)?);
    let plain: Vec<SocketAddr> = (1..=3).map(|number| host(number, ports[0].1)).collect();
    let entry: Vec<SocketAddr> = (1..=3).map(|number| host(number, ports[1].1)).collect();
    for addr in &plain {
        system.await_reply(context, *addr, &[b"SET", b"ready", b"1"], &ok())?;
    }
    let text = std::fs::read(data.join("cluster.json"))
        .map_err(|error| CompareError::io("reading cluster.json", error))?;
    let described: Described = serde_json::from_slice(&text)
        .map_err(|error| CompareError::tool("cluster.json", error.to_string()))?;
    let who = if cores == 1 { Who::Synod } else { Who::SynodFour };
    let core = Target { who, hosts: entry, cluster: true, confirm: None, pids: described.pids, threads: 1 };
    let plain = Target { who: Who::SynodPlain, hosts: plain, cluster: false, ..core.clone() };
    system.targets = vec![core, plain];
    Ok(system)
}

/// Changes the tables of three hosts.
pub fn define(system: &System, statement: &str) -> Result<()> {
    let refused = |text: String| CompareError::tool("synod3", format!("{statement}: {text}"));
    let target = system.target(Who::SynodPlain);
    let addr = *target.hosts.first().expect("three hosts have plain ports");
    let mut wire = Wire::connect(addr, None, READY_PATIENCE).map_err(|error| refused(error.to_string()))?;
    match wire.call(&[b"SQL", statement.as_bytes()]).map_err(|error| refused(error.to_string()))? {
        reply if reply == ok() => Ok(()),
        reply => Err(refused(format!("{reply:?}"))),
    }
}

/// One host of one core.
pub fn one(context: &Context) -> Result<System> {
    let mut system = System::new(context, "synod1")?;
    let ports = ports(context, 40);
    let mut command = Command::new(&context.programs.synod);
    command.args(["start", "--dev", "--data-dir"]).arg(system.path().join("data"));
    arguments(&mut command, &ports, 1, SEGMENT);
    system.servers.push(Server::start("synod1", &mut command, &context.dir)?);
    let (plain, entry) = (host(1, ports[0].1), host(1, ports[1].1));
    system.await_reply(context, plain, &[b"SET", b"ready", b"1"], &ok())?;
    let core = Target {
        who: Who::One,
        hosts: vec![entry],
        cluster: true,
        confirm: None,
        pids: system.pids(),
        threads: 1,
    };
    let plain = Target { who: Who::OnePlain, hosts: vec![plain], cluster: false, ..core.clone() };
    system.targets = vec![core, plain];
    Ok(system)
}

/// The admin ports of the three hosts.
pub fn admin(context: &Context) -> Vec<SocketAddr> {
    (1..=3).map(|number| host(number, ports(context, 0)[3].1)).collect()
}
