//! `synod inspect`: prints what a file of a data directory holds.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::boot::Failure;
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
        _ => Err(Failure::Usage(format!("{} is not a file that Synod writes", path.display()))),
    }
}

fn print_sealed(path: &Path) -> Result<(), Failure> {
    let text =
        sealed::read(path)?.ok_or_else(|| Failure::Other(format!("there is no file {}", path.display())))?;
    println!("# {}: whole, its checksum fits", path.display());
    print!("{text}");
    Ok(())
}
