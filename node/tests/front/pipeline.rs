//! Order, bounds and endings of a connection.

use shard::command::Command;
use shard::reply::Reply;
use synod::cluster::Port;
use synod::server::Connection;
use synod::session::{limits, Action, Closing, Session, Ticket};

use super::random::Random;
use super::world::{readable, Options, World};

fn feed(world: &mut World, bytes: &[u8]) -> Vec<Action> {
    let mut actions = Vec::new();
    let now = world.now;
    world.sessions[0].0[0].feed(bytes, &mut world.servers[0], now, &mut actions);
    actions
}

fn reply(world: &mut World, ticket: Ticket, reply: Reply) {
    let now = world.now;
    world.sessions[0].0[0].reply(ticket, reply, &mut world.servers[0], now, &mut Vec::new());
}

fn session(world: &mut World) -> &mut Session {
    &mut world.sessions[0].0[0]
}

fn output(world: &mut World) -> String {
    readable(&session(world).take_output()).replace("\\r\\n", " ")
}

fn plain() -> World {
    let mut world = World::new(&Options::default());
    world.connect(0, Port::Plain, "127.0.0.1:50000");
    world
}

fn ticket(action: &Action) -> Ticket {
    match action {
        Action::Run { ticket, .. } => *ticket,
        other => panic!("not a command on keys: {other:?}"),
    }
}

#[test]
fn replies_leave_in_order_whatever_order_they_come_in() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut world = plain();
        let mut want = String::new();
        let mut input = String::new();
        for number in 0..30 {
            match random.below(4) {
                0 => {
                    input += "PING\r\n";
                    want += "+PONG ";
                }
                1 => {
                    input += "MGET a b c\r\n";
                    want += &format!("*3 :{number}00 :{number}01 :{number}02 ");
                }
                2 => {
                    input += "NONSENSE\r\n";
                    want += "-ERR unknown command 'NONSENSE', with args beginning with:  ";
                }
                _ => {
                    input += "GET a\r\n";
                    want += &format!(":{number}00 ");
                }
            }
        }
        let mut actions = feed(&mut world, input.as_bytes());
        let mut got = output(&mut world);
        while !actions.is_empty() {
            let ticket = ticket(&actions.swap_remove(random.below(actions.len())));
            reply(&mut world, ticket, Reply::Int((ticket.seq * 100 + u64::from(ticket.part)) as i64));
            got += &output(&mut world);
        }
        let want = want.replace(":000 ", ":0 ").replace(":001 ", ":1 ").replace(":002 ", ":2 ");
        assert_eq!(got, want, "seed {seed}");
        assert_eq!(session(&mut world).waiting(), 0);
    }
}

#[test]
fn a_deep_pipeline_stops_reading_and_loses_nothing() {
    let mut world = plain();
    let count = limits::PIPELINE_DEPTH_MAX * 3;
    let mut actions = feed(&mut world, "GET a\r\n".repeat(count).as_bytes());
    assert_eq!(actions.len(), limits::PIPELINE_DEPTH_MAX);
    assert!(!session(&mut world).wants_bytes());
    let mut answered = 0;
    while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
        reply(&mut world, ticket(&action), Reply::Nil);
        answered += 1;
        let now = world.now;
        world.sessions[0].0[0].resume(&mut world.servers[0], now, &mut actions);
        assert!(session(&mut world).waiting() <= limits::PIPELINE_DEPTH_MAX);
    }
    assert_eq!(answered, count);
    assert_eq!(session(&mut world).take_output(), "$-1\r\n".repeat(count).as_bytes());
    assert!(session(&mut world).wants_bytes());
}

#[test]
fn the_protocol_of_a_reply_is_that_of_its_request() {
    let mut world = plain();
    let actions = feed(&mut world, b"GET a\r\nHELLO 3\r\nGET b\r\n");
    reply(&mut world, ticket(&actions[1]), Reply::Nil);
    reply(&mut world, ticket(&actions[0]), Reply::Nil);
    let got = output(&mut world);
    assert!(got.starts_with("$-1 %7 ") && got.ends_with(" _ "), "{got}");
}

