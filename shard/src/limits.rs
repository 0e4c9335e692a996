//! Every bound of a core, with where it comes from.

use reactor::BLOCK_BYTES;

use crate::repair::RepairRate;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// Commands of one entity that are merged into one entry. A batch must fit an entry's request ids (each some 30 bytes)
/// well below a peer frame of 1 MiB.
pub const BATCH_COMMANDS_MAX: usize = 1024;

/// Bytes of commands merged into one entry, beyond the first command: a hot key must not build entries of many megabytes.
pub const BATCH_BYTES_MAX: usize = 256 << 10;

/// Commands waiting or under way in one core, those forwarded included. At 100,000 a second and the default deadline of one
/// second no healthy core comes near it.
pub const COMMANDS_MAX: usize = 100_000;

/// Bytes of commands waiting or under way in one core: six values of the largest size, a million small ones.
pub const COMMAND_BYTES_MAX: usize = 128 << 20;

/// Entities with something under way in one core. Each command concerns one; the rest are acceptor work for peers, which
/// the peers' own COMMANDS_MAX bounds.
pub const ENTITIES_MAX: usize = 6 * COMMANDS_MAX;

/// Bytes that a core keeps to encode entries in.
pub const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// Entities whose memory is kept for the next ones: as many as a busy core has under way. They are about two kilobytes each.
pub const ENTITIES_KEPT_MAX: usize = 8192;

/// Places in a list of an entity that is kept: more of them are given back, as few keys are asked for so often at a time.
pub const KEPT_LIST_MAX: usize = 8;

/// Bytes for the key of an entity that is kept.
pub const KEPT_KEY_BYTES_MAX: usize = 256;

/// A result is kept beside its request id up to this size; above it a retry learns that it was applied, not the reply.
pub const RESULT_BYTES_MAX: usize = 512;

/// Bytes of a delta, the table of request ids included: a batch of commands of some hundred bytes each, and a quarter of a megabyte. What would be larger is
/// proposed whole.
pub const DELTA_BYTES_MAX: usize = 256 << 10;

/// Encoded bytes from which on an object is kept decoded, and what changes in it is proposed as a delta. A smaller one is no longer than a few deltas with
/// their heads.
pub const DELTA_OBJECT_BYTES_MIN: usize = 1 << 10;

/// Bytes that large objects take in one core, decoded, while nothing is under way for them: some of the largest, or two thousand of 16 KiB.
pub const OBJECTS_BYTES_MAX: usize = 128 << 20;

/// How long a delta waits for its base: frames that overtake each other do so by less, and a sync that is not slow takes less.
pub const DELTA_WAIT_NS: u64 = 4 * MS;

/// Deltas that wait for their bases; of more than that the whole is asked for at once.
pub const DELTAS_WAITING_MAX: usize = 256;

/// Bytes of these.
pub const DELTAS_WAITING_BYTES_MAX: usize = 16 * DELTA_BYTES_MAX;

/// How long a member that lacks what deltas stand on is not sent another whole of the same key.
pub const WHOLE_PAUSE_NS: u64 = RESEND_NS / 2;

/// The same for each of its bytes: 50 MB in a second, so that wholes for one member do not fill its link.
pub const WHOLE_NS_PER_BYTE: u64 = 20;

/// Origins (proposing cores) in one entry's table of request ids: the cores of one slice, one for each member.
pub const ORIGINS_MAX: usize = 8;

/// The longest name of a client that numbers its requests (REQID), in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Clients whose numbered requests a key remembers.
pub const REQUEST_CLIENTS_MAX: usize = 64;

/// Numbered requests that a key remembers of one client.
pub const REQUEST_WINDOW: usize = 16;

/// Bytes of all that a key remembers of numbered requests.
pub const REQUEST_TABLE_BYTES_MAX: usize = 16 << 10;

/// How long a deleted key remembers numbered requests, in milliseconds of the wall clock: whoever sends one again does so sooner.
pub const REQUESTS_KEPT_MS: u64 = 600_000;

/// Applied commands of one origin kept in one entry. Above it further commands of that origin are refused as busy until it
/// says that earlier ones are settled.
pub const ORIGIN_IDS_MAX: usize = 4 * BATCH_COMMANDS_MAX;

/// Incarnations of one epoch: the starts of a core from when it became a voter until it loses its log. A million starts are eleven
/// days of one a second.
pub const STARTS_BITS: u32 = 20;

