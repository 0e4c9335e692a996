//! Statements that read all partitions of a table, step by step: what a session asks for, in which order, and what it answers by what comes.

use shard::command::{Catalog, Command, KeyCommand, Keyspace, Op};
use shard::reply::Reply;
use synod::cluster::Port;
use synod::session::{limits, Action, Ticket};

use super::world::{readable, Options, World};

const SCAN: &str = "SELECT v FROM t ALLOW SCAN";

/// A client of a core, and a host that knows a table.
struct Talk {
    world: World,
    catalog: Vec<u8>,
}

impl Talk {
    fn new(slices: u16, port: Port) -> Talk {
        let mut world = World::new(&Options { slices, ..Options::default() });
        world.connect(0, port, "127.0.0.1:50000");
        let create =
            sql::Statement::parse(b"CREATE TABLE t (k INT, v INT, PRIMARY KEY (k, v))").expect("SQL");
        let context = sql::Context { parameters: &[], now_micros: 0, random: [0, 0] };
        let changed = Catalog::default().change(&create, &context).expect("a table");
        let catalog = changed.catalog.expect("a catalog").encode().expect("bytes");
        (0..slices).for_each(|core| world.adopt(usize::from(core), &catalog));
        Talk { world, catalog }
    }

    fn feed(&mut self, lines: &[&str]) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let bytes: String = lines.iter().map(|text| format!("{text}\r\n")).collect();
        self.world.sessions[0].0[0].feed(bytes.as_bytes(), &mut self.world.servers[0], now, &mut actions);
        actions
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) -> Vec<Action> {
        let (mut actions, now) = (Vec::new(), self.world.now);
        let session = &mut self.world.sessions[0].0[0];
        session.reply(ticket, reply, &mut self.world.servers[0], now, &mut actions);
        session.resume(&mut self.world.servers[0], now, &mut actions);
        actions
    }

    /// Begins a statement: the first step of its walk.
    fn begin(&mut self, text: &str) -> Action {
        let asked = self.feed(&[&format!("SQL \"{text}\"")]);
        let [Action::Run { ticket, command: Command::Key(KeyCommand { op: Op::Catalog, .. }), .. }] =
            &asked[..]
        else {
            panic!("the newest catalog is asked for first: {asked:?}")
        };
        let catalog = Reply::Bulk(self.catalog.clone());
        let mut asked = self.reply(*ticket, catalog);
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    /// What the world answers to an action, and what is asked then.
    fn answer(&mut self, action: &Action) -> Vec<Action> {
        let Action::Run { ticket, slice, command, scope } = action else { panic!("{action:?}") };
        let reply = self.world.run(*slice, command, scope);
        self.reply(*ticket, reply)
    }

    fn ask(&mut self, text: &str) -> String {
        readable(&self.world.send((0, 0), format!("SQL \"{text}\"\r\n").as_bytes())).replace("\\r\\n", " ")
    }

    fn out(&mut self) -> String {
        readable(&self.world.sessions[0].0[0].take_output()).replace("\\r\\n", " ")
    }

    /// Partitions of some rows each, and other keys around them.
    fn fill(&mut self, partitions: std::ops::Range<u32>, rows: u32) {
        for k in partitions {
            for v in 0..rows {
                assert_eq!(self.ask(&format!("INSERT INTO t VALUES ({k}, {})", k * 10 + v)), ":1 ");
            }
            self.world.send(
                (0, 0),
                format!("SET {{t:{k}}}:1 x\r\nSET other{k} x\r\nHSET {{t:x{k}}} f v\r\n").as_bytes(),
            );
        }
    }
}

/// The key and the ticket of a partition that is asked.
fn asked_of(action: &Action) -> (String, Ticket) {
    match action {
        Action::Run { ticket, command: Command::Key(KeyCommand { key, op: Op::Sql(sql) }), .. } => {
            assert!(sql.share.is_some() && !sql.writes, "{sql:?}");
            (String::from_utf8_lossy(key).into_owned(), *ticket)
        }
        other => panic!("{other:?}"),
    }
}

