//! Rows read as hashes, step by step: which keys a session asks, in which order, and what it answers by what they say.

use shard::command::{Catalog, Command, KeyCommand, Op};
use shard::reply::Reply;
use synod::cluster::Port;
use synod::session::{Action, Ticket};

use super::world::{readable, Options, World};

struct Talk {
    world: World,
}

impl Talk {
    fn new() -> Talk {
        let mut world = World::new(&Options { slices: 2, ..Options::default() });
        world.connect(0, Port::Plain, "127.0.0.1:50000");
        Talk { world }
    }

    /// One whose core knows two tables.
    fn with_tables() -> Talk {
        let mut talk = Talk::new();
        let mut catalog = Catalog::default();
        for create in [
            "CREATE TABLE t (k TEXT, v INT, w TEXT, PRIMARY KEY (k, v))",
            "CREATE TABLE one (k INT PRIMARY KEY)",
        ] {
            let statement = sql::Statement::parse(create.as_bytes()).expect("SQL");
            let context = sql::Context { parameters: &[], now_micros: 0, random: [0, 0] };
            catalog = catalog.change(&statement, &context).expect("a table").catalog.expect("a catalog");
        }
        talk.world.adopt(0, &catalog.encode().expect("bytes"));
        talk
    }

    fn feed(&mut self, lines: &[&str]) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let bytes: String = lines.iter().map(|text| format!("{text}\r\n")).collect();
        self.world.sessions[0].0[0].feed(bytes.as_bytes(), &mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn answer(&mut self, seq: u64, part: u32, reply: Reply) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let session = &mut self.world.sessions[0].0[0];
        session.reply(Ticket { seq, part }, reply, &mut self.world.servers[0], now, &mut actions);
        session.resume(&mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn out(&mut self) -> String {
        readable(&self.world.sessions[0].0[0].take_output()).replace("\\r\\n", " ")
    }

    /// What comes back when all is done that is asked for.
    fn ask(&mut self, line: &str) -> String {
        readable(&self.world.send((0, 0), format!("{line}\r\n").as_bytes())).replace("\\r\\n", " ")
    }
}

/// What is asked of which key.
fn steps(actions: &[Action]) -> Vec<String> {
    let one = |action: &Action| match action {
        Action::Run { ticket, command: Command::Key(KeyCommand { key, op }), .. } => {
            let key = String::from_utf8_lossy(key);
            let asked = match op {
                Op::AsHash(read) if read.row.is_some() => "row in",
                Op::AsHash(_) => "name",
                Op::OnHash(_) => "hash",
                Op::Sql(_) => "sql",
                Op::Catalog => return "catalog".to_owned(),
                other => panic!("{other:?}"),
            };
            format!("{}.{} {asked} {key}", ticket.seq, ticket.part)
        }
        other => panic!("{other:?}"),
    };
    actions.iter().map(one).collect()
}

fn found(reply: Reply) -> Reply {
    Reply::Array(vec![reply])
}

#[test]
fn names_that_no_row_has_cost_nothing() {
    let mut talk = Talk::with_tables();
    let asked = talk.feed(&[
        "HGETALL plain",
        "HGETALL {t}:1",
        "HGET {t:a}1 f",
        "HLEN {t:a",
        "HSET {t:a}:1 f v",
        "HLEN x{t:a}:1",
    ]);
    let want = [
        "0.0 hash plain",
        "1.0 hash {t}:1",
        "2.0 hash {t:a}1",
        "3.0 hash {t:a",
        "4.0 hash {t:a}:1",
        "5.0 hash x{t:a}:1",
    ];
    assert_eq!(steps(&asked), want);
}

#[test]
fn where_the_table_is_known_both_keys_are_asked_at_once() {
    let mut talk = Talk::with_tables();
    let asked = talk.feed(&["HGET {t:a}:1 w", "HGET {t:a}:2 w", "HGET {one:1} k"]);
    let want =
        ["0.0 name {t:a}:1", "0.1 row in {t:a}", "1.0 name {t:a}:2", "1.1 row in {t:a}", "2.0 name {one:1}"];
    assert_eq!(steps(&asked), want, "a pipeline of them is under way");
    let slices: Vec<u16> =
        asked.iter().map(|action| if let Action::Run { slice, .. } = action { *slice } else { 9 }).collect();
    assert!(slices[0] == slices[1] && slices[2] == slices[3], "{slices:?}");
    talk.answer(2, 0, found(Reply::bulk("1")));
    talk.answer(1, 1, Reply::bulk("of the row"));
    talk.answer(1, 0, found(Reply::Nil));
    talk.answer(0, 0, Reply::Nil);
    assert_eq!(talk.out(), "");
    talk.answer(0, 1, Reply::bulk("of the row"));
    assert_eq!(talk.out(), "$10 of the row $-1 $1 1 ", "what is there under the name wins");
    // An error of the row counts where the row does.
    let error = || Reply::error("ERR no quorum");
    for (name, row, want) in [
        (Reply::Nil, error(), "-ERR no quorum "),
        (error(), Reply::bulk("x"), "-ERR no quorum "),
        (found(Reply::bulk("x")), error(), "$1 x "),
        (found(error()), Reply::bulk("x"), "-ERR no quorum "),
    ] {
        let mut talk = Talk::with_tables();
        talk.feed(&["HGET {t:a}:1 w"]);
        talk.answer(0, 1, row);
        talk.answer(0, 0, name);
        assert_eq!(talk.out(), want);
    }
}

#[test]
fn where_it_is_not_the_key_alone_is_asked() {
    let mut talk = Talk::new();
    let asked = talk.feed(&["HGET {t:a}:1 w", "HGET {t:a}:2 w", "HLEN {t:a}:3", "HLEN {one:1}"]);
    assert_eq!(
        steps(&asked),
        ["0.0 name {t:a}:1", "1.0 name {t:a}:2", "2.0 name {t:a}:3", "3.0 name {one:1}"]
    );
    assert_eq!(steps(&talk.answer(1, 0, found(Reply::bulk("plain")))), [""; 0]);
    // The core of the key knows better.
    assert_eq!(steps(&talk.answer(0, 0, Reply::Nil)), ["0.0 row in {t:a}"]);
    assert_eq!(steps(&talk.answer(2, 0, Reply::error("ERR no quorum"))), [""; 0]);
    talk.answer(3, 0, found(Reply::Int(1)));
    assert_eq!(talk.out(), "");
    talk.answer(0, 0, Reply::Nil);
    assert_eq!(talk.out(), "$-1 $5 plain -ERR no quorum :1 ", "an absent row is not asked for twice");
}

#[test]
fn a_statement_does_not_overtake_a_read() {
    let update = "SQL \"UPDATE t SET w = 'x' WHERE k = 'a' AND v = 1\"";
    let mut talk = Talk::with_tables();
    let asked = talk.feed(&["HLEN {t:a}:1", update, "HLEN {t:a}:1"]);
    let want =
        ["0.0 name {t:a}:1", "0.1 row in {t:a}", "1.0 sql {t:a}", "2.0 name {t:a}:1", "2.1 row in {t:a}"];
    assert_eq!(steps(&asked), want, "they are asked in their order");
    // It may turn out to be of a row: what would change that waits until it is known.
    let mut talk = Talk::with_tables();
    assert_eq!(steps(&talk.feed(&["HLEN {u:a}:1", update, "HLEN k"])), ["0.0 name {u:a}:1"]);
    assert_eq!(steps(&talk.answer(0, 0, Reply::Nil)), ["0.0 row in {u:a}"]);
    assert_eq!(steps(&talk.answer(0, 0, Reply::Int(3))), ["1.0 sql {t:a}", "2.0 hash k"]);
    assert_eq!(talk.out(), ":3 ");
}

#[test]
fn rows_of_a_whole_world() {
    let mut talk = Talk::with_tables();
    assert_eq!(talk.ask("SQL \"INSERT INTO t VALUES ('a', 1, 'x'), ('a', 2, NULL)\""), ":2 ");
    assert_eq!(talk.ask("HGETALL {t:a}:1"), "*6 $1 k $1 a $1 v $1 1 $1 w $1 x ");
    assert_eq!(talk.ask("HMGET {t:a}:2 w v"), "*2 $-1 $1 2 ");
    assert_eq!(talk.ask("HGETALL {t:a}:3"), "*0 ");
    assert_eq!(talk.ask("HGETALL {t:a}:x"), "*0 ");
    assert!(talk.ask("HGETALL {t:a}").starts_with("-WRONGTYPE"));
    assert_eq!(talk.ask("HSET {t:a}:1 f v"), ":1 ");
    assert_eq!(talk.ask("HGETALL {t:a}:1"), "*2 $1 f $1 v ");
    // In front of a read REQID says nothing. Between MULTI and EXEC a name is a key, and rows are not seen.
    assert_eq!(talk.ask("REQID me 1 HLEN {t:a}:2"), ":2 ");
    assert_eq!(talk.ask("MULTI"), "+OK ");
    assert_eq!(talk.ask("HLEN {t:a}:1"), "+QUEUED ");
    assert_eq!(talk.ask("HLEN {t:a}:2"), "+QUEUED ");
    assert_eq!(talk.ask("EXEC"), "*2 :1 :0 ");
}

#[test]
fn a_core_port_routes_rows_as_keys() {
    for slices in [1, 4] {
        let mut world = World::new(&Options { hosts: 3, slices, ..Options::default() });
        world.connect(0, Port::Core(0), "127.0.0.1:50000");
        for key in 0..40 {
            let ask = |world: &mut World, line: String| {
                readable(&world.send((0, 0), format!("{line}\r\n").as_bytes()))
            };
            let (row, plain) = (
                ask(&mut world, format!("HLEN {{t:{key}}}:1")),
                ask(&mut world, format!("STRLEN {{t:{key}}}")),
            );
            assert_eq!(row, plain, "MOVED to the same place, or here");
        }
    }
}