/// The highest epoch, so that the incarnations of all epochs fit into 32 bits: four thousand losses of one slice.
pub const EPOCH_MAX: u32 = (1 << (32 - STARTS_BITS)) - 1;

/// The highest flush epoch: at a flush a second they last for 68 years, and they fit into the engine's eras.
pub const FLUSH_EPOCH_MAX: u32 = 1 << 31;

/// How far above the own one a flush epoch of a peer may be: as many flushes as a host can miss in twelve days of one a second. One that is
/// further ahead is of no honest history, or the host has to begin anew as a learner, which takes any.
pub const FLUSH_JUMP_MAX: u32 = 1 << 20;
const _: () = assert!(FLUSH_JUMP_MAX < FLUSH_EPOCH_MAX);

/// Clients of a core that wait for a flush; beyond it they are refused.
pub const FLUSHES_WAITING_MAX: usize = 1024;

/// Bytes of messages that wait until a flush epoch is durable: what some peers send in the time of a slow sync. More are dropped, as if lost on
/// the way.
pub const FLUSH_HELD_BYTES_MAX: usize = 8 << 20;

/// The longest catalog of tables, in bytes: it is a fact in the log. Some 500 tables of five columns.
pub const CATALOG_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(CATALOG_BYTES_MAX <= bitcask::limits::META_BYTES_MAX);

/// The highest version of a catalog that is still changed: versions of records are above it, and below their own bound.
pub const CATALOG_VERSION_MAX: u64 = VERSION_MAX - (1 << VERSION_BITS) - 2;

/// Statements that wait for a newer catalog, and changes of the catalog that wait for it to be known, of one core.
pub const CATALOG_WAITING_MAX: usize = 1024;

/// How often the bytes of a newer catalog are asked for, and told, until they have come.
pub const CATALOG_RESEND_NS: u64 = 40 * MS;

/// How often a learner asks for epochs, and looks whether it can go on.
pub const REJOIN_NS: u64 = 250 * MS;

/// How far above the own counter a round may be. Rounds grow by one per proposal, so an honest peer is never 2^40 ahead.
pub const ROUND_JUMP_MAX: u64 = 1 << 40;

/// The highest round at all: 2^47 proposals are nine years at half a million a second; the directory packs rounds into 48 bits.
pub const ROUND_MAX: u64 = 1 << 47;

/// Versions of one entry share its round; a batch has fewer commands than these bits count.
pub const VERSION_BITS: u32 = 10;
const _: () = assert!(BATCH_COMMANDS_MAX <= 1 << VERSION_BITS);

/// Above all versions: they begin at their entry's round, and one that has none of its own, as what a flush has emptied, goes up by one.
pub const VERSION_MAX: u64 = ROUND_MAX << (VERSION_BITS + 1);

/// First repetition of a question that was not answered, at the earliest. Three times a slow sync.
pub const RESEND_NS: u64 = 40 * MS;

/// First repetition of a question of a proposal at the latest, however long such questions took lately: a fifth of what a client waits, about.
pub const ROUND_NS_MAX: u64 = 640 * MS;

/// How long an agreed read waits at least for the members that it asked, before it asks the others too: some turns of a busy core.
pub const READ_PATIENCE_NS_MIN: u64 = 3 * MS;

/// Repetitions are spaced at most this far apart.
pub const RESEND_NS_MAX: u64 = 160 * MS;

/// Back-off after a lost ballot: full jitter over this, doubled for each further loss.
pub const BACKOFF_NS: u64 = MS;

/// The back-off grows up to this.
pub const BACKOFF_NS_MAX: u64 = 64 * MS;

/// Attempts of a batch that may come to nothing before it goes through phase 1, whatever the fast path or an agreed read promise.
pub const CONFLICTS_MAX: u32 = 2;

/// Runs of slots that a core names to others: its routes are one or a few runs for each host that it stands in for. Beyond it neighbours
/// become one, with the slots between them: those are counted, too, and no harm is done.
pub const NAMED_RANGES_MAX: usize = 64;

/// Runs of slots that are promised at different ballots. Beyond it neighbours become one, at the higher ballot.
pub const RANGE_PROMISES_MAX: usize = 64;

/// Promises for ranges on their way to the log; further questions are dropped, and asked again.
pub const RANGE_SAVES_MAX: usize = 16;

