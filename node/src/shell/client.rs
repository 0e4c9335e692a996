//! The hosts, of which one is connected to: a statement goes there, and where it can be repeated to the next one if that is gone.

use super::error::{printable, Trouble};
use super::link::{Link, Value};

/// A client of several hosts.
pub(super) struct Client {
    hosts: Vec<String>,
    /// The host that is connected to, or tried next.
    at: usize,
    user: Option<String>,
    password: Option<String>,
    link: Option<Link>,
}

impl Client {
    /// A client of these hosts, of which there is at least one; it connects when it has to.
    pub(super) fn new(hosts: Vec<String>, user: Option<String>, password: Option<String>) -> Client {
        assert!(!hosts.is_empty(), "the command line has a default");
        Client { hosts, at: 0, user, password, link: None }
    }

    /// The host that is connected to, or tried next.
    pub(super) fn host(&self) -> &str {
        &self.hosts[self.at % self.hosts.len()]
    }

    /// Leaves the host: the next statement goes to the next one.
    pub(super) fn leave(&mut self) {
        self.link = None;
        self.at = (self.at + 1) % self.hosts.len();
    }

    /// The connection; to the first host that takes one, if there is none.
    pub(super) fn link(&mut self) -> Result<&mut Link, Trouble> {
        let mut failures = Vec::new();
        while self.link.is_none() {
            match self.connect() {
                Ok(link) => self.link = Some(link),
                // With another host it would be the same.
                Err(refused @ Trouble::Refused { .. }) => return Err(refused),
                Err(other) => {
                    failures.push(format!("{}: {other}", self.host()));
                    self.leave();
                }
            }
            if failures.len() == self.hosts.len() {
                return Err(Trouble::Unreachable(format!("cannot connect to {}", failures.join("; "))));
            }
        }
        Ok(self.link.as_mut().expect("it was made just now"))
    }

    /// Connects and logs in.
    fn connect(&self) -> Result<Link, Trouble> {
        let unreachable = |error: std::io::Error| Trouble::Unreachable(error.to_string());
        let mut link = Link::connect(self.host()).map_err(unreachable)?;
        let Some(password) = &self.password else { return Ok(link) };
        match &self.user {
            Some(user) => link.push(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
            None => link.push(&[b"AUTH", password.as_bytes()]),
        }
        match link.flush().and_then(|()| link.reply()).map_err(unreachable)? {
            Value::Simple(_) => Ok(link),
            Value::Error(text) => {
                let (state, message) = text.split_once(' ').unwrap_or((&text, ""));
                Err(Trouble::Refused { state: printable(state), message: printable(message) })
            }
            other => Err(Trouble::Unreachable(format!("a strange answer to AUTH: {other:?}"))),
        }
    }

    /// What it means that the connection failed: it is given up.
    pub(super) fn lost(&mut self, error: &std::io::Error) -> Trouble {
        let host = self.host().to_owned();
        self.leave();
        let why = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        };
        Trouble::Lost { host, why }
    }

    fn once(&mut self, words: &[&[u8]]) -> Result<Value, Trouble> {
        if self.link.as_ref().is_some_and(|link| !link.is_open()) {
            // It ended while nothing was under way. The host may well be back.
            self.link = None;
        }
        let link = self.link()?;
        link.push(words);
        match link.flush().and_then(|()| link.reply()) {
            Ok(Value::Error(text)) => Err(Trouble::of_error(&text)),
            Ok(value) => Ok(value),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Sends a request and waits for its reply; if it is `repeatable` also to the other hosts, when one is lost.
    pub(super) fn call(&mut self, words: &[&[u8]], repeatable: bool) -> Result<Value, Trouble> {
        let mut result = self.once(words);
        for _ in 1..self.hosts.len() {
            match result {
                Err(Trouble::Lost { .. }) if repeatable => result = self.once(words),
                _ => break,
            }
        }
        result
    }
}
