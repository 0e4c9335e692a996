//! Finds requests in a byte stream, incrementally and without copying bulks.
//!
//! The parser holds offsets, not bytes: the caller passes the same bytes again, with more behind them, until
//! a step says what the request is. Arguments then borrow from those bytes (inline words, which may hold
//! escapes, from a scratch of the parser).

use std::borrow::Cow;

use super::{inline, limits};

/// What one request may be at most, as the session has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments.
    pub args_max: usize,
    /// Longest bulk, in bytes.
    pub bulk_bytes_max: usize,
    /// Most bytes of a request, headers included.
    pub request_bytes_max: usize,
    /// Whether the client is let in: before, [`limits::ARGS_MAX_BEFORE_AUTH`] and its neighbour hold too.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            args_max: limits::ARGS_MAX,
            bulk_bytes_max: limits::BULK_BYTES_MAX,
            request_bytes_max: limits::REQUEST_BYTES_MAX,
            authenticated: true,
        }
    }
}

/// Why a stream cannot be read on: an error reply, without the leading `-`. The connection closes behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub Cow<'static, str>);

impl ProtocolError {
    const fn new(text: &'static str) -> ProtocolError {
        ProtocolError(Cow::Borrowed(text))
    }
}

const BAD_MULTIBULK: ProtocolError = ProtocolError::new("ERR Protocol error: invalid multibulk length");
const BAD_BULK: ProtocolError = ProtocolError::new("ERR Protocol error: invalid bulk length");

/// What [`Parser::step`] found at the start of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request of this many bytes; [`Parser::args`] has its arguments until the next step.
    Request(usize),
    /// A blank line, `*0` or `*-1`, of this many bytes: nothing to answer.
    Empty(usize),
    /// The request is not whole yet. Pass the same bytes again, with more behind them.
    More,
    /// The stream is broken.
    Broken(ProtocolError),
}

/// The state of one stream. `Default` is the start of a request and allocates nothing.
#[derive(Debug, Default)]
pub struct Parser {
    /// Arguments announced by the array header that are still to come; None before the header.
    args_left: Option<usize>,
    /// Length of the bulk whose header was read.
    bulk: Option<usize>,
    /// Where reading goes on, from the start of the request.
    at: usize,
    /// Bytes behind `at` that were searched for a line end in vain.
    searched: usize,
    /// Start and end of each argument read: in the request, or in `words` if `inline`.
    ranges: Vec<(u32, u32)>,
    inline: bool,
    words: Vec<u8>,
    ends: Vec<u32>,
}

/// The arguments of one request, the command's name first. Borrowed from the stream.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [(u32, u32)],
}

impl<'a> Args<'a> {
    /// Number of arguments, with the name: at least one.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Never true: a request without arguments is [`Step::Empty`].
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |&(from, to)| bytes.get(from as usize..to as usize).unwrap_or_default())
    }
}

impl Parser {
    /// Reads on at the start of `input`, which begins with the request at hand.
    pub fn step(&mut self, input: &[u8], limits: &Limits) -> Step {
        let step = self.try_step(input, limits);
        match step {
            Ok(Some(done)) => done,
            Ok(None) if input.len() > limits.request_bytes_max => {
                Step::Broken(ProtocolError(Cow::Owned(format!(
                    "ERR Protocol error: request is longer than {} bytes (request_bytes_max)",
                    limits.request_bytes_max
                ))))
            }
            Ok(None) => Step::More,
            Err(error) => Step::Broken(error),
        }
    }

