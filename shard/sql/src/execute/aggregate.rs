//! COUNT, MIN, MAX, SUM and AVG, in the types that PostgreSQL gives them.

use std::cmp::Ordering;

use crate::bytes::{put_count, put_datum, Reader};
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

#[derive(Clone, Debug)]
pub(crate) struct Totals(Vec<Total>);

impl Totals {
    pub(crate) fn new(aggregates: &[Aggregate]) -> Totals {
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
                    total.add(cast(value, ColumnType::plain(sum_type(aggregate)))?)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in the totals of other rows.
    pub(crate) fn merge(&mut self, aggregates: &[Aggregate], others: Totals) -> Result<(), Error> {
        let fits = |(other, aggregate): (&Total, &Aggregate)| {
            let kind = other.kept.kind();
            match aggregate.function {
                AggregateFunction::Count => kind.is_none(),
                _ if other.count == 0 => kind.is_none(),
                AggregateFunction::Min | AggregateFunction::Max => kind.is_some() && kind == aggregate.kind,
                AggregateFunction::Sum | AggregateFunction::Avg => kind == Some(sum_type(aggregate)),
            }
        };
        if others.0.len() != aggregates.len() || !others.0.iter().zip(aggregates).all(fits) {
            return Err(Error::damage("the totals of a partition"));
        }
        for ((total, aggregate), other) in self.0.iter_mut().zip(aggregates).zip(others.0) {
            total.count = total.count.checked_add(other.count).ok_or_else(|| Error::damage("a count"))?;
            match aggregate.function {
                _ if other.kept.is_null() => {}
                AggregateFunction::Count => {}
                AggregateFunction::Min => total.keep(other.kept, Ordering::Less),
                AggregateFunction::Max => total.keep(other.kept, Ordering::Greater),
                AggregateFunction::Sum | AggregateFunction::Avg => total.add(other.kept)?,
            }
        }
        Ok(())
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_count(self.0.len() as u64, out);
        for Total { count, kept } in &self.0 {
            put_count(count.unsigned_abs(), out);
            put_datum(kept, out);
        }
    }

    pub(crate) fn take(reader: &mut Reader) -> Result<Totals, Error> {
        let one = |reader: &mut Reader| {
            let count = i64::try_from(reader.count()?).map_err(|_| reader.damage())?;
            Ok(Total { count, kept: reader.datum()? })
        };
        (0..reader.length()?).map(|_| one(reader)).collect::<Result<_, Error>>().map(Totals)
    }

    pub(crate) fn finish(&self, aggregates: &[Aggregate]) -> Result<Vec<Datum>, Error> {
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
    fn add(&mut self, value: Datum) -> Result<(), Error> {
        self.kept = if self.kept.is_null() { value } else { add_numbers(&self.kept, &value)? };
        Ok(())
    }

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
