//! A digest of an object: equal objects have equal ones, and a change of the object changes it at the change's own cost.
//!
//! A *term* is the hash of one entry (XXH3, 64 bits, seeded by its type). The digest of a hash, set or sorted set is the sum of its terms,
//! modulo 2^64: whatever comes or goes is added or taken away.
//!
//! A list's entries have places, and a push on the left moves all of them. So its digest is a polynomial: the sum of term × BASE^place. What
//! comes in front multiplies the rest by BASE, what goes there divides it, which an odd number allows; at the other end a power is added
//! or taken away. So a push or pop at either end and an element in another's place cost one term and a power. An element that comes or
//! goes in the middle costs the terms between it and the nearer end: no more than finding it did.
//!
//! The digest finds what differs by mistake. Who wants two objects with one digest can make them; such an object is its author's own.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Score;

/// What the terms of each type begin with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seed {
    Hash = 1,
    List = 2,
    Set = 3,
    SortedSet = 4,
}

/// What a list's places are powers of: odd, so that it has an inverse.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = inverse(BASE);

/// By Newton's method: each step doubles the bits that are right, of which an odd number's own inverse has three to begin with.
const fn inverse(odd: u64) -> u64 {
    let (mut found, mut bits) = (odd, 3);
    while bits < u64::BITS {
        found = found.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(found)));
        bits *= 2;
    }
    found
}

fn power(base: u64, mut exponent: usize) -> u64 {
    let (mut power, mut square) = (1_u64, base);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        exponent /= 2;
    }
    power
}

/// The term of a member or an element.
pub(super) fn term(seed: Seed, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed as u64)
}

/// The term of a field with its value.
pub(super) fn field_term(field: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, term(Seed::Hash, field))
}

/// The term of a member with its score.
pub(super) fn score_term(member: &[u8], score: Score) -> u64 {
    xxh3_64_with_seed(&score.to_bytes(), term(Seed::SortedSet, member))
}

/// What an element adds at its place.
pub(super) fn at_place(place: usize, element: &[u8]) -> u64 {
    term(Seed::List, element).wrapping_mul(power(BASE, place))
}

/// What elements add that follow each other from a place on.
pub(super) fn of_elements<'a>(place: usize, elements: impl Iterator<Item = &'a super::Element>) -> u64 {
    let (mut sum, mut weight) = (0_u64, power(BASE, place));
    for element in elements {
        sum = sum.wrapping_add(term(Seed::List, element).wrapping_mul(weight));
        weight = weight.wrapping_mul(BASE);
    }
    sum
}

/// What a sum of elements becomes when all of them go so many places up.
pub(super) fn moved_up(sum: u64, places: usize) -> u64 {
    sum.wrapping_mul(power(BASE, places))
}

/// What a sum of elements becomes when all of them go so many places down.
pub(super) fn moved_down(sum: u64, places: usize) -> u64 {
    sum.wrapping_mul(power(INVERSE, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Element;

    #[test]
    fn what_is_moved_up_and_down_is_what_it_was() {
        assert_eq!(BASE.wrapping_mul(INVERSE), 1);
        for places in [0, 1, 2, 63, 64, 999_999] {
            assert_eq!(moved_down(moved_up(0x1234_5678_9abc_def1, places), places), 0x1234_5678_9abc_def1);
            assert_eq!(power(BASE, places + 1), power(BASE, places).wrapping_mul(BASE));
        }
    }

    /// They are in records: no version, host or start has others.
    #[test]
    fn terms_stay_what_they_are() {
        let score = Score::new(1.5).expect("is a number");
        let terms = [
            term(Seed::Set, b"member"),
            field_term(b"field", b"value"),
            score_term(b"member", score),
            at_place(3, b"element"),
        ];
        assert_eq!(terms.map(|term| format!("{term:016x}")), TERMS);
    }

    const TERMS: [&str; 4] = ["025c17da4f45f78a", "243928bd6dbb322d", "9023cf160c1c7f5e", "5baf711a434edd5a"];

    #[test]
    fn elements_in_another_order_have_another_sum() {
        let elements = |names: [&[u8]; 3]| names.map(Element::from);
        let sum = |elements: [Element; 3]| of_elements(0, elements.iter());
        let one = sum(elements([b"a", b"b", b"c"]));
        assert_ne!(one, sum(elements([b"b", b"a", b"c"])));
        let places = [at_place(0, b"a"), at_place(1, b"b"), at_place(2, b"c")];
        assert_eq!(one, places.into_iter().fold(0, u64::wrapping_add));
        assert_ne!(field_term(b"ab", b"c"), field_term(b"a", b"bc"));
    }
}
