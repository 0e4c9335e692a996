//! The slow log of one core: the newest commands that took longer than a threshold, from reading the request
//! to its reply. So waiting for the disk and for other hosts counts, which Redis' slow log leaves out: here
//! they are the work.

use std::collections::VecDeque;

use shard::reply::Reply;

use super::limits::BRIEF_BYTES_MAX;

/// What is kept of a command while it is on its way: cheap to make for each.
#[derive(Clone, Debug)]
pub struct Brief {
    name: &'static str,
    args: u32,
    bytes: u8,
    first: [u8; BRIEF_BYTES_MAX],
}

impl Brief {
    /// Of the command `name` with these arguments, its own name first. Of AUTH and HELLO nothing more is
    /// kept.
    pub fn new(name: &'static str, args: &[&[u8]]) -> Brief {
        let shown = match name {
            "auth" | "hello" | "config|set" => b"(redacted)",
            _ => args.get(1).copied().unwrap_or_default(),
        };
        let mut first = [0; BRIEF_BYTES_MAX];
        let bytes = shown.len().min(BRIEF_BYTES_MAX);
        for (to, from) in first.iter_mut().zip(shown) {
            *to = *from;
        }
        Brief { name, args: u32::try_from(args.len()).unwrap_or(u32::MAX), bytes: bytes as u8, first }
    }

    /// Name of the command, as COMMAND has it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Name, first argument and how much was left out, as Redis' slow log shortens it.
    fn reply(&self) -> Reply {
        let mut list = vec![Reply::bulk(self.name.split('|').next().unwrap_or(self.name))];
        if self.args > 1 {
            list.push(Reply::bulk(self.first.get(..usize::from(self.bytes)).unwrap_or_default()));
        }
        if self.args > 2 {
            list.push(Reply::bulk(format!("... ({} more arguments)", self.args - 2)));
        }
        Reply::Array(list)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    unix_seconds: u64,
    micros: u64,
    brief: Brief,
    addr: String,
    name: String,
}

/// The newest slow commands of one core.
#[derive(Debug, Default)]
pub struct Slowlog {
    entries: VecDeque<Entry>,
    /// Number of the next entry. Steps by `stride`, so that the numbers of the cores of a host differ.
    next_id: u64,
    stride: u64,
}

impl Slowlog {
    /// An empty log of core `core` of `cores`.
    pub fn new(core: u16, cores: u16) -> Slowlog {
        Slowlog { entries: VecDeque::new(), next_id: u64::from(core), stride: u64::from(cores.max(1)) }
    }

    /// Notes a slow command and forgets the oldest ones above `entries_max`.
    pub fn push(
        &mut self,
        brief: Brief,
        unix_seconds: u64,
        micros: u64,
        addr: String,
        name: String,
        entries_max: usize,
    ) {
        if entries_max == 0 {
            return;
        }
        self.entries.push_back(Entry { id: self.next_id, unix_seconds, micros, brief, addr, name });
        self.next_id += self.stride;
        while self.entries.len() > entries_max {
            self.entries.pop_front();
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was slow.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// SLOWLOG RESET.
    pub fn reset(&mut self) {
        self.entries.clear();
    }

    /// SLOWLOG GET: up to `count` entries, newest first: id, time, microseconds, arguments, address, client
    /// name.
    pub fn newest(&self, count: usize) -> Reply {
        let entry = |entry: &Entry| {
            Reply::Array(vec![
                Reply::Int(i64::try_from(entry.id).unwrap_or(i64::MAX)),
                Reply::Int(i64::try_from(entry.unix_seconds).unwrap_or(i64::MAX)),
                Reply::Int(i64::try_from(entry.micros).unwrap_or(i64::MAX)),
                entry.brief.reply(),
                Reply::bulk(&entry.addr),
                Reply::bulk(&entry.name),
            ])
        };
        Reply::Array(self.entries.iter().rev().take(count).map(entry).collect())
    }
}

/// Puts the newest entries of several cores together: by time, then number, newest first.
pub fn join(replies: Vec<Reply>, count: usize) -> Reply {
    let lists =
        replies
            .into_iter()
            .filter_map(|reply| if let Reply::Array(list) = reply { Some(list) } else { None });
    let mut all: Vec<Reply> = lists.flatten().collect();
    let number = |reply: &Reply, place: usize| match reply {
        Reply::Array(fields) => match fields.get(place) {
            Some(Reply::Int(number)) => *number,
            _ => 0,
        },
        _ => 0,
    };
    all.sort_by_key(|entry| std::cmp::Reverse((number(entry, 1), number(entry, 0))));
    all.truncate(count);
    Reply::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &mut Slowlog, seconds: u64, args: &[&str]) {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        log.push(Brief::new("set", &args), seconds, 7, "1.2.3.4:5".into(), "me".into(), 2);
    }

    fn ids(reply: &Reply) -> Vec<i64> {
        let Reply::Array(list) = reply else { panic!("a list: {reply:?}") };
        let id = |entry: &Reply| match entry {
            Reply::Array(fields) => fields.first().cloned(),
            other => panic!("an entry: {other:?}"),
        };
        list.iter()
            .map(|entry| if let Some(Reply::Int(id)) = id(entry) { id } else { panic!("an id") })
            .collect()
    }

    #[test]
    fn keeps_the_newest_and_numbers_cores_apart() {
        let (mut a, mut b) = (Slowlog::new(0, 2), Slowlog::new(1, 2));
        for seconds in 10..13 {
            push(&mut a, seconds, &["SET", "k", "v"]);
        }
        push(&mut b, 11, &["SET", "k"]);
        assert_eq!(a.len(), 2);
        assert_eq!(ids(&a.newest(9)), [4, 2]);
        assert_eq!(ids(&join(vec![a.newest(9), b.newest(9)], 9)), [4, 2, 1]);
        assert_eq!(ids(&join(vec![a.newest(9), b.newest(9)], 1)), [4]);
        a.reset();
        assert!(a.is_empty());
    }

    #[test]
    fn arguments_are_shortened_and_secrets_left_out() {
        let show = |name, args: &[&[u8]]| format!("{:?}", Brief::new(name, args).reply());
        let long = [b'k'; 1000];
        let shown = show("set", &[b"SET", &long, b"v", b"NX"]);
        assert!(shown.len() < 500, "{shown}");
        assert_eq!(Brief::new("set", &[b"SET", &long]).bytes as usize, BRIEF_BYTES_MAX);
        assert!(!show("auth", &[b"AUTH", b"secret"]).contains(&format!("{:?}", b"secret".to_vec())));
    }
}
