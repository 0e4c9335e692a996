//! What the head of a log group says of the indexes of its table: which of them have entries among the group's rows, and which of those have all of
//! them (docs/design/log-groups.md).
//!
//! Who writes rows keeps all indexes that the table has by then. So an index that was made when rows were there already has entries of a part of
//! them until it is *filled*: rows are gone through in steps, each of which is an entry of the group, and says how far it came. Of an index
//! that was dropped the entries are *cleared* in the same way.

use reactor::mutants::planted;
use sql::Table;

use super::{element_bytes, varint_bytes};
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// How far each index is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// Numbers of indexes that may have entries here, in their order; and whether that is all of them.
    held: Vec<(u32, bool)>,
    /// The number of the index that is filled or cleared now, and where that goes on.
    place: Option<(u32, Vec<u8>)>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The number of an index.
    pub index: u32,
    /// It is filled; else it is cleared.
    pub fills: bool,
    /// Where that goes on. None: at the beginning.
    pub place: Option<Vec<u8>>,
}

impl Indexes {
    /// Of a group without rows.
    pub fn of_none(table: &Table) -> Indexes {
        let held = table.indexes.iter().map(|index| (index.id, true)).collect();
        let mut indexes = Indexes { held, place: None };
        indexes.held.sort_unstable();
        indexes
    }

    /// Rows are written as the table is now: of an index that it does not have, no entries are.
    pub fn note_written(&mut self, table: &Table) {
        let is_there = |id: u32| table.indexes.iter().any(|index| index.id == id);
        self.held.iter_mut().filter(|(id, _)| !is_there(*id)).for_each(|(_, is_whole)| *is_whole = false);
        for index in &table.indexes {
            if let Err(at) = self.held.binary_search_by_key(&index.id, |(held, _)| *held) {
                self.held.insert(at, (index.id, planted(564)));
            }
        }
    }

    /// Whether an index has the entries of all rows.
    pub fn is_whole(&self, index: u32) -> bool {
        self.held.binary_search(&(index, true)).is_ok()
    }

    /// The numbers of those indexes of the table that cannot be read yet.
    pub fn lacking(&self, table: &Table) -> Vec<u32> {
        table.indexes.iter().map(|index| index.id).filter(|id| !self.is_whole(*id)).collect()
    }

    /// What is to be done next for the indexes to be those of the table.
    pub fn next_task(&self, table: &Table) -> Option<Task> {
        let is_there = |id: u32| table.indexes.iter().any(|index| index.id == id);
        let gone = self.held.iter().map(|(id, _)| *id).find(|id| !is_there(*id));
        let lacking = || self.lacking(table).into_iter().min();
        let (index, fills) = gone.map(|id| (id, false)).or_else(|| Some((lacking()?, true)))?;
        let place = self.place.as_ref().filter(|(of, _)| *of == index).map(|(_, place)| place.clone());
        Some(Task { index, fills, place })
    }

    /// A step of a task was done; where it goes on, if that was not the last.
    pub fn note_step(&mut self, task: &Task, place: Option<&[u8]>) {
        let at = self.held.binary_search_by_key(&task.index, |(held, _)| *held);
        let is_over = place.is_none();
        match at {
            Ok(at) if is_over && !task.fills => drop(self.held.remove(at)),
            Ok(at) => self.held[at].1 = is_over && task.fills,
            Err(at) if task.fills => self.held.insert(at, (task.index, is_over)),
            Err(_) => {}
        }
        self.place = place.map(|place| (task.index, place.to_vec()));
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        let held: usize = self.held.iter().map(|(id, _)| varint_bytes((*id as usize) << 1)).sum();
        let place = self.place.as_ref();
        let of = place.map_or(1, |(of, place)| varint_bytes(*of as usize) + element_bytes(place));
        varint_bytes(self.held.len()) + held + of
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.held.len() as u64);
        for (id, is_whole) in &self.held {
            put_varint(out, u64::from(*id) << 1 | u64::from(*is_whole));
        }
        // No index has the number 0.
        let (of, place) = self.place.as_ref().map_or((0, &[][..]), |(of, place)| (*of, &place[..]));
        put_varint(out, of.into());
        if of > 0 {
            put_bytes(out, place);
        }
    }

    /// Reads an encoding.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Indexes, DecodeError> {
        let mut indexes = Indexes::default();
        for _ in 0..reader.count()? {
            let number = reader.varint()?;
            let id = u32::try_from(number >> 1).map_err(|_| DecodeError::Malformed)?;
            let is_next = indexes.held.last().is_none_or(|(last, _)| *last < id);
            if id == 0 || !is_next {
                return Err(DecodeError::Malformed);
            }
            indexes.held.push((id, number & 1 == 1));
        }
        let of = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
        if of > 0 {
            indexes.place = Some((of, reader.bytes()?.to_vec()));
        }
        Ok(indexes)
    }
}

#[cfg(test)]
mod tests {
    use sql::{Catalog, Context, Statement};

    use super::*;

