//! The slot of a key: CRC16 (XMODEM) of the key, or of its {tag}, modulo 16384, as Redis Cluster has it.
//!
//! Source: Redis Cluster specification, "Hash tags" and appendix A.

/// Number of slots. Fixed by the protocol of Redis Cluster.
pub const SLOTS: u16 = 16384;

/// Bytes that are taken at a step.
const STEP: usize = 8;

/// CRC16 XMODEM: polynomial 0x1021, initial value 0, no reflection, no final xor. One entry per high byte; in each table
/// but the first with one more zero byte behind it.
static TABLES: [[u16; 256]; STEP] = {
    let mut tables = [BYTES; STEP];
    let mut zeros = 1;
    while zeros < STEP {
        let mut index = 0;
        while index < 256 {
            let crc = tables[zeros - 1][index];
            tables[zeros][index] = (crc << 8) ^ BYTES[(crc >> 8) as usize];
            index += 1;
        }
        zeros += 1;
    }
    tables
};

const BYTES: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// CRC16 XMODEM of bytes.
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut steps = bytes.chunks_exact(STEP);
    let mut crc = 0_u16;
    for step in &mut steps {
        let [high, low] = crc.to_be_bytes();
        let mixed = [step[0] ^ high, step[1] ^ low, step[2], step[3], step[4], step[5], step[6], step[7]];
        let terms = TABLES.iter().rev().zip(mixed).map(|(table, byte)| table[usize::from(byte)]);
        crc = terms.fold(0, |sum, term| sum ^ term);
    }
    let rest = steps.remainder().iter();
    rest.fold(crc, |crc, &byte| (crc << 8) ^ BYTES[usize::from((crc >> 8) as u8 ^ byte)])
}

/// The part of a key that decides its slot: what lies between the first `{` and the first `}` after it, unless
/// that is empty; else the whole key.
pub fn tag(key: &[u8]) -> &[u8] {
    // All bytes at once: the processor compares sixteen of them at a time.
    if !key.iter().fold(false, |found, byte| found | (*byte == b'{')) {
        return key;
    }
    let inside = || {
        let open = key.iter().position(|&byte| byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|&byte| byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    inside().unwrap_or(key)
}

/// The slot of a key: 0 .. [`SLOTS`] - 1.
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn steps_of_several_bytes_give_what_single_ones_do() {
        let bytes: Vec<u8> = (0..100_u8).map(|n| n.wrapping_mul(151)).collect();
        for end in 0..bytes.len() {
            let slowly = bytes[..end]
                .iter()
                .fold(0_u16, |crc, byte| (crc << 8) ^ BYTES[usize::from((crc >> 8) as u8 ^ byte)]);
            assert_eq!(crc16(&bytes[..end]), slowly, "{end} bytes");
        }
    }

    #[test]
    fn slots_as_redis_has_them() {
        let table: [(&[u8], u16); 6] =
            [(b"", 0), (b"foo", 12182), (b"bar", 5061), (b"hello", 866), (b"somekey", 11058), (b"a", 15495)];
        for (key, want) in table {
            assert_eq!(slot(key), want, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn tags_as_redis_has_them() {
        let table: [(&[u8], &[u8]); 9] = [
            (b"{user1000}.following", b"user1000"),
            (b"foo{}{bar}", b"foo{}{bar}"),
            (b"foo{{bar}}zap", b"{bar"),
            (b"foo{bar}{zap}", b"bar"),
            (b"{", b"{"),
            (b"{}", b"{}"),
            (b"}{", b"}{"),
            (b"a}b{c}", b"c"),
            (b"{open", b"{open"),
        ];
        for (key, want) in table {
            assert_eq!(tag(key).escape_ascii().to_string(), want.escape_ascii().to_string());
        }
        assert_eq!(slot(b"x{foo}y"), slot(b"foo"));
    }
}
