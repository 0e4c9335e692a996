//! RESP2, the client's side: requests out, replies in.
//!
//! [`scan`] finds one reply at the head of a buffer without copying: the hot path of a load. [`parse`] makes
//! an owned [`Value`] of any reply, arrays included. Both take bytes from outside: they answer "not yet" or
//! an error and never panic, and neither allocates ahead of the bytes that arrived.

use crate::limits::{ARRAY_COUNT_MAX, BULK_BYTES_MAX, LINE_BYTES_MAX, REPLY_DEPTH_MAX};

/// The bytes are no RESP2 reply; the connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed reply: {0}")]
pub struct Malformed(pub &'static str);

/// One reply, borrowed from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+text`
    Simple(&'a [u8]),
    /// `-text`
    Error(&'a [u8]),
    /// `:number`
    Int(i64),
    /// A bulk string.
    Bulk(&'a [u8]),
    /// The null bulk string or null array.
    Nil,
    /// An array of so many elements, which are skipped.
    Array(usize),
}

/// One reply, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `+text`
    Simple(Vec<u8>),
    /// `-text`
    Error(Vec<u8>),
    /// `:number`
    Int(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// The null bulk string or null array.
    Nil,
    /// An array.
    Array(Vec<Value>),
}

/// What stands at the head of a buffer, and how long its head is; the elements of an array follow it.
type Head<'a> = Option<(Reply<'a>, usize)>;

fn head(input: &[u8]) -> Result<Head<'_>, Malformed> {
    let Some(&kind) = input.first() else { return Ok(None) };
    let Some(end) = line_end(input)? else { return Ok(None) };
    let line = input.get(1..end).unwrap_or_default();
    let after = end + 2;
    let reply = match kind {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Int(number(line)?),
        b'$' => return bulk(input, after, number(line)?),
        b'*' => match number(line)? {
            -1 => Reply::Nil,
            count => Reply::Array(bounded(count, ARRAY_COUNT_MAX, "array longer than any reply")?),
        },
        _ => return Err(Malformed("unknown kind of reply")),
    };
    Ok(Some((reply, after)))
}

fn bulk(input: &[u8], from: usize, length: i64) -> Result<Head<'_>, Malformed> {
    if length == -1 {
        return Ok(Some((Reply::Nil, from)));
    }
    let length = bounded(length, BULK_BYTES_MAX, "bulk string longer than any value")?;
    let to = from + length;
    match (input.get(from..to), input.get(to..to + 2)) {
        (Some(body), Some(b"\r\n")) => Ok(Some((Reply::Bulk(body), to + 2))),
        (_, Some(_)) => Err(Malformed("bulk string without its end")),
        _ => Ok(None),
    }
}

/// The index of the `\r\n` of the first line.
fn line_end(input: &[u8]) -> Result<Option<usize>, Malformed> {
    match input.iter().position(|&byte| byte == b'\r') {
        Some(end) => match input.get(end + 1) {
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(Malformed("line ends without a line feed")),
            None => Ok(None),
        },
        None if input.len() > LINE_BYTES_MAX => Err(Malformed("line without an end")),
        None => Ok(None),
    }
}

fn number(line: &[u8]) -> Result<i64, Malformed> {
    let (negative, digits) = match line.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, line),
    };
    if digits.is_empty() || digits.len() > 19 {
        return Err(Malformed("not a number"));
    }
    let mut value = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Malformed("not a number"));
        }
        let digit = i64::from(digit - b'0');
        let next = value.checked_mul(10).and_then(|v| {
            if negative {
                v.checked_sub(digit)
            } else {
                v.checked_add(digit)
            }
        });
        value = next.ok_or(Malformed("number out of range"))?;
    }
    Ok(value)
}

fn bounded(count: i64, max: usize, text: &'static str) -> Result<usize, Malformed> {
    usize::try_from(count).ok().filter(|&count| count <= max).ok_or(Malformed(text))
}

