//! Redis and Valkey: one process, or a primary with two replicas.

use std::net::SocketAddr;
use std::process::Command;

use synod_bench::resp::Value;

use super::{host, ok, System};
use crate::context::Context;
use crate::error::Result;
use crate::load::Target;
use crate::process::Server;
use crate::record::Who;

/// How one of them is run.
#[derive(Debug, Clone, Copy)]
struct Kind {
    who: Who,
    program: &'static str,
    processes: u16,
    synced: bool,
    confirm: Option<&'static str>,
    port: u16,
}

const KINDS: [Kind; 5] = [
    Kind {
        who: Who::ValkeyWaitaof,
        program: "valkey-server",
        processes: 3,
        synced: true,
        confirm: Some("WAITAOF 1 1 1000"),
        port: 80,
    },
    Kind {
        who: Who::RedisWait,
        program: "redis-server",
        processes: 3,
        synced: false,
        confirm: Some("WAIT 1 1000"),
        port: 83,
    },
    Kind {
        who: Who::RedisAlways,
        program: "redis-server",
        processes: 1,
        synced: true,
        confirm: None,
        port: 86,
    },
    Kind {
        who: Who::RedisMemory,
        program: "redis-server",
        processes: 1,
        synced: false,
        confirm: None,
        port: 87,
    },
    Kind {
        who: Who::ValkeyMemory,
        program: "valkey-server",
        processes: 1,
        synced: false,
        confirm: None,
        port: 88,
    },
];

/// Starts one of the kinds of Redis and Valkey.
pub fn start(context: &Context, who: Who) -> Result<System> {
    let kind = KINDS.iter().find(|kind| kind.who == who).expect("a group starts what there is");
    let mut system = System::new(context, &format!("redis{}", kind.port))?;
    let ports: Vec<u16> = (0..kind.processes).map(|index| context.port(kind.port + index)).collect();
    for (index, port) in ports.iter().enumerate() {
        let data = system.path().join(index.to_string());
        std::fs::create_dir(&data)
            .map_err(|error| crate::error::CompareError::io("making a data folder", error))?;
        let mut command = Command::new(kind.program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&data);
        if kind.synced {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if index > 0 {
            command.args(["--replicaof", "127.0.0.1", &ports[0].to_string()]);
        }
        system.servers.push(Server::start(&format!("{}-{port}", kind.program), &mut command, &context.dir)?);
    }
    let primary = host(1, ports[0]);
    system.await_reply(context, primary, &[b"SET", b"ready", b"1"], &ok())?;
    await_replicas(context, &mut system, primary, kind)?;
    system.targets = vec![Target {
        who,
        hosts: vec![primary],
        cluster: false,
        confirm: kind.confirm,
        pids: system.pids(),
        threads: 1,
    }];
    Ok(system)
}

/// Replicas are there when they have taken a write, and where it is synced, when they have synced one.
fn await_replicas(context: &Context, system: &mut System, primary: SocketAddr, kind: &Kind) -> Result<()> {
    let others = i64::from(kind.processes) - 1;
    if others == 0 {
        return Ok(());
    }
    system.await_ready(context, || {
        let text = |error: std::io::Error| error.to_string();
        let mut wire =
            synod_bench::wire::Wire::connect(primary, None, crate::limits::READY_PATIENCE).map_err(text)?;
        wire.call(&[b"SET", b"ready", b"2"]).map_err(text)?;
        let count = others.to_string();
        let (reply, wanted) = if kind.synced {
            let request: [&[u8]; 4] = [b"WAITAOF", b"1", count.as_bytes(), b"1000"];
            (wire.call(&request).map_err(text)?, Value::Array(vec![Value::Int(1), Value::Int(others)]))
        } else {
            (wire.call(&[b"WAIT", count.as_bytes(), b"1000"]).map_err(text)?, Value::Int(others))
        };
        if reply == wanted {
            return Ok(());
        }
        Err(format!("{reply:?}"))
    })
}
