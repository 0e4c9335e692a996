//! As much HTTP/1.1 as five paths need: one request per connection, answered and closed; and the other side of it.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::limits::{ANSWER_BYTES_MAX, CLIENT_TIMEOUT, HEADERS_MAX, HEAD_BYTES_MAX, IO_TIMEOUT};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, in capitals as it came.
    pub method: String,
    /// The path without its query.
    pub path: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code and its words.
    pub status: &'static str,
    /// Media type.
    pub media: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(media: &'static str, body: String) -> Answer {
        Answer { status: "200 OK", media, body }
    }

    /// A plain text with this status.
    pub fn text(status: &'static str, body: impl Into<String>) -> Answer {
        Answer { status, media: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Takes one request from the connection and answers it. Errors of the connection end it; there is nobody to tell.
pub fn exchange(mut stream: TcpStream, answer: impl FnOnce(&Request) -> Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    let (request, answer) = match read_request(&mut stream)? {
        Ok(request) => {
            let answer = answer(&request);
            (Some(request), answer)
        }
        Err(refusal) => (None, refusal),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\r\n",
        answer.status,
        answer.media,
        answer.body.len()
    );
    stream.write_all(head.as_bytes())?;
    if request.is_none_or(|request| request.method != "HEAD") {
        stream.write_all(answer.body.as_bytes())?;
    }
    stream.flush()?;
    // Bytes that were not read would turn the close into a reset, and the reset would overtake the answer.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut rest = [0; 512];
    let deadline = Instant::now() + IO_TIMEOUT;
    while Instant::now() < deadline && stream.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
    Ok(())
}

fn read_request(stream: &mut TcpStream) -> std::io::Result<Result<Request, Answer>> {
    let deadline = Instant::now() + IO_TIMEOUT;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    loop {
        let bytes = stream.read(&mut part)?;
        head.extend_from_slice(part.get(..bytes).unwrap_or_default());
        if let Some(result) = parse(&head) {
            return Ok(result);
        }
        if bytes == 0 || Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// The request at the start of a connection, its refusal, or none while more bytes are needed.
pub fn parse(head: &[u8]) -> Option<Result<Request, Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
            let method = request.method.unwrap_or_default();
            Some(Ok(Request { method: method.to_owned(), path: path.to_owned() }))
        }
        Ok(httparse::Status::Partial) if head.len() <= HEAD_BYTES_MAX => None,
        Ok(httparse::Status::Partial) => {
            Some(Err(Answer::text("431 Request Header Fields Too Large", "the request head is over 8 KiB\n")))
        }
        Err(e) => Some(Err(Answer::text("400 Bad Request", format!("this is not HTTP: {e}\n")))),
    }
}

/// Asks another host's admin port; status code and body.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, CLIENT_TIMEOUT)?;
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let strange = || Error::new(ErrorKind::InvalidData, "the answer is not HTTP; is this the admin port?");
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&answer) {
        Ok(httparse::Status::Complete(length)) => {
            let body = String::from_utf8_lossy(answer.get(length..).unwrap_or_default()).into_owned();
            Ok((response.code.ok_or_else(strange)?, body))
        }
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_whole_or_refused() {
        let ok =
            |method: &str, path: &str| Some(Ok(Request { method: method.to_owned(), path: path.to_owned() }));
        assert_eq!(parse(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), ok("GET", "/metrics"));
        assert_eq!(parse(b"GET /metrics HTTP/1.1\r\nHost"), None);
        assert_eq!(parse(b""), None);
        let status = |head: &[u8]| parse(head).and_then(Result::err).map(|answer| answer.status);
        assert_eq!(status(b"*1\r\n$4\r\nPING\r\n"), Some("400 Bad Request"));
        let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(status(&long), Some("431 Request Header Fields Too Large"));
        let many =
            [b"GET / HTTP/1.1\r\n".to_vec(), b"A: b\r\n".repeat(HEADERS_MAX + 1), b"\r\n".to_vec()].concat();
        assert_eq!(status(&many), Some("400 Bad Request"));
    }
}
