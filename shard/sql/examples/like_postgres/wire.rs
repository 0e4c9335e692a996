//! As much of PostgreSQL's protocol (version 3) as it takes to ask simple queries at a Unix socket.

use std::io::{BufReader, Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;

use sql::Type;

/// What a query came to.
#[derive(Debug)]
pub enum Told {
    /// So many rows were written.
    Count(u64),
    /// Types and texts.
    Rows { types: Vec<u32>, rows: Vec<Vec<Option<String>>> },
    /// It was refused.
    Error { state: String, message: String },
}

/// A connection.
pub struct Postgres {
    stream: BufReader<UnixStream>,
}

/// The number of a type in PostgreSQL; JSONB here is its JSON, which keeps the text.
pub fn type_number(kind: Type) -> u32 {
    match kind {
        Type::Bool => 16,
        Type::Bytea => 17,
        Type::BigInt => 20,
        Type::Int => 23,
        Type::Text => 25,
        Type::Jsonb => 114,
        Type::Double => 701,
        Type::Timestamp => 1114,
        Type::Numeric => 1700,
        Type::Uuid => 2950,
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// Takes numbers and texts off a message.
struct Message {
    kind: u8,
    body: Vec<u8>,
    at: usize,
}

impl Message {
    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let taken = self.body.get(self.at..self.at + count).ok_or_else(|| broken("a message ends early"))?;
        self.at += count;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<i64> {
        let bytes = self.bytes(N)?;
        let first = i64::from(bytes[0] as i8);
        Ok(bytes[1..].iter().fold(first, |number, byte| number << 8 | i64::from(*byte)))
    }

    fn text(&mut self) -> Result<String> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(|| broken("a text without an end"))?;
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(text)
    }
}

impl Postgres {
    pub fn connect(socket: &str) -> Result<Postgres> {
        let mut stream = UnixStream::connect(socket)?;
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        body.extend(b"user\0postgres\0database\0postgres\0\0");
        stream.write_all(&(body.len() as u32 + 4).to_be_bytes())?;
        stream.write_all(&body)?;
        let mut postgres = Postgres { stream: BufReader::new(stream) };
        match postgres.receive()? {
            Told::Count(_) => Ok(postgres),
            other => Err(broken(&format!("{other:?}"))),
        }
    }

    /// Asks several queries; each is answered on its own.
    pub fn send<'a>(&mut self, queries: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut all = Vec::new();
        for query in queries {
            all.push(b'Q');
            all.extend((query.len() as u32 + 5).to_be_bytes());
            all.extend(query.as_bytes());
            all.push(0);
        }
        self.stream.get_mut().write_all(&all)
    }

    fn message(&mut self) -> Result<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.checked_sub(4).ok_or_else(|| broken("a message without a length"))?];
        self.stream.read_exact(&mut body)?;
        Ok(Message { kind: head[0], body, at: 0 })
    }

    /// What the next query came to.
    pub fn receive(&mut self) -> Result<Told> {
        let mut told = Told::Count(0);
        loop {
            let mut message = self.message()?;
            match (message.kind, &mut told) {
                (b'T', _) => {
                    let count = message.number::<2>()?;
                    let mut types = Vec::new();
                    for _ in 0..count {
                        message.text()?;
                        message.bytes(6)?;
                        types.push(message.number::<4>()? as u32);
                        message.bytes(8)?;
                    }
                    told = Told::Rows { types, rows: Vec::new() };
                }
                (b'D', Told::Rows { rows, .. }) => {
                    let mut row = Vec::new();
                    for _ in 0..message.number::<2>()? {
                        row.push(match message.number::<4>()? {
                            -1 => None,
                            length => {
                                Some(String::from_utf8_lossy(message.bytes(length as usize)?).into_owned())
                            }
                        });
                    }
                    rows.push(row);
                }
                (b'C', Told::Count(count)) => {
                    let words = message.text()?;
                    *count = words.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
                }
                (b'E', _) => told = refusal(&mut message)?,
                (b'Z', _) => return Ok(told),
                _ => {}
            }
        }
    }
}

fn refusal(message: &mut Message) -> Result<Told> {
    let (mut state, mut text) = (String::new(), String::new());
    loop {
        match message.bytes(1)?[0] {
            0 => return Ok(Told::Error { state, message: text }),
            b'C' => state = message.text()?,
            b'M' => text = message.text()?,
            _ => {
                message.text()?;
            }
        }
    }
}
