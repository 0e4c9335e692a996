//! SQL: statements on tables, from their text to what a core is asked to run (docs/sql.md, docs/design/tables.md).
//!
//! Which partition a statement is about, and so which core runs it, its plan tells. So it is planned here by the catalog that this core has, and
//! goes to the core of the partition's name, as a command on a key of that name would: as text, with what was drawn for it and the version of
//! that catalog. The plan goes along, within this process, and is taken where the catalog is that one; elsewhere it is planned again, by a newer one.
//!
//! An error of planning may be due to a catalog that is not the newest: then the key of the catalog is read, and the statement planned once more
//! by what that says, which is final. What is answered from the catalog alone (DESCRIBE, SHOW TABLES, EXPLAIN) is read from there at once.
//!
//! A change of the catalog is chosen at that key, which answers with its version; then the key is read, and what it has is given to every core of
//! this host, to make it known to a majority of its slice. Only then is it answered, so that what begins afterwards finds it at any host. As a
//! flush it waits for the answers of what was asked before it, and what comes behind waits for its own.
//!
//! At most one statement of a connection waits for the key of the catalog; nothing is read meanwhile. Statements on rows, otherwise, are as
//! commands on keys: many of a pipeline are under way.

use std::sync::Arc;

use shard::command::{sql_error, sql_reply, Command, KeyCommand, Keyspace, Op, Planned, Sql, CATALOG_KEY};
use shard::reply::Reply;
use shard::slot::slot;
use sql::{Catalog, Context, Error, ErrorKind, Kind, Plan, Statement};

use super::{limits, Action, Held, Session, Ticket};
use crate::gather;
use crate::server::{Now, Server};

/// The statement for which a connection has asked the key of the catalog.
#[derive(Debug)]
pub(super) struct Asked {
    seq: u64,
    /// ASKING came before it.
    asking: bool,
    goal: Goal,
}

#[derive(Debug)]
enum Goal {
    /// Has it changed.
    Change,
    /// Has the change of this version made known.
    MakeKnown(u64),
    /// Plans by what it says.
    Plan(Arc<Statement>, Box<Sql>),
}

/// A statement that was read, or why it cannot be.
pub(super) struct Parsed(Result<Arc<Statement>, Box<Error>>);

impl Parsed {
    /// Reads the statement of an argument list.
    pub(super) fn new(args: &[&[u8]], server: &mut Server) -> Parsed {
        Parsed(server.statements.read(args.get(1).copied().unwrap_or_default()).map_err(Box::new))
    }

    /// Whether it changes the catalog.
    pub(super) fn is_schema(&self) -> bool {
        self.0.as_ref().is_ok_and(|statement| statement.kind() == Kind::Schema)
    }

    /// Whether it may read all partitions of a table.
    pub(super) fn may_scan(&self) -> bool {
        self.0.as_ref().is_ok_and(|statement| statement.may_scan())
    }
}

/// A statement as it travels: all that it takes from elsewhere is drawn here, once.
fn drawn(kind: Kind, args: &[&[u8]], server: &mut Server, now: Now) -> Result<Box<Sql>, Reply> {
    let text = args.get(1).copied().unwrap_or_default();
    let parameters = args.get(2..).unwrap_or_default();
    let bytes: usize = args.iter().map(|arg| arg.len()).sum();
    let bytes_max = server.command_limits.value_bytes_max.max(limits::STATEMENT_BYTES_MIN);
    if bytes > bytes_max {
        let message = format!("the statement and its arguments have {bytes} bytes, at most {bytes_max} are allowed (value_bytes_max): change fewer rows at a time");
        return Err(refusal(ErrorKind::TooLarge, "54000", message));
    }
    Ok(Box::new(Sql {
        text: text.into(),
        parameters: parameters.iter().map(|parameter| parameter.to_vec()).collect(),
        now_micros: i64::try_from(now.wall_us).unwrap_or(i64::MAX),
        random: [server.rng.next_u64(), server.rng.next_u64()],
        catalog: server.tables.version(),
        writes: matches!(kind, Kind::Write | Kind::Schema),
        share: None,
        planned: Planned::default(),
    }))
}

fn refusal(kind: ErrorKind, state: &'static str, message: String) -> Reply {
    sql_error(&Error { kind, state, message })
}

fn plan(catalog: &Catalog, statement: &Statement, sql: &mut Sql) -> Result<Plan, Reply> {
    sql.catalog = catalog.version();
    let Sql { parameters, now_micros, random, .. } = sql;
    let context = Context { parameters, now_micros: *now_micros, random: *random };
    Plan::new(catalog, statement, &context).map_err(|error| sql_error(&error))
}

/// Plans by the newest catalog there is: the one of these bytes, or this core's. The core takes the other one as well.
fn plan_by(
    bytes: Vec<u8>,
    statement: &Statement,
    sql: &mut Sql,
    server: &Server,
    actions: &mut Vec<Action>,
) -> Result<Plan, Reply> {
    let newest = Catalog::decode(&bytes).map_err(|error| sql_error(&error))?;
    if newest.version() <= server.tables.version() {
        return plan(&server.tables, statement, sql);
    }
    actions.push(Action::Adopt(bytes));
    plan(&newest, statement, sql)
}

