//! The core's numbers: onto its page for the admin thread, and into INFO.

use std::sync::Arc;

use reactor::uring::Io;
use reactor::Nanos;
use shard::tree::Tree;

use super::glue::Core;
use crate::admin::metrics::Metric;
use crate::admin::process::ProcessFacts;
use crate::admin::{CorePage, CoreState};
use crate::server::{InfoSource, Now};

/// How often the size of the key directory is summed up, which takes a walk through it.
const DIRECTORY_LOOK_NS: Nanos = 60_000_000_000;

/// What the glue counts itself, and what it needs to publish.
pub(super) struct Publisher {
    page: Arc<CorePage>,
    state: CoreState,
    /// Whether the log took no more values at the last look.
    full: bool,
    /// What was told of the tree.
    tree: TreeTold,
    started: Option<Now>,
    /// Commands passed to another core of this host.
    pub forwarded: u64,
    /// Mail that had to wait for room.
    pub mailbox_full: u64,
    /// Commands and time at the last look, for commands per second.
    rate: (u64, Nanos, u64),
    /// The size of the key directory, and when to look again.
    directory_bytes: (u64, Nanos),
    /// Commands counted at the last CONFIG RESETSTAT.
    commands_before: u64,
}

/// What the operator was told of the tree.
#[derive(Default)]
struct TreeTold {
    closed: bool,
    damages: u64,
    full: bool,
}

impl Publisher {
    pub fn new(page: Arc<CorePage>) -> Publisher {
        Publisher {
            page,
            state: CoreState::Starting,
            full: false,
            tree: TreeTold::default(),
            directory_bytes: (0, 0),
            started: None,
            forwarded: 0,
            mailbox_full: 0,
            rate: (0, 0, 0),
            commands_before: 0,
        }
    }

    /// Where the core stands; a failed one stays failed.
    pub fn state(&mut self, state: CoreState) {
        if self.state != CoreState::Failed {
            self.state = state;
            self.page.set_state(state);
        }
    }

    /// Tells the operator once when the disk becomes full, and once when it is no longer.
    fn full(&mut self, core: u16, full: bool) {
        if full && !self.full {
            tracing::error!(
                core,
                "the disk is full: writes are refused, reads and deletes work; free space or add a disk"
            );
        } else if self.full && !full {
            tracing::info!(core, "there is space on the disk again: writes are taken");
        }
        self.full = full;
    }

    /// Tells the operator once of a tree that is closed, of each table that is found damaged, and of a disk that is full for it.
    fn tree(&mut self, core: u16, tree: &Tree) {
        if let Some(fault) = tree.fault().filter(|_| !self.tree.closed) {
            self.tree.closed = true;
            tracing::error!(
                core,
                %fault,
                "the tree of this core is closed: it serves no rows of large tables until a restart, and keys as ever"
            );
        }
        if tree.damages() > self.tree.damages {
            self.tree.damages = tree.damages();
            if let Some(lsm::Damage { file, offset, message, .. }) = tree.damage() {
                tracing::error!(
                    core,
                    file,
                    offset,
                    message,
                    "a table of this core's tree is damaged: reads of its rows fail here"
                );
            }
        }
        if tree.is_full() && !self.tree.full {
            tracing::error!(
                core,
                "the disk is full: rows stay in memory as long as there is room; free space or add a disk"
            );
        } else if self.tree.full && !tree.is_full() {
            tracing::info!(core, "there is space on the disk again: rows are written");
        }
        self.tree.full = tree.is_full();
    }

    pub fn is_failed(&self) -> bool {
        self.state == CoreState::Failed
    }

    pub fn reset(&mut self) {
        self.commands_before = self.rate.0;
    }
}

