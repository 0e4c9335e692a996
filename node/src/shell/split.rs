//! Lines to statements and commands: a statement ends with a semicolon, a command begins with a backslash and has the rest of its line.

use super::error::Trouble;
use super::limits::STATEMENT_BYTES_MAX;
use super::scan::{Scanner, Within};

/// Something to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A statement without its semicolon.
    Statement(String),
    /// A command without its backslash.
    Command(String),
}

/// What has come of a statement so far.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    text: String,
    scanner: Scanner,
    /// Whether there is more than white space and comments.
    begun: bool,
    /// The line where it begins.
    first: usize,
    /// The line that came last.
    line: usize,
}

impl Splitter {
    /// Takes a line and gives what it completes, each with the line where it begins.
    pub(super) fn push(&mut self, line: &str) -> Result<Vec<(usize, Item)>, Trouble> {
        self.line += 1;
        let mut items = Vec::new();
        let mut at = 0;
        // With its end: comments end there, and texts go on.
        let line = format!("{}\n", line.strip_suffix('\n').unwrap_or(line));
        // A backslash is for us where a statement may begin, and at the beginning of a line.
        let mut may_be_command = true;
        while at < line.len() {
            let rest = &line[at..];
            if may_be_command && rest.starts_with('\\') && *self.scanner.within() == Within::Code {
                items.push((self.line, Item::Command(rest[1..].trim().to_owned())));
                break;
            }
            let (length, is_code) = self.scanner.step(rest);
            let part = &rest[..length];
            at += length;
            if is_code && part == ";" {
                items.extend(self.take().map(|(first, text)| (first, Item::Statement(text))));
                may_be_command = true;
                continue;
            }
            let blank = is_code && part.trim().is_empty();
            may_be_command &= blank;
            if !self.begun && !blank && self.is_code_or_quote(is_code) {
                (self.begun, self.first) = (true, self.line);
            }
            self.text.push_str(part);
        }
        if !self.begun && *self.scanner.within() == Within::Code {
            self.text.clear();
        }
        match self.text.len() <= STATEMENT_BYTES_MAX {
            true => Ok(items),
            false => Err(Trouble::Local(format!(
                "the statement that begins at line {} has more than {STATEMENT_BYTES_MAX} bytes: is a quote not closed, or a semicolon missing?",
                self.first.max(1)
            ))),
        }
    }

    fn is_code_or_quote(&self, is_code: bool) -> bool {
        is_code || matches!(self.scanner.within(), Within::Text { .. } | Within::Name | Within::Dollar(_))
    }

    fn take(&mut self) -> Option<(usize, String)> {
        let text = std::mem::take(&mut self.text);
        std::mem::take(&mut self.begun).then(|| (self.first, text.trim().to_owned()))
    }

    /// What is left at the end: a statement that no semicolon has ended.
    pub(super) fn finish(&mut self) -> Result<Option<(usize, Item)>, Trouble> {
        let what = match std::mem::take(&mut self.scanner).within() {
            Within::Code | Within::Line => None,
            Within::Text { .. } => Some("a text in quotes"),
            Within::Name => Some("a name in quotes"),
            Within::Dollar(_) => Some("a text in dollars"),
            Within::Block(_) => Some("a comment"),
        };
        let (first, left) = (self.first.max(1), self.take());
        match what {
            None => Ok(left.map(|(first, text)| (first, Item::Statement(text)))),
            Some(what) => Err(Trouble::Local(format!(
                "line {first}: {what} is not closed in the statement that begins here"
            ))),
        }
    }

    /// Forgets the statement that has begun.
    pub(super) fn reset(&mut self) {
        *self = Splitter { line: self.line, ..Splitter::default() };
    }

    /// The character of the prompt: what the next line goes on with.
    pub(super) fn sign(&self) -> char {
        match self.scanner.within() {
            Within::Code | Within::Line if !self.begun => '=',
            Within::Code | Within::Line => '-',
            Within::Text { .. } => '\'',
            Within::Name => '"',
            Within::Dollar(_) => '$',
            Within::Block(_) => '*',
        }
    }

    /// How many lines it was given.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Counts lines that a command has taken for itself.
    pub(super) fn skip(&mut self, lines: usize) {
        self.line += lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(usize, Item)> {
        let mut splitter = Splitter::default();
        let mut items: Vec<_> =
            text.split_inclusive('\n').flat_map(|line| splitter.push(line).expect("short")).collect();
        items.extend(splitter.finish().expect("ended"));
        items
    }

    fn statement(line: usize, text: &str) -> (usize, Item) {
        (line, Item::Statement(text.to_owned()))
    }

    fn command(line: usize, text: &str) -> (usize, Item) {
        (line, Item::Command(text.to_owned()))
    }

    #[test]
    fn statements_and_commands() {
        let table = [
            ("a; b;c", vec![statement(1, "a"), statement(1, "b"), statement(1, "c")]),
            ("a\n ';'\n;\n\n-- c;\n\nb", vec![statement(1, "a\n ';'"), statement(7, "b")]),
            (";;\n ; -- x\n/* ; */ ;", vec![]),
            ("select '\n\\q\n';", vec![statement(1, "select '\n\\q\n'")]),
            ("\\dt\n a \\q\n;", vec![command(1, "dt"), statement(2, "a \\q")]),
            (
                "a; \\timing on ; x\nb",
                vec![statement(1, "a"), command(1, "timing on ; x"), statement(2, "b")],
            ),
            ("a\n  \\q\nb;", vec![command(2, "q"), statement(1, "a\n  b")]),
            ("$$;\n$$;", vec![statement(1, "$$;\n$$")]),
            ("/*;\n*/a;", vec![statement(2, "/*;\n*/a")]),
        ];
        for (text, want) in table {
            assert_eq!(split(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for (text, what) in
            [("a 'b", "a text"), ("x;\n\"b;", "a name"), ("/* ;", "a comment"), ("$a$ ;", "dollars")]
        {
            let mut splitter = Splitter::default();
            text.split_inclusive('\n').for_each(|line| {
                splitter.push(line).expect("short");
            });
            let told = splitter.finish().expect_err("no end").to_string();
            assert!(told.contains(what) && told.starts_with("line "), "{told}");
        }
        let mut splitter = Splitter::default();
        let line = "x".repeat(STATEMENT_BYTES_MAX / 2);
        splitter.push(&line).expect("half of it");
        splitter.push(&line).expect_err("too long");
    }

    #[test]
    fn the_prompt_says_what_is_open() {
        let mut splitter = Splitter::default();
        let mut sign = |line: &str| {
            splitter.push(line).expect("short");
            splitter.sign()
        };
        let signs: Vec<char> =
            ["-- x", "select", "'", "' \"", "\" $$", "$$ /*", "*/ ;"].map(&mut sign).to_vec();
        assert_eq!(signs, ['=', '-', '\'', '"', '$', '*', '=']);
        splitter.push("a 'b").expect("short");
        splitter.reset();
        assert_eq!((splitter.sign(), splitter.line()), ('=', 8));
    }
}
