//! A connection to a server that speaks RESP2.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A server that says nothing for so long is not well.
const PATIENCE: Duration = Duration::from_secs(20);

/// What RESP2 can say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    Line(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    List(Vec<Told>),
    Nil,
    NilList,
}

trait Stream: Read + Write {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// See the module's head.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    /// To a path of a Unix socket, or an address with a port.
    pub fn to(place: &str) -> Result<Connection> {
        let stream: Box<dyn Stream> = if place.contains('/') {
            let stream = UnixStream::connect(place)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Box::new(stream)
        } else {
            let stream = TcpStream::connect(place)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        };
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends commands at once, and then reads a reply for each.
    pub fn ask<'a>(&mut self, commands: impl Iterator<Item = &'a [Vec<u8>]>) -> Result<Vec<Told>> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for words in commands {
            Connection::spell(words, &mut bytes);
            count += 1;
        }
        self.stream.get_mut().write_all(&bytes)?;
        (0..count).map(|_| self.receive()).collect()
    }

    fn spell(words: &[Vec<u8>], out: &mut Vec<u8>) {
        out.extend(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            out.extend(format!("${}\r\n", word.len()).into_bytes());
            out.extend(word);
            out.extend(b"\r\n");
        }
    }

    fn receive(&mut self) -> Result<Told> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let malformed = || Error::new(ErrorKind::InvalidData, "not RESP2");
        let text = line.trim_end_matches("\r\n");
        let (kind, rest) = text.split_at_checked(1).ok_or_else(malformed)?;
        let number = || rest.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            "+" => Told::Line(rest.to_string()),
            "-" => Told::Error(rest.to_string()),
            ":" => Told::Int(number()?),
            "$" | "*" if number()? < 0 => {
                if kind == "$" {
                    Told::Nil
                } else {
                    Told::NilList
                }
            }
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()?).map_err(|_| malformed())? + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Told::Bulk(bytes)
            }
            "*" => Told::List((0..number()?).map(|_| self.receive()).collect::<Result<_>>()?),
            _ => return Err(malformed()),
        })
    }
}
