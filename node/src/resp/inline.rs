//! Inline commands: a line of words, with the quotes and escapes of redis-cli.
//!
//! Source: sdssplitargs of Redis (sds.c). As there, a NUL byte ends the line.

/// Splits `line` (without its line break) into words, appended to `words`; `ends` gets the end of each word
/// in `words`. None: a quote is not closed, or is followed directly by a word.
pub(super) fn split(line: &[u8], words: &mut Vec<u8>, ends: &mut Vec<u32>) -> Option<()> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or(line);
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if at >= line.len() {
            return Some(());
        }
        at = word(line, at, words)?;
        ends.push(u32::try_from(words.len()).ok()?);
    }
}

/// Copies the word that starts at `at`; returns where it ended.
fn word(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at) {
            None | Some(b' ' | b'\n' | b'\r' | b'\t') => return Some(at),
            Some(b'"') => return double_quoted(line, at + 1, words),
            Some(b'\'') => return single_quoted(line, at + 1, words),
            Some(&byte) => {
                words.push(byte);
                at += 1;
            }
        }
    }
}

/// The rest of a word in double quotes, with escapes, from behind the quote.
fn double_quoted(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (b'"', next) => return next.is_none_or(|&byte| is_space(byte)).then_some(at + 1),
            (b'\\', Some(b'x')) if hex_byte(line, at + 2).is_some() => {
                words.push(hex_byte(line, at + 2)?);
                at += 4;
            }
            (b'\\', Some(&byte)) => {
                words.push(unescape(byte));
                at += 2;
            }
            (&byte, _) => {
                words.push(byte);
                at += 1;
            }
        }
    }
}

/// The rest of a word in single quotes: only `\'` is an escape.
fn single_quoted(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (b'\'', next) => return next.is_none_or(|&byte| is_space(byte)).then_some(at + 1),
            (b'\\', Some(b'\'')) => {
                words.push(b'\'');
                at += 2;
            }
            (&byte, _) => {
                words.push(byte);
                at += 1;
            }
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex_byte(line: &[u8], at: usize) -> Option<u8> {
    let digit =
        |at: usize| char::from(*line.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(at)? * 16 + digit(at + 1)?)
}

/// C's isspace in the "C" locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<String>> {
        let (mut bytes, mut ends, mut from) = (Vec::new(), Vec::new(), 0);
        split(line, &mut bytes, &mut ends)?;
        let mut words = Vec::new();
        for end in ends {
            words.push(bytes[from..end as usize].escape_ascii().to_string());
            from = end as usize;
        }
        Some(words)
    }

    #[test]
    fn lines_as_redis_splits_them() {
        let table: [(&[u8], Option<&[&str]>); 16] = [
            (b"", Some(&[])),
            (b"   \t ", Some(&[])),
            (b"PING", Some(&["PING"])),
            (b"  set  a\t1 ", Some(&["set", "a", "1"])),
            (br#"set "a b" 'c d'"#, Some(&["set", "a b", "c d"])),
            (br#"echo "\x41\n\"\q""#, Some(&["echo", "A\\n\\\"q"])),
            (br#"echo "\xg1""#, Some(&["echo", "xg1"])),
            (br"echo 'it\'s \n'", Some(&["echo", "it\\\'s \\\\n"])),
            (br#"echo """#, Some(&["echo", ""])),
            (br#"a"b c"d"#, None),
            (br#"a"b c""#, Some(&["ab c"])),
            (br#"echo "open"#, None),
            (br"echo 'open", None),
            (br#"echo "\"#, None),
            (b"echo a\0 b", Some(&["echo", "a"])),
            (b"\0", Some(&[])),
        ];
        for (line, want) in table {
            let want = want.map(|want| want.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(words(line), want, "{}", line.escape_ascii());
        }
    }
}
