//! Each bound that a statement can meet, with the error that names it and what to do.

use sql::{limits, Context, Error, ErrorKind, Reply, Statement};

use crate::store::Store;

fn refused(store: &mut Store, sql: &str, parameters: &[Vec<u8>]) -> Error {
    let error = store.run(sql.as_bytes(), parameters).expect_err("it is beyond a bound");
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    error
}

fn done(store: &mut Store, sql: &str, parameters: &[Vec<u8>]) -> Reply {
    store
        .run(sql.as_bytes(), parameters)
        .unwrap_or_else(|error| panic!("{}: {error}", &sql[..sql.len().min(60)]))
}

#[test]
fn schemas_have_bounds() {
    let mut store = Store::default();
    let columns =
        |count: usize| (0..count).map(|index| format!("c{index} INT")).collect::<Vec<_>>().join(", ");
    let create = |count| format!("CREATE TABLE t ({}, PRIMARY KEY (c0))", columns(count));
    assert!(refused(&mut store, &create(limits::COLUMNS_MAX + 1), &[]).message.contains("256 columns"));
    done(&mut store, &create(limits::COLUMNS_MAX), &[]);
    assert!(refused(&mut store, "ALTER TABLE t ADD COLUMN more INT", &[]).message.contains("256 columns"));
    let key: Vec<String> = (0..=limits::KEY_COLUMNS_MAX).map(|index| format!("c{index}")).collect();
    refused(&mut store, &format!("CREATE INDEX i ON t ({})", key.join(", ")), &[]);
    for index in 0..limits::INDEXES_MAX {
        done(&mut store, &format!("CREATE INDEX i{index} ON t (c{index})"), &[]);
    }
    assert!(refused(&mut store, "CREATE INDEX more ON t (c1)", &[]).message.contains("16 indexes"));
    // Past the store, which has each catalog written and read.
    let context = Context { parameters: &[], now_micros: 0, random: [0; 2] };
    for index in 1..limits::TABLES_MAX {
        let sql = format!("CREATE TABLE t{index} (a INT PRIMARY KEY)");
        let statement = Statement::parse(sql.as_bytes()).expect("a statement");
        let changed = store.catalog.change(&statement, &context).expect("it can be done");
        store.catalog = changed.catalog.expect("there is something to do");
    }
    assert!(store.catalog.encode().is_ok(), "so many tables are a catalog");
    assert!(refused(&mut store, "CREATE TABLE more (a INT PRIMARY KEY)", &[])
        .message
        .contains("1024 tables"));
}

#[test]
fn rows_and_keys_have_bounds() {
    let mut store = Store::default();
    done(&mut store, "CREATE TABLE t (p TEXT, c TEXT, v TEXT, PRIMARY KEY (p, c))", &[]);
    let long = |bytes: usize| vec![b'x'; bytes];
    let insert = "INSERT INTO t VALUES ($1, $2, $3)";
    let error = refused(&mut store, insert, &[long(limits::PARTITION_KEY_BYTES_MAX), long(1), long(1)]);
    assert!(error.message.contains("partition key (p)"), "{error}");
    let error = refused(&mut store, insert, &[long(1), long(limits::ROW_KEY_BYTES_MAX), long(1)]);
    assert!(error.message.contains("the key (c)"), "{error}");
    let error = refused(&mut store, insert, &[long(1), long(1), long(limits::ROW_BYTES_MAX)]);
    assert!(error.message.contains("the row takes"), "{error}");
    done(&mut store, insert, &[long(1), long(1), long(limits::ROW_BYTES_MAX - 16)]);
    done(&mut store, "CREATE INDEX i ON t (c)", &[]);
    done(&mut store, "ALTER TABLE t ADD COLUMN w TEXT", &[]);
    done(&mut store, "CREATE INDEX j ON t (w)", &[]);
    let error = refused(
        &mut store,
        "INSERT INTO t (p, c, w) VALUES ('x', 'y', $1)",
        &[long(limits::INDEX_KEY_BYTES_MAX)],
    );
    assert!(error.message.contains("index \"j\""), "{error}");
    let doubled = "UPDATE t SET v = v || v || v || v || v || v || v || v WHERE p = 'x'";
    assert!(refused(&mut store, doubled, &[]).message.contains("bytes"));
}

