//! What of a text is code, and what stands in quotes and comments, as PostgreSQL reads it.

/// In what a place of the text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Within {
    #[default]
    Code,
    /// `'…'`; in `E'…'` a backslash takes the next character with it.
    Text { escapes: bool },
    /// `"…"`
    Name,
    /// `$tag$…$tag$`, with what ends it.
    Dollar(String),
    /// `-- …`
    Line,
    /// `/* … */`, within one another.
    Block(usize),
}

/// Walks a text, which may come line by line. A quote that is doubled ends one text and begins the next, which comes to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    within: Within,
    /// The last two characters of code before this place.
    before: [Option<char>; 2],
}

fn in_name(one: char) -> bool {
    one.is_alphanumeric() || one == '_' || one == '$' || !one.is_ascii()
}

impl Scanner {
    /// In what the next character is.
    pub(super) fn within(&self) -> &Within {
        &self.within
    }

    /// Passes over the beginning of `text`, which is not empty: how many bytes, and whether they are code. At most a line at a time.
    pub(super) fn step(&mut self, text: &str) -> (usize, bool) {
        let one = text.chars().next().expect("there is something to pass over");
        let length = one.len_utf8();
        match &mut self.within {
            Within::Code => return self.code(text, one),
            Within::Text { escapes: true } if one == '\\' => {
                let taken = text[length..].chars().next().map_or(0, char::len_utf8);
                return (length + taken, false);
            }
            Within::Text { .. } if one == '\'' => self.within = Within::Code,
            Within::Name if one == '"' => self.within = Within::Code,
            Within::Line if one == '\n' => self.within = Within::Code,
            Within::Dollar(end) if text.starts_with(end.as_str()) => {
                let length = end.len();
                self.within = Within::Code;
                return (length, false);
            }
            Within::Block(depth) if text.starts_with("*/") => {
                *depth -= 1;
                if *depth == 0 {
                    self.within = Within::Code;
                }
                return (2, false);
            }
            Within::Block(depth) if text.starts_with("/*") => {
                *depth += 1;
                return (2, false);
            }
            _ => {}
        }
        (length, false)
    }

    fn code(&mut self, text: &str, one: char) -> (usize, bool) {
        let [before, last] = self.before;
        let begins = match one {
            '\'' => {
                let escapes = matches!(last, Some('e' | 'E')) && !before.is_some_and(in_name);
                Some((Within::Text { escapes }, 1))
            }
            '"' => Some((Within::Name, 1)),
            '-' if text.starts_with("--") => Some((Within::Line, 2)),
            '/' if text.starts_with("/*") => Some((Within::Block(1), 2)),
            '$' if !last.is_some_and(in_name) => {
                tag(text).map(|tag| (Within::Dollar(tag.to_owned()), tag.len()))
            }
            _ => None,
        };
        match begins {
            Some((within, length)) => {
                (self.within, self.before) = (within, [None, None]);
                (length, false)
            }
            None => {
                self.before = [last, Some(one)];
                (one.len_utf8(), true)
            }
        }
    }
}

/// `$tag$` at the beginning of a text.
fn tag(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let end = name.find('$')?;
    let name = &name[..end];
    let first = name.chars().next().is_none_or(|one| !one.is_ascii_digit());
    (first && name.chars().all(in_name)).then(|| &text[..end + 2])
}

/// The first words of a statement, in capitals.
pub(super) fn first_words(text: &str, count: usize) -> String {
    let (mut scanner, mut code, mut at) = (Scanner::default(), String::new(), 0);
    while at < text.len() {
        let (length, is_code) = scanner.step(&text[at..]);
        code.push_str(if is_code { &text[at..at + length] } else { " " });
        at += length;
        let words = code.split_whitespace().count();
        if words > count {
            break;
        }
    }
    code.split_whitespace().take(count).collect::<Vec<_>>().join(" ").to_uppercase()
}

/// Where the parenthesis is closed that a text begins with.
pub(super) fn closing(text: &str) -> Option<usize> {
    let (mut scanner, mut depth, mut at) = (Scanner::default(), 0usize, 0);
    while at < text.len() {
        let (length, is_code) = scanner.step(&text[at..]);
        match &text[at..at + length] {
            "(" if is_code => depth += 1,
            ")" if is_code => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let (mut scanner, mut out, mut at) = (Scanner::default(), String::new(), 0);
        while at < text.len() {
            let (length, is_code) = scanner.step(&text[at..]);
            let part = &text[at..at + length];
            part.chars().for_each(|one| out.push(if is_code { one } else { '.' }));
            at += length;
        }
        out
    }

    #[test]
    fn quotes_and_comments_are_no_code() {
        let table = [
            ("a 'b;c' d", "a ..... d"),
            ("'it''s;' x", "........ x"),
            (r"'a\' x", ".... x"),
            (r"E'a\';' x", "E...... x"),
            (r"nameE'a\' x", "nameE.... x"),
            ("\"a;\"\"b\" x", "....... x"),
            ("a -- b;\nc", "a ......c"),
            ("a /* b /* ; */ ; */ c", "a ................. c"),
            ("$$a;$$ x", "...... x"),
            ("$tag$ $$ ; $tag$ x", "................ x"),
            ("$1 = a$b$ ; x", "$1 = a$b$ ; x"),
            ("ü'é;ü'ä", "ü.....ä"),
            ("1-2/3", "1-2/3"),
        ];
        for (text, want) in table {
            assert_eq!(code(text), want, "{text}");
        }
    }

    #[test]
    fn words_and_parentheses() {
        assert_eq!(first_words("/* a */ create -- x\n  table t (a int)", 2), "CREATE TABLE");
        assert_eq!(first_words("delete", 2), "DELETE");
        assert_eq!(first_words("", 1), "");
        assert_eq!(closing("(a (b ')') \")\") c) d"), Some(14));
        assert_eq!(closing("(a"), None);
        assert_eq!(closing("a)"), None);
    }
}
