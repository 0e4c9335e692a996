//! The end of a schedule: faults stop, everything arrives, everybody is a voter again and answers.

use super::{Verdict, World, KEYS};
use crate::driver::Replica;

/// Rounds in which everybody must have answered, and those after which everything is read once more.
const ROUNDS: usize = 70;
const READ_ALL: usize = 35;

impl World<'_> {
    pub(super) fn heal(&mut self) -> Verdict {
        self.away = None;
        for round in 0..ROUNDS {
            let mut waiting = false;
            for me in self.members.all() {
                self.quiet()?;
                if self.peek(me).coming.is_some() {
                    waiting = true;
                    self.come_back(me)?;
                    continue;
                }
                if round < READ_ALL {
                    self.features(me)?;
                    self.quiet()?;
                }
                self.end_confirmed_reads(me)?;
                for key in 0..KEYS {
                    self.heal_key(me, key)?;
                    let replica = &self.peek(me).keys[key];
                    waiting |= replica.has_write() || replica.has_read();
                    if round == READ_ALL && !self.is_reading(me, key) {
                        self.with(me, key, Replica::start_read)?;
                        waiting = true;
                    }
                }
            }
            if round > READ_ALL && !waiting {
                return Ok(());
            }
        }
        let state = |host: &super::Host| {
            let keys: Vec<_> =
                host.keys.iter().map(|k| (k.has_write(), k.has_read(), k.has_ballot())).collect();
            format!("epoch {}, {:?}, write, read, ballot {keys:?}", host.epoch, host.coming)
        };
        let states: Vec<String> = self.hosts.iter().map(state).collect();
        Err(format!("faults have stopped, and somebody still waits: {states:#?}"))
    }

    fn heal_key(&mut self, me: u8, key: usize) -> Verdict {
        self.urge(me, key)?;
        self.quiet()?;
        self.with(me, key, Replica::settle)?;
        self.quiet()?;
        if self.peek(me).keys[key].has_ballot() {
            // Refused by some and unheard by others: it is given up, as a host does after a while.
            self.with(me, key, |replica, _| replica.give_up_ballot())?;
        }
        self.urge(me, key)?;
        self.quiet()
    }

    fn quiet(&mut self) -> Verdict {
        loop {
            self.write_all()?;
            let Some(wire) = self.net.pop() else { return Ok(()) };
            self.deliver(wire)?;
        }
    }
}