#[test]
fn a_slow_reader_is_closed_at_the_limit_and_not_before() {
    let mut world = plain();
    let actions = feed(&mut world, b"GET a\r\nGET b\r\n");
    reply(&mut world, ticket(&actions[1]), Reply::Bulk(vec![b'x'; 1000]));
    assert_eq!(session(&mut world).waiting_bytes().1, 1009, "held for the reply before it");
    assert!(!session(&mut world).is_too_slow(991, 2000));
    assert!(session(&mut world).is_too_slow(992, 2000));
    assert_eq!(session(&mut world).closing(), Some(Closing::SlowReader));
    assert!(session(&mut world).is_done());
}

#[test]
fn a_broken_request_ends_behind_the_replies_before_it() {
    let mut world = plain();
    let actions = feed(&mut world, b"GET a\r\n*1\r\n!oops\r\nGET b\r\n");
    assert_eq!(actions.len(), 1, "nothing behind the broken one is run");
    assert!(!session(&mut world).is_done() && output(&mut world).is_empty());
    reply(&mut world, ticket(&actions[0]), Reply::Int(1));
    assert_eq!(output(&mut world), ":1 -ERR Protocol error: expected '$', got '!' ");
    assert!(session(&mut world).is_done());
    assert!(feed(&mut world, b"GET c\r\n").is_empty(), "what comes later is not read");
}

#[test]
fn quit_answers_what_was_asked_before() {
    let mut world = plain();
    let actions = feed(&mut world, b"GET a\r\nQUIT\r\nGET b\r\n");
    assert_eq!(actions.len(), 1);
    assert_eq!(session(&mut world).closing(), Some(Closing::Quit));
    assert!(!session(&mut world).is_done());
    reply(&mut world, ticket(&actions[0]), Reply::Nil);
    assert!(session(&mut world).is_done());
    assert_eq!(output(&mut world), "$-1 +OK ");
}

#[test]
fn large_values_arrive_in_pieces_without_being_read_twice() {
    let mut world = plain();
    let value = vec![b'v'; 3_000_000];
    let mut stream = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).into_bytes();
    stream.extend(&value);
    stream.extend(b"\r\n*1\r\n$4\r\nPING\r\n");
    let mut actions = Vec::new();
    for piece in stream.chunks(16 * 1024) {
        actions.extend(feed(&mut world, piece));
    }
    let [Action::Run { command: Command::Key(command), .. }] = actions.as_slice() else {
        panic!("one command on a key")
    };
    assert_eq!(&*command.key, b"k");
    assert_eq!(session(&mut world).waiting_bytes(), (0, 7), "PONG waits for OK");
}

#[test]
fn keys_and_values_at_their_limits_and_above() {
    let mut world = plain();
    let set = |key: usize, value: usize| {
        let (key, value) = ("k".repeat(key), "v".repeat(value));
        format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len()).into_bytes()
    };
    assert_eq!(world.send((0, 0), &set(64 * 1024, 1)), b"+OK\r\n");
    let refused = readable(&world.send((0, 0), &set(64 * 1024 + 1, 1)));
    assert_eq!(refused, "-ERR key exceeds maximum allowed size (key_bytes_max 65536)\\r\\n");
    assert_eq!(world.send((0, 0), &set(1, 20 * 1024 * 1024)), b"+OK\r\n");
    let refused = readable(&world.send((0, 0), &set(1, 20 * 1024 * 1024 + 1)));
    assert!(
        refused.contains("20971521 bytes announced, the limit is 20971520 (value_bytes_max)"),
        "{refused}"
    );
}

#[test]
fn a_length_announced_and_not_sent_costs_its_header() {
    let mut world = plain();
    for piece in ["*3\r\n$3\r\nSET\r\n", "$1\r\nk\r\n", "$20971520\r\n", "vv"] {
        assert!(world.send((0, 0), piece.as_bytes()).is_empty());
    }
    assert_eq!(session(&mut world).waiting_bytes(), (33, 0));
    assert!(session(&mut world).input_capacity() < 200);
}

