//! `synod check`: looks at this machine and says what to mend.

use std::io::IsTerminal;

use crate::boot::hostcheck::{self, Grade};
use crate::boot::Failure;
use crate::config::Loaded;

/// Prints a line per finding, with what to do below; fails when a node could not run.
pub(super) fn run(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let wanted = settings.data_dir.as_path();
    let directory = wanted.ancestors().find(|path| path.is_dir()).unwrap_or(std::path::Path::new("."));
    let coloured = std::io::stdout().is_terminal();
    let findings = hostcheck::all(settings, directory);
    for finding in &findings {
        println!("{} {:<14} {}", mark(finding.grade, coloured), finding.name, finding.found);
        if let Some(fix) = &finding.fix {
            println!("     {:<14} -> {fix}", "");
        }
    }
    match findings.iter().any(|finding| finding.grade == Grade::Bad) {
        true => Err(Failure::Unusable("this machine cannot run a node as it is; see above".to_owned())),
        false => Ok(()),
    }
}

fn mark(grade: Grade, coloured: bool) -> &'static str {
    match (grade, coloured) {
        (Grade::Good, false) => "ok  ",
        (Grade::Warn, false) => "warn",
        (Grade::Bad, false) => "BAD ",
        (Grade::Good, true) => "\x1b[32mok  \x1b[0m",
        (Grade::Warn, true) => "\x1b[33mwarn\x1b[0m",
        (Grade::Bad, true) => "\x1b[31mBAD \x1b[0m",
    }
}
