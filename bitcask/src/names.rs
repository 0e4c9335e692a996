//! The names of the files in a core's directory.

/// The file that holds the directory's secret.
pub(crate) const IDENTITY: &str = "bitcask.id";

/// Ends the names of files that are not complete; they are removed at start-up.
pub(crate) const UNFINISHED: &str = ".tmp";

/// A segment's file.
pub(crate) fn segment(id: u64) -> String {
    format!("seg-{id:016x}.log")
}

/// The file of a segment's hint.
pub(crate) fn hint(id: u64) -> String {
    format!("hint-{id:016x}.log")
}

/// The id in a segment's file name.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    parse(name, "seg-")
}

/// The segment's id in a hint's file name.
pub(crate) fn hint_id(name: &str) -> Option<u64> {
    parse(name, "hint-")
}

fn parse(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(".log")?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    // Only the one spelling that this build writes.
    (digits == format!("{id:016x}")).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(segment_id(&segment(0x1_0000_00ff)), Some(0x1_0000_00ff));
        assert_eq!(hint_id(&hint(u64::MAX)), Some(u64::MAX));
        for bad in ["seg-1.log", "seg-00000001000000FF.log", "seg-0000000100000001.log.tmp", "hint-", "x"] {
            assert_eq!((segment_id(bad), hint_id(bad)), (None, None), "{bad}");
        }
    }
}
