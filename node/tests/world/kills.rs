//! SIGKILL at random moments under load. Afterwards every acknowledged write is there, and the replies are those of one counter
//! that one client after the other has raised.
//!
//! Set `SYNOD_TEST_KILLS` to a number for more rounds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, Value};
use super::host::{eventually, Cluster};

const CLIENTS: usize = 4;
const ROUNDS: usize = 40;
/// With two cores per host: one more thing to go wrong, and twice the work.
const ROUNDS_TWO_CORES: usize = 10;

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// Start and end of each acknowledged INCR, with the value that it gave.
    raised: Vec<(Instant, Instant, i64)>,
    /// The same of each answered GET of the counter.
    read: Vec<(Instant, Instant, i64)>,
    /// INCRs that may or may not have been applied.
    unknown: usize,
    /// Numbers of the acknowledged unique writes.
    written: Vec<usize>,
    refused: usize,
}

enum Outcome {
    Done(Value),
    /// Certainly not applied.
    Refused,
    Unknown,
}

/// A client that goes to the next host when its connection breaks.
struct Wanderer<'a> {
    addresses: &'a [String],
    place: usize,
    client: Option<Client>,
}

impl Wanderer<'_> {
    fn run(&mut self, words: &[&str]) -> Outcome {
        if self.client.is_none() {
            self.place = (self.place + 1) % self.addresses.len();
            self.client = Client::try_connect(&self.addresses[self.place]).ok();
        }
        let Some(client) = &mut self.client else {
            // Nobody listens there for the moment.
            std::thread::sleep(Duration::from_millis(1));
            return Outcome::Refused;
        };
        match client.try_call(words) {
            Ok(Value::Error(text)) if text.starts_with("ERR") => Outcome::Refused,
            Ok(Value::Error(text)) if text.starts_with("UNCERTAIN") => Outcome::Unknown,
            Ok(Value::Error(text)) => panic!("{words:?} was answered with {text}"),
            Ok(value) => Outcome::Done(value),
            Err(_) => {
                self.client = None;
                Outcome::Unknown
            }
        }
    }
}

fn load(number: usize, addresses: &[String], stop: &AtomicBool, acknowledged: &AtomicUsize) -> Seen {
    let mut seen = Seen::default();
    let mut wanderer = Wanderer { addresses, place: number, client: None };
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        match wanderer.run(&["INCR", "counter"]) {
            Outcome::Done(Value::Int(value)) => {
                seen.raised.push((begun, Instant::now(), value));
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Done(other) => panic!("INCR gave {other:?}"),
            Outcome::Refused => seen.refused += 1,
            Outcome::Unknown => seen.unknown += 1,
        }
        let (key, value) = (format!("unique:{number}:{turn}"), format!("value {number} {turn}"));
        match wanderer.run(&["SET", &key, &value]) {
            Outcome::Done(reply) => {
                assert_eq!(reply, Value::ok());
                seen.written.push(turn);
            }
            Outcome::Refused => seen.refused += 1,
            Outcome::Unknown => {}
        }
        let begun = Instant::now();
        if let Outcome::Done(value) = wanderer.run(&["GET", "counter"]) {
            let value = match value {
                Value::Nil => 0,
                Value::Bulk(bytes) => String::from_utf8_lossy(&bytes).parse().expect("a number"),
                other => panic!("GET gave {other:?}"),
            };
            seen.read.push((begun, Instant::now(), value));
        }
    }
    seen
}

/// Where `0.raised` gives each value once, an order by value is the only one possible; it must not contradict time: what ended
/// before something began gave less. Reads may give the same as another, but no less than what ended before.
fn assert_one_counter(all: &[Seen]) {
    let mut events: Vec<(Instant, Instant, i64, bool)> = Vec::new();
    for seen in all {
        events.extend(seen.raised.iter().map(|(begun, ended, value)| (*begun, *ended, *value, true)));
        events.extend(seen.read.iter().map(|(begun, ended, value)| (*begun, *ended, *value, false)));
    }
    let raised: Vec<i64> = events.iter().filter(|event| event.3).map(|event| event.2).collect();
    let distinct: BTreeSet<i64> = raised.iter().copied().collect();
    assert_eq!(distinct.len(), raised.len(), "two INCRs gave the same value");
    let mut by_end = events.clone();
    by_end.sort_by_key(|event| event.1);
    events.sort_by_key(|event| event.0);
    let (mut ended, mut greatest) = (0, 0);
    for (begun, _, value, is_raise) in events {
        while ended < by_end.len() && by_end[ended].1 < begun {
            greatest = greatest.max(by_end[ended].2);
            ended += 1;
        }
        let expected = if is_raise { greatest + 1 } else { greatest };
        assert!(
            value >= expected,
            "{value} was given though {greatest} had been given before it was asked for"
        );
    }
}

#[test]
fn no_acknowledged_write_is_lost_and_replies_are_linearizable_under_sigkill() {
    kill_under_load(1, ROUNDS);
}

#[test]
fn nor_with_two_cores() {
    kill_under_load(2, ROUNDS_TWO_CORES);
}

fn kill_under_load(cores: u32, rounds: usize) {
    let rounds = std::env::var("SYNOD_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(rounds);
    let mut cluster = Cluster::start(3, cores, "");
    let addresses: Vec<String> = cluster.hosts.iter().map(|host| host.plain.clone()).collect();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let all: Vec<Seen> = std::thread::scope(|scope| {
        let (stop, acknowledged, addresses) = (&stop, &acknowledged, &addresses);
        // Also when a round fails: the scope waits for the clients.
        let _stop = OnDrop(|| stop.store(true, Ordering::Relaxed));
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| scope.spawn(move || load(n, addresses, stop, acknowledged))).collect();
        let progress = || {
            let before = acknowledged.load(Ordering::Relaxed);
            eventually("writes are acknowledged", || acknowledged.load(Ordering::Relaxed) > before + 10);
        };
        for round in 0..rounds {
            progress();
            // In the middle of whatever is under way.
            let random = getrandom::u32().expect("random") as usize;
            std::thread::sleep(Duration::from_micros(random as u64 % 20_000));
            if round % 5 == 4 {
                cluster.hosts.iter_mut().for_each(|host| host.kill());
            } else {
                cluster.hosts[random % 3].kill();
                // The other two carry on.
                progress();
            }
            cluster.start_all();
        }
        progress();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("a client that saw nothing wrong")).collect()
    });
    assert_one_counter(&all);
    let raised: usize = all.iter().map(|seen| seen.raised.len()).sum();
    let unknown: usize = all.iter().map(|seen| seen.unknown).sum();
    for host in &cluster.hosts {
        let mut client = host.client();
        let Value::Bulk(counter) = client.call(&["GET", "counter"]) else { panic!("the counter is gone") };
        let counter: usize = String::from_utf8_lossy(&counter).parse().expect("a number");
        assert!(
            (raised..=raised + unknown).contains(&counter),
            "{counter} for {raised} and {unknown} unknown"
        );
        for (number, seen) in all.iter().enumerate() {
            for turn in &seen.written {
                let read = client.call(&["GET", &format!("unique:{number}:{turn}")]);
                assert_eq!(read, Value::bulk(&format!("value {number} {turn}")), "an acknowledged write");
            }
        }
    }
    let written: usize = all.iter().map(|seen| seen.written.len()).sum();
    let refused: usize = all.iter().map(|seen| seen.refused).sum();
    println!(
        "{rounds} rounds: {} writes acknowledged, {unknown} INCRs unknown, {refused} refused",
        raised + written
    );
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
