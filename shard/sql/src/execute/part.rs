//! What one partition gives to a SELECT that reads all of them (ALLOW SCAN), and what it is asked for.

use super::aggregate::Totals;
use crate::bytes::{put_bytes, put_count, put_datum, Reader};
use crate::datum::Datum;
use crate::error::Error;

/// What a partition is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of the table that the statement was planned for.
    pub table: u32,
    /// The version of that table: where it is another one, the part is none of this statement.
    pub version: u64,
    /// Most rows that are wanted; none where there is no bound, or they are aggregated.
    pub rows_max: Option<u64>,
    /// The place of the row behind which it begins.
    pub behind: Option<Vec<u8>>,
}

/// What a partition gives.
#[derive(Clone, Debug)]
pub struct Part {
    pub(crate) rows: Vec<Vec<Datum>>,
    pub(crate) totals: Totals,
    /// Rows that were looked at.
    pub(crate) examined: u64,
    /// The place of the last of them, if there may be more behind it.
    pub(crate) place: Option<Vec<u8>>,
}

impl Part {
    /// Its bytes, on the way to who asked.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_count(self.examined, &mut out);
        // No place is empty: it is the key of a row, or of an entry.
        put_bytes(self.place.as_deref().unwrap_or_default(), &mut out);
        self.totals.put(&mut out);
        put_count(self.rows.len() as u64, &mut out);
        for row in &self.rows {
            put_count(row.len() as u64, &mut out);
            row.iter().for_each(|value| put_datum(value, &mut out));
        }
        out
    }

    /// The part with these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Part, Error> {
        let mut reader = Reader::new(bytes, "what a partition gave");
        let (examined, place) = (reader.count()?, reader.bytes()?.to_vec());
        let totals = Totals::take(&mut reader)?;
        let mut rows = Vec::new();
        for _ in 0..reader.length()? {
            rows.push((0..reader.length()?).map(|_| reader.datum()).collect::<Result<Vec<_>, Error>>()?);
        }
        reader.end()?;
        Ok(Part { rows, totals, examined, place: (!place.is_empty()).then_some(place) })
    }
}
