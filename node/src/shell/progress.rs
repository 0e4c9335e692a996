//! How far a copy is, on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAWS_PER_SECOND: u8 = 5;

/// A line on the standard error output, if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `bytes`: of the whole file, if it is one. `quiet`: the rows themselves go to that terminal.
    pub(super) fn new(bytes: Option<u64>, quiet: bool) -> Progress {
        let target = match quiet || !std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
        };
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::with_draw_target(Some(bytes), target),
                "{bar:30} {percent:>3} %  {msg}  {eta} left",
            ),
            None => (ProgressBar::with_draw_target(None, target), "{spinner} {msg}"),
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Progress { bar }
    }

    /// So many rows are done, and so many bytes of the file are read.
    pub(super) fn show(&self, rows: u64, bytes: u64) {
        let seconds = self.bar.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        self.bar.set_message(format!("{rows} rows, {:.0} rows/s", rows as f64 / seconds));
        self.bar.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
