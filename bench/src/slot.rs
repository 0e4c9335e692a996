//! Which of the 16,384 slots a key belongs to: CRC16 (XMODEM) of the key, or of its `{tag}` (Redis Cluster
//! specification).

use crate::limits::SLOTS;

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// The part of the key that decides the slot: what stands between the first `{` and the next `}`, if that is
/// not empty.
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let tail = key.get(open + 1..).unwrap_or_default();
    match tail.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(end) => &tail[..end],
    }
}

/// The slot of a key, `0..16384`.
pub fn slot_of(key: &[u8]) -> usize {
    usize::from(crc16(hashed_part(key))) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT of a Redis 7 server; the first is the check value of CRC16/XMODEM.
        let table: [(&str, usize); 9] = [
            ("123456789", 0x31c3),
            ("foo", 12182),
            ("{foo}bar", 12182),
            ("a{foo}{bar}", 12182),
            ("foo{}bar", slot_of_whole("foo{}bar")),
            ("foo{{bar}}zap", slot_of_whole("{bar")),
            ("foo{bar", slot_of_whole("foo{bar")),
            ("", 0),
            ("{user1000}.following", slot_of_whole("user1000")),
        ];
        for (key, slot) in table {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    fn slot_of_whole(text: &str) -> usize {
        usize::from(crc16(text.as_bytes())) % SLOTS
    }
}
