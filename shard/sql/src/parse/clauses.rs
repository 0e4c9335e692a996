//! The words that PostgreSQL's grammar does not have.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{expression, name_of, Body, Condition};
use crate::error::Error;

/// What stands behind a SELECT.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) cursor: Option<Expr>,
    pub(super) allow_scan: bool,
}

/// The word at a place, in capitals, unless it is quoted or none.
pub(super) fn word(tokens: &[TokenWithSpan], at: usize) -> Option<String> {
    match &tokens.get(at)?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

/// Puts another word in the place of the first one.
pub(super) fn rename_first(tokens: &mut [TokenWithSpan], to: &str) {
    if let Some(first) = tokens.first_mut() {
        first.token = Token::make_keyword(to);
    }
}

/// The first place, outside of all parentheses, where these words stand.
fn find(tokens: &[TokenWithSpan], words: &[&str]) -> Option<usize> {
    let mut depth = 0usize;
    for at in 0..tokens.len() {
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {
                let there = words
                    .iter()
                    .enumerate()
                    .all(|(offset, wanted)| word(tokens, at + offset).as_deref() == Some(*wanted));
                if depth == 0 && there {
                    return Some(at);
                }
            }
        }
    }
    None
}

/// Takes `ALLOW SCAN` and `CURSOR '…'` out of a SELECT.
pub(super) fn take_select(tokens: &mut Vec<TokenWithSpan>) -> Result<Extra, Error> {
    let mut extra = Extra::default();
    if let Some(at) = find(tokens, &["ALLOW", "SCAN"]) {
        tokens.drain(at..at + 2);
        extra.allow_scan = true;
    }
    let value = |token: &Token| {
        matches!(token, Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::Number(..))
    };
    let Some(at) = find(tokens, &["CURSOR"]) else { return Ok(extra) };
    if tokens.get(at + 1).is_some_and(|next| value(&next.token)) {
        extra.cursor = Some(expression(tokens.drain(at..at + 2).skip(1).collect())?);
    } else if at + 1 == tokens.len() {
        return Err(Error::syntax(
            "behind CURSOR the cursor is missing: '0' for the first page, then what the page before gave",
        ));
    }
    Ok(extra)
}

/// Takes `IF EXISTS` or `IF condition` out of an UPDATE or DELETE.
pub(super) fn take_condition(tokens: &mut Vec<TokenWithSpan>) -> Result<Option<Condition>, Error> {
    let Some(at) = find(tokens, &["IF"]) else { return Ok(None) };
    let end = find(tokens, &["RETURNING"]).filter(|end| *end > at).unwrap_or(tokens.len());
    let taken: Vec<TokenWithSpan> = tokens.drain(at..end).skip(1).collect();
    if taken.is_empty() {
        return Err(Error::syntax(
            "behind IF the condition is missing: IF EXISTS, or IF and what must hold for each row",
        ));
    }
    if taken.len() == 1 && word(&taken, 0).as_deref() == Some("EXISTS") {
        return Ok(Some(Condition::Exists));
    }
    Ok(Some(Condition::Holds(Box::new(expression(taken)?))))
}

pub(super) fn describe(tokens: &[TokenWithSpan]) -> Result<Body, Error> {
    match tokens {
        [_, TokenWithSpan { token: Token::Word(word), .. }] => {
            Ok(Body::Describe(name_of(&word.clone().into_ident(sqlparser::tokenizer::Span::empty()))))
        }
        _ => Err(Error::syntax("write DESCRIBE and the name of a table; SHOW TABLES lists them")),
    }
}

pub(super) fn show(tokens: &[TokenWithSpan]) -> Result<Body, Error> {
    match (word(tokens, 1).as_deref(), tokens.len()) {
        (Some("TABLES"), 2) => Ok(Body::ShowTables),
        _ => Err(Error::unsupported("of SHOW there is SHOW TABLES alone; DESCRIBE shows a table")),
    }
}
