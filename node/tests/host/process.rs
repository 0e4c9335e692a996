//! Starts the program and reads what it says.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

/// The program, with nothing of the surrounding environment that could change what it does.
pub fn synod(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.current_dir(directory).stdin(Stdio::null());
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SYNOD_")).for_each(
        |(name, _)| {
            command.env_remove(name);
        },
    );
    command
}

/// What a finished command left: exit code, standard output, standard error output.
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn run(directory: &Path, arguments: &[&str]) -> Finished {
    let output = synod(directory).args(arguments).output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A process that goes on; killed when dropped.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: Option<ChildStderr>,
}

impl Running {
    /// Starts a command that goes on.
    pub fn start(directory: &Path, arguments: &[&str]) -> Running {
        let mut command = synod(directory);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let err = child.stderr.take();
        Running { child, out, err }
    }

    /// Reads lines until one holds `part`; that line. The end of the output is a failure that shows the errors.
    pub fn await_line(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).expect("output") == 0 {
                panic!("it ended without saying {part:?}: {}", self.errors());
            }
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end: exit code and what the standard error output holds.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let errors = self.errors();
        (self.child.wait().expect("it was started here").code(), errors)
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.err.take().map(|mut err| err.read_to_string(&mut text));
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "process {pid} is there");
}

/// Flags that set all ports to free ones, below those that the system hands out by itself: tests run side by side.
pub fn free_ports() -> Vec<String> {
    const ADDRESSES: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    // No two tests of this process get the same ones, also while nobody listens because a host is being started again.
    static FIRST: OnceLock<u32> = OnceLock::new();
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = FIRST.get_or_init(|| getrandom::u32().expect("random") % 2_000);
    let base = (0..1000)
        .map(|_| 10_000 + (first + TAKEN.fetch_add(1, Ordering::Relaxed)) % 2_000 * 10)
        .find(|base| {
            let mut places =
                ADDRESSES.iter().flat_map(|ip| (0..10).map(move |port| format!("{ip}:{}", base + port)));
            places.all(|place| TcpListener::bind(place).is_ok())
        })
        .expect("free ports");
    ["plain-port", "admin-port", "client-port-base", "peer-port-base"]
        .iter()
        .zip([base, base + 1, base + 2, base + 6])
        .map(|(flag, port)| format!("--{flag}={port}"))
        .collect()
}

/// The value of one of these flags.
pub fn port(flags: &[String], name: &str) -> String {
    let prefix = format!("--{name}=");
    flags.iter().find_map(|flag| flag.strip_prefix(&prefix)).expect("one of the flags").to_owned()
}
