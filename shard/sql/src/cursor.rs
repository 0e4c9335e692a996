//! Cursors: where the next page of a SELECT begins. A cursor says of which table and path it is, and has a checksum, so that one of another
//! statement is refused and not believed.

use crate::bytes::{put_bytes, put_count, Reader};
use crate::error::{Error, ErrorKind};
use crate::limits::CURSOR_BYTES_MAX;
use crate::plan::{Access, Path};
use crate::schema::Table;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

/// A place on a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where the walk over all partitions was, if they are all read: a number of the owner's.
    pub(crate) walk: Option<u64>,
    /// The partition there.
    pub(crate) partition: Option<Vec<u8>>,
    /// What was looked at last: a row's key, or an entry's of an index.
    pub(crate) key: Option<Vec<u8>>,
}

/// What a cursor must be of.
fn path_number(table: &Table, access: &Access) -> u64 {
    let path = match &access.path {
        Path::Keys(_) | Path::Rows(_) => 0,
        Path::Index(place, _) => table.indexes[*place].id.into(),
    };
    path << 1 | u64::from(access.backwards)
}

/// A cursor that was given, before it is known whether it is one of the statement.
#[derive(Debug)]
pub(crate) struct Given {
    table: u64,
    path: u64,
    all: bool,
    position: Position,
}

fn wrong() -> Error {
    let message = "the cursor is none of this statement; begin with CURSOR '0' and give back what came, with the same statement";
    Error::new(ErrorKind::Value, "34000", message)
}

impl Given {
    /// Reads a cursor. None: at the beginning.
    pub(crate) fn parse(text: &str) -> Result<Option<Given>, Error> {
        if text == "0" {
            return Ok(None);
        }
        if text.len() > CURSOR_BYTES_MAX {
            return Err(wrong());
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        });
        let bytes = pairs.collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
        let mut reader = Reader::new(&bytes, "the cursor");
        let read = (|| {
            let checksum = u32::from_le_bytes(reader.array::<CHECKSUM_BYTES>()?);
            let is_whole = crc32c::crc32c(reader.rest) == checksum && reader.byte()? == FORMAT;
            let (table, path, all) = (reader.count()?, reader.count()?, reader.byte()? == 1);
            let walk = if all { Some(u64::from_le_bytes(reader.array()?)) } else { None };
            let (partition, key) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
            reader.end()?;
            let given = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
            let position = Position { walk, partition: given(partition), key: given(key) };
            Ok::<_, Error>((is_whole, Given { table, path, all, position }))
        })();
        match read {
            Ok((true, given)) => Ok(Some(given)),
            _ => Err(wrong()),
        }
    }

    /// The number of the index by which its statement went; 0: by the primary key. A statement goes on as it began, whatever indexes came since.
    pub(crate) fn index(&self) -> u64 {
        self.path >> 1
    }

    /// Its place, if it is a cursor of this statement.
    pub(crate) fn check(self, table: &Table, access: &Access, all: bool) -> Result<Position, Error> {
        let is_of = (self.table, self.path, self.all) == (table.id.into(), path_number(table, access), all);
        is_of.then_some(self.position).ok_or_else(wrong)
    }
}

impl Position {
    /// Bytes of memory behind it.
    pub(crate) fn bytes(&self) -> usize {
        [&self.partition, &self.key].into_iter().flatten().map(Vec::len).sum()
    }

    pub(crate) fn show(&self, table: &Table, access: &Access) -> String {
        let mut body = vec![FORMAT];
        put_count(table.id.into(), &mut body);
        put_count(path_number(table, access), &mut body);
        body.push(self.walk.is_some().into());
        body.extend(self.walk.iter().flat_map(|walk| walk.to_le_bytes()));
        put_bytes(self.partition.as_deref().unwrap_or_default(), &mut body);
        put_bytes(self.key.as_deref().unwrap_or_default(), &mut body);
        let checksum = crc32c::crc32c(&body).to_le_bytes();
        checksum.iter().chain(&body).map(|byte| format!("{byte:02x}")).collect()
    }
}