/// Finds the reply at the head of `input` and the bytes it takes; `None` if it is not complete yet.
///
/// # Errors
/// [`Malformed`] if the bytes are no RESP2 reply.
pub fn scan(input: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    let Some((reply, mut used)) = head(input)? else { return Ok(None) };
    if let Reply::Array(count) = reply {
        for _ in 0..count {
            match skip(input.get(used..).unwrap_or_default(), REPLY_DEPTH_MAX)? {
                Some(bytes) => used += bytes,
                None => return Ok(None),
            }
        }
    }
    Ok(Some((reply, used)))
}

fn skip(input: &[u8], depth: usize) -> Result<Option<usize>, Malformed> {
    if depth == 0 {
        return Err(Malformed("arrays nested too deep"));
    }
    let Some((reply, mut used)) = head(input)? else { return Ok(None) };
    if let Reply::Array(count) = reply {
        for _ in 0..count {
            match skip(input.get(used..).unwrap_or_default(), depth - 1)? {
                Some(bytes) => used += bytes,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(used))
}

/// Takes the reply at the head of `input` as a [`Value`], and the bytes it takes; `None` if it is not
/// complete yet.
///
/// # Errors
/// [`Malformed`] if the bytes are no RESP2 reply.
pub fn parse(input: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    parse_nested(input, REPLY_DEPTH_MAX)
}

fn parse_nested(input: &[u8], depth: usize) -> Result<Option<(Value, usize)>, Malformed> {
    if depth == 0 {
        return Err(Malformed("arrays nested too deep"));
    }
    let Some((reply, mut used)) = head(input)? else { return Ok(None) };
    let value = match reply {
        Reply::Simple(text) => Value::Simple(text.to_vec()),
        Reply::Error(text) => Value::Error(text.to_vec()),
        Reply::Int(number) => Value::Int(number),
        Reply::Bulk(body) => Value::Bulk(body.to_vec()),
        Reply::Nil => Value::Nil,
        Reply::Array(count) => {
            let mut elements = Vec::new();
            for _ in 0..count {
                match parse_nested(input.get(used..).unwrap_or_default(), depth - 1)? {
                    Some((element, bytes)) => {
                        elements.push(element);
                        used += bytes;
                    }
                    None => return Ok(None),
                }
            }
            Value::Array(elements)
        }
    };
    Ok(Some((value, used)))
}

/// Appends one request, an array of bulk strings, to `out`.
pub fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_at_every_split() {
        let table: [(&[u8], Value); 8] = [
            (b"+OK\r\n", Value::Simple(b"OK".to_vec())),
            (b"-MOVED 1 a:2\r\n", Value::Error(b"MOVED 1 a:2".to_vec())),
            (b":-42\r\n", Value::Int(-42)),
            (b":-9223372036854775808\r\n", Value::Int(i64::MIN)),
            (b"$5\r\na\r\nbc\r\n", Value::Bulk(b"a\r\nbc".to_vec())),
            (b"$-1\r\n", Value::Nil),
            (b"*-1\r\n", Value::Nil),
            (
                b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
                Value::Array(vec![Value::Int(1), Value::Array(vec![Value::Bulk(Vec::new())])]),
            ),
        ];
        for (bytes, value) in table {
            assert_eq!(parse(bytes), Ok(Some((value, bytes.len()))));
            assert_eq!(scan(bytes).map(|found| found.map(|(_, used)| used)), Ok(Some(bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
                assert_eq!(scan(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn malformed_replies_are_refused() {
        let deep = b"*1\r\n".repeat(REPLY_DEPTH_MAX + 2);
        let long = vec![b'+'; LINE_BYTES_MAX + 2];
        let table: [&[u8]; 11] = [
            b"?\r\n",
            b":\r\n",
            b":1x\r\n",
            b":9223372036854775808\r\n",
            b"$-2\r\n",
            b"$999999999999\r\n",
            b"*99999999\r\n",
            b"$1\r\nab\r\n",
            b"+a\rb\r\n",
            &deep,
            &long,
        ];
        for bytes in table {
            assert!(parse(bytes).is_err(), "{:?}", &bytes[..bytes.len().min(20)]);
            assert!(scan(bytes).is_err(), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }
}
