//! The parser of requests: the same stream in any pieces means the same, and memory follows the bytes.

use synod::resp::{Limits, Parser, Step};

use crate::input::{Cuts, Input};
use crate::limits::{ANY_BYTES, PARSER_BYTES_PER_BYTE};
use crate::meter;

/// Two bytes of knobs, one of limits, and the stream.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (cuts, limits) = (input.word(), limits(input.byte()));
    let stream = input.rest();
    let whole = read(stream, &limits, None);
    let pieces = read(stream, &limits, Some(Cuts::new(cuts)));
    assert_eq!(whole, pieces, "the same stream in pieces");
    let again = canonical(&whole.requests);
    let Meaning { requests, error, .. } = read(&again, &Limits::default(), None);
    assert_eq!((requests, error), (whole.requests, None), "requests written as arrays");
    meter::bounded(stream.len() * PARSER_BYTES_PER_BYTE + ANY_BYTES, || {
        each(stream, &limits, Some(Cuts::new(cuts)), &mut |_| ())
    });
}

fn limits(knob: u8) -> Limits {
    let mut limits = Limits { authenticated: knob & 1 == 0, ..Limits::default() };
    if knob & 2 != 0 {
        (limits.args_max, limits.bulk_bytes_max) = (3, 10);
    }
    limits
}

/// What a stream means.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    requests: Vec<Vec<Vec<u8>>>,
    /// How many bytes were read as requests, blank lines and empty arrays.
    read_bytes: usize,
    error: Option<String>,
}

fn read(stream: &[u8], limits: &Limits, cuts: Option<Cuts>) -> Meaning {
    let mut requests = Vec::new();
    let (read_bytes, error) =
        each(stream, limits, cuts, &mut |args| requests.push(args.iter().map(|arg| arg.to_vec()).collect()));
    Meaning { requests, read_bytes, error: error.map(|error| error.into_owned()) }
}

/// Where reading stopped, and the error that stopped it, if one did.
type End = (usize, Option<std::borrow::Cow<'static, str>>);

/// Reads a stream as a session does, handing out every request.
fn each(
    stream: &[u8],
    limits: &Limits,
    mut cuts: Option<Cuts>,
    on_request: &mut dyn FnMut(synod::resp::Args<'_>),
) -> End {
    let mut parser = Parser::default();
    let mut at = 0;
    let mut arrived = if cuts.is_some() { 0 } else { stream.len() };
    loop {
        match parser.step(&stream[at..arrived], limits) {
            Step::Request(bytes) => {
                assert!(bytes > 0 && at + bytes <= arrived, "a request lies in the bytes");
                let args = parser.args(&stream[at..arrived]);
                assert!(!args.is_empty() && args.len() <= limits.args_max.max(bytes), "it has arguments");
                on_request(args);
                at += bytes;
                parser.next_request();
            }
            Step::Empty(bytes) => {
                assert!(bytes > 0 && at + bytes <= arrived, "what is skipped lies in the bytes");
                at += bytes;
                parser.next_request();
            }
            Step::Broken(error) => return (at, Some(error.0)),
            Step::More if arrived == stream.len() => return (at, None),
            Step::More => {
                let piece = cuts.as_mut().map_or(stream.len(), Cuts::next);
                arrived = stream.len().min(arrived + piece);
            }
        }
    }
}

/// Requests as arrays of bulks.
fn canonical(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        out.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
        for argument in request {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// Streams of every shape, each behind its knobs.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams: [&[u8]; 12] = [
        b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n\r\n*\x00\xff\r\n",
        b"PING\r\nset key \"a \\x41\\n\\\"b\" 'c\\'d'\nget key\n\r\n\n",
        b"*0\r\n*-1\r\n\r\nPING\r\n",
        b"*1\r\n$-1\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20971520\r\nxx",
        b"*1048577\r\n",
        b"*1\r\n!4\r\nPING\r\n",
        b"*1\r\n$4\r\nPINGxx",
        b"*2\r\n$3\r\nGET\r\n$011\r\n",
        b"GET \"unbalanced\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    let with_knobs = |(knob, stream): (usize, &&[u8])| [&[7, 3, knob as u8 % 4], *stream].concat();
    streams.iter().enumerate().map(with_knobs).collect()
}
