//! Runs what is typed or read: statements, and commands.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use super::answer::{Answer, Rows};
use super::client::Client;
use super::command::{Command, CopyIn, CopyOut, Place, HELP};
use super::error::{printable, Trouble};
use super::print::Format;
use super::rows::Form;
use super::scan::first_words;
use super::source::{Source, UntilDot};
use super::split::{Item, Splitter};
use super::{copy_in, copy_out, pages};

/// A client, and how its answers are shown.
pub(super) struct Session {
    client: Client,
    format: Format,
    timing: bool,
    /// Ctrl-C was typed; looked at between pages and statements of a copy.
    pub(super) stop: Arc<AtomicBool>,
}

/// What comes behind a statement or command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// So many lines were rows.
    Skip(usize),
    /// The statement that has begun is forgotten.
    Reset,
    Quit,
}

impl Session {
    pub(super) fn new(client: Client, format: Format) -> Session {
        Session { client, format, timing: false, stop: Arc::default() }
    }

    /// The host that is connected to.
    pub(super) fn connect(&mut self) -> Result<&str, Trouble> {
        self.client.link()?;
        Ok(self.client.host())
    }

    /// Runs statements and commands to their end, or to the first that fails.
    pub(super) fn script(&mut self, source: &mut Source) -> Result<(), Trouble> {
        let (mut splitter, mut number) = (Splitter::default(), 0u64);
        loop {
            let name = source.name().to_owned();
            let line =
                source.line().map_err(|trouble| trouble.at(&format!("line {}", splitter.line() + 1)))?;
            let ended = line.is_none();
            let items = match line {
                Some(line) => splitter.push(&line),
                None => splitter.finish().map(|item| item.into_iter().collect()),
            };
            for (line, item) in items.map_err(|trouble| trouble.at(&name))? {
                number += 1;
                let flow = self.item(item, Some(source));
                match flow
                    .map_err(|trouble| trouble.at(&format!("{name} line {line}, statement {number}")))?
                {
                    Flow::Next => {}
                    Flow::Skip(lines) => splitter.skip(lines),
                    Flow::Reset => splitter.reset(),
                    Flow::Quit => return Ok(()),
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Runs one statement or command. Rows that it reads may be where it stands.
    pub(super) fn item(&mut self, item: Item, source: Option<&mut Source>) -> Result<Flow, Trouble> {
        self.stop.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        let flow = match item {
            Item::Statement(text) => self.statement(&text)?,
            Item::Command(text) => match Command::parse(&text)? {
                Command::Quit => return Ok(Flow::Quit),
                Command::Reset => return Ok(Flow::Reset),
                Command::Help => return self.tell(HELP.trim_end()),
                Command::Timing => {
                    self.timing = !self.timing;
                    return self.tell(if self.timing { "Timing is on." } else { "Timing is off." });
                }
                Command::Format(format) => {
                    self.format = format.unwrap_or(self.format);
                    return self.tell(&format!("Format is {}.", self.format.name()));
                }
                Command::Tables => self.statement("SHOW TABLES")?,
                Command::Describe(table) => self.statement(&format!("DESCRIBE {table}"))?,
                Command::CopyIn(copy) => self.copy_in(&copy, source)?,
                Command::CopyOut(copy) => self.copy_out(&copy)?,
            },
        };
        if self.timing {
            self.tell(&format!("Time: {:.3} ms", begun.elapsed().as_secs_f64() * 1000.0))?;
        }
        Ok(flow)
    }

    /// A line about what was done. Where rows are for programs it is none of them.
    fn tell(&self, text: &str) -> Result<Flow, Trouble> {
        if self.format == Format::Table {
            writeln!(std::io::stdout(), "{text}")
                .map_err(|error| Trouble::of_output("the standard output", &error))?;
        } else {
            eprintln!("{text}");
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, text: &str) -> Result<Flow, Trouble> {
        let failed = |error: std::io::Error| Trouble::of_output("the standard output", &error);
        let mut out = BufWriter::new(std::io::stdout());
        let (mut form, format): (Option<Box<dyn Form>>, Format) = (None, self.format);
        let mut told = None;
        pages::run(&mut self.client, text, &self.stop, |answer| {
            match answer {
                Answer::Rows(Rows { names, rows, cursor }) => {
                    let form = form.get_or_insert_with(|| format.form());
                    form.page(&names, &rows, &mut out).and_then(|()| out.flush()).map_err(failed)?;
                    told = cursor.map(|cursor| format!("CURSOR '{}'", printable(&cursor)));
                }
                Answer::Done => told = Some(first_words(text, 2)),
                Answer::Count(count) => told = Some(format!("{} {count}", first_words(text, 1))),
                Answer::NotApplied => told = Some(format!("{}: not applied", first_words(text, 1))),
            }
            Ok(())
        })?;
        if let Some(mut form) = form {
            form.end(&mut out).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        told.map_or(Ok(Flow::Next), |told| self.tell(&told))
    }

    fn copy_in(&mut self, copy: &CopyIn, source: Option<&mut Source>) -> Result<Flow, Trouble> {
        let (count, flow) = match &copy.from {
            Place::File(path) => {
                let name = path.display().to_string();
                let file = File::open(path)
                    .map_err(|error| Trouble::Local(format!("cannot read {name}: {error}")))?;
                let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|about| about.len());
                let mut input = BufReader::new(file);
                let copied = copy_in::run(&mut self.client, copy, (&name, size), &mut input, &self.stop);
                (copied?, Flow::Next)
            }
            Place::Standard => match source.and_then(Source::rows) {
                Some(input) => self.copy_rows(copy, &mut UntilDot::new(input))?,
                None => {
                    let (mut stdin, typed) = (std::io::stdin().lock(), std::io::stdin().is_terminal());
                    if typed {
                        self.tell("Rows of CSV, one to a line; \\. on a line of its own ends them.")?;
                    }
                    let mut rows = UntilDot::new(&mut stdin);
                    let copied = self.copy_rows(copy, &mut rows);
                    if typed {
                        // What is left of them is no statement.
                        let drained = rows.drain();
                        drained.map_err(|error| Trouble::Local(format!("cannot read the rows: {error}")))?;
                    }
                    copied?
                }
            },
        };
        self.tell(&format!("COPY {count}"))?;
        Ok(flow)
    }

    /// Copies rows up to a line with a dot.
    fn copy_rows(&mut self, copy: &CopyIn, rows: &mut UntilDot) -> Result<(u64, Flow), Trouble> {
        let count = copy_in::run(&mut self.client, copy, ("the rows", None), rows, &self.stop)?;
        Ok((count, Flow::Skip(rows.lines)))
    }

    fn copy_out(&mut self, copy: &CopyOut) -> Result<Flow, Trouble> {
        let count = copy_out::run(&mut self.client, copy, &self.stop)?;
        // Behind rows that go there it would be one of them.
        match copy.to {
            Place::Standard => Ok(Flow::Next),
            Place::File(_) => self.tell(&format!("COPY {count}")),
        }
    }
}
