//! CSV as PostgreSQL's COPY has it: an empty field is NULL, and one that is empty in quotes is the empty text.
//!
//! Where a field ends `csv-core` knows. Whether it was quoted is read off the bytes that it took for the field; what is quoted in part, or not
//! closed, is refused rather than guessed.

use std::io::{BufRead, Write};

use csv_core::{ReadFieldResult, WriteResult};

use super::answer::Cell;
use super::error::Trouble;
use super::limits::CSV_ROW_BYTES_MAX;
use super::rows::Form;

/// A row of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The line where it begins, from 1 on.
    pub(super) line: u64,
    /// None is NULL.
    pub(super) fields: Vec<Option<Vec<u8>>>,
}

/// Reads rows.
pub(super) struct Reader<R> {
    input: R,
    core: csv_core::Reader,
    /// Line breaks that were passed.
    breaks: u64,
    /// Bytes that were passed.
    bytes: u64,
}

/// What the bytes of one field look like.
#[derive(Default)]
struct Raw {
    bytes: usize,
    quotes: usize,
    first: Option<u8>,
}

impl Raw {
    /// `between`: of a row's first field, line ends in front are of the row before.
    fn take(&mut self, bytes: &[u8], between: bool) {
        self.bytes += bytes.len();
        self.quotes += memchr::memchr_iter(b'"', bytes).count();
        let mut significant = bytes.iter().filter(|byte| !between || !matches!(byte, b'\r' | b'\n'));
        self.first = self.first.or_else(|| significant.next().copied());
    }
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R) -> Reader<R> {
        let mut core = csv_core::Reader::new();
        // Behind a blank line it looks for no mark of UTF-8: that is done here, where what comes first is at hand.
        let _ = core.read_field(b"\n", &mut [0; 1]);
        Reader { input, core, breaks: 0, bytes: 0 }
    }

    /// Bytes of the file that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn wrong(line: u64, what: impl std::fmt::Display) -> Trouble {
        Trouble::Local(format!("line {line}: {what}"))
    }

    /// The next row; none at the end. Empty lines are none.
    pub(super) fn record(&mut self) -> Result<Option<Record>, Trouble> {
        if self.bytes == 0 {
            self.skip_mark()?;
        }
        let mut record = Record::default();
        let mut bytes = 0;
        loop {
            let (mut field, mut raw) = (Vec::new(), Raw::default());
            let ended = loop {
                let mut part = [0; 4096];
                let input = self.input.fill_buf().map_err(|error| Self::wrong(self.breaks + 1, error))?;
                let (result, read, written) = self.core.read_field(input, &mut part);
                let taken = &input[..read];
                let between = record.fields.is_empty() && raw.first.is_none();
                if between {
                    let blank = taken.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
                    let blank = blank.filter(|byte| **byte == b'\n').count() as u64;
                    // The line of the first byte that is no line end, as far as these bytes go.
                    record.line = self.breaks + blank + 1;
                }
                raw.take(taken, between);
                self.breaks += memchr::memchr_iter(b'\n', taken).count() as u64;
                self.input.consume(read);
                self.bytes += read as u64;
                field.extend_from_slice(&part[..written]);
                if bytes + raw.bytes > CSV_ROW_BYTES_MAX {
                    let what =
                        format!("the row has more than {CSV_ROW_BYTES_MAX} bytes: is a quote not closed?");
                    return Err(Self::wrong(record.line, what));
                }
                match result {
                    ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
                    ReadFieldResult::Field { record_end } => break Some(record_end),
                    ReadFieldResult::End => break None,
                }
            };
            let Some(last) = ended else {
                return Ok(None);
            };
            if raw.quotes % 2 == 1 {
                return Err(Self::wrong(record.line, "a quote is not closed"));
            }
            if raw.quotes > 0 && raw.first != Some(b'"') {
                let what =
                    "there are quotes within a field that does not begin with one: write \"a \"\"b\"\"\"";
                return Err(Self::wrong(record.line, what));
            }
            bytes += raw.bytes;
            record.fields.push((!field.is_empty() || raw.quotes > 0).then_some(field));
            if last {
                return Ok(Some(record));
            }
        }
    }

    /// The mark that some programs put in front of UTF-8.
    fn skip_mark(&mut self) -> Result<(), Trouble> {
        let input = self.input.fill_buf().map_err(|error| Self::wrong(1, error))?;
        if input.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
            self.bytes += 3;
        }
        Ok(())
    }
}

/// Writes rows.
pub(super) struct Writer {
    core: csv_core::Writer,
    header: bool,
    line: Vec<u8>,
}

impl Writer {
    /// `header`: with a line of names in front.
    pub(super) fn new(header: bool) -> Writer {
        Writer { core: csv_core::Writer::new(), header, line: Vec::new() }
    }

