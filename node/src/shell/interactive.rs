//! The shell on a terminal: lines with editing and history, and prompts that say what is open.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use signal_hook::consts::SIGINT;

use super::error::Trouble;
use super::limits::HISTORY_ENTRIES_MAX;
use super::session::{Flow, Session};
use super::split::{Item, Splitter};

/// What a shell says that Ctrl-C has ended, while it did not stop what it did.
const INTERRUPTED: i32 = 130;

/// The file of the history: in the user's state directory.
fn history_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("synod").join("sql_history"))
}

struct Lines {
    editor: Editor<(), FileHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    fn new() -> rustyline::Result<Lines> {
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES_MAX)?
            .history_ignore_dups(true)?
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        let history = history_path();
        if let Some(path) = &history {
            // The first time there is none. Without a history everything else works.
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = editor.load_history(path);
        }
        Ok(Lines { editor, history })
    }

    /// Remembers a statement or command as one entry.
    fn remember(&mut self, text: &str) {
        let added = self.editor.add_history_entry(text).unwrap_or(false);
        if let Some(path) = self.history.as_ref().filter(|_| added) {
            if let Err(error) = self.editor.append_history(path) {
                eprintln!("the history is not kept: cannot write to {}: {error}", path.display());
                self.history = None;
            }
        }
    }
}

/// Reads and runs until `\q` or Ctrl-D. Errors are shown, and end nothing.
pub(super) fn run(session: &mut Session) -> Result<(), Trouble> {
    let terminal =
        |error: &dyn std::fmt::Display| Trouble::Local(format!("cannot use the terminal: {error}"));
    let mut lines = Lines::new().map_err(|error| terminal(&error))?;
    // The first Ctrl-C stops what is under way where it can be stopped, the second the shell.
    let stop = Arc::clone(&session.stop);
    signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&stop))
        .and_then(|_| signal_hook::flag::register(SIGINT, stop))
        .map_err(|error| terminal(&error))?;
    let host = session.connect()?;
    println!("synod {} at {host}; \\? for help, \\q to end", env!("CARGO_PKG_VERSION"));
    let mut splitter = Splitter::default();
    loop {
        let prompt = format!("synod{}> ", splitter.sign());
        let text = match lines.editor.readline(&prompt) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => {
                splitter.reset();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal(&error)),
        };
        // What is pasted may have several lines.
        for line in text.split('\n') {
            match splitter.push(line) {
                Ok(items) => {
                    for (_, item) in items {
                        match run_one(session, &mut lines, item) {
                            Flow::Quit => return Ok(()),
                            Flow::Reset => splitter.reset(),
                            Flow::Next | Flow::Skip(_) => {}
                        }
                    }
                }
                Err(trouble) => {
                    eprintln!("{trouble}");
                    splitter.reset();
                }
            }
        }
    }
}

fn run_one(session: &mut Session, lines: &mut Lines, item: Item) -> Flow {
    lines.remember(&match &item {
        Item::Statement(text) => format!("{text};"),
        Item::Command(text) => format!("\\{text}"),
    });
    match session.item(item, None) {
        Ok(flow) => flow,
        Err(trouble) => {
            eprintln!("{trouble}");
            // A reader that is slow to show errors shall not show them behind the next prompt.
            let _ = std::io::stderr().flush();
            Flow::Next
        }
    }
}
