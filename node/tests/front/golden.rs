//! Golden scripts: what a client sends, and what it gets, as text.
//!
//! A script is read line by line. `world …` makes a host, `client NAME PORT [ADDRESS]` a connection (`plain`,
//! or the number of a core port), which the next lines speak as; `as NAME` goes back to an earlier one. `>
//! words` sends a command as an array (words may be quoted), `raw text` sends bytes with escapes, `die N` and
//! `live N` change who is reachable, `wait N` lets milliseconds pass, `gone` ends the connection. The lines between are what came back, one per CRLF; they are compared,
//! or written anew if `SYNOD_GOLDEN=write` is set in the environment.

use std::collections::BTreeMap;
use std::path::Path;

use synod::cluster::Port;
use synod::resp::{Limits, Parser, Step};

use super::world::{readable, Options, World};

struct Script {
    world: World,
    clients: BTreeMap<String, (usize, usize)>,
    speaker: (usize, usize),
}

impl Script {
    fn new() -> Script {
        Script { world: World::new(&Options::default()), clients: BTreeMap::new(), speaker: (0, 0) }
    }

    /// Does one line of input; returns the lines that came back. None: no input line.
    fn line(&mut self, line: &str) -> Option<Vec<String>> {
        if line.starts_with("  ") {
            return None;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "world" => self.make_world(rest),
            "client" => return Some(self.connect(rest)),
            "as" => self.speaker = *self.clients.get(rest).unwrap_or_else(|| panic!("no client {rest}")),
            "die" => self.world.set_live(rest.parse().expect("a host index"), false),
            "live" => self.world.set_live(rest.parse().expect("a host index"), true),
            "wait" => {
                self.world.now.mono_us += 1000 * rest.parse::<u64>().expect("milliseconds");
                self.world.end_waits();
            }
            "gone" => self.world.hang_up(self.speaker),
            ">" => {
                let bytes = array(&words(rest));
                return Some(self.send(&bytes));
            }
            "raw" => return Some(self.send(&unescape(rest))),
            "" => {}
            _ if word.starts_with('#') => {}
            _ => panic!("not a line of a script: {line}"),
        }
        let (core, place) = self.speaker;
        let out = self.world.sessions[core].0.get_mut(place).map(|session| session.take_output());
        Some(show(&out.unwrap_or_default()))
    }

    fn make_world(&mut self, rest: &str) {
        let mut options = Options::default();
        for word in words(rest) {
            let word = String::from_utf8(word).expect("text");
            let (name, value) = word.split_once('=').expect("name=value");
            let number = || value.parse::<u32>().expect("a number");
            match name {
                "hosts" => options.hosts = number(),
                "slices" => options.slices = number() as u16,
                "me" => options.me = number() as usize,
                other => {
                    let name =
                        ["requirepass", "enable-debug-command", "protected-mode", "slowlog-log-slower-than"]
                            .into_iter()
                            .find(|known| *known == other)
                            .unwrap_or_else(|| panic!("no option {other}"));
                    options.settings.retain(|(other, _)| *other != name);
                    options.settings.push((name, value.to_owned()));
                }
            }
        }
        *self = Script { world: World::new(&options), ..Script::new() };
    }

    fn connect(&mut self, rest: &str) -> Vec<String> {
        let mut parts = rest.split(' ');
        let name = parts.next().expect("a name");
        let port = match parts.next().expect("a port") {
            "plain" => Port::Plain,
            number => Port::Core(number.parse().expect("a core port")),
        };
        let core = match port {
            Port::Plain => 0,
            Port::Core(index) => usize::from(self.world.map.layout().slice_of_port(index)),
        };
        let peer = parts.next().unwrap_or("127.0.0.1:50000");
        self.speaker = (core, self.world.connect(core, port, peer));
        self.clients.insert(name.to_owned(), self.speaker);
        self.send(b"")
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = show(&self.world.send(self.speaker, bytes));
        let (core, place) = self.speaker;
        if let Some(closing) = self.world.sessions[core].0[place].closing() {
            lines.push(format!("(closing: {closing:?})"));
        }
        if let Some(how) = self.world.shutdown.take() {
            lines.push(format!("(shutdown, now: {})", how.now));
        }
        lines
    }
}

/// One line per CRLF.
fn show(bytes: &[u8]) -> Vec<String> {
    let text = readable(bytes);
    let mut lines: Vec<String> = text.split("\\r\\n").map(str::to_owned).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Words as an inline command has them.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut parser = Parser::default();
    let input = format!("{line}\r\n").into_bytes();
    match parser.step(&input, &Limits::default()) {
        Step::Request(_) => parser.args(&input).iter().map(<[u8]>::to_vec).collect(),
        Step::Empty(_) => Vec::new(),
        other => panic!("{line}: {other:?}"),
    }
}

fn array(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// `\r \n \\ \xHH`, and `(xN)` behind the text for N times.
fn unescape(text: &str) -> Vec<u8> {
    let (text, times) = match text.rsplit_once("(x").and_then(|(text, n)| Some((text, n.strip_suffix(')')?)))
    {
        Some((text, times)) => (text, times.parse().expect("a number of times")),
        None => (text, 1),
    };
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (byte, used) = match (next, rest.get(1..2)) {
            ('\\', Some("r")) => (b'\r', 2),
            ('\\', Some("n")) => (b'\n', 2),
            ('\\', Some("\\")) => (b'\\', 2),
            ('\\', Some("x")) => (u8::from_str_radix(&rest[2..4], 16).expect("two digits"), 4),
            (ascii, _) => (u8::try_from(ascii).expect("ASCII"), 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes.repeat(times)
}

fn play(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a script");
    let mut script = Script::new();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(answer) = script.line(line) {
            out.push_str(line);
            out.push('\n');
            for line in answer {
                out.push_str("  ");
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "resp"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 8, "the scripts are there: {paths:?}");
    let mut wrong = Vec::new();
    for path in paths {
        let got = play(&path);
        let want = std::fs::read_to_string(&path).expect("a script");
        if got != want && std::env::var("SYNOD_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&path, got).expect("written");
        } else if got != want {
            let differs = got.lines().zip(want.lines()).position(|(got, want)| got != want);
            let at = differs.unwrap_or(got.lines().count().min(want.lines().count()));
            wrong.push(format!(
                "{}:{}\n   got: {}\n  want: {}",
                path.display(),
                at + 1,
                got.lines().nth(at).unwrap_or("(end)"),
                want.lines().nth(at).unwrap_or("(end)")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
