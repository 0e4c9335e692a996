//! The tables of the comparison, and values of each type, most of them at an edge.

use sql::Type;

/// A column of a table.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub kind: Type,
    /// How statements of both name the type.
    pub written: &'static str,
}

/// A table: its columns, and how many of them are the partition key, and then the clustering key.
#[derive(Clone)]
pub struct Table {
    pub name: &'static str,
    pub columns: Vec<Column>,
    pub partition: usize,
    /// For each column of the clustering key, whether it is ordered downwards here.
    pub clustering: Vec<bool>,
    /// Indexes there are here, by number.
    pub indexes: Vec<u64>,
}

/// All types of columns, as they are written.
pub const WRITTEN: [(Type, &str); 11] = [
    (Type::Int, "INT"),
    (Type::BigInt, "BIGINT"),
    (Type::Numeric, "NUMERIC(10,3)"),
    (Type::Numeric, "NUMERIC"),
    (Type::Double, "DOUBLE PRECISION"),
    (Type::Text, "TEXT"),
    (Type::Bytea, "BYTEA"),
    (Type::Timestamp, "TIMESTAMP"),
    (Type::Uuid, "UUID"),
    (Type::Bool, "BOOL"),
    (Type::Jsonb, "JSON"),
];

fn made(
    name: &'static str,
    partition: usize,
    clustering: &[bool],
    columns: &[(&str, Type, &'static str)],
) -> Table {
    let column = |(name, kind, written): &(&str, Type, &'static str)| Column {
        name: (*name).to_owned(),
        kind: *kind,
        written,
    };
    Table {
        name,
        columns: columns.iter().map(column).collect(),
        partition,
        clustering: clustering.to_vec(),
        indexes: Vec::new(),
    }
}

/// The tables.
pub fn tables() -> Vec<Table> {
    let rest = [
        ("i", Type::Int, "INT"),
        ("l", Type::BigInt, "BIGINT"),
        ("n", Type::Numeric, "NUMERIC(10,3)"),
        ("d", Type::Double, "DOUBLE PRECISION"),
        ("s", Type::Text, "TEXT"),
        ("b", Type::Bytea, "BYTEA"),
        ("t", Type::Timestamp, "TIMESTAMP"),
        ("u", Type::Uuid, "UUID"),
        ("o", Type::Bool, "BOOL"),
    ];
    let with = |key: &[(&'static str, Type, &'static str)]| [key, &rest].concat();
    vec![
        made(
            "one",
            1,
            &[false, true],
            &with(&[("p", Type::Int, "INT"), ("c", Type::Int, "INT"), ("e", Type::Text, "TEXT")]),
        ),
        made("two", 1, &[true], &with(&[("p", Type::Text, "TEXT"), ("c", Type::Timestamp, "TIMESTAMP")])),
        made(
            "three",
            2,
            &[true, false],
            &with(&[
                ("p", Type::BigInt, "BIGINT"),
                ("q", Type::Bool, "BOOL"),
                ("c", Type::Numeric, "NUMERIC(6,2)"),
                ("e", Type::Double, "DOUBLE PRECISION"),
            ]),
        ),
        made(
            "four",
            1,
            &[false, false],
            &with(&[("p", Type::Uuid, "UUID"), ("c", Type::Bytea, "BYTEA"), ("e", Type::BigInt, "BIGINT")]),
        ),
        made("five", 1, &[], &with(&[("p", Type::Numeric, "NUMERIC(8,2)")])),
    ]
}

/// Texts of values of a type.
pub fn values(kind: Type) -> &'static [&'static str] {
    match kind {
        Type::Bool => &["true", "false", "t", "no"],
        Type::Int => &["0", "1", "2", "3", "-1", "7", "100", "2147483647", "-2147483648", "65536"],
        Type::BigInt => &[
            "0",
            "1",
            "2",
            "3",
            "-1",
            "12",
            "2147483648",
            "9223372036854775807",
            "-9223372036854775808",
            "4294967296",
        ],
        Type::Numeric => &[
            "0",
            "1",
            "2.5",
            "-2.5",
            "0.001",
            "1.10",
            "1.1",
            "99.995",
            "1234.5678",
            "-0.0005",
            "3",
            "1e3",
            "-0",
            "1e-3",
            ".5",
            "00012.30",
        ],
        Type::Double => &[
            "0",
            "-0",
            "1",
            "0.1",
            "2.5",
            "-2.5",
            "3.5",
            "1e15",
            "1e-5",
            "1e300",
            "-1e-300",
            "NaN",
            "Infinity",
            "-Infinity",
            "123456789.123",
            "1e23",
            "4.35e18",
            "5e-324",
            "1.7976931348623157e308",
            "9007199254740993",
            "0.3",
            "1e-7",
            ".5",
            "5.",
        ],
        Type::Text => {
            &["", "a", "b", "ab", "A", "abc", "é", "a%b", "a_b", "it's", "\\", "zz top", "12", "true", " x "]
        }
        Type::Bytea => &["", "\\x00", "\\x0001", "\\xff", "\\x61", "\\xdeadBEEF", "abc", "a\\\\b"],
        Type::Timestamp => &[
            "2024-02-29",
            "2024-02-29 12:34:56",
            "1970-01-01",
            "1969-12-31 23:59:59.999999",
            "2024-03-01 00:00:00.5",
            "0001-01-01",
            "9999-12-31 23:59:59",
            "2024-2-9 1:2:3",
            "2024-02-29T12:34:56.1234567",
            "2024-12-31 24:00:00",
            "2024-02-29 12:34",
            "2024-02-28 23:59:60",
            "2024-02-29 12:34:56.9999999",
        ],
        Type::Uuid => &[
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
        Type::Jsonb => &["{}", "{\"a\": [1, 2.50, null]}", "\"text\"", " [true]", "12"],
    }
}

/// Texts that are of no type, or of few.
pub const WRONG: [&str; 10] = [
    "x1",
    "--1",
    "99999999999999999999",
    "2024-13-01",
    "2023-02-29",
    "2024-02-29 25:00",
    "{",
    "\\xf",
    "maybe",
    "1e999",
];
