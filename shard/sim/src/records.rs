//! The record of long runs: which seeds were played on which commit, and what that came to. A text file, one line for each batch,
//! so that a run may be ended at any time and go on later, and the counts of one commit add up.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::report::Sums;

/// The first line of the file.
const HEAD: &str = "# commit\tfirst seed\tend\toperations\tfaults\tvirtual seconds";

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The commit that was played.
    pub commit: String,
    /// The first seed.
    pub first: u64,
    /// The seed behind the last.
    pub end: u64,
    /// Operations of clients.
    pub operations: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Virtual time, in seconds.
    pub virtual_s: u64,
}

impl Batch {
    /// A batch without a failure.
    pub fn new(commit: &str, first: u64, end: u64, sums: &Sums) -> Batch {
        let operations = sums.replied + sums.failed + sums.unknown;
        let virtual_s = (sums.virtual_ns / 1_000_000_000) as u64;
        Batch { commit: commit.to_owned(), first, end, operations, faults: sums.faults, virtual_s }
    }

    fn line(&self) -> String {
        let Batch { commit, first, end, operations, faults, virtual_s } = self;
        format!("{commit}\t{first}\t{end}\t{operations}\t{faults}\t{virtual_s}")
    }

    fn parse(line: &str) -> Option<Batch> {
        let mut fields = line.split('\t');
        let commit = fields.next()?.to_owned();
        let numbers: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let [first, end, operations, faults, virtual_s] = numbers.try_into().ok()?;
        Some(Batch { commit, first, end, operations, faults, virtual_s })
    }
}

/// All batches in a file; none if there is no file.
///
/// # Errors
/// The file cannot be read, or a line of it cannot; the text says which.
pub fn read(path: &Path) -> Result<Vec<Batch>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
    };
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| Batch::parse(line).ok_or_else(|| format!("{}: {line:?}", path.display()))).collect()
}

/// Adds a batch at the end of a file, which is made if it is not there.
///
/// # Errors
/// The file cannot be written; the text says why.
pub fn append(path: &Path, batch: &Batch) -> Result<(), String> {
    let fails = |error: std::io::Error| format!("write {}: {error}", path.display());
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(fails)?;
    if file.metadata().map_err(fails)?.len() == 0 {
        writeln!(file, "{HEAD}").map_err(fails)?;
    }
    writeln!(file, "{}", batch.line()).map_err(fails)
}

/// The first seed from `first` on that was not played on a commit.
pub fn resume(batches: &[Batch], commit: &str, first: u64) -> u64 {
    let mut own: Vec<&Batch> = batches.iter().filter(|batch| batch.commit == commit).collect();
    own.sort_by_key(|batch| batch.first);
    own.iter().fold(first, |next, batch| if batch.first <= next { next.max(batch.end) } else { next })
}

/// What the batches of each commit come to, a line for each.
pub fn sums(batches: &[Batch]) -> Vec<String> {
    let mut by_commit: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for batch in batches {
        let sum = by_commit.entry(&batch.commit).or_default();
        let own = [batch.end - batch.first, batch.operations, batch.faults, batch.virtual_s];
        sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    let line = |(commit, [seeds, operations, faults, virtual_s]): (&str, [u64; 4])| {
        let days = virtual_s as f64 / 86_400.0;
        format!("{commit}: {seeds} seeds, {operations} operations, {faults} faults, {days:.1} days of virtual time")
    };
    by_commit.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(commit: &str, first: u64, end: u64) -> Batch {
        Batch { commit: commit.to_owned(), first, end, operations: 10, faults: 2, virtual_s: 86_400 }
    }

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let batch = batch("abc", 5, 9);
        assert_eq!(Batch::parse(&batch.line()), Some(batch));
        assert_eq!(Batch::parse("abc\t5\t9\tmany\t2\t3"), None);
        assert_eq!(Batch::parse("abc\t5\t9"), None);
    }

    #[test]
    fn a_run_goes_on_where_the_batches_of_its_commit_end() {
        let batches = [batch("a", 0, 100), batch("b", 0, 500), batch("a", 100, 150), batch("a", 300, 400)];
        assert_eq!(resume(&batches, "a", 0), 150);
        assert_eq!(resume(&batches, "a", 120), 150);
        assert_eq!(resume(&batches, "b", 600), 600);
        assert_eq!(resume(&batches, "c", 0), 0);
    }

    #[test]
    fn counts_of_a_commit_add_up() {
        let lines = sums(&[batch("a", 0, 100), batch("a", 100, 150)]);
        assert_eq!(lines, ["a: 150 seeds, 20 operations, 4 faults, 2.0 days of virtual time"]);
    }
}