    fn field(&mut self, text: &str) {
        if !text.is_empty() && !self.core.should_quote(text.as_bytes()) {
            self.line.extend_from_slice(text.as_bytes());
            return;
        }
        self.line.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let mut part = [0; 4096];
            let (result, read, written) = csv_core::quote(rest, &mut part, b'"', b'"', true);
            self.line.extend_from_slice(&part[..written]);
            rest = &rest[read..];
            if result == WriteResult::InputEmpty {
                break;
            }
        }
        self.line.push(b'"');
    }

    fn row(&mut self, cells: &[Cell]) {
        for (place, cell) in cells.iter().enumerate() {
            if place > 0 {
                self.line.push(b',');
            }
            match cell {
                Cell::Null => {}
                Cell::Int(number) => self.line.extend_from_slice(number.to_string().as_bytes()),
                Cell::Text(text) => self.field(text),
            }
        }
        self.line.push(b'\n');
    }
}

impl Form for Writer {
    fn page(&mut self, names: &[String], rows: &[Vec<Cell>], out: &mut dyn Write) -> std::io::Result<()> {
        if std::mem::take(&mut self.header) {
            let names: Vec<Cell> = names.iter().map(|name| Cell::Text(name.clone())).collect();
            self.row(&names);
        }
        for row in rows {
            self.row(row);
            out.write_all(&self.line)?;
            self.line.clear();
        }
        out.write_all(&std::mem::take(&mut self.line))
    }

    fn end(&mut self, _: &mut dyn Write) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], chunk: usize) -> Result<Vec<Record>, Trouble> {
        let mut reader = Reader::new(std::io::BufReader::with_capacity(chunk, bytes));
        let mut records = Vec::new();
        while let Some(record) = reader.record()? {
            records.push(record);
        }
        assert_eq!(reader.bytes(), bytes.len() as u64);
        Ok(records)
    }

    fn shown(bytes: &[u8], chunk: usize) -> String {
        let record = |record: Record| {
            let field = |field: Option<Vec<u8>>| {
                field.map_or("NULL".to_owned(), |bytes| format!("'{}'", bytes.escape_ascii()))
            };
            format!("{}:{}", record.line, record.fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        };
        read(bytes, chunk).expect("CSV").into_iter().map(record).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_empty_field_is_null_and_a_quoted_one_is_not() {
        let table: [(&[u8], &str); 12] = [
            (b"", ""),
            (b"a,b\n", "1:'a','b'"),
            (b"a,\n,b", "1:'a',NULL 2:NULL,'b'"),
            (b"\"\",,\"\"\n", "1:'',NULL,''"),
            (b"\"\"", "1:''"),
            (b",\"\"", "1:NULL,''"),
            (b"\"a \"\"b\"\"\",\"x\ny\"\nc,d\n", "1:'a \\\"b\\\"','x\\ny' 3:'c','d'"),
            (b"a\r\n\r\n\n\"b\"\r\n", "1:'a' 4:'b'"),
            (b"\n\n\n\"\n\"\nb", "4:'\\n' 6:'b'"),
            (b" \n", "1:' '"),
            (b"\xff\x00,\"\xfe\"", "1:'\\xff\\x00','\\xfe'"),
            (b"\"a\"b", "1:'ab'"),
        ];
        for (bytes, want) in table {
            for chunk in [1, 2, 3, 8192] {
                assert_eq!(shown(bytes, chunk), want, "{} in parts of {chunk}", bytes.escape_ascii());
            }
        }
        assert_eq!(shown(b"\xef\xbb\xbf\"id\",b", 8192), "1:'id','b'");
    }

    #[test]
    fn broken_files_are_refused_with_their_line() {
        let table: [(&[u8], &str); 4] = [
            (b"a\n\"b", "line 2: a quote is not closed"),
            (b"a\nb\"c\"", "line 2: there are quotes within"),
            (b"a\n5\" disk\nc", "line 2: a quote is not closed"),
            (b"\"a\"\"\n\n", "line 1: a quote is not closed"),
        ];
        for (bytes, want) in table {
            for chunk in [1, 8192] {
                let told = read(bytes, chunk).expect_err("broken").to_string();
                assert!(told.starts_with(want), "{told}");
            }
        }
        let mut endless = Reader::new(std::io::BufReader::new(std::io::repeat(b'"')));
        let told = endless.record().expect_err("endless").to_string();
        assert!(told.contains("more than"), "{told}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cells = [
            "",
            "a",
            " ",
            "\"",
            "a\"b",
            ",",
            "\n",
            "\r\n",
            "#",
            "'",
            "é\u{0}",
            "\\.",
            &"long \" ".repeat(3000),
        ];
        let mut rows: Vec<Vec<Cell>> =
            cells.iter().map(|text| vec![Cell::Text((*text).to_owned()), Cell::Null, Cell::Int(5)]).collect();
        rows.push(vec![Cell::Null, Cell::Text(String::new()), Cell::Null]);
        let mut out = Vec::new();
        let names = ["a", "b,c", "d"].map(str::to_owned);
        Writer::new(true).page(&names, &rows, &mut out).expect("memory");
        let records = read(&out, 8192).expect("CSV");
        assert_eq!(records.len(), rows.len() + 1);
        for (row, record) in rows.iter().zip(&records[1..]) {
            let want: Vec<Option<Vec<u8>>> = row
                .iter()
                .map(|cell| match cell {
                    Cell::Null => None,
                    Cell::Int(number) => Some(number.to_string().into_bytes()),
                    Cell::Text(text) => Some(text.clone().into_bytes()),
                })
                .collect();
            assert_eq!(record.fields, want);
        }
    }
}
