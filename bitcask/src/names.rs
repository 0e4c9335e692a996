//! The names of the files in a core's directory.

/// The file that holds the directory's secret.
pub(crate) const IDENTITY: &str = "bitcask.id";

/// Ends the names of files that are not complete; they are removed at start-up.
pub(crate) const UNFINISHED: &str = ".tmp";

/// The file that finds out whether there is space for a new log.
pub(crate) const SPACE: &str = "space.tmp";

/// The mark of a directory whose files are being put aside, for the n-th time.
pub(crate) fn losing(number: u32) -> String {
    format!("losing-{number}")
}

/// The name that a file gets when it is put aside.
pub(crate) fn lost(number: u32, name: &str) -> String {
    format!("lost-{number}-{name}")
}

/// The number in a mark's name.
pub(crate) fn losing_number(name: &str) -> Option<u32> {
    name.strip_prefix("losing-")?.parse().ok()
}

/// The number in the name of a file that was put aside.
pub(crate) fn lost_number(name: &str) -> Option<u32> {
    name.strip_prefix("lost-")?.split_once('-')?.0.parse().ok()
}

/// The id in the name of a segment that was put aside.
pub(crate) fn lost_segment_id(name: &str) -> Option<u64> {
    segment_id(name.strip_prefix("lost-")?.split_once('-')?.1)
}

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

/// Whether a file is one that the log is made of, complete or not: no mark, nothing that was put aside, nor what others have in the directory.
pub(crate) fn is_of_the_log(name: &str) -> bool {
    name == IDENTITY || name.ends_with(UNFINISHED) || segment_id(name).is_some() || hint_id(name).is_some()
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
        let aside = lost(7, &segment(3));
        assert_eq!((lost_number(&aside), lost_segment_id(&aside)), (Some(7), Some(3)));
        assert_eq!((segment_id(&aside), hint_id(&aside), losing_number(&aside)), (None, None, None));
        assert_eq!(losing_number(&losing(7)), Some(7));
        assert_eq!((lost_number(&losing(7)), lost_number(&segment(3))), (None, None));
        let of_the_log = [segment(3), hint(3), IDENTITY.to_owned(), segment(3) + UNFINISHED];
        assert!(of_the_log.iter().all(|name| is_of_the_log(name)));
        let others = [losing(7), aside, "lsm-0000000000000001.table".to_owned(), "seg-1.log".to_owned()];
        assert!(!others.iter().any(|name| is_of_the_log(name)));
    }
}
