//! Golden scripts: what happens on the wire, as text. `SYNOD_GOLDEN=rewrite cargo test -p netbatch` writes
//! them anew, to be reviewed as a diff.

use std::fmt::Write;
use std::path::Path;

use netbatch::{DataId, Secret};
use reactor::clock::MILLISECOND;

use crate::world::{config, Weather, World};

/// What bytes handed out to be sent are.
pub fn describe(bytes: &[u8]) -> String {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    match (&bytes[..4], bytes[6]) {
        (b"SYNH", 1) => format!("hello ({} bytes)", bytes.len()),
        (b"SYNH", 2) => format!("proof ({} bytes)", bytes.len()),
        (b"SYNH", 3) => format!("refusal, code {}", bytes[16]),
        (b"SYNP", _) => {
            format!(
                "frame {} acknowledging {}: {} messages in {} bytes",
                u64_at(16),
                u64_at(24),
                u32_at(12),
                u32_at(8)
            )
        }
        other => panic!("neither handshake nor frame: {other:?}"),
    }
}

/// Runs one line of a script.
fn run_line(world: &mut World, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| words[index].parse::<u32>().unwrap();
    match words[0] {
        "start" => {
            let mut config = config(number(1), 2);
            match words.get(2) {
                Some(&"emptied") => config.data_id = DataId([0xee; 16]),
                Some(&"stranger") => config.secret = Secret::new(*b"what might be the secret"),
                _ => (),
            }
            world.start(config);
        }
        "kill" => world.kill(number(1)),
        "cut" => world.cut_one(number(1)),
        "part" => assert!(world.partition.insert((number(1), number(2)))),
        "heal" => assert!(world.partition.remove(&(number(1), number(2)))),
        "push" => {
            let taken = world.push(number(1), number(2), number(3) as usize);
            if !taken {
                world.trace.push(format!("         host {}: message dropped", number(1)));
            }
        }
        "turn" => world.turn(number(1)),
        "run" => world.run(u64::from(number(1)) * MILLISECOND),
        other => panic!("no such command: {other}"),
    }
}

/// A script is blocks of commands, a line of dashes, and what they print.
fn play(script: &str) -> String {
    let mut weather = Weather::fair();
    weather.piece_bytes_max = 1 << 20;
    let mut world = World::new(1, weather);
    let mut out = String::new();
    for block in script.split("\n\n") {
        let commands = block.split("\n----").next().unwrap_or_default().trim();
        if commands.is_empty() {
            continue;
        }
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            run_line(&mut world, line);
        }
        writeln!(out, "{commands}\n----").unwrap();
        for line in world.trace.drain(..) {
            writeln!(out, "{line}").unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn scripts_print_what_they_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let rewrite = std::env::var("SYNOD_GOLDEN").is_ok_and(|value| value == "rewrite");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        let printed = play(&script);
        if rewrite {
            std::fs::write(&path, &printed).unwrap();
        } else {
            assert_eq!(printed, script, "{}", path.display());
        }
        seen += 1;
    }
    assert_eq!(seen, 4, "every script was found");
}
