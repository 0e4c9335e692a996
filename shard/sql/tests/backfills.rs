//! Indexes that come to tables that have rows, while rows are written, by backfills that are interrupted.

use std::collections::BTreeMap;

use sql::{Backfill, Context, Effect, Partition, Reply, Statement};

use crate::hostile::Numbers;
use crate::store::Store;

fn change(store: &mut Store, sql: &str) -> Vec<Effect> {
    let context = Context { parameters: &[], now_micros: 0, random: [0; 2] };
    let statement = Statement::parse(sql.as_bytes()).expect("a statement");
    let changed = store.catalog.change(&statement, &context).expect("it can be done");
    store.catalog = changed.catalog.expect("there is something to do");
    changed.effects
}

fn rows(store: &mut Store, sql: &str) -> Vec<String> {
    let Ok(Reply::Rows(rows)) = store.run(sql.as_bytes(), &[]) else { panic!("{sql}") };
    rows.rows.iter().map(|row| format!("{row:?}")).collect()
}

/// One step of a backfill, on what is there now.
fn step(store: &mut Store, table: u32, partition: &Partition, backfill: &mut Backfill) {
    let Some((from, to, limit)) = backfill.wanted() else { return };
    let contents = store.partitions.get_mut(&(table, partition.key.clone())).expect("the partition is there");
    let entries: Vec<_> = contents
        .range(from.to_vec()..to.to_vec())
        .map(|(key, value)| (key.as_slice(), value.as_slice()))
        .take(limit)
        .collect();
    let more = entries.len() == limit;
    for change in backfill.step(&entries, more).expect("rows can be read") {
        match change.value {
            Some(value) => contents.insert(change.key, value),
            None => contents.remove(&change.key),
        };
    }
}

#[test]
fn an_index_is_filled_while_rows_are_written() {
    let mut numbers = Numbers(9);
    for round in 0..8 {
        let mut store = Store::default();
        store.run(b"CREATE TABLE t (p INT, c INT, v INT, PRIMARY KEY (p, c))", &[]).expect("a table");
        for part in 0..10 {
            let rows: Vec<String> =
                (0..150).map(|c| format!("(1, {}, {})", part * 150 + c, numbers.below(50))).collect();
            store.run(format!("INSERT INTO t VALUES {}", rows.join(", ")).as_bytes(), &[]).expect("rows");
        }
        let effects = change(&mut store, "CREATE INDEX by_v ON t (v)");
        let [Effect::FillIndex { table, index }] = effects[..] else { panic!("the index is to be filled") };
        let held = store.catalog.table("t").expect("the table").clone();
        let partition =
            Partition::of_key(&held, store.partitions.keys().next().expect("a partition").1.clone())
                .expect("its key");
        let mut backfill =
            Backfill::fill(&held, index, &partition).expect("a backfill").expect("the index is there");
        while let Some(place) = backfill.place().map(<[u8]>::to_vec) {
            if numbers.below(3) == 0 {
                // Interrupted: what it had is gone but for the place, and the step that was under way is done again.
                backfill = Backfill::fill(&held, index, &partition)
                    .expect("a backfill")
                    .expect("the index is there");
                backfill.resume(place);
            }
            step(&mut store, table, &partition, &mut backfill);
            for _ in 0..20 {
                let (c, v) = (numbers.below(1600), numbers.below(50));
                let sql = match numbers.below(3) {
                    0 => format!("UPSERT INTO t VALUES (1, {c}, {v})"),
                    1 => format!("UPDATE t SET v = {v} WHERE p = 1 AND c = {c}"),
                    _ => format!("DELETE FROM t WHERE p = 1 AND c = {c}"),
                };
                store.run(sql.as_bytes(), &[]).expect("a write");
                assert!(
                    !rows(&mut store, "EXPLAIN SELECT c FROM t WHERE p = 1 AND v = 5")
                        .concat()
                        .contains("by_v"),
                    "it is not read yet"
                );
            }
        }
        store.catalog = store.catalog.index_filled(table, index).expect("it was being filled");
        let all = rows(&mut store, "SELECT v, c FROM t WHERE p = 1");
        let mut by_index: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for v in 0..50 {
            assert!(
                rows(&mut store, "EXPLAIN SELECT c FROM t WHERE p = 1 AND v = 5").concat().contains("by_v"),
                "it is read"
            );
            by_index.insert(v, rows(&mut store, &format!("SELECT v, c FROM t WHERE p = 1 AND v = {v}")));
        }
        let mut found: Vec<String> = by_index.into_values().flatten().collect();
        let mut expected = all.clone();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "round {round}");
        let effects = change(&mut store, "DROP INDEX by_v");
        let [Effect::ClearIndex { table, index }] = effects[..] else { panic!("the index is to be cleared") };
        let held = store.catalog.table("t").expect("the table").clone();
        let mut backfill = Backfill::clear(&held, index, &partition).expect("a backfill");
        while backfill.wanted().is_some() {
            step(&mut store, table, &partition, &mut backfill);
        }
        assert_eq!(
            store.partitions.values().map(BTreeMap::len).sum::<usize>(),
            all.len(),
            "rows are left, entries are not"
        );
    }
}

#[test]
fn plans_of_an_older_catalog_are_known() {
    let mut store = Store::default();
    store.run(b"CREATE TABLE t (p INT PRIMARY KEY, v INT)", &[]).expect("a table");
    let context = Context { parameters: &[], now_micros: 0, random: [0; 2] };
    let statement = Statement::parse(b"UPDATE t SET v = 1 WHERE p = 1").expect("a statement");
    let sql::Plan::Query(query) = sql::Plan::new(&store.catalog, &statement, &context).expect("a plan")
    else {
        panic!("a query")
    };
    let check = |store: &Store| {
        store.catalog.check_current(query.table().id, query.table().version).map_err(|error| error.kind)
    };
    assert_eq!(check(&store), Ok(()));
    store.run(b"CREATE TABLE other (p INT PRIMARY KEY)", &[]).expect("a table");
    assert_eq!(check(&store), Ok(()), "another table is none of its business");
    store.run(b"CREATE INDEX i ON t (v)", &[]).expect("an index");
    assert_eq!(check(&store), Err(sql::ErrorKind::Stale));
    store.run(b"DROP TABLE t", &[]).expect("it is there");
    assert_eq!(check(&store), Err(sql::ErrorKind::Stale));
}
