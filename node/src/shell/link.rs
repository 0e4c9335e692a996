//! One connection: requests out, RESP2 replies in, each within bounds, whatever the other side sends.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use super::limits::{
    CONNECT_PATIENCE, REPLY_BYTES_MAX, REPLY_DEPTH_MAX, REPLY_LINE_BYTES_MAX, REPLY_PATIENCE,
};

/// The port that is meant where none is given.
const PLAIN_PORT: u16 = 6379;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Value>),
}

/// One connection.
pub(super) struct Link {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

fn malformed(what: &'static str) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, what)
}

/// Where a host is: an address or a name, with or without a port.
fn addresses(host: &str) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, PLAIN_PORT)]);
    }
    let found = match host.contains(':') {
        true => host.to_socket_addrs()?.collect(),
        false => (host, PLAIN_PORT).to_socket_addrs()?.collect(),
    };
    Ok(found)
}

impl Link {
    /// Connects to the first address of a host that answers.
    pub(super) fn connect(host: &str) -> std::io::Result<Link> {
        let mut error = std::io::Error::new(ErrorKind::NotFound, "it has no address");
        for address in addresses(host)? {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(REPLY_PATIENCE))?;
                    stream.set_write_timeout(Some(REPLY_PATIENCE))?;
                    return Ok(Link { stream: BufReader::new(stream), out: Vec::new() });
                }
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    /// Whether the other side has not ended it while nobody looked. Nothing is under way.
    pub(super) fn is_open(&self) -> bool {
        let stream = self.stream.get_ref();
        let nothing =
            |result: std::io::Result<usize>| result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // What comes unasked is not what the next statement asks for.
        self.stream.buffer().is_empty()
            && stream.set_nonblocking(true).is_ok()
            && nothing(stream.peek(&mut [0]))
            && stream.set_nonblocking(false).is_ok()
    }

    /// Puts a request behind those that are to be sent.
    pub(super) fn push(&mut self, words: &[&[u8]]) {
        self.out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends them.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        let sent = self.stream.get_mut().write_all(&self.out);
        self.out.clear();
        sent
    }

    /// Waits for the next reply.
    pub(super) fn reply(&mut self) -> std::io::Result<Value> {
        let mut input = (&mut self.stream).take(REPLY_BYTES_MAX as u64);
        reply(&mut input, 0).map_err(|error| match error.kind() {
            _ if input.limit() == 0 => malformed("the reply is longer than any that a host gives"),
            // That is what the system says when the time of a socket is up.
            ErrorKind::WouldBlock => std::io::Error::new(
                ErrorKind::TimedOut,
                format!("nothing came for {} s", REPLY_PATIENCE.as_secs()),
            ),
            _ => error,
        })
    }
}

/// Reads one reply, within what is left of its bytes.
pub(super) fn reply(input: &mut impl BufRead, depth: usize) -> std::io::Result<Value> {
    let mut line = Vec::new();
    input.take(REPLY_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    let Some(head) = line.strip_suffix(b"\r\n") else {
        return Err(match line.len() {
            0 => ErrorKind::UnexpectedEof.into(),
            _ => malformed("the reply has a line without an end"),
        });
    };
    let (kind, text) = head.split_first().ok_or_else(|| malformed("the reply has an empty line"))?;
    let text = String::from_utf8_lossy(text);
    let number = || text.parse::<i64>().map_err(|_| malformed("the reply has no number where one must be"));
    match kind {
        b'+' => Ok(Value::Simple(text.into_owned())),
        b'-' => Ok(Value::Error(text.into_owned())),
        b':' => number().map(Value::Int),
        b'$' | b'*' if number()? == -1 => Ok(Value::Nil),
        b'$' => {
            let length =
                u64::try_from(number()?).map_err(|_| malformed("the reply has a negative length"))?;
            let mut bytes = Vec::new();
            input.take(length).read_to_end(&mut bytes)?;
            let mut end = [0; 2];
            input.read_exact(&mut end)?;
            match (bytes.len() as u64 == length, &end) {
                (true, b"\r\n") => Ok(Value::Bulk(bytes)),
                _ => Err(malformed("the reply has a bulk of another length than it says")),
            }
        }
        b'*' if depth < REPLY_DEPTH_MAX => {
            let count = u64::try_from(number()?).map_err(|_| malformed("the reply has a negative count"))?;
            (0..count).map(|_| reply(input, depth + 1)).collect::<Result<_, _>>().map(Value::Array)
        }
        b'*' => Err(malformed("the reply is nested too deep")),
        _ => Err(malformed("this is no reply of the Redis protocol")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_and_others_refused() {
        let read = |bytes: &[u8]| reply(&mut &*bytes, 0);
        let good: [(&[u8], Value); 6] = [
            (b"+OK\r\n", Value::Simple("OK".to_owned())),
            (b":-12\r\n", Value::Int(-12)),
            (b"$-1\r\n", Value::Nil),
            (b"$4\r\na\r\nb\r\n", Value::Bulk(b"a\r\nb".to_vec())),
            (b"*2\r\n*0\r\n:1\r\n", Value::Array(vec![Value::Array(vec![]), Value::Int(1)])),
            (b"-SQL 1 x\r\n", Value::Error("SQL 1 x".to_owned())),
        ];
        for (bytes, want) in good {
            assert_eq!(read(bytes).expect("a reply"), want);
        }
        let bad: [&[u8]; 13] = [
            b"",
            b"+OK",
            b"\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"*-7\r\n",
            b"$3\r\nab\r\n",
            b"$9223372036854775807\r\nab",
            b"*9223372036854775807\r\n:1\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            b":99999999999999999999\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"$2\r\nabc\r\n",
        ];
        for bytes in bad {
            assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        let endless = std::io::repeat(b'a');
        assert!(reply(&mut BufReader::new(endless), 0).is_err());
    }

    #[test]
    fn a_host_is_an_address_or_a_name_with_or_without_a_port() {
        let of = |host: &str| addresses(host).map(|list| list[0].to_string()).ok();
        assert_eq!(of("127.0.0.2:7").as_deref(), Some("127.0.0.2:7"));
        assert_eq!(of("127.0.0.2").as_deref(), Some("127.0.0.2:6379"));
        assert_eq!(of("::1").as_deref(), Some("[::1]:6379"));
        assert_eq!(of("[::1]:8").as_deref(), Some("[::1]:8"));
        assert_eq!(of("127.0.0.2:x"), None);
    }
}
