//! The forms in which rows are printed.

use std::io::{Result, Write};

use super::answer::Cell;
use super::csv;
use super::rows::Form;
use super::table::Table;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As psql shows them.
    Table,
    /// With a line of names; an empty field is NULL, and "" the empty text.
    Csv,
    /// An object for each row, one to a line.
    Json,
}

impl Format {
    /// The words for them.
    pub(crate) const NAMES: [&'static str; 3] = ["table", "csv", "json"];

    /// The format of a name.
    pub(crate) fn of(name: &str) -> Option<Format> {
        match name {
            "table" => Some(Format::Table),
            "csv" => Some(Format::Csv),
            "json" => Some(Format::Json),
            _ => None,
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
        }
    }

    /// What prints rows in it.
    pub(super) fn form(self) -> Box<dyn Form> {
        match self {
            Format::Table => Box::new(Table::default()),
            Format::Csv => Box::new(csv::Writer::new(true)),
            Format::Json => Box::new(Json),
        }
    }
}

struct Json;

impl Form for Json {
    fn page(&mut self, names: &[String], rows: &[Vec<Cell>], out: &mut dyn Write) -> Result<()> {
        // Two columns may have one name, the members of an object may not.
        let mut keys: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let (mut key, mut number) = (name.clone(), 2);
            while keys.contains(&key) {
                key = format!("{name}_{number}");
                number += 1;
            }
            keys.push(key);
        }
        for row in rows {
            out.write_all(b"{")?;
            for (place, (key, cell)) in keys.iter().zip(row).enumerate() {
                out.write_all(if place == 0 { b"" } else { b"," })?;
                serde_json::to_writer(&mut *out, key)?;
                out.write_all(b":")?;
                match cell {
                    Cell::Null => out.write_all(b"null")?,
                    Cell::Int(number) => write!(out, "{number}")?,
                    Cell::Text(text) => serde_json::to_writer(&mut *out, text)?,
                }
            }
            out.write_all(b"}\n")?;
        }
        Ok(())
    }

    fn end(&mut self, _: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    fn printed(format: Format, names: &[&str], pages: &[Vec<Vec<Cell>>]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (mut form, mut out) = (format.form(), Vec::new());
        pages.iter().for_each(|rows| form.page(&names, rows, &mut out).expect("memory"));
        form.end(&mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_format_of_the_same_rows() {
        let rows = vec![
            vec![Cell::Int(7), text("9.90"), text("a, \"b\""), Cell::Null],
            vec![Cell::Int(-12), Cell::Null, text(""), text("x\ny\u{1b}[2J")],
            vec![Cell::Null, text("-1e-7"), text("日本"), text("NULL")],
        ];
        let names = ["id", "total", "a long name", "note"];
        let table = [
            r#"  id  | total | a long name |    note"#,
            r#"------+-------+-------------+-------------"#,
            r#"    7 |  9.90 | a, "b"      | NULL"#,
            r#"  -12 |  NULL |             | x\ny\x1b[2J"#,
            r#" NULL | -1e-7 | 日本        | NULL"#,
            "(3 rows)\n\n",
        ];
        let table = table.join("\n");
        assert_eq!(printed(Format::Table, &names, std::slice::from_ref(&rows)), table);
        let csv = "id,total,a long name,note\n7,9.90,\"a, \"\"b\"\"\",\n-12,,\"\",\"x\ny\u{1b}[2J\"\n,-1e-7,日本,NULL\n";
        assert_eq!(printed(Format::Csv, &names, std::slice::from_ref(&rows)), csv);
        let json = "{\"id\":7,\"total\":\"9.90\",\"a long name\":\"a, \\\"b\\\"\",\"note\":null}\n\
                    {\"id\":-12,\"total\":null,\"a long name\":\"\",\"note\":\"x\\ny\\u001b[2J\"}\n\
                    {\"id\":null,\"total\":\"-1e-7\",\"a long name\":\"日本\",\"note\":\"NULL\"}\n";
        assert_eq!(printed(Format::Json, &names, &[rows]), json);
    }

    #[test]
    fn pages_make_one_table_and_no_rows_have_a_head() {
        let pages = [vec![vec![text("a"), Cell::Int(1)]], vec![vec![text("longer"), Cell::Int(100)]], vec![]];
        let want = " k | n\n---+---\n a | 1\n longer | 100\n(2 rows)\n\n";
        assert_eq!(printed(Format::Table, &["k", "n"], &pages), want);
        assert_eq!(printed(Format::Table, &["k", "n"], &[vec![]]), " k | n\n---+---\n(0 rows)\n\n");
        assert_eq!(printed(Format::Csv, &["k", "n"], &[vec![]]), "k,n\n");
        assert_eq!(printed(Format::Json, &["k", "n"], &[vec![]]), "");
        let one = [vec![vec![text("5"), text("five")]]];
        assert_eq!(printed(Format::Json, &["x", "x"], &one), "{\"x\":\"5\",\"x_2\":\"five\"}\n");
        assert_eq!(printed(Format::Table, &["x", "x"], &one), " x |  x\n---+------\n 5 | five\n(1 row)\n\n");
    }

    #[test]
    fn what_is_too_wide_stands_out_alone() {
        let long = "w".repeat(500);
        let out = printed(Format::Table, &["k"], &[vec![vec![text(&long)], vec![text("a")]]]);
        assert!(out.lines().all(|line| line.len() <= 123 || line.trim() == long), "{out}");
    }

    #[test]
    fn names_are_those_of_the_formats() {
        assert!(Format::NAMES
            .iter()
            .all(|name| Format::of(name).is_some_and(|format| format.name() == *name)));
        assert_eq!(Format::of("xml"), None);
    }
}
