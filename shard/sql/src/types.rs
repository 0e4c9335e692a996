//! The types of columns and values.

use sqlparser::ast::{DataType, ExactNumberInfo, TimezoneInfo};

use crate::error::Error;
use crate::limits::NUMERIC_PRECISION_MAX;
use crate::numeric::Precision;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// true or false.
    Bool,
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    BigInt,
    /// A decimal number.
    Numeric,
    /// An IEEE 754 double; NaN equals itself and is greater than all others.
    Double,
    /// UTF-8, ordered by its bytes.
    Text,
    /// Bytes.
    Bytea,
    /// Microseconds since 1970, without a time zone.
    Timestamp,
    /// 16 bytes.
    Uuid,
    /// Valid JSON, kept as it was written; it is not compared.
    Jsonb,
}

/// A column's type: NUMERIC may say how many digits it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// The type.
    pub kind: Type,
    /// Of NUMERIC(p, s).
    pub precision: Option<Precision>,
}

/// All types, by the number that stands for them in a catalog's bytes.
pub(crate) const TYPES: [Type; 10] = [
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

impl Type {
    /// The name in this crate's statements.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "BOOL",
            Type::Int => "INT",
            Type::BigInt => "BIGINT",
            Type::Numeric => "NUMERIC",
            Type::Double => "DOUBLE",
            Type::Text => "TEXT",
            Type::Bytea => "BYTEA",
            Type::Timestamp => "TIMESTAMP",
            Type::Uuid => "UUID",
            Type::Jsonb => "JSONB",
        }
    }

    /// Its rank among the types of numbers, where the greater one is what an operation is done in.
    pub(crate) fn rank(self) -> Option<u8> {
        match self {
            Type::Int => Some(0),
            Type::BigInt => Some(1),
            Type::Numeric => Some(2),
            Type::Double => Some(3),
            _ => None,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        self.rank().is_some()
    }

    /// Whether values can be ordered, and so be keys.
    pub(crate) fn is_ordered(self) -> bool {
        self != Type::Jsonb
    }
}

impl ColumnType {
    /// The type of a column of so many digits as its values have.
    pub(crate) fn plain(kind: Type) -> ColumnType {
        ColumnType { kind, precision: None }
    }

    /// The type as a statement names it.
    pub(crate) fn parse(data: &DataType) -> Result<ColumnType, Error> {
        let kind = match data {
            DataType::Text => Type::Text,
            DataType::BigInt(None) | DataType::Int8(None) => Type::BigInt,
            DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => Type::Int,
            DataType::Bool | DataType::Boolean => Type::Bool,
            DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision | DataType::Float8 => {
                Type::Double
            }
            DataType::Float(ExactNumberInfo::None) => Type::Double,
            DataType::Bytea => Type::Bytea,
            DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Type::Timestamp,
            DataType::Uuid => Type::Uuid,
            DataType::JSONB | DataType::JSON => Type::Jsonb,
            DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
                return Ok(ColumnType { kind: Type::Numeric, precision: parse_precision(info)? })
            }
            other => return Err(unsupported(other)),
        };
        Ok(ColumnType::plain(kind))
    }
}

fn unsupported(data: &DataType) -> Error {
    let remedy = match data {
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::Char(_) | DataType::Character(_) => {
            "; use TEXT"
        }
        DataType::SmallInt(_) | DataType::Int2(_) | DataType::TinyInt(_) => "; use INT",
        DataType::Real | DataType::Float4 => "; use DOUBLE",
        DataType::Timestamp(..) | DataType::TimestampNtz(_) | DataType::Date => {
            "; use TIMESTAMP, which has microseconds and no zone"
        }
        _ => "",
    };
    let types: Vec<&str> = TYPES.iter().map(|kind| kind.name()).collect();
    let types = types.join(", ");
    Error::unsupported(format!(
        "type {data} is not supported{remedy} (there are {types}, NUMERIC(p,s) among them)"
    ))
}

fn parse_precision(info: &ExactNumberInfo) -> Result<Option<Precision>, Error> {
    let (digits, scale) = match *info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(digits) => (digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, scale) => (digits, scale),
    };
    let wrong = || {
        let message = format!("NUMERIC({digits},{scale}): the precision is 1 to {NUMERIC_PRECISION_MAX}, the scale 0 to the precision");
        Error::new(crate::ErrorKind::Value, "22023", message)
    };
    let digits = u32::try_from(digits)
        .ok()
        .filter(|digits| (1..=NUMERIC_PRECISION_MAX).contains(digits))
        .ok_or_else(wrong)?;
    let scale = u32::try_from(scale).ok().filter(|scale| *scale <= digits).ok_or_else(wrong)?;
    Ok(Some(Precision { digits, scale }))
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.precision {
            Some(Precision { digits, scale }) => write!(f, "NUMERIC({digits},{scale})"),
            None => f.write_str(self.kind.name()),
        }
    }
}