    /// The arguments of the request that the last step found in `input`.
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args { bytes: if self.inline { &self.words } else { input }, ranges: &self.ranges }
    }

    /// Forgets the request that the last step found, keeping a little memory for the next one.
    pub fn next_request(&mut self) {
        const KEEP: usize = 64;
        self.args_left = None;
        self.bulk = None;
        self.at = 0;
        self.searched = 0;
        self.inline = false;
        for list in [self.ranges.capacity(), self.ends.capacity()] {
            if list > KEEP * KEEP {
                (self.ranges, self.ends) = (Vec::new(), Vec::new());
                break;
            }
        }
        self.ranges.clear();
        self.ends.clear();
        if self.words.capacity() > KEEP * KEEP {
            self.words = Vec::new();
        }
        self.words.clear();
    }

    fn try_step(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Step>, ProtocolError> {
        let Some(&first) = input.first() else { return Ok(None) };
        if self.args_left.is_none() {
            if first != b'*' {
                return self.inline(input);
            }
            let Some(count) = self.array_header(input, limits)? else { return Ok(None) };
            if count == 0 {
                return Ok(Some(Step::Empty(self.at)));
            }
            self.args_left = Some(count);
        }
        while self.args_left.is_some_and(|left| left > 0) {
            if self.bulk.is_none() && !self.bulk_header(input, limits)? {
                return Ok(None);
            }
            if !self.bulk_body(input)? {
                return Ok(None);
            }
        }
        Ok(Some(Step::Request(self.at)))
    }

    fn inline(&mut self, input: &[u8]) -> Result<Option<Step>, ProtocolError> {
        let Some(end) = self.find(input, b'\n') else {
            return too_long(input, "ERR Protocol error: too big inline request");
        };
        if end > limits::LINE_BYTES_MAX {
            return too_long(input, "ERR Protocol error: too big inline request");
        }
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.words, &mut self.ends)
            .ok_or(ProtocolError::new("ERR Protocol error: unbalanced quotes in request"))?;
        if self.ends.is_empty() {
            return Ok(Some(Step::Empty(end + 1)));
        }
        let starts = std::iter::once(&0).chain(&self.ends);
        self.ranges.extend(starts.zip(&self.ends).map(|(&from, &to)| (from, to)));
        self.inline = true;
        Ok(Some(Step::Request(end + 1)))
    }

    /// `*<count>`: None while the line is not whole. Negative counts are 0.
    fn array_header(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let too_big = "ERR Protocol error: too big mbulk count string";
        let Some(line) = self.line(input, too_big)? else { return Ok(None) };
        let count = line.and_then(|line| integer(line.get(1..)?)).ok_or(BAD_MULTIBULK)?;
        let count = usize::try_from(count.max(0)).map_err(|_| BAD_MULTIBULK)?;
        if count > limits.args_max {
            return Err(BAD_MULTIBULK);
        }
        if !limits.authenticated && count > limits::ARGS_MAX_BEFORE_AUTH {
            return Err(ProtocolError::new("ERR Protocol error: unauthenticated multibulk length"));
        }
        Ok(Some(count))
    }

    /// `$<length>`: false while the line is not whole.
    fn bulk_header(&mut self, input: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(input, "ERR Protocol error: too big bulk count string")? else {
            return Ok(false);
        };
        let line = line.ok_or(BAD_BULK)?;
        match line.first() {
            Some(b'$') => {}
            other => return Err(not_a_dollar(other.copied())),
        }
        let bytes = integer(line.get(1..).unwrap_or_default()).ok_or(BAD_BULK)?;
        let bytes = usize::try_from(bytes).map_err(|_| BAD_BULK)?;
        if bytes > limits::BULK_BYTES_PROTOCOL_MAX {
            return Err(BAD_BULK);
        }
        if !limits.authenticated && bytes > limits::BULK_BYTES_MAX_BEFORE_AUTH {
            return Err(ProtocolError::new("ERR Protocol error: unauthenticated bulk length"));
        }
        if bytes > limits.bulk_bytes_max {
            return Err(ProtocolError(Cow::Owned(format!(
                "ERR Protocol error: invalid bulk length: {bytes} bytes announced, the limit is {} \
                 (value_bytes_max)",
                limits.bulk_bytes_max
            ))));
        }
        self.bulk = Some(bytes);
        Ok(true)
    }

    /// The bytes of the bulk and their CRLF: false while they are not whole.
    fn bulk_body(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some(bytes) = self.bulk else { return Ok(false) };
        let end = self.at + bytes;
        match (input.get(end), input.get(end + 1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(false),
            (Some(b'\r'), Some(b'\n')) => {}
            _ => return Err(ProtocolError::new("ERR Protocol error: bulk is not followed by CRLF")),
        }
        let range =
            (u32::try_from(self.at).map_err(|_| BAD_BULK)?, u32::try_from(end).map_err(|_| BAD_BULK)?);
        self.ranges.push(range);
        self.bulk = None;
        self.args_left = self.args_left.map(|left| left.saturating_sub(1));
        self.at = end + 2;
        Ok(true)
    }

    /// The header line at `at`, without its CRLF, and moves behind it. Outer None: not whole yet. Inner None:
    /// its `\r` is not followed by `\n`.
    #[allow(clippy::type_complexity)]
    fn line<'a>(
        &mut self,
        input: &'a [u8],
        too_big: &'static str,
    ) -> Result<Option<Option<&'a [u8]>>, ProtocolError> {
        let Some(bytes) = self.find(input, b'\r') else {
            return too_long(input.get(self.at..).unwrap_or_default(), too_big);
        };
        if bytes > limits::LINE_BYTES_MAX {
            return Err(ProtocolError::new(too_big));
        }
        let end = self.at + bytes;
        let line = input.get(self.at..end);
        match input.get(end + 1) {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Ok(Some(None)),
        }
        self.at = end + 2;
        self.searched = 0;
        Ok(Some(line))
    }

    /// Where `byte` first is, counted from `at`; remembers what was searched in vain.
    fn find(&mut self, input: &[u8], byte: u8) -> Option<usize> {
        let rest = input.get(self.at..)?;
        let fresh = rest.get(self.searched..)?;
        match memchr::memchr(byte, fresh) {
            Some(found) => Some(self.searched + found),
            None => {
                self.searched = rest.len();
                None
            }
        }
    }
}

