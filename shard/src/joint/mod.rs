//! Several keys as one step: claims, and one key that decides (docs/design/several-keys.md).
//!
//! # What it holds
//!
//! [`Ties`]: what a record says of joint commands beside its value. [`JointOp`]: the steps, each a command on one key. [`Runner`]: takes one joint
//! command through its steps. [`Finder`]: finishes, or gives up, the joint command of a claim that somebody met. These are pure; `drive` carries
//! their steps to the queues of the keys, and lets what meets a claim wait.
//!
//! # What it leaves out, and why
//!
//! What is done with the values: [`crate::command::Joint`]. The protocol: each step is a command on one key, chosen as any other.
//!
//! # Invariants
//!
//! 1. A joint command claims another key only after its anchor was claimed, and claims each once. 2. Its writes are visible from the moment its
//!    anchor's decision is chosen, and not before. 3. A write leaves the decision only after it was done. 4. A step of a joint command changes
//!    nothing where its claim is not. 5. Other claims are dropped only after the anchor's.

mod drive;
mod finder;
mod ops;
#[cfg(test)]
mod play;
mod runner;
mod ties;

pub(crate) use drive::{claims, claims_another, may_end_claim, passes, waits_for_claim, Joints, StepTicket};
pub use finder::{At, Finder, Next};
pub use ops::JointOp;
pub use runner::{Ran, Runner, Todo};
pub use ties::{Claim, Decision, JointId, Snapshot, Ties, Write, Writes};
