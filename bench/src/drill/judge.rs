//! Reading everything back, and what it proves.
//!
//! A register has one writer, so its writes have an order: that of their calls. An acknowledged write is
//! *lost* if the last value read is that of an earlier write, or nothing. One exception is no loss: an
//! earlier write of unknown outcome may take effect late, after the acknowledged one; it is counted as
//! *late*. A counter must stand between the increments acknowledged and those called. Everything seen, these
//! reads included, must be linearizable besides.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::{counter_key, register_key};
use super::Plan;
use crate::check::{self, Summary};
use crate::error::BenchError;
use crate::history::{Command, History, Operation, Outcome, Reply};
use crate::limits::{DRILL_PAUSE, READ_BACK_BATCH, READ_BACK_PATIENCE};
use crate::resp::Value;
use crate::wire::Wire;

/// The client number of the reads at the end, through the first host; the next hosts count on.
const READ_BACK_CLIENT: u32 = 1_000_000;

/// What stood in each key at the end, through each host.
pub type Finals = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

/// What a drill proves.
#[derive(Debug)]
pub struct Judgement {
    /// Acknowledged writes that are not there.
    pub lost: u64,
    /// Keys that lost any.
    pub keys_with_losses: Vec<Vec<u8>>,
    /// Keys whose last value is of a write of unknown outcome that took effect after a later, acknowledged
    /// one.
    pub late: u64,
    /// Increments that took effect more often than they were called.
    pub duplicated: u64,
    /// Linearizability of everything that was seen.
    pub summary: Summary,
}

impl Judgement {
    /// Nothing was lost or duplicated, and all is linearizable.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.summary.is_linearizable()
    }
}

/// How everything is read back.
#[derive(Debug)]
pub(crate) struct Door<'a> {
    /// Plain ports of all hosts.
    pub(crate) hosts: &'a [SocketAddr],
    /// Sent with AUTH.
    pub(crate) password: Option<&'a str>,
    /// How long a reply may take.
    pub(crate) timeout: Duration,
    /// The zero of the history's times.
    pub(crate) start: Instant,
}

/// The keys that the clients of a plan write.
pub(crate) fn keys_of(plan: &Plan, prefix: &str) -> Vec<Vec<u8>> {
    let registers = (0..plan.keys).map(|number| register_key(prefix, number));
    registers.chain((0..plan.clients).map(|client| counter_key(prefix, client))).collect()
}

/// Reads every key through every host.
///
/// # Errors
/// A host that does not answer for [`READ_BACK_PATIENCE`]: then nothing is proven.
pub(crate) fn read_back(
    door: &Door<'_>,
    keys: &[Vec<u8>],
    history: &mut History,
) -> Result<Finals, BenchError> {
    let mut finals = Finals::new();
    for (index, &addr) in door.hosts.iter().enumerate() {
        let mut wire = None;
        for batch in keys.chunks(READ_BACK_BATCH) {
            let begin = Instant::now();
            let (call, values, at) = loop {
                let call = door.start.elapsed().as_nanos() as u64;
                match read_batch(&mut wire, addr, door, batch) {
                    Ok(values) => break (call, values, door.start.elapsed().as_nanos() as u64),
                    Err(source) if begin.elapsed() > READ_BACK_PATIENCE => {
                        return Err(BenchError::io(
                            format!("reading everything back through {addr}"),
                            source,
                        ));
                    }
                    Err(_) => {
                        wire = None;
                        std::thread::sleep(DRILL_PAUSE);
                    }
                }
            };
            for (key, value) in batch.iter().zip(values) {
                let reply = value.clone().map_or(Reply::Nil, Reply::Value);
                history.operations.push(Operation {
                    client: READ_BACK_CLIENT + index as u32,
                    key: key.clone(),
                    call,
                    command: Command::Get,
                    outcome: Outcome::Replied { at, reply },
                    version: None,
                });
                finals.entry(key.clone()).or_default().push(value);
            }
        }
    }
    Ok(finals)
}

fn read_batch(
    wire: &mut Option<Wire>,
    addr: SocketAddr,
    door: &Door<'_>,
    batch: &[Vec<u8>],
) -> io::Result<Vec<Option<Vec<u8>>>> {
    let wire = match wire {
        Some(wire) => wire,
        None => wire.insert(Wire::connect(addr, door.password, door.timeout)?),
    };
    for key in batch {
        wire.send(&[b"GET", key])?;
    }
    let mut values = Vec::with_capacity(batch.len());
    for _ in batch {
        values.push(match wire.receive()? {
            Value::Bulk(value) => Some(value),
            Value::Nil => None,
            Value::Error(text) => return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned())),
            other => return Err(io::Error::other(format!("GET answered {other:?}"))),
        });
    }
    Ok(values)
}

/// Judges what was seen and what stood at the end. Losses are counted on registers and counters with one
/// writer; of the other keys linearizability alone speaks.
pub fn judge(history: &History, finals: &Finals) -> Judgement {
    let mut writes: BTreeMap<&[u8], Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        if !operation.command.is_read() && operation.outcome != Outcome::Failed {
            writes.entry(&operation.key).or_default().push(operation);
        }
    }
    let mut judgement = Judgement {
        lost: 0,
        keys_with_losses: Vec::new(),
        late: 0,
        duplicated: 0,
        summary: check::check(history),
    };
    for (key, writes) in &mut writes {
        writes.sort_by_key(|write| write.call);
        if !are_countable(writes) {
            continue;
        }
        // A key that was written and never read back would prove nothing; the worst value of all hosts
        // counts.
        let values = finals.get(*key).map(Vec::as_slice).unwrap_or_default();
        assert!(!values.is_empty(), "every key is read back");
        let verdicts = values.iter().map(|value| judge_key(writes, value.as_deref()));
        let worst = verdicts.max_by_key(|verdict| (verdict.lost, verdict.duplicated, verdict.late));
        let worst = worst.unwrap_or_default();
        judgement.lost += worst.lost;
        judgement.duplicated += worst.duplicated;
        judgement.late += u64::from(worst.late);
        if worst.lost > 0 {
            judgement.keys_with_losses.push(key.to_vec());
        }
    }
    judgement
}