/// How often a core takes a new ballot for its slots: each costs every replica a record, and every key the fast path once.
pub const RANGE_RENEW_NS: u64 = 1_000 * MS;

/// Votes that a core remembers for another one that has named their slots: what others write there in the time of some round trips.
/// 160 KB, only while others do write there, and an answer of 107 KB at most.
pub const COUNTED_RING_MAX: usize = 4096;

/// Keys of which a core knows that somebody voted for a newer record than its own: 3 MB. At the bound it begins anew with everybody.
pub const NEEDS_MAX: usize = 65_536;

/// Confirms that are out at a time. Turns take less than a round trip, of some tens of microseconds; beyond it reads wait for the next.
pub const CONFIRMS_MAX: usize = 16;

/// Lists of confirmed reads whose memory is kept for the next ones.
pub const CONFIRM_LISTS_KEPT: usize = 4;

/// How often a core hastens a comparison because slots are to be compared anew; else they wait for the next one.
pub const HASTEN_NS: u64 = REPAIR_LOOK_NS;

/// How long an agreed read in conflict waits for the write in flight before it finishes it by itself.
pub const READ_SETTLE_NS: u64 = 3 * MS;

/// A forwarded command that is not answered in this time is proposed here.
pub const FORWARD_NS: u64 = 150 * MS;

/// How long a peer that let a forwarded command lapse is left alone. Of a few hundred commands a second that it is preferred
/// for, one probe a second is below one in a hundred, so that it does not show in a p99.
pub const SLOW_PEER_NS: u64 = 1_000 * MS;

/// The longest it is left alone, doubled for each lapse that follows soon. What is under way when a peer lapses again is what
/// came in [`FORWARD_NS`]: once in so long, it is below one in a hundred too.
pub const SLOW_PEER_NS_MAX: u64 = 16_000 * MS;

/// How much later than others' a peer's answers may come, beside what those take: more than turns of a busy core and a sync that others
/// share. What comes late within that time of each other was held up by one thing.
pub const HOLD_UP_NS: u64 = 10 * MS;

/// How often in [`SLOW_PEER_NS`] a peer may hold commands up before it is left alone as if one had lapsed: a disk may have a moment.
pub const HOLD_UPS: u32 = 3;

/// What a learner keeps back of a command's time, at most, so that the voter's answer is there before the client's time is over.
pub const HAND_OVER_MARGIN_NS: u64 = 50 * MS;

/// How often a core sweeps over its slots for keys whose time has come.
pub const EXPIRY_SWEEP_NS: u64 = 1_000 * MS;

/// How fast it reads their records; a fifth of it while clients have commands served. Chosen, not measured.
pub const EXPIRY_RATE: RepairRate = RepairRate { bytes_per_second: 64 << 20, records_per_second: 20_000 };

/// Records that it reads in one turn at most, so that a turn stays short where they are cached.
pub const EXPIRY_TURN_RECORDS: usize = 64;

/// Its reads from disk that are under way at a time,
pub const EXPIRY_READS_MAX: usize = 16;

/// and its commands,
pub const EXPIRY_COMMANDS_MAX: usize = 64;

/// each of which may take so long.
pub const EXPIRY_COMMAND_NS: u64 = 5_000 * MS;

/// Keys of one joint command.
pub const JOINT_KEYS_MAX: usize = 128;

/// Bytes that one may write at other keys than its anchor, together: they lie in the anchor's record until they are done.
pub const JOINT_WRITE_BYTES_MAX: usize = 2 << 20;

/// Bytes that the keys of one may hold, together: two of the longest values.
pub const JOINT_READ_BYTES_MAX: usize = 2 * crate::command::limits::VALUE_BYTES_MAX;

/// Bytes that a core's joint commands may have found, together, beyond which it takes no further one for the moment.
pub const JOINTS_BYTES_MAX: usize = 256 << 20;

/// Decisions that one record keeps, and the bytes of their writes, beyond which no further one is begun there.
pub const DECISIONS_MAX: usize = 64;

/// See [`DECISIONS_MAX`].
pub const DECISIONS_HELD_BYTES: usize = 1 << 20;

/// Joint commands that one core runs at a time; their steps have room beside its other commands.
pub const JOINTS_MAX: usize = 4096;

/// Records with something of joint commands that a core keeps in mind; more are found by going through their slots.
pub const TIED_MAX: usize = 4096;

