//! Plain counters of one core's links.

/// What happened since the start. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Frames received and found good, empty ones included.
    pub frames_in: u64,
    /// Frames handed out to be sent, empty ones included.
    pub frames_out: u64,
    /// Messages delivered.
    pub messages_in: u64,
    /// Messages handed out to be sent.
    pub messages_out: u64,
    /// Bytes received, handshakes included.
    pub bytes_in: u64,
    /// Bytes handed out to be sent, handshakes included.
    pub bytes_out: u64,
    /// Messages dropped because the outbox was full.
    pub dropped_full: u64,
    /// Messages dropped because there was no link to the peer.
    pub dropped_no_link: u64,
    /// Messages dropped from the outbox because their link ended.
    pub dropped_link_lost: u64,
    /// Frames that failed a check; each closed its connection.
    pub bad_frames: u64,
    /// Attempts to connect.
    pub dials: u64,
    /// Attempts to connect that failed before a link was ready.
    pub dials_failed: u64,
    /// Links that became ready.
    pub links_ready: u64,
    /// Ready links that ended.
    pub links_lost: u64,
    /// Times that a peer came back after its last link had ended.
    pub reconnects: u64,
    /// Connections refused in the handshake, by us or by the other side.
    pub refused: u64,
    /// Connections given up because connecting or the handshake took too long.
    pub timeouts: u64,
    /// Links closed because nothing was heard or got through.
    pub hangs: u64,
    /// Connections closed to make room for newer ones.
    pub evicted: u64,
}