/// An unfinished line: to be waited for, unless it is already too long.
fn too_long<T>(line: &[u8], error: &'static str) -> Result<Option<T>, ProtocolError> {
    if line.len() > limits::LINE_BYTES_MAX {
        return Err(ProtocolError::new(error));
    }
    Ok(None)
}

fn not_a_dollar(got: Option<u8>) -> ProtocolError {
    let got = match got {
        // Redis prints the byte it finds, which for an empty line is the carriage return, blanked by the
        // reply.
        None => ' ',
        Some(byte) if byte.is_ascii() && !byte.is_ascii_control() => char::from(byte),
        Some(_) => '?',
    };
    ProtocolError(Cow::Owned(format!("ERR Protocol error: expected '$', got '{got}'")))
}

/// A decimal integer as Redis' string2ll takes it: no sign but `-`, no leading zeros, no blanks, within i64.
fn integer(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if negative => return None,
        [b'0', _, ..] => return None,
        _ => {}
    }
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_string2ll() {
        let table: [(&str, Option<i64>); 12] = [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("20971520", Some(20_971_520)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
        ];
        for (text, want) in table {
            assert_eq!(integer(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut parser = Parser::default();
        let limits = Limits { bulk_bytes_max: limits::BULK_BYTES_PROTOCOL_MAX, ..Limits::default() };
        assert_eq!(parser.step(b"*1048576\r\n$536870912\r\nx", &limits), Step::More);
        assert_eq!(parser.ranges.capacity() + parser.words.capacity() + parser.ends.capacity(), 0);
    }

    #[test]
    fn a_large_request_does_not_keep_its_memory() {
        let mut parser = Parser::default();
        let input = [b"*10000\r\n".to_vec(), b"$0\r\n\r\n".repeat(10_000)].concat();
        assert_eq!(parser.step(&input, &Limits::default()), Step::Request(input.len()));
        assert_eq!(parser.args(&input).len(), 10_000);
        parser.next_request();
        assert_eq!(parser.ranges.capacity(), 0);
    }
}
