//! Killing and restarting one host, and making sure that both happened.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use serde::Serialize;

use super::{Control, Plan};
use crate::error::BenchError;
use crate::limits::RESTART_PATIENCE;
use crate::procs::{self, Process};
use crate::resp::Value;
use crate::wire::Wire;

/// Between two looks at a host that should go or come.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long a reply to PING may take.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// One host of the drill.
#[derive(Debug)]
pub struct Host {
    index: usize,
    addr: SocketAddr,
    control: Control,
    password: Option<String>,
}

/// A host that was killed and is not back yet.
#[derive(Debug)]
pub struct Killed {
    at: Duration,
    gone: Duration,
    pids: Vec<u32>,
}

/// One kill, from beginning to end.
#[derive(Debug, Clone, Serialize)]
pub struct Kill {
    /// The host, counted from 1.
    pub host: usize,
    /// Its address.
    pub addr: SocketAddr,
    /// The processes that were there before and gone after; empty if the host is on another machine.
    pub pids: Vec<u32>,
    /// When it was killed, seconds from the start.
    pub killed_at_s: f64,
    /// When its processes were gone.
    pub gone_at_s: f64,
    /// When its restart was begun.
    pub restarted_at_s: f64,
    /// When it answered again.
    pub back_at_s: f64,
}

impl Host {
    /// Host `index` (from 0) of the plan.
    pub fn new(index: usize, addr: SocketAddr, plan: &Plan) -> Host {
        Host { index, addr, control: plan.control.clone(), password: plan.password.clone() }
    }

    /// Its place among the hosts, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    fn answers(&self) -> Result<(), String> {
        let answer = Wire::connect(self.addr, self.password.as_deref(), PING_TIMEOUT)
            .and_then(|mut wire| wire.call(&[b"PING"]))
            .map_err(|error| error.to_string())?;
        match answer {
            Value::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
            _ => Ok(()),
        }
    }

    /// Waits until the host answers a PING.
    ///
    /// # Errors
    /// It did not within [`RESTART_PATIENCE`].
    pub fn wait_until_it_answers(&self) -> Result<(), BenchError> {
        let begin = Instant::now();
        loop {
            match self.answers() {
                Ok(()) => return Ok(()),
                Err(text) if begin.elapsed() > RESTART_PATIENCE => {
                    return Err(BenchError::Server {
                        addr: self.addr,
                        text: format!("host does not answer: {text}"),
                    });
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Kills the host and waits until it is gone.
    ///
    /// # Errors
    /// The command failed, no process was found to kill, or the host is still there after
    /// [`RESTART_PATIENCE`].
    pub fn kill(&self, start: Instant) -> Result<Killed, BenchError> {
        let processes = procs::listening(&[self.addr]);
        let at = start.elapsed();
        match &self.control {
            Control::Script { script, dir } => {
                self.execute(Command::new(script).arg("kill").arg(dir).arg(self.number()), "kill")?;
            }
            Control::Commands { kill: Some(kill), .. } => self.execute(&mut self.shell(kill), "kill")?,
            Control::Commands { kill: None, .. } => self.kill_processes(&processes)?,
        }
        let begin = Instant::now();
        while !self.is_gone(&processes) {
            if begin.elapsed() > RESTART_PATIENCE {
                let text = "the host was to be killed and is still there".to_owned();
                return Err(BenchError::Server { addr: self.addr, text });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let pids = processes.iter().map(|process| process.pid).collect();
        Ok(Killed { at, gone: start.elapsed(), pids })
    }

    /// A process that was seen must be gone; of a host on another machine only the refusal to connect can be
    /// seen.
    fn is_gone(&self, processes: &[Process]) -> bool {
        match processes {
            [] => self.answers().is_err(),
            processes => processes.iter().all(|process| !process.is_alive()),
        }
    }

    fn kill_processes(&self, processes: &[Process]) -> Result<(), BenchError> {
        if processes.is_empty() {
            let text = "no process of this machine listens here; give --kill-cmd".to_owned();
            return Err(BenchError::Server { addr: self.addr, text });
        }
        for process in processes {
            let pid = i32::try_from(process.pid)
                .ok()
                .and_then(Pid::from_raw)
                .expect("a process id of /proc is one");
            kill_process(pid, Signal::KILL)
                .map_err(|error| BenchError::io(format!("killing process {}", process.pid), error.into()))?;
        }
        Ok(())
    }

    /// Restarts the host and waits until it answers.
    ///
    /// # Errors
    /// The command failed, or the host does not answer within [`RESTART_PATIENCE`].
    pub fn restart(&self, killed: Killed, start: Instant) -> Result<Kill, BenchError> {
        assert!(killed.gone >= killed.at, "a host is gone after it was killed");
        let restarted_at_s = start.elapsed().as_secs_f64();
        match &self.control {
            Control::Script { script, dir } => {
                self.execute(Command::new(script).arg("restart").arg(dir).arg(self.number()), "restart")?;
            }
            Control::Commands { restart, .. } => self.execute(&mut self.shell(restart), "restart")?,
        }
        self.wait_until_it_answers()?;
        Ok(Kill {
            host: self.index + 1,
            addr: self.addr,
            pids: killed.pids,
            killed_at_s: killed.at.as_secs_f64(),
            gone_at_s: killed.gone.as_secs_f64(),
            restarted_at_s,
            back_at_s: start.elapsed().as_secs_f64(),
        })
    }

    fn number(&self) -> String {
        (self.index + 1).to_string()
    }

    fn shell(&self, line: &str) -> Command {
        let line = line
            .replace("{n}", &self.number())
            .replace("{ip}", &self.addr.ip().to_string())
            .replace("{port}", &self.addr.port().to_string());
        let mut command = Command::new("sh");
        command.arg("-c").arg(line);
        command
    }

    /// Runs a command to its end. Its output is not ours: a server it starts must not hold our standard
    /// output open.
    fn execute(&self, command: &mut Command, what: &str) -> Result<(), BenchError> {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(|error| {
            BenchError::io(format!("the command to {what} host {}", self.number()), error)
        })?;
        if status.success() {
            return Ok(());
        }
        Err(BenchError::Command(format!("the command to {what} host {} ended with {status}", self.number())))
    }
}
