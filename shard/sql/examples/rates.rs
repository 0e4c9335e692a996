//! What statements cost over a map in memory: `cargo run --release -p sql --example rates`. Each line is a statement and its time in
//! microseconds: to be read, planned and run, and when what was read is kept.

#[path = "../tests/store.rs"]
mod store;

use std::time::Instant;

use sql::{Context, Plan, Statement};

use store::Store;

const ROUNDS: u32 = 20_000;

fn main() {
    let mut store = Store::default();
    let create =
        "CREATE TABLE t (p TEXT, c BIGINT, a INT, b TEXT, n NUMERIC(10,2), at TIMESTAMP, PRIMARY KEY (p, c))";
    store.run(create.as_bytes(), &[]).expect("a table");
    store.run(b"CREATE INDEX by_a ON t (a)", &[]).expect("an index");
    for c in 0..1_000 {
        let sql = format!("INSERT INTO t VALUES ('key', {c}, {}, 'some text', 12.5, '2024-01-01')", c % 100);
        store.run(sql.as_bytes(), &[]).expect("a row");
    }
    let arguments = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    for (sql, parameters) in [
        ("SELECT * FROM t WHERE p = $1 AND c = $2", arguments(&["key", "500"])),
        ("UPSERT INTO t VALUES ($1, $2, 5, 'other text', 7.25, now())", arguments(&["key", "500"])),
        ("UPDATE t SET n = n + 1 WHERE p = $1 AND c = $2 IF a = 5", arguments(&["key", "500"])),
        ("SELECT c, n FROM t WHERE p = $1 AND c >= 100 AND c < 200", arguments(&["key"])),
        ("SELECT c, n FROM t WHERE p = $1 AND a = 7", arguments(&["key"])),
        ("SELECT count(*), sum(n) FROM t WHERE p = $1", arguments(&["key"])),
    ] {
        let statement = Statement::parse(sql.as_bytes()).expect("a statement");
        let context = Context { parameters: &parameters, now_micros: 0, random: [1, 2] };
        let rounds = if sql.contains("count") { ROUNDS / 20 } else { ROUNDS };
        let time = |mut work: Box<dyn FnMut() + '_>| {
            let begin = Instant::now();
            (0..rounds).for_each(|_| work());
            begin.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
        };
        let parse = time(Box::new(|| drop(Statement::parse(sql.as_bytes()))));
        let plan = time(Box::new(|| drop(Plan::new(&store.catalog, &statement, &context))));
        let all = time(Box::new(|| drop(store.run(sql.as_bytes(), &parameters).expect("it is done"))));
        println!("{all:8.2} us (read {parse:.2}, planned {plan:.2}, run {:.2})  {sql}", all - parse - plan);
    }
}