/// Whether it reads all partitions.
fn is_of_all(plan: &Plan) -> bool {
    matches!(plan, Plan::Query(query) if query.partition().is_none())
}

impl Session {
    /// A statement.
    pub(super) fn sql(
        &mut self,
        statement: Parsed,
        args: &[&[u8]],
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let begun = statement.0.map_err(|error| sql_error(&error));
        let begun = begun.and_then(|statement| Ok((drawn(statement.kind(), args, server, now)?, statement)));
        let answer = match begun {
            Ok((sql, statement)) => self.begin(statement, sql, (seq, asking), server, now, actions),
            Err(reply) => Some(reply),
        };
        if let Some(reply) = answer {
            self.finish(seq, reply, server, now);
        }
    }

    /// Begins a statement. What it is answered, if that is known at once.
    fn begin(
        &mut self,
        statement: Arc<Statement>,
        mut sql: Box<Sql>,
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Reply> {
        let (op, goal) = match statement.kind() {
            Kind::Schema => (Op::Define(sql), Goal::Change),
            Kind::Catalog => (Op::Catalog, Goal::Plan(statement, sql)),
            Kind::Read | Kind::Write => match plan(&server.tables, &statement, &mut sql) {
                Ok(plan) if !is_of_all(&plan) => {
                    return self.run_plan(plan, sql, (seq, asking), server, now, actions);
                }
                // What reads many partitions is planned once for all of them, by the newest catalog.
                _ => (Op::Catalog, Goal::Plan(statement, sql)),
            },
        };
        self.held = Some(Held::Until(seq));
        self.ask(op, Asked { seq, asking, goal }, server, actions);
        None
    }

    /// Asks the key of the catalog. It is no client's: whatever port this is, it is asked from here.
    fn ask(&mut self, op: Op, asked: Asked, server: &Server, actions: &mut Vec<Action>) {
        let (ticket, slice) = (Ticket { seq: asked.seq, part: 0 }, server.map.slice(slot(CATALOG_KEY)));
        let command = Command::Key(KeyCommand { key: CATALOG_KEY.into(), op });
        actions.push(Action::Run { ticket, slice, command, scope: None });
        self.asked = Some(Box::new(asked));
    }

    /// Whether a reply is from the key of the catalog, and not for the client.
    pub(super) fn has_asked(&self, ticket: Ticket) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.seq == ticket.seq)
    }

    /// What the key of the catalog has said.
    pub(super) fn on_catalog(
        &mut self,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(asked) = self.asked.take() else { return };
        let Asked { seq, asking, goal } = *asked;
        let answer = match (goal, reply) {
            (Goal::Change, Reply::Int(version)) => {
                let goal = Goal::MakeKnown(version.unsigned_abs());
                self.ask(Op::Catalog, Asked { seq, asking, goal }, server, actions);
                None
            }
            (Goal::MakeKnown(version), Reply::Bulk(bytes)) => match Catalog::decode(&bytes) {
                Ok(newest) if newest.version() >= version => {
                    let command = Keyspace::Spread(bytes.into());
                    gather::spread(command, &server.map, self.client.port, seq)
                        .map(|(parts, join)| self.run_parts(seq, parts, join, actions))
                        .err()
                }
                Ok(_) => Some(gather::may_be_unknown("the newest that was read lacks the change")),
                Err(error) => Some(gather::may_be_unknown(&error.message)),
            },
            (Goal::MakeKnown(_), Reply::Error(why)) => Some(gather::may_be_unknown(&why)),
            (Goal::Plan(statement, mut sql), Reply::Bulk(bytes)) => {
                match plan_by(bytes, &statement, &mut sql, server, actions) {
                    Ok(plan) => self.run_plan(plan, sql, (seq, asking), server, now, actions),
                    Err(reply) => Some(reply),
                }
            }
            (_, refused) => Some(refused),
        };
        if let Some(reply) = answer {
            self.finish(seq, reply, server, now);
        }
    }

    /// Sends a statement to its partition. What it is answered, if that is known at once.
    fn run_plan(
        &mut self,
        plan: Plan,
        mut sql: Box<Sql>,
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Reply> {
        let query = match plan {
            Plan::Answer(reply) => return Some(sql_reply(reply)),
            Plan::Query(query) => query,
        };
        let Some(partition) = query.partition() else {
            return self.begin_scan(query, sql, seq, server, now, actions);
        };
        let key: Box<[u8]> = partition.routing.as_bytes().into();
        let bytes_max = server.command_limits.key_bytes_max;
        if key.len() > bytes_max {
            let message = format!(
                "the name of the partition has {} bytes, at most {bytes_max} are allowed (key_bytes_max)",
                key.len()
            );
            return Some(refusal(ErrorKind::TooLarge, "54000", message));
        }
        sql.planned = Planned::new(query);
        self.one_key(seq, KeyCommand { key, op: Op::Sql(sql) }, asking, server, actions).err()
    }
}
