//! Every metric, defined once: name, type, help. Names are `synod_<subsystem>_<name>_<unit>`, counters end in `_total`.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Type {
    /// The word of the exposition format.
    pub fn word(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        }
    }
}

/// What is known of a metric besides its value.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Name in the exposition.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: Type,
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $variant:ident: $kind:ident $name:literal;)+) => {
        /// A number that a core publishes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Metric {
            $($(#[doc = $help])+ $variant,)+
        }

        /// The metrics in the order of [`Metric`].
        pub const METRICS: &[(Metric, Descriptor)] = &[$((
            Metric::$variant,
            Descriptor { name: $name, kind: Type::$kind, help: concat!($($help),+) },
        ),)+];
    };
}

metrics! {
    /// Commands executed, by all clients.
    Commands: Counter "synod_commands_executed_total";
    /// Commands answered with an error.
    CommandErrors: Counter "synod_commands_failed_total";
    /// Writes answered with UNCERTAIN: applied or not, nobody knows.
    Uncertain: Counter "synod_commands_uncertain_total";
    /// Requests answered because no majority was reachable.
    NoQuorum: Counter "synod_commands_without_quorum_total";
    /// Requests refused because a bound on what waits was reached.
    Overloaded: Counter "synod_commands_overloaded_total";
    /// Commands passed to another core of this host.
    Forwarded: Counter "synod_commands_forwarded_total";
    /// MOVED redirects sent.
    Moved: Counter "synod_commands_moved_total";
    /// Reads that found their key.
    KeyHits: Counter "synod_keyspace_hits_total";
    /// Reads that found no key.
    KeyMisses: Counter "synod_keyspace_misses_total";
    /// Keys that ended by their expiry time.
    KeysExpired: Counter "synod_keyspace_expired_keys_total";
    /// Keys whose expiry time had come when a sweep found them.
    KeysSwept: Counter "synod_keyspace_swept_keys_total";
    /// Commands on several keys as one step.
    Joint: Counter "synod_joint_commands_total";
    /// Attempts of them that met another one and began again.
    JointCollisions: Counter "synod_joint_collisions_total";
    /// Batches in which commands met a claim and waited.
    ClaimsMet: Counter "synod_joint_claims_met_total";
    /// Claims that were given up because whoever had them did not go on.
    ClaimsGivenUp: Counter "synod_joint_claims_given_up_total";
    /// Live keys.
    Keys: Gauge "synod_keyspace_keys";
    /// Client connections open now.
    Clients: Gauge "synod_clients_connections";
    /// Client connections accepted.
    ClientsAccepted: Counter "synod_clients_accepted_total";
    /// Client connections refused: too many, or protected mode.
    ClientsRefused: Counter "synod_clients_refused_total";
    /// Client connections closed because the client read too slowly.
    ClientsSlow: Counter "synod_clients_slow_closed_total";
    /// Bytes received from clients.
    ClientBytesIn: Counter "synod_clients_received_bytes_total";
    /// Bytes sent to clients.
    ClientBytesOut: Counter "synod_clients_sent_bytes_total";
    /// Proposals that went straight to Accept.
    ProposalsFast: Counter "synod_paxos_fast_proposals_total";
    /// Proposals that went straight to Accept at a ballot promised for whole ranges of slots.
    ProposalsGranted: Counter "synod_paxos_granted_proposals_total";
    /// Ballots taken for whole ranges of slots.
    RangeBallots: Counter "synod_paxos_range_ballots_total";
    /// Proposals that needed Prepare first.
    ProposalsClassic: Counter "synod_paxos_classic_proposals_total";
    /// Proposals that met another proposer and were begun again.
    Conflicts: Counter "synod_paxos_conflicts_total";
    /// Reads that a majority agreed on without a write.
    AgreedReads: Counter "synod_paxos_agreed_reads_total";
    /// Commands answered from the own record after one question for all reads of a turn.
    ConfirmedReads: Counter "synod_paxos_confirmed_reads_total";
    /// Commands that waited for such a question and were agreed on nevertheless.
    UnconfirmedReads: Counter "synod_paxos_unconfirmed_reads_total";
    /// Those questions.
    Confirms: Counter "synod_paxos_confirms_total";
    /// Undecided records that were finished before going on.
    Finished: Counter "synod_paxos_finished_entries_total";
    /// Round trips to peers that proposals and reads took.
    PeerRoundTrips: Counter "synod_paxos_peer_round_trips_total";
    /// Questions to peers that were repeated because too few had answered in time.
    Resends: Counter "synod_paxos_resends_total";
    /// Forwarded commands that were proposed here after all because the other host did not answer in time.
    ForwardFallbacks: Counter "synod_forward_fallbacks_total";
    /// Frames written to the log, each one durable write.
    LogFrames: Counter "synod_log_frames_total";
    /// Records written to the log.
    LogRecords: Counter "synod_log_records_total";
    /// Bytes written to the log, padding included.
    LogBytes: Counter "synod_log_written_bytes_total";
    /// Bytes of log on disk, of all segments.
    DiskBytes: Gauge "synod_log_disk_bytes";
    /// Bytes of log that hold live records.
    LiveBytes: Gauge "synod_log_live_bytes";
    /// Segments on disk.
    Segments: Gauge "synod_log_segments";
    /// 1 while new keys and values are refused because the disk is full.
    DiskFull: Gauge "synod_log_disk_full";
    /// Segments merged away.
    Merges: Counter "synod_merge_segments_total";
    /// Bytes that merging has copied.
    MergeBytes: Counter "synod_merge_copied_bytes_total";
    /// Bytes of memory of the key directory.
    DirectoryBytes: Gauge "synod_directory_memory_bytes";
    /// Bytes of values in memory.
    CacheBytes: Gauge "synod_cache_memory_bytes";
    /// Values found in memory.
    CacheHits: Counter "synod_cache_hits_total";
    /// Values that had to be read from disk.
    CacheMisses: Counter "synod_cache_misses_total";
    /// 1 while the tree of this core, where the rows of large tables lie, is closed: it did not open, or a write to it failed.
    TreeClosed: Gauge "synod_tree_closed";
    /// Bytes of the tree's tables on disk.
    TreeDiskBytes: Gauge "synod_tree_disk_bytes";
    /// Tables of the tree.
    TreeTables: Gauge "synod_tree_tables";
    /// Levels of the tree that have tables.
    TreeLevels: Gauge "synod_tree_levels";
    /// Tables of the tree with damage: reads of their keys fail.
    TreeDamaged: Gauge "synod_tree_damaged_tables";
    /// Bytes that compaction has yet to move until every level of the tree is within its target.
    TreeDebt: Gauge "synod_tree_debt_bytes";
    /// How far the tree is behind what is applied to it: 0 not at all, 1 writes are slowed down, 2 they wait.
    TreePressure: Gauge "synod_tree_pressure";
    /// 1 while the tree cannot be written to because the disk is full.
    TreeFull: Gauge "synod_tree_disk_full";
    /// Bytes of rows in memory that are not in a table yet.
    TreeMemtableBytes: Gauge "synod_tree_memtable_memory_bytes";
    /// Bytes of the tree's blocks in memory.
    TreeCacheBytes: Gauge "synod_tree_cache_memory_bytes";
    /// Blocks of the tree found in memory.
    TreeCacheHits: Counter "synod_tree_cache_hits_total";
    /// Blocks of the tree that were not in memory.
    TreeCacheMisses: Counter "synod_tree_cache_misses_total";
    /// Reads from disk for rows.
    TreeReads: Counter "synod_tree_disk_reads_total";
    /// Bytes that these read.
    TreeReadBytes: Counter "synod_tree_disk_read_bytes_total";
    /// Bytes of rows applied to the tree.
    TreeAppliedBytes: Counter "synod_tree_applied_bytes_total";
    /// Bytes of tables that rows from memory were written to.
    TreeFlushedBytes: Counter "synod_tree_flushed_bytes_total";
    /// Bytes of tables that compaction has written.
    TreeCompactedBytes: Counter "synod_tree_compacted_bytes_total";
    /// Frames sent to peers.
    PeerFramesOut: Counter "synod_peer_sent_frames_total";
    /// Frames received from peers.
    PeerFramesIn: Counter "synod_peer_received_frames_total";
    /// Messages sent to peers.
    PeerMessagesOut: Counter "synod_peer_sent_messages_total";
    /// Messages received from peers.
    PeerMessagesIn: Counter "synod_peer_received_messages_total";
    /// Bytes sent to peers.
    PeerBytesOut: Counter "synod_peer_sent_bytes_total";
    /// Bytes received from peers.
    PeerBytesIn: Counter "synod_peer_received_bytes_total";
    /// Messages dropped because a peer's outbox was full or its link down.
    PeerDropped: Counter "synod_peer_dropped_messages_total";
    /// Frames from peers that failed their checks.
    PeerBadFrames: Counter "synod_peer_bad_frames_total";
    /// Connections of peers that were refused: another cluster, secret, directory or version.
    PeerRefused: Counter "synod_peer_refused_connections_total";
    /// Turns taken.
    Turns: Counter "synod_core_turns_total";
    /// Times that the core stood still so long that its connections were closed.
    Stalls: Counter "synod_core_stalls_total";
    /// Messages dropped or delayed because another core's mailbox was full.
    MailboxFull: Counter "synod_core_mailbox_full_total";
    /// Questions of peers that a learner ignored, and answers of learners: they count for nothing.
    PeerMessagesIgnored: Counter "synod_peers_messages_ignored_total";
    /// 1 while this core is a learner: it lost its log, votes for nothing, and takes over what it lost.
    Learner: Gauge "synod_repair_learner";
    /// Slots that this core has still to go through to be level with its peers.
    SlotsBehind: Gauge "synod_repair_behind_slots";
    /// Records that this core has still to take over, as far as it knows.
    RecordsBehind: Gauge "synod_repair_behind_records";
    /// Bytes of those records.
    BytesBehind: Gauge "synod_repair_behind_bytes";
    /// Entries written as what changes in a large object.
    DeltasWritten: Counter "synod_deltas_written_total";
    /// Bytes of these.
    DeltaBytes: Counter "synod_deltas_written_bytes_total";
    /// Wholes written that ended a chain of them.
    DeltaFolds: Counter "synod_deltas_folds_total";
    /// Those of peers that were not taken, because what they stand on is not here.
    NeedBaseSent: Counter "synod_deltas_need_base_sent_total";
    /// Those of this core that peers did not take.
    NeedBaseReceived: Counter "synod_deltas_need_base_received_total";
    /// Whole objects sent to these peers.
    WholesSent: Counter "synod_deltas_wholes_sent_total";
    /// Chains of them read and put together.
    ChainReads: Counter "synod_deltas_chain_reads_total";
    /// Records taken over from peers.
    RepairRecords: Counter "synod_repair_copied_records_total";
    /// Bytes of those records.
    RepairBytes: Counter "synod_repair_copied_bytes_total";
    /// Records of those that were read in the order of the peers' logs.
    TailRecords: Counter "synod_repair_tail_records_total";
    /// Keys whose record nobody could prove to be chosen, and which were settled at a fresh ballot.
    RepairSettled: Counter "synod_repair_settled_keys_total";
    /// Tombstones dropped because every host agreed that nobody needs them.
    TombstonesDropped: Counter "synod_repair_dropped_tombstones_total";
    /// Damaged logs that were put aside and still lie in the core's directory.
    LogsAside: Gauge "synod_repair_logs_aside";
    /// Incarnation: how often this core has started on its data.
    Incarnation: Gauge "synod_core_incarnation";
}

