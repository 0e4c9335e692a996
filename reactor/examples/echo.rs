//! An echo server on one core, and what a message costs it in system calls.
//!
//! `cargo run --release -p reactor --features uring --example echo -- 127.0.0.1:7000` serves until it is killed.
//! Without an address it talks to itself over loopback and prints how often the core entered the kernel per message:
//! one client that waits for each answer, then many clients that each keep several messages under way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{channel, Sender};
use std::time::Instant;

use reactor::uring::{
    check, outside, run_cores, BootError, CoreSpec, Event, Io, Mailboxes, Next, Outside, Stats, Turn,
    EXIT_CONFIG,
};
use reactor::Nanos;

const UNSENT_BYTES_MAX: usize = 1 << 20;

/// What the core is asked from outside.
enum Ask {
    Stats(Sender<Stats>),
    Stop,
}

struct Echo {
    mailboxes: Mailboxes<Ask>,
    stop: bool,
}

impl Turn for Echo {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Received { conn, bytes } => {
                io.send(conn, bytes.to_vec());
                if io.unsent_bytes(conn) > UNSENT_BYTES_MAX {
                    io.pause_reading(conn, true);
                }
            }
            Event::Sent { conn } => io.pause_reading(conn, false),
            Event::Woken => {
                while let Some((_, ask)) = self.mailboxes.receive() {
                    match ask {
                        // Who asked and left needs no answer.
                        Ask::Stats(to) => drop(to.send(io.stats())),
                        Ask::Stop => self.stop = true,
                    }
                }
            }
            Event::Accepted { .. } | Event::Connected { .. } | Event::Closed { .. } | Event::Disk(_) => {}
        }
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { stop: self.stop, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

fn main() {
    let address = std::env::args().nth(1).map(|argument| argument.parse::<SocketAddr>());
    let result = check().and_then(|()| match address {
        None => serve(SocketAddr::from(([127, 0, 0, 1], 0)), true),
        Some(Ok(address)) => serve(address, false),
        Some(Err(error)) => {
            eprintln!("the argument is an address such as 127.0.0.1:7000 ({error})");
            std::process::exit(2);
        }
    });
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(EXIT_CONFIG);
    }
}

fn serve(address: SocketAddr, measure: bool) -> Result<(), BootError> {
    let (control, end) = outside().expect("an event counter can be made");
    let mut spec = CoreSpec::new(std::env::temp_dir());
    spec.outside = Some(end);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        if measure {
            scope.spawn(move || {
                let Ok(address) = told.recv() else { return };
                ping_pong(&control, address);
                pipelined(&control, address);
                assert!(control.send(Ask::Stop).is_ok(), "the core runs");
            });
        }
        run_cores(vec![spec], |_, io, mailboxes| {
            let listener = io.listen(address, 0)?;
            println!("listening on {}", io.listener_address(listener));
            // Nobody waits for it when only serving.
            let _ = tell.send(io.listener_address(listener));
            Ok(Echo { mailboxes, stop: false })
        })
    })
}

fn stats(control: &Outside<Ask>) -> Stats {
    let (to, answer) = channel();
    assert!(control.send(Ask::Stats(to)).is_ok(), "the core runs");
    answer.recv().expect("the core answers")
}

fn report(what: &str, messages: u64, before: &Stats, after: &Stats, since: Instant) {
    let each = |count: u64| count as f64 / messages as f64;
    println!(
        "{what}: {messages} messages in {:.2} s; per message {:.3} enters ({:.3} waits), {:.3} operations, \
         {:.3} completions",
        since.elapsed().as_secs_f64(),
        each(after.enters - before.enters),
        each(after.waits - before.waits),
        each(after.submissions - before.submissions),
        each(after.completions - before.completions),
    );
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("the option exists");
    stream
}

fn ping_pong(control: &Outside<Ask>, address: SocketAddr) {
    const MESSAGES: u64 = 20_000;
    let mut stream = connect(address);
    let (before, since) = (stats(control), Instant::now());
    let mut bytes = [0; 32];
    for _ in 0..MESSAGES {
        stream.write_all(&bytes).expect("the server reads");
        stream.read_exact(&mut bytes).expect("the server answers");
    }
    report("one at a time", MESSAGES, &before, &stats(control), since);
}

fn pipelined(control: &Outside<Ask>, address: SocketAddr) {
    const CLIENTS: usize = 32;
    const ROUNDS: u64 = 2_000;
    let mut streams: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
    let (before, since) = (stats(control), Instant::now());
    let mut bytes = [0; 32];
    for _ in 0..ROUNDS {
        for stream in &mut streams {
            stream.write_all(&bytes).expect("the server reads");
        }
        for stream in &mut streams {
            stream.read_exact(&mut bytes).expect("the server answers");
        }
    }
    report("bursts of 32 clients", ROUNDS * CLIENTS as u64, &before, &stats(control), since);
}
