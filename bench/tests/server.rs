//! A small server that speaks enough of the Redis protocol to be loaded and drilled, and can misbehave on
//! purpose. It runs in a thread of the test, or as a process of its own that can be killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use synod_bench::procs;
use synod_bench::resp::{self, Value};
use synod_bench::slot::slot_of;

/// What a server does besides GET, SET, INCR and PING.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Wanted by AUTH before anything else.
    pub password: Option<&'static str>,
    /// The reply to CLUSTER SLOTS.
    pub map: Vec<(usize, usize, SocketAddr)>,
    /// Slots that belong to another node, which MOVED names.
    pub moved: Option<(usize, usize, SocketAddr)>,
    /// After so many commands, once: answer nobody for so long.
    pub stall: Option<(u64, Duration)>,
    /// Close a connection after so many commands on it.
    pub close_after: Option<u64>,
    /// The reply to everything.
    pub always: Option<&'static [u8]>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    commands: u64,
    log: Option<File>,
}

/// A server in this process; its threads end with the process.
#[derive(Debug, Clone)]
pub struct Server {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::on(listener, behaviour, State::default())
    }

    /// Two servers that know each other's addresses.
    pub fn pair(behaviours: impl Fn(SocketAddr, SocketAddr) -> (Behaviour, Behaviour)) -> (Server, Server) {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [a, b] = [&listeners[0], &listeners[1]].map(|listener| listener.local_addr().unwrap());
        let (for_a, for_b) = behaviours(a, b);
        let [at_a, at_b] = listeners;
        (Server::on(at_a, for_a, State::default()), Server::on(at_b, for_b, State::default()))
    }

    fn on(listener: TcpListener, behaviour: Behaviour, state: State) -> Server {
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, state) = (behaviour.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &behaviour, &state));
            }
        });
        Server { addr, state }
    }

    pub fn commands(&self) -> u64 {
        self.state.lock().unwrap().commands
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().values.keys().cloned().collect()
    }
}

