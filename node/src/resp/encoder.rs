//! Replies to bytes, RESP2 or RESP3.
//!
//! Source: the RESP3 specification (antirez/RESP3) and addReply* of Redis (networking.c).

use shard::reply::{format_double, Reply};

/// The version of the protocol that a client speaks; HELLO changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every client speaks without HELLO.
    #[default]
    Resp2,
    /// With maps, sets, doubles, booleans, verbatim text and pushes.
    Resp3,
}

impl Protocol {
    /// 2 or 3.
    pub fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Appends `reply` to `out`.
///
/// A line break in a simple text or an error would end it early, so each becomes a blank, as in Redis.
pub fn encode(reply: &Reply, protocol: Protocol, out: &mut Vec<u8>) {
    let resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Simple(text) => line(b'+', text, out),
        Reply::Error(text) => line(b'-', text, out),
        Reply::Int(value) => integer(b':', *value, out),
        Reply::Nil | Reply::NilArray if resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::Nil => out.extend_from_slice(b"$-1\r\n"),
        Reply::NilArray => out.extend_from_slice(b"*-1\r\n"),
        Reply::Bulk(bytes) => bulk(bytes, out),
        Reply::Verbatim(text) if resp3 => verbatim(text, out),
        Reply::Verbatim(text) => bulk(text.as_bytes(), out),
        Reply::Double(value) if resp3 => line(b',', &format_double(*value), out),
        Reply::Double(value) => bulk(format_double(*value).as_bytes(), out),
        Reply::Bool(value) if resp3 => out.extend_from_slice(if *value { b"#t\r\n" } else { b"#f\r\n" }),
        Reply::Bool(value) => integer(b':', i64::from(*value), out),
        Reply::Array(list) => items(b'*', list, protocol, out),
        Reply::Set(list) => items(if resp3 { b'~' } else { b'*' }, list, protocol, out),
        Reply::Push(list) => items(if resp3 { b'>' } else { b'*' }, list, protocol, out),
        Reply::Map(pairs) => {
            if resp3 {
                header(b'%', pairs.len(), out);
            } else {
                header(b'*', pairs.len().saturating_mul(2), out);
            }
            for (key, value) in pairs {
                encode(key, protocol, out);
                encode(value, protocol, out);
            }
        }
        Reply::Pairs(pairs) => {
            header(b'*', pairs.len().saturating_mul(if resp3 { 1 } else { 2 }), out);
            for (one, other) in pairs {
                if resp3 {
                    header(b'*', 2, out);
                }
                encode(one, protocol, out);
                encode(other, protocol, out);
            }
        }
    }
}

fn items(kind: u8, list: &[Reply], protocol: Protocol, out: &mut Vec<u8>) {
    header(kind, list.len(), out);
    for item in list {
        encode(item, protocol, out);
    }
}

fn line(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn verbatim(text: &str, out: &mut Vec<u8>) {
    header(b'=', text.len().saturating_add(4), out);
    out.extend_from_slice(b"txt:");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn header(kind: u8, count: usize, out: &mut Vec<u8>) {
    integer(kind, i64::try_from(count).unwrap_or(i64::MAX), out);
}

fn integer(kind: u8, value: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        from -= 1;
        // A u64 has at most 20 digits, so `from` stays within the array.
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(kind);
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[from..]);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply, protocol: Protocol) -> String {
        let mut out = Vec::new();
        encode(reply, protocol, &mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn each_kind_in_both_versions() {
        let table: [(Reply, &str, &str); 20] = [
            (Reply::OK, "+OK\\r\\n", "+OK\\r\\n"),
            (Reply::error("ERR a\r\nb"), "-ERR a  b\\r\\n", "-ERR a  b\\r\\n"),
            (Reply::Int(0), ":0\\r\\n", ":0\\r\\n"),
            (Reply::Int(i64::MIN), ":-9223372036854775808\\r\\n", ":-9223372036854775808\\r\\n"),
            (Reply::Int(i64::MAX), ":9223372036854775807\\r\\n", ":9223372036854775807\\r\\n"),
            (Reply::Nil, "$-1\\r\\n", "_\\r\\n"),
            (Reply::NilArray, "*-1\\r\\n", "_\\r\\n"),
            (Reply::bulk(""), "$0\\r\\n\\r\\n", "$0\\r\\n\\r\\n"),
            (Reply::bulk("a\r\n\0"), "$4\\r\\na\\r\\n\\x00\\r\\n", "$4\\r\\na\\r\\n\\x00\\r\\n"),
            (Reply::Verbatim("hi".into()), "$2\\r\\nhi\\r\\n", "=6\\r\\ntxt:hi\\r\\n"),
            (Reply::Double(1.5), "$3\\r\\n1.5\\r\\n", ",1.5\\r\\n"),
            (Reply::Double(f64::NEG_INFINITY), "$4\\r\\n-inf\\r\\n", ",-inf\\r\\n"),
            (Reply::Bool(true), ":1\\r\\n", "#t\\r\\n"),
            (Reply::Bool(false), ":0\\r\\n", "#f\\r\\n"),
            (Reply::Array(vec![]), "*0\\r\\n", "*0\\r\\n"),
            (
                Reply::Array(vec![Reply::Int(1), Reply::Nil]),
                "*2\\r\\n:1\\r\\n$-1\\r\\n",
                "*2\\r\\n:1\\r\\n_\\r\\n",
            ),
            (Reply::Set(vec![Reply::Int(1)]), "*1\\r\\n:1\\r\\n", "~1\\r\\n:1\\r\\n"),
            (Reply::Push(vec![Reply::Int(1)]), "*1\\r\\n:1\\r\\n", ">1\\r\\n:1\\r\\n"),
            (
                Reply::Map(vec![(Reply::bulk("a"), Reply::Bool(true))]),
                "*2\\r\\n$1\\r\\na\\r\\n:1\\r\\n",
                "%1\\r\\n$1\\r\\na\\r\\n#t\\r\\n",
            ),
            (
                Reply::Pairs(vec![(Reply::bulk("a"), Reply::Int(1)), (Reply::Nil, Reply::Nil)]),
                "*4\\r\\n$1\\r\\na\\r\\n:1\\r\\n$-1\\r\\n$-1\\r\\n",
                "*2\\r\\n*2\\r\\n$1\\r\\na\\r\\n:1\\r\\n*2\\r\\n_\\r\\n_\\r\\n",
            ),
        ];
        for (reply, resp2, resp3) in table {
            assert_eq!(text(&reply, Protocol::Resp2), resp2, "{reply:?}");
            assert_eq!(text(&reply, Protocol::Resp3), resp3, "{reply:?}");
        }
    }
}
