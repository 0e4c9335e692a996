//! What comes from outside and means no good: deep and long statements, bytes that are no catalog, no row and no cursor. None may panic.

use sql::{Catalog, ErrorKind, Reply};

use crate::store::Store;

/// A generator of numbers for tests (xorshift).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn made() -> Store {
    let mut store = Store::default();
    let create = b"CREATE TABLE t (p INT, c TEXT, n NUMERIC, d DOUBLE, PRIMARY KEY (p, c))";
    store.run(create, &[]).expect("a table");
    store.run(b"CREATE INDEX i ON t (n, d DESC)", &[]).expect("an index");
    store.run(b"INSERT INTO t VALUES (1, 'a', 1.50, -0.0), (1, 'b', NULL, 'NaN')", &[]).expect("rows");
    store
}

#[test]
fn deep_statements_are_refused() {
    let mut store = made();
    let many = 100_000;
    let cases = [
        format!("SELECT {}1{} FROM t WHERE p = 1", "(".repeat(many), ")".repeat(many)),
        format!("SELECT {}1 FROM t WHERE p = 1", "- ".repeat(many)),
        format!("SELECT {}1 FROM t WHERE p = 1", "NOT ".repeat(many)),
        format!("SELECT * FROM t WHERE p = 1{}", " AND c = 'a'".repeat(many)),
        format!("SELECT * FROM t WHERE p = 1 AND c IS NULL{}", " IS NULL".repeat(many)),
        format!("SELECT c{} FROM t WHERE p = 1", "::TEXT".repeat(many)),
        format!("SELECT {}1{} FROM t WHERE p = 1", "CASE WHEN true THEN ".repeat(many), " END".repeat(many)),
        format!("SELECT {}1{} FROM t WHERE p = 1", "abs(".repeat(many), ")".repeat(many)),
        format!("SELECT {}c{} FROM t WHERE p = 1", "[".repeat(many), "]".repeat(many)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(many)),
        format!("SELECT * FROM {}t{} WHERE p = 1", "(".repeat(many), ")".repeat(many)),
        format!("SELECT 1{} FROM t WHERE p = 1", " BETWEEN 1 AND 2".repeat(30)),
        format!("CREATE TABLE u (a {}INT{}, PRIMARY KEY (a))", "ARRAY<".repeat(many), ">".repeat(many)),
        "SELECT ".to_owned() + &"'x' || ".repeat(300_000) + "'x' FROM t WHERE p = 1",
    ];
    for case in cases {
        let error = store.run(case.as_bytes(), &[]).expect_err("it is refused");
        let shown: String = case.chars().take(40).collect();
        assert!(
            matches!(
                error.kind,
                ErrorKind::TooLarge | ErrorKind::Syntax | ErrorKind::Unsupported | ErrorKind::Type
            ),
            "{shown}: {error}"
        );
    }
}

#[test]
fn what_is_just_within_the_bounds_is_done() {
    let mut store = made();
    let deep = format!("SELECT {}c{} FROM t WHERE p = 1", "(".repeat(20), ")".repeat(20));
    let long = format!("SELECT c FROM t WHERE p = 1{}", " AND c < 'z'".repeat(200));
    let wide = format!("SELECT c FROM t WHERE p = 1 AND c IN ({}'a')", "'b', ".repeat(20_000));
    for case in [deep, long, wide] {
        let Reply::Rows(rows) = store.run(case.as_bytes(), &[]).expect("it is done") else {
            panic!("rows are expected")
        };
        assert_eq!(rows.rows.len(), 2);
    }
}

/// A catalog of these numbers and no tables, with a checksum that holds.
fn catalog_of(version: u64, next_table: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for mut number in [version, next_table, 0] {
        while number >= 0x80 {
            body.push(number as u8 | 0x80);
            number >>= 7;
        }
        body.push(number as u8);
    }
    let (length, checksum) = (body.len() as u32, crc32c::crc32c(&body));
    [&[1][..], &length.to_le_bytes(), &checksum.to_le_bytes(), &body].concat()
}