/// Serves one connection to its end; an error of the socket is its end.
fn serve(mut stream: TcpStream, behaviour: &Behaviour, state: &Mutex<State>) -> Option<()> {
    let (mut input, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    let (mut served, mut known) = (0, behaviour.password.is_none());
    stream.set_nodelay(true).ok()?;
    loop {
        let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        input.extend_from_slice(&chunk[..count]);
        let (mut out, mut used) = (Vec::new(), 0);
        while let Some((request, bytes)) = resp::parse(&input[used..]).unwrap() {
            used += bytes;
            served += 1;
            if behaviour.close_after.is_some_and(|most| served > most) {
                stream.write_all(&out).ok()?;
                return None;
            }
            answer(&mut out, &words(request), behaviour, &mut known, &mut state.lock().unwrap());
        }
        input.drain(..used);
        stream.write_all(&out).ok()?;
    }
}

fn words(request: Value) -> Vec<Vec<u8>> {
    let Value::Array(words) = request else { panic!("a request is an array") };
    let word = |word| match word {
        Value::Bulk(word) => word,
        other => panic!("{other:?} in a request"),
    };
    words.into_iter().map(word).collect()
}

fn bulk(out: &mut Vec<u8>, value: Option<&Vec<u8>>) {
    match value {
        None => out.extend_from_slice(b"$-1\r\n"),
        Some(value) => {
            out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn answer(out: &mut Vec<u8>, words: &[Vec<u8>], behaviour: &Behaviour, known: &mut bool, state: &mut State) {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [b"AUTH", password] if Some(*password) == behaviour.password.map(str::as_bytes) => {
            *known = true;
            return out.extend_from_slice(b"+OK\r\n");
        }
        [b"AUTH", _] => return out.extend_from_slice(b"-WRONGPASS invalid\r\n"),
        _ if !*known => return out.extend_from_slice(b"-NOAUTH Authentication required.\r\n"),
        [b"CLUSTER", b"SLOTS"] => return slots(out, &behaviour.map),
        _ => {}
    }
    state.commands += 1;
    if let Some((_, length)) = behaviour.stall.filter(|(after, _)| state.commands == *after) {
        // The lock is held: nobody is answered.
        std::thread::sleep(length);
    }
    if let Some(always) = behaviour.always {
        return out.extend_from_slice(always);
    }
    if let (Some((from, to, node)), Some(key)) = (behaviour.moved, words.get(1)) {
        let slot = slot_of(key);
        if (from..=to).contains(&slot) {
            return out.extend_from_slice(format!("-MOVED {slot} {node}\r\n").as_bytes());
        }
    }
    execute(out, &words, state);
}

fn execute(out: &mut Vec<u8>, words: &[&[u8]], state: &mut State) {
    match words {
        // It has one replica.
        [b"WAIT", _, _] => out.extend_from_slice(b":1\r\n"),
        [b"PING"] => out.extend_from_slice(b"+PONG\r\n"),
        [b"GET", key] => bulk(out, state.values.get(*key)),
        [b"SET", key, value] => {
            state.set(key, value);
            out.extend_from_slice(b"+OK\r\n");
        }
        [b"INCR", key] => {
            let before =
                state.values.get(*key).map_or(0, |value| String::from_utf8_lossy(value).parse().unwrap());
            let number: i64 = before + 1;
            state.set(key, number.to_string().as_bytes());
            out.extend_from_slice(format!(":{number}\r\n").as_bytes());
        }
        _ => out.extend_from_slice(b"-ERR unknown command\r\n"),
    }
}

impl State {
    /// The log gets the write before the reply goes out; a kill does not take what the system has been given.
    fn set(&mut self, key: &[u8], value: &[u8]) {
        if let Some(log) = &mut self.log {
            let mut record = Vec::new();
            resp::request(&mut record, &[key, value]);
            log.write_all(&record).unwrap();
        }
        self.values.insert(key.to_vec(), value.to_vec());
    }
}

fn slots(out: &mut Vec<u8>, map: &[(usize, usize, SocketAddr)]) {
    out.extend_from_slice(format!("*{}\r\n", map.len()).as_bytes());
    for (from, to, node) in map {
        out.extend_from_slice(format!("*3\r\n:{from}\r\n:{to}\r\n*2\r\n").as_bytes());
        bulk(out, Some(&node.ip().to_string().into_bytes()));
        out.extend_from_slice(format!(":{}\r\n", node.port()).as_bytes());
    }
}

/// The variable that makes [`a_child_serves_until_it_is_killed`] a server: `ADDRESS` or `ADDRESS,LOG`.
const CHILD: &str = "SYNOD_BENCH_TEST_SERVER";

/// A child that nobody kills ends after this.
const CHILD_LIFE: Duration = Duration::from_secs(120);

/// A shell command that starts a server on the address, with its writes in the log if there is one.
pub fn child_command(addr: SocketAddr, log: Option<&Path>) -> String {
    let exe = std::env::current_exe().unwrap();
    let log = log.map_or(String::new(), |log| format!(",{}", log.display()));
    let test = "server::a_child_serves_until_it_is_killed";
    format!("{CHILD}='{addr}{log}' exec '{}' --exact {test} --nocapture", exe.display())
}

pub fn spawn_child(addr: SocketAddr, log: Option<&Path>) -> Child {
    let mut command = Command::new("sh");
    command.arg("-c").arg(child_command(addr, log));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn be_a_child(what: &str) -> ! {
    let (addr, log) = what.split_once(',').map_or((what, None), |(addr, log)| (addr, Some(log)));
    let mut values = BTreeMap::new();
    let log = log.map(|path| {
        let (bytes, mut used) = (std::fs::read(path).unwrap_or_default(), 0);
        while let Ok(Some((record, count))) = resp::parse(&bytes[used..]) {
            let [key, value] = <[Vec<u8>; 2]>::try_from(words(record)).unwrap();
            values.insert(key, value);
            used += count;
        }
        let log = OpenOptions::new().create(true).append(true).open(path).unwrap();
        // A kill may have cut the last record.
        log.set_len(used as u64).unwrap();
        log
    });
    let state = State { values, commands: 0, log };
    Server::on(TcpListener::bind(addr).unwrap(), Behaviour::default(), state);
    std::thread::sleep(CHILD_LIFE);
    std::process::exit(0);
}

#[test]
fn a_child_serves_until_it_is_killed() {
    if let Ok(what) = std::env::var(CHILD) {
        be_a_child(&what);
    }
    let addr = free_address();
    let mut child = spawn_child(addr, None);
    let begin = Instant::now();
    let mut wire = loop {
        match synod_bench::wire::connect(addr, None, Duration::from_secs(5)) {
            Ok(wire) => break wire,
            Err(error) => assert!(begin.elapsed() < CHILD_LIFE, "{error}"),
        }
    };
    assert_eq!(wire.call(&[b"PING"]).unwrap(), Value::Simple(b"PONG".to_vec()));
    assert_eq!(procs::listening(&[addr])[0].pid, child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(wire.call(&[b"PING"]).is_err());
    assert_eq!(procs::listening(&[addr]), Vec::new());
}
