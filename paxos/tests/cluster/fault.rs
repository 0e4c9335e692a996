//! The parts of the rules that are left out, one at a time, to prove that they are needed.

/// A part of a rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The rules as they are.
    None,

    // ---- range promise ----
    /// The promise is answered before it is durable.
    GrantedEarly,
    /// The list of records is taken when the question arrives, not once the promise is durable.
    ListedEarly,
    /// What was counted is told as of the moment when the question arrives.
    CountedEarly,
    /// A granted ballot is used although a member listed a newer record than the own one.
    NewerIgnored,
    /// One member fewer than a majority is enough.
    GrantedByMinority,
    /// The promise does not bind keys of which the member holds nothing.
    AbsentNotCovered,
    /// The promise does not bind what the member itself proposes.
    OwnBallotsNotBound,
    /// A lower promise for the slot replaces a higher one.
    SlotPromiseLowered,
    /// The granted ballot is used on after a restart, where nobody knows for which keys it was used.
    UsedAfterRestart,
    /// The floor is not looked at where the ballot is the one promised for the slot.
    FloorIgnored,
    /// A member without its log promises and lists.
    LearnerGrants,
    /// A grant outlives the epoch, and a member that lost its log is free of what its former life promised.
    FormerLifeFree,
    /// Copies pass the slot's promise although nobody has proven that they are chosen.
    CopyUnproven,

    // ---- batched confirm ----
    /// What was counted is noted, and not which keys are concerned.
    SuspectsForgotten,
    /// Being the newest known is enough: nobody asks whether the own record is chosen.
    UnchosenServed,
    /// The answer of a member counts for reads that arrived after its question left.
    OldAnswer,
    /// What was said to a former start of the asker is taken for an answer to this one.
    FormerStartAnswers,
    /// Of the preferred member's ballots none counts as foreign, those of its former starts neither.
    FormerStartNotForeign,
    /// A member does not count what it proposes itself.
    OwnNotCounted,
    /// Accepts are counted before they are durable, while the digest shows what is durable.
    CountedBeforeDurable,
    /// The counter is read a moment later than the digest.
    CounterReadLater,
    /// A digest that was read before the place where the two began to be abreast counts.
    EarlyDigest,
    /// What no longer fits into the ring is forgotten.
    OverflowIgnored,
    /// A counter that was lost in a restart is taken for one that stands where it stood.
    RestartIgnored,
    /// The preferred member changes its keys and does not compare anew.
    KeysChanged,
    /// One member fewer than a majority is enough.
    ConfirmedByMinority,
    /// A member without its log compares and confirms.
    LearnerConfirms,
}
