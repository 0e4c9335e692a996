//! Random rows and random ranges: with scans in small pages, with cursors, by index and backwards, all give the rows that a sort gives.

use sql::{Datum, Reply};

use crate::hostile::Numbers;
use crate::store::Store;

fn rows(store: &mut Store, sql: &str) -> Vec<Vec<Option<String>>> {
    match store.run(sql.as_bytes(), &[]) {
        Ok(Reply::Rows(rows)) => rows.rows.iter().map(|row| row.iter().map(Datum::text).collect()).collect(),
        other => panic!("{sql}: {other:?}"),
    }
}

fn by_cursor(store: &mut Store, sql: &str, size: u64) -> Vec<Vec<Option<String>>> {
    let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
    loop {
        let page = format!("{sql} LIMIT {size} CURSOR '{cursor}'");
        let Ok(Reply::Rows(rows)) = store.run(page.as_bytes(), &[]) else { panic!("{page}") };
        assert!(rows.rows.len() as u64 <= size, "{page}");
        all.extend(rows.rows.iter().map(|row| row.iter().map(Datum::text).collect::<Vec<_>>()));
        cursor = rows.cursor.expect("a page has a cursor");
        if cursor == "0" {
            return all;
        }
    }
}

#[test]
fn all_ways_give_the_same_rows() {
    let mut numbers = Numbers(5);
    for layout in ["small", "large"] {
        let mut store = Store::default();
        store.run(format!("CREATE TABLE t (p INT, a INT, b TEXT, v INT, PRIMARY KEY (p, a DESC, b)) WITH (layout = '{layout}')").as_bytes(), &[]).expect("a table");
        store.run(b"CREATE INDEX by_v ON t (v DESC)", &[]).expect("an index");
        for _ in 0..400 {
            let (p, a, b) = (numbers.below(3), numbers.below(12), numbers.below(6));
            let v = if numbers.below(4) == 0 { "NULL".to_owned() } else { numbers.below(9).to_string() };
            let sql = format!("UPSERT INTO t VALUES ({p}, {a}, '{b}', {v})");
            store.run(sql.as_bytes(), &[]).expect("a row");
        }
        let whole = rows(&mut store, "SELECT a, b, v FROM t WHERE p = 1");
        assert!(whole.len() > 30, "there are rows");
        for _ in 0..200 {
            let (low, high) = (numbers.below(12), numbers.below(12));
            let (what, order) = match numbers.below(4) {
                0 => (format!("a >= {low} AND a < {high}"), "a DESC, b"),
                1 => (format!("a IN ({low}, {high}, 5) AND b > '{}'", low % 6), "a, b DESC"),
                2 => (format!("v BETWEEN {low} AND {high}"), "v"),
                _ => ("v IS NULL".to_owned(), "v, a DESC"),
            };
            let sql = format!("SELECT a, b, v FROM t WHERE p = 1 AND {what} ORDER BY {order}");
            store.page = 0;
            let expected = rows(&mut store, &sql);
            let turned = rows(&mut store, &format!("SELECT a, b, v FROM t WHERE p = 1 AND {what}"));
            let (mut left, mut right) = (expected.clone(), turned);
            left.sort();
            right.sort();
            assert_eq!(left, right, "{sql}");
            store.page = 1 + numbers.below(5) as usize;
            assert_eq!(rows(&mut store, &sql), expected, "{sql} in pages of {}", store.page);
            assert_eq!(by_cursor(&mut store, &sql, 1 + low), expected, "{sql} by cursor");
        }
        let all = rows(&mut store, "SELECT p, a, b FROM t ALLOW SCAN");
        assert_eq!(by_cursor(&mut store, "SELECT p, a, b FROM t ALLOW SCAN", 7), all);
        assert_eq!(
            rows(&mut store, "SELECT count(*) FROM t ALLOW SCAN"),
            vec![vec![Some(all.len().to_string())]]
        );
        all_partitions(&mut store, &mut numbers);
        let keys = store.partitions.values().flat_map(|contents| contents.keys());
        assert_eq!(keys.filter(|key| key[0] == 2).count(), all.len(), "each row has an entry in the index");
    }
}