#[test]
fn changes_and_answers_have_bounds() {
    let mut store = Store::default();
    done(&mut store, "CREATE TABLE t (p INT, c INT, v TEXT, PRIMARY KEY (p, c))", &[]);
    let rows = |from: usize, count: usize| {
        (from..from + count).map(|c| format!("(1, {c}, 'v')")).collect::<Vec<_>>().join(", ")
    };
    let insert = |from, count| format!("INSERT INTO t VALUES {}", rows(from, count));
    refused(&mut store, &insert(0, limits::CHANGED_ROWS_MAX + 1), &[]);
    for part in 0..11 {
        done(&mut store, &insert(part * limits::CHANGED_ROWS_MAX, limits::CHANGED_ROWS_MAX), &[]);
    }
    assert!(refused(&mut store, "UPDATE t SET v = 'w' WHERE p = 1", &[])
        .message
        .contains("one range of the key after the other"));
    assert!(refused(&mut store, "DELETE FROM t WHERE p = 1", &[]).message.contains("10000 rows"));
    assert!(refused(&mut store, "SELECT c FROM t WHERE p = 1", &[]).message.contains("CURSOR"));
    done(&mut store, "DELETE FROM t WHERE p = 1 AND c < 10000", &[]);
    let Reply::Rows(page) = done(&mut store, "SELECT c FROM t WHERE p = 1 CURSOR '0'", &[]) else {
        panic!("rows are expected")
    };
    assert_eq!(page.rows.len(), limits::PAGE_ROWS);
    // A page looks at so many rows at most, whether or not it finds any.
    let Reply::Rows(page) = done(&mut store, "SELECT c FROM t WHERE p = 1 AND v = 'none' CURSOR '0'", &[])
    else {
        panic!("rows are expected")
    };
    assert!(
        page.rows.is_empty() && page.cursor.is_some_and(|cursor| cursor != "0"),
        "there is more to look at"
    );
    let large = vec![vec![b'x'; limits::ROW_BYTES_MAX / 2]];
    for c in 0..50 {
        done(&mut store, &format!("INSERT INTO t VALUES (2, {c}, $1)"), &large);
    }
    assert!(refused(&mut store, "SELECT v FROM t WHERE p = 2", &[]).message.contains("bytes"));
    assert!(refused(&mut store, "UPDATE t SET v = v || 'y' WHERE p = 2", &[])
        .message
        .contains("16777216 bytes"));
}

#[test]
fn statements_have_bounds() {
    let mut store = Store::default();
    done(&mut store, "CREATE TABLE t (p INT PRIMARY KEY, n NUMERIC)", &[]);
    let long = format!("SELECT '{}' FROM t WHERE p = 1", "x".repeat(limits::STATEMENT_BYTES_MAX));
    assert!(refused(&mut store, &long, &[]).message.contains("as parameters"));
    let many = format!("SELECT * FROM t WHERE p IN ({}1)", "1,".repeat(limits::TOKENS_MAX / 2));
    assert!(refused(&mut store, &many, &[]).message.contains("words and signs"));
    done(&mut store, "INSERT INTO t VALUES (1, $1)", &[vec![b'9'; 1_000]]);
    let often = format!("SELECT {}1 FROM t WHERE p = 1", "length($1), ".repeat(1_000));
    assert!(refused(&mut store, &often, &[vec![b'x'; 1 << 20]]).message.contains("literals and parameters"));
    let rows = format!("INSERT INTO t (p) VALUES {}(1)", "(length($1)), ".repeat(1_000));
    assert!(refused(&mut store, &rows, &[vec![b'x'; 1 << 20]]).message.contains("literals and parameters"));
    let grown = store
        .run(b"SELECT n * n * n * n * n FROM t WHERE p = 1", &[])
        .expect_err("the number has too many digits");
    assert_eq!(grown.state, "22003");
    let digits = store
        .run(b"INSERT INTO t VALUES (2, $1)", &[b"1e1000000000".to_vec()])
        .expect_err("the number has too many digits");
    assert_eq!(digits.state, "22003");
}

/// The longest chains that are let through are walked on a stack that is half as large as that of a thread.
#[test]
fn the_deepest_statements_fit_the_stack() {
    let deepest = [
        format!("SELECT 1{} FROM t WHERE p = 1", " + p".repeat(480)),
        format!("SELECT 'x'{} FROM t WHERE p = 1", "::TEXT".repeat(480)),
        format!("SELECT p{} FROM t WHERE p = 1", " IS NULL".repeat(480)),
        format!("SELECT p FROM t WHERE p = 1 AND (p = 2{})", " OR p > 3".repeat(230)),
        format!("SELECT {}p{} FROM t WHERE p = 1", "abs(".repeat(20), ")".repeat(20)),
        format!("SELECT {}p{} FROM t WHERE p = 1", "CASE WHEN p > 0 THEN ".repeat(20), " END".repeat(20)),
    ];
    let walk = move || {
        let mut store = Store::default();
        done(&mut store, "CREATE TABLE t (p INT PRIMARY KEY)", &[]);
        done(&mut store, "INSERT INTO t VALUES (1)", &[]);
        for sql in &deepest {
            // What is no chain of such operators is refused, but by name, and not by the stack.
            let result = store.run(sql.as_bytes(), &[]);
            assert!(
                result.is_ok() || result.as_ref().is_err_and(|error| error.state == "54001"),
                "{sql}: {result:?}"
            );
            let explained = store.run(format!("EXPLAIN {sql}").as_bytes(), &[]);
            assert_eq!(explained.is_ok(), result.is_ok(), "{sql}");
        }
        assert!(store.run("EXPLAIN ".repeat(900).as_bytes(), &[]).is_err(), "EXPLAIN is not explained");
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(walk).expect("a thread");
    thread.join().expect("the stack is large enough");
}