#[test]
fn numbers_that_are_used_up_are_refused() {
    let (most, half) = (sql::limits::VERSION_MAX, u64::from(sql::limits::NUMBER_MAX) / 2);
    for (version, next_table) in [(most + 1, 1), (u64::MAX, 1), (1, u32::MAX.into()), (1, 2 * half + 1)] {
        assert!(Catalog::decode(&catalog_of(version, next_table)).is_err(), "{version} {next_table}");
    }
    for (version, next_table, fits) in
        [(0, 1, true), (most / 2, half, true), (most / 2 + 1, 1, false), (most, 2 * half, false)]
    {
        let catalog = Catalog::decode(&catalog_of(version, next_table)).expect("within the bounds");
        let mut store = Store { catalog, ..Store::default() };
        let made = store.run(b"CREATE TABLE t (p INT PRIMARY KEY)", &[]);
        assert_eq!(made.is_ok(), fits, "{version} {next_table}: {made:?}");
    }
}

#[test]
fn catalogs_that_are_damaged_are_refused() {
    let bytes = made().catalog.encode().expect("bytes");
    for cut in 0..bytes.len() {
        assert!(Catalog::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for place in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[place] ^= 0x41;
        assert!(Catalog::decode(&wrong).is_err(), "changed at {place}");
    }
    // With a right checksum, too: whoever wrote it need not have meant well.
    let mut numbers = Numbers(7);
    for _ in 0..20_000 {
        let mut wrong = bytes.clone();
        for _ in 0..=numbers.below(3) {
            let place = 9 + numbers.below(wrong.len() as u64 - 9) as usize;
            wrong[place] = numbers.next() as u8;
        }
        let checksum = crc32c::crc32c(&wrong[9..]).to_le_bytes();
        wrong[5..9].copy_from_slice(&checksum);
        if let Ok(catalog) = Catalog::decode(&wrong) {
            catalog.tables().for_each(|table| {
                assert!(
                    table.partition.iter().all(|column| *column < table.columns.len()),
                    "columns of keys are there"
                )
            });
        }
    }
}

#[test]
fn rows_that_are_damaged_are_errors() {
    let mut numbers = Numbers(11);
    for _ in 0..5_000 {
        let mut store = made();
        let contents = store.partitions.values_mut().next().expect("a partition");
        let place = numbers.below(contents.len() as u64) as usize;
        let key = contents.keys().nth(place).expect("a key").clone();
        let mut value = contents.remove(&key).expect("a value");
        let mut wrong = key.clone();
        if value.is_empty() || numbers.below(2) == 0 {
            let at = numbers.below(wrong.len() as u64) as usize;
            wrong[at] = numbers.next() as u8;
        } else {
            let at = numbers.below(value.len() as u64) as usize;
            value[at] = numbers.next() as u8;
            value.truncate(numbers.below(value.len() as u64 + 8) as usize);
        }
        contents.insert(wrong, value);
        for sql in [
            "SELECT * FROM t WHERE p = 1",
            "SELECT * FROM t WHERE p = 1 ORDER BY n",
            "DELETE FROM t WHERE p = 1",
            "UPDATE t SET n = 2 WHERE p = 1",
        ] {
            // Some damage is still a row; what matters is that it is an answer or an error.
            let _ = store.run(sql.as_bytes(), &[]);
        }
    }
}

#[test]
fn parts_that_are_damaged_are_errors() {
    let mut store = made();
    store.run(b"CREATE TABLE parts (p INT, a TEXT, b NUMERIC, PRIMARY KEY (p, a))", &[]).expect("a table");
    store.run(b"INSERT INTO parts VALUES (1, 'x', 1.5), (1, 'y', NULL)", &[]).expect("rows");
    for text in
        ["SELECT * FROM parts LIMIT 1 ALLOW SCAN", "SELECT count(*), sum(b), max(a) FROM parts ALLOW SCAN"]
    {
        let statement = sql::Statement::parse(text.as_bytes()).expect("a statement");
        let context = sql::Context { parameters: &[], now_micros: 0, random: [1, 2] };
        let Ok(sql::Plan::Query(query)) = sql::Plan::new(&store.catalog, &statement, &context) else {
            panic!("{text}")
        };
        let scan = sql::Scan::new(*query.clone()).expect("it reads all partitions");
        let bytes = store.part(&query, &scan, "{parts:1}").expect("a part").encode();
        for cut in 0..bytes.len() {
            assert!(sql::Part::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        // What can be read is taken, or refused: no panic.
        let mut numbers = Numbers(9);
        for _ in 0..20_000 {
            let mut damaged = bytes.clone();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(damaged.len() as u64) as usize;
                damaged[at] = numbers.below(256) as u8;
            }
            let mut scan = sql::Scan::new(*query.clone()).expect("it reads all partitions");
            if let Ok(part) = sql::Part::decode(&damaged) {
                if scan.has_room_for(&part) && scan.take(part).is_ok() {
                    let _ = scan.finish(sql::End::Last);
                }
            }
        }
        for name in
            ["{parts:1", "{parts:one}", "{parts:01}", "{parts:1:2}", "{part:1}", "parts:1", "", "{parts:}"]
        {
            assert!(scan.share(name.as_bytes()).is_none(), "{name}");
        }
    }
}

#[test]
fn cursors_of_others_are_refused() {
    let mut store = made();
    let Ok(Reply::Rows(page)) = store.run(b"SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR '0'", &[]) else {
        panic!("a page")
    };
    let cursor = page.cursor.expect("a cursor");
    let Ok(Reply::Rows(page)) = store.run(b"SELECT c FROM t LIMIT 1 ALLOW SCAN CURSOR '0'", &[]) else {
        panic!("a page")
    };
    let all = page.cursor.expect("a cursor");
    for (sql, cursor) in [
        ("SELECT c FROM t WHERE p = 1 ORDER BY c DESC LIMIT 1 CURSOR $1", cursor.clone()),
        ("SELECT c FROM t WHERE p = 1 ORDER BY n LIMIT 1 CURSOR $1", cursor.clone()),
        ("SELECT c FROM t LIMIT 1 ALLOW SCAN CURSOR $1", cursor.clone()),
        ("SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR $1", all.clone()),
        ("SELECT c FROM t LIMIT 1 ALLOW SCAN CURSOR $1", all[..all.len() - 2].to_owned()),
        ("SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR $1", cursor[1..].to_owned()),
        ("SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR $1", "é".repeat(10)),
        ("SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR $1", cursor.replace(&cursor[20..22], "zz")),
        ("SELECT c FROM t WHERE p = 1 LIMIT 1 CURSOR $1", "00".repeat(1 << 20)),
    ] {
        let error = store
            .run(sql.as_bytes(), &[cursor.into_bytes()])
            .expect_err("the cursor is of another statement");
        assert_eq!(error.state, "34000", "{sql}: {error}");
    }
}

#[test]
fn random_bytes_are_no_statements() {
    let words = "SELECT INSERT UPSERT UPDATE DELETE FROM INTO VALUES WHERE t p c n d = < > ( ) , ' \" 1 2.5 'a' $1 * + - / % || AND OR NOT NULL IS IN \
                 BETWEEN LIKE CASE WHEN THEN END ORDER BY LIMIT CURSOR ALLOW SCAN IF EXISTS SET ON CONFLICT DO NOTHING UPDATE RETURNING CREATE TABLE \
                 INDEX PRIMARY KEY WITH DROP ALTER ADD COLUMN DEFAULT ; . :: INT TEXT NUMERIC EXPLAIN DESCRIBE count sum max coalesce";
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut store = made();
    let mut numbers = Numbers(3);
    for _ in 0..30_000 {
        let count = 1 + numbers.below(14);
        let text: Vec<&str> = (0..count).map(|_| words[numbers.below(words.len() as u64) as usize]).collect();
        let _ = store.run(text.join(" ").as_bytes(), &[b"1".to_vec()]);
        let bytes: Vec<u8> = (0..count).map(|_| numbers.next() as u8).collect();
        assert!(store.run(&bytes, &[]).is_err(), "{bytes:?}");
    }
}
