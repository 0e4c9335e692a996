//! Named scenarios: seeds that once failed, each for a bug, of the product or of the simulator's judgement, that is fixed.
//! They run first, everywhere.

use crate::plan::Plan;

/// A seed with a story.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What went wrong once.
    pub story: &'static str,
    /// The seed.
    pub seed: u64,
    /// What the seed's narrow plan ([`Plan::draw_narrow`]) does not say.
    pub change: fn(&mut Plan),
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "a minority's record, missed and finished",
        story: "phase 1 found a key absent while the own record, undecided, waited for the disk; a later read finished it",
        seed: 425,
        change: |_| {},
    },
    Scenario {
        name: "all reads go through one host",
        story: "forwarded reads never met the record that only a third host had accepted",
        seed: 764,
        change: |_| {},
    },
    Scenario {
        name: "a second sync that proves nothing",
        story: "a sync failed during recovery; the next start read the frame, synced, served, and lost it with the power",
        seed: 6316,
        change: |_| {},
    },
    Scenario {
        name: "a start on a disk that is nearly full",
        story: "the log had no place yet for the new incarnation, because its next segment was being made, and the core gave up",
        seed: 8077,
        change: |plan| {
            let segment_bytes = plan.segment_bytes;
            *plan = Plan { segment_bytes, ..Plan::draw_without_deltas(8077) };
        },
    },
    Scenario {
        name: "an entry where a tombstone was",
        story: "a delete of nothing, which another host may have done too, began the versions of the key anew after its tombstone was dropped",
        seed: 33,
        change: |plan| *plan = Plan::draw_without_deltas(33),
    },
    Scenario {
        name: "a voter that one peer takes for a learner",
        story: "the word that a core votes again was lost, and nobody said it again while the link stayed up",
        seed: 24864,
        change: |plan| *plan = Plan::draw_without_deltas(24864),
    },
    Scenario {
        name: "a count of what nobody has finished",
        story: "the last reads went past a record that one host had accepted alone, and that host counted it right after",
        seed: 27555,
        change: |plan| {
            // Drawn before hosts could all take themselves for preferred.
            let routes = plan.routes;
            *plan = Plan { routes, ..Plan::draw_without_deltas(27555) };
        },
    },
    Scenario {
        name: "a vote that is durable when the slice stops",
        story: "a frame became durable and a later write failed in one turn; the vote left, and nobody had looked whether it was durable",
        seed: 56557,
        change: |plan| *plan = Plan::draw_without_deltas(56557),
    },
    Scenario {
        name: "a command that was handed over in a former start",
        story: "it came to the voter once more after one of a newer start of the learner, which links exclude, and was taken in again",
        seed: 24499,
        change: |plan| *plan = Plan::draw_without_deltas(24499),
    },
    Scenario {
        name: "a stretch of a segment that goes",
        story: "merge had waited for the last reader and was removing the segment's hint when a host asked for that part of the log",
        seed: 591,
        change: |plan| *plan = Plan::draw_without_deltas(591),
    },
    Scenario {
        name: "a Restamp that waits for the disk",
        story: "the record was read only after a higher ballot had been promised for its slot, and then it was accepted, below that",
        seed: 12571,
        change: |plan| *plan = Plan::draw_without_deltas(12571),
    },
    Scenario {
        name: "a value that was asked for again",
        story: "a read showed what a command before it in its batch had written, as another entry had before; the simulator took it for that one",
        seed: 7716,
        change: |plan| *plan = Plan::draw_without_deltas(7716),
    },
    Scenario {
        name: "the last job in the middle of a turn",
        story: "faults were stopped, and a damaged host taken away, while the simulator was still carrying out what that host had to say",
        seed: 7586,
        change: |plan| *plan = Plan::draw_without_deltas(7586),
    },
    Scenario {
        name: "a word to a worker damaged on the way",
        story: "no bug of the product: links broke by damaged frames, a word to a waiting worker was lost with one, and the simulator took that for a calm world in which turns are kept",
        seed: 20_321,
        change: |plan| *plan = Plan::draw_without_deltas(20_321),
    },
    Scenario {
        name: "waits that moved when a link broke",
        story: "the same: by a link that a damaged frame broke, workers lost their places in the queue, as they may",
        seed: 108_518,
        change: |plan| *plan = Plan::draw_without_deltas(108_518),
    },
    Scenario {
        name: "rot in what was about to be the last frame",
        story: "no bug of the product: a bit of a frame flipped, the frame behind it was not durable and went with the power, and what was left looked like a torn write",
        seed: 18_114,
        change: |plan| *plan = Plan::draw_without_deltas(18_114),
    },
    Scenario {
        name: "a value that ends before it is durable",
        story: "a sweep came after a value's end and before its record was in the directory, and never looked at the slot again",
        seed: 5136,
        change: |plan| *plan = Plan::draw_without_deltas(5136),
    },
    Scenario {
        name: "a command that waited for a claim after it was proposed",
        story: "it had gone back from its batch to the queue, so its id was dropped from the entry that had it, and it was applied again",
        seed: 75,
        change: |plan| *plan = Plan::draw_without_deltas(75),
    },
    Scenario {
        name: "a long reply to what was outbid and finished",
        story: "a pop was proposed, outbid, and found in the own record by the next attempt, which had forgotten what it had answered",
        seed: 108_747,
        change: |plan| *plan = Plan::draw_without_deltas(108_747),
    },
    Scenario {
        name: "a tombstone below a promise",
        story: "no bug of the product: a host had promised a ballot of its own, outbid, above the tombstone of a key that had ended, and \
                got that by repair, a second later",
        seed: 113_341,
        change: |plan| *plan = Plan::draw_without_deltas(113_341),
    },
    Scenario {
        name: "a joint command whose client waits no longer",
        story: "its anchor was not claimed in time, and the client was told when the claims had been taken back, which took four seconds more",
        seed: 140_719,
        change: |plan| *plan = Plan::draw_without_deltas(140_719),
    },
    Scenario {
        name: "an answer from before the two began",
        story: "no bug of the product: a sum read before the first answer came late, and a vote between the two was in neither (planted bug 179)",
        seed: 11_082,
        change: |plan| *plan = Plan::draw_without_deltas(11_082),
    },
    Scenario {
        name: "a tree that was damaged with its log",
        story: "no bug of the product: writes of a log and of its tree's manifest went astray; the log was put aside, the tree stayed damaged, and at \
                the next start the simulator took that for news",
        seed: 6570,
        change: |plan| *plan = Plan::draw(6570),
    },
    Scenario {
        name: "the tails of peers' logs are not all there is",
        story: "no bug of the product: a learner that takes the tails of its peers' logs for all there is lacks what was written before them (planted bug 166)",
        seed: 6165,
        change: |plan| *plan = Plan::draw_without_deltas(6165),
    },
];

impl Scenario {
    /// The plan to play.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::draw_narrow(self.seed);
        (self.change)(&mut plan);
        plan
    }
}
