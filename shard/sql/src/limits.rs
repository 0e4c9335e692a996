//! Every bound of the crate, with where it comes from.

/// The longest statement, in bytes: an INSERT of some hundred rows with long literals. Long values go in as parameters.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Tokens of a statement: at some 100 bytes each they are 20 MB while it is parsed.
pub const TOKENS_MAX: usize = 200_000;

/// What a token becomes of a statement that was read, at most, in bytes of memory, beside its text.
pub const TOKEN_BYTES: usize = 1_024;

/// What a statement that was read takes beside that.
pub const STATEMENT_BYTES: usize = 2_048;

/// Tokens from the statement's root to a leaf, commas beginning anew: it bounds the depth of the syntax tree, and so the stack that walks it.
/// A condition of 100 comparisons has 400.
pub const CHAIN_TOKENS_MAX: usize = 1_000;

/// Open parentheses at one place: each takes some KiB of the parser's stack.
pub const NESTING_MAX: usize = 32;

/// How deep the parser may call itself. Each level takes some KiB of stack, and threads have 2 MiB.
pub const RECURSION_MAX: usize = 48;

/// Parts of the expressions of one clause: as many as a statement has tokens, since nested BETWEENs count double.
pub const EXPRESSION_PARTS_MAX: usize = TOKENS_MAX;

/// Bytes of literals and parameters in the expressions of one clause, each counted as often as it stands there.
pub const EXPRESSION_BYTES_MAX: usize = 64 << 20;

/// Parameters of a statement: as many as PostgreSQL's protocol takes.
pub const PARAMETERS_MAX: usize = 65_535;

/// The longest name of a table, column or index, in bytes, as in PostgreSQL.
pub const NAME_BYTES_MAX: usize = 63;

/// Tables of a catalog: it is one value, and each change writes it whole.
pub const TABLES_MAX: usize = 1_024;

/// Columns of a table.
pub const COLUMNS_MAX: usize = 256;

/// Columns of a key, of the partition and clustering together, or of an index.
pub const KEY_COLUMNS_MAX: usize = 16;

/// Indexes of a table: each row's write writes an entry of each.
pub const INDEXES_MAX: usize = 16;

/// The longest partition key, encoded, in bytes: as text it may be three times as long, and it is part of a key of at most 64 KiB.
pub const PARTITION_KEY_BYTES_MAX: usize = 4 << 10;

/// The longest clustering key, encoded, in bytes.
pub const ROW_KEY_BYTES_MAX: usize = 8 << 10;

/// The longest key of an index entry, encoded, in bytes: the indexed values, then the row's key.
pub const INDEX_KEY_BYTES_MAX: usize = 24 << 10;

/// The longest row, encoded, in bytes: what one step reads ([`SCAN_ENTRIES`] of them) fits into memory, and a partition of layout 'small' holds
/// some.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// The longest text that an expression may make, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;

/// Steps that one LIKE takes at most: some 100 ms. What is costly is a long text that nearly matches a long pattern in many places.
pub const LIKE_STEPS_MAX: usize = 1 << 25;

/// Digits of a NUMERIC, in all. What is declared may have 1000, as in PostgreSQL; products and sums of them fit.
pub const NUMERIC_DIGITS_MAX: u32 = 4_000;

/// The greatest declared precision of NUMERIC, as in PostgreSQL.
pub const NUMERIC_PRECISION_MAX: u32 = 1_000;

/// How deep JSONB may be nested; beyond it the validator refuses.
pub const JSON_DEPTH_MAX: usize = 127;

/// Rows that one INSERT, UPDATE or DELETE may change: they become one entry.
pub const CHANGED_ROWS_MAX: usize = 10_000;

/// Bytes of all keys and rows that one statement may change: an entry travels in one message and is one record, at most 20 MB.
pub const CHANGES_BYTES_MAX: usize = 16 << 20;

/// Bytes of the rows in memory that one statement finds and may change. Values there take some times their bytes in a record.
pub const FOUND_BYTES_MAX: usize = 8 * CHANGES_BYTES_MAX;

/// Rows in one reply; more come page by page, with CURSOR.
pub const REPLY_ROWS_MAX: usize = 100_000;

/// Bytes of one reply: below the output buffer of a client, 64 MB.
pub const REPLY_BYTES_MAX: usize = 16 << 20;

/// Rows that one page looks at, when CURSOR is given: what can be filtered well within a request's deadline.
pub const PAGE_EXAMINED_MAX: usize = 10_000;

/// Rows of one page where CURSOR is given without LIMIT.
pub const PAGE_ROWS: usize = 1_000;

/// Keys that one step asks for at most: 64 MiB of rows, if all are as long as they may be.
pub const SCAN_ENTRIES: usize = 64;

/// Stretches of a key that IN may open: `a IN (…) AND b IN (…)` are the product of both.
pub const RANGES_MAX: usize = 256;

/// Rows that one step of an index's backfill indexes: they become one entry.
pub const BACKFILL_ROWS: usize = 256;

/// Characters of an error's message: it is one line, and may quote the statement.
pub const MESSAGE_CHARS_MAX: usize = 600;

/// Versions of a catalog and of its tables that are read; one that is above half of it is changed no more. Owners give out 2^58 at most.
pub const VERSION_MAX: u64 = 1 << 60;

/// Numbers of tables and of the indexes of one, as above: each CREATE takes one.
pub const NUMBER_MAX: u32 = 1 << 31;

/// The longest catalog, in bytes.
pub const CATALOG_BYTES_MAX: usize = 16 << 20;

/// The longest cursor, in bytes of text: an index key and a partition key in hexadecimal digits, and some.
pub const CURSOR_BYTES_MAX: usize = 2 * (INDEX_KEY_BYTES_MAX + PARTITION_KEY_BYTES_MAX) + 160;

const _: () = assert!(
    ROW_BYTES_MAX * 2 < CHANGES_BYTES_MAX,
    "one row and its entries fit into one statement's changes"
);
const _: () = assert!(ROW_BYTES_MAX < REPLY_BYTES_MAX, "every row can be read");
const _: () =
    assert!(FOUND_BYTES_MAX >= EXPRESSION_BYTES_MAX, "the rows that a statement may write can be held");
const _: () =
    assert!(LIKE_STEPS_MAX > 4 * VALUE_BYTES_MAX, "a text of any length is passed through several times");
const _: () = assert!(VALUE_BYTES_MAX >= ROW_BYTES_MAX, "what a row may hold an expression may make");
const _: () =
    assert!(NUMERIC_DIGITS_MAX > 2 * NUMERIC_PRECISION_MAX, "the product of two columns is a number");
const _: () = assert!(CHAIN_TOKENS_MAX > NESTING_MAX, "parentheses are tokens");
const _: () = assert!(INDEX_KEY_BYTES_MAX > 2 * ROW_KEY_BYTES_MAX, "an index of the row's key fits");
