//! An idle cluster: one client that asks and waits, beside what the disk, loopback and Redis' PING take at that moment; and the CPU
//! that three hosts use with no client at all.

use synod_bench::procs::{CpuMeter, Process};

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{IDLE_LOOK_MIN, SETTLE, VALUE_BYTES};
use crate::machine::Machine;
use crate::probe;
use crate::record::{Record, Who};
use crate::round_trip::Client;
use crate::systems::{redis, synod};

/// Its name.
pub const NAME: &str = "idle";

/// Median of three simultaneous syncs.
pub const SYNC: &str = "one of three simultaneous 4 KiB syncs, median";
/// Median of a loopback round trip.
pub const LOOPBACK: &str = "round trip over loopback, median";
/// Median of Redis' PING.
pub const PING: &str = "Redis PING, one client, p50";
/// CPU of three hosts at rest.
pub const AT_REST: &str = "CPU of three idle hosts, share of a core";

/// Names of the four figures of one client: SET and GET by the core port, SET and GET by the plain port.
pub const ONE_CLIENT: [&str; 4] = [
    "SET, one client, p50, core port",
    "GET, one client, p50, core port",
    "SET, one client, p50, plain port",
    "GET, one client, p50, plain port",
];

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let redis = redis::start(context, Who::RedisMemory)?;
    let redis = first(&redis.target(Who::RedisMemory).hosts)?;
    let core = first(&ours.target(Who::Synod).hosts)?;
    let plain = first(&ours.target(Who::SynodPlain).hosts)?;
    context.stop.sleep(SETTLE)?;
    for run in 1..=context.options.runs {
        record.figure(NAME, run, AT_REST, at_rest(context, &ours.target(Who::Synod).pids)?, "");
        record.figure(NAME, run, SYNC, probe::disk(&context.dir)?.sync_us, "us");
        record.figure(NAME, run, LOOPBACK, probe::loopback_us()?, "us");
        record.figure(NAME, run, PING, Client::connect(redis)?.median_us(&[b"PING"])?, "us");
        let names = ONE_CLIENT.chunks_exact(2);
        for (addr, names) in [core, plain].into_iter().zip(names) {
            context.stop.check()?;
            let value = [b'x'; VALUE_BYTES];
            let mut client = Client::connect(addr)?;
            let key = client.own_key(&value)?;
            let us = [client.median_us(&[b"SET", &key, &value])?, client.median_us(&[b"GET", &key])?];
            for (name, us) in names.iter().zip(us) {
                record.figure(NAME, run, name, us, "us");
            }
        }
    }
    for figure in record.figures.iter().filter(|figure| figure.group == NAME) {
        context
            .say(&format!("{NAME} run {}: {} {:.3} {}", figure.run, figure.name, figure.value, figure.unit));
    }
    Ok(())
}

fn first(hosts: &[std::net::SocketAddr]) -> Result<std::net::SocketAddr> {
    hosts.first().copied().ok_or_else(|| CompareError::tool(NAME, "a system without an address"))
}

/// CPUs that these processes use while nobody asks them anything.
fn at_rest(context: &Context, pids: &[u32]) -> Result<f64> {
    let processes: Vec<Process> = pids.iter().filter_map(|&pid| Process::running(pid)).collect();
    let length = context.options.seconds.max(IDLE_LOOK_MIN);
    let meter = CpuMeter::start(&processes);
    context.stop.sleep(length)?;
    let us = meter.elapsed_us().ok_or_else(|| CompareError::tool("synod", "a host has ended"))?;
    Ok(us as f64 / 1e6 / length.as_secs_f64())
}
