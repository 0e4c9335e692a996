//! A server that does nothing but answer: `+OK` to a write, the same value to every GET. What the harness reaches against it on
//! this machine is the harness' own ceiling.

use std::net::SocketAddr;

use synod_bench::resp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::error::{CompareError, Result};
use crate::limits::{NULL_INPUT_BYTES_MAX, VALUE_BYTES};

/// Serves until the process is ended.
pub fn serve(addr: SocketAddr) -> Result<()> {
    let failed = |error| CompareError::io(format!("listening on {addr}"), error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        loop {
            let (stream, _) = listener.accept().await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            // A connection ends with its client, however that ends.
            tokio::spawn(async move { drop(session(stream).await) });
        }
    })
}

async fn session(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut input, mut output) = (Vec::with_capacity(32 << 10), Vec::new());
    loop {
        let used = answer(&input, &mut output)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
        input.drain(..used);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        if input.len() > NULL_INPUT_BYTES_MAX || stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Answers every complete request, and gives the bytes that they took. A request is an array of bulk strings, as a reply can be.
fn answer(input: &[u8], output: &mut Vec<u8>) -> std::result::Result<usize, resp::Malformed> {
    let mut used = 0;
    while let Some((_, bytes)) = resp::scan(input.get(used..).unwrap_or_default())? {
        let request = input.get(used..used + bytes).unwrap_or_default();
        if is_get(request) {
            output.extend_from_slice(format!("${VALUE_BYTES}\r\n").as_bytes());
            output.resize(output.len() + VALUE_BYTES, b'x');
            output.extend_from_slice(b"\r\n");
        } else {
            output.extend_from_slice(b"+OK\r\n");
        }
        used += bytes;
    }
    Ok(used)
}

/// Whether a request is a GET of a key, as clients write it.
fn is_get(request: &[u8]) -> bool {
    const HEAD: &[u8] = b"*2\r\n$3\r\nGET\r\n";
    request.get(..HEAD.len()).is_some_and(|head| head.eq_ignore_ascii_case(HEAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_bench::resp::Value;

    #[test]
    fn whole_requests_are_answered_and_the_rest_waits() {
        let mut requests = Vec::new();
        resp::request(&mut requests, &[b"GET", b"k"]);
        resp::request(&mut requests, &[b"SET", b"k", b"GET"]);
        let whole = requests.len();
        requests.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$1");
        let mut output = Vec::new();
        assert_eq!(answer(&requests, &mut output).unwrap(), whole);
        let (first, bytes) = resp::parse(&output).unwrap().unwrap();
        assert_eq!(first, Value::Bulk(vec![b'x'; VALUE_BYTES]));
        assert_eq!(&output[bytes..], b"+OK\r\n");
        assert!(answer(b"!\r\n", &mut output).is_err());
    }
}
