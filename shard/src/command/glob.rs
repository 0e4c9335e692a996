//! Patterns as KEYS, SCAN and CONFIG GET take them: `*`, `?`, `[abc]`, `[^a-z]`, `\x`.
//!
//! A mismatch goes back to the last star alone, never to one before it: what an earlier star could give up, the last
//! one can take. So the time is at most pattern times text, and not exponential in the stars.

/// Whether a pattern matches all of a text. Bytes, not characters, and case counts, as in Redis.
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last star, and the text from where that was last tried.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((rest, text));
            continue;
        }
        match (text.split_first(), step(pattern, text.first().copied())) {
            (Some((_, rest)), Some(next)) => (pattern, text) = (next, rest),
            (None, _) if pattern.is_empty() => return true,
            (None, _) => return false,
            (Some(_), None) => match retry {
                Some((after, [_, rest @ ..])) => {
                    (pattern, text) = (after, rest);
                    retry = Some((after, rest));
                }
                _ => return false,
            },
        }
    }
}

/// Matches one byte against the first element of a pattern, which is no star: the rest of the pattern, or None.
fn step(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', rest @ ..] => class(rest, byte, true),
        [b'[', rest @ ..] => class(rest, byte, false),
        [b'\\', escaped, rest @ ..] => (*escaped == byte).then_some(rest),
        [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// Matches a byte against a class whose `[` or `[^` is gone. A class that is not closed ends with the pattern.
fn class(mut pattern: &[u8], byte: u8, negated: bool) -> Option<&[u8]> {
    let mut found = false;
    let rest = loop {
        pattern = match pattern {
            [] => break &[][..],
            [b']', rest @ ..] => break rest,
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_in_redis() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "A", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hllo", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b", "ab", true),
            ("*a*b", "aba", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[a-b]llo", "hcllo", false),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("h[\\]]o", "h]o", true),
            ("a[", "a", false),
            ("a[b", "ab", true),
            ("a[]b", "ab", false),
            ("a\\", "a\\", true),
            ("?", "", false),
            ("**", "a", true),
            ("a**b", "ab", true),
            // Redis reads `]` as the end of the range here, and finds the class not closed.
            ("[a-]", "-", false),
            ("[a-]", "^", true),
            ("user:*:name", "user:42:name", true),
            ("user:*:name", "user:42:names", false),
        ];
        for (pattern, text, want) in table {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let text = vec![b'a'; 2000];
        let mut pattern = b"a*".repeat(500);
        pattern.push(b'b');
        assert!(!glob(&pattern, &text));
        pattern.pop();
        assert!(glob(&pattern, &text));
    }

    /// The definition, exponential and plain.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            _ => step(pattern, text.first().copied()).is_some_and(|rest| slow(rest, &text[1..])),
        }
    }

    #[test]
    fn the_same_as_the_definition() {
        // All patterns of up to five elements over a small alphabet, against all short texts.
        let (elements, letters) = ([b'*', b'?', b'a', b'b'], [b'a', b'b']);
        let words = |alphabet: &[u8], longest: usize| {
            let (mut all, mut last) = (vec![vec![]], vec![vec![]]);
            for _ in 0..longest {
                let longer =
                    |word: &Vec<u8>| alphabet.iter().map(|byte| [&word[..], &[*byte]].concat()).collect();
                last = last.iter().flat_map(|word| -> Vec<Vec<u8>> { longer(word) }).collect();
                all.extend(last.iter().cloned());
            }
            all
        };
        for pattern in words(&elements, 5) {
            for text in words(&letters, 4) {
                assert_eq!(glob(&pattern, &text), slow(&pattern, &text), "{pattern:?} {text:?}");
            }
        }
    }
}
