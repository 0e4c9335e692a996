//! Finds ports that are taken before anything is started, so that the error can name port and setting.
//!
//! A port may still be taken between this and the cores' own listening; then their error says so in fewer words.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::Failure;
use crate::config::HostConfig;

/// How long ports may stay taken, all together. The kernel closes a ring's sockets a moment after the process that had them is
/// gone: who starts a host again at once must not be told that its ports are another's.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a port that is taken is tried.
const RETRY: Duration = Duration::from_millis(5);

/// Listens on every port of the configuration for a moment.
pub fn probe(config: &HostConfig) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut problems = Vec::new();
    for (setting, address) in wanted(config) {
        if let Err(e) = bind_before(deadline, address) {
            problems.push(explain(setting, address, &e));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::Unusable(problems.join("\n"))),
    }
}

fn bind_before(deadline: Instant, address: SocketAddr) -> std::io::Result<()> {
    loop {
        match TcpListener::bind(address) {
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(RETRY)
            }
            ended => return ended.map(drop),
        }
    }
}

/// Every address that this host listens on, with the setting that chose it.
fn wanted(config: &HostConfig) -> Vec<(&'static str, SocketAddr)> {
    let mut wanted: Vec<_> = config.plain.iter().map(|address| ("plain_port", *address)).collect();
    for core in &config.cores {
        wanted.extend(core.client.iter().map(|address| ("client_port_base", *address)));
        if config.members.len() > 1 {
            wanted.push(("peer_port_base", core.peer));
        }
    }
    wanted.extend(config.admin.iter().map(|address| ("admin_port", *address)));
    wanted
}

/// The words for a port that cannot be listened on.
pub fn explain(setting: &str, address: SocketAddr, error: &std::io::Error) -> String {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "port {port} on {} is in use by another process; stop that process (`ss -ltnp sport = :{port}` shows it), \
             or choose another {setting}",
            address.ip()
        ),
        ErrorKind::AddrNotAvailable => format!(
            "{} is no address of this machine, so {setting} cannot listen there; correct `bind`, or `address` in the \
             member list",
            address.ip()
        ),
        ErrorKind::PermissionDenied => format!(
            "port {port} needs privileges; choose another {setting}, above 1023"
        ),
        _ => format!("cannot listen on {address} ({setting}): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_comes_free_in_time_is_not_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let refused = bind_before(Instant::now(), address).expect_err("taken");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        let bind = std::thread::spawn(move || bind_before(Instant::now() + Duration::from_secs(60), address));
        drop(taken);
        bind.join().expect("no panic").expect("free");
    }

    #[test]
    fn each_reason_names_port_setting_and_remedy() {
        let address = "127.0.0.1:6379".parse().expect("an address");
        let table = [
            (ErrorKind::AddrInUse, "port 6379 on 127.0.0.1 is in use by another process"),
            (ErrorKind::AddrNotAvailable, "127.0.0.1 is no address of this machine, so plain_port"),
            (ErrorKind::PermissionDenied, "port 6379 needs privileges; choose another plain_port"),
            (ErrorKind::Other, "cannot listen on 127.0.0.1:6379 (plain_port)"),
        ];
        for (kind, expected) in table {
            let words = explain("plain_port", address, &kind.into());
            assert!(words.starts_with(expected), "{words}");
        }
    }
}
