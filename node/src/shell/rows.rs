//! What prints rows, in whichever form: names first, then pages of rows, then the end.

use std::io::{Result, Write};

use super::answer::Cell;

/// Rows on their way out.
pub(super) trait Form {
    /// A page; the first one comes with the names of the columns. Every row has as many values as there are names.
    fn page(&mut self, names: &[String], rows: &[Vec<Cell>], out: &mut dyn Write) -> Result<()>;

    /// All rows are out.
    fn end(&mut self, out: &mut dyn Write) -> Result<()>;
}
