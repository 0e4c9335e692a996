//! Golden scripts: `tests/scripts/command/*.txt`. A line `> command` runs it, a line `@ ms` sets the clock forward,
//! `# …` is a comment; what follows a command is its reply. `(r)` behind a reply says that nothing changed,
//! `(w)` that something did. Set UPDATE_SCRIPTS=1 to write the replies anew, and review the difference.

use super::{words, Host};
use shard::reply::Reply;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/command");
    let mut paths: Vec<_> = folder
        .read_dir()
        .expect("the scripts are there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "scripts are missing");
    for path in paths {
        let want = std::fs::read_to_string(&path).expect("readable");
        let is = play(&want);
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, is).expect("writable");
        } else {
            let name = path.display();
            for (number, (is, want)) in is.lines().zip(want.lines()).enumerate() {
                assert_eq!(is, want, "{name} line {}", number + 1);
            }
            assert_eq!(is.lines().count(), want.lines().count(), "{name} has lines too many or too few");
        }
    }
}

/// The script with the replies that the code gives.
fn play(script: &str) -> String {
    let (mut host, mut out) = (Host::new(), String::new());
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            let words = words(command);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = host.run(&args);
            writeln!(out, "{line}").expect("a string takes all");
            show(&reply, "", if host.changed { " (w)" } else { " (r)" }, &mut out);
        } else if let Some(ms) = line.strip_prefix("@ ") {
            host.now_ms += ms.parse::<u64>().expect("milliseconds");
            writeln!(out, "{line}").expect("a string takes all");
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(out, "{line}").expect("a string takes all");
        }
    }
    out
}

/// A reply, a line for each part.
fn show(reply: &Reply, indent: &str, end: &str, out: &mut String) {
    let text = match reply {
        Reply::Simple(text) => format!("+{text}"),
        Reply::Error(text) => format!("-{text}"),
        Reply::Int(number) => format!(":{number}"),
        Reply::Nil => "nil".into(),
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Reply::Array(items) => return show_all('*', items.iter(), indent, end, out),
        Reply::Set(items) => return show_all('~', items.iter(), indent, end, out),
        Reply::Map(pairs) => return show_all('%', flat(pairs), indent, end, out),
        Reply::Pairs(pairs) => return show_all('=', flat(pairs), indent, end, out),
        Reply::Double(number) => format!(",{number}"),
        other => format!("{other:?}"),
    };
    writeln!(out, "{indent}{text}{end}").expect("a string takes all");
}

/// A reply of many parts: what it is and how many they are, then each.
fn show_all<'a>(
    kind: char,
    items: impl Iterator<Item = &'a Reply>,
    indent: &str,
    end: &str,
    out: &mut String,
) {
    let items: Vec<&Reply> = items.collect();
    writeln!(out, "{indent}{kind}{}{end}", items.len()).expect("a string takes all");
    for item in items {
        show(item, &format!("{indent}  "), "", out);
    }
}

fn flat(pairs: &[(Reply, Reply)]) -> impl Iterator<Item = &Reply> {
    pairs.iter().flat_map(|(one, other)| [one, other])
}
