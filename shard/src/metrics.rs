//! Plain counters of one core. The owner copies them to a page that the admin thread reads.

/// What a core counts since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Commands taken in from clients of this host.
    pub commands: u64,
    /// Commands refused because a bound was reached.
    pub refused: u64,
    /// Entries proposed by the fast path: one round trip, one log write per replica.
    pub fast_proposals: u64,
    /// Entries proposed at a ballot that was promised for all keys of their slots: one round trip, one log write per replica.
    pub granted_proposals: u64,
    /// Those of them whose key had no record.
    pub granted_absent: u64,
    /// Ballots taken for whole ranges of slots.
    pub range_ballots: u64,
    /// Ballots for whole ranges of slots promised to others.
    pub range_promises: u64,
    /// Entries of log groups applied to their rows.
    pub entries_applied: u64,
    /// Entries that peers were asked for, because they were not here.
    pub entries_asked: u64,
    /// Entries that peers have told.
    pub entries_learned: u64,
    /// and those that went from the log, because the tree has them on disk.
    pub entries_trimmed: u64,
    /// Groups whose rows were asked of a peer because entries were gone,
    pub rows_asked: u64,
    /// pages of them that came,
    pub row_pages_taken: u64,
    /// rows on those,
    pub rows_taken: u64,
    /// and pages that peers were given.
    pub row_pages_given: u64,
    /// Steps of filling or clearing an index that were taken,
    pub fill_steps: u64,
    /// and those that cannot be: values of a row are too long for an entry of the index.
    pub fills_refused: u64,
    /// Batches that waited for rows.
    pub runs_paused: u64,
    /// Phase 1 rounds started.
    pub classic_proposals: u64,
    /// Entries that were chosen here.
    pub chosen: u64,
    /// Commands in those entries.
    pub chosen_commands: u64,
    /// Entries written as deltas: own ones and those of peers.
    pub deltas_written: u64,
    /// Bytes of these.
    pub delta_bytes: u64,
    /// Accepts sent with a delta.
    pub deltas_sent: u64,
    /// Wholes written that ended a chain of deltas.
    pub folds: u64,
    /// Deltas that were not taken, because what they stand on is not here.
    pub need_base_sent: u64,
    /// Deltas of this core that members did not take.
    pub need_base_received: u64,
    /// Wholes sent to these members.
    pub wholes_sent: u64,
    /// Chains of deltas read and put together.
    pub chain_reads: u64,
    /// Ballots lost to a rival.
    pub lost: u64,
    /// Unchosen records finished for somebody else.
    pub finished: u64,
    /// Agreed reads started.
    pub agreed_reads: u64,
    /// Commands answered by agreed reads.
    pub read_commands: u64,
    /// Confirms asked: each one question for all reads of a turn.
    pub confirms: u64,
    /// Commands answered from the own record after a Confirm.
    pub confirmed_commands: u64,
    /// Those of them whose key had no record.
    pub confirmed_absent: u64,
    /// Commands that waited for a Confirm and became agreed reads.
    pub unconfirmed_commands: u64,
    /// Confirms that were not answered in time by those who were asked first.
    pub confirms_late: u64,
    /// Votes for keys of this core's slots, at ballots of others, that peers told of.
    pub votes_told: u64,
    /// Answers to Confirms that said that more was counted than is remembered.
    pub counts_lost: u64,
    /// Answers to Confirms that did not belong to what is known of their sender: from before a restart, mostly.
    pub confirms_strange: u64,
    /// Agreed reads that met a record not known to be chosen.
    pub read_conflicts: u64,
    /// Records taken over because a read found this replica behind.
    pub taken_over: u64,
    /// Questions put to all peers, each one round trip: prepares, accepts and queries.
    pub peer_round_trips: u64,
    /// Questions repeated, or asked of further members, because the answers that came did not do.
    pub resends: u64,
    /// Commands handed to the preferred core.
    pub forwarded: u64,
    /// Forwarded commands that were proposed here after all.
    pub forward_fallbacks: u64,
    /// Commands taken in from other hosts.
    pub forwarded_in: u64,
    /// Replies that said "may or may not be applied".
    pub uncertain: u64,
    /// Commands answered because no majority of hosts answered.
    pub no_quorum: u64,
    /// Commands whose deadline passed.
    pub expired_deadlines: u64,
    /// Keys whose end of life was made a tombstone here.
    pub expired_keys: u64,
    /// Commands on several keys as one step,
    pub joint_commands: u64,
    /// attempts of them that met another one and began again,
    pub joint_collisions: u64,
    /// and batches that met a claim, and waited.
    pub claims_met: u64,
    /// Claims that were given up here, because whoever had them did not come on,
    pub claims_given_up: u64,
    /// and decisions whose writes a sweep of this core finished.
    pub decisions_swept: u64,
    /// Flushes that clients of this host asked for and that came to their end,
    pub flushes: u64,
    /// flush epochs that began here, whoever asked for them,
    pub flush_epochs: u64,
    /// those of them while this core was a learner,
    pub flush_epochs_learned: u64,
    /// attempts that began anew because of them,
    pub flush_voided: u64,
    /// messages that waited for one to be durable,
    pub flush_held: u64,
    /// and commands that were found in an older one, and whose outcome is uncertain.
    pub flush_doubts: u64,
    /// Catalogs of tables that began here,
    pub catalogs: u64,
    /// messages that waited for one to be durable,
    pub catalog_held: u64,
    /// and statements that were found in an entry, and that may have been planned by an older one.
    pub catalog_doubts: u64,
    /// Flushed values that a sweep found, and had give way to tombstones.
    pub flush_emptied: u64,
    /// Keys that a sweep of this core found to have ended, and had looked at.
    pub swept_keys: u64,
    /// Values read from disk.
    pub disk_reads: u64,
    /// Messages from peers.
    pub messages_in: u64,
    /// Messages to peers.
    pub messages_out: u64,
    /// Messages refused: malformed, of another epoch, with an absurd round.
    pub messages_refused: u64,
    /// Questions of peers that only a voter may answer, ignored because this host is a learner; and answers of learners.
    pub messages_ignored: u64,
    /// Another entry was offered for a ballot accepted here: corruption somewhere.
    pub corrupt_entries: u64,
    /// Commands about the keyspace taken in.
    pub surveys: u64,
    /// Slots whose lists had to be merged because no majority held the same.
    pub slots_merged: u64,
    /// Surveys that compared a range anew because a replica went away.
    pub survey_restarts: u64,
    /// Answers with keys to the surveys of peers.
    pub survey_answers: u64,
    /// Tombstones that every member agreed to drop, dropped here.
    pub tombstones_dropped: u64,
    /// Records taken over from the tails of peers' logs.
    pub tail_records: u64,
    /// Reads of keys that had a value.
    pub keyspace_hits: u64,
    /// Reads of keys that had none.
    pub keyspace_misses: u64,
}
