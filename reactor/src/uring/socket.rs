//! Making sockets: the few system calls that happen before a socket is the ring's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::limits::{KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_RETRIES, LISTEN_BACKLOG};

/// A listening socket. Accepted sockets inherit its options, which saves system calls for each of them.
pub fn listener(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // An IPv6 listener that also took IPv4 would clash with the IPv4 listener on the same port.
        socket.set_only_v6(true)?;
    }
    set_options(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// A socket that is ready to connect to `to`, bound to `from` where given.
pub fn connecting(from: Option<IpAddr>, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    set_options(&socket)?;
    if let Some(from) = from {
        no_port_before_connect(&socket)?;
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    }
    Ok(socket.into())
}

/// What every socket has: turns already join what belongs together, so the kernel need not wait for more; and an end
/// that vanished is noticed.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(KEEPALIVE_IDLE_S))
        .with_interval(Duration::from_secs(KEEPALIVE_INTERVAL_S))
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Lets the kernel choose the port at connect, when it knows the other end, so that ports are not used up by binding.
fn no_port_before_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value outlives the call and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            std::mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The other end of a connected socket; none if it is gone already.
pub fn peer(fd: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(fd).peer_addr().ok()?.as_socket()
}

/// The address that a listener got, its port chosen by the system where it was 0.
pub fn local(fd: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(fd).local_addr().ok()?.as_socket()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_the_options() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let asked: SocketAddr = host.parse().expect("a plain address");
            let Ok(fd) = listener(asked, true) else {
                // Some machines have no IPv6.
                assert!(asked.is_ipv6(), "every machine can listen on {asked}");
                continue;
            };
            let address = local(&fd).expect("it listens somewhere");
            assert_ne!(address.port(), 0);
            let client = Socket::from(connecting(Some(asked.ip()), address).expect("a socket can be made"));
            client.connect(&SockAddr::from(address)).expect("it listens");
            let accepted = Socket::from(fd).accept().expect("somebody connected").0;
            for socket in [&client, &accepted] {
                assert!(socket.tcp_nodelay().expect("the option exists"), "{host}");
                assert!(socket.keepalive().expect("the option exists"), "{host}");
                let idle = socket.tcp_keepalive_time().expect("the option exists");
                assert_eq!(idle, Duration::from_secs(KEEPALIVE_IDLE_S), "{host}");
            }
            let both = (peer(&accepted.into()), local(&client.into()));
            assert!(both.0.is_some() && both.0 == both.1, "each end knows the other: {both:?}");
        }
    }

    #[test]
    fn an_address_can_be_shared_only_by_who_agrees() {
        let first = listener(SocketAddr::from(([127, 0, 0, 1], 0)), true).expect("a port is free");
        let address = local(&first).expect("it listens somewhere");
        assert!(listener(address, true).is_ok(), "both agreed");
        let refused = listener(address, false).expect_err("the second does not share");
        assert_eq!(refused.raw_os_error(), Some(libc::EADDRINUSE));
    }
}
