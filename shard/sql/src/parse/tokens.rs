//! Text to tokens, within bounds that keep the syntax tree shallow: whoever walks it later need not count.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::bind::parameter_index;
use crate::error::Error;
use crate::limits::{CHAIN_TOKENS_MAX, NESTING_MAX, STATEMENT_BYTES_MAX, TOKENS_MAX};

/// The tokens, without white space and without semicolons at the end.
pub(super) fn read(sql: &[u8]) -> Result<Vec<TokenWithSpan>, Error> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(Error::too_large(format!("the statement has {} bytes; at most {STATEMENT_BYTES_MAX} are allowed: give long values as parameters", sql.len())));
    }
    let text = std::str::from_utf8(sql).map_err(|error| {
        let message =
            format!("the statement is no UTF-8 at byte {}; give bytes as parameters", error.valid_up_to());
        Error::new(crate::ErrorKind::Syntax, "22021", message)
    })?;
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Error::syntax(format!("syntax error: {}{}", error.message, error.location)))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    while tokens.last().is_some_and(|token| matches!(token.token, Token::SemiColon | Token::EOF)) {
        tokens.pop();
    }
    bounded(&tokens)?;
    Ok(tokens)
}

/// Every path from the statement's root to a leaf is at most as long as the tokens between two commas, at each level of parentheses.
fn bounded(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    if tokens.len() > TOKENS_MAX {
        return Err(Error::too_large(format!(
            "the statement has {} words and signs; at most {TOKENS_MAX} are allowed",
            tokens.len()
        )));
    }
    let mut chains = vec![0usize];
    let mut sum = 0;
    for token in tokens {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => chains.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if chains.len() > 1 => {
                sum -= chains.pop().unwrap_or(0)
            }
            Token::Comma => sum -= chains.last_mut().map_or(0, std::mem::take),
            _ => {
                if let Some(last) = chains.last_mut() {
                    *last += 1;
                }
                sum += 1;
            }
        }
        if chains.len() > NESTING_MAX + 1 {
            return Err(Error::new(
                crate::ErrorKind::TooLarge,
                "54001",
                format!("more than {NESTING_MAX} parentheses are open{}", token.span.start),
            ));
        }
        if sum > CHAIN_TOKENS_MAX {
            let message = format!("an expression has more than {CHAIN_TOKENS_MAX} words and signs{}; write x IN (…) for x = … OR x = …", token.span.start);
            return Err(Error::new(crate::ErrorKind::TooLarge, "54001", message));
        }
    }
    Ok(())
}

/// The greatest number of a parameter.
pub(super) fn parameters(tokens: &[TokenWithSpan]) -> Result<usize, Error> {
    let mut greatest = 0;
    for token in tokens {
        if let Token::Placeholder(name) = &token.token {
            let index = parameter_index(name).ok_or_else(|| {
                Error::syntax(format!(
                    "{name} is no parameter; they are $1, $2 and so on{}",
                    token.span.start
                ))
            })?;
            greatest = greatest.max(index);
        }
    }
    Ok(greatest)
}
