//! Small text files that are whole or refused: written aside, synced, renamed, and closed by a line with a checksum.
//!
//! The format is described in docs/formats/datadir.md.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{io, DataDirError};
use super::limits::FILE_BYTES_MAX;

const SEAL: &str = "#end bytes=";

/// Writes `name` in `directory` so that after a crash there is the old file or the new one, never a part. Durable on
/// return. Readable by the owner alone.
pub fn write(directory: &Path, name: &str, body: &str) -> Result<(), DataDirError> {
    assert!(body.ends_with('\n') && !body.contains(SEAL), "a body is whole lines and holds no seal");
    let sealed = format!("{body}{SEAL}{} crc32c={:08x}\n", body.len(), crc32c::crc32c(body.as_bytes()));
    write_plain(directory, name, &sealed)
}

/// As [`write()`], without the closing line: for files that other programs read.
pub fn write_plain(directory: &Path, name: &str, content: &str) -> Result<(), DataDirError> {
    let aside = directory.join(format!("{name}.new"));
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&aside).map_err(io("create", &aside))?;
    file.write_all(content.as_bytes()).map_err(io("write", &aside))?;
    file.sync_all().map_err(io("sync", &aside))?;
    std::fs::rename(&aside, &path).map_err(io("rename to", &path))?;
    sync_directory(directory)
}

/// Makes creations, renames and removals in `directory` durable.
pub fn sync_directory(directory: &Path) -> Result<(), DataDirError> {
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(io("sync", directory))
}

/// Reads a sealed file; none when there is no such file.
pub fn read(path: &Path) -> Result<Option<String>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("open", path)(e)),
    };
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(io("read", path))?;
    unseal(&content).map(Some).ok_or_else(|| {
        DataDirError::Damaged(format!(
            "{} is damaged: its closing checksum does not fit; restore the file from a copy of this host, or replace the host",
            path.display()
        ))
    })
}

fn unseal(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let (body, seal) = text.rsplit_once(SEAL)?;
    let (bytes, checksum) = seal.strip_suffix('\n')?.split_once(" crc32c=")?;
    let whole = bytes.parse() == Ok(body.len())
        && u32::from_str_radix(checksum, 16) == Ok(crc32c::crc32c(body.as_bytes()))
        && text.len() as u64 <= FILE_BYTES_MAX;
    whole.then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        assert!(read(&path).expect("no file is no error").is_none());
        write(dir.path(), "f", "format = 1\nhost = 2\n").expect("written");
        assert_eq!(read(&path).expect("reads").as_deref(), Some("format = 1\nhost = 2\n"));
        let whole = std::fs::read(&path).expect("bytes");
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            assert_eq!(unseal(&changed), None, "byte {index}");
            assert_eq!(unseal(&whole[..index]), None, "cut at {index}");
        }
    }
}
