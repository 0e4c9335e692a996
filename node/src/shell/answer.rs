//! What a host has answered, as rows, counts and the like.

use super::error::Trouble;
use super::link::Value;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// Rows, with the names of their columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) names: Vec<String>,
    /// Each has as many values as there are names.
    pub(super) rows: Vec<Vec<Cell>>,
    /// Where the next page begins, if pages were asked for.
    pub(super) cursor: Option<String>,
}

/// An answer that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Count(u64),
    /// `IF` did not hold.
    NotApplied,
    Rows(Rows),
}

fn strange() -> Trouble {
    Trouble::Local("the answer is none to a statement of SQL: is this a host of Synod?".to_owned())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bulk(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        _ => None,
    }
}

fn cell(value: Value) -> Option<Cell> {
    match value {
        Value::Nil => Some(Cell::Null),
        Value::Int(number) => Some(Cell::Int(number)),
        other => text(other).map(Cell::Text),
    }
}

fn row<T>(value: Value, each: impl Fn(Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) => values.into_iter().map(each).collect(),
        _ => None,
    }
}

fn rows(lines: Vec<Value>, cursor: Option<String>) -> Option<Rows> {
    let mut lines = lines.into_iter();
    let names = row(lines.next()?, text)?;
    let rows = lines.map(|line| row(line, cell)).collect::<Option<Vec<_>>>()?;
    let whole = rows.iter().all(|row| row.len() == names.len());
    whole.then_some(Rows { names, rows, cursor })
}

impl Answer {
    /// Reads the reply to a statement.
    pub(super) fn read(value: Value) -> Result<Answer, Trouble> {
        match value {
            Value::Error(text) => Err(Trouble::of_error(&text)),
            Value::Simple(_) => Ok(Answer::Done),
            Value::Int(count) => u64::try_from(count).map(Answer::Count).map_err(|_| strange()),
            Value::Nil => Ok(Answer::NotApplied),
            Value::Bulk(_) => Err(strange()),
            // A page is its cursor and an array of rows; other rows begin with an array, the names.
            Value::Array(mut list) => match (list.len(), list.first()) {
                (2, Some(Value::Bulk(_))) => match (list.pop(), list.pop().and_then(text)) {
                    (Some(Value::Array(lines)), cursor) => rows(lines, cursor),
                    _ => None,
                },
                _ => rows(list, None),
            }
            .map(Answer::Rows)
            .ok_or_else(strange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn rows_pages_and_counts() {
        let lines = || vec![Value::Array(vec![bulk("a")]), Value::Array(vec![Value::Nil])];
        let want = |cursor: Option<&str>| {
            let names = vec!["a".to_owned()];
            Answer::Rows(Rows { names, rows: vec![vec![Cell::Null]], cursor: cursor.map(str::to_owned) })
        };
        assert_eq!(Answer::read(Value::Array(lines())), Ok(want(None)));
        let page = Value::Array(vec![bulk("0"), Value::Array(lines())]);
        assert_eq!(Answer::read(page), Ok(want(Some("0"))));
        assert_eq!(Answer::read(Value::Int(3)), Ok(Answer::Count(3)));
        assert_eq!(Answer::read(Value::Nil), Ok(Answer::NotApplied));
        assert!(matches!(Answer::read(Value::Error("SQL 1 a".to_owned())), Err(Trouble::Refused { .. })));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let bad = [
            bulk("PONG"),
            Value::Int(-1),
            Value::Array(vec![]),
            Value::Array(vec![bulk("a"), bulk("b")]),
            Value::Array(vec![Value::Array(vec![Value::Int(1)])]),
            Value::Array(vec![Value::Array(vec![bulk("a")]), Value::Array(vec![])]),
            Value::Array(vec![Value::Array(vec![bulk("a")]), Value::Array(vec![Value::Array(vec![])])]),
        ];
        for value in bad {
            assert!(matches!(Answer::read(value.clone()), Err(Trouble::Local(_))), "{value:?}");
        }
    }
}
