//! Expressions whose names and types are resolved: operands have the types that their operators take, so that evaluation looks at values alone.

mod arithmetic;
mod evaluate;
mod fold;
mod like;
mod show;

use crate::datum::Datum;
use crate::types::{ColumnType, Type};

pub(crate) use arithmetic::{add_numbers, divide_numbers};
pub(crate) use evaluate::Frame;
pub(crate) use show::literal;

/// A resolved expression.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Constant(Datum),
    /// A column of the row.
    Column(usize),
    /// A column of the row that was to be inserted, in ON CONFLICT DO UPDATE.
    Excluded(usize),
    /// What came of an aggregate.
    Aggregate(usize),
    Cast(Box<Expression>, ColumnType),
    /// Both sides are numbers of the same type, but that INT and BIGINT may meet.
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    Negate(Box<Expression>),
    /// Both are text, or both are bytes.
    Concat(Box<Expression>, Box<Expression>),
    /// Both are of one type.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// IS DISTINCT FROM, and with NOT.
    Distinct {
        left: Box<Expression>,
        right: Box<Expression>,
        negated: bool,
    },
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    IsNull {
        value: Box<Expression>,
        negated: bool,
    },
    /// IS TRUE or FALSE, and with NOT.
    IsBool {
        value: Box<Expression>,
        wanted: bool,
        negated: bool,
    },
    In {
        value: Box<Expression>,
        list: Vec<Expression>,
        negated: bool,
    },
    Like {
        value: Box<Expression>,
        pattern: Box<Expression>,
        negated: bool,
    },
    Case {
        branches: Vec<(Expression, Expression)>,
        otherwise: Box<Expression>,
    },
    Call(Function, Vec<Expression>),
}

/// Operators on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

/// Operators on values of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Coalesce,
    NullIf,
    Greatest,
    Least,
    Abs,
    Length,
    OctetLength,
    Lower,
    Upper,
    RandomUuid,
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Plus => "+",
            Arithmetic::Minus => "-",
            Arithmetic::Times => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
        }
    }
}

impl Comparison {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// The operator that says the same with the sides exchanged.
    pub(crate) fn flipped(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }
}

impl Function {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Function::Coalesce => "coalesce",
            Function::NullIf => "nullif",
            Function::Greatest => "greatest",
            Function::Least => "least",
            Function::Abs => "abs",
            Function::Length => "length",
            Function::OctetLength => "octet_length",
            Function::Lower => "lower",
            Function::Upper => "upper",
            Function::RandomUuid => "gen_random_uuid",
        }
    }
}

/// An aggregate over the rows that a SELECT finds.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    /// None counts rows.
    pub(crate) argument: Option<Expression>,
    /// The type of the argument.
    pub(crate) kind: Option<Type>,
}

/// What is aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateFunction {
    Count,
    Min,
    Max,
    Sum,
    Avg,
}

impl Expression {
    pub(crate) fn null() -> Expression {
        Expression::Constant(Datum::Null)
    }

    /// The expressions that this one is made of.
    pub(crate) fn children(&self) -> Vec<&Expression> {
        match self {
            Expression::Constant(_)
            | Expression::Column(_)
            | Expression::Excluded(_)
            | Expression::Aggregate(_) => Vec::new(),
            Expression::Cast(one, _) | Expression::Negate(one) | Expression::Not(one) => vec![one],
            Expression::IsNull { value, .. } | Expression::IsBool { value, .. } => vec![value],
            Expression::Arithmetic(_, left, right)
            | Expression::Compare(_, left, right)
            | Expression::Concat(left, right)
            | Expression::And(left, right)
            | Expression::Or(left, right)
            | Expression::Distinct { left, right, .. }
            | Expression::Like { value: left, pattern: right, .. } => vec![left, right],
            Expression::In { value, list, .. } => std::iter::once(value.as_ref()).chain(list).collect(),
            Expression::Case { branches, otherwise } => {
                let branches = branches.iter().flat_map(|(condition, result)| [condition, result]);
                branches.chain([otherwise.as_ref()]).collect()
            }
            Expression::Call(_, arguments) => arguments.iter().collect(),
        }
    }

    /// Whether some part of the expression is so.
    pub(crate) fn any(&self, is: &dyn Fn(&Expression) -> bool) -> bool {
        is(self) || self.children().into_iter().any(|child| child.any(is))
    }

    /// Marks the columns that it looks at.
    pub(crate) fn mark_columns(&self, marked: &mut [bool]) {
        if let Expression::Column(column) = self {
            marked[*column] = true;
        }
        self.children().into_iter().for_each(|child| child.mark_columns(marked));
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let own = if let Expression::Constant(value) = self { value.bytes() } else { 0 };
        size_of::<Expression>() + own + self.children().into_iter().map(Expression::bytes).sum::<usize>()
    }

    /// Adds the conditions that must all hold for this one to hold.
    pub(crate) fn conjuncts(self, into: &mut Vec<Expression>) {
        match self {
            Expression::And(left, right) => {
                left.conjuncts(into);
                right.conjuncts(into);
            }
            other => into.push(other),
        }
    }
}
