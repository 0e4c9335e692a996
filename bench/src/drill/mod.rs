//! `synod-bench drill kill`: load while hosts are killed and restarted, then the proof that nothing
//! acknowledged was lost.
//!
//! Several clients, each a plain loop over one connection ([`client`]), SET and GET registers and INCR
//! counters. Each key has one writer and a new value with each write, so that every value tells which write
//! it is. Meanwhile hosts are killed with SIGKILL and restarted ([`hosts`]). A client whose connection fails
//! goes on with the next host at once. At the end every key is read through every host and all is judged
//! ([`judge`]): acknowledged writes lost, and linearizability of everything that was ever seen, the reads
//! during the kills included.
//!
//! Outcomes are three. *Acknowledged*: OK or a number. *Failed*: an error reply, which says that nothing was
//! applied. *Unknown*: the connection was lost, the time was over, or the reply was `-UNCERTAIN`; such a
//! write may be there or not, or come late, and counts neither as lost nor as done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::error::BenchError;
use crate::history::History;
use crate::limits::{DRILL_CLIENTS_MAX, DRILL_KEYS_MAX, DRILL_KILLS_MAX};
use crate::load::report::Progress;
use client::{Client, Seen};
use hosts::{Host, Kill};
use report::Report;

pub mod client;
pub mod hosts;
pub mod judge;
pub mod report;

/// How hosts are killed and restarted.
#[derive(Debug, Clone)]
pub enum Control {
    /// `SCRIPT kill DIR N` and `SCRIPT restart DIR N`, N counted from 1 in the order of the hosts.
    Script {
        /// The script.
        script: PathBuf,
        /// The directory of its cluster.
        dir: PathBuf,
    },
    /// Shell commands, with `{n}` (from 1), `{ip}` and `{port}` put in.
    Commands {
        /// Kills; without it the process that listens on the host's address gets SIGKILL.
        kill: Option<String>,
        /// Restarts.
        restart: String,
    },
}

/// What to drill.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Plain ports of all hosts.
    pub hosts: Vec<SocketAddr>,
    /// Sent with AUTH.
    pub password: Option<String>,
    /// How hosts are killed and restarted.
    pub control: Control,
    /// Time of the load, all kills included.
    pub seconds: Duration,
    /// Clients.
    pub clients: usize,
    /// Registers; besides, each client has a counter.
    pub keys: usize,
    /// Kills, spread evenly over the time.
    pub kills: usize,
    /// Seed of the clients' choices and of the victims.
    pub seed: u64,
    /// How long a client waits for a reply.
    pub timeout: Duration,
    /// Show a progress bar on standard error.
    pub progress: bool,
}

impl Plan {
    /// Checks that the numbers fit together and into [`crate::limits`].
    ///
    /// # Errors
    /// [`BenchError::Usage`] that names the option.
    pub fn check(&self) -> Result<(), BenchError> {
        let rules = [
            (!self.hosts.is_empty(), "--hosts: name at least one ip:port".to_owned()),
            ((1..=DRILL_CLIENTS_MAX).contains(&self.clients), format!("--clients: 1 to {DRILL_CLIENTS_MAX}")),
            (
                (self.clients..=DRILL_KEYS_MAX).contains(&self.keys),
                format!("--keys: from --clients up to {DRILL_KEYS_MAX}"),
            ),
            ((1..=DRILL_KILLS_MAX).contains(&self.kills), format!("--kills: 1 to {DRILL_KILLS_MAX}")),
            (
                self.seconds >= Duration::from_millis(500) * self.kills as u32,
                "--seconds: at least 0.5 for each kill".to_owned(),
            ),
            (self.timeout >= Duration::from_millis(1), "--timeout-ms: at least 1".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(BenchError::Usage(text)),
            None => Ok(()),
        }
    }
}

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The zero of all times.
    pub(crate) start: Instant,
    /// Set at the end.
    pub(crate) stop: AtomicBool,
    /// Raised when a host is back: clients return to their first host.
    pub(crate) returned: AtomicU64,
    /// In front of all keys of this run, so that each starts absent.
    pub(crate) prefix: String,
}

/// Runs the drill and judges it.
///
/// # Errors
/// A plan that does not fit together, a host that does not answer at the start or cannot be killed, restarted
/// or read back: nothing is proven then.
pub fn run(plan: &Plan) -> Result<(Report, History), BenchError> {
    plan.check()?;
    let hosts: Vec<Host> =
        plan.hosts.iter().enumerate().map(|(index, &addr)| Host::new(index, addr, plan)).collect();
    for host in &hosts {
        host.wait_until_it_answers()?;
    }
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let shared = Shared {
        start: Instant::now(),
        stop: AtomicBool::new(false),
        returned: AtomicU64::new(0),
        prefix: format!("drill-{unique:x}-{}", std::process::id()),
    };
    let (kills, seen) = load_and_kill(plan, &hosts, &shared)?;
    let mut history = History::new();
    let mut lines = Vec::new();
    for one in seen {
        lines.push(one.line);
        history.operations.extend(one.operations);
    }
    let door = judge::Door {
        hosts: &plan.hosts,
        password: plan.password.as_deref(),
        timeout: plan.timeout,
        start: shared.start,
    };
    let finals = judge::read_back(&door, &judge::keys_of(plan, &shared.prefix), &mut history)?;
    let judgement = judge::judge(&history, &finals);
    Ok((Report::new(plan, kills, lines, &history, judgement), history))
}

fn load_and_kill(plan: &Plan, hosts: &[Host], shared: &Shared) -> Result<(Vec<Kill>, Vec<Seen>), BenchError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.clients)
            .map(|index| {
                let client = Client::new(plan, shared, index);
                scope.spawn(move || client.run())
            })
            .collect();
        let kills = kill_hosts(plan, hosts, shared);
        shared.stop.store(true, Ordering::Release);
        let seen =
            threads.into_iter().map(|thread| thread.join().expect("a panic aborts the process")).collect();
        Ok((kills?, seen))
    })
}

/// Kills at two fifths of each part of the time and restarts at two thirds, so that the load sees hosts up,
/// down and back.
fn kill_hosts(plan: &Plan, hosts: &[Host], shared: &Shared) -> Result<Vec<Kill>, BenchError> {
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let progress = Progress::seconds(plan.progress, plan.seconds);
    let part = plan.seconds / plan.kills as u32;
    let mut kills = Vec::new();
    let mut last = None;
    for number in 0..plan.kills {
        let begin = part * number as u32;
        let others: Vec<&Host> =
            hosts.iter().filter(|host| hosts.len() == 1 || Some(host.index()) != last).collect();
        let victim = others[random.random_range(0..others.len())];
        last = Some(victim.index());
        wait_until(shared, begin + part * 2 / 5, &progress);
        let killed = victim.kill(shared.start)?;
        wait_until(shared, begin + part * 2 / 3, &progress);
        kills.push(victim.restart(killed, shared.start)?);
        shared.returned.fetch_add(1, Ordering::AcqRel);
    }
    wait_until(shared, plan.seconds, &progress);
    progress.finish();
    Ok(kills)
}

fn wait_until(shared: &Shared, time: Duration, progress: &Progress) {
    loop {
        let now = shared.start.elapsed();
        progress.elapsed(now);
        match time.checked_sub(now) {
            None | Some(Duration::ZERO) => return,
            Some(left) => std::thread::sleep(left.min(Duration::from_millis(100))),
        }
    }
}