/// Claims and decisions that it sees to at a time without anybody waiting for them.
pub const JOINTS_MENDED_MAX: usize = 256;

/// How often one that writes nothing reads its keys, before it claims them.
pub const JOINT_READS_MAX: u32 = 3;

/// How often the writes of one that has happened are tried again by its runner, before they are left to whoever comes to the keys.
pub const JOINT_RELEASES_MAX: u32 = 3;

/// A pause between two attempts, by chance up to this; twice as long each time,
pub const JOINT_PAUSE_NS: u64 = MS / 2;

/// so often.
pub const JOINT_PAUSES_MAX: u32 = 7;

/// How long a step may take that nobody waits for.
pub const JOINT_STEP_NS: u64 = 2_000 * MS;

/// How many times the bytes of its record there must be room for when a key is claimed.
pub const CLAIM_ROOM: usize = 3;

/// How often it is looked what became of a claim that somebody waits for.
pub const CLAIM_LOOK_NS: u64 = 10 * MS;

/// How long a command of another host waits here for a claim: somewhat less than that host waits for an answer.
pub const CLAIM_HELD_NS: u64 = FORWARD_NS - 50 * MS;

/// How long whoever has it is waited for, if he cannot be told to be gone: some times what a joint command takes over links of 10 ms.
pub const CLAIM_PATIENCE_NS: u64 = 200 * MS;

/// Twice as long after each that was given up at a key, so often.
pub const CLAIM_GIVE_UPS_MAX: u32 = 4;

/// Clients of a core that wait for a key.
pub const WAITS_MAX: usize = 65_536;

/// Those that a core keeps for all hosts: of each of five as many. 30 MB at the bound.
pub const WAITERS_MAX: usize = 5 * WAITS_MAX;

/// First repetition of the word that a client waits; then four times as long each time,
pub const WAIT_SAY_NS: u64 = 60 * MS;

/// up to this.
pub const WAIT_SAY_NS_MAX: u64 = 4_000 * MS;

/// Who was not heard of for so long waits no more: three repetitions.
pub const WAITER_SILENT_NS: u64 = 3 * WAIT_SAY_NS_MAX;

/// The first who waits for a key tries after so long although nothing was heard of the key, because a record may have passed the keeper by;
/// then after twice as long each time,
pub const WAIT_LOOK_NS: u64 = 1_000 * MS;

/// up to this.
pub const WAIT_LOOK_NS_MAX: u64 = 8_000 * MS;

/// Who was told to try and did not come back in this time goes behind the others.
pub const WAIT_TRY_NS: u64 = 500 * MS;

/// Slots in all, as in Redis Cluster.
pub const SLOTS: u16 = 16384;

/// Slots that one question of a survey is about. An answer has 16 bytes for each: 64 KiB.
pub const RANGE_SLOTS_MAX: u16 = 4096;

/// Records in one answer to a survey, each 29 bytes: 119 KB.
pub const LIST_ENTRIES_MAX: usize = 4096;

/// Records in one answer at least, where few are wanted: so that an answer always reaches past the group of fingerprints
/// that its cursor starts in.
pub const LIST_ENTRIES_MIN: usize = 16;

/// Keys that a survey works on at a time: asked for in one go, they are a message of 10 KiB.
pub const ASK_KEYS_MAX: usize = 1024;

/// Bytes of keys in one answer; at least one key is answered. Below the 1 MiB of a peer frame, with room for the longest key.
pub const ANSWER_KEY_BYTES_MAX: usize = 768 << 10;

/// Bytes of the longest key, as the engine has it.
pub const KEY_BYTES_MAX: usize = bitcask::limits::KEY_BYTES_MAX;

/// Questions about keys that one core answers at a time, each with reads from disk; more are dropped and asked again.
pub const ANSWERS_MAX: usize = 8;

/// Reads from disk under way for one survey or one answer: the depth that a fast disk likes.
pub const SURVEY_READS_MAX: usize = 32;

/// Bytes of those reads; one read is always allowed.
pub const SURVEY_READ_BYTES_MAX: u64 = 4 << 20;

/// Surveys under way in one core, each with up to a megabyte of notes; more wait.
pub const SURVEYS_MAX: usize = 32;

/// Surveys that wait for one of those places; beyond it they are refused.
pub const SURVEYS_WAITING_MAX: usize = 1024;

