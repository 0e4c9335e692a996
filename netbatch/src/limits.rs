//! The bounds of this crate, each with where it comes from.

use reactor::clock::{Nanos, MILLISECOND};

use crate::frame::{FIRST_PART_BYTES, HEADER_BYTES, PART_BYTES};

/// The longest frame in bytes, header included: it goes over a 1 Gb/s link in 9 ms, so nothing waits long
/// behind one, and a receiver never holds more than this of a frame that is not yet whole.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// The longest body of a frame in bytes.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;

/// The longest message in bytes: a value of 20 MB with its key of 64 KiB and what the protocol adds, and room
/// to spare. Messages that do not fit into one frame travel in parts.
pub const MESSAGE_BYTES_MAX: usize = 24 << 20;

/// Most bytes that wait for one peer: one longest message and as much as a loaded core queues while it is
/// being sent.
pub const OUTBOX_BYTES_DEFAULT: usize = 32 << 20;

/// Sockets that a core keeps to one peer: the second takes over while the first is blocked.
pub const LINKS_PER_PEER_DEFAULT: usize = 2;

/// Most sockets that can be asked for per peer.
pub const LINKS_PER_PEER_MAX: usize = 4;

/// Links that a peer may hold above what was asked for: both sides dial at once while they have none, and a
/// link that the peer has given up may not have ended here yet. Beyond that the one that was silent for the
/// longest time is closed.
pub const LINKS_SURPLUS_MAX: usize = 2;

/// Most peers of a host: four in a set of five, and as many learners or hosts that are being replaced, and
/// room to spare.
pub const PEERS_MAX: usize = 15;

/// Accepted connections that have not yet proved the secret. A handshake takes a few milliseconds; beyond
/// this many the oldest is closed, so that a flood of idle connections cannot keep peers out.
pub const UNPROVEN_LINKS_MAX: usize = 64;

/// Most bytes that are held of a connection that has not yet proved the secret.
pub const UNPROVEN_BYTES_MAX: usize = 4 << 10;

/// The longest handshake message in bytes, envelope included. The longest in use is a hello of 128 bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 1 << 10;

/// The shortest secret in bytes: a recorded handshake lets its secret be guessed off-line, so it must not be
/// guessable.
pub const SECRET_BYTES_MIN: usize = 16;

/// The longest secret in bytes; more gives nothing, as the hash yields 32.
pub const SECRET_BYTES_MAX: usize = 1 << 10;

/// How many pairs of an origin and a reason are remembered so as to be reported once. When they are all used,
/// refusals are counted only.
pub const REFUSALS_REMEMBERED_MAX: usize = 256;

/// Messages that a receiver is shown before they are delivered: more than memory reads can be under way at a time, few enough
/// that the first one's memory is still near when its turn comes.
pub const AHEAD_MESSAGES: usize = 16;

/// Most effects that wait to be polled. The owner polls until there are none after each turn, and one event
/// makes at most a few; more means that nobody polls.
pub const EFFECTS_MAX: usize = 1 << 16;

/// Memory that an idle link keeps for the next frame that arrives in pieces, in bytes. A busy one keeps what
/// its longest frame took, at most [`FRAME_BYTES_MAX`].
pub const PARTIAL_KEPT_BYTES: usize = 64 << 10;

/// Most memory that an empty outbox reserves for the next frame, in bytes. It reserves what the last frame
/// took.
pub const OUTBOX_RESERVE_BYTES_MAX: usize = 256 << 10;

/// A link that carried nothing for this long carries an empty frame. Where there is something to carry, acknowledgements tell sooner
/// how a peer is; this is what a cluster at rest pays, a wake-up at each end.
pub const HEARTBEAT_DEFAULT: Nanos = 200 * MILLISECOND;

/// A peer that neither sends nor acknowledges for this long is taken for dead: above three heartbeats and
/// three of TCP's shortest retransmission time-outs (200 ms each).
pub const HANG_DEFAULT: Nanos = 800 * MILLISECOND;

/// A link with something unacknowledged for this long is used only when no other is free: five times the
/// delay of an acknowledgement, a quarter of TCP's shortest retransmission time-out.
pub const STALL_DEFAULT: Nanos = 50 * MILLISECOND;

/// A peer whose every link has something unacknowledged for this long is not healthy.
pub const UNHEALTHY_DEFAULT: Nanos = 250 * MILLISECOND;

/// Messages are acknowledged at the latest after this time, by a frame of their own if need be.
pub const ACK_DELAY_DEFAULT: Nanos = 10 * MILLISECOND;

/// A connection that is not established by then is given up. Hosts of a set are near each other; the kernel
/// would repeat a lost first packet only after a second.
pub const CONNECT_TIMEOUT_DEFAULT: Nanos = 500 * MILLISECOND;

/// A handshake that is not done by then is given up.
pub const HANDSHAKE_TIMEOUT_DEFAULT: Nanos = 1_000 * MILLISECOND;

/// The longest wait before the first new attempt.
pub const BACKOFF_MIN_DEFAULT: Nanos = 5 * MILLISECOND;

/// The longest wait before any attempt. A restarted host dials by itself, so this decides only how soon peers
/// meet again that both lived on; at 20 attempts a second and peer it costs nothing.
pub const BACKOFF_MAX_DEFAULT: Nanos = 100 * MILLISECOND;

/// The longest wait after a refusal, which only an operator can mend.
pub const REFUSED_RETRY_DEFAULT: Nanos = 1_000 * MILLISECOND;

/// The shortest wait before any attempt, so that jitter never makes a loop of attempts without pause.
pub const BACKOFF_FLOOR: Nanos = MILLISECOND;

const _: () = assert!(FRAME_BYTES_MAX > HEADER_BYTES + FIRST_PART_BYTES, "a part carries at least one byte");
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize, "a length fits into its field");
const _: () = assert!(MESSAGE_BYTES_MAX < 1 << 30, "a length leaves two bits for the kind of part");
const _: () = assert!(
    MESSAGE_BYTES_MAX
        + (MESSAGE_BYTES_MAX / (BODY_BYTES_MAX - FIRST_PART_BYTES) + 1) * PART_BYTES
        + FIRST_PART_BYTES
        <= OUTBOX_BYTES_DEFAULT,
    "the longest message fits into an empty outbox"
);
const _: () = assert!(LINKS_PER_PEER_DEFAULT <= LINKS_PER_PEER_MAX, "the default is allowed");
const _: () =
    assert!(HANDSHAKE_BYTES_MAX <= UNPROVEN_BYTES_MAX, "a handshake message fits into what is held of it");
const _: () = assert!(PARTIAL_KEPT_BYTES <= FRAME_BYTES_MAX, "no more is kept than a frame takes");
const _: () = assert!(3 * HEARTBEAT_DEFAULT < HANG_DEFAULT, "one lost heartbeat does not end a link");
const _: () = assert!(ACK_DELAY_DEFAULT < STALL_DEFAULT, "a link in order is not taken for stalled");
const _: () = assert!(STALL_DEFAULT < UNHEALTHY_DEFAULT, "another link is tried before the peer is given up");
const _: () = assert!(UNHEALTHY_DEFAULT < HANG_DEFAULT, "a peer is avoided before its links are closed");
const _: () = assert!(BACKOFF_FLOOR <= BACKOFF_MIN_DEFAULT, "the floor is below the shortest window");
const _: () = assert!(BACKOFF_MIN_DEFAULT <= BACKOFF_MAX_DEFAULT, "back-off grows");
