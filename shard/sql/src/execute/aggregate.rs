//! COUNT, MIN, MAX, SUM and AVG, in the types that PostgreSQL gives them.

use std::cmp::Ordering;

use crate::cast::cast;
use crate::datum::Datum;
use crate::error::Error;
use crate::expression::{add_numbers, divide_numbers, Aggregate, AggregateFunction, Frame};
use crate::types::{ColumnType, Type};

/// A running aggregate: how many values there were, and what is kept of them.
#[derive(Clone, Debug)]
struct Total {
    count: i64,
    kept: Datum,
}

#[derive(Debug)]
pub(super) struct Totals(Vec<Total>);

impl Totals {
    pub(super) fn new(aggregates: &[Aggregate]) -> Totals {
        Totals(vec![Total { count: 0, kept: Datum::Null }; aggregates.len()])
    }

    /// Takes in a row; NULLs are passed over.
    pub(super) fn add(&mut self, aggregates: &[Aggregate], frame: &Frame) -> Result<(), Error> {
        for (total, aggregate) in self.0.iter_mut().zip(aggregates) {
            let value = match &aggregate.argument {
                None => Datum::Bool(true),
                Some(argument) => argument.evaluate(frame)?,
            };
            if value.is_null() {
                continue;
            }
            total.count += 1;
            match aggregate.function {
                AggregateFunction::Count => {}
                AggregateFunction::Min => total.keep(value, Ordering::Less),
                AggregateFunction::Max => total.keep(value, Ordering::Greater),
                AggregateFunction::Sum | AggregateFunction::Avg => {
                    let value = cast(value, ColumnType::plain(sum_type(aggregate)))?;
                    total.kept = if total.kept.is_null() { value } else { add_numbers(&total.kept, &value)? };
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self, aggregates: &[Aggregate]) -> Result<Vec<Datum>, Error> {
        let one = |(total, aggregate): (&Total, &Aggregate)| match aggregate.function {
            AggregateFunction::Count => Ok(Datum::BigInt(total.count)),
            AggregateFunction::Avg if total.count > 0 => {
                let count = cast(Datum::BigInt(total.count), ColumnType::plain(sum_type(aggregate)))?;
                divide_numbers(&total.kept, &count)
            }
            _ => Ok(total.kept.clone()),
        };
        self.0.iter().zip(aggregates).map(one).collect()
    }
}

impl Total {
    fn keep(&mut self, value: Datum, wanted: Ordering) {
        if self.kept.is_null() || value.compare(&self.kept) == Some(wanted) {
            self.kept = value;
        }
    }
}

/// The type that values are added up in.
fn sum_type(aggregate: &Aggregate) -> Type {
    match (aggregate.kind, aggregate.function) {
        (Some(Type::Double), _) => Type::Double,
        (Some(Type::Int), AggregateFunction::Sum) => Type::BigInt,
        _ => Type::Numeric,
    }
}
