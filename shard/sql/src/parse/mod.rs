//! From text to a statement. What PostgreSQL's grammar has no words for (ALLOW SCAN, CURSOR, IF, UPSERT, DESCRIBE) is taken out of the tokens
//! first; the rest goes through `sqlparser`, and what it knows and this crate does not is refused by name.

mod clauses;
mod definitions;
mod queries;
mod tokens;

use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, OrderBySort, SelectItem,
    Statement as Syntax,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::Error;
use crate::limits::{RECURSION_MAX, STATEMENT_BYTES, TOKEN_BYTES};
pub(crate) use definitions::{AddColumn, ColumnSyntax, CreateIndex, CreateTable};

/// A statement that was read, for any parameters and any catalog: it can be kept and planned again.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(crate) body: Body,
    /// The greatest number of a parameter.
    pub(crate) parameters: usize,
    /// About how many bytes it takes.
    bytes: usize,
}

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It changes the catalog.
    Schema,
    /// It is answered from the catalog alone.
    Catalog,
    /// It reads rows.
    Read,
    /// It changes rows.
    Write,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    CreateTable(CreateTable),
    CreateIndex(CreateIndex),
    DropTables { names: Vec<String>, if_exists: bool },
    DropIndexes { names: Vec<String>, if_exists: bool },
    AddColumns { table: String, columns: Vec<AddColumn> },
    Describe(String),
    ShowTables,
    Explain(Box<Body>),
    Select(Box<Select>),
    Insert(Box<Insert>),
    Update(Box<Change>),
    Delete(Box<Change>),
}

/// A SELECT.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) table: String,
    pub(crate) alias: Option<String>,
    pub(crate) items: Vec<SelectItem>,
    pub(crate) filter: Option<Expr>,
    pub(crate) order: Vec<OrderByExpr>,
    pub(crate) limit: Option<Expr>,
    pub(crate) cursor: Option<Expr>,
    pub(crate) allow_scan: bool,
}

/// An INSERT or UPSERT.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    /// None in the place of an expression is DEFAULT.
    pub(crate) rows: Vec<Vec<Option<Expr>>>,
    pub(crate) conflict: Conflict,
    pub(crate) returning: Option<Vec<SelectItem>>,
}

/// What an INSERT does where there is a row already.
#[derive(Clone, Debug)]
pub(crate) enum Conflict {
    Refuse,
    Nothing {
        target: Vec<String>,
    },
    Update {
        target: Vec<String>,
        set: Vec<(String, Option<Expr>)>,
        filter: Option<Box<Expr>>,
    },
    /// UPSERT: the columns that are given replace those of the row.
    Replace,
}

/// An UPDATE or DELETE.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: String,
    pub(crate) alias: Option<String>,
    pub(crate) set: Vec<(String, Option<Expr>)>,
    pub(crate) filter: Option<Expr>,
    pub(crate) condition: Option<Condition>,
    pub(crate) returning: Option<Vec<SelectItem>>,
}

/// What stands behind IF.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Exists,
    Holds(Box<Expr>),
}

impl Statement {
    /// Reads a statement.
    pub fn parse(sql: &[u8]) -> Result<Statement, Error> {
        let tokens = tokens::read(sql)?;
        let parameters = tokens::parameters(&tokens)?;
        let bytes = STATEMENT_BYTES + sql.len() + tokens.len() * TOKEN_BYTES;
        Ok(Statement { body: body(tokens)?, parameters, bytes })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match &self.body {
            Body::Select(_) => Kind::Read,
            Body::Insert(_) | Body::Update(_) | Body::Delete(_) => Kind::Write,
            Body::Describe(_) | Body::ShowTables | Body::Explain(_) => Kind::Catalog,
            _ => Kind::Schema,
        }
    }

    /// About how many bytes of memory it takes, and rather more than fewer: by its tokens, since the tree that it became says nothing of that.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is a SELECT that says neither how many rows it wants nor of which page: `LIMIT` and `CURSOR` behind it ask for its rows page by
    /// page, unless they are aggregates.
    pub fn is_unpaged(&self) -> bool {
        matches!(&self.body, Body::Select(select) if select.limit.is_none() && select.cursor.is_none())
    }

    /// Whether it may read all partitions of a table.
    pub fn may_scan(&self) -> bool {
        matches!(&self.body, Body::Select(select) if select.allow_scan)
    }
}

