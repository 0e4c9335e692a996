//! The planted bugs: what each is, and which of them this process has.
//!
//! The product asks `planted(number)` at each place (`paxos::mutants`, `reactor::mutants`); a process selects one number
//! before its first run and keeps it. Only the feature `mutants` makes that possible; the list is always there. A number is never used anew. Hundreds
//! tell the crate: below 100 `paxos`, from 100 on `shard`, 200 `bitcask`, 300 `reactor`, 400 `netbatch`, 500 `shard` again.

#[cfg(feature = "mutants")]
use std::sync::OnceLock;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// What `--mutant` selects it by.
    pub number: u32,
    /// What is wrong.
    pub what: &'static str,
}

impl Mutant {
    /// The crate that has it.
    pub fn home(&self) -> &'static str {
        match self.number / 100 {
            0 => "paxos",
            1 | 5 => "shard",
            2 => "bitcask",
            3 => "reactor",
            _ => "netbatch",
        }
    }
}

const fn mutant(number: u32, what: &'static str) -> Mutant {
    Mutant { number, what }
}

/// All of them, by number.
pub const ALL: &[Mutant] = &[
    mutant(1, "a promise is answered before it is durable"),
    mutant(2, "a vote is answered before it is durable"),
    mutant(3, "a promise is never written"),
    mutant(4, "the own vote counts before it is durable"),
    mutant(5, "the own promise counts before it is durable"),
    mutant(6, "the end of one write releases what waits for later ones"),
    mutant(7, "an acceptor compares with what it accepted, not with what it promised"),
    mutant(8, "an accept leaves the promise at its own ballot"),
    mutant(9, "a copied record is taken below the promise, and lowers it"),
    mutant(10, "a finish spares everybody the entry: whatever is held is stamped anew"),
    mutant(11, "one vote makes an entry chosen"),
    mutant(12, "one promise ends phase 1"),
    mutant(13, "votes for another ballot count"),
    mutant(14, "promises for another ballot count"),
    mutant(15, "a repeated vote counts twice"),
    mutant(16, "a repeated promise counts twice"),
    mutant(17, "phase 1 passes over an undecided record"),
    mutant(18, "phase 1 takes an undecided record for chosen"),
    mutant(19, "phase 1 takes the lowest record that is reported"),
    mutant(21, "the fast path survives a lost ballot"),
    mutant(22, "phase 1 is skipped on another proposer's record"),
    mutant(23, "a read of the own record asks nobody"),
    mutant(24, "a read returns the highest record of a majority, unfinished"),
    mutant(25, "a read counts the own record before it is durable"),
    mutant(26, "a read takes answers to an earlier question"),
    mutant(27, "a repeated answer to a read counts twice"),
    mutant(28, "a question is answered from what is not durable"),
    mutant(29, "bytes that come late from disk replace a newer record's"),
    mutant(30, "what extends an undecided record calls it chosen"),
    mutant(31, "a refusal counts as a vote"),
    mutant(101, "the incarnation is not raised at a start"),
    mutant(102, "a ballot is used again"),
    mutant(103, "request ids are not looked up"),
    mutant(104, "an entry drops the request ids before it"),
    mutant(105, "a command that is taken back gets a new id"),
    mutant(106, "a reply leaves with the accept"),
    mutant(107, "\"nothing was written\" where it may have been"),
    mutant(108, "recovered records are taken for chosen"),
    mutant(109, "an expired value is answered without a tombstone"),
    mutant(110, "a repeated forward is taken in twice"),
    mutant(111, "a batch that changes nothing is answered from the fast state"),
    mutant(112, "an idle entity's record is marked chosen"),
    mutant(113, "a late repetition of a settled command is applied"),
    mutant(114, "a write that may be applied elsewhere is answered without an entry"),
    mutant(115, "an answer for an earlier start of the core is taken"),
    mutant(116, "a delete starts the version anew"),
    mutant(117, "the replies of a lost ballot leave"),
    mutant(118, "a tombstone is taken for absence"),
    mutant(119, "a read conflict is settled by the own record"),
    mutant(121, "a command whose ballot was lost counts as never sent"),
    mutant(124, "a forwarded command is answered by both hosts"),
    mutant(131, "repair copies records that nobody has proven chosen"),
    mutant(132, "a record that one peer lists counts as proven"),
    mutant(135, "repair leaves replicas behind where they hold an older record"),
    mutant(136, "repair sees no difference between slots"),
    mutant(137, "a learner votes before it has taken everything over"),
    mutant(141, "a learner takes over from one voter"),
    mutant(142, "a core that lost its log does not know that it is a learner"),
    mutant(144, "a vote for a key that is not in memory is answered before it is durable"),
    mutant(150, "a tombstone is dropped and the floor stays where it is"),
    mutant(153, "a tombstone is dropped without looking whether it is still there"),
    mutant(154, "a majority that agrees is enough to drop a tombstone"),
    mutant(160, "a survey takes what this replica holds for the truth"),
    mutant(161, "a survey takes the older of two records of a key"),
    mutant(162, "a survey passes over keys that only other replicas hold"),
    mutant(164, "a learner that votes again goes on with the incarnations of its former life"),
    mutant(165, "a core answers in an epoch that is not durable"),
    mutant(166, "a learner takes the tails of its peers' logs for all there is"),
    mutant(167, "nobody sweeps for keys whose time has come"),
    mutant(168, "when a record ends is not noted as it comes"),
    mutant(170, "what a peer has counted is not noted"),
    mutant(171, "a confirmed read shows the own record, chosen or not"),
    mutant(172, "an answer to an earlier Confirm serves later reads"),
    mutant(174, "what a core proposes itself is not counted"),
    mutant(175, "one member fewer than a majority confirms"),
    mutant(176, "what was counted and is not remembered is passed over"),
    mutant(177, "a counter that a restart has lost is taken for one that stands where it stood"),
    mutant(178, "slots that a core is newly preferred for count as abreast"),
    mutant(179, "what was read before the two began to be abreast makes slots abreast"),
    mutant(180, "votes are counted before they are durable"),
    mutant(182, "what a peer lists as newer is not noted, and the slot counts as abreast"),
    mutant(183, "a promise for a range is told before it is durable"),
    mutant(
        184,
        "what was counted when a promise was asked for is told for what was counted when it was given",
    ),
    mutant(185, "what others hold of a key does not matter where its slot is promised"),
    mutant(186, "one member fewer than a majority promises a range"),
    mutant(187, "a promise for a range does not go for keys of which nothing is held"),
    mutant(188, "a promise for a range does not bind the own proposals"),
    mutant(189, "a promise for a range goes down"),
    mutant(190, "who is not abreast of a slot has promised it"),
    mutant(191, "promises for ranges are forgotten at a restart"),
    mutant(192, "a Restamp that waited for the disk is not bound by newer range promises"),
    mutant(193, "EXEC passes over the version that is watched"),
    mutant(194, "EXEC runs its first command before it looks at the version that is watched"),
    mutant(195, "who waits last is told first"),
    mutant(196, "who waits is not told of what came"),
    mutant(197, "a numbered request is not remembered"),
    mutant(201, "the log reports a frame as durable when its write starts"),
    mutant(202, "the log does not sync its writes"),
    mutant(203, "a failed write of the log is taken for done"),
    mutant(204, "a short write of the log is taken for done"),
    mutant(205, "the end of a write acknowledges what waits for the next"),
    mutant(206, "the directory keeps the record of the lower stamp"),
    mutant(207, "the promise read last wins, not the highest"),
    mutant(208, "any record of a key drops its promise"),
    mutant(209, "merge points to its copy although a newer record came"),
    mutant(210, "merge leaves promises behind"),
    mutant(212, "recovery passes over tombstones"),
    mutant(213, "recovery leaves out the last frame"),
    mutant(214, "a bad checksum in mid-log is taken for its end"),
    mutant(215, "recovery trusts a sync after one that failed"),
    mutant(216, "what recovery reads is not made durable"),
    mutant(217, "a new segment is used before its name is durable"),
    mutant(218, "a recycled segment keeps its old name"),
    mutant(219, "merge does not wait for readers"),
    mutant(220, "merge gives a segment back before its copies are durable"),
    mutant(222, "a named value is never written anew"),
    mutant(223, "a hint leaves promises out"),
    mutant(226, "a full segment is left without its seal"),
    mutant(227, "the log goes on over its last frame"),
    mutant(228, "a stretch of the log has records that are not marked"),
    mutant(230, "merge drops what a delta extends"),
    mutant(231, "recovery believes a delta without what it extends"),
    mutant(301, "the checksum of a log frame is not checked"),
    mutant(401, "the checksum of a peer frame's body is not checked"),
    mutant(402, "a peer that comes back is not announced"),
    mutant(502, "commands pass over claims"),
    mutant(503, "the anchor is claimed with the others"),
    mutant(505, "a key is written although its claim is gone"),
    mutant(506, "a decision is forgotten before all of it is done"),
    mutant(507, "a claim is dropped without a look at its anchor"),
    mutant(508, "what was decided for a key is not written by who finds its claim"),
    mutant(509, "what joint commands left is not looked at by sweeps"),
    mutant(510, "the id of a command that waits for a claim is forgotten"),
    mutant(511, "what a sweep finds at an anchor is taken for decided"),
    mutant(512, "a delta is taken on whatever record is there"),
    mutant(513, "a whole in the place of a delta leaves the request ids out"),
    mutant(514, "a delta whose base is missing is voted for and not stored"),
    mutant(515, "an object that is kept decoded is taken for that of a later record"),
    mutant(516, "a restamp of the end of a chain leaves the request ids out"),
    mutant(517, "repair copies what a chain begins with as the whole"),
    mutant(518, "what a batch changes is seen as its base before it is chosen"),
    mutant(519, "what is taken out of a set is not said in its delta"),
    mutant(530, "a core speaks in a flush epoch that is not durable"),
    mutant(531, "a flush goes one beyond what its own host knows"),
    mutant(532, "a command that is found in an older flush epoch is answered"),
    mutant(533, "a core does not take on the flush epoch of a message"),
    mutant(534, "what is under way goes on in the newer flush epoch"),
    mutant(535, "a confirmed read shows what is from before a flush"),
    mutant(536, "a statement that is found after a change of the catalog is answered"),
    mutant(537, "a catalog begins before it is durable"),
    mutant(538, "a core does not adopt the catalog of a message"),
    mutant(539, "what is under way goes on under the newer catalog"),
    mutant(540, "a change of the catalog is answered when one core has it"),
    mutant(541, "rows of a table that was dropped are seen"),
    mutant(542, "the numbered requests that were done are not said in a delta"),
    mutant(543, "the catalog is emptied by flushes as other keys are"),
    mutant(544, "a newer score of a member is not said in its delta"),
    mutant(545, "an entry of a group is applied when it is accepted"),
    mutant(546, "what phase 1 finds undecided of a group is extended before it is finished"),
    mutant(548, "a statement does not wait until the rows are those of the head"),
    mutant(549, "entries are applied over a gap"),
    mutant(550, "entries are found by version alone"),
    mutant(551, "entries that were accepted are not in the log"),
    mutant(552, "request ids are not looked up by statements on a tree"),
    mutant(553, "a run that waited goes on although another head came"),
    mutant(554, "a statement does not see what its batch has changed"),
    mutant(556, "an entry stands on the head of another table"),
    mutant(557, "an entry that the tree does not take counts as applied"),
    mutant(558, "an entry goes from the log that no tree on disk has"),
    mutant(559, "a peer is given rows of two versions"),
    mutant(560, "a learner of groups votes before it has their rows"),
    mutant(561, "what is read without claims is of two flush epochs"),
    mutant(562, "a statement reads an index of which its partition does not have all entries"),
    mutant(563, "of what is to be done for an index the first step alone is taken"),
    mutant(564, "an index that was made when rows were there counts as whole with the next write"),
    mutant(570, "an end that a command of its own sets is not kept"),
    mutant(571, "PERSIST leaves the end where it is"),
    mutant(572, "when an object ends is not said in its delta"),
    mutant(573, "what RENAME moves stays where it was as well"),
    mutant(574, "COPY takes the place of what is there, not asked to"),
    mutant(575, "what SMOVE moves stays where it was as well"),
    mutant(576, "LMOVE always gives to the right end"),
    mutant(577, "SINTERSTORE of nothing leaves what was there"),
    mutant(578, "MSETNX looks at the first of its keys only"),
    mutant(579, "who waits is not told of what came to a sorted set"),
    mutant(580, "ZPOPMIN takes the highest"),
    mutant(581, "what ends is shown half a second longer"),
    mutant(582, "what ends is gone half a second before its time"),
    mutant(583, "what COPY puts somewhere does not end there"),
];

