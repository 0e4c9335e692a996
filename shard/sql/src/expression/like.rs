//! LIKE: `%` is any text, `_` any character, and a backslash takes the special meaning of what follows it.

use crate::error::Error;
use crate::limits::LIKE_STEPS_MAX;

/// Whether the text is of the pattern. It goes back to the last `%` alone, so that it takes the product of both lengths at most.
pub(super) fn matches(text: &str, pattern: &str) -> Result<bool, Error> {
    let ends =
        || Error::new(crate::ErrorKind::Value, "22025", "LIKE pattern must not end with escape character");
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on if what is tried now does not match: behind the last `%`, one character later.
    let mut retry: Option<(&str, &str)> = None;
    for _ in 0..LIKE_STEPS_MAX {
        let mut expected = pattern.chars();
        let mut given = text.chars();
        let step = match (expected.next(), given.next()) {
            (Some('%'), _) => {
                pattern = expected.as_str();
                if pattern == "\\" {
                    return Err(ends());
                }
                if pattern.bytes().all(|byte| byte == b'%') {
                    return Ok(true);
                }
                retry = Some((text, pattern));
                continue;
            }
            (None, None) => return Ok(true),
            // The text is at its end, and the pattern asks for more: more of the text will not be found anywhere.
            (Some(_), None) => return Ok(false),
            (None, Some(_)) => false,
            (Some('_'), Some(_)) => true,
            (Some('\\'), Some(found)) => expected.next().ok_or_else(ends)? == found,
            (Some(wanted), Some(found)) => wanted == found,
        };
        if step {
            (text, pattern) = (given.as_str(), expected.as_str());
            continue;
        }
        let Some((from, again)) = retry else { return Ok(false) };
        let mut later = from.chars();
        if later.next().is_none() {
            return Ok(false);
        }
        (text, pattern) = (later.as_str(), again);
        retry = Some((text, pattern));
    }
    Err(Error::too_large(format!(
        "LIKE takes more than {LIKE_STEPS_MAX} steps; write a simpler pattern, or a longer text behind its %"
    )))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let rows = [
            ("", "", true),
            ("a", "", false),
            ("", "%", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "_", false),
            ("aéc", "a_c", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aab", "%ab", true),
            ("mississippi", "%iss%ip%", true),
            ("abc", "%d%", false),
            ("ab", "a%%b", true),
            ("\\", "\\\\", true),
        ];
        for (text, pattern, expected) in rows {
            assert_eq!(matches(text, pattern), Ok(expected), "{text} LIKE {pattern}");
        }
        let costly = format!("%{}b", "a".repeat(10_000));
        assert_eq!(matches(&"a".repeat(100_000), &costly).map_err(|error| error.state), Err("54000"));
        assert!(matches("a", "\\").is_err());
        assert_eq!(matches("", "\\"), Ok(false));
        assert!(matches("", "%\\").is_err());
    }
}
