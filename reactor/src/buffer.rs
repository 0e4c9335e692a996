//! Buffers aligned for O_DIRECT.
//!
//! A buffer is a list of 4 KiB blocks, so that its start and its length are always multiples of the block size,
//! without any unsafe code of ours.

/// The unit of all file I/O, in bytes: offsets, lengths and addresses are multiples of it.
pub const BLOCK_BYTES: usize = 4096;

/// One block with the alignment that O_DIRECT asks for.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// A block-aligned byte buffer whose length is a multiple of [`BLOCK_BYTES`].
#[derive(Clone, Default)]
pub struct AlignedBuf {
    blocks: Vec<Block>,
}

impl AlignedBuf {
    /// A zero-filled buffer of at least `bytes` bytes: the length is rounded up to whole blocks.
    pub fn zeroed(bytes: usize) -> AlignedBuf {
        AlignedBuf { blocks: bytemuck::zeroed_vec(bytes.div_ceil(BLOCK_BYTES)) }
    }

    /// A copy of `bytes`, padded with zeros to whole blocks.
    pub fn from_padded(bytes: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::zeroed(bytes.len());
        buf.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
        buf
    }

    /// Length in bytes, always a multiple of [`BLOCK_BYTES`].
    pub fn len(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// Whether the buffer has no blocks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many bytes the buffer can hold before it has to move.
    pub fn capacity(&self) -> usize {
        self.blocks.capacity() * BLOCK_BYTES
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.blocks)
    }

    /// Makes the length `bytes`, rounded up to whole blocks. Blocks that are added are zero; those that stay keep
    /// their bytes, so a reused buffer is cleared by whoever needs it clear.
    pub fn resize(&mut self, bytes: usize) {
        self.blocks.resize(bytes.div_ceil(BLOCK_BYTES), bytemuck::Zeroable::zeroed());
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_length_are_whole_blocks() {
        for (asked, len) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
            let buf = AlignedBuf::zeroed(asked);
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_slice().as_ptr() as usize % BLOCK_BYTES, 0);
            assert!(buf.as_slice().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn padding_is_zero_and_resize_keeps_what_stays() {
        let mut buf = AlignedBuf::from_padded(&[7; 5000]);
        assert_eq!(buf.len(), 8192);
        assert!(buf.as_slice()[..5000].iter().all(|&byte| byte == 7));
        assert!(buf.as_slice()[5000..].iter().all(|&byte| byte == 0));
        buf.resize(4096);
        buf.resize(8192);
        assert!(buf.as_slice()[..4096].iter().all(|&byte| byte == 7));
        assert!(buf.as_slice()[4096..].iter().all(|&byte| byte == 0));
    }
}