#[test]
fn too_many_keys_in_one_command() {
    let mut world = plain();
    let many = format!(
        "*{}\r\n$4\r\nMGET\r\n{}",
        limits::PARTS_MAX + 2,
        "$1\r\nk\r\n".repeat(limits::PARTS_MAX + 1)
    );
    assert_eq!(
        readable(&world.send((0, 0), many.as_bytes())),
        "-ERR 65537 keys in one command, the limit is 65536\\r\\n"
    );
}

#[test]
fn a_pause_ends_once_by_itself_or_on_demand() {
    let mut world = plain();
    for unpause in [false, true] {
        assert_eq!(world.send((0, 0), b"CLIENT PAUSE 1000\r\n"), b"+OK\r\n");
        assert!(world.send((0, 0), b"GET a\r\n").is_empty());
        assert!(!session(&mut world).wants_bytes());
        let now = world.now;
        assert_eq!(world.servers[0].pause_ends_us(), Some(now.mono_us + 1_000_000));
        assert!(!world.servers[0].end_pause(now));
        if unpause {
            let place = world.connect(0, Port::Plain, "127.0.0.1:50001");
            assert_eq!(world.send((0, place), b"CLIENT UNPAUSE\r\n"), b"+OK\r\n");
        } else {
            world.now.mono_us += 1_000_000;
        }
        let now = world.now;
        assert!(world.servers[0].end_pause(now) && !world.servers[0].end_pause(now));
        assert_eq!(world.send((0, 0), b""), b"$-1\r\n", "what was held is run");
    }
}

#[test]
fn random_bytes_leave_a_session_sound() {
    const WORDS: [&[u8]; 12] = [
        b"*1\r\n",
        b"$4\r\nPING\r\n",
        b"GET a\r\n",
        b"MGET a b\r\n",
        b"HELLO 3\r\n",
        b"CLIENT REPLY OFF\r\n",
        b"CLIENT REPLY ON\r\n",
        b"\r\n",
        b"*2\r\n$3\r\nGET\r\n",
        b"$1\r\n",
        b"CONFIG SET maxclients 5\r\n",
        b"\xff",
    ];
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut world = plain();
        for _ in 0..60 {
            let word = WORDS[random.below(WORDS.len())];
            let cut = random.below(word.len() + 1);
            world.send((0, 0), &word[..cut]);
            world.send((0, 0), if random.below(5) > 0 { &word[cut..] } else { b"" });
        }
        assert_eq!(session(&mut world).waiting(), 0, "seed {seed}: everything was answered");
    }
}

/// A flush is a barrier in a pipeline: it waits for the answers of what came before, and what comes behind waits for its own, of all parts.
#[test]
fn a_flush_is_a_barrier() {
    for flush in ["FLUSHALL", "FLUSHDB ASYNC"] {
        let mut world = World::new(&Options { slices: 2, ..Options::default() });
        world.connect(0, Port::Plain, "127.0.0.1:50000");
        let input = format!("SET k before\r\n{flush}\r\nSET k after\r\nGET k\r\n");
        let mut waiting = feed(&mut world, input.as_bytes());
        let mut asked = Vec::new();
        while !waiting.is_empty() {
            let now: Vec<String> = waiting
                .iter()
                .map(|action| match action {
                    Action::Run { command: Command::Key(command), .. } => format!("{:?}", command.op),
                    Action::Run { command, .. } => format!("{command:?}"),
                    other => panic!("not a command on keys: {other:?}"),
                })
                .map(|text| text.split(['(', ' ']).next().unwrap_or_default().to_owned())
                .collect();
            asked.push(now);
            let mut next = Vec::new();
            for action in &waiting {
                assert_eq!(next, [], "nothing more is asked before the last answer");
                reply(&mut world, ticket(action), Reply::OK);
                next = feed(&mut world, b"");
            }
            waiting = next;
        }
        assert_eq!(asked, [vec!["Set"], vec!["Keyspace", "Keyspace"], vec!["Set", "Get"]], "{flush}");
        assert_eq!(output(&mut world), "+OK +OK +OK +OK ");
    }
}
