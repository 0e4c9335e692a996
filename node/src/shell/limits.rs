//! Every bound of the shell, with where it comes from.

use std::time::Duration;

/// The longest statement, with the white space and comments around it; hosts refuse longer ones.
pub(super) const STATEMENT_BYTES_MAX: usize = sql::limits::STATEMENT_BYTES_MAX;

/// The longest line of statements.
pub(super) const LINE_BYTES_MAX: usize = STATEMENT_BYTES_MAX;

/// Statements and commands of one history; a line each, most of them short.
pub(super) const HISTORY_ENTRIES_MAX: usize = 5_000;

/// Bytes of one reply: what a host sends a client at most before it closes the connection.
pub(super) const REPLY_BYTES_MAX: usize = crate::session::limits::OUTPUT_BYTES_MAX;

/// The longest line of a reply: an error, or the head of a bulk.
pub(super) const REPLY_LINE_BYTES_MAX: usize = 64 * 1024;

/// Arrays within arrays: a page is an array of rows beside its cursor.
pub(super) const REPLY_DEPTH_MAX: usize = 4;

/// Longer than any host lets a statement wait.
pub(super) const REPLY_PATIENCE: Duration = Duration::from_secs(60);

/// How long a host may take to take a connection.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a copy goes on trying when no host does what it is asked, or none answers.
pub(super) const COPY_PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries of a copy.
pub(super) const COPY_PAUSE: Duration = Duration::from_millis(100);

/// Rows that a page is asked for; fewer where they are large.
pub(super) const PAGE_ROWS: usize = 1_000;

/// The longest row of a CSV file, in bytes as it stands there: the longest row of a table in hexadecimal digits, and some.
pub(super) const CSV_ROW_BYTES_MAX: usize = 4 << 20;

/// Rows of one partition that share a statement.
pub(super) const STATEMENT_ROWS_MAX: usize = 100;

/// Bytes of them, unless it is one row.
pub(super) const SHARED_BYTES_MAX: usize = 128 * 1024;

/// Statements of a copy under way: some milliseconds of a host's work, below what it takes of one connection.
pub(super) const WINDOW_STATEMENTS: usize = 256;

/// Bytes of them, unless it is one statement: their replies are short, so that nobody waits for a socket that nobody reads.
pub(super) const WINDOW_BYTES: usize = 4 << 20;

/// Widest column of a table on the screen that is padded; what is longer stands out.
pub(super) const COLUMN_WIDTH_MAX: usize = 120;

const _: () = assert!(CSV_ROW_BYTES_MAX > 2 * sql::limits::ROW_BYTES_MAX, "every row can be read back");
const _: () = assert!(SHARED_BYTES_MAX < WINDOW_BYTES);
const _: () = assert!(
    STATEMENT_ROWS_MAX * sql::limits::COLUMNS_MAX <= sql::limits::PARAMETERS_MAX
        && 3 * STATEMENT_ROWS_MAX * sql::limits::COLUMNS_MAX < sql::limits::TOKENS_MAX,
    "a statement of a copy is one that hosts take"
);
const _: () = assert!(WINDOW_STATEMENTS < crate::session::limits::PIPELINE_DEPTH_MAX);
const _: () = assert!(REPLY_BYTES_MAX > 2 * sql::limits::REPLY_BYTES_MAX, "every answer can be read");