/// The planted bug of this number.
pub fn find(number: u32) -> Option<&'static Mutant> {
    ALL.iter().find(|mutant| mutant.number == number)
}

#[cfg(feature = "mutants")]
static SELECTED: OnceLock<u32> = OnceLock::new();

/// Gives this process a planted bug, before its first run and once.
#[cfg(feature = "mutants")]
pub fn select(number: u32) {
    let selected = *SELECTED.get_or_init(|| number);
    assert!(selected == number, "a process has one planted bug, and keeps it");
    paxos::mutants::select(number);
    reactor::mutants::select(number);
}

/// The planted bug of this process.
#[cfg(feature = "mutants")]
pub fn selected() -> Option<u32> {
    SELECTED.get().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::ALL;

    #[test]
    fn numbers_are_in_order_and_say_something() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number), "by number, each once");
        assert!(ALL.iter().all(|mutant| mutant.number > 0 && !mutant.what.is_empty()));
        assert!(ALL.len() >= 40, "the goal of docs/testing.md");
    }

    /// The numbers that the sources in a folder ask for.
    fn asked(folder: &Path, numbers: &mut BTreeSet<u32>) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                asked(&path, numbers);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                let calls = text.split("planted(").skip(1);
                numbers.extend(calls.filter_map(|call| call.split(')').next()?.parse::<u32>().ok()));
            }
        }
    }

    #[test]
    fn what_is_listed_is_planted_and_what_is_planted_is_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let listed: BTreeSet<u32> = ALL.iter().map(|mutant| mutant.number).collect();
        let mut planted = BTreeSet::new();
        for home in ["paxos", "shard", "bitcask", "reactor", "netbatch"] {
            let mut here = BTreeSet::new();
            asked(&root.join(home).join("src"), &mut here);
            let strays = ALL.iter().find(|mutant| here.contains(&mutant.number) && mutant.home() != home);
            assert_eq!(strays, None, "a number tells its crate");
            planted.append(&mut here);
        }
        assert_eq!(listed, planted);
    }
}