/// A distribution of durations that a core publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Timing {
    /// From the last byte of a command to its reply in the output buffer.
    Request,
    /// From a proposal to the entry being chosen.
    Commit,
    /// One durable write of the log.
    Sync,
}

/// The timings in the order of [`Timing`]: name and help.
pub const TIMINGS: &[(Timing, &str, &str)] = &[
    (Timing::Request, "synod_commands_duration_seconds", "Time from a whole command to its reply."),
    (
        Timing::Commit,
        "synod_paxos_commit_duration_seconds",
        "Time from a proposal to the entry being chosen.",
    ),
    (Timing::Sync, "synod_log_sync_duration_seconds", "Time of one durable write of the log."),
];

/// Upper bounds of the buckets in nanoseconds, and as the exposition writes them; one more bucket takes the rest.
pub const BUCKETS: [(u64, &str); 15] = [
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_names_and_follows_the_conventions() {
        for (index, (metric, descriptor)) in METRICS.iter().enumerate() {
            assert_eq!(*metric as usize, index);
            let Descriptor { name, kind, help } = descriptor;
            assert!(name.starts_with("synod_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Type::Counter, "{name}");
            assert!(help.trim().ends_with('.'), "{name}");
            assert_eq!(METRICS.iter().filter(|(_, other)| other.name == *name).count(), 1, "{name}");
        }
        for (index, (timing, ..)) in TIMINGS.iter().enumerate() {
            assert_eq!(*timing as usize, index);
        }
        assert!(BUCKETS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (nanos, text) in BUCKETS {
            let seconds: f64 = text.parse().expect("a number");
            assert!((seconds * 1e9 - nanos as f64).abs() < 1e-3, "{text}");
        }
    }
}
