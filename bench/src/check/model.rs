//! What each command does to one key: the sequential meaning that a linearizable store must seem to have.

use std::rc::Rc;

use super::search::Model;
use crate::history::{Command, Reply};

/// The value of a key; `None` if it is absent.
pub type State = Option<Rc<[u8]>>;

/// One key, as histories have it.
#[derive(Debug)]
pub struct OneKey;

impl Model for OneKey {
    type State = State;
    type Command = Command;
    type Reply = Reply;

    fn apply(state: &State, command: &Command) -> (State, Reply) {
        apply(state, command)
    }

    fn agrees(command: &Command, model: &Reply, told: &Reply) -> bool {
        agrees(command, model, told)
    }

    fn is_read(command: &Command) -> bool {
        command.is_read()
    }
}

/// The state after a command, and its reply.
pub fn apply(state: &State, command: &Command) -> (State, Reply) {
    let before = || state.as_ref().map_or(Reply::Nil, |value| Reply::Value(value.to_vec()));
    let some = |value: &[u8]| Some(Rc::from(value));
    match command {
        Command::Get => (state.clone(), before()),
        Command::Set(value) => (some(value), Reply::Ok),
        Command::SetIfAbsent(value) if state.is_none() => (some(value), Reply::Ok),
        Command::SetIfAbsent(_) => (state.clone(), Reply::Nil),
        Command::CompareSet { expected, value } if state.as_deref() == Some(expected) => {
            (some(value), Reply::Ok)
        }
        Command::CompareSet { .. } => (state.clone(), Reply::Nil),
        Command::GetSet(value) => (some(value), before()),
        Command::GetDel => (None, before()),
        Command::Del => (None, Reply::Int(i64::from(state.is_some()))),
        Command::Clear => (None, Reply::Ok),
        Command::IncrBy(by) => match number(state).and_then(|number| number.checked_add(*by)) {
            Some(sum) => (some(sum.to_string().as_bytes()), Reply::Int(sum)),
            None => (state.clone(), Reply::Refused),
        },
        Command::Append(tail) => {
            let joined: Rc<[u8]> = [state.as_deref().unwrap_or_default(), tail].concat().into();
            let length = joined.len() as i64;
            (Some(joined), Reply::Int(length))
        }
        Command::Exists => (state.clone(), Reply::Int(i64::from(state.is_some()))),
        Command::Strlen => (state.clone(), Reply::Int(state.as_deref().map_or(0, <[u8]>::len) as i64)),
    }
}

/// The value as INCRBY reads it: an absent key is 0, and only the canonical form of a number is one.
fn number(state: &State) -> Option<i64> {
    let Some(value) = state.as_deref() else { return Some(0) };
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

/// Whether a reply says what the model says. Conditional writes may say yes and no as OK and nil or as 1 and
/// 0.
pub fn agrees(command: &Command, model: &Reply, told: &Reply) -> bool {
    let conditional = matches!(command, Command::SetIfAbsent(_) | Command::CompareSet { .. });
    match (model, told) {
        (Reply::Ok, Reply::Int(1)) | (Reply::Nil, Reply::Int(0)) if conditional => true,
        _ => model == told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_do_what_redis_does() {
        let text = |text: &str| text.as_bytes().to_vec();
        let value = |t: &str| Reply::Value(text(t));
        let cas = |old: &str, new: &str| Command::CompareSet { expected: text(old), value: text(new) };
        // Command, reply, value after it; one after the other on one key.
        let script: Vec<(Command, Reply, Option<&str>)> = vec![
            (Command::Get, Reply::Nil, None),
            (Command::Del, Reply::Int(0), None),
            (Command::IncrBy(5), Reply::Int(5), Some("5")),
            (Command::IncrBy(-7), Reply::Int(-2), Some("-2")),
            (Command::Append(text("0")), Reply::Int(3), Some("-20")),
            (cas("5", "x"), Reply::Nil, Some("-20")),
            (cas("-20", "007"), Reply::Ok, Some("007")),
            (Command::IncrBy(1), Reply::Refused, Some("007")),
            (Command::Strlen, Reply::Int(3), Some("007")),
            (Command::GetSet(text("9223372036854775807")), value("007"), Some("9223372036854775807")),
            (Command::IncrBy(1), Reply::Refused, Some("9223372036854775807")),
            (Command::Set(text("")), Reply::Ok, Some("")),
            (Command::IncrBy(1), Reply::Refused, Some("")),
            (Command::Exists, Reply::Int(1), Some("")),
            (Command::SetIfAbsent(text("a")), Reply::Nil, Some("")),
            (Command::GetDel, value(""), None),
            (cas("", "x"), Reply::Nil, None),
            (Command::Exists, Reply::Int(0), None),
            (Command::SetIfAbsent(text("b")), Reply::Ok, Some("b")),
            (Command::Del, Reply::Int(1), None),
            (Command::Clear, Reply::Ok, None),
            (Command::Set(text("c")), Reply::Ok, Some("c")),
            (Command::Clear, Reply::Ok, None),
        ];
        let mut state = None;
        for (step, (command, reply, after)) in script.into_iter().enumerate() {
            let (next, told) = apply(&state, &command);
            assert_eq!(
                (told, next.as_deref()),
                (reply, after.map(str::as_bytes)),
                "step {step}: {command:?}"
            );
            state = next;
        }
    }

    #[test]
    fn only_conditional_writes_may_answer_with_numbers() {
        let set = Command::Set(Vec::new());
        let conditional = Command::SetIfAbsent(Vec::new());
        assert!(
            agrees(&conditional, &Reply::Ok, &Reply::Int(1))
                && agrees(&conditional, &Reply::Nil, &Reply::Int(0))
        );
        assert!(!agrees(&conditional, &Reply::Ok, &Reply::Int(0)));
        assert!(!agrees(&set, &Reply::Ok, &Reply::Int(1)));
    }
}
