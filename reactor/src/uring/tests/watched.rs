//! A core that does not turn, and the thread outside that sends its clients away.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;

use super::support::{any_port, client};
use crate::uring::{run_cores, CoreSpec, Event, Io, Next, Turn, Watched};
use crate::Nanos;

/// Echoes; holds the whole core on `h`, until it is let go; ends on `e`.
struct Holds {
    held: Sender<()>,
    let_go: Receiver<()>,
    ends: bool,
    closed: Sender<()>,
}

impl Turn for Holds {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Received { bytes: b"h", .. } => {
                self.held.send(()).expect("the test listens");
                self.let_go.recv().expect("the test lets it go");
            }
            Event::Received { bytes: b"e", .. } => self.ends = true,
            Event::Received { conn, bytes } => io.send(conn, bytes.to_vec()),
            // Nobody listens any more when the connections of a core that ends are closed.
            Event::Closed { .. } => drop(self.closed.send(())),
            _ => {}
        }
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { stop: self.ends, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

fn is_over(stream: &mut impl Read) -> bool {
    // A reset is as good an end as a close.
    !matches!(stream.read(&mut [0; 8]), Ok(1..))
}

#[test]
fn the_clients_of_a_core_that_does_not_turn_are_sent_away_and_come_back() {
    let watched = Arc::new(Watched::default());
    let (tell, told) = channel::<SocketAddr>();
    let (held, is_held) = channel();
    let (goes, let_go) = channel();
    let (closed, closes) = channel();
    let mine = Arc::clone(&watched);
    let core = std::thread::spawn(move || {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spec: CoreSpec<()> = CoreSpec::new(folder.path());
        spec.watched = mine;
        let parts = std::sync::Mutex::new(Some((held, let_go, closed)));
        run_cores(vec![spec], |_, io, _| {
            let listener = io.listen(any_port(), 0)?;
            tell.send(io.listener_address(listener)).expect("the test waits");
            let parts = parts.lock().expect("one core").take();
            let (held, let_go, closed) = parts.expect("one core");
            Ok(Holds { held, let_go, ends: false, closed })
        })
        .expect("a core starts here");
    });
    let address = told.recv().expect("the core comes up");
    let mut clients: Vec<_> = (0..20).map(|_| client(address)).collect();
    for stream in &mut clients {
        stream.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0]).expect("echoed");
    }
    let turns = watched.turns().expect("it turns");
    assert!(turns > 0);
    assert!(watched.waited().is_some() || !std::path::Path::new("/proc/self/schedstat").exists());
    clients[0].write_all(b"h").expect("sent");
    is_held.recv().expect("it is held");
    let held_at = watched.turns();
    assert_eq!(watched.turns(), held_at, "it does not turn");
    // Nobody accepts this one: the kernel alone has answered.
    let mut waits = client(address);
    assert_eq!(watched.cut_off(), 21);
    assert!(clients.iter_mut().all(is_over), "the clients hear of it while the core is held");
    assert!(is_over(&mut waits), "who waits to be accepted as well");
    watched.cut_off();

    goes.send(()).expect("it waits");
    (0..20).for_each(|_| closes.recv().expect("the core hears that its connections are closed"));
    let mut again = client(address);
    again.write_all(b"x").expect("sent");
    again.read_exact(&mut [0]).expect("it serves again");
    assert!(watched.turns() > held_at);
    again.write_all(b"e").expect("sent");
    core.join().expect("it ends");
    assert_eq!((watched.turns(), watched.cut_off()), (None, 0), "nothing is left to cut off");
}
