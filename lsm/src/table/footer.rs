//! The footer: the last bytes of a table's file, which say where the rest lies.

use crate::error::Fault;

/// Bytes of the footer.
pub(crate) const FOOTER_BYTES: usize = 64;

/// The newest version of a table that this build writes and reads.
pub(crate) const TABLE_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"SYNTABLE";

/// Where a block lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub offset: u64,
    /// 0: there is none.
    pub bytes: u32,
}

/// What the footer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub table: u64,
    pub sections: Extent,
    pub ranges: Extent,
    pub statistics: Extent,
}

impl Footer {
    pub fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&TABLE_VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.table.to_le_bytes());
        for (at, extent) in [(20, self.sections), (32, self.ranges), (44, self.statistics)] {
            bytes[at..at + 8].copy_from_slice(&extent.offset.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&extent.bytes.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the footer of a file of this name and length from its last bytes.
    pub fn decode(last: &[u8], file: &str, file_bytes: u64) -> Result<Footer, Fault> {
        let offset = file_bytes.saturating_sub(FOOTER_BYTES as u64);
        let damage =
            |message: &str| Fault::Damage { file: file.to_owned(), offset, message: message.to_owned() };
        let bytes = last.last_chunk::<FOOTER_BYTES>().ok_or_else(|| damage("it has no footer"))?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let wide = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        if bytes[..8] != MAGIC {
            return Err(damage("no footer of a table is there"));
        }
        if crc32c::crc32c(&bytes[..60]) != number(60) {
            return Err(damage("the footer's checksum is not that of its bytes"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > TABLE_VERSION {
            return Err(Fault::Newer { file: file.to_owned(), found: version, supported: TABLE_VERSION });
        }
        let extent = |at: usize| Extent { offset: wide(at), bytes: number(at + 8) };
        let footer =
            Footer { table: wide(12), sections: extent(20), ranges: extent(32), statistics: extent(44) };
        let fits = |extent: Extent| {
            extent.offset.checked_add(u64::from(extent.bytes)).is_some_and(|end| end <= offset)
        };
        match [footer.sections, footer.ranges, footer.statistics].into_iter().all(fits) {
            true => Ok(footer),
            false => Err(damage("the footer names places beyond the file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_come_back_and_damage_is_seen() {
        let footer = Footer {
            table: 1 << 40,
            sections: Extent { offset: 4_096, bytes: 10 },
            ranges: Extent::default(),
            statistics: Extent { offset: 5_000, bytes: 3_000 },
        };
        let bytes = footer.encode();
        assert_eq!(Footer::decode(&bytes, "t", 8_192), Ok(footer));
        assert!(matches!(Footer::decode(&bytes, "t", 8_000), Err(Fault::Damage { .. })), "beyond the file");
        for bit in 0..FOOTER_BYTES * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&other, "t", 8_192).is_err(), "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        let crc = crc32c::crc32c(&newer[..60]);
        newer[60..].copy_from_slice(&crc.to_le_bytes());
        let fault = Fault::Newer { file: "t".into(), found: 2, supported: 1 };
        assert_eq!(Footer::decode(&newer, "t", 8_192), Err(fault));
    }
}
