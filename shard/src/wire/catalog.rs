//! What is said of the catalog of tables. Every message bears the version of its sender's.

use super::bytes::{Malformed, Reader};
use crate::limits::CATALOG_BYTES_MAX;

/// A word about the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogSaid<'a> {
    /// Asks for the receiver's.
    Ask,
    /// The sender's, as bytes.
    Tell(&'a [u8]),
    /// The sender has the version that its message bears.
    Have,
}

const ASK: u8 = 1;
const TELL: u8 = 2;
const HAVE: u8 = 3;

impl<'a> CatalogSaid<'a> {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            CatalogSaid::Ask => out.push(ASK),
            CatalogSaid::Tell(bytes) => {
                out.push(TELL);
                out.extend_from_slice(bytes);
            }
            CatalogSaid::Have => out.push(HAVE),
        }
    }

    pub(super) fn decode(mut reader: Reader<'a>) -> Result<CatalogSaid<'a>, Malformed> {
        let said = match reader.u8()? {
            ASK => CatalogSaid::Ask,
            HAVE => CatalogSaid::Have,
            TELL if reader.left() <= CATALOG_BYTES_MAX => return Ok(CatalogSaid::Tell(reader.rest())),
            _ => return Err(reader.malformed()),
        };
        reader.end()?;
        Ok(said)
    }
}
