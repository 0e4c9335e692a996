//! About how many bytes a plan takes: who keeps plans has to bound them, and a short statement may make a long one.

use super::{Access, Condition, OnConflict, Path, Projection, Query, Work};
use crate::datum::Datum;
use crate::expression::Expression;

impl Query {
    /// About how many bytes of memory it takes, its table left out, which it shares with others.
    pub fn bytes(&self) -> usize {
        let partition =
            self.partition.as_ref().map_or(0, |partition| partition.key.len() + partition.routing.len());
        let work = match &self.work {
            Work::Select(selection) => {
                let page = selection.page.as_ref().map_or(0, |page| page.bytes());
                let arguments =
                    selection.aggregates.iter().filter_map(|aggregate| aggregate.argument.as_ref());
                page + of_access(&selection.access) + of_projection(&selection.projection) + of_all(arguments)
            }
            Work::Insert(insertion) => {
                let rows = insertion.rows.iter().flatten().map(|value| size_of::<Datum>() + value.bytes());
                let conflict = match &insertion.conflict {
                    OnConflict::Refuse | OnConflict::Nothing => 0,
                    OnConflict::Update { set, filter } => of_set(set) + of_all(filter),
                };
                rows.sum::<usize>() + conflict + insertion.returning.as_ref().map_or(0, of_projection)
            }
            Work::Update { access, set, condition, returning } => {
                of_access(access)
                    + of_set(set)
                    + of_condition(condition)
                    + returning.as_ref().map_or(0, of_projection)
            }
            Work::Delete { access, condition, returning } => {
                of_access(access) + of_condition(condition) + returning.as_ref().map_or(0, of_projection)
            }
        };
        size_of::<Query>() + partition + work
    }
}

fn of_all<'a>(expressions: impl IntoIterator<Item = &'a Expression>) -> usize {
    expressions.into_iter().map(Expression::bytes).sum()
}

fn of_set(set: &[(usize, Expression)]) -> usize {
    of_all(set.iter().map(|(_, value)| value))
}

fn of_condition(condition: &Option<Condition>) -> usize {
    match condition {
        Some(Condition::Holds(expression)) => expression.bytes(),
        Some(Condition::Exists) | None => 0,
    }
}

fn of_access(access: &Access) -> usize {
    let vector = size_of::<Vec<u8>>();
    let path: usize = match &access.path {
        Path::Keys(keys) => keys.iter().map(|key| vector + key.len()).sum(),
        Path::Rows(ranges) | Path::Index(_, ranges) => {
            ranges.iter().map(|(from, to)| 2 * vector + from.len() + to.len()).sum()
        }
    };
    path + of_all(&access.filter) + of_all(&access.bounds)
}

fn of_projection(projection: &Projection) -> usize {
    let names = projection.columns.iter().map(|column| size_of_val(column) + column.0.len());
    names.sum::<usize>() + of_all(&projection.expressions)
}
