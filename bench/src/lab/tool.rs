//! Running the tools of the system (`ip`, `mount`, ...): to their end, with what they said if they fail.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::BenchError;

/// Where tools are looked for, besides `PATH`: a plain user's does not name the administrator's folders.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The path of a tool, if it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a tool and gives what it printed.
///
/// # Errors
/// It cannot be started, or ends with a failure: what it said.
pub fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<String, BenchError> {
    run_with_input(name, arguments, "")
}

/// Runs a tool with this standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input<S: AsRef<OsStr>>(
    name: &str,
    arguments: &[S],
    input: &str,
) -> Result<String, BenchError> {
    let line = || {
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        format!("{name} {}", words.join(" "))
    };
    let program = find(name).ok_or_else(|| BenchError::Command(format!("{name} is not installed")))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| BenchError::io(line(), source))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A tool that ends without reading its input says by its status whether that was right.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|source| BenchError::io(line(), source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BenchError::Command(format!("{} ended with {}: {}", line(), output.status, said.trim())))
}
