//! Expiry: the arguments that set it, and the commands that read and change it.

use reactor::mutants::planted;

use super::errors;
use super::limits::RELATIVE_MS_MAX;
use super::numbers;
use super::parse::{is, Args};
use super::{Command, Op};
use crate::reply::Reply;
use crate::state::State;

/// A point in time in milliseconds. A relative one is counted from when the command is executed, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// From now on.
    In(i64),
    /// Since 1970.
    At(i64),
}

impl Moment {
    /// Milliseconds since 1970, at most `i64::MAX`.
    fn since_1970(self, now_ms: u64) -> i64 {
        match self {
            Moment::In(ms) => ms.saturating_add_unsigned(now_ms),
            Moment::At(ms) => ms,
        }
    }
}

/// What SET and GETEX do with the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Keep the one there is: KEEPTTL; GETEX without option.
    Keep,
    /// The value never expires: SET without option, GETEX PERSIST.
    Never,
    /// EX, PX, EXAT, PXAT. Positive.
    Set(Moment),
}

impl Expiry {
    /// The new `expires_at_ms`, given the old one.
    pub(super) fn apply(self, old_ms: u64, now_ms: u64) -> u64 {
        match self {
            Expiry::Keep => old_ms,
            Expiry::Never => 0,
            // Zero means never, so a moment before 1970 becomes its first millisecond: past all the same.
            Expiry::Set(moment) => u64::try_from(moment.since_1970(now_ms)).unwrap_or(0).max(1),
        }
    }
}

/// When EXPIRE and its kin apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireIf {
    /// NX: only where there is no expiry.
    pub absent: bool,
    /// XX: only where there is one.
    pub present: bool,
    /// GT: only to a later one; none is the latest.
    pub later: bool,
    /// LT: only to an earlier one.
    pub earlier: bool,
}

impl ExpireIf {
    fn holds(self, old_ms: u64, new_ms: i64) -> bool {
        // Expiries are set from an i64, so the comparison cannot be cut short; absent is None.
        let old = (old_ms != 0).then(|| i64::try_from(old_ms).unwrap_or(i64::MAX));
        !(self.absent && old.is_some()
            || self.present && old.is_none()
            || self.later && old.is_none_or(|old| new_ms <= old)
            || self.earlier && old.is_some_and(|old| new_ms >= old))
    }
}

/// TTL, PTTL, EXPIRETIME, PEXPIRETIME: -2 without a key, -1 without an expiry. Seconds are rounded to the nearest.
pub(super) fn expires_at(state: &State, in_ms: bool, absolute: bool, now_ms: u64) -> Reply {
    if state.value.is_none() {
        return Reply::Int(-2);
    }
    if state.expires_at_ms == 0 {
        return Reply::Int(-1);
    }
    let ms = if absolute { state.expires_at_ms } else { state.expires_at_ms.saturating_sub(now_ms) };
    let shown = if in_ms { ms } else { ms.saturating_add(500) / 1000 };
    Reply::Int(i64::try_from(shown).unwrap_or(i64::MAX))
}

/// EXPIRE and its kin: a moment that has passed deletes the key.
pub(super) fn expire(state: &mut State, moment: Moment, only_if: ExpireIf, now_ms: u64) -> Reply {
    let at_ms = moment.since_1970(now_ms);
    if state.value.is_none() || !only_if.holds(state.expires_at_ms, at_ms) {
        return Reply::Int(0);
    }
    match u64::try_from(at_ms) {
        Ok(at_ms) if at_ms > now_ms => {
            if !planted(570) {
                state.expires_at_ms = at_ms;
            }
            state.touch();
        }
        _ => {
            state.delete();
        }
    }
    Reply::Int(1)
}

/// PERSIST.
pub(super) fn persist(state: &mut State) -> Reply {
    if state.value.is_none() || state.expires_at_ms == 0 {
        return Reply::Int(0);
    }
    if !planted(571) {
        state.expires_at_ms = 0;
    }
    state.touch();
    Reply::Int(1)
}

/// The time arguments of SET, SETEX, GETEX: a positive number in a unit.
pub(super) fn positive(args: &Args<'_>, bytes: &[u8], in_ms: bool, absolute: bool) -> Result<Expiry, Reply> {
    let number = numbers::integer(bytes).ok_or(errors::NOT_AN_INTEGER)?;
    if number <= 0 {
        return Err(errors::expire_time(args.row.name));
    }
    moment(args, number, in_ms, absolute).map(Expiry::Set)
}