/// Bytes of keys that the surveys of one core have gathered for their replies. Node closes a client with more than this
/// much unread output anyway.
pub const SURVEY_REPLY_BYTES_MAX: usize = 64 << 20;

/// Keys that one SCAN looks at, whatever its COUNT says: a reply of some megabytes.
pub const SCAN_COUNT_MAX: u64 = 100_000;

/// Records that a survey, or a sweep for tombstones, looks at in one turn: about a millisecond, so that commands go on beside it.
pub const SURVEY_TURN_RECORDS: usize = 8192;

/// Repetitions of a question to one peer before the survey looks for another.
pub const SURVEY_RESENDS_MAX: u32 = 3;

/// How often a core that was level compares itself with its peers. One comparison costs a walk through the slots, some ten
/// microseconds, and as much at each peer.
pub const REPAIR_LOOK_NS: u64 = 1_000 * MS;

/// The same while commands are served: writes under way make some slots differ, and the answers have a sum for each.
pub const REPAIR_LOOK_BUSY_NS: u64 = 3_000 * MS;

/// The longest wait while there are differences that others have to mend.
pub const REPAIR_LOOK_NS_MAX: u64 = 8_000 * MS;

/// How long after a difference was seen one looks again: some times what a write needs to reach all replicas.
pub const REPAIR_SECOND_LOOK_NS: u64 = 30 * MS;

/// How long the repair of a slot waits before it asks again: some times what a full window of copies takes on the way.
pub const REPAIR_RESEND_NS: u64 = 500 * MS;

/// How often it asks again for the same before the slot is left to the next look.
pub const REPAIR_RESENDS_MAX: u32 = 3;

/// How long a comparison waits for answers. Then it goes on with what it has.
pub const REPAIR_ANSWER_NS: u64 = 1_000 * MS;

/// Slots that are repaired at a time: enough that asking for lists, some tens of records each, does not wait for the way.
pub const REPAIR_JOBS_MAX: usize = 64;

/// Records in one question for copies: about a millisecond of work where they are small.
pub const REPAIR_WANTS_MAX: usize = 512;

/// Bytes of records in one answer, about; half a peer frame.
pub const REPAIR_FETCH_BYTES: u32 = 512 << 10;

/// The same while commands are served: what goes over a link of 10 Gb/s in 50 microseconds, so that nothing waits long behind it.
pub const REPAIR_FETCH_BYTES_BUSY: u32 = 64 << 10;

/// Bytes of records that one core has asked for and not got: the links and the log are kept full with it, outboxes are not.
pub const REPAIR_FLIGHT_BYTES_MAX: u64 = 8 << 20;

/// Questions for copies that one core answers at a time; more are dropped and asked again. Twice what two peers have out.
pub const REPAIR_SERVES_MAX: usize = 4 * REPAIR_JOBS_MAX;

/// Reads from disk under way for the copies that peers want: the depth that a fast disk likes.
pub const REPAIR_READS_MAX: usize = 64;

/// The same while commands are served: so few that a sync of the log does not wait behind them.
pub const REPAIR_READS_BUSY_MAX: usize = 8;

/// Records that a core must lack before it asks for the tails of its peers' logs: where reading one by one takes longer than a tenth of a second.
pub const REPAIR_TAIL_RECORDS: u64 = 16_384;

/// What part of them it must have seen in lists; from there on the other slots are reckoned alike.
pub const REPAIR_TAIL_SAMPLE: u64 = 16;

/// Bytes of a peer's log in one answer, about: two milliseconds of taking small records over, and four times what a disk
/// reads in the time that a question is on the way.
pub const REPAIR_TAIL_BYTES: u32 = 256 << 10;

/// The same while commands are served.
pub const REPAIR_TAIL_BYTES_BUSY: u32 = 64 << 10;

/// Bytes of a log for which one record of use, from whichever peer, is enough to read on: what a disk reads in order in the time of one read elsewhere.
pub const REPAIR_TAIL_BYTES_PER_RECORD: u64 = 8 << 10;

/// Records that others are said to send and that are believed in before any was taken: those of about a megabyte of short ones.
pub const REPAIR_TAIL_BELIEVED: u64 = 8_192;

/// Bytes of a log with less than that before something is leapt over: frames of promises come between those of records. Half as many behind
/// a leap, which may end within a long frame.
pub const REPAIR_TAIL_PATIENCE: u64 = 1 << 20;

