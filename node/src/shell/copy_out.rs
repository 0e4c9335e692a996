//! `\copy (SELECT …) to`: rows to CSV, page by page.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::sync::atomic::AtomicBool;

use super::answer::Answer;
use super::client::Client;
use super::command::{CopyOut, Place};
use super::csv::Writer;
use super::error::Trouble;
use super::pages;
use super::progress::Progress;
use super::rows::Form;

/// Copies, and says how many rows.
pub(super) fn run(client: &mut Client, copy: &CopyOut, stop: &AtomicBool) -> Result<u64, Trouble> {
    let (name, mut out): (String, Box<dyn Write>) = match &copy.to {
        Place::Standard => ("the standard output".to_owned(), Box::new(std::io::stdout().lock())),
        Place::File(path) => {
            let name = path.display().to_string();
            let file = File::create(path);
            let file = file.map_err(|error| Trouble::Local(format!("cannot write to {name}: {error}")))?;
            (name, Box::new(BufWriter::new(file)))
        }
    };
    let failed = |error: std::io::Error| Trouble::of_output(&name, &error);
    let quiet = copy.to == Place::Standard && std::io::stdout().is_terminal();
    let (mut writer, mut count, progress) = (Writer::new(copy.header), 0u64, Progress::new(None, quiet));
    let copied = pages::run(client, &copy.query, stop, |answer| match answer {
        Answer::Rows(page) => {
            writer.page(&page.names, &page.rows, out.as_mut()).map_err(failed)?;
            count += page.rows.len() as u64;
            progress.show(count, 0);
            Ok(())
        }
        _ => Err(Trouble::Local("the statement has no rows: give \\copy a query".to_owned())),
    });
    drop(progress);
    let flushed = out.flush().map_err(failed);
    match copied.and(flushed) {
        Ok(()) => Ok(count),
        Err(Trouble::Closed) => Err(Trouble::Closed),
        Err(trouble) if count == 0 => Err(trouble),
        Err(trouble) => {
            Err(Trouble::Local(format!("{trouble}\n{count} rows are in {name}, and there are more")))
        }
    }
}