fn moment(args: &Args<'_>, number: i64, in_ms: bool, absolute: bool) -> Result<Moment, Reply> {
    let error = || errors::expire_time(args.row.name);
    let ms = if in_ms { number } else { number.checked_mul(1000).ok_or_else(error)? };
    if absolute {
        return Ok(Moment::At(ms));
    }
    if ms > RELATIVE_MS_MAX {
        return Err(error());
    }
    Ok(Moment::In(ms))
}

/// EXPIRE key seconds [NX|XX|GT|LT].
pub(super) fn parse_expire(args: &Args<'_>) -> Result<Command, Reply> {
    parse_any_expire(args, false, false)
}

/// PEXPIRE key milliseconds [NX|XX|GT|LT].
pub(super) fn parse_pexpire(args: &Args<'_>) -> Result<Command, Reply> {
    parse_any_expire(args, true, false)
}

/// EXPIREAT key unix-seconds [NX|XX|GT|LT].
pub(super) fn parse_expire_at(args: &Args<'_>) -> Result<Command, Reply> {
    parse_any_expire(args, false, true)
}

/// PEXPIREAT key unix-milliseconds [NX|XX|GT|LT].
pub(super) fn parse_pexpire_at(args: &Args<'_>) -> Result<Command, Reply> {
    parse_any_expire(args, true, true)
}

fn parse_any_expire(args: &Args<'_>, in_ms: bool, absolute: bool) -> Result<Command, Reply> {
    let mut only_if = ExpireIf::default();
    for option in args.from(3) {
        match option {
            option if is(option, "NX") => only_if.absent = true,
            option if is(option, "XX") => only_if.present = true,
            option if is(option, "GT") => only_if.later = true,
            option if is(option, "LT") => only_if.earlier = true,
            option => return Err(errors::expire_option(option)),
        }
    }
    if only_if.absent && (only_if.present || only_if.later || only_if.earlier) {
        return Err(errors::EXPIRE_NX);
    }
    if only_if.later && only_if.earlier {
        return Err(errors::EXPIRE_GT_LT);
    }
    let number = args.integer(2)?;
    args.on_key(Op::Expire(moment(args, number, in_ms, absolute)?, only_if))
}

/// TTL key.
pub(super) fn parse_ttl(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::ExpiresAt { in_ms: false, absolute: false })
}

/// PTTL key.
pub(super) fn parse_pttl(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::ExpiresAt { in_ms: true, absolute: false })
}

/// EXPIRETIME key.
pub(super) fn parse_expire_time(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::ExpiresAt { in_ms: false, absolute: true })
}

/// PEXPIRETIME key.
pub(super) fn parse_pexpire_time(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::ExpiresAt { in_ms: true, absolute: true })
}

/// PERSIST key.
pub(super) fn parse_persist(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Persist)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_overflow() {
        assert_eq!(Moment::In(RELATIVE_MS_MAX).since_1970(u64::MAX), i64::MAX);
        assert_eq!(Moment::In(i64::MIN).since_1970(0), i64::MIN);
        assert_eq!(
            Moment::In(RELATIVE_MS_MAX).since_1970(1_700_000_000_000),
            RELATIVE_MS_MAX + 1_700_000_000_000
        );
    }

    #[test]
    fn conditions_of_expire() {
        let one = |name: &str| ExpireIf {
            absent: name == "NX",
            present: name == "XX",
            later: name == "GT",
            earlier: name == "LT",
        };
        let table = [
            ("", 0, 5, true),
            ("", 9, 5, true),
            ("NX", 0, 5, true),
            ("NX", 9, 5, false),
            ("XX", 0, 5, false),
            ("XX", 9, 5, true),
            ("GT", 0, 5, false),
            ("GT", 5, 5, false),
            ("GT", 4, 5, true),
            ("LT", 0, 5, true),
            ("LT", 5, 5, false),
            ("LT", 6, 5, true),
        ];
        for (name, old_ms, new_ms, want) in table {
            assert_eq!(one(name).holds(old_ms, new_ms), want, "{name} {old_ms} -> {new_ms}");
        }
        let both = ExpireIf { present: true, earlier: true, ..ExpireIf::default() };
        assert!(!both.holds(0, 5) && both.holds(6, 5));
    }
}
