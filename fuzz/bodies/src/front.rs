//! The whole front end: bytes into a session, replies out. However the bytes are cut the same comes out, every reply is whole,
//! memory follows the bytes, and afterwards questions and answers still belong together.

use synod::cluster::Port;

use crate::input::{Cuts, Input};
use crate::limits::{INPUT_KEPT_BYTES, VALUE_BYTES_MAX};
use crate::walk;

// The host without sockets that the tests of `synod` use; this crate needs a part of it.
#[path = "../../../node/tests/front/world.rs"]
#[allow(dead_code)]
mod world;

use world::{Options, World};

/// Two bytes that say how the stream is cut, one of settings, then the stream.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (cuts, knobs) = (Cuts::new(input.word()), input.byte());
    let stream = input.rest();
    let whole = play(knobs, stream, None);
    let pieces = play(knobs, stream, Some(cuts));
    // CLIENT LIST and CLIENT INFO tell how much is unread, INFO counts what was answered by then.
    let told: [&[u8]; 3] = [b"qbuf=", b"errorstat_", b"cmdstat_"];
    let tells_cuts = |out: &[u8]| told.iter().any(|word| out.windows(word.len()).any(|part| part == *word));
    if !tells_cuts(&whole) && !tells_cuts(&pieces) {
        let show = |out: &[u8]| out.escape_ascii().to_string();
        assert!(whole == pieces, "whole: {}\npieces: {}", show(&whole), show(&pieces));
    }
}

fn play(knobs: u8, stream: &[u8], mut cuts: Option<Cuts>) -> Vec<u8> {
    let mut options = Options { value_bytes_max: VALUE_BYTES_MAX, ..Options::default() };
    if knobs & 1 != 0 {
        options.settings.push(("requirepass", "secret".to_owned()));
    }
    let mut world = World::new(&options);
    let port = if knobs & 2 == 0 { Port::Plain } else { Port::Core(0) };
    let place = (0, world.connect(0, port, "127.0.0.1:50000"));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let bytes = cuts.as_mut().map_or(stream.len(), |cuts| cuts.next() * 4).min(stream.len() - at);
        out.extend(world.send(place, &stream[at..at + bytes]));
        at += bytes;
        let kept = world.sessions[0].0[0].input_capacity();
        assert!(kept <= INPUT_KEPT_BYTES.max(2 * at), "{kept} bytes are kept of {at}");
        if world.shutdown.is_some() {
            return out;
        }
    }
    out.extend(after_any_pause(&mut world, place));
    if let Err(error) = walk::replies(&out) {
        panic!("not whole: {error}");
    }
    if world.shutdown.is_none() {
        in_step(&mut world, place);
    }
    out
}

/// CLIENT PAUSE holds requests; a day later none does.
fn after_any_pause(world: &mut World, place: (usize, usize)) -> Vec<u8> {
    world.now.mono_us += 1 << 60;
    let now = world.now;
    world.servers[0].end_pause(now);
    world.send(place, b"")
}

/// Where the session goes on and nothing is left over, the next question gets its own answer.
fn in_step(world: &mut World, place: (usize, usize)) {
    let session = &world.sessions[0].0[0];
    if session.closing().is_some() {
        return;
    }
    assert_eq!(session.waiting(), 0, "everything was answered");
    if synod::server::Connection::waiting_bytes(session).0 > 0 {
        return;
    }
    let on = world.send(place, b"CLIENT REPLY ON\r\n");
    if on.starts_with(b"-NOAUTH") {
        return;
    }
    assert_eq!(on, b"+OK\r\n");
    let echo = world.send(place, b"*2\r\n$4\r\nECHO\r\n$7\r\n\r\nsynod\r\n");
    assert_eq!(echo, b"$7\r\n\r\nsynod\r\n", "the next question gets its own answer");
}

/// Conversations with every kind of command.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams = [
        "PING\r\nHELLO 3\r\nSET k v\r\nGET k\r\nMGET k l\r\nDEL k\r\nQUIT\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\nv\0\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "CLIENT REPLY OFF\r\nGET a\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nGET a\r\nGET b\r\n",
        "CLIENT PAUSE 100\r\nGET a\r\nCLIENT LIST\r\nCLIENT SETNAME x\r\nCLIENT ID\r\nCLIENT KILL ID 1\r\n",
        "AUTH secret\r\nHELLO 2 AUTH default secret SETNAME y\r\nSET a 1\r\nINCR a\r\nPING\r\nACL WHOAMI\r\n",
        "CONFIG GET *max*\r\nCONFIG SET slowlog-max-len 5\r\nSLOWLOG GET\r\nLATENCY LATEST\r\nDEBUG SLEEP 0\r\n",
        "CLUSTER SLOTS\r\nCLUSTER SHARDS\r\nCLUSTER KEYSLOT k\r\nASKING\r\nREADONLY\r\nINFO server\r\nCOMMAND COUNT\r\n",
        "SCAN 0 MATCH a* COUNT 5\r\nKEYS *\r\nDBSIZE\r\nFLUSHALL\r\nRANDOMKEY\r\nTIME\r\nECHO x\r\nSELECT 0\r\nRESET\r\n",
        "COMMAND DOCS get\r\nCOMMAND INFO set\r\nCOMMAND GETKEYS MSET a 1 b 2\r\nOBJECT HELP\r\nLOLWUT\r\nNONSENSE a\r\n",
        "*1\r\n$-5\r\nPING\r\n",
        "POST / HTTP/1.1\r\n",
        "SHUTDOWN NOSAVE\r\nPING\r\n",
        "SQL \"CREATE TABLE t (a INT PRIMARY KEY)\"\r\nSQL \"INSERT INTO t VALUES ($1)\" 7\r\nSQL \"SHOW TABLES\"\r\nGET k\r\nSQL \"DROP TABLE t\"\r\n",
    ];
    let with_knobs = |(knob, stream): (usize, &&str)| [&[9, 1, knob as u8 % 4], stream.as_bytes()].concat();
    streams.iter().enumerate().map(with_knobs).collect()
}