/// The numbers of an answer of one column, in their order.
fn numbers(answer: &str) -> Vec<u32> {
    answer.split(' ').filter_map(|word| word.strip_prefix(':')?.parse().ok()).collect()
}

fn is_walk(action: &Action) -> bool {
    matches!(action, Action::Run { command: Command::Keyspace(Keyspace::Partitions { .. }), .. })
}

#[test]
fn all_partitions_of_all_slices_are_read() {
    for port in [Port::Plain, Port::Core(0)] {
        for slices in [1, 3] {
            let mut talk = Talk::new(slices, Port::Plain);
            assert_eq!(talk.ask(SCAN), "*1 *1 $1 v ");
            assert_eq!(
                talk.ask("SELECT count(*), max(v) FROM t ALLOW SCAN"),
                "*2 *2 $5 count $3 max *2 :0 $-1 "
            );
            talk.fill(1..30, 3);
            talk.world.sessions[0].0.clear();
            talk.world.connect(0, port, "127.0.0.1:50000");
            let mut want: Vec<u32> = (1..30).flat_map(|k| (0..3).map(move |v| k * 10 + v)).collect();
            let all = numbers(&talk.ask(SCAN));
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, want);
            // Whole partitions, one after the other.
            assert!(all.chunks(3).all(|rows| rows[1] == rows[0] + 1 && rows[2] == rows[0] + 2), "{all:?}");
            want.retain(|v| *v > 100);
            let sum: u32 = want.iter().sum();
            let answer = talk.ask("SELECT count(*), sum(v), min(k) FROM t WHERE v > 100 ALLOW SCAN");
            assert_eq!(answer, format!("*2 *3 $5 count $3 sum $3 min *3 :{} :{sum} :10 ", want.len()));
            for limit in [0, 1, 2, 3, 4, 50, 87, 1000] {
                let some = numbers(&talk.ask(&format!("{SCAN} LIMIT {limit}")));
                assert_eq!(some, all[..limit.min(all.len())], "LIMIT {limit}");
            }
            assert!(talk.ask(&format!("{SCAN} LIMIT 0 CURSOR '0'")).starts_with("-SQL 0A000"));
            for limit in [1, 2, 3, 7, 86, 87, 88] {
                let (mut cursor, mut paged) = ("0".to_owned(), Vec::new());
                loop {
                    let page = talk.ask(&format!("{SCAN} LIMIT {limit} CURSOR '{cursor}'"));
                    let words: Vec<&str> = page.split(' ').collect();
                    let rows = numbers(&page);
                    assert!(words[0] == "*2" && rows.len() <= limit, "{page}");
                    paged.extend(rows);
                    cursor = words[2].to_owned();
                    if cursor == "0" {
                        break;
                    }
                }
                assert_eq!(paged, all, "in pages of {limit}");
            }
        }
    }
}

#[test]
fn some_are_read_at_a_time_and_taken_in_their_order() {
    let mut talk = Talk::new(1, Port::Plain);
    talk.fill(1..10, 1);
    let walk = talk.begin(SCAN);
    assert!(is_walk(&walk));
    let mut asked = talk.answer(&walk);
    assert_eq!(asked.len(), limits::SCAN_PARTITIONS);
    let names: Vec<String> = asked.iter().map(|action| asked_of(action).0).collect();
    assert_eq!(names, ["{t:1}", "{t:2}", "{t:3}", "{t:4}"]);
    // Those that are ready before the first one wait for it.
    for place in [2, 1, 3] {
        assert_eq!(talk.answer(&asked[place]), []);
    }
    let mut next = talk.answer(&asked.remove(0));
    assert_eq!(
        next.iter().map(|action| asked_of(action).0).collect::<Vec<_>>(),
        ["{t:5}", "{t:6}", "{t:7}", "{t:8}"]
    );
    while let Some(action) = next.pop() {
        next.extend(talk.answer(&action));
    }
    assert_eq!(numbers(&talk.out()), (1..10).map(|k| k * 10).collect::<Vec<_>>());
    assert_eq!(talk.feed(&["GET k"]).len(), 1, "the session goes on");
}

