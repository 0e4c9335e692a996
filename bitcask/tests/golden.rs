//! Golden scripts: each line of a script is a call, and the lines that follow it are what came of it.
//!
//! Scripts lie in tests/scripts. `UPDATE_SCRIPTS=1` writes what came in place of what was expected; review the diff.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bitcask::{Info, Kind, Options, Read, Record, Stamp};

use crate::world::World;

fn parse_stamp(text: &str) -> Stamp {
    let mut parts = text.split('.').map(|part| part.parse::<u64>().expect("a stamp is numbers"));
    let mut part = || parts.next().unwrap_or(1);
    Stamp { round: part(), node: part() as u32, incarnation: part() as u32 }
}

fn show_stamp(stamp: Stamp) -> String {
    format!("{}.{}.{}", stamp.round, stamp.node, stamp.incarnation)
}

fn show_info(info: Info) -> String {
    let entry = info.entry.map_or("absent".to_owned(), |entry| {
        let mark = if entry.marked { " marked" } else { "" };
        let mark = if entry.delta { format!(" delta{mark}") } else { mark.to_owned() };
        format!("{:?} {} {} bytes{mark}", entry.kind, show_stamp(entry.stamp), entry.bytes).to_lowercase()
    });
    match info.promised {
        Some(stamp) => format!("{entry}, promised {}", show_stamp(stamp)),
        None => entry,
    }
}

/// A word as given, or `word*count`.
fn body(text: &str) -> Vec<u8> {
    match text.split_once('*') {
        Some((word, count)) => word.repeat(count.parse().expect("a count")).into_bytes(),
        None => text.as_bytes().to_vec(),
    }
}

struct Script {
    world: World,
    out: String,
}

impl Script {
    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = match words.as_slice() {
            ["put", key, stamp, value] => self.append(key, stamp, Kind::Value, &body(value)),
            ["delete", key, stamp] => self.append(key, stamp, Kind::Tombstone, b""),
            ["extend", key, stamp, base, value] => self.extend(key, stamp, base, &body(value)),
            ["promise", key, stamp] => self.append(key, stamp, Kind::Promise, b""),
            ["remove", key, stamp] => {
                let result = self.world.bitcask.remove(1, key.as_bytes(), parse_stamp(stamp));
                result.map_or_else(|error| error.to_string(), |lsn| format!("lsn {}", lsn.0))
            }
            ["meta", id, value] => {
                let result = self.world.bitcask.append_meta(id.parse().expect("a name"), value.as_bytes());
                result.map_or_else(|error| error.to_string(), |lsn| format!("lsn {}", lsn.0))
            }
            ["mark", key, stamp] => {
                self.world.bitcask.mark(1, key.as_bytes(), parse_stamp(stamp));
                String::new()
            }
            ["info", key] => show_info(self.world.bitcask.info(1, key.as_bytes())),
            ["read", key] => self.read(key),
            ["metas"] => {
                let named = (0..=255).filter_map(|id| Some((id, self.world.bitcask.meta(id)?)));
                named.map(|(id, bytes)| format!("{id} = {}\n", bytes.escape_ascii())).collect()
            }
            ["slot"] => {
                let summary = self.world.bitcask.slot_summary(1);
                format!("{} keys, {} records, sum {:032x}", summary.keys, summary.records, summary.sum)
            }
            ["settle"] => {
                self.world.settle();
                self.state()
            }
            ["crash"] => self.restart(World::crash),
            ["restart"] => self.restart(World::restarted),
            ["files"] => self.files(),
            ["inspect", prefix] => self.inspect(prefix),
            _ => panic!("no such call: {line}"),
        };
        for line in text.lines() {
            writeln!(self.out, "  {line}").expect("a string takes all");
        }
    }

    fn append(&mut self, key: &str, stamp: &str, kind: Kind, body: &[u8]) -> String {
        let record = Record { slot: 1, key: key.as_bytes(), stamp: parse_stamp(stamp), kind, body };
        let result = self.world.bitcask.append(record);
        result.map_or_else(|error| error.to_string(), |lsn| format!("lsn {}", lsn.0))
    }

    fn extend(&mut self, key: &str, stamp: &str, base: &str, body: &[u8]) -> String {
        let (key, stamp) = (key.as_bytes(), parse_stamp(stamp));
        let record = Record { slot: 1, key, stamp, kind: Kind::Value, body };
        let result = self.world.bitcask.append_delta(record, parse_stamp(base));
        result.map_or_else(|error| error.to_string(), |lsn| format!("lsn {}", lsn.0))
    }

    fn read(&mut self, key: &str) -> String {
        let from = match self.world.bitcask.read(&mut self.world.disk, 1, key.as_bytes()) {
            Read::Absent => return "absent".to_owned(),
            Read::Ready(_) => "cache",
            Read::Pending(_) => "disk",
        };
        self.world.settle();
        let found = self.world.read_at(1, key.as_bytes()).expect("it was there");
        let shown = &found.body[..found.body.len().min(20)];
        let kind = format!("{:?}", found.kind).to_lowercase();
        let (stamp, length) = (show_stamp(found.stamp), found.body.len());
        let deltas = found.deltas.iter().map(|delta| format!(" + \"{}\"", delta.escape_ascii()));
        let deltas: String = deltas.collect();
        format!("{kind} {stamp} \"{}\" {length} bytes{deltas} from {from}", shown.escape_ascii())
    }

    fn restart(&mut self, how: impl FnOnce(World) -> World) -> String {
        let spare = World::opened(reactor::sim::SimDisk::new(0), self.world.options.clone());
        self.world = how(std::mem::replace(&mut self.world, spare));
        self.world.settle();
        match (&self.world.failed, &self.world.ready) {
            (Some(fault), _) => format!("failed: {fault}"),
            (None, Some(r)) => format!(
                "{} entries, {} promises, {} segments, {} hints used, greatest round {}",
                r.entries, r.promises, r.segments, r.hints_used, r.round_max
            ),
            (None, None) => "not ready".to_owned(),
        }
    }

    fn state(&self) -> String {
        match &self.world.failed {
            Some(fault) => format!("failed: {fault}"),
            None => format!("persisted {}", self.world.persisted.0),
        }
    }

    fn files(&self) -> String {
        let files = self.world.disk.list();
        files.iter().map(|(name, len)| format!("{name} {len}\n")).collect()
    }

    fn inspect(&self, prefix: &str) -> String {
        let files = self.world.disk.list();
        let (name, _) =
            files.iter().find(|(name, _)| name.starts_with(prefix)).expect("there is such a file");
        let bytes = self.world.disk.bytes_of(name).expect("there is such a file");
        bitcask::inspect(&bytes).join("\n")
    }
}

fn run(path: &Path) {
    let script = std::fs::read_to_string(path).expect("the script can be read");
    let options = Options { segment_bytes: 64 << 10, ..Options::new(0, *b"a secret of ours") };
    let mut state = Script { world: World::new(1, options), out: String::new() };
    for line in script.lines() {
        if line.starts_with("  ") {
            continue;
        }
        writeln!(state.out, "{line}").expect("a string takes all");
        if !line.is_empty() && !line.starts_with('#') {
            state.run(line);
        }
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        std::fs::write(path, &state.out).expect("the script can be written");
    } else {
        assert_eq!(state.out, script, "{}", path.display());
    }
}

#[test]
fn scripts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("there are scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 4);
    paths.iter().for_each(|path| run(path));
}
