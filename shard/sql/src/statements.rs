//! Statements that were read before, by their text: who is sent the same text again and again, with other arguments, reads it once.
//!
//! What is kept depends on nothing but the text: neither on arguments, time and chance nor on the tables there are. So it is right as long as
//! it is kept, and needs no word of what changes.
//!
//! There are two generations. What is asked for is in the young one, or comes into it; when that is full it becomes the old one, and what
//! was old is forgotten. So what is in use stays, however many texts come once, and both together have a bound on what they take.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::Statement;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Statements {
    young: Generation,
    old: Generation,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Generation {
    statements: BTreeMap<Box<[u8]>, Arc<Statement>>,
    bytes: usize,
}

impl Generation {
    fn put(&mut self, text: Box<[u8]>, statement: Arc<Statement>) {
        self.bytes += text.len() + statement.bytes();
        self.statements.insert(text, statement);
    }

    fn take(&mut self, text: &[u8]) -> Option<(Box<[u8]>, Arc<Statement>)> {
        let (text, statement) = self.statements.remove_entry(text)?;
        self.bytes -= text.len() + statement.bytes();
        Some((text, statement))
    }
}

impl Statements {
    /// None yet, and never more than about so many bytes.
    pub fn new(bytes_max: usize) -> Statements {
        Statements { young: Generation::default(), old: Generation::default(), bytes_max }
    }

    /// The statement of a text, read if it is not kept.
    ///
    /// # Errors
    /// Those of [`Statement::parse`].
    pub fn read(&mut self, text: &[u8]) -> Result<Arc<Statement>, Error> {
        if let Some(found) = self.young.statements.get(text) {
            return Ok(Arc::clone(found));
        }
        let (text, statement) = match self.old.take(text) {
            Some(found) => found,
            None => (text.into(), Arc::new(Statement::parse(text)?)),
        };
        let kept = Arc::clone(&statement);
        let half = self.bytes_max / 2;
        let bytes = text.len() + statement.bytes();
        if bytes <= half {
            if self.young.bytes + bytes > half {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.put(text, statement);
        }
        Ok(kept)
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Statements;

    const BYTES_MAX: usize = 1 << 20;

    fn shown(statements: &mut Statements, text: &str) -> String {
        format!("{:?}", statements.read(text.as_bytes()))
    }

    /// A twin: what is read anew each time.
    #[test]
    fn what_is_kept_is_what_is_read() {
        let mut kept = Statements::new(BYTES_MAX);
        for round in 0..3 {
            for text in [
                "SELECT * FROM t WHERE p = $1",
                "select * from t where p = $1",
                "INSERT INTO t VALUES ($1, now(), gen_random_uuid())",
                "DELETE FROM t WHERE p = 'a' IF EXISTS",
                "SELEC",
                "",
            ] {
                let read = format!("{:?}", crate::Statement::parse(text.as_bytes()).map(std::sync::Arc::new));
                assert_eq!(shown(&mut kept, text), read, "{text} in round {round}");
            }
        }
        assert_eq!(kept.young.statements.len(), 4, "what is refused is not kept");
    }

    #[test]
    fn many_texts_take_no_more_than_is_allowed_and_what_is_in_use_stays() {
        let mut kept = Statements::new(BYTES_MAX);
        let used = "SELECT * FROM t WHERE p = $1";
        let first = kept.read(used.as_bytes()).unwrap();
        for number in 0..20_000 {
            let text =
                format!("SELECT * FROM t WHERE p = {number} AND c IN ({})", "1, ".repeat(number % 4) + "2");
            kept.read(text.as_bytes()).unwrap();
            assert!(kept.bytes() <= BYTES_MAX, "{} bytes", kept.bytes());
            if number % 20 == 0 {
                let again = kept.read(used.as_bytes()).unwrap();
                assert!(std::sync::Arc::ptr_eq(&first, &again), "it was read anew behind {number} others");
            }
        }
        let sum = |generation: &super::Generation| {
            let bytes = generation.statements.iter().map(|(text, statement)| text.len() + statement.bytes());
            assert_eq!(bytes.sum::<usize>(), generation.bytes);
        };
        sum(&kept.young);
        sum(&kept.old);
    }

    #[test]
    fn a_statement_as_large_as_all_is_read_and_not_kept() {
        let mut kept = Statements::new(BYTES_MAX);
        let text = format!("SELECT * FROM t WHERE p IN ({})", "1, ".repeat(20_000) + "2");
        assert!(kept.read(text.as_bytes()).is_ok());
        assert_eq!(kept.bytes(), 0);
    }
}
