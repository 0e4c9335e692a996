//! The network of the lab: one namespace per host, each with one TAP device, all on one [`Switch`].
//!
//! It is made inside the lab's own network namespace (see [`super::enclosure`]), so the machine's network is
//! not touched and nothing has to be taken down. Names of namespaces live below `/run`, over which the
//! enclosure has put a file system of its own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::limits::{HOSTS, PORTS};
use super::switch::Switch;
use super::{sys, tool};
use crate::error::BenchError;

/// The network of the lab's hosts, from the range for benchmarks (RFC 2544): nobody routes it.
const NETWORK: [u8; 3] = [198, 18, 7];

/// The last byte of the clients' address.
const CLIENTS: u8 = 100;

/// The address of a host, numbered from 1.
pub fn address(number: usize) -> IpAddr {
    let [a, b, c] = NETWORK;
    IpAddr::V4(Ipv4Addr::new(a, b, c, u8::try_from(number).expect("there are few hosts")))
}

/// The name of a host's network namespace.
pub fn namespace(number: usize) -> String {
    format!("host{number}")
}

/// Makes devices, namespaces and addresses, and starts the switch.
///
/// # Errors
/// What `ip` or the system said.
pub fn build(seed: u64) -> Result<Switch, BenchError> {
    let mut taps = Vec::new();
    for port in 0..PORTS {
        let tap =
            sys::open_tap(&device(port)).map_err(|source| BenchError::io("making a TAP device", source))?;
        taps.push(tap);
    }
    let taps: [_; PORTS] = taps.try_into().expect("one device per port was made");
    tool::run_with_input("ip", &["-batch", "-"], &namespaces())?;
    for port in 0..PORTS {
        let namespace = namespace(port);
        let arguments: &[&str] =
            if port == 0 { &["-batch", "-"] } else { &["-n", &namespace, "-batch", "-"] };
        tool::run_with_input("ip", arguments, &interface(port))?;
    }
    Switch::start(taps, seed)
}

fn device(port: usize) -> String {
    format!("port{port}")
}

fn namespaces() -> String {
    let mut script = String::new();
    for port in 1..=HOSTS {
        let (namespace, device) = (namespace(port), device(port));
        let _ = writeln!(script, "netns add {namespace}");
        let _ = writeln!(script, "link set {device} netns {namespace}");
    }
    script
}

/// What `ip` has to do inside the namespace of a port. The last byte of the Ethernet address is the port's
/// number, which is how the switch knows it.
fn interface(port: usize) -> String {
    let device = device(port);
    let [a, b, c] = NETWORK;
    let last = if port == 0 { usize::from(CLIENTS) } else { port };
    format!(
        "link set lo up\nlink set {device} addrgenmode none\nlink set {device} address 02:00:00:00:00:{port:02x}\n\
         addr add {a}.{b}.{c}.{last}/24 dev {device}\nlink set {device} up\n"
    )
}