    /// A table after these statements.
    fn table(statements: &[&str]) -> Table {
        let mut catalog = Catalog::default();
        let first = "CREATE TABLE t (k INT, n INT, v TEXT, PRIMARY KEY (k, n)) WITH (layout = 'large')";
        for text in std::iter::once(&first).chain(statements) {
            let statement = Statement::parse(text.as_bytes()).expect("it is well formed");
            let context = Context { parameters: &[], now_micros: 0, random: [0, 0] };
            let changed = catalog.change(&statement, &context).expect("it can be done");
            catalog = changed.catalog.unwrap_or(catalog);
        }
        Table::clone(catalog.table("t").expect("it is there"))
    }

    const ONE: &str = "CREATE INDEX one ON t (v)";
    const TWO: &str = "CREATE INDEX two ON t (n, v)";

    fn task(index: u32, fills: bool, place: Option<&[u8]>) -> Option<Task> {
        Some(Task { index, fills, place: place.map(<[u8]>::to_vec) })
    }

    #[test]
    fn indexes_that_were_there_first_are_whole() {
        let both = table(&[ONE, TWO]);
        let mut indexes = Indexes::of_none(&both);
        assert!(indexes.lacking(&both).is_empty() && indexes.is_whole(1) && indexes.is_whole(2));
        indexes.note_written(&both);
        assert_eq!((indexes.next_task(&both), indexes.is_whole(3)), (None, false));
    }

    #[test]
    fn one_that_came_later_is_filled() {
        let (none, both) = (table(&[]), table(&[ONE, TWO]));
        let mut indexes = Indexes::of_none(&none);
        assert_eq!(indexes.lacking(&both), [1, 2]);
        assert_eq!(indexes.next_task(&both), task(1, true, None));
        indexes.note_written(&both);
        assert_eq!(indexes.lacking(&both), [1, 2], "rows are there that have no entries");
        let first = indexes.next_task(&both).expect("the first is to be filled");
        indexes.note_step(&first, Some(b"p"));
        assert_eq!(
            (indexes.lacking(&both), indexes.next_task(&both)),
            (vec![1, 2], task(1, true, Some(b"p")))
        );
        indexes.note_step(&first, None);
        assert_eq!((indexes.lacking(&both), indexes.next_task(&both)), (vec![2], task(2, true, None)));
        let second = indexes.next_task(&both).expect("the second is to be filled");
        indexes.note_step(&second, None);
        assert_eq!((indexes.lacking(&both), indexes.next_task(&both)), (vec![], None));
    }

    #[test]
    fn one_that_went_is_cleared_also_where_it_was_not_whole() {
        let (one, both) = (table(&[ONE]), table(&[ONE, TWO]));
        let second = table(&[ONE, TWO, "DROP INDEX one"]);
        let mut indexes = Indexes::of_none(&one);
        indexes.note_written(&both);
        let fill = indexes.next_task(&both).expect("the second is to be filled");
        indexes.note_step(&fill, Some(b"p"));
        // Whatever else is under way, what is gone goes first; and that begins at its own place.
        let clear = indexes.next_task(&second).expect("the first is to be cleared");
        assert_eq!(Some(clear.clone()), task(1, false, None));
        indexes.note_step(&clear, Some(b"q"));
        assert_eq!(indexes.next_task(&second), task(1, false, Some(b"q")));
        indexes.note_step(&clear, None);
        assert_eq!(indexes.next_task(&second), task(2, true, None), "from the beginning");
        let none = table(&[ONE, TWO, "DROP INDEX one", "DROP INDEX two"]);
        let mut written = Indexes::of_none(&both);
        written.note_written(&second);
        assert!(!written.is_whole(1) && written.is_whole(2), "what is written now has no entries of it");
        assert_eq!(indexes.next_task(&none), task(2, false, None));
        indexes.note_step(&Task { index: 2, fills: false, place: None }, None);
        assert_eq!((indexes.next_task(&none), indexes), (None, Indexes::default()));
    }

    #[test]
    fn they_come_back_and_nothing_else_does() {
        let both = table(&[ONE, TWO]);
        let mut indexes = Indexes::of_none(&table(&[ONE]));
        indexes.note_written(&both);
        for place in [None, Some(&b"pp"[..])] {
            indexes.note_step(&Task { index: 2, fills: true, place: None }, place);
            let mut bytes = Vec::new();
            indexes.encode(&mut bytes);
            assert_eq!(bytes.len(), indexes.encoded_bytes());
            let read = |bytes: &[u8]| {
                let mut reader = Reader::new(bytes);
                let indexes = Indexes::take(&mut reader)?;
                reader.end().map(|()| indexes)
            };
            assert_eq!(read(&bytes), Ok(indexes.clone()));
            (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
        }
        for index in [63, 64, 16_384, u32::MAX] {
            let mut indexes = Indexes::default();
            indexes.note_step(&Task { index, fills: true, place: None }, Some(&[7; 200]));
            let mut bytes = Vec::new();
            indexes.encode(&mut bytes);
            assert_eq!(bytes.len(), indexes.encoded_bytes(), "the number {index}");
        }
        let mut reader = Reader::new(&[2, 5, 5, 0]);
        assert_eq!(Indexes::take(&mut reader), Err(DecodeError::Malformed), "one twice");
        let mut reader = Reader::new(&[1, 1, 0]);
        assert_eq!(Indexes::take(&mut reader), Err(DecodeError::Malformed), "the number 0");
    }
}
