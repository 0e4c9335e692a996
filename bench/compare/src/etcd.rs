//! A client of etcd that loads it: so many tasks on one thread, each with one request under way.
//!
//! etcd speaks gRPC. The two requests that are needed are written here by hand after etcd's `rpc.proto` (version 3 API, package
//! `etcdserverpb`), with the fields that are used and no others: protobuf skips the rest of a reply. The thread is one, as
//! the harness has for the other systems; the requests are spread over all hosts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http::uri::PathAndQuery;
use synod_bench::procs::{CpuMeter, Process};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{ETCD_CHANNELS_PER_HOST, LATENCY_NS_MAX, READY_PATIENCE, VALUE_BYTES};
use crate::load::{percentiles, Load, Target};
use crate::machine::Watch;
use crate::record::{Operation, Outcome};

/// `etcdserverpb.PutRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`, of which nothing is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// `etcdserverpb.RangeRequest`. Without `serializable`, which is not here, it is linearizable.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

/// `etcdserverpb.RangeResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

async fn put(
    client: &mut Grpc<Channel>,
    key: Vec<u8>,
    value: Vec<u8>,
) -> std::result::Result<(), tonic::Status> {
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    client.unary(tonic::Request::new(PutRequest { key, value }), path, codec).await.map(|_| ())
}

async fn get(client: &mut Grpc<Channel>, key: Vec<u8>) -> std::result::Result<(), tonic::Status> {
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<RangeRequest, RangeResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
    let reply = client.unary(tonic::Request::new(RangeRequest { key }), path, codec).await?;
    if reply.get_ref().count == 1 {
        return Ok(());
    }
    Err(tonic::Status::not_found("a key that was preloaded is missing"))
}

fn key(prefix: &str, number: u64) -> Vec<u8> {
    format!("{prefix}{number:012}").into_bytes()
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| CompareError::io("starting the etcd client", error))
}

async fn channel(addr: SocketAddr) -> Result<Grpc<Channel>> {
    let failed =
        |error: tonic::transport::Error| CompareError::tool(format!("etcd at {addr}"), error.to_string());
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(failed)?;
    let endpoint = endpoint.timeout(READY_PATIENCE).tcp_nodelay(true);
    Ok(Grpc::new(endpoint.connect().await.map_err(failed)?))
}

async fn channels(hosts: &[SocketAddr]) -> Result<Vec<Grpc<Channel>>> {
    let mut channels = Vec::new();
    for _ in 0..ETCD_CHANNELS_PER_HOST {
        for addr in hosts {
            channels.push(channel(*addr).await?);
        }
    }
    Ok(channels)
}

/// One put, to see whether a host serves.
pub fn put_one(addr: SocketAddr) -> Result<()> {
    runtime()?.block_on(async {
        let mut client = channel(addr).await?;
        let done = put(&mut client, b"ready".to_vec(), b"1".to_vec()).await;
        done.map_err(|error| CompareError::tool(format!("etcd at {addr}"), error.to_string()))
    })
}

/// What one task, or all of them, did in the measured time.
struct Tally {
    latencies: Histogram<u64>,
    errors: u64,
}

impl Tally {
    fn new() -> Tally {
        let latencies = Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("bounds within those of the crate");
        Tally { latencies, errors: 0 }
    }
}

/// The times of a load.
#[derive(Clone, Copy)]
struct Times {
    from: Instant,
    to: Instant,
}

/// Spreads keys over a load: a multiplication by an odd number far above every count of keys, modulo that count.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

async fn task(mut client: Grpc<Channel>, load: Load, seed: u64, times: Times) -> Tally {
    let mut tally = Tally::new();
    let mut step = seed;
    while Instant::now() < times.to {
        step = step.wrapping_mul(SPREAD).wrapping_add(seed | 1);
        let key = key(&load.prefix, (step >> 20) % load.keys);
        let start = Instant::now();
        let done = match load.operation {
            Operation::Get => get(&mut client, key).await,
            _ => put(&mut client, key, vec![b'x'; VALUE_BYTES]).await,
        };
        let end = Instant::now();
        if end < times.from || end > times.to {
            continue;
        }
        match done {
            Ok(()) => {
                tally.latencies.saturating_record(u64::try_from((end - start).as_nanos()).unwrap_or(u64::MAX))
            }
            Err(_) => tally.errors += 1,
        }
    }
    tally
}