/// Whether the writes of a key have one order, that of their calls, and each shows in the value.
fn are_countable(writes: &[&Operation]) -> bool {
    let Some(first) = writes.first() else { return false };
    let alike = |write: &&Operation| match &write.command {
        Command::Set(_) => matches!(first.command, Command::Set(_)),
        Command::IncrBy(_) => matches!(first.command, Command::IncrBy(_)),
        _ => false,
    };
    writes.iter().all(|write| write.client == first.client && alike(write))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct KeyVerdict {
    lost: u64,
    duplicated: u64,
    late: bool,
}

fn acknowledged(writes: &[&Operation]) -> u64 {
    writes.iter().filter(|write| write.reply().is_some()).count() as u64
}

fn judge_key(writes: &[&Operation], value: Option<&[u8]>) -> KeyVerdict {
    if writes.iter().any(|write| matches!(write.command, Command::IncrBy(_))) {
        return judge_counter(writes, value);
    }
    let found = writes.iter().position(|write| match &write.command {
        Command::Set(written) => Some(written.as_slice()) == value,
        _ => false,
    });
    // Nothing there, or a value that nobody wrote: everything that was acknowledged is gone.
    let Some(found) = found else {
        return KeyVerdict { lost: acknowledged(writes), ..KeyVerdict::default() };
    };
    let after = acknowledged(writes.get(found + 1..).unwrap_or_default());
    let unknown = writes[found].reply().is_none();
    KeyVerdict { lost: if unknown { 0 } else { after }, late: unknown && after > 0, duplicated: 0 }
}

fn judge_counter(writes: &[&Operation], value: Option<&[u8]>) -> KeyVerdict {
    let number = match value {
        None => Some(0),
        Some(value) => std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok()),
    };
    let acknowledged = acknowledged(writes);
    let Some(number) = number else { return KeyVerdict { lost: acknowledged, ..KeyVerdict::default() } };
    KeyVerdict {
        lost: acknowledged.saturating_sub(number),
        duplicated: number.saturating_sub(writes.len() as u64),
        late: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes of one key, one after the other: a value, and whether it was acknowledged.
    fn history(writes: &[(&str, bool)]) -> History {
        let mut history = History::new();
        for (number, (value, acknowledged)) in writes.iter().enumerate() {
            let (call, command) = (number as u64 * 10, Command::Set(value.as_bytes().to_vec()));
            let command = if *value == "+1" { Command::IncrBy(1) } else { command };
            let id = history.call(0, b"k", command, call);
            if *acknowledged {
                history.replied(id, call + 5, Reply::Ok, None);
            }
        }
        history
    }

    #[test]
    fn keys_with_several_writers_or_conditions_are_left_to_the_other_checkers() {
        let mut shared = history(&[("1", true), ("2", true)]);
        shared.operations[1].client = 1;
        let mut removed = history(&[("1", true), ("2", true)]);
        removed.operations[1].command = Command::GetDel;
        for history in [shared, removed] {
            let judgement = judge(&history, &Finals::from([(b"k".to_vec(), vec![Some(b"1".to_vec())])]));
            assert_eq!(judgement.lost, 0);
        }
    }

    #[test]
    fn losses_are_counted_as_told() {
        // Writes, values at the end through two hosts, then lost, late and duplicated.
        type Row<'a> = (&'a [(&'a str, bool)], [Option<&'a str>; 2], u64, u64, u64);
        let table: [Row<'_>; 12] = [
            (&[("1", true), ("2", true)], [Some("2"), Some("2")], 0, 0, 0),
            (&[("1", true), ("2", true), ("3", true)], [Some("1"), Some("3")], 2, 0, 0),
            (&[("1", true), ("2", true)], [Some("2"), None], 2, 0, 0),
            (&[("1", true)], [Some("x"), Some("1")], 1, 0, 0),
            (&[("1", true), ("2", false)], [Some("1"), Some("1")], 0, 0, 0),
            (&[("1", true), ("2", false)], [Some("2"), Some("2")], 0, 0, 0),
            (&[("1", false), ("2", true)], [Some("1"), Some("1")], 0, 1, 0),
            (&[("1", false)], [None, None], 0, 0, 0),
            (&[("+1", true), ("+1", false), ("+1", true)], [Some("2"), Some("3")], 0, 0, 0),
            (&[("+1", true), ("+1", true)], [Some("1"), Some("2")], 1, 0, 0),
            (&[("+1", true), ("+1", true)], [Some("2"), Some("3")], 0, 0, 1),
            (&[("+1", true)], [None, Some("1")], 1, 0, 0),
        ];
        for (writes, values, lost, late, duplicated) in table {
            let values = values.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect();
            let judgement = judge(&history(writes), &Finals::from([(b"k".to_vec(), values)]));
            let got = (judgement.lost, judgement.late, judgement.duplicated);
            assert_eq!(got, (lost, late, duplicated), "{writes:?}");
        }
    }
}
