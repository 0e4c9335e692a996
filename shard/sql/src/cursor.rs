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

impl Position {
    /// Bytes of memory behind it.
    pub(crate) fn bytes(&self) -> usize {
        [&self.partition, &self.key].into_iter().flatten().map(Vec::len).sum()
    }

    pub(crate) fn parse(text: &str, table: &Table, access: &Access, all: bool) -> Result<Position, Error> {
        if text == "0" {
            return Ok(Position::default());
        }
        let wrong = || {
            Error::new(ErrorKind::Value, "34000", "the cursor is none of this statement; begin with CURSOR '0' and give back what came, with the same statement")
        };
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
            let whole = crc32c::crc32c(reader.rest) == checksum;
            let of = (reader.byte()?, reader.count()?, reader.count()?, reader.byte()?);
            let walk = if all { Some(u64::from_le_bytes(reader.array()?)) } else { None };
            let place = (walk, reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
            reader.end()?;
            Ok::<_, Error>((
                whole && of == (FORMAT, table.id.into(), path_number(table, access), all.into()),
                place,
            ))
        })();
        match read {
            Ok((true, (walk, partition, key))) => {
                let given = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
                Ok(Position { walk, partition: given(partition), key: given(key) })
            }
            _ => Err(wrong()),
        }
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