/// Blocks that are leapt over first; twice as many each time.
pub const REPAIR_TAIL_LEAP_BLOCKS: u32 = (1 << 20) / BLOCK_BYTES as u32;

/// The longest leap, in blocks: what lies in it and is lacked is fetched one by one, in a second.
pub const REPAIR_TAIL_LEAP_BLOCKS_MAX: u32 = (32 << 20) / BLOCK_BYTES as u32;

/// How often the same stretch is asked for again because the log took no copies, each time after twice as long a stall.
pub const REPAIR_TAIL_STALLS_MAX: u32 = 6;

/// Stretches that one core reads for peers at a time: one for each other member of the largest set. More are dropped and asked for again.
pub const REPAIR_TAIL_READS_MAX: usize = 4;

/// Records in one answer: as many of the shortest as are read at once.
pub const REPAIR_TAIL_RECORDS_MAX: usize = bitcask::limits::STRETCH_BYTES_MAX / 32;

/// How long repair waits for a log that makes a segment or is behind with its writes.
pub const REPAIR_STALL_NS: u64 = 5 * MS;

/// Entities that are being settled at a time: each costs every replica a write.
pub const REPAIR_SETTLES_MAX: usize = 256;

/// How long one entity is tried to be settled before repair looks at it anew.
pub const REPAIR_SETTLE_NS: u64 = 2_000 * MS;

/// How long tombstones cannot be dropped before flushed values give way to some: longer than a host takes to start again.
pub const EMPTY_AFTER_NS: u64 = REPAIR_LOOK_NS_MAX;

/// How long after a sweep that found none of them the next one begins.
pub const EMPTY_REST_NS: u64 = 60_000 * MS;

/// Bytes on disk of a record for which a tombstone is worth its own bytes, which are half of this.
pub const EMPTY_BYTES_MIN: u32 = 128;

/// Reads from disk under way for them.
pub const EMPTY_READS_MAX: usize = 16;

/// Entities being settled above which it waits: the other half is for those who lack something.
pub const EMPTY_SETTLES_MAX: usize = REPAIR_SETTLES_MAX / 2;

/// How much time's worth of its rate repair may take at once.
pub const REPAIR_BURST_NS: u64 = 20 * MS;

/// The part of its rate with which repair begins while commands are served, in thousandths,
pub const REPAIR_SHARE_BUSY: u32 = 100;

/// the least that it takes, so that it comes to an end,
pub const REPAIR_SHARE_MIN: u32 = 20;

/// and the most.
pub const REPAIR_SHARE_MAX: u32 = 500;

/// Questions to peers are looked at together for so long: some hundred of them under a load that is one.
pub const REPAIR_STRAIN_WINDOW_NS: u64 = 50 * MS;

/// So many of these windows in a row have to be strained ones.
pub const REPAIR_STRAIN_WINDOWS: usize = 4;

/// For how long better moments are remembered, once or twice that.
pub const REPAIR_STRAIN_SPAN_NS: u64 = 15_000 * MS;

/// Bytes of statements of SQL that a core has read and keeps (`sql::Statements`), and as many for its sessions: some hundred of those that
/// applications have.
pub const STATEMENTS_BYTES_MAX: usize = 8 << 20;

/// A core is strained when its questions take one and a half times what they took in better moments, and so much more.
pub const REPAIR_STRAIN_NS: u64 = MS / 2;

/// How long commands are looked at to tell whether a core is busy, and how long it counts as busy after that.
pub const REPAIR_BUSY_NS: u64 = 100 * MS;

/// Commands in that time that make a core a busy one: three hundred a second are more than anybody's monitoring.
pub const REPAIR_BUSY_COMMANDS: u64 = 30;

/// Bytes of records that repair takes over in a second, per core, while nobody has commands to serve.
pub const REPAIR_BYTES_PER_SECOND: u64 = 128 << 20;

/// Records that repair takes over in a second, per core, while nobody has commands to serve.
pub const REPAIR_RECORDS_PER_SECOND: u64 = 250_000;

/// Tombstones in one question whether they may be dropped: half a millisecond of work, and 7 KiB.
pub const DROP_BATCH: usize = 256;

/// Bytes of their keys, which the word to drop names: the longest key fits, and a frame is not filled.
pub const DROP_BATCH_BYTES: usize = 256 << 10;

