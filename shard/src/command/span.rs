//! Spans of a sorted set: by rank, by score, or by the bytes of members of one score.

use super::codec::Arguments;
use super::list::range;
use super::{errors, numbers};
use crate::object::{Score, SortedSet};
use crate::reply::Reply;

/// An end of a span by score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreEnd {
    score: Score,
    /// The score itself is not in the span.
    open: bool,
}

/// An end of a span by bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LexEnd {
    /// Before all members.
    Lowest,
    /// Behind all members.
    Highest,
    /// At these bytes, which are in the span.
    Closed(Box<[u8]>),
    /// At these bytes, which are not.
    Open(Box<[u8]>),
}

/// Which members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// From one rank to another, negative ones from the end.
    Ranks(i64, i64),
    /// From one score to another.
    Scores(ScoreEnd, ScoreEnd),
    /// From some bytes to others.
    Lex(LexEnd, LexEnd),
}

impl ScoreEnd {
    /// As in Redis, nothing is 0.
    fn read(bytes: &[u8]) -> Option<ScoreEnd> {
        let (open, number) = match bytes {
            [b'(', rest @ ..] => (true, rest),
            all => (false, all),
        };
        let score = numbers::score(if number.is_empty() { b"0" } else { number })?;
        Some(ScoreEnd { score, open })
    }

    fn text(self) -> String {
        format!("{}{}", if self.open { "(" } else { "" }, self.score.value())
    }
}

impl LexEnd {
    fn read(bytes: &[u8]) -> Option<LexEnd> {
        match bytes {
            b"-" => Some(LexEnd::Lowest),
            b"+" => Some(LexEnd::Highest),
            [b'[', rest @ ..] => Some(LexEnd::Closed(rest.into())),
            [b'(', rest @ ..] => Some(LexEnd::Open(rest.into())),
            _ => None,
        }
    }

    fn text(&self) -> Vec<u8> {
        match self {
            LexEnd::Lowest => b"-".to_vec(),
            LexEnd::Highest => b"+".to_vec(),
            LexEnd::Closed(bytes) => [b"[", &**bytes].concat(),
            LexEnd::Open(bytes) => [b"(", &**bytes].concat(),
        }
    }

    /// How many members lie before it. `is_low`: it is the lower end.
    fn rank(&self, set: &SortedSet, is_low: bool) -> usize {
        match self {
            LexEnd::Lowest => 0,
            LexEnd::Highest => set.len(),
            LexEnd::Closed(bytes) | LexEnd::Open(bytes) => {
                let with = matches!(self, LexEnd::Closed(_)) != is_low;
                set.partition_point(|_, member| if with { *member <= **bytes } else { *member < **bytes })
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            LexEnd::Lowest | LexEnd::Highest => 0,
            LexEnd::Closed(bytes) | LexEnd::Open(bytes) => bytes.len(),
        }
    }
}

impl Span {
    /// By score, from the lower to the higher end.
    pub(super) fn scores(low: &[u8], high: &[u8]) -> Result<Span, Reply> {
        let ends = ScoreEnd::read(low).zip(ScoreEnd::read(high)).ok_or(errors::SCORE_RANGE)?;
        Ok(Span::Scores(ends.0, ends.1))
    }

    /// By bytes, from the lower to the higher end.
    pub(super) fn lex(low: &[u8], high: &[u8]) -> Result<Span, Reply> {
        let ends = LexEnd::read(low).zip(LexEnd::read(high)).ok_or(errors::LEX_RANGE)?;
        Ok(Span::Lex(ends.0, ends.1))
    }

    /// From which rank up to which, that one excluded. `reverse`: ranks count from the highest score.
    pub(super) fn ranks(&self, set: &SortedSet, reverse: bool) -> (usize, usize) {
        let len = set.len();
        let (from, to) = match self {
            Span::Ranks(first, last) => {
                let (from, to) = range(*first, *last, len);
                if reverse {
                    (len - to, len - from)
                } else {
                    (from, to)
                }
            }
            Span::Scores(low, high) => (
                set.partition_point(|score, _| if low.open { score <= low.score } else { score < low.score }),
                set.partition_point(
                    |score, _| {
                        if high.open {
                            score < high.score
                        } else {
                            score <= high.score
                        }
                    },
                ),
            ),
            Span::Lex(low, high) => (low.rank(set, true), high.rank(set, false)),
        };
        (from, to.max(from))
    }

    /// Its two ends as arguments, the lower one first.
    pub(super) fn texts(&self) -> [Vec<u8>; 2] {
        match self {
            Span::Ranks(first, last) => [first, last].map(|rank| rank.to_string().into_bytes()),
            Span::Scores(low, high) => [low, high].map(|end| end.text().into_bytes()),
            Span::Lex(low, high) => [low, high].map(LexEnd::text),
        }
    }

    /// Its two ends, the lower one first.
    pub(super) fn spell<'a, 'b>(&self, to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        self.texts().iter().fold(to, |to, text| to.bytes(text))
    }

    /// Bytes of the arguments that can be long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Span::Ranks(..) | Span::Scores(..) => 0,
            Span::Lex(low, high) => low.bytes() + high.bytes(),
        }
    }
}
