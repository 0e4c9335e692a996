//! Small decisions off the front of an input.

/// What is left of an input. Where it is used up every decision is zero, so every input is valid.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of an input.
    pub fn new(rest: &'a [u8]) -> Input<'a> {
        Input { rest }
    }

    /// Whether it is used up.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    /// The next two bytes, the low one first.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// As many of the next bytes as there are, up to this many.
    pub fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Bytes behind their number, which is two bytes long.
    pub fn chunk(&mut self) -> &'a [u8] {
        let bytes = self.word();
        self.take(usize::from(bytes))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Lengths of pieces that a stream is cut into, drawn from one number: short ones and long ones, and never 0.
#[derive(Clone, Copy, Debug)]
pub struct Cuts(u32);

impl Cuts {
    /// The cuts of a number.
    pub fn new(seed: u16) -> Cuts {
        Cuts(u32::from(seed).wrapping_mul(0x9E37_79B9) | 1)
    }

    /// The length of the next piece.
    pub fn next(&mut self) -> usize {
        // xorshift: any spread of lengths will do, and the same number gives the same ones.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let most = 1 << (self.0 >> 29);
        1 + (self.0 >> 3) as usize % most
    }
}

/// Encodes a chunk as [`Input::chunk`] reads it, for seeds.
pub fn put_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}