fn body(mut tokens: Vec<TokenWithSpan>) -> Result<Body, Error> {
    let first = clauses::word(&tokens, 0).unwrap_or_default();
    match first.as_str() {
        "EXPLAIN" => {
            tokens.remove(0);
            if matches!(clauses::word(&tokens, 0).as_deref(), Some("ANALYZE" | "VERBOSE" | "EXPLAIN")) || tokens.first().is_some_and(|token| token.token == Token::LParen) {
                return Err(Error::unsupported("EXPLAIN takes no options: write EXPLAIN and the statement"));
            }
            match body(tokens)? {
                inner @ (Body::Select(_) | Body::Insert(_) | Body::Update(_) | Body::Delete(_)) => Ok(Body::Explain(Box::new(inner))),
                _ => Err(Error::unsupported("EXPLAIN is for SELECT, INSERT, UPSERT, UPDATE and DELETE")),
            }
        }
        "DESCRIBE" | "DESC" => clauses::describe(&tokens),
        "SHOW" => clauses::show(&tokens),
        "SELECT" => {
            let extra = clauses::take_select(&mut tokens)?;
            queries::select(syntax(tokens)?, extra)
        }
        "UPDATE" | "DELETE" => {
            let condition = clauses::take_condition(&mut tokens)?;
            queries::change(syntax(tokens)?, condition)
        }
        "INSERT" => queries::insert(syntax(tokens)?, false),
        "UPSERT" => {
            clauses::rename_first(&mut tokens, "INSERT");
            queries::insert(syntax(tokens)?, true)
        }
        "CREATE" | "DROP" | "ALTER" => definitions::definition(syntax(tokens)?),
        "" => Err(Error::syntax("the statement is empty or begins with no word; there are SELECT, INSERT, UPSERT, UPDATE, DELETE, EXPLAIN, CREATE, DROP, ALTER, DESCRIBE and SHOW TABLES")),
        other => {
            let words = ["SELECT", "INSERT", "UPSERT", "UPDATE", "DELETE", "EXPLAIN", "CREATE", "DROP", "ALTER", "DESCRIBE", "SHOW"];
            let near = crate::error::suggestion(other, words.into_iter());
            Err(Error::syntax(format!("a statement cannot begin with {}{near} (there are {})", crate::error::shortened(other), words.join(", "))))
        }
    }
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&PostgreSqlDialect {}).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens)
}

fn syntax(tokens: Vec<TokenWithSpan>) -> Result<Syntax, Error> {
    let mut parser = parser(tokens);
    let statement = parser.parse_statement().map_err(refused)?;
    ended(&parser)?;
    Ok(statement)
}

/// An expression on its own.
fn expression(tokens: Vec<TokenWithSpan>) -> Result<Expr, Error> {
    let mut parser = parser(tokens);
    let expr = parser.parse_expr().map_err(refused)?;
    ended(&parser)?;
    Ok(expr)
}

fn ended(parser: &Parser) -> Result<(), Error> {
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        Token::SemiColon => {
            Err(Error::unsupported("one statement at a time: there is something behind the semicolon"))
        }
        token => Err(Error::syntax(format!(
            "syntax error at or near \"{}\"{}",
            crate::error::shortened(&token.to_string()),
            next.span.start
        ))),
    }
}

fn refused(error: ParserError) -> Error {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            Error::syntax(format!("syntax error: {message}"))
        }
        ParserError::RecursionLimitExceeded => Error::new(
            crate::ErrorKind::TooLarge,
            "54001",
            format!("the statement is nested deeper than {RECURSION_MAX} levels"),
        ),
    }
}

/// A name as it is looked up: in small letters unless it is quoted.
pub(crate) fn name_of(name: &Ident) -> String {
    match name.quote_style {
        None => name.value.to_lowercase(),
        Some(_) => name.value.clone(),
    }
}

/// Whether the greatest comes first. What is no order of the values' own is refused: USING, and NULLs elsewhere than as the greatest.
pub(crate) fn descending(options: &OrderByOptions, not_null: bool) -> Option<bool> {
    let descending = match options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(_) => return None,
    };
    (not_null || options.nulls_first.is_none_or(|first| first == descending)).then_some(descending)
}

/// The name of a table or index, which has no schema in front.
fn object(name: &ObjectName) -> Result<String, Error> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Ok(name_of(name)),
        _ => Err(Error::unsupported(format!("{name}: there are no schemas; write the name alone"))),
    }
}