impl Core {
    /// Writes the page that the admin thread reads.
    pub(super) fn publish(&mut self, io: &Io) {
        let (shard, store, ring) = (*self.shard.metrics(), self.shard.store_stats(), io.stats());
        let (repair, tree) = (self.shard.repair_progress(), self.shard.tree().stats());
        let (clients, accepted) = self.clients.counts();
        let errors = self.server.stats.errors().values().sum();
        if io.now() >= self.publisher.directory_bytes.1 {
            self.publisher.directory_bytes = (self.shard.directory_bytes(), io.now() + DIRECTORY_LOOK_NS);
        }
        self.publisher.full(self.index, self.shard.is_full());
        self.publisher.tree(self.index, self.shard.tree());
        let page = self.publisher.page.clone();
        let numbers = [
            (Metric::Commands, shard.commands),
            (Metric::CommandErrors, errors),
            (Metric::Uncertain, shard.uncertain),
            (Metric::NoQuorum, shard.no_quorum),
            (Metric::Overloaded, shard.refused),
            (Metric::Forwarded, self.publisher.forwarded),
            (Metric::Moved, self.server.stats.errors().get("MOVED").copied().unwrap_or(0)),
            (Metric::KeyHits, shard.keyspace_hits),
            (Metric::KeyMisses, shard.keyspace_misses),
            (Metric::KeysExpired, shard.expired_keys),
            (Metric::KeysSwept, shard.swept_keys),
            (Metric::Joint, shard.joint_commands),
            (Metric::JointCollisions, shard.joint_collisions),
            (Metric::ClaimsMet, shard.claims_met),
            (Metric::ClaimsGivenUp, shard.claims_given_up),
            (Metric::Keys, store.keys),
            (Metric::Clients, clients),
            (Metric::ClientsAccepted, accepted),
            (Metric::ClientsRefused, self.clients.refused),
            (Metric::ClientsSlow, self.clients.slow_closed),
            (Metric::ClientBytesIn, self.clients.bytes_in),
            (Metric::ClientBytesOut, self.clients.bytes_out),
            (Metric::ProposalsFast, shard.fast_proposals),
            (Metric::ProposalsGranted, shard.granted_proposals),
            (Metric::RangeBallots, shard.range_ballots),
            (Metric::ProposalsClassic, shard.classic_proposals),
            (Metric::Conflicts, shard.lost),
            (Metric::AgreedReads, shard.agreed_reads),
            (Metric::ConfirmedReads, shard.confirmed_commands),
            (Metric::UnconfirmedReads, shard.unconfirmed_commands),
            (Metric::Confirms, shard.confirms),
            (Metric::Finished, shard.finished),
            (Metric::PeerRoundTrips, shard.peer_round_trips),
            (Metric::Resends, shard.resends),
            (Metric::ForwardFallbacks, shard.forward_fallbacks),
            (Metric::LogFrames, store.counters.frames),
            (Metric::LogRecords, store.counters.records),
            (Metric::LogBytes, store.counters.frame_bytes),
            (Metric::DiskBytes, store.segment_bytes),
            (Metric::LiveBytes, store.live_bytes),
            (Metric::Segments, store.segments),
            (Metric::DiskFull, u64::from(self.shard.is_full())),
            (Metric::Merges, store.counters.merges),
            (Metric::MergeBytes, store.counters.merge_written_bytes),
            (Metric::DirectoryBytes, self.publisher.directory_bytes.0),
            (Metric::CacheBytes, store.cache_bytes),
            (Metric::CacheHits, store.cache_hits),
            (Metric::CacheMisses, store.cache_misses),
            (Metric::TreeClosed, u64::from(self.shard.tree().fault().is_some())),
            (Metric::TreeDiskBytes, tree.table_bytes.iter().sum()),
            (Metric::TreeTables, tree.tables.iter().sum()),
            (Metric::TreeLevels, levels(&tree)),
            (Metric::TreeDamaged, tree.damaged_tables),
            (Metric::TreeDebt, tree.debt_bytes),
            (Metric::TreePressure, pressure(self.shard.tree())),
            (Metric::TreeFull, u64::from(self.shard.tree().is_full())),
            (Metric::TreeMemtableBytes, tree.memtable_bytes),
            (Metric::TreeCacheBytes, tree.cache_bytes),
            (Metric::TreeCacheHits, tree.cache_hits),
            (Metric::TreeCacheMisses, tree.cache_misses),
            (Metric::TreeReads, tree.counters.disk_reads),
            (Metric::TreeReadBytes, tree.counters.disk_read_bytes),
            (Metric::TreeAppliedBytes, tree.counters.batch_bytes),
            (Metric::TreeFlushedBytes, tree.counters.flushed_bytes),
            (Metric::TreeCompactedBytes, tree.counters.compacted_out_bytes),
            (Metric::PeerMessagesOut, shard.messages_out),
            (Metric::PeerMessagesIn, shard.messages_in),
            (Metric::PeerMessagesIgnored, shard.messages_ignored),
            (Metric::Turns, ring.turns),
            (Metric::MailboxFull, self.publisher.mailbox_full),
            (Metric::Learner, u64::from(repair.learner)),
            (Metric::SlotsBehind, repair.slots_to_go),
            (Metric::RecordsBehind, repair.entities_behind),
            (Metric::BytesBehind, repair.bytes_to_go),
            (Metric::DeltasWritten, shard.deltas_written),
            (Metric::DeltaBytes, shard.delta_bytes),
            (Metric::DeltaFolds, shard.folds),
            (Metric::NeedBaseSent, shard.need_base_sent),
            (Metric::NeedBaseReceived, shard.need_base_received),
            (Metric::WholesSent, shard.wholes_sent),
            (Metric::ChainReads, shard.chain_reads),
            (Metric::RepairRecords, repair.copied),
            (Metric::RepairBytes, repair.copied_bytes),
            (Metric::TailRecords, shard.tail_records),
            (Metric::RepairSettled, repair.settled),
            (Metric::TombstonesDropped, shard.tombstones_dropped),
            (Metric::LogsAside, u64::from(self.shard.losses())),
            (Metric::Incarnation, u64::from(self.shard.incarnation())),
        ];
        numbers.into_iter().for_each(|(metric, value)| page.set(metric, value));
        if let Some(net) = &self.peers.net {
            let net = net.metrics();
            let dropped = net.dropped_full + net.dropped_no_link + net.dropped_link_lost;
            let numbers = [
                (Metric::PeerFramesOut, net.frames_out),
                (Metric::PeerFramesIn, net.frames_in),
                (Metric::PeerBytesOut, net.bytes_out),
                (Metric::PeerBytesIn, net.bytes_in),
                (Metric::PeerDropped, dropped),
                (Metric::PeerBadFrames, net.bad_frames),
                (Metric::PeerRefused, net.refused),
            ];
            numbers.into_iter().for_each(|(metric, value)| page.set(metric, value));
        }
        self.peers.states().for_each(|(host, up, learner)| page.set_peer(host, up, learner));
        self.count_rate(io.now(), shard.commands);
        page.publish();
    }

