//! Finishes, or gives up, the joint command of a claim that somebody met (docs/design/several-keys.md, section 3). Pure.

use reactor::mutants::planted;

use super::ops::JointOp;
use super::ties::{Claim, Write};
use crate::reply::Reply;

/// Which key a step of a finder concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The key where the claim was found.
    Key,
    /// The key that decides.
    Anchor,
}

/// What a finder does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This step; its answer goes to [`Finder::on_reply`].
    Ask(At, JointOp),
    /// Nothing for a moment; then [`Finder::look`] again.
    Wait,
    /// The claim is gone. A step may be left whose answer is of no interest.
    Over(Option<(At, JointOp)>),
}

/// One claim that somebody waits for.
#[derive(Debug)]
pub struct Finder {
    key: Box<[u8]>,
    claim: Claim,
    /// The claim's key is being released, with a write of a decision or without.
    releasing: Option<bool>,
}

impl Finder {
    /// For the claim that was found at a key.
    pub fn new(key: &[u8], claim: Claim) -> Finder {
        Finder { key: key.into(), claim, releasing: None }
    }

    /// The claim.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The key where it was found.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// For a write that a decision names, which was found at the anchor of this claim. What is found there may be of no account: it is asked
    /// once more.
    pub fn finish(&mut self, found: Write) -> Next {
        match planted(511) {
            true => self.release(Some(found)),
            false => self.look(false),
        }
    }

    /// Asks the anchor. `gives_up`: whoever has the claim is not waited for any longer.
    pub fn look(&mut self, gives_up: bool) -> Next {
        self.releasing = None;
        let id = self.claim.id;
        if planted(507) {
            return self.release(None);
        }
        Next::Ask(At::Anchor, JointOp::Look { id, key: self.key.clone(), gives_up })
    }

    /// A step was answered.
    pub fn on_reply(&mut self, reply: &Reply) -> Next {
        let id = self.claim.id;
        match (self.releasing, reply) {
            (None, Reply::Int(0)) => self.release(None),
            (None, Reply::Bulk(bytes)) => match Write::decode(bytes) {
                Ok(_) if planted(508) => self.release(None),
                Ok(write) => self.release(Some(write)),
                Err(_) => Next::Wait,
            },
            // What is written is taken off the decision. Where the claim was gone somebody had written it: of one that is decided nobody drops it.
            (Some(true), Reply::Int(_)) => {
                let forget = JointOp::Forget { id, key: Some(self.key.clone()) };
                Next::Over(Some((At::Anchor, forget)))
            }
            (Some(_), Reply::Int(_)) => Next::Over(None),
            _ => Next::Wait,
        }
    }

    fn release(&mut self, write: Option<Write>) -> Next {
        self.releasing = Some(write.is_some());
        Next::Ask(At::Key, JointOp::Release { id: self.claim.id, write })
    }
}
