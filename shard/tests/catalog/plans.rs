//! Plans that come along with their statements: they change nothing of what statements do, and are no plans under another catalog.

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, KeyCommand, Limits, Op, Planned, Statements};
use shard::reply::Reply;
use shard::state::State;

use super::{planned, statement, CHAT};

fn changed(catalog: &Catalog, text: &str) -> Catalog {
    let statement = sql::Statement::parse(text.as_bytes()).expect("a statement");
    let context = sql::Context { parameters: &[], now_micros: 0, random: [1, 2] };
    let next = catalog.change(&statement, &context).expect("it can be done").catalog;
    next.expect("there is something to do")
}

fn run(command: &Command, state: &mut State, catalog: &Catalog, statements: &mut Statements) -> Reply {
    let (limits, rng) = (&Limits::default(), &mut Rng::new(1));
    state.changed = false;
    execute(command, state, &mut Context { now_wall_ms: 1, limits, rng, catalog, statements })
}

/// The same command as another host has it: without a plan.
fn without_plan(command: &Command) -> Command {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    let decoded = Command::decode(&bytes).expect("what was written");
    assert_eq!(decoded, *command, "a plan is no part of a statement");
    decoded
}

fn has_plan(command: &Command) -> bool {
    let Command::Key(KeyCommand { op: Op::Sql(sql), .. }) = command else { panic!("{command:?}") };
    format!("{:?}", sql.planned) == "Planned(true)"
}

#[test]
fn what_came_with_a_plan_does_what_it_does_without() {
    let catalog = changed(&Catalog::default(), CHAT);
    let catalog = changed(&catalog, "CREATE INDEX by_who ON chat (who)");
    let mut rng = Rng::new(7);
    let (mut with, mut without) = (State::default(), State::default());
    let (mut kept, mut none) = (Statements::new(1 << 16), Statements::default());
    let mut refused = 0;
    for _ in 0..2_000 {
        let (at, other, who) = (rng.below(30), rng.below(30), rng.below(4));
        let text = match rng.below(9) {
            0..=2 => format!("INSERT INTO chat VALUES ('a', {at}, 'w{who}')"),
            3 => format!(
                "UPSERT INTO chat VALUES ('a', {at}, 'w{who}'), ('a', {other}, NULL) RETURNING at, who"
            ),
            4 => format!("UPDATE chat SET who = who || 'x' WHERE room = 'a' AND at > {at} IF at < {other}"),
            5 => format!("UPDATE chat SET at = {other} WHERE room = 'a' AND at = {at}"),
            6 => format!("DELETE FROM chat WHERE room = 'a' AND at BETWEEN {at} AND {other}"),
            7 => format!("SELECT who, at FROM chat WHERE room = 'a' AND at >= {at} LIMIT 5 CURSOR '0'"),
            _ => format!("SELECT count(*), max(who) FROM chat WHERE room = 'a' AND who = 'w{who}'"),
        };
        let command = planned(&catalog, &text).expect("a plan");
        assert!(has_plan(&command) && !has_plan(&without_plan(&command)), "{text}");
        let reply = run(&command, &mut with, &catalog, &mut kept);
        assert_eq!(reply, run(&without_plan(&command), &mut without, &catalog, &mut none), "{text}");
        assert_eq!(with, without, "{text}");
        refused += u32::from(reply.is_error());
    }
    assert!((100..1_000).contains(&refused), "{refused} of 2,000 met a row that was there");
}

#[test]
fn a_plan_by_another_catalog_is_none() {
    let first = changed(&Catalog::default(), CHAT);
    let changes = [
        vec!["ALTER TABLE chat ADD COLUMN n INT NOT NULL DEFAULT 7"],
        vec!["CREATE INDEX by_who ON chat (who)"],
        vec!["DROP TABLE chat"],
        vec!["DROP TABLE chat", "CREATE TABLE chat (at BIGINT, room TEXT, who TEXT, PRIMARY KEY (room, at))"],
        vec!["DROP TABLE chat", "CREATE TABLE chat (room TEXT, at BIGINT, PRIMARY KEY (at, room))"],
    ];
    let texts = [
        "INSERT INTO chat VALUES ('a', 2, 'y')",
        "SELECT * FROM chat WHERE room = 'a' AND at >= 0",
        "DELETE FROM chat WHERE room = 'a' AND at = 1 RETURNING *",
    ];
    for changes in changes {
        let then = changes.iter().fold(first.clone(), |catalog, text| changed(&catalog, text));
        for text in texts {
            let mut state = State::default();
            let insert = planned(&first, "INSERT INTO chat VALUES ('a', 1, 'x')").expect("a plan");
            assert_eq!(run(&insert, &mut state, &first, &mut Statements::default()), Reply::Int(1));
            let (mut with, mut without) = (state.clone(), state);
            let command = planned(&first, text).expect("a plan");
            let statements = &mut Statements::default();
            let reply = run(&command, &mut with, &then, statements);
            assert_eq!(
                reply,
                run(&without_plan(&command), &mut without, &then, statements),
                "{changes:?}: {text}"
            );
            assert_eq!(with, without, "{changes:?}: {text}");
        }
    }
}

#[test]
fn a_long_plan_of_a_short_statement_stays_behind() {
    let catalog =
        changed(&Catalog::default(), "CREATE TABLE t (p TEXT, a TEXT, b INT, PRIMARY KEY (p, a, b))");
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let text = format!("SELECT * FROM t WHERE p = 'x' AND a = $1 AND b IN ({})", numbers.join(","));
    let parsed = sql::Statement::parse(text.as_bytes()).expect("a statement");
    for (bytes, kept) in [(10, true), (7_000, false)] {
        let parameters = vec![vec![b'a'; bytes]];
        let context = sql::Context { parameters: &parameters, now_micros: 0, random: [1, 2] };
        let sql::Plan::Query(query) = sql::Plan::new(&catalog, &parsed, &context).expect("a plan") else {
            panic!("on rows");
        };
        let least = 100 * bytes;
        assert!(query.bytes() > least, "100 keys have it: {} bytes", query.bytes());
        let mut sql = statement(&text, catalog.version(), false);
        sql.planned = Planned::new(query);
        let key = b"{t:x}"[..].into();
        assert_eq!(has_plan(&Command::Key(KeyCommand { key, op: Op::Sql(sql) })), kept);
    }
}
