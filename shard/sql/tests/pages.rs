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
        let keys = store.partitions.values().flat_map(|contents| contents.keys());
        assert_eq!(keys.filter(|key| key[0] == 2).count(), all.len(), "each row has an entry in the index");
    }
}