/// Reads from disk under way for tombstones that may be dropped: half of what copies for peers may have.
pub const DROP_READS_MAX: usize = REPAIR_READS_MAX / 2;

/// Bytes of an entry of a log group: its head and it go to the log together, and to each peer in one message.
pub const ENTRY_BYTES_MAX: usize = 10 << 20;

/// Bytes that a batch has changed in the rows of a group when its next command goes to the next batch.
pub const OVERLAY_BYTES_MAX: usize = 1 << 20;

/// Bytes of entries of groups that a core has in memory, because they were logged or read lately.
pub const RECENT_ENTRIES_BYTES_MAX: usize = 4 * ENTRY_BYTES_MAX;

/// Groups of a core that are brought up to an entry at a time and wait for the disk: as many reads as its queue takes.
pub const GROUP_JOBS_MAX: usize = 256;

/// Groups whose rows a learner has not taken over yet, at most: some megabytes. Copies of more heads wait.
pub const REGAIN_GROUPS_MAX: usize = 10_000;

/// Entries of its log that a learner reads at a time to know whose they are.
pub const REGAIN_READS_MAX: usize = 64;

/// How many of these groups are tried in a turn.
pub const REGAIN_TURN_GROUPS: usize = 32;

/// After what time the next ones are.
pub const REGAIN_AGAIN_NS: u64 = 5 * MS;

/// Entries between what a group's rows are of and what is wanted: some megabytes of names. More of them are taken over as rows.
pub const GROUP_PATH_MAX: usize = 100_000;

/// Entries of one answer to who lacks them.
pub const ENTRIES_MAX: usize = 256;

/// Bytes of such an answer, the last entry beside: half of a peer frame.
pub const ENTRIES_BYTES_MAX: usize = 512 << 10;

/// When entries that were asked for are asked for again.
pub const ENTRIES_RESEND_NS: u64 = 100 * MS;

/// How often that is done before whoever waits for them tries again from the start.
pub const ENTRIES_RESENDS_MAX: u32 = 20;

/// Peers for which a core reads entries at a time.
pub const GROUP_SERVES_MAX: usize = 64;

/// Bytes of entries that stay in a core's log for peers that were away, though its tree has them on disk: what is written in some seconds at most, and
/// more often in hours. Where they are gone, all rows of the group are taken over.
pub const ENTRIES_KEPT_BYTES: u64 = 256 << 20;

/// Entries that are looked at in one turn, to see whether they may go from the log,
pub const TRIM_TURN_ENTRIES: usize = 64;

/// and those that are read at a time.
pub const TRIM_READS_MAX: usize = 8;

/// When it goes on after that.
pub const TRIM_AGAIN_NS: u64 = MS;

/// Groups whose rows a core holds for peers at a time: each is a snapshot of its tree, of which statements need some as well.
pub const GROUP_GIVES_MAX: usize = 8;

/// How long they are held after a page, for the peer to ask for the next one.
pub const GIVEN_NS: u64 = 10_000 * MS;

/// Rows of one page.
pub const GIVEN_ROWS_MAX: usize = 4096;

/// Groups whose rows a core takes over at a time: each may be making tables.
pub const GROUP_TAKES_MAX: usize = 4;

/// When a page of rows is asked for again.
pub const TAKE_RESEND_NS: u64 = 250 * MS;

/// How often, before the peer is left.
pub const TAKE_RESENDS_MAX: u32 = 8;

/// Bytes of rows that are read of a group's tree in one go.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Rows more than are wanted that are read in one go, because the batch has deleted as many.
pub const PAGE_ROWS_MORE_MAX: usize = 1024;