#[test]
fn what_comes_too_late_is_nobodys() {
    let mut talk = Talk::new(1, Port::Plain);
    talk.fill(1..10, 2);
    let walk = talk.begin(&format!("{SCAN} LIMIT 3"));
    let asked = talk.answer(&walk);
    let fifth = talk.answer(&asked[0]);
    assert_eq!(fifth.iter().map(|action| asked_of(action).0).collect::<Vec<_>>(), ["{t:5}"]);
    // It gives two rows, and one is wanted by now: it is asked again.
    let again = talk.answer(&asked[1]);
    let [again] = &again[..] else { panic!("{again:?}") };
    assert_eq!(asked_of(again).0, "{t:2}");
    assert_eq!(talk.answer(again), []);
    assert_eq!(numbers(&talk.out()), [10, 11, 20]);
    // The next one is under way when the last replies to this one come, or errors.
    let walk = talk.begin(SCAN);
    assert_eq!(talk.answer(&asked[2]), []);
    assert_eq!(talk.answer(&fifth[0]), []);
    assert_eq!(talk.reply(asked_of(&asked[3]).1, Reply::error("ERR no quorum")), []);
    let mut next = talk.answer(&walk);
    while let Some(action) = next.pop() {
        next.extend(talk.answer(&action));
    }
    assert_eq!(numbers(&talk.out()).len(), 18);
}

#[test]
fn an_error_ends_it_where_its_turn_comes() {
    let error = || Reply::error("ERR no quorum");
    let mut talk = Talk::new(1, Port::Plain);
    talk.fill(1..10, 1);
    // Of the walk.
    let walk = talk.begin(SCAN);
    let Action::Run { ticket, .. } = walk else { panic!("{walk:?}") };
    assert_eq!(talk.reply(ticket, error()), []);
    assert_eq!(talk.out(), "-ERR no quorum ");
    for wrong in [
        Reply::Nil,
        Reply::Array(vec![]),
        Reply::Array(vec![Reply::bulk("0"), Reply::Array(vec![Reply::bulk("x")])]),
    ] {
        let walk = talk.begin(SCAN);
        let Action::Run { ticket, .. } = walk else { panic!("{walk:?}") };
        talk.reply(ticket, wrong);
        assert!(talk.out().starts_with('-'));
    }
    // Of a partition: where all that come before it are not enough.
    for (limit, want) in [(2, "*3 *1 $1 v *1 :10 *1 :20 "), (3, "-ERR no quorum ")] {
        let walk = talk.begin(&format!("{SCAN} LIMIT {limit}"));
        let asked = talk.answer(&walk);
        talk.reply(asked_of(&asked[2]).1, error());
        talk.answer(&asked[1]);
        talk.answer(&asked[0]);
        assert_eq!(talk.out(), want);
        talk.answer(&asked[3]);
    }
    // The table has changed since.
    let walk = talk.begin(SCAN);
    let asked = talk.answer(&walk);
    let catalog = Catalog::decode(&talk.catalog).expect("a catalog");
    let statement = sql::Statement::parse(b"ALTER TABLE t ADD COLUMN w INT").expect("SQL");
    let context = sql::Context { parameters: &[], now_micros: 0, random: [0, 0] };
    let next = catalog.change(&statement, &context).expect("a column").catalog.expect("a catalog");
    talk.world.adopt(0, &next.encode().expect("bytes"));
    talk.answer(&asked[0]);
    assert!(talk.out().starts_with("-TRYAGAIN"));
    // A part that cannot be read.
    for (part, want) in
        [(Reply::bulk("x"), "-SQL XX001"), (Reply::Nil, "-ERR internal"), (Reply::OK, "-ERR internal")]
    {
        let walk = talk.begin(SCAN);
        let asked = talk.answer(&walk);
        talk.reply(asked_of(&asked[0]).1, part);
        assert!(talk.out().starts_with(want), "{want}");
    }
}

