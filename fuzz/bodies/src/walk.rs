//! Reads replies, both versions of RESP, to see that each is whole.

/// How many whole replies the bytes hold; an error where they hold something else.
pub fn replies(bytes: &[u8]) -> Result<usize, String> {
    let (mut rest, mut count) = (bytes, 0);
    while !rest.is_empty() {
        rest = reply(rest).ok_or_else(|| format!("after {count} replies: {}", rest.escape_ascii()))?;
        count += 1;
    }
    Ok(count)
}

/// Skips one reply.
fn reply(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = (&bytes[1..end], &bytes[end + 2..]);
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'+' | b'-' => (!line.contains(&b'\n') && !line.contains(&b'\r')).then_some(rest),
        b':' => number().map(|_| rest),
        b'_' => line.is_empty().then_some(rest),
        b'#' => matches!(line, b"t" | b"f").then_some(rest),
        b',' | b'(' => (!line.is_empty()).then_some(rest),
        b'$' | b'=' | b'!' => match number()? {
            -1 if bytes[0] == b'$' => Some(rest),
            length => {
                let length = usize::try_from(length).ok()?;
                (rest.get(length..length + 2)? == b"\r\n").then(|| &rest[length + 2..])
            }
        },
        b'*' | b'~' | b'>' => match number()? {
            -1 if bytes[0] == b'*' => Some(rest),
            count => many(rest, usize::try_from(count).ok()?),
        },
        b'%' | b'|' => many(rest, usize::try_from(number()?).ok()?.checked_mul(2)?),
        _ => None,
    }
}

fn many(bytes: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(bytes, |rest, _| (!rest.is_empty()).then(|| reply(rest)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_replies_are_told_from_others() {
        let table: [(&[u8], Option<usize>); 12] = [
            (b"", Some(0)),
            (b"+OK\r\n-ERR x\r\n:-5\r\n", Some(3)),
            (b"$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n", Some(4)),
            (b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n", Some(1)),
            (b"%1\r\n+a\r\n#t\r\n~0\r\n,1.5\r\n=5\r\ntxt:a\r\n>1\r\n:1\r\n", Some(5)),
            (b"+OK", None),
            (b"$3\r\nab\r\n", None),
            (b"$2\r\nabc\r\n", None),
            (b"*2\r\n:1\r\n", None),
            (b":x\r\n", None),
            (b"?\r\n", None),
            (b"+a\nb\r\n", None),
        ];
        for (bytes, want) in table {
            assert_eq!(replies(bytes).ok(), want, "{}", bytes.escape_ascii());
        }
    }
}
