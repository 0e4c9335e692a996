//! Filters: which keys a section certainly has not.
//!
//! A split-block Bloom filter (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; the layout is that of
//! Apache Parquet): a key sets one bit in each of the eight words of one block of 32 bytes, so that asking costs one line of the
//! processor's cache. With ten bits a key it says "perhaps" to one in a hundred of those that are not there.

/// Bytes of a block of the filter.
const BLOCK_BYTES: usize = 32;

/// Odd factors, one for each word, as Parquet has them.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The hash of a key, as filters use it.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// Makes the filter of these keys, with so many bits for each.
pub(crate) fn build(hashes: &[u64], bits_per_key: usize) -> Vec<u8> {
    let blocks = (hashes.len() * bits_per_key).div_ceil(8 * BLOCK_BYTES);
    let mut filter = vec![0; blocks * BLOCK_BYTES];
    for hash in hashes.iter().filter(|_| blocks > 0) {
        let start = block_of(*hash, blocks) * BLOCK_BYTES;
        for (word, bit) in bits(*hash).enumerate() {
            filter[start + 4 * word + bit as usize / 8] |= 1 << (bit % 8);
        }
    }
    filter
}

/// Whether the key of this hash may be among those of the filter. One of no bytes, or of a length that none has, says "perhaps".
#[inline]
pub(crate) fn may_have(filter: &[u8], hash: u64) -> bool {
    let blocks = filter.len() / BLOCK_BYTES;
    if blocks == 0 {
        return true;
    }
    let start = block_of(hash, blocks) * BLOCK_BYTES;
    let Some(block) = filter.get(start..start + BLOCK_BYTES) else { return true };
    bits(hash).enumerate().all(|(word, bit)| block[4 * word + bit as usize / 8] & 1 << (bit % 8) != 0)
}

fn block_of(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// Which bit of each word is the key's.
fn bits(hash: u64) -> impl Iterator<Item = u32> {
    SALTS.iter().map(move |salt| (hash as u32).wrapping_mul(*salt) >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_denied_and_the_rest_mostly() {
        for count in [0, 1, 10, 1_000, 50_000] {
            let hashes: Vec<u64> = (0..count).map(|n: u64| hash(&n.to_le_bytes())).collect();
            let filter = build(&hashes, 10);
            assert!(hashes.iter().all(|hash| may_have(&filter, *hash)), "{count} keys");
            let wrong =
                (0..100_000_u64).filter(|n| may_have(&filter, hash(&(n + count).to_be_bytes()))).count();
            assert!(count == 0 || wrong < 2_000, "{wrong} of 100,000 of {count}");
        }
    }

    #[test]
    fn bytes_of_any_length_are_a_filter() {
        (0..100).for_each(|bytes| {
            may_have(&vec![0xa5; bytes], hash(b"key"));
        });
    }
}
