//! From a statement, its parameters and a catalog to what is to be done: which partition, which stretch of which key, and what with the rows
//! found there.

mod access;
mod bounds;
mod bytes;
mod explain;
mod insert;
mod order;
mod query;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::datum::{Datum, Row};
use crate::error::Error;
use crate::expression::{Aggregate, Expression};
use crate::limits::{PAGE_ROWS, PARAMETERS_MAX};
use crate::parse::{Body, Statement};
use crate::reply::{Reply, Rows};
use crate::routing::Partition;
use crate::schema::Table;
use crate::types::{ColumnType, Type};

pub(crate) use access::{Access, Path, Range};
pub(crate) use insert::check_nulls;

/// What a statement is run with. Neither time nor chance is taken from elsewhere.
///
/// All of it may decide which partition a statement is about (`DEFAULT gen_random_uuid()` of a partition key): who plans a statement to route it,
/// and has it planned again where the partition is, gives the same context there.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The arguments behind the statement: $1 and so on.
    pub parameters: &'a [Vec<u8>],
    /// What now() is: microseconds since 1970.
    pub now_micros: i64,
    /// What gen_random_uuid() begins with: other values for each statement.
    pub random: [u64; 2],
}

/// A statement with its parameters, against one version of a table.
#[derive(Clone, Debug)]
pub enum Plan {
    /// It is answered already.
    Answer(Reply),
    /// It reads or writes rows; an [`crate::Execution`] does.
    Query(Box<Query>),
}

/// What is to be done with rows.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) table: Arc<Table>,
    pub(crate) partition: Option<Partition>,
    pub(crate) work: Work,
    pub(crate) random: [u64; 2],
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Select(Selection),
    Insert(Insertion),
    Update {
        access: Access,
        set: Vec<(usize, Expression)>,
        condition: Option<Condition>,
        returning: Option<Projection>,
    },
    Delete {
        access: Access,
        condition: Option<Condition>,
        returning: Option<Projection>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) access: Access,
    pub(crate) projection: Projection,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) limit: Option<u64>,
    /// None without CURSOR.
    pub(crate) page: Option<crate::cursor::Position>,
}

impl Selection {
    /// Rows that are given at most; those of a page, if it does not say how many.
    pub(crate) fn wanted(&self) -> Result<Option<u64>, Error> {
        match (&self.page, self.limit) {
            (Some(_), Some(0)) => Err(Error::unsupported(
                "LIMIT 0 with CURSOR would never come to an end; give the size of a page",
            )),
            (Some(_), None) => Ok(Some(PAGE_ROWS as u64)),
            (_, limit) => Ok(limit),
        }
    }
}

impl Selection {
    /// The columns that it answers, if it looks at nothing else and each stands there once: then what is read is the answer.
    pub(crate) fn plain_columns(&self) -> Option<Vec<usize>> {
        if !self.aggregates.is_empty() || !self.access.filter.is_empty() {
            return None;
        }
        let mut columns = Vec::with_capacity(self.projection.expressions.len());
        for expression in &self.projection.expressions {
            match expression {
                Expression::Column(column) if !columns.contains(column) => columns.push(*column),
                _ => return None,
            }
        }
        Some(columns)
    }

    /// Which columns of the table it looks at.
    pub(crate) fn marked(&self, table: &Table) -> Vec<bool> {
        let mut columns = vec![false; table.columns.len()];
        let arguments = self.aggregates.iter().filter_map(|aggregate| aggregate.argument.as_ref());
        let all = self.access.filter.iter().chain(&self.projection.expressions).chain(arguments);
        all.for_each(|expression| expression.mark_columns(&mut columns));
        columns
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Insertion {
    pub(crate) rows: Vec<Row>,
    pub(crate) conflict: OnConflict,
    pub(crate) returning: Option<Projection>,
}

#[derive(Clone, Debug)]
pub(crate) enum OnConflict {
    Refuse,
    Nothing,
    Update { set: Vec<(usize, Expression)>, filter: Option<Expression> },
}

#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Exists,
    Holds(Expression),
}

/// The columns of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(crate) columns: Vec<(String, ColumnType)>,
    pub(crate) expressions: Vec<Expression>,
}

impl Context<'_> {
    /// That there are as many parameters as the statement has places for.
    pub(crate) fn check(&self, statement: &Statement) -> Result<(), Error> {
        let (given, wanted) = (self.parameters.len(), statement.parameters);
        match given == wanted && given <= PARAMETERS_MAX {
            true => Ok(()),
            false => Err(Error::new(
                crate::ErrorKind::Value,
                "08P01",
                format!("the statement has {wanted} parameters, and {given} arguments were given behind it"),
            )),
        }
    }
}

impl Plan {
    /// Plans a statement that does not change the catalog.
    pub fn new(catalog: &Catalog, statement: &Statement, context: &Context) -> Result<Plan, Error> {
        context.check(statement)?;
        match &statement.body {
            Body::Describe(name) => Ok(Plan::Answer(explain::describe(catalog.table(name)?))),
            Body::ShowTables => Ok(Plan::Answer(explain::show_tables(catalog))),
            Body::Explain(inner) => Ok(Plan::Answer(explain::explain(&query(catalog, inner, context)?))),
            body => query(catalog, body, context).map(|query| Plan::Query(Box::new(query))),
        }
    }
}

fn query(catalog: &Catalog, body: &Body, context: &Context) -> Result<Query, Error> {
    match body {
        Body::Select(select) => query::select(catalog, select, context),
        Body::Insert(insert) => insert::insert(catalog, insert, context),
        Body::Update(change) => query::update(catalog, change, context),
        Body::Delete(change) => query::delete(catalog, change, context),
        _ => Err(Error::syntax("a statement that changes the catalog is not planned: it is applied to it")),
    }
}

impl Query {
    /// The partition it is about. None if it reads all of them (ALLOW SCAN): a [`crate::Scan`] does.
    pub fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    /// The table, as it was when the statement was planned.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The number of the index by which it finds its rows.
    pub fn index(&self) -> Option<u32> {
        let (Work::Select(Selection { access, .. })
        | Work::Update { access, .. }
        | Work::Delete { access, .. }) = &self.work
        else {
            return None;
        };
        match &access.path {
            Path::Index(place, _) => Some(self.table.indexes[*place].id),
            Path::Keys(_) | Path::Rows(_) => None,
        }
    }

    /// Whether it may change rows.
    pub fn writes(&self) -> bool {
        !matches!(self.work, Work::Select(_))
    }
}

/// An answer of lines of text.
fn lines(name: &str, lines: Vec<String>) -> Reply {
    let columns = vec![(name.to_owned(), ColumnType::plain(Type::Text))];
    Reply::Rows(Rows {
        columns,
        rows: lines.into_iter().map(|line| vec![Datum::Text(line)]).collect(),
        cursor: None,
    })
}