    fn count_rate(&mut self, now: Nanos, commands: u64) {
        let (before, since, _) = self.publisher.rate;
        if now >= since + 1_000_000_000 {
            let per_second = (commands - before) * 1_000_000_000 / (now - since).max(1);
            self.publisher.rate = (commands, now, per_second);
        }
    }

    /// This core's numbers for INFO.
    pub(super) fn info_source(&mut self, io: &Io) -> InfoSource {
        let (shard, store) = (*self.shard.metrics(), self.shard.store_stats());
        let (repair, tree) = (self.shard.repair_progress(), self.shard.tree().stats());
        let (clients, clients_accepted) = self.clients.counts();
        let now = self.moment(io.now());
        let started = *self
            .publisher
            .started
            .get_or_insert_with(|| Now { mono_us: 0, wall_us: now.wall_us.saturating_sub(now.mono_us) });
        let mut source = InfoSource {
            now,
            started,
            tcp_port: self.handover.config.ports.plain,
            clients,
            clients_blocked: self.clients.blocked,
            clients_accepted,
            clients_refused: self.clients.refused,
            clients_slow_closed: self.clients.slow_closed,
            bytes_in: self.clients.bytes_in,
            bytes_out: self.clients.bytes_out,
            commands: shard.commands.saturating_sub(self.publisher.commands_before),
            commands_per_second: self.publisher.rate.2,
            errors: self.server.stats.errors().values().sum(),
            hits: shard.keyspace_hits,
            misses: shard.keyspace_misses,
            expired: shard.expired_keys,
            directory_bytes: self.publisher.directory_bytes.0,
            cache_bytes: store.cache_bytes,
            objects_bytes: self.shard.objects_bytes(),
            tree_memory_bytes: tree.memtable_bytes + tree.cache_bytes,
            trees_closed: u64::from(self.shard.tree().fault().is_some()),
            tree_bytes: tree.table_bytes.iter().sum(),
            tree_tables: tree.tables.iter().sum(),
            tree_levels: levels(&tree),
            tree_damaged_tables: tree.damaged_tables,
            tree_debt_bytes: tree.debt_bytes,
            tree_pressure: pressure(self.shard.tree()),
            keys: store.keys,
            peers_up: self.peers.count_up() as u64,
            learners_up: self.peers.count_learners() as u64,
            learner: u64::from(self.shard.is_learner()),
            repair_slots: repair.slots_to_go,
            repair_records: repair.entities_behind,
            repair_bytes: repair.bytes_to_go,
            repair_copied: repair.copied,
            tombstones_dropped: shard.tombstones_dropped,
            logs_aside: u64::from(self.shard.losses()),
            proposals_fast: shard.fast_proposals,
            proposals_granted: shard.granted_proposals,
            proposals_classic: shard.classic_proposals,
            reads_agreed: shard.agreed_reads,
            reads_confirmed: shard.confirmed_commands,
            finishes: shard.finished,
            deadlines: shard.expired_deadlines,
            uncertain: shard.uncertain,
            log_frames: store.counters.frames,
            log_records: store.counters.records,
            log_bytes: store.counters.frame_bytes,
            log_syncs: store.counters.frames,
            segments: store.segments,
            live_bytes: store.live_bytes,
            merges: store.counters.merges,
            peer_messages_out: shard.messages_out,
            peer_messages_in: shard.messages_in,
            peer_round_trips: shard.peer_round_trips,
            resends: shard.resends,
            forward_fallbacks: shard.forward_fallbacks,
            forwards: shard.forwarded,
            stats: self.server.stats.clone(),
            ..InfoSource::default()
        };
        if let Some(net) = &self.peers.net {
            let net = net.metrics();
            source.peer_frames_out = net.frames_out;
            source.peer_bytes_out = net.bytes_out;
            source.peer_messages_dropped = net.dropped_full + net.dropped_no_link + net.dropped_link_lost;
        }
        let facts = ProcessFacts::read();
        source.memory_resident = facts.resident_bytes;
        source.memory_peak = facts.resident_bytes;
        source.memory_total = ProcessFacts::machine_bytes();
        source.cpu_user = facts.cpu.as_secs_f64();
        source
    }
}

