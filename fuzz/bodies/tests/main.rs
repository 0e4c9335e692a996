//! The committed corpora, and a bounded number of mutations of them: what a fuzzer does, repeatable and without one.
//!
//! `FUZZ_ROUNDS=n` multiplies the mutations. A failure prints the input, to be kept in the target's corpus.

// All of this is test code; clippy knows only functions marked as tests by themselves.
#![allow(clippy::unwrap_used)]

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;

use fuzz_bodies::{Target, TARGETS};
use reactor::rng::Rng;

/// Bytes of the longest mutated input.
const INPUT_BYTES_MAX: usize = 4096;

/// What turns up in many formats: lengths at their edges, line ends, numbers at theirs.
const WORDS: [&[u8]; 16] = [
    b"\r\n",
    b"*3\r\n",
    b"$-1\r\n",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"9223372036854775807",
    b"-1",
    b"GET k\r\n",
    b"SET k v ",
    b" PX 1",
    b"\"",
    b"\\x",
    b"SYNP",
    b"SYNF",
    b" = [",
];

fn folder(kind: &str, target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(kind).join(target.name)
}

/// The seeds of a target, and its corpus in the order of names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = folder("corpus", target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    (target.seeds)().into_iter().chain(paths.iter().map(read)).collect()
}

fn try_input(target: &Target, input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        eprintln!("target {}, input of {} bytes: {}", target.name, input.len(), input.escape_ascii());
        std::panic::resume_unwind(cause);
    }
}

/// Another input: some edits of one of the corpus.
fn mutate(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut below = |bound: usize| rng.below(bound.max(1) as u64) as usize;
    let mut input = corpus[below(corpus.len())].clone();
    for _ in 0..=below(4) {
        let at = below(input.len() + 1);
        match below(7) {
            0 if at < input.len() => input[at] ^= 1 << below(8),
            1 if at < input.len() => input[at] = below(256) as u8,
            2 => drop(input.splice(at..at, WORDS[below(WORDS.len())].iter().copied())),
            3 => drop(input.drain(at..(at + 1 + below(8)).min(input.len()))),
            4 => {
                let piece = input[at..(at + 1 + below(32)).min(input.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
            5 => {
                let other = &corpus[below(corpus.len())];
                let from = below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

/// One test for all targets, one after the other, and no other test beside it: memory is counted for the whole process.
#[test]
fn corpora_and_mutations_of_them_show_no_bug() {
    let times: u32 = std::env::var("FUZZ_ROUNDS").map_or(1, |times| times.parse().expect("a number"));
    let wanted = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|target| wanted.as_ref().is_none_or(|name| name == target.name)) {
        let corpus = corpus(target);
        corpus.iter().for_each(|input| try_input(target, input));
        let mut rng = Rng::new(1);
        for _ in 0..target.rounds.saturating_mul(times) {
            try_input(target, &mutate(&corpus, &mut rng));
        }
    }
}
