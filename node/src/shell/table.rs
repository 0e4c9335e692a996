//! Rows as psql shows them: aligned, numbers to the right, `NULL` for what is none, one line for each row.
//!
//! The widths are those of the first page; a later value that is wider makes its column wider from there on.

use std::io::{Result, Write};

use unicode_width::UnicodeWidthStr;

use super::answer::Cell;
use super::error::printable;
use super::limits::COLUMN_WIDTH_MAX;
use super::rows::Form;

/// A table on its way out.
#[derive(Default)]
pub(super) struct Table {
    columns: Option<Vec<Column>>,
    count: u64,
}

struct Column {
    width: usize,
    right: bool,
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => printable(text),
    }
}

/// Whether a value is a number: those of other types than INT and BIGINT come as text.
fn is_number(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Null => None,
        Cell::Int(_) => Some(true),
        Cell::Text(text) => {
            let digits = text.bytes().any(|byte| byte.is_ascii_digit());
            Some(
                digits && text.parse::<f64>().is_ok()
                    || matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity"),
            )
        }
    }
}

impl Column {
    fn new(name: &str, cells: &mut dyn Iterator<Item = &Cell>) -> Column {
        let numbers: Vec<bool> = cells.filter_map(is_number).collect();
        let right = !numbers.is_empty() && numbers.iter().all(|is_number| *is_number);
        Column { width: name.width().min(COLUMN_WIDTH_MAX), right }
    }

    fn widen(&mut self, text: &str) {
        self.width = self.width.max(text.width().min(COLUMN_WIDTH_MAX));
    }

    fn padded(&self, text: &str) -> String {
        let blanks = " ".repeat(self.width.saturating_sub(text.width()));
        if self.right {
            format!("{blanks}{text}")
        } else {
            format!("{text}{blanks}")
        }
    }

    fn centred(&self, name: &str) -> String {
        let blanks = self.width.saturating_sub(name.width());
        format!("{}{name}{}", " ".repeat(blanks / 2), " ".repeat(blanks - blanks / 2))
    }
}

fn line(cells: impl Iterator<Item = String>, out: &mut dyn Write) -> Result<()> {
    let cells: Vec<String> = cells.collect();
    writeln!(out, "{}", format!(" {}", cells.join(" | ")).trim_end())
}

impl Form for Table {
    fn page(&mut self, names: &[String], rows: &[Vec<Cell>], out: &mut dyn Write) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
        let texts: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let first = self.columns.is_none();
        let columns = self.columns.get_or_insert_with(|| {
            let column = |(place, name): (usize, &String)| {
                Column::new(name, &mut rows.iter().filter_map(|row| row.get(place)))
            };
            names.iter().enumerate().map(column).collect()
        });
        for row in &texts {
            columns.iter_mut().zip(row).for_each(|(column, text)| column.widen(text));
        }
        if first {
            line(columns.iter().zip(&names).map(|(column, name)| column.centred(name)), out)?;
            let rules: Vec<String> = columns.iter().map(|column| "-".repeat(column.width + 2)).collect();
            writeln!(out, "{}", rules.join("+"))?;
        }
        for row in &texts {
            line(columns.iter().zip(row).map(|(column, text)| column.padded(text)), out)?;
        }
        self.count += rows.len() as u64;
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        match self.count {
            1 => writeln!(out, "(1 row)\n"),
            count => writeln!(out, "({count} rows)\n"),
        }
    }
}