/// What is read from all partitions is what one partition gives that has all rows.
fn all_partitions(store: &mut Store, numbers: &mut Numbers) {
    let columns = "u (q INT, p INT, a INT, b TEXT, v INT, PRIMARY KEY (q, p, a DESC, b))";
    store.page = 0;
    store.run(format!("CREATE TABLE {columns}").as_bytes(), &[]).expect("a table");
    for row in rows(store, "SELECT p, a, b, v FROM t ALLOW SCAN") {
        let row: Vec<String> = row.into_iter().map(|value| value.unwrap_or("NULL".to_owned())).collect();
        let (p, a, b, v) = (&row[0], &row[1], &row[2], &row[3]);
        store.run(format!("INSERT INTO u VALUES (1, {p}, {a}, '{b}', {v})").as_bytes(), &[]).expect("a row");
    }
    for _ in 0..100 {
        store.page = 1 + numbers.below(5) as usize;
        let (low, high) = (numbers.below(12), numbers.below(12));
        let (what, exact) = match numbers.below(5) {
            0 => (format!("a >= {low}"), true),
            1 => (format!("p = {} OR b > '{}'", low % 4, high % 6), true),
            2 => (format!("v BETWEEN {low} AND {high}"), false),
            3 => (format!("p IN (0, 2) AND a IN ({low}, {high})"), true),
            _ => ("v IS NULL AND false".to_owned(), true),
        };
        let items = "count(*), count(v), min(v), max(b), sum(v), avg(v), sum(v * 1.5) + 1, max(p) - min(a)";
        let parts = rows(store, &format!("SELECT {items} FROM t WHERE {what} ALLOW SCAN"));
        assert_eq!(parts, rows(store, &format!("SELECT {items} FROM u WHERE q = 1 AND ({what})")), "{what}");
        let select = format!("SELECT p, a, b, v FROM t WHERE {what} ALLOW SCAN");
        let mut want = rows(store, &format!("SELECT p, a, b, v FROM u WHERE q = 1 AND ({what})"));
        let mut all = rows(store, &select);
        let limit = numbers.below(all.len() as u64 + 3) as usize;
        let first = rows(store, &format!("{select} LIMIT {limit}"));
        assert_eq!(first, all[..limit.min(all.len())], "{select} LIMIT {limit}");
        for is_hurried in [false, true] {
            store.is_hurried = is_hurried;
            assert_eq!(by_cursor(store, &select, 1 + low), all, "{select} by cursor");
        }
        store.is_hurried = false;
        if !exact {
            // By an index, in its order within each partition.
            all.sort();
            want.sort();
        }
        assert_eq!(all, want, "{select}");
    }
}

#[test]
fn pages_of_all_partitions_go_on_when_what_they_ended_at_is_gone() {
    let mut store = Store::default();
    store.run(b"CREATE TABLE t (p INT, c INT, PRIMARY KEY (p, c))", &[]).expect("a table");
    for p in 0..6 {
        store.run(format!("INSERT INTO t VALUES ({p}, 1), ({p}, 2)").as_bytes(), &[]).expect("rows");
    }
    let page = |store: &mut Store, cursor: &str| {
        let sql = format!("SELECT p, c FROM t ALLOW SCAN LIMIT 3 CURSOR '{cursor}'");
        let Ok(Reply::Rows(rows)) = store.run(sql.as_bytes(), &[]) else { panic!("{sql}") };
        let texts = |row: &Vec<Datum>| row.iter().filter_map(Datum::text).collect::<String>();
        (rows.rows.iter().map(texts).collect::<Vec<_>>(), rows.cursor.expect("a page has a cursor"))
    };
    let (rows, cursor) = page(&mut store, "0");
    assert_eq!(rows, ["01", "02", "11"]);
    // The rest of the partition that it ended in.
    assert_eq!(page(&mut store, &cursor).0, ["12", "21", "22"]);
    // The row is gone, then all of them.
    store.run(b"DELETE FROM t WHERE p = 1 AND c = 1", &[]).expect("gone");
    assert_eq!(page(&mut store, &cursor).0, ["12", "21", "22"]);
    store.run(b"DELETE FROM t WHERE p = 1", &[]).expect("gone");
    store.partitions.values_mut().for_each(|contents| contents.retain(|key, _| key[0] != 9));
    let (rows, cursor) = page(&mut store, &cursor);
    assert_eq!(rows.len(), 3, "{rows:?}");
    // A page that ended with its partition does not read it again.
    let mut last = cursor;
    while last != "0" {
        last = page(&mut store, &last).1;
    }
}

#[test]
fn random_values_differ_between_rows() {
    let mut store = Store::default();
    store.run(b"CREATE TABLE t (p INT, c INT, PRIMARY KEY (p, c))", &[]).expect("a table");
    store.run(b"INSERT INTO t VALUES (1, 1), (1, 2), (1, 3)", &[]).expect("rows");
    let mut drawn = rows(&mut store, "SELECT gen_random_uuid() FROM t ALLOW SCAN");
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 3);
}
