//! Random expressions of a wanted type, now and then of another one.

use sql::Type;

use super::Maker;
use crate::tables::{values, Table, WRITTEN, WRONG};

const TYPES: [Type; 10] = [
    Type::Bool,
    Type::Int,
    Type::BigInt,
    Type::Numeric,
    Type::Double,
    Type::Text,
    Type::Bytea,
    Type::Timestamp,
    Type::Uuid,
    Type::Jsonb,
];
const NUMBERS: [Type; 4] = [Type::Int, Type::BigInt, Type::Numeric, Type::Double];
/// Types whose values are compared.
const ORDERED: [Type; 9] = [
    Type::Bool,
    Type::Int,
    Type::BigInt,
    Type::Numeric,
    Type::Double,
    Type::Text,
    Type::Bytea,
    Type::Timestamp,
    Type::Uuid,
];

/// How both write a type.
pub(super) fn written(kind: Type) -> &'static str {
    WRITTEN.iter().rev().find(|(other, _)| *other == kind).map_or("TEXT", |(_, written)| written)
}

impl Maker {
    pub(super) fn any_type(&mut self) -> Type {
        *self.pick(&TYPES)
    }

    /// A literal of a type: with no type of its own, as a number, or cast.
    pub(super) fn literal(&mut self, kind: Type) -> String {
        if !self.safe && self.one_in(400) {
            let text = *self.pick(&WRONG);
            return self.quoted(text);
        }
        if self.one_in(25) {
            return "NULL".to_owned();
        }
        let text = *self.pick(values(kind));
        let bare = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'e'))
            && !text.is_empty();
        match kind {
            Type::Int | Type::BigInt | Type::Numeric if bare && !self.one_in(4) => text.to_owned(),
            Type::Double if bare && text != "-0" && self.one_in(3) => text.to_owned(),
            Type::Bool if self.one_in(2) => if self.one_in(2) { "TRUE" } else { "FALSE" }.to_owned(),
            // A fraction is no integer, wherever it is quoted: such literals are few.
            _ if NUMBERS.contains(&kind) && text != "-0" && !self.safe && bare && self.one_in(3) => {
                text.to_owned()
            }
            _ => {
                let quoted = self.quoted(text);
                if self.one_in(2) {
                    format!("{quoted}::{}", written(kind))
                } else {
                    quoted
                }
            }
        }
    }

    /// A literal that has its type.
    fn typed(&mut self, kind: Type) -> String {
        let text = *self.pick(values(kind));
        let quoted = self.quoted(text);
        format!("{quoted}::{}", written(kind))
    }

    fn column(&mut self, table: &Table, kind: Type) -> Option<String> {
        let names: Vec<&String> =
            table.columns.iter().filter(|column| column.kind == kind).map(|column| &column.name).collect();
        if names.is_empty() {
            return None;
        }
        let name = (*self.pick(&names)).clone();
        Some(if self.one_in(12) { format!("{}.{name}", table.name) } else { name })
    }

    /// A column, or where there is none a value.
    pub(super) fn leaf(&mut self, table: &Table, kind: Type) -> String {
        let column = if self.one_in(3) { None } else { self.column(table, kind) };
        match column {
            Some(column) => column,
            None => self.literal(kind),
        }
    }

    /// A number of one of the types that go with another.
    fn number(&mut self, table: &Table, kind: Type, depth: u64) -> String {
        let near = if self.one_in(3) { *self.pick(&NUMBERS) } else { kind };
        self.expression(table, near, depth)
    }

    /// An expression of a type.
    pub(super) fn expression(&mut self, table: &Table, kind: Type, depth: u64) -> String {
        if depth == 0 {
            return self.leaf(table, kind);
        }
        let kind = if !self.safe && self.one_in(300) { self.any_type() } else { kind };
        let depth = depth - 1;
        match self.below(10) {
            0 | 1 => self.leaf(table, kind),
            2 => self.case(table, kind, depth),
            3 => {
                let name = *self.pick(&["coalesce", "coalesce", "greatest", "least"]);
                let name = if kind == Type::Jsonb { "coalesce" } else { name };
                let (left, right) =
                    (self.expression(table, kind, depth), self.expression(table, kind, depth));
                format!("{name}({left}, {right})")
            }
            4 if kind != Type::Jsonb => {
                let (left, right) =
                    (self.expression(table, kind, depth), self.expression(table, kind, depth));
                format!("nullif({left}, {right})")
            }
            5 if !self.safe && self.one_in(2) => {
                let from = match self.below(20) {
                    0 => self.any_type(),
                    1..=4 => Type::Text,
                    _ if NUMBERS.contains(&kind) => *self.pick(&NUMBERS),
                    _ => kind,
                };
                let inner = self.expression(table, from, depth);
                format!("CAST({inner} AS {})", written(kind))
            }
            _ => self.operation(table, kind, depth),
        }
    }

    fn case(&mut self, table: &Table, kind: Type, depth: u64) -> String {
        let (one, two) = (self.expression(table, kind, depth), self.expression(table, kind, depth));
        let condition = self.condition(table, depth);
        match self.below(3) {
            0 => format!("CASE WHEN {condition} THEN {one} ELSE {two} END"),
            1 => format!("CASE WHEN {condition} THEN {one} END"),
            _ => {
                let of = *self.pick(&ORDERED);
                let (operand, value) = (self.leaf(table, of), self.literal(of));
                format!("CASE {operand} WHEN {value} THEN {one} ELSE {two} END")
            }
        }
    }

    fn operation(&mut self, table: &Table, kind: Type, depth: u64) -> String {
        match kind {
            Type::Bool => self.condition(table, depth + 1),
            Type::Numeric if self.safe => {
                let operator = *self.pick(&["+", "-", "*"]);
                let (left, right) = (self.leaf(table, Type::Numeric), self.leaf(table, Type::Int));
                format!("({left}::NUMERIC {operator} {right}::NUMERIC)")
            }
            Type::Int | Type::BigInt | Type::Numeric | Type::Double if !self.safe => {
                let operators: &[&str] = if kind == Type::Double {
                    &["+", "-", "*", "+", "/"]
                } else {
                    &["+", "+", "-", "-", "*", "/", "%"]
                };
                let operator = *self.pick(operators);
                let (left, right) = (self.expression(table, kind, depth), self.number(table, kind, depth));
                // A sum of two quoted literals has no type.
                let left = match left.starts_with(super::MARK) && !self.one_in(10) {
                    true => format!("{left}::{}", written(kind)),
                    false => left,
                };
                match self.below(12) {
                    0 => format!("abs({left})"),
                    1 => format!("(- {left})"),
                    2 | 3 => format!("{left} {operator} {right}"),
                    _ => format!("({left} {operator} {right})"),
                }
            }
            Type::Int => {
                let (text, bytes) = (self.leaf(table, Type::Text), self.typed(Type::Bytea));
                match self.below(3) {
                    0 => format!("length({text}::TEXT)"),
                    1 => format!("octet_length({text}::TEXT)"),
                    _ => format!("length({bytes})"),
                }
            }
            Type::Text => {
                let other = if self.one_in(4) { *self.pick(&ORDERED) } else { Type::Text };
                let (left, right) = (self.expression(table, Type::Text, depth), self.leaf(table, other));
                match self.below(4) {
                    0 => format!("lower({left})"),
                    1 => format!("upper({left}::TEXT)"),
                    2 => format!("({right} || {left}::TEXT)"),
                    _ => format!("({left}::TEXT || {right})"),
                }
            }
            Type::Bytea => {
                let (left, right) = (self.leaf(table, Type::Bytea), self.typed(Type::Bytea));
                format!("({left} || {right})")
            }
            other => self.leaf(table, other),
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, table: &Table, depth: u64) -> String {
        if depth == 0 {
            return self.comparison(table, 0);
        }
        let depth = depth - 1;
        match self.below(12) {
            0 => format!("({} AND {})", self.condition(table, depth), self.condition(table, depth)),
            1 => format!("({} OR {})", self.condition(table, depth), self.condition(table, depth)),
            2 => format!("(NOT {})", self.condition(table, depth)),
            3 => {
                let kind = self.any_type();
                let word = *self.pick(&["IS NULL", "IS NOT NULL"]);
                format!("({} {word})", self.expression(table, kind, depth))
            }
            4 => {
                let word = *self.pick(&[
                    "IS TRUE",
                    "IS NOT TRUE",
                    "IS FALSE",
                    "IS NOT FALSE",
                    "IS UNKNOWN",
                    "IS NOT UNKNOWN",
                ]);
                format!("({} {word})", self.condition(table, depth))
            }
            _ => self.comparison(table, depth),
        }
    }

    fn comparison(&mut self, table: &Table, depth: u64) -> String {
        let kind = *self.pick(&ORDERED);
        let left = self.expression(table, kind, depth);
        let near = if NUMBERS.contains(&kind) && self.one_in(3) { *self.pick(&NUMBERS) } else { kind };
        let near = if !self.safe && self.one_in(100) { self.any_type() } else { near };
        let right = self.expression(table, near, depth);
        match self.below(9) {
            0 => {
                let list: Vec<String> = (0..1 + self.below(4)).map(|_| self.literal(kind)).collect();
                let not = if self.one_in(3) { "NOT " } else { "" };
                format!("({left} {not}IN ({}))", list.join(", "))
            }
            1 => {
                let not = if self.one_in(3) { "NOT " } else { "" };
                let other = self.leaf(table, kind);
                format!("({left} {not}BETWEEN {right} AND {other})")
            }
            2 => format!("({left} IS DISTINCT FROM {right})"),
            3 => format!("({left} IS NOT DISTINCT FROM {right})"),
            4 => {
                let text = self.expression(table, Type::Text, depth);
                let pattern = *self
                    .pick(&["%", "a%", "%b", "_", "a\\_b", "%\\%%", "a", "", "_b%", "%é%", "%a%b%", "__"]);
                let not = if self.one_in(3) { "NOT " } else { "" };
                let pattern = self.quoted(pattern);
                format!("({text} {not}LIKE {pattern})")
            }
            _ => {
                let operator = *self.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("({left} {operator} {right})")
            }
        }
    }
}
