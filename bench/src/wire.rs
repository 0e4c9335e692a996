//! A blocking connection: one request, one reply. For the slot map, the drill and everything else that is not
//! hot.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::BenchError;
use crate::limits::CONNECT_TIMEOUT;
use crate::resp::{self, Value};

/// A blocking connection to one server.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
}

impl Wire {
    /// Connects and, with a password, authenticates. Every later read and write waits at most `timeout`.
    ///
    /// # Errors
    /// What the system said, or a refusal of the password as [`io::ErrorKind::PermissionDenied`].
    pub fn connect(addr: SocketAddr, password: Option<&str>, timeout: Duration) -> io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let mut wire = Wire { stream, input: Vec::new(), used: 0, output: Vec::new() };
        if let Some(password) = password {
            if let Value::Error(text) = wire.call(&[b"AUTH", password.as_bytes()])? {
                let text = String::from_utf8_lossy(&text).into_owned();
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
        }
        Ok(wire)
    }

    /// Sends one request and waits for its reply. After an error the connection must be dropped: a late reply
    /// would be taken for that of another request.
    ///
    /// # Errors
    /// What the system said; a malformed reply as [`io::ErrorKind::InvalidData`].
    pub fn call(&mut self, args: &[&[u8]]) -> io::Result<Value> {
        self.send(args)?;
        self.receive()
    }

    /// Sends one request; [`Wire::receive`] takes its reply. Requests may be pipelined.
    ///
    /// # Errors
    /// What the system said.
    pub fn send(&mut self, args: &[&[u8]]) -> io::Result<()> {
        self.output.clear();
        resp::request(&mut self.output, args);
        self.stream.write_all(&self.output)
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// What the system said; a malformed reply as [`io::ErrorKind::InvalidData`].
    pub fn receive(&mut self) -> io::Result<Value> {
        loop {
            let unread = self.input.get(self.used..).unwrap_or_default();
            let parsed =
                resp::parse(unread).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((value, bytes)) = parsed {
                self.used += bytes;
                return Ok(value);
            }
            self.input.drain(..self.used);
            self.used = 0;
            let mut chunk = [0u8; 16 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// Connects as [`Wire::connect`] does, with the address in the error.
///
/// # Errors
/// [`BenchError::Connection`].
pub fn connect(addr: SocketAddr, password: Option<&str>, timeout: Duration) -> Result<Wire, BenchError> {
    Wire::connect(addr, password, timeout).map_err(|source| BenchError::Connection { addr, source })
}
