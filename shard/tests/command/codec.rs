//! Commands on the wire: what is encoded comes back, and what is not is refused without a panic.

use super::random::Random;
use super::words;
use shard::command::{Command, DecodeError, Limits};

#[test]
fn random_commands_come_back() {
    let (mut random, mut valid) = (Random(0x5EED), 0);
    for _ in 0..200_000 {
        let line = random.line();
        let words = words(&line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let Ok(command) = Command::parse(&args, &Limits::default()) else {
            continue;
        };
        valid += 1;
        let mut wire = Vec::new();
        command.encode(&mut wire);
        assert_eq!(Command::decode(&wire), Ok(command.clone()), "{line}");
        let parts = command.split().parts;
        assert!(parts.iter().all(|part| !matches!(part, Command::Many(_))), "{line}");
    }
    assert!(valid > 20_000, "the generator makes too few commands: {valid}");
}

#[test]
fn hostile_bytes_are_refused() {
    let table: [(&[u8], DecodeError); 7] = [
        (b"", DecodeError::Truncated),
        (b"\x00", DecodeError::Malformed),
        (b"\x02\x03GET", DecodeError::Truncated),
        (b"\x02\x03GET\x01aX", DecodeError::Trailing),
        (b"\xFF\xFF\xFF\xFF\x7F", DecodeError::Truncated),
        (b"\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", DecodeError::Truncated),
        (b"\x01\x04PING", DecodeError::Malformed),
    ];
    for (bytes, want) in table {
        assert_eq!(Command::decode(bytes), Err(want), "{}", bytes.escape_ascii());
    }
    assert_eq!(Command::decode(&vec![1; 9_000_000]), Err(DecodeError::Trailing));
}

#[test]
fn damaged_commands_never_panic() {
    let mut random = Random(0xBAD);
    let mut wire = Vec::new();
    let args: [&[u8]; 7] = [b"SET", b"key", b"value", b"IFEQ", b"old", b"PX", b"1000"];
    Command::parse(&args, &Limits::default()).expect("is valid").encode(&mut wire);
    let mut still_valid = 0;
    for _ in 0..100_000 {
        let mut bytes = wire.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        bytes.truncate(bytes.len() - random.below(2));
        if let Ok(command) = Command::decode(&bytes) {
            let mut again = Vec::new();
            command.encode(&mut again);
            assert_eq!(Command::decode(&again), Ok(command));
            still_valid += 1;
        }
    }
    assert!(still_valid > 100, "some damage hits the value alone: {still_valid}");
}