const _: () = assert!(OVERLAY_BYTES_MAX < ENTRY_BYTES_MAX);
const _: () = assert!(GROUP_GIVES_MAX <= lsm::limits::SNAPSHOTS_MAX / 4, "statements need snapshots, too");
const _: () = assert!(
    TAKE_RESEND_NS * (TAKE_RESENDS_MAX as u64) < GIVEN_NS,
    "what is given is held longer than it is asked for"
);
const _: () = assert!(PAGE_BYTES_MAX / 2 + (2 << 20) < lsm::limits::BATCH_BYTES_MAX, "a page is a batch");
const _: () = assert!(
    2 * ENTRY_BYTES_MAX + (2 << 20) < bitcask::limits::BODY_BYTES_MAX,
    "the log is asked for a head and its entry at once"
);
const _: () = assert!(JOINT_KEYS_MAX <= BATCH_COMMANDS_MAX && DECISIONS_MAX <= u16::MAX as usize);
const _: () = assert!(
    crate::command::limits::VALUE_BYTES_MAX + DECISIONS_HELD_BYTES + JOINT_WRITE_BYTES_MAX + (512 << 10)
        < crate::command::limits::MESSAGE_BYTES_MAX,
    "a record with its decisions fits one message"
);
const _: () = assert!(DELTA_BYTES_MAX <= bitcask::limits::DELTA_BODY_BYTES_MAX);
const _: () = assert!(DELTA_WAIT_NS < WHOLE_PAUSE_NS && WHOLE_PAUSE_NS < RESEND_NS);
const _: () = assert!(NAMED_RANGES_MAX <= RANGE_PROMISES_MAX);
const _: () = assert!(COUNTED_RING_MAX * 26 + 64 < 1 << 20 && COUNTED_RING_MAX < NEEDS_MAX);
const _: () = assert!(
    REPAIR_TAIL_BYTES_BUSY < REPAIR_TAIL_BYTES && REPAIR_TAIL_LEAP_BLOCKS < REPAIR_TAIL_LEAP_BLOCKS_MAX
);
const _: () = assert!(REPAIR_TAIL_BYTES as usize <= bitcask::limits::STRETCH_BYTES_MAX);
const _: () = assert!(REPAIR_TAIL_SAMPLE <= REPAIR_TAIL_RECORDS);
const _: () = assert!(DROP_BATCH < LIST_ENTRIES_MAX && DROP_BATCH <= u16::MAX as usize);
const _: () = assert!(KEY_BYTES_MAX <= DROP_BATCH_BYTES && DROP_BATCH_BYTES + DROP_BATCH * 20 < 1 << 19);
const _: () = assert!(REPAIR_FETCH_BYTES_BUSY < REPAIR_FETCH_BYTES && REPAIR_FETCH_BYTES < 1 << 20);
const _: () = assert!((REPAIR_FETCH_BYTES as u64) < REPAIR_FLIGHT_BYTES_MAX);
const _: () = assert!(REPAIR_WANTS_MAX <= u16::MAX as usize && SLOTS as usize * 18 < 1 << 20);
const _: () = assert!(RANGE_SLOTS_MAX as usize * 16 < 1 << 20 && LIST_ENTRIES_MAX * 29 < 1 << 20);
const _: () = assert!(ANSWER_KEY_BYTES_MAX + KEY_BYTES_MAX + 64 < 1 << 20);
const _: () = assert!(LIST_ENTRIES_MIN < ASK_KEYS_MAX && ASK_KEYS_MAX <= LIST_ENTRIES_MAX);
const _: () = assert!(LIST_ENTRIES_MAX <= u16::MAX as usize && SURVEYS_MAX < SURVEYS_WAITING_MAX);
const _: () =
    assert!(FORWARD_NS < SLOW_PEER_NS && SLOW_PEER_NS < SLOW_PEER_NS_MAX, "a probe ends before the next");
const _: () = assert!(SLOW_PEER_NS_MAX >= 100 * FORWARD_NS, "below one in a hundred");
const _: () = assert!(REPAIR_SHARE_MIN <= REPAIR_SHARE_BUSY && REPAIR_SHARE_BUSY <= REPAIR_SHARE_MAX);
const _: () =
    assert!(REPAIR_SHARE_MAX <= 1_000 && REPAIR_SHARE_MIN >= 4, "parts of a thousand, and they grow");
const _: () = assert!(RESEND_NS <= ROUND_NS_MAX && ROUND_NS_MAX <= u64::MAX / 8, "sums do not overflow");
const _: () = assert!(RESEND_NS <= RESEND_NS_MAX && BACKOFF_NS <= BACKOFF_NS_MAX);
const _: () = assert!(ORIGIN_IDS_MAX + BATCH_COMMANDS_MAX < u16::MAX as usize);
const _: () = assert!(BATCH_COMMANDS_MAX < COMMANDS_MAX);
const _: () = assert!(ROUND_JUMP_MAX < ROUND_MAX && ROUND_MAX < 1 << 48);
