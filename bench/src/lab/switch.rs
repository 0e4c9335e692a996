//! A network switch in one thread: TAP devices are its ports, and each direction between two of them has a
//! [`Link`] that cuts, delays, loses, repeats or reorders.
//!
//! Delay in the kernel (netem) is missing in many small kernels; a switch of one's own works wherever a TAP
//! device can be made, and one place decides everything about the network. Ports know their devices by their
//! Ethernet addresses, which the lab gives out: the last byte is the number of the port. What is sent to
//! nobody in particular goes to all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::SeedableRng;
use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::limits::{FRAMES_PER_TURN_MAX, FRAMES_UNDER_WAY_MAX, FRAME_BYTES_MAX, PORTS, SWITCH_LOOK_AGAIN};
use super::link::Link;
use crate::error::BenchError;

/// Where in a frame the last byte of the receiver's address stands.
const RECEIVER: usize = 5;

/// All directions: `links[from][to]`.
pub type Links = [[Link; PORTS]; PORTS];

#[derive(Debug)]
struct Shared {
    links: Mutex<Links>,
    stop: AtomicBool,
    passed: AtomicU64,
    dropped: AtomicU64,
}

/// The switch; dropping it stops it and removes its devices.
#[derive(Debug)]
pub struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A frame under way. Ordered by when it arrives, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Instant,
    number: u64,
    to: usize,
    bytes: Vec<u8>,
}

impl Switch {
    /// Starts switching between these devices.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(ports: [File; PORTS], seed: u64) -> Result<Switch, BenchError> {
        let shared = Arc::new(Shared {
            links: Mutex::new(Links::default()),
            stop: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let random = SmallRng::seed_from_u64(seed);
        let mut worker =
            Worker { shared: Arc::clone(&shared), ports, random, number: 0, under_way: BinaryHeap::new() };
        let thread = std::thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| BenchError::io("starting the switch", source))?;
        Ok(Switch { shared, thread: Some(thread) })
    }

    /// Changes the links; frames that are under way arrive as it was decided when they were sent.
    pub fn change(&self, change: impl FnOnce(&mut Links)) {
        change(
            &mut self.shared.links.lock().expect("no thread panics while it holds the links: a panic aborts"),
        );
    }

    /// Frames that arrived, and frames that were lost on purpose.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the switch does not panic: a panic aborts");
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    ports: [File; PORTS],
    random: SmallRng,
    number: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
}

impl Worker {
    fn run(&mut self) {
        // Else the kernel lets waits end up to 50 us late, so that a round trip takes longer than was asked for.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut frame = vec![0; FRAME_BYTES_MAX];
        while !self.shared.stop.load(Ordering::Acquire) {
            self.wait();
            for port in 0..PORTS {
                for _ in 0..FRAMES_PER_TURN_MAX {
                    // Nothing more to read, or a device that is gone: both end this port's turn.
                    let Ok(length) = self.ports[port].read(&mut frame) else { break };
                    self.route(port, frame.get(..length).unwrap_or_default());
                }
            }
            self.deliver_due();
        }
    }

    /// Waits for a frame, for the time at which one arrives, or to look whether to stop.
    fn wait(&self) {
        let next =
            self.under_way.peek().map(|Reverse(frame)| frame.due.saturating_duration_since(Instant::now()));
        let patience = next.map_or(SWITCH_LOOK_AGAIN, |next| next.min(SWITCH_LOOK_AGAIN));
        let timeout =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut ready = self.ports.each_ref().map(|port| PollFd::new(port, PollFlags::IN));
        // An interrupted wait is a short one.
        let _ = poll(&mut ready, Some(&timeout));
    }

    fn route(&mut self, from: usize, frame: &[u8]) {
        let Some(&receiver) = frame.get(RECEIVER) else { return };
        let receiver = usize::from(receiver);
        let links = self.shared.links.lock().expect("no thread panics while it holds the links")[from];
        for to in (0..PORTS).filter(|&to| to != from && (receiver >= PORTS || receiver == to)) {
            self.send(to, links[to], frame);
        }
    }

    fn send(&mut self, to: usize, link: Link, frame: &[u8]) {
        let fate = link.fate(&mut self.random);
        if fate == [None, None] {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        for travel in fate.into_iter().flatten() {
            if travel == Duration::ZERO {
                self.arrive(to, frame);
            } else if self.under_way.len() < FRAMES_UNDER_WAY_MAX {
                self.number += 1;
                let frame =
                    UnderWay { due: Instant::now() + travel, number: self.number, to, bytes: frame.to_vec() };
                self.under_way.push(Reverse(frame));
            } else {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse(frame)| frame.due <= now) {
            let Some(Reverse(frame)) = self.under_way.pop() else { return };
            self.arrive(frame.to, &frame.bytes);
        }
    }

    /// A device that takes nothing (it is down, or its queue is full) loses the frame, as a wire would.
    fn arrive(&self, to: usize, frame: &[u8]) {
        let taken = (&self.ports[to]).write(frame).is_ok();
        let counter = if taken { &self.shared.passed } else { &self.shared.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
