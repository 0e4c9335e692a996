//! Statements, step by step: what a session asks for, in which order, and what it answers when something on the way fails.

use shard::command::{Catalog, Command, KeyCommand, Keyspace, Op, Sql, CATALOG_KEY};
use shard::reply::Reply;
use synod::cluster::Port;
use synod::session::{Action, Ticket};

use super::world::{readable, Options, World};

const CREATE: &str = "CREATE TABLE t (k TEXT, v INT, PRIMARY KEY (k, v))";
const INSERT: &str = "INSERT INTO t VALUES ('a', 1)";
const LOST: &str =
    "-UNCERTAIN the tables are changed, but not every host may know it yet; again, with IF EXISTS or IF NOT EXISTS, it is answered when they do: ";

/// A client, and what it is asked by one word each.
struct Talk {
    world: World,
}

impl Talk {
    fn new() -> Talk {
        let mut world = World::new(&Options { slices: 2, ..Options::default() });
        world.connect(0, Port::Plain, "127.0.0.1:50000");
        Talk { world }
    }

    /// One whose core knows the table, and nobody else.
    fn with_table() -> Talk {
        let mut talk = Talk::new();
        let bytes = catalog(1);
        talk.world.adopt(0, &bytes);
        talk
    }

    fn feed(&mut self, statements: &[&str]) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let bytes: String = statements.iter().map(|text| format!("SQL \"{text}\"\r\n")).collect();
        self.world.sessions[0].0[0].feed(bytes.as_bytes(), &mut self.world.servers[0], now, &mut actions);
        actions
    }

    /// Replies, and what is asked then.
    fn reply(&mut self, ticket: Ticket, reply: Reply) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let session = &mut self.world.sessions[0].0[0];
        session.reply(ticket, reply, &mut self.world.servers[0], now, &mut actions);
        session.resume(&mut self.world.servers[0], now, &mut actions);
        actions
    }

    /// To the first part of the first request, unless another is named.
    fn answer(&mut self, seq: u64, reply: Reply) -> Vec<Action> {
        self.reply(Ticket { seq, part: 0 }, reply)
    }

    fn out(&mut self) -> String {
        readable(&self.world.sessions[0].0[0].take_output()).replace("\\r\\n", " ")
    }
}

/// A catalog with one table, at a version.
fn catalog(version: u64) -> Vec<u8> {
    let (statement, sql) = (sql::Statement::parse(CREATE.as_bytes()).expect("SQL"), no_parameters());
    let changed = Catalog::default().change(&statement, &sql).expect("a table");
    changed.catalog.expect("a catalog").at_version(version).encode().expect("bytes")
}

fn no_parameters() -> sql::Context<'static> {
    sql::Context { parameters: &[], now_micros: 0, random: [0, 0] }
}

fn steps(actions: &[Action]) -> Vec<&'static str> {
    let one = |action: &Action| match action {
        Action::Run { command: Command::Key(KeyCommand { key, op }), .. } => match op {
            Op::Define(_) if **key == *CATALOG_KEY => "define",
            Op::Catalog if **key == *CATALOG_KEY => "catalog",
            Op::Sql(_) => "run",
            Op::Get => "get",
            other => panic!("{other:?}"),
        },
        Action::Run { command: Command::Keyspace(Keyspace::Spread(_)), .. } => "spread",
        Action::Adopt(_) => "adopt",
        other => panic!("{other:?}"),
    };
    actions.iter().map(one).collect()
}

/// The only statement that is to be run.
fn sent(actions: &[Action]) -> &Sql {
    let mut sent = actions.iter().filter_map(|action| match action {
        Action::Run {
            command: Command::Key(KeyCommand { op: Op::Sql(sql) | Op::Define(sql), .. }), ..
        } => Some(sql),
        _ => None,
    });
    let first = sent.next().expect("a statement");
    assert!(sent.next().is_none(), "one statement");
    first
}

#[test]
fn a_change_of_the_catalog_is_chosen_then_made_known_and_a_barrier_meanwhile() {
    let mut talk = Talk::with_table();
    assert_eq!(
        steps(&talk.feed(&[INSERT, "DROP TABLE t", INSERT])),
        ["run"],
        "what comes before it is answered first"
    );
    assert_eq!(steps(&talk.answer(0, Reply::Int(1))), ["define"]);
    assert_eq!(steps(&talk.answer(1, Reply::Int(2))), ["catalog"]);
    let asked = talk.answer(1, Reply::Bulk(catalog(2)));
    assert_eq!(steps(&asked), ["spread", "spread"], "all cores of the host");
    assert_eq!(steps(&talk.reply(Ticket { seq: 1, part: 1 }, Reply::OK)), [""; 0]);
    assert_eq!(talk.out(), ":1 ");
    assert_eq!(steps(&talk.reply(Ticket { seq: 1, part: 0 }, Reply::OK)), ["run"], "what comes behind it");
    assert_eq!(talk.out(), "+OK ");
}

