//! What a key remembers of requests that clients numbered themselves (REQID), so that one that is sent again is not done again
//! (docs/design/request-ids.md, section 2).
//!
//! ```text
//! clients u8 | client × { len u8, name | used_ms u64 | forgotten_to u64 | done u8 × { seq u64 | len u16, reply } }
//! ```

mod changes;

use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64;

pub use self::changes::{Changes, Done};

use crate::limits::{
    CLIENT_NAME_BYTES_MAX, REQUEST_CLIENTS_MAX, REQUEST_TABLE_BYTES_MAX, REQUEST_WINDOW, RESULT_BYTES_MAX,
};
use crate::wire::bytes::{Malformed, Reader};

/// What is remembered of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    name: Box<[u8]>,
    /// When it was last heard of: wall clock, milliseconds since 1970.
    used_ms: u64,
    /// Requests up to this number may have been done and are not known any more.
    forgotten_to: u64,
    /// Requests that were done, in the order of their numbers, with their encoded replies (None: too large to keep).
    done: Vec<(u64, Option<Rc<[u8]>>)>,
}

/// The requests that a key remembers: of the clients heard of last, the last ones of each.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Who was heard of last is last.
    clients: Vec<Client>,
    /// What was done since notes were asked for. No part of what it says.
    noted: Option<Vec<Done>>,
}

impl PartialEq for Requests {
    fn eq(&self, other: &Requests) -> bool {
        self.clients == other.clients
    }
}

impl Eq for Requests {}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It was not done.
    New,
    /// It was done; its encoded reply, unless that was too large to keep. Empty: it was done before a flush, or is as good as not done.
    Done(Option<Rc<[u8]>>),
    /// It may have been done: it is older than what is remembered of its client.
    Forgotten,
}

impl Requests {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// When a request was done here last: wall clock, milliseconds since 1970.
    pub fn used_ms(&self) -> u64 {
        self.clients.iter().map(|client| client.used_ms).max().unwrap_or(0)
    }

    /// Looks a request up.
    pub fn find(&self, name: &[u8], seq: u64) -> Remembered {
        let Some(client) = self.clients.iter().find(|client| *client.name == *name) else {
            return Remembered::New;
        };
        match client.done.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(place) => Remembered::Done(client.done[place].1.clone()),
            Err(_) if seq <= client.forgotten_to => Remembered::Forgotten,
            Err(_) => Remembered::New,
        }
    }

    /// Notes that a request is done by the entry being built.
    pub fn insert(&mut self, name: &[u8], seq: u64, reply: &[u8], now_ms: u64) {
        let kept = (reply.len() <= RESULT_BYTES_MAX).then(|| Rc::from(reply));
        if let Some(noted) = &mut self.noted {
            noted.push(Done { name: name.into(), seq, now_ms, reply: Option::clone(&kept) });
        }
        self.insert_kept(name, seq, kept, now_ms);
    }

    fn insert_kept(&mut self, name: &[u8], seq: u64, reply: Option<Rc<[u8]>>, now_ms: u64) {
        assert!(self.find(name, seq) == Remembered::New, "a request is done at most once");
        let mut client = match self.clients.iter().position(|client| *client.name == *name) {
            Some(place) => self.clients.remove(place),
            None => Client { name: name.into(), used_ms: 0, forgotten_to: 0, done: Vec::new() },
        };
        client.used_ms = client.used_ms.max(now_ms);
        let place = client.done.partition_point(|(other, _)| *other < seq);
        client.done.insert(place, (seq, reply));
        if client.done.len() > REQUEST_WINDOW {
            let (oldest, _) = client.done.remove(0);
            client.forgotten_to = client.forgotten_to.max(oldest);
        }
        self.clients.push(client);
        while self.clients.len() > REQUEST_CLIENTS_MAX || self.bytes() > REQUEST_TABLE_BYTES_MAX {
            self.clients.remove(0);
        }
    }

    /// Has it note what is done from now on.
    pub fn begin_notes(&mut self) {
        self.noted = Some(Vec::new());
    }

    /// What was noted, and no more is noted. None: nobody asked for notes.
    pub fn changes(&mut self) -> Option<Changes> {
        let done = self.noted.take()?;
        Some(Changes { done, ..Changes::none_of(self) })
    }

    /// No more is noted, and what was is not asked for.
    pub fn end_notes(&mut self) {
        self.noted = None;
    }

    /// What tells one table from another: 0 for the empty one, else XXH3 of its bytes, and 1 in the place of 0.
    pub fn digest(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut bytes = Vec::with_capacity(self.bytes());
        self.encode(&mut bytes);
        xxh3_64(&bytes).max(1)
    }

    /// Nobody is told of what was done so far: it was in an older flush epoch.
    pub(crate) fn doubt(&mut self) {
        let done = self.clients.iter_mut().flat_map(|client| &mut client.done);
        done.for_each(|(_, reply)| *reply = Some(Rc::from(&[][..])));
    }

    fn bytes(&self) -> usize {
        let of = |client: &Client| {
            let replies =
                client.done.iter().map(|(_, reply)| 10 + reply.as_ref().map_or(0, |reply| reply.len()));
            client.name.len() + 18 + replies.sum::<usize>()
        };
        1 + self.clients.iter().map(of).sum::<usize>()
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.clients.len() as u8);
        for client in &self.clients {
            out.push(client.name.len() as u8);
            out.extend_from_slice(&client.name);
            out.extend_from_slice(&client.used_ms.to_le_bytes());
            out.extend_from_slice(&client.forgotten_to.to_le_bytes());
            out.push(client.done.len() as u8);
            for (seq, reply) in &client.done {
                out.extend_from_slice(&seq.to_le_bytes());
                put_reply(reply.as_deref(), out);
            }
        }
    }

    /// Reads an encoding that is not empty.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Requests, Malformed> {
        let mut requests = Requests::default();
        walk(reader, |step| match step {
            Step::Client { name, used_ms, forgotten_to } => {
                let client = Client { name: name.into(), used_ms, forgotten_to, done: Vec::new() };
                requests.clients.push(client);
            }
            Step::Done(seq, reply) => {
                requests.clients.iter_mut().next_back().into_iter().for_each(|client| {
                    client.done.push((seq, reply.map(Rc::from)));
                });
            }
        })?;
        Ok(requests)
    }

    /// Whether bytes are an encoding, without making copies.
    pub(crate) fn check(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        walk(reader, |_| {})
    }
}

