//! A client of some hundred lines: what it sends is exactly what the test says.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Value>),
}

impl Value {
    pub fn ok() -> Value {
        Value::Simple("OK".to_owned())
    }

    pub fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    pub fn error(text: &str) -> Value {
        Value::Error(text.to_owned())
    }

    /// The text of an error; none for everything else.
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Value::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Longer than any deadline of a host: a reply that takes longer never comes.
    const PATIENCE: Duration = Duration::from_secs(20);

    pub fn connect(address: &str) -> Client {
        Client::try_connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    pub fn try_connect(address: &str) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Client::PATIENCE))?;
        stream.set_write_timeout(Some(Client::PATIENCE))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Sends a command and reads its reply.
    pub fn call(&mut self, words: &[&str]) -> Value {
        self.try_call(words).unwrap_or_else(|e| panic!("no reply to {words:?}: {e}"))
    }

    pub fn try_call(&mut self, words: &[&str]) -> std::io::Result<Value> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.send(&request(&words))?;
        self.reply()
    }

    /// Sends a command of bytes and reads its reply.
    pub fn call_bytes(&mut self, words: &[&[u8]]) -> Value {
        self.send(&request(words)).expect("sent");
        self.reply().expect("a reply")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> std::io::Result<Value> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(ErrorKind::UnexpectedEof.into()) };
        let (kind, text) = line.split_first().ok_or(ErrorKind::InvalidData)?;
        let text = String::from_utf8_lossy(text).into_owned();
        let number = || text.parse::<i64>().map_err(|_| std::io::Error::from(ErrorKind::InvalidData));
        Ok(match kind {
            b'+' => Value::Simple(text),
            b'-' => Value::Error(text),
            b':' => Value::Int(number()?),
            b'$' | b'*' if number()? < 0 => Value::Nil,
            b'$' => {
                let mut bytes = vec![0; number()? as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Value::Bulk(bytes)
            }
            b'*' => Value::Array((0..number()?).map(|_| self.reply()).collect::<Result<_, _>>()?),
            _ => return Err(ErrorKind::InvalidData.into()),
        })
    }

    /// Reads until the host closes the connection; what came until then. Panics when it does not close.
    pub fn read_to_close(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            // Closed with bytes of ours unread.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => bytes,
            Err(e) => panic!("the host did not close the connection: {e}"),
        }
    }

    /// One number of INFO.
    pub fn info(&mut self, name: &str) -> u64 {
        self.infos(&[name])[0]
    }

    /// Some numbers of INFO, of one moment.
    pub fn infos(&mut self, names: &[&str]) -> Vec<u64> {
        let Value::Bulk(text) = self.call(&["INFO", "everything"]) else { panic!("INFO is a text") };
        let text = String::from_utf8(text).expect("UTF-8");
        let find = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
        };
        names.iter().map(|name| find(name)).collect()
    }
}

/// A command on the wire.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
