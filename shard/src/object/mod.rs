//! Objects: values that are more than a string, with what can be done to them and their encodings (docs/design/collections.md).
//!
//! An object in memory costs one pointer to copy, and changes of the copy leave the original alone: a batch of commands runs on a copy,
//! and what is not chosen is dropped. Encodings are canonical: members in the order of their bytes (lists: in theirs), so equal
//! objects are equal bytes (docs/formats/record.md). An object knows the length of its encoding, so that a bound on it costs nothing.
//!
//! An object that *takes notes* knows what became of it ([`changes`]), and keeps a digest of itself up to date (`digest`): of a large object, what
//! changes is sent and stored, not all of it.
//!
//! Invariants: no object that is kept is empty, a key with an empty one is absent. Decoding checks everything and reserves nothing ahead of the
//! bytes.

pub mod changes;
mod digest;
pub mod group;
pub mod hash;
pub mod indexes;
pub mod list;
mod scan_order;
pub mod score;
pub mod seq;
pub mod set;
pub mod sorted_set;

use std::rc::Rc;

pub use self::changes::{Change, Misfit, Notes};
pub use self::group::{Group, Name, RowChange};
pub use self::hash::Hash;
pub use self::indexes::Indexes;
pub use self::list::List;
pub use self::scan_order::ScanOrder;
pub use self::score::Score;
pub use self::set::Set;
pub use self::sorted_set::SortedSet;
use crate::command::limits::OBJECT_ENTRIES_MAX;
use crate::command::{DecodeError, Reader};

/// A field, a value of a field, an element, a member: a copy costs one count.
pub type Element = Rc<[u8]>;

/// Bytes of a number as the encoding has it, seven bits each.
pub(crate) fn varint_bytes(number: usize) -> usize {
    (usize::BITS - number.leading_zeros()).max(1).div_ceil(7) as usize
}

/// Bytes of an element behind its length.
pub(crate) fn element_bytes(element: &[u8]) -> usize {
    varint_bytes(element.len()) + element.len()
}

/// How many entries follow: at least one, and no more than an object may have.
pub(crate) fn take_count(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = reader.count()?;
    if (1..=OBJECT_ENTRIES_MAX).contains(&count) {
        Ok(count)
    } else {
        Err(DecodeError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::put_varint;

    #[test]
    fn lengths_are_those_of_the_encoding() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, u32::MAX as usize, usize::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number as u64);
            assert_eq!(varint_bytes(number), bytes.len(), "{number}");
        }
    }
}