/// Runs a load, on one thread.
pub fn run(context: &Context, target: &Target, load: &Load) -> Result<Outcome> {
    context.stop.check()?;
    runtime()?.block_on(async {
        let channels = channels(&target.hosts).await?;
        let from = Instant::now() + load.warmup;
        let times = Times { from, to: from + load.seconds };
        let tasks: Vec<_> = (0..load.point.connections as u64)
            .zip(channels.iter().cycle())
            .map(|(seed, client)| tokio::spawn(task(client.clone(), load.clone(), seed, times)))
            .collect();
        tokio::time::sleep(load.warmup).await;
        let before = Meters::start(target);
        tokio::time::sleep(load.seconds).await;
        let spent = before.elapsed(load.seconds);
        let mut total = Tally::new();
        for task in tasks {
            let tally = task.await.map_err(|error| CompareError::tool("etcd client", error.to_string()))?;
            total.errors += tally.errors;
            total.latencies.add(tally.latencies).expect("all histograms have the same bounds");
        }
        Ok(outcome(&total, load.seconds, &spent))
    })
}

/// CPU time of the servers and of this process, and what the machine did.
struct Meters {
    servers: CpuMeter,
    own: CpuMeter,
    watch: Watch,
}

/// The same over a span of time: CPUs, and bytes per second.
struct Spent {
    servers: Option<f64>,
    own: Option<f64>,
    busy: Option<f64>,
    written: Option<f64>,
}

impl Meters {
    fn start(target: &Target) -> Meters {
        let processes: Vec<Process> = target.pids.iter().filter_map(|&pid| Process::running(pid)).collect();
        let own: Vec<Process> = Process::running(std::process::id()).into_iter().collect();
        Meters {
            servers: CpuMeter::start(&processes),
            own: CpuMeter::start(&own),
            watch: Watch::start(&target.pids),
        }
    }

    fn elapsed(&self, length: Duration) -> Spent {
        let cores = |meter: &CpuMeter| meter.elapsed_us().map(|us| us as f64 / 1e6 / length.as_secs_f64());
        Spent {
            servers: cores(&self.servers),
            own: cores(&self.own),
            busy: self.watch.busy_cores(),
            written: self.watch.written_per_second(),
        }
    }
}

fn outcome(total: &Tally, length: Duration, spent: &Spent) -> Outcome {
    let seconds = length.as_secs_f64();
    let us = |share: f64| total.latencies.value_at_quantile(share) as f64 / 1e3;
    let per_second = total.latencies.len() as f64 / seconds;
    let known = spent.servers.zip(spent.own).map(|(servers, own)| servers + own);
    Outcome {
        ops_per_second: per_second,
        p50_us: us(0.5),
        p99_us: us(0.99),
        p999_us: us(0.999),
        max_us: us(1.0),
        errors: total.errors,
        servers_us_per_operation: spent.servers.map(|cores| cores * 1e6 / per_second),
        harness_cores: spent.own,
        other_cores: spent.busy.zip(known).map(|(busy, known)| (busy - known).max(0.0)),
        disk_bytes_per_operation: spent.written.map(|bytes| bytes / per_second),
        curve: percentiles(&total.latencies),
    }
}

/// Puts every key once.
///
/// # Errors
/// Also if one could not be put.
pub fn preload(context: &Context, target: &Target, keys: u64, prefix: &str, clients: usize) -> Result<()> {
    runtime()?.block_on(async {
        let channels = channels(&target.hosts).await?;
        let clients = clients as u64;
        let tasks: Vec<_> = (0..clients)
            .zip(channels.iter().cycle())
            .map(|(first, client)| {
                let (mut client, prefix, stop) = (client.clone(), prefix.to_owned(), context.stop.clone());
                tokio::spawn(async move {
                    for number in (first..keys).step_by(clients as usize) {
                        stop.check()?;
                        let done = put(&mut client, key(&prefix, number), vec![b'x'; VALUE_BYTES]).await;
                        done.map_err(|error| CompareError::tool("preloading etcd", error.to_string()))?;
                    }
                    Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|error| CompareError::tool("etcd client", error.to_string()))??;
        }
        Ok(())
    })
}