#[test]
fn what_came_before_is_answered_first_and_what_comes_behind_waits() {
    let mut talk = Talk::new(1, Port::Plain);
    let scan = format!("SQL \"{SCAN}\"");
    let asked = talk.feed(&["SQL \"INSERT INTO t VALUES (1, 1)\"", &scan, "GET k"]);
    assert_eq!(asked.len(), 1, "{asked:?}");
    let asked = talk.answer(&asked[0]);
    assert_eq!(asked.len(), 1, "the catalog: {asked:?}");
    let mut next = talk.answer(&asked[0]);
    let mut last = Vec::new();
    while let Some(action) = next.pop() {
        last = talk.answer(&action);
        next.extend(last.clone());
    }
    assert!(last.is_empty());
    assert_eq!(talk.out(), ":1 *2 *1 $1 v *1 :1 $-1 ");
}

#[test]
fn pages_end_when_their_time_is_over_and_others_are_refused_then() {
    let mut talk = Talk::new(2, Port::Plain);
    talk.fill(1..20, 2);
    let all = numbers(&talk.ask(SCAN));
    // Each step takes longer than a page has.
    let slow = |talk: &mut Talk, text: &str| {
        let mut next = vec![talk.begin(text)];
        while !next.is_empty() {
            talk.world.now.mono_us += limits::SCAN_PAGE_US + 1;
            next = next.iter().flat_map(|action| talk.answer(action)).collect();
        }
        talk.out()
    };
    let (mut cursor, mut paged, mut pages) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let page = slow(&mut talk, &format!("{SCAN} CURSOR '{cursor}'"));
        paged.extend(numbers(&page));
        pages += 1;
        cursor = page.split(' ').nth(2).expect("a cursor").to_owned();
        assert!(pages < 60, "it gets on");
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(paged, all);
    assert!(pages >= 19, "each has one partition: {pages}");
    // What is no page has a bound.
    let mut next = vec![talk.begin(SCAN)];
    talk.world.now.mono_us += limits::SCAN_SECONDS_MAX * 1_000_000;
    next = next.drain(..).flat_map(|action| talk.answer(&action)).collect();
    assert_eq!(next, []);
    assert!(talk.out().starts_with("-SQL 54000 "), "and it is said what to do");
}

#[test]
fn there_are_so_many_at_a_core() {
    let mut talk = Talk::new(1, Port::Plain);
    talk.fill(1..3, 1);
    let held: Vec<_> = (0..limits::SCANS_MAX).map(|_| talk.world.servers[0].scans.clone()).collect();
    assert!(talk.ask(SCAN).starts_with("-ERR busy"));
    drop(held);
    assert_eq!(numbers(&talk.ask(SCAN)).len(), 2);
    // Who is gone does not count.
    let walk = talk.begin(SCAN);
    talk.answer(&walk);
    talk.world.sessions[0].0.clear();
    assert_eq!(std::sync::Arc::strong_count(&talk.world.servers[0].scans), 1);
}

#[test]
fn a_cursor_of_other_cores_is_refused() {
    let mut talk = Talk::new(3, Port::Plain);
    talk.fill(1..20, 2);
    let mut other = Talk::new(1, Port::Plain);
    let refused = (1..30).any(|limit| {
        let page = talk.ask(&format!("{SCAN} LIMIT {limit} CURSOR '0'"));
        let cursor = page.split(' ').nth(2).expect("a cursor").to_owned();
        other.ask(&format!("{SCAN} LIMIT 5 CURSOR '{cursor}'")).starts_with("-SQL 34000 ")
    });
    assert!(refused, "some page ends in another slice than the first");
}
