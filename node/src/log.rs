//! Logs: one line per change of state, written to the standard error output by a thread of their own.
//!
//! Human on a terminal, JSON otherwise (or as configured). A full queue drops lines instead of making an executor
//! wait. What may repeat is written through [`Repeats`], which lets one line through per period and counts the rest.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

use crate::config::value::{LogFormat, LogLevel};

/// Lines that wait for the writing thread; more are dropped. Some seconds of a very noisy process.
const QUEUED_LINES_MAX: usize = 16_384;

/// Keeps the writing thread; dropping it writes out what is queued.
#[must_use = "what is queued is written when the guard is dropped"]
#[derive(Debug)]
pub struct Guard(#[allow(dead_code)] Option<WorkerGuard>);

/// Starts logging. A second call in one process changes nothing (tests start several hosts in one).
pub fn start(format: LogFormat, level: LogLevel) -> Guard {
    let human = match format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES_MAX)
        .lossy(true)
        .finish(std::io::stderr());
    let builder =
        tracing_subscriber::fmt().with_max_level(filter(level)).with_writer(writer).with_target(false);
    let started = match human {
        true => tracing::subscriber::set_global_default(
            builder.with_ansi(std::io::stderr().is_terminal()).finish(),
        ),
        false => tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish()),
    };
    if started.is_err() {
        return Guard(None);
    }
    if !human {
        std::panic::set_hook(Box::new(panic_as_json));
    }
    Guard(Some(guard))
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// A panic ends the process, so its line cannot wait for the writing thread.
fn panic_as_json(info: &PanicHookInfo<'_>) {
    let backtrace = std::backtrace::Backtrace::capture().to_string();
    let line = serde_json::json!({ "level": "ERROR", "message": info.to_string(), "backtrace": backtrace });
    eprintln!("{line}");
}

/// Lets one line of a kind through per period, and says how many were held back since.
///
/// For one kind of line on one core; the clock is the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    period_ms: u64,
    last_ms: Option<u64>,
    held_back: u64,
}

impl Repeats {
    /// One line per `period_ms`.
    pub const fn new(period_ms: u64) -> Repeats {
        Repeats { period_ms, last_ms: None, held_back: 0 }
    }

    /// Whether to write the line now; if so, how many like it were held back since the last one.
    pub fn allow(&mut self, now_ms: u64) -> Option<u64> {
        let due = self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) >= self.period_ms);
        if !due {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.last_ms = Some(now_ms);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_held_back_and_counted() {
        let mut repeats = Repeats::new(1000);
        let asked = [0, 1, 999, 1000, 1500, 5000, 4000];
        let answers: Vec<Option<u64>> = asked.iter().map(|now| repeats.allow(*now)).collect();
        assert_eq!(answers, [Some(0), None, None, Some(2), None, Some(1), None]);
    }
}
