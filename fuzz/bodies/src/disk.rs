//! A directory with bytes changed behind the engine's back: no key ever reads as what was not written.

use crate::input::Input;
use crate::segment::{filled, Engine};

/// Keys in the directory: enough for a few sealed segments with hints.
const KEYS: u64 = 80;

thread_local! {
    /// The files of the directory as they were written, and their names. The same for every input.
    static FILES: Vec<(String, Vec<u8>)> = {
        let engine = filled(KEYS);
        let read = |(name, _): (String, u64)| {
            let bytes = engine.disk.bytes_of(&name).unwrap_or_default();
            (name, bytes)
        };
        engine.disk.list().into_iter().map(read).collect()
    };
}

/// Changes: which file, where, and the bytes; or its end, or that it is gone.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut files = FILES.with(Clone::clone);
    while !input.is_empty() && !files.is_empty() {
        let which = usize::from(input.byte()) % files.len();
        let bytes = &mut files[which].1;
        let at = (usize::from(input.word()) << 4).min(bytes.len().saturating_sub(1));
        match input.byte() {
            0xff => drop(files.remove(which)),
            0xfe => bytes.truncate(at),
            length => {
                let change = input.take(usize::from(length));
                bytes.iter_mut().skip(at).zip(change).for_each(|(byte, change)| *byte ^= change);
            }
        }
    }
    let mut disk = reactor::sim::SimDisk::new(1);
    files.iter().for_each(|(name, bytes)| disk.put(name, bytes));
    let Some(mut engine) = Engine::open(disk) else { return };
    for key in 0..KEYS {
        if let Some(body) = engine.body(&key.to_le_bytes()) {
            assert_eq!(body, [key as u8; 2000], "key {key} has the body that was written");
        }
    }
}

/// Nothing, a flipped bit in each file, a cut file, a file that is gone.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0, 0, 0, 0], vec![2, 0, 8, 0xfe], vec![1, 0, 0, 0xff]];
    seeds.extend((0..FILES.with(Vec::len) as u8).map(|file| vec![file, 3, 1, 1, 4]));
    seeds
}
