//! A member that lost its log comes back (docs/design/repair.md section 4; `rejoin.rs` models it for one key, with its parts left out).

use std::collections::BTreeMap;

use paxos::{Ballot, Member};

use super::{Fault, Verdict, World, BALLOTS_PER_OP, KEYS};
use crate::driver::{Log, Replica};

/// What a voter holds of a key.
#[derive(Clone, Debug)]
pub struct Told {
    accepted: Ballot,
    chosen_to: Ballot,
    log: Option<Log>,
}

#[derive(Clone, Debug)]
pub enum Body {
    AskEpoch {
        id: u32,
    },
    TellEpoch {
        id: u32,
    },
    Ask {
        id: u32,
    },
    Tell {
        id: u32,
        round: u64,
        floor: Ballot,
        keys: Vec<Told>,
    },
    /// The receiver's record is to be settled.
    Settle {
        key: usize,
    },
}

impl Body {
    pub fn is_about_epochs(&self) -> bool {
        matches!(self, Body::AskEpoch { .. } | Body::TellEpoch { .. })
    }
}

/// How far a member is with coming back.
#[derive(Clone, Debug)]
pub enum Coming {
    Epochs(BTreeMap<Member, u32>),
    /// The answers, the highest round counter and the highest floor of them.
    Records(BTreeMap<Member, Vec<Told>>),
    /// What was taken over waits for the log.
    Saving,
}

impl Coming {
    pub fn epochs() -> Coming {
        Coming::Epochs(BTreeMap::new())
    }

    pub fn records() -> Coming {
        Coming::Records(BTreeMap::new())
    }
}

impl World<'_> {
    /// How many voters must have answered.
    fn sources(&self) -> usize {
        usize::from(self.members.count() - self.members.majority() + 1)
    }

    pub(super) fn on_coming(&mut self, from: Member, to: Member, epoch: u32, body: Body) -> Verdict {
        let silent = self.peek(to).coming.is_some();
        match body {
            Body::Tell { id, round, floor, keys } => self.on_tell(from, to, id, (round, floor), keys),
            Body::TellEpoch { id } => {
                self.on_epoch(from, to, id, epoch);
                Ok(())
            }
            _ if silent => Ok(()),
            Body::AskEpoch { id } => {
                self.send(to, from, super::Body::Coming(Body::TellEpoch { id }));
                Ok(())
            }
            // What was accepted under an older epoch, and is not durable yet, would be a vote that the asker never heard of.
            Body::Ask { .. } if !self.peek(to).log.is_empty() => Ok(()),
            Body::Ask { id } => {
                let host = self.peek(to);
                let told = |replica: &Replica| {
                    let (accepted, chosen_to, log) = replica.tell();
                    Told { accepted, chosen_to, log }
                };
                let (round, floor, keys) =
                    (host.round, host.keys[0].floor(), host.keys.iter().map(told).collect());
                self.send(to, from, super::Body::Coming(Body::Tell { id, round, floor, keys }));
                Ok(())
            }
            Body::Settle { key } if !self.is_reading(to, key) => {
                self.host(to).keys[key].ballots_left = BALLOTS_PER_OP;
                self.with(to, key, Replica::start_read)
            }
            Body::Settle { .. } => Ok(()),
        }
    }

    fn on_epoch(&mut self, from: Member, me: Member, id: u32, epoch: u32) {
        let enough = self.sources();
        let host = self.host(me);
        let Some(Coming::Epochs(told)) = &mut host.coming else { return };
        if host.question != id {
            return;
        }
        told.insert(from, epoch);
        if told.len() >= enough {
            host.epoch = told.values().copied().max().unwrap_or(0).max(host.epoch) + 1;
            host.coming = Some(Coming::records());
            self.ask(me);
        }
    }

    fn on_tell(
        &mut self,
        from: Member,
        me: Member,
        id: u32,
        (round, floor): (u64, Ballot),
        keys: Vec<Told>,
    ) -> Verdict {
        let (enough, free) = (self.sources(), self.is(Fault::FormerLifeFree));
        let host = self.host(me);
        let Some(Coming::Records(told)) = &mut host.coming else { return Ok(()) };
        if host.question != id {
            return Ok(());
        }
        told.insert(from, keys);
        let told = told.clone();
        if !free {
            host.bar = host.bar.max(round);
            host.round = host.round.max(round);
        }
        host.floor_told = host.floor_told.max(floor);
        if told.len() < enough {
            return Ok(());
        }
        let tops: Vec<_> = (0..KEYS).map(|key| self.top(&told, key)).collect();
        for (key, top) in tops.iter().enumerate() {
            if let Some((_, _, Err(holder))) = top {
                self.send(me, *holder, super::Body::Coming(Body::Settle { key }));
            }
        }
        if tops.iter().flatten().any(|(_, _, proven)| proven.is_err()) {
            return Ok(());
        }
        self.host(me).coming = Some(Coming::Saving);
        for (key, top) in tops.into_iter().enumerate() {
            if let Some((ballot, log, _)) = top {
                self.with(me, key, |replica, fx| replica.take_over(ballot, log, fx))?;
            }
        }
        Ok(())
    }

    /// The highest record of a key, and whether it is proven chosen: if not, who holds it.
    fn top(
        &self,
        told: &BTreeMap<Member, Vec<Told>>,
        key: usize,
    ) -> Option<(Ballot, Log, Result<(), Member>)> {
        let of = || told.iter().map(|(member, keys)| (*member, &keys[key]));
        let ballot = of().map(|(_, told)| told.accepted).max()?;
        let holders: Vec<_> = of().filter(|(_, told)| told.accepted == ballot).collect();
        let (holder, log) = holders.iter().find_map(|(member, told)| Some((*member, told.log.clone()?)))?;
        let majority = usize::from(self.members.majority());
        let proven = holders.len() >= majority || of().any(|(_, told)| told.chosen_to == ballot);
        Some((ballot, log, if proven { Ok(()) } else { Err(holder) }))
    }

    /// Asks all others for what is wanted next.
    pub(super) fn ask(&mut self, me: Member) {
        let host = self.host(me);
        host.question += 1;
        let id = host.question;
        let body = match &mut host.coming {
            Some(Coming::Epochs(told)) => {
                told.clear();
                Body::AskEpoch { id }
            }
            Some(Coming::Records(told)) => {
                told.clear();
                Body::Ask { id }
            }
            _ => return,
        };
        self.tell_all(me, &super::Body::Coming(body));
    }

    /// A member that comes back goes on.
    pub(super) fn come_back(&mut self, me: Member) -> Verdict {
        let host = self.host(me);
        match &host.coming {
            Some(Coming::Saving) if host.log.is_empty() => {
                let (life, floor) = (host.epoch * 10_000, host.floor_told);
                (host.coming, host.asker) = (None, super::confirms::Asker::default());
                host.counters.iter_mut().for_each(|counter| *counter = None);
                for replica in &mut host.keys {
                    replica.start_life(life);
                    replica.set_floor(floor);
                }
                self.counts.returns += 1;
                self.bind(me);
                self.check_promises(me)
            }
            Some(Coming::Saving) | None => Ok(()),
            Some(_) => {
                self.ask(me);
                Ok(())
            }
        }
    }
}
