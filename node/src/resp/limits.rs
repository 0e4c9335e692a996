//! Bounds of what one request may be. The configurable ones are the defaults of settings.

/// Longest header line (`*3`, `$5`) and longest inline command, in bytes. Redis: PROTO_INLINE_MAX_SIZE.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The length above which Redis refuses a bulk whatever its settings are: 512 MB.
pub const BULK_BYTES_PROTOCOL_MAX: usize = 512 * 1024 * 1024;

/// Longest bulk by default: the value limit, 20 MB. Setting: `proto-max-bulk-len`.
pub const BULK_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Most arguments of one request. Redis before 7.0 had the same number.
pub const ARGS_MAX: usize = 1024 * 1024;

/// Most bytes of one request, with headers: three values of the largest size, so that no honest request is
/// near it and ten thousand clients cannot each announce a thousand such values.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most arguments of a request before AUTH. Redis: processMultibulkBuffer.
pub const ARGS_MAX_BEFORE_AUTH: usize = 10;

/// Longest bulk before AUTH. Redis: processMultibulkBuffer.
pub const BULK_BYTES_MAX_BEFORE_AUTH: usize = 16 * 1024;

const _: () = assert!(BULK_BYTES_MAX <= BULK_BYTES_PROTOCOL_MAX);
const _: () = assert!(REQUEST_BYTES_MAX >= 3 * BULK_BYTES_MAX);
const _: () = assert!(BULK_BYTES_MAX_BEFORE_AUTH < BULK_BYTES_MAX && ARGS_MAX_BEFORE_AUTH < ARGS_MAX);
// Ranges of arguments are kept as u32.
const _: () = assert!(REQUEST_BYTES_MAX + LINE_BYTES_MAX < u32::MAX as usize);