#[test]
fn a_change_that_was_chosen_is_never_answered_as_if_it_was_not() {
    let error = || Reply::error("ERR timeout: nothing was written");
    let told = "ERR timeout: nothing was written ";
    // Not chosen: as it is.
    let mut talk = Talk::new();
    talk.feed(&[CREATE]);
    talk.answer(0, error());
    assert_eq!(talk.out(), format!("-{told}"));
    // Chosen, but what was chosen cannot be read.
    for (reply, why) in [
        (error(), told),
        (Reply::Bulk(catalog(4)), "the newest that was read lacks the change "),
        (Reply::Bulk(vec![1]), "the catalog is damaged: its bytes are not what was written "),
    ] {
        let mut talk = Talk::new();
        talk.feed(&[CREATE]);
        talk.answer(0, Reply::Int(5));
        talk.answer(0, reply);
        assert_eq!(talk.out(), format!("{LOST}{why}"));
    }
    // Chosen, and one core cannot make it known.
    let mut talk = Talk::new();
    talk.feed(&[CREATE]);
    talk.answer(0, Reply::Int(5));
    talk.answer(0, Reply::Bulk(catalog(6)));
    talk.reply(Ticket { seq: 0, part: 0 }, Reply::OK);
    talk.reply(Ticket { seq: 0, part: 1 }, error());
    assert_eq!(talk.out(), format!("{LOST}{told}"));
    assert_eq!(steps(&talk.feed(&[INSERT])), ["catalog"], "the session goes on");
}

#[test]
fn a_plan_that_fails_is_made_once_more_by_the_newest_catalog() {
    let mut talk = Talk::new();
    assert_eq!(steps(&talk.feed(&[INSERT, INSERT])), ["catalog"]);
    let asked = talk.answer(0, Reply::Bulk(catalog(7)));
    assert_eq!(steps(&asked), ["adopt", "run"]);
    let sql = sent(&asked);
    assert_eq!((sql.catalog, sql.writes, &*sql.text), (7, true, INSERT.as_bytes()));
    // What comes behind waits. By then the core has another one, and an older answer comes late.
    assert_eq!(steps(&talk.answer(0, Reply::Int(1))), ["catalog"]);
    talk.world.adopt(0, &catalog(9));
    let asked = talk.answer(1, Reply::Bulk(catalog(8)));
    assert_eq!(steps(&asked), ["run"], "the core's is newer");
    assert_eq!(sent(&asked).catalog, 9);
    talk.answer(1, Reply::Int(1));
    // The newest says the same: that is the answer.
    assert_eq!(steps(&talk.feed(&["SELECT * FROM u WHERE k = 'a'"])), ["catalog"]);
    assert_eq!(steps(&talk.answer(2, Reply::Bulk(catalog(9)))), [""; 0]);
    assert_eq!(talk.out(), ":1 :1 -SQL 42P01 table \"u\" does not exist; did you mean \"t\"? ");
    // Or it cannot be read.
    talk.feed(&["SELECT * FROM u WHERE k = 'a'"]);
    talk.answer(3, Reply::error("ERR no quorum"));
    assert_eq!(talk.out(), "-ERR no quorum ");
}

#[test]
fn what_is_answered_from_the_catalog_is_read_first() {
    for text in ["SHOW TABLES", "DESCRIBE t", "EXPLAIN SELECT * FROM t WHERE k = 'a'"] {
        let mut talk = Talk::with_table();
        assert_eq!(steps(&talk.feed(&[text])), ["catalog"]);
        assert_eq!(talk.out(), "");
        assert_eq!(steps(&talk.answer(0, Reply::Bulk(catalog(2)))), ["adopt"]);
        assert!(talk.out().starts_with('*'), "{text}");
    }
}

#[test]
fn statements_on_rows_are_as_commands_on_keys() {
    let mut talk = Talk::with_table();
    let select = "SELECT v FROM t WHERE k = 'a'";
    let asked = talk.feed(&[INSERT, select, INSERT]);
    assert_eq!(steps(&asked), ["run", "run", "run"], "a pipeline of them is under way");
    let [Action::Run { command: Command::Key(first), .. }, Action::Run { command: Command::Key(second), .. }, _] =
        asked.as_slice()
    else {
        panic!("{asked:?}")
    };
    assert_eq!(&*first.key, b"{t:a}");
    assert!(Command::Key(first.clone()).is_write() && Command::Key(second.clone()).is_read());
    let (first, second) = (sent(&asked[..1]), sent(&asked[1..2]));
    assert_eq!(first.now_micros, 1_700_000_000_123_456);
    assert_ne!(first.random, second.random, "each draws its own");
    for seq in [2, 1, 0] {
        talk.answer(seq, Reply::Int(seq as i64));
    }
    assert_eq!(talk.out(), ":0 :1 :2 ");
}

#[test]
fn statements_have_a_bound_with_their_arguments() {
    let mut world = World::new(&Options::default());
    world.connect(0, Port::Plain, "127.0.0.1:50000");
    world.servers[0].command_limits.value_bytes_max = 1 << 20;
    let mut ask = |bytes: usize| {
        let text = "DELETE FROM t WHERE k = $1";
        let mut request =
            format!("*3\r\n$3\r\nSQL\r\n${}\r\n{text}\r\n${bytes}\r\n", text.len()).into_bytes();
        request.resize(request.len() + bytes, b'x');
        request.extend(b"\r\n");
        readable(&world.send((0, 0), &request))
    };
    let most = (1 << 20) - "SQL".len() - "DELETE FROM t WHERE k = $1".len();
    assert!(ask(most).starts_with("-SQL 42P01"));
    let refused = ask(most + 1);
    assert!(
        refused.starts_with("-SQL 54000 the statement and its arguments have 1048577 bytes"),
        "{refused}"
    );
}