/// Appends a reply that is remembered (None: too large to keep).
fn put_reply(reply: Option<&[u8]>, out: &mut Vec<u8>) {
    let len = reply.map_or(u16::MAX, |reply| reply.len() as u16);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(reply.unwrap_or_default());
}

enum Step<'a> {
    Client { name: &'a [u8], used_ms: u64, forgotten_to: u64 },
    Done(u64, Option<&'a [u8]>),
}

fn walk<'a>(reader: &mut Reader<'a>, mut each: impl FnMut(Step<'a>)) -> Result<(), Malformed> {
    let clients = usize::from(reader.u8()?);
    if clients == 0 || clients > REQUEST_CLIENTS_MAX {
        return Err(reader.malformed());
    }
    for _ in 0..clients {
        let len = usize::from(reader.u8()?);
        let name = reader.take(len)?;
        let (used_ms, forgotten_to, done) = (reader.u64()?, reader.u64()?, usize::from(reader.u8()?));
        if len == 0 || len > CLIENT_NAME_BYTES_MAX || done == 0 || done > REQUEST_WINDOW {
            return Err(reader.malformed());
        }
        each(Step::Client { name, used_ms, forgotten_to });
        let mut last = forgotten_to;
        for _ in 0..done {
            let (seq, len) = (reader.u64()?, reader.u16()?);
            if seq <= last {
                return Err(reader.malformed());
            }
            last = seq;
            let reply = match usize::from(len) {
                _ if len == u16::MAX => None,
                len if len <= RESULT_BYTES_MAX => Some(reader.take(len)?),
                _ => return Err(reader.malformed()),
            };
            each(Step::Done(seq, reply));
        }
    }
    Ok(())
}

const _: () = assert!(REQUEST_CLIENTS_MAX <= u8::MAX as usize, "a byte counts them");
const _: () = assert!(REQUEST_WINDOW < u8::MAX as usize, "a byte counts them");
const _: () = assert!(CLIENT_NAME_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(
    REQUEST_WINDOW * (RESULT_BYTES_MAX + 10) + CLIENT_NAME_BYTES_MAX + 19 <= REQUEST_TABLE_BYTES_MAX,
    "one client always fits"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn done(requests: &Requests, name: &str, seq: u64) -> Option<String> {
        match requests.find(name.as_bytes(), seq) {
            Remembered::Done(Some(reply)) => Some(String::from_utf8(reply.to_vec()).unwrap()),
            Remembered::Done(None) => Some("too large".into()),
            Remembered::New => None,
            Remembered::Forgotten => Some("forgotten".into()),
        }
    }

    fn through_bytes(requests: &Requests) -> Requests {
        let mut bytes = Vec::new();
        requests.encode(&mut bytes);
        let mut reader = Reader::new(&bytes, "requests");
        let back = Requests::decode(&mut reader).expect("it is an encoding");
        assert!(reader.end().is_ok());
        assert!(Requests::check(&mut Reader::new(&bytes, "requests")).is_ok());
        for end in 0..bytes.len() {
            assert!(Requests::check(&mut Reader::new(&bytes[..end], "requests")).is_err(), "cut at {end}");
        }
        back
    }

    #[test]
    fn the_last_requests_of_a_client_are_known_and_older_ones_not() {
        let mut requests = Requests::default();
        let count = REQUEST_WINDOW as u64 + 3;
        for seq in 1..=count {
            requests.insert(b"a", seq * 10, seq.to_string().as_bytes(), 5);
        }
        assert_eq!(done(&requests, "a", 10), Some("forgotten".into()));
        assert_eq!(
            done(&requests, "a", 35),
            None,
            "it never came, and newer ones than the forgotten are known"
        );
        assert_eq!(done(&requests, "a", 40), Some("4".into()));
        assert_eq!(done(&requests, "a", count * 10), Some(count.to_string()));
        assert_eq!(done(&requests, "a", count * 10 + 1), None);
        assert_eq!(done(&requests, "b", 10), None);
        requests.insert(b"a", 35, b"late", 5);
        assert_eq!(
            done(&requests, "a", 35),
            Some("forgotten".into()),
            "done, and older than all that are kept"
        );
        let last = count * 10 + 1;
        requests.insert(b"a", last, &[b'x'; RESULT_BYTES_MAX + 1], 4);
        assert_eq!((done(&requests, "a", last), requests.used_ms()), (Some("too large".into()), 5));
        assert_eq!(through_bytes(&requests), requests);
    }

    #[test]
    fn clients_that_were_not_heard_of_for_longest_are_forgotten_first() {
        let mut requests = Requests::default();
        for client in 0..=REQUEST_CLIENTS_MAX {
            requests.insert(client.to_string().as_bytes(), 7, b"+", client as u64);
            requests.insert(b"often", client as u64 + 1, b"+", 0);
        }
        assert_eq!(done(&requests, "0", 7), None);
        assert_eq!(done(&requests, "1", 7), None, "the one that came often has a place");
        assert_eq!(done(&requests, "2", 7), Some("+".into()));
        assert_eq!(through_bytes(&requests), requests);
        let large = [b'x'; RESULT_BYTES_MAX];
        for seq in 1..=REQUEST_WINDOW as u64 {
            (0..REQUEST_CLIENTS_MAX).for_each(|client| {
                requests.insert(format!("large {client}").as_bytes(), seq, &large, 9);
                assert!(requests.bytes() <= REQUEST_TABLE_BYTES_MAX);
            });
        }
        let mut bytes = Vec::new();
        requests.encode(&mut bytes);
        assert_eq!(bytes.len(), requests.bytes());
    }

    #[test]
    fn what_was_noted_makes_one_table_of_another() {
        let mut requests = Requests::default();
        assert_eq!((requests.digest(), requests.changes()), (0, None));
        let mut digests = Vec::new();
        for round in 0..200_u64 {
            let mut before = requests.clone();
            requests.begin_notes();
            // Some come late, and in the end clients and numbers are forgotten.
            for step in 0..round % 4 {
                let (name, seq) = (format!("{}", (round * 7 + step) % 90), 1 + (round ^ 3) * 4 + step);
                if requests.find(name.as_bytes(), seq) == Remembered::New {
                    requests.insert(name.as_bytes(), seq, &vec![b'r'; (round * 5) as usize % 600], round);
                }
            }
            let changes = requests.changes().expect("notes were asked for");
            let mut bytes = Vec::new();
            if !changes.is_empty() {
                changes.encode(&mut bytes);
                let read = |bytes| Changes::decode(&mut Reader::new(bytes, "changes"));
                assert_eq!(read(&bytes), Ok(changes.clone()));
                assert!(Changes::check(&mut Reader::new(&bytes, "changes")).is_ok());
                (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
            }
            assert_eq!(changes.apply(&mut before), Ok(()));
            assert_eq!((&before, before.digest()), (&requests, changes.digest));
            // Once more it does not fit.
            assert_eq!(changes.apply(&mut before).is_err(), !changes.done.is_empty());
            digests.push(requests.digest());
        }
        digests.dedup();
        assert!(digests.len() > 100);
    }
}