/// Levels that have tables.
fn levels(tree: &lsm::Stats) -> u64 {
    tree.tables.iter().filter(|tables| **tables > 0).count() as u64
}

/// The pressure as a number.
fn pressure(tree: &Tree) -> u64 {
    match tree.pressure() {
        lsm::Pressure::None => 0,
        lsm::Pressure::Slow { .. } => 1,
        lsm::Pressure::Stop => 2,
    }
}

/// Adds another core's numbers; what concerns the process as a whole stays.
pub(super) fn add(sum: &mut InfoSource, other: &InfoSource) {
    macro_rules! add {
        ($($field:ident),+ $(,)?) => { $(sum.$field += other.$field;)+ };
    }
    add!(
        clients,
        clients_blocked,
        clients_accepted,
        clients_refused,
        clients_slow_closed,
        bytes_in,
        bytes_out,
        commands,
        commands_per_second,
        errors,
        hits,
        misses,
        expired,
        directory_bytes,
        cache_bytes,
        objects_bytes,
        tree_memory_bytes,
        trees_closed,
        tree_bytes,
        tree_tables,
        tree_damaged_tables,
        tree_debt_bytes,
        keys,
        keys_expiring,
        proposals_fast,
        proposals_granted,
        proposals_classic,
        reads_agreed,
        reads_confirmed,
        finishes,
        deadlines,
        uncertain,
        log_frames,
        log_records,
        log_bytes,
        log_syncs,
        segments,
        live_bytes,
        merges,
        peer_messages_out,
        peer_messages_in,
        peer_frames_out,
        peer_bytes_out,
        peer_messages_dropped,
        peer_round_trips,
        resends,
        forwards,
        forward_fallbacks,
    );
    sum.tree_levels = sum.tree_levels.max(other.tree_levels);
    sum.tree_pressure = sum.tree_pressure.max(other.tree_pressure);
    sum.peers_up = sum.peers_up.min(other.peers_up);
    sum.learners_up = sum.learners_up.max(other.learners_up);
    sum.learner = sum.learner.max(other.learner);
    sum.repair_slots += other.repair_slots;
    sum.repair_records += other.repair_records;
    sum.repair_bytes += other.repair_bytes;
    sum.repair_copied += other.repair_copied;
    sum.tombstones_dropped += other.tombstones_dropped;
    sum.logs_aside += other.logs_aside;
    sum.stats.merge(&other.stats);
}
