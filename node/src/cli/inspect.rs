//! `synod inspect`: prints what a file of a data directory holds.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::boot::Failure;
use crate::config::limits::SEGMENT_BYTES;
use crate::datadir::{identity, sealed};

/// Prints one file; a directory is taken for a data directory, and its identity and peers are printed.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    if path.is_dir() {
        for name in [identity::IDENTITY_FILE, identity::PEERS_FILE] {
            if path.join(name).exists() {
                print_sealed(&path.join(name))?;
            }
        }
        return Ok(());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.as_str() {
        identity::IDENTITY_FILE | identity::PEERS_FILE => print_sealed(&path),
        _ => print_engine_file(&path),
    }
}

fn print_sealed(path: &Path) -> Result<(), Failure> {
    let text =
        sealed::read(path)?.ok_or_else(|| Failure::Other(format!("there is no file {}", path.display())))?;
    print_lines([format!("# {}: whole, its checksum fits", path.display()), text.trim_end().to_owned()])
}

/// A segment or a hint, frame by frame; the last line says why there are no more. By its name a table of a tree, block by block, or a
/// manifest, edit by edit.
fn print_engine_file(path: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Other(format!("cannot read {}: {e}", path.display()));
    let bytes_max = *SEGMENT_BYTES.end();
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::Usage(format!("{} is longer than any file that Synod writes", path.display())));
    }
    let is_of_a_tree = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lsm-"));
    if !is_of_a_tree {
        return print_lines(bitcask::inspect(&bytes));
    }
    let neither = || vec!["neither a whole table nor a manifest".to_owned()];
    print_lines(lsm::inspect(&bytes).unwrap_or_else(neither))
}

/// A reader that has seen enough, such as `head`, is no failure.
fn print_lines(lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = lines.into_iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::Other(format!("cannot print: {e}"))),
        _ => Ok(()),
    }
}
