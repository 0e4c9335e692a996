//! Where statements come from: lines of a file, of the standard input, or of the command line.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use super::error::Trouble;
use super::limits::LINE_BYTES_MAX;

/// Lines with a name for messages.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    name: String,
    /// Whether rows that a command reads follow it here; else they come on the standard input.
    has_rows: bool,
}

impl Source {
    pub(super) fn of_text(name: String, text: &str) -> Source {
        Source { reader: Box::new(Cursor::new(text.to_owned())), name, has_rows: false }
    }

    pub(super) fn of_file(path: &Path) -> Result<Source, Trouble> {
        let name = path.display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => Ok(Source::of_reader(name, Box::new(file))),
            Err(error) => Err(Trouble::Local(format!("cannot read {name}: {error}"))),
        }
    }

    pub(super) fn of_reader(name: String, reader: Box<dyn Read>) -> Source {
        Source { reader: Box::new(BufReader::new(reader)), name, has_rows: true }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The next line with its end; none behind the last.
    pub(super) fn line(&mut self) -> Result<Option<String>, Trouble> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes);
        let wrong = |what: String| Trouble::Local(format!("cannot read {}: {what}", self.name));
        match read {
            Err(error) => Err(wrong(error.to_string())),
            Ok(0) => Ok(None),
            Ok(length) if length > LINE_BYTES_MAX => {
                Err(wrong(format!("a line has more than {LINE_BYTES_MAX} bytes")))
            }
            Ok(_) => match String::from_utf8(bytes) {
                Ok(line) => Ok(Some(line)),
                Err(_) => Err(wrong("a line is no UTF-8".to_owned())),
            },
        }
    }

    /// Where rows are that a command reads from the standard input.
    pub(super) fn rows(&mut self) -> Option<&mut dyn BufRead> {
        self.has_rows.then_some(self.reader.as_mut() as &mut dyn BufRead)
    }
}

/// Rows among statements: up to a line with `\.` alone, or the end.
pub(super) struct UntilDot<'a> {
    reader: &'a mut dyn BufRead,
    line: Vec<u8>,
    at: usize,
    ended: bool,
    /// Lines that were read, the last one included.
    pub(super) lines: usize,
}

impl<'a> UntilDot<'a> {
    pub(super) fn new(reader: &'a mut dyn BufRead) -> UntilDot<'a> {
        UntilDot { reader, line: Vec::new(), at: 0, ended: false, lines: 0 }
    }

    /// Reads what is left of the rows, so that statements go on behind them.
    pub(super) fn drain(&mut self) -> std::io::Result<()> {
        while !self.fill_buf()?.is_empty() {
            self.at = self.line.len();
        }
        Ok(())
    }
}

impl Read for UntilDot<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut from = self.fill_buf()?;
        let length = from.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for UntilDot<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at == self.line.len() && !self.ended {
            self.at = 0;
            // A part of a line, where it is long: then it is not the last one.
            let begins = self.line.last().is_none_or(|byte| *byte == b'\n');
            self.line.clear();
            self.reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut self.line)?;
            self.lines += usize::from(self.line.ends_with(b"\n"));
            let is_dot = begins && matches!(self.line.as_slice(), b"\\.\n" | b"\\.\r\n" | b"\\.");
            if is_dot {
                self.line.clear();
            }
            self.ended = self.line.is_empty();
        }
        Ok(&self.line[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
        assert!(self.at <= self.line.len(), "what was read was there");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_with_a_dot() {
        let text = "a,b\n\"\\\\.\"\n\\.\nselect 1;\n";
        let mut source = Source::of_reader("x".to_owned(), Box::new(Cursor::new(text)));
        let mut rows = UntilDot::new(source.rows().expect("here"));
        let mut first = [0; 2];
        rows.read_exact(&mut first).expect("two bytes");
        rows.drain().expect("the rest");
        assert_eq!((rows.lines, rows.fill_buf().expect("the end").len()), (3, 0));
        assert_eq!(source.line(), Ok(Some("select 1;\n".to_owned())));
        assert_eq!(source.line(), Ok(None));
    }

    #[test]
    fn hostile_lines_are_refused() {
        let of = |bytes: Vec<u8>| Source::of_reader("x".to_owned(), Box::new(Cursor::new(bytes))).line();
        assert!(of(vec![0xff, b'\n']).expect_err("no UTF-8").to_string().contains("UTF-8"));
        assert!(of(vec![b'a'; LINE_BYTES_MAX + 1]).expect_err("too long").to_string().contains("bytes"));
        assert!(Source::of_text("x".to_owned(), "a").rows().is_none());
    }
}
