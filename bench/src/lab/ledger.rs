//! The ledger of all runs: one line per run, so that counts add up over several runs on one commit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use super::report::Report;
use super::tool;
use crate::error::BenchError;

/// The first line of a ledger.
const HEAD: &str = "commit\tseed\tseconds\toperations\tanswered\tfaults\tlost\tduplicated\tviolations\tundecided\tlate\ttroubles\tgood";

/// Adds a run, and gives the sums of its commit as text.
///
/// # Errors
/// The file cannot be read or written.
pub fn add(path: &Path, commit: Option<&str>, report: &Report) -> Result<String, BenchError> {
    let what = |source| BenchError::io(format!("the ledger {}", path.display()), source);
    let commit = commit.map_or_else(current_commit, str::to_owned);
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(what)?;
    if file.metadata().map_err(what)?.len() == 0 {
        writeln!(file, "{HEAD}").map_err(what)?;
    }
    writeln!(file, "{}", line(&commit, report)).map_err(what)?;
    let text = std::fs::read_to_string(path).map_err(what)?;
    Ok(sums(&text, &commit))
}

/// The commit of the current folder, with a mark if files differ from it.
fn current_commit() -> String {
    let arguments = ["describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"];
    tool::run("git", &arguments).map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

fn line(commit: &str, report: &Report) -> String {
    let faults: Vec<String> = report.faults.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
    format!(
        "{commit}\t{}\t{:.0}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        report.seed,
        report.seconds,
        report.operations,
        report.answered,
        faults.join(","),
        report.lost,
        report.duplicated,
        report.violations,
        report.undecided,
        report.late_failures,
        report.troubles.len(),
        report.good
    )
}

/// What all runs of a commit come to.
fn sums(text: &str, commit: &str) -> String {
    let (mut runs, mut good) = (0_u64, 0_u64);
    let (mut seconds, mut operations, mut wrong) = (0_u64, 0_u64, [0_u64; 6]);
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, _, took, asked, _, kinds, counts @ .., verdict] = fields.as_slice() else { continue };
        if *id != commit {
            continue;
        }
        runs += 1;
        good += u64::from(*verdict == "true");
        seconds += number(took);
        operations += number(asked);
        for (sum, count) in wrong.iter_mut().zip(counts) {
            *sum += number(count);
        }
        for (kind, count) in kinds.split(',').filter_map(|kind| kind.split_once('=')) {
            *faults.entry(kind).or_default() += number(count);
        }
    }
    let [lost, duplicated, violations, undecided, late, troubles] = wrong;
    let mut out = format!(
        "ledger of {commit}: {runs} runs, {good} good, {seconds} s, {operations} operations; lost {lost}, applied twice \
         {duplicated}, not linearizable {violations}, undecided {undecided}, late {late}, troubles {troubles}\n"
    );
    let counts: Vec<String> = faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let _ = writeln!(out, "    faults: {}", counts.join(", "));
    out
}

/// A number of a line; a line that somebody has damaged counts as nothing.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_commit_add_up_and_others_do_not() {
        let text = format!(
            "{HEAD}\na\t1\t60\t100\t90\tkill=2,pause=1\t0\t0\t0\t0\t3\t0\tfalse\nb\t1\t60\t7\t7\tkill=9\t0\t0\t0\t0\t0\t0\ttrue\n\
             a\t2\t30\t50\t50\tkill=1\t0\t0\t0\t0\t0\t0\ttrue\nnonsense\n"
        );
        let sums = sums(&text, "a");
        assert!(sums.starts_with("ledger of a: 2 runs, 1 good, 90 s, 150 operations; lost 0"), "{sums}");
        assert!(sums.contains("late 3") && sums.contains("kill 3, pause 1"), "{sums}");
    }
}
