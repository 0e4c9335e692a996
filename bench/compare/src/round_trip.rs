//! One client that asks and waits: the median of its round trips, by the same few lines of code for every server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use synod_bench::resp::Value;
use synod_bench::wire::Wire;

use crate::error::{CompareError, Result};
use crate::limits::ROUND_TRIPS;
use crate::record::median;

/// How long one reply may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that are tried to find one that the asked port serves itself.
const KEYS_TRIED: u32 = 1_000;

/// One connection to one server.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    wire: Wire,
}

impl Client {
    /// Connects.
    pub fn connect(addr: SocketAddr) -> Result<Client> {
        let wire = Wire::connect(addr, None, PATIENCE);
        let wire = wire.map_err(|error| CompareError::io(format!("connecting to {addr}"), error))?;
        Ok(Client { addr, wire })
    }

    /// One request, one reply.
    pub fn ask(&mut self, args: &[&[u8]]) -> Result<Value> {
        self.wire.call(args).map_err(|error| CompareError::io(format!("asking {}", self.addr), error))
    }

    /// A key that this port serves without sending the client elsewhere. It is set.
    pub fn own_key(&mut self, value: &[u8]) -> Result<Vec<u8>> {
        for number in 0..KEYS_TRIED {
            let key = format!("idle:{number}").into_bytes();
            if self.ask(&[b"SET", &key, value])? == Value::Simple(b"OK".to_vec()) {
                return Ok(key);
            }
        }
        Err(CompareError::tool(self.addr.to_string(), "serves none of the keys that were tried"))
    }

    /// Median microseconds of the same request, asked again and again.
    ///
    /// # Errors
    /// Also if a reply is an error.
    pub fn median_us(&mut self, args: &[&[u8]]) -> Result<f64> {
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            let reply = self.ask(args)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            if let Value::Error(text) = reply {
                return Err(CompareError::tool(self.addr.to_string(), String::from_utf8_lossy(&text)));
            }
        }
        Ok(median(times).expect("there is a round trip at least"))
    }
}
