//! Reductions: what a run leaves out of its plan, as options; and the search for a small run that still fails.
//!
//! A reduction is applied to the plan of a seed, so a failure is repeated by its seed and these options. The search
//! ([`shrink`]) is delta debugging: whole classes first, then operations, clients and keys, then single strikes of the nemesis.
//! Each try is a process of its own, because a broken assertion of the product ends one.

use std::fmt;
use std::process::Command;

use crate::class::Class;
use crate::plan::Plan;

/// What is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Reduction {
    /// Leaves these classes of faults and load out, such as loss,cuts.
    #[arg(long, value_delimiter = ',', value_name = "CLASSES", value_parser = class)]
    pub without: Vec<Class>,
    /// Operations of each client.
    #[arg(long, value_name = "COUNT")]
    pub ops: Option<u32>,
    /// How many clients.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=6))]
    pub clients: Option<u32>,
    /// How many places for keys.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub keys: Option<u32>,
    /// Strikes of the nemesis that are left out, by number.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub spare: Vec<u64>,
}

fn class(name: &str) -> Result<Class, String> {
    Class::of(name).ok_or_else(|| {
        let names: Vec<&str> = Class::ALL.iter().map(|(_, name)| *name).collect();
        format!("there is no such class; there are {}", names.join(", "))
    })
}

impl Reduction {
    /// Changes a plan.
    pub fn apply(&self, plan: &mut Plan) {
        self.without.iter().for_each(|class| plan.switch_off(*class));
        plan.operations = self.ops.unwrap_or(plan.operations);
        plan.clients = self.clients.unwrap_or(plan.clients);
        plan.keys = self.keys.map_or(plan.keys, |keys| keys as usize);
        plan.spared.extend(&self.spare);
    }
}

impl fmt::Display for Reduction {
    /// As options, each with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.without.is_empty() {
            let names: Vec<&str> = self.without.iter().map(|class| class.name()).collect();
            write!(f, " --without {}", names.join(","))?;
        }
        let counts = [("ops", self.ops), ("clients", self.clients), ("keys", self.keys)];
        for (name, count) in counts.iter().filter_map(|(name, count)| Some((name, (*count)?))) {
            write!(f, " --{name} {count}")?;
        }
        if !self.spare.is_empty() {
            let numbers: Vec<String> = self.spare.iter().map(u64::to_string).collect();
            write!(f, " --spare {}", numbers.join(","))?;
        }
        Ok(())
    }
}

/// How a run that is a process ended.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    /// The invariant that broke, or that an assertion did. None: all is well.
    failure: Option<String>,
    /// Strikes of the nemesis in it.
    strikes: u64,
}

/// Cuts a failing seed down: the smallest reduction found under which the same invariant breaks. `before` are options that
/// go with the seed, such as the bug that is planted. None if the seed does not fail.
pub fn shrink(seed: u64, before: &[String], start: &Reduction) -> Result<Option<Reduction>, String> {
    let wanted = play(seed, before, start)?;
    if wanted.failure.is_none() {
        return Ok(None);
    }
    let mut best = start.clone();
    let mut tries = 0;
    let mut fails = |reduction: &Reduction| -> Result<bool, String> {
        tries += 1;
        eprint!("\r{tries} tries   ");
        Ok(play(seed, before, reduction)?.failure == wanted.failure)
    };
    let mut plan = Plan::draw(seed);
    start.apply(&mut plan);
    let drawn: Vec<Class> = plan.classes.on().collect();
    for class in drawn {
        try_with(&mut best, &mut fails, |next| next.without.push(class))?;
    }
    for divisor in [8, 4, 2] {
        let count = best.ops.unwrap_or(plan.operations);
        while_smaller(count, divisor, &mut best, &mut fails, |next, count| next.ops = Some(count))?;
    }
    let clients = best.clients.unwrap_or(plan.clients);
    while_smaller(clients, clients, &mut best, &mut fails, |next, count| next.clients = Some(count))?;
    let keys = best.keys.unwrap_or(plan.keys as u32);
    while_smaller(keys, keys, &mut best, &mut fails, |next, count| next.keys = Some(count))?;
    let strikes = play(seed, before, &best)?.strikes;
    let mut size = strikes.div_ceil(2);
    while size > 0 {
        for first in (0..strikes).step_by(size as usize) {
            let spared = (first..strikes.min(first + size)).filter(|n| !best.spare.contains(n));
            let spared: Vec<u64> = spared.collect();
            if !spared.is_empty() {
                try_with(&mut best, &mut fails, |next| next.spare.extend(spared))?;
            }
        }
        size /= 2;
    }
    best.spare.sort_unstable();
    eprint!("\r");
    Ok(Some(best))
}

fn try_with(
    best: &mut Reduction,
    fails: &mut impl FnMut(&Reduction) -> Result<bool, String>,
    change: impl FnOnce(&mut Reduction),
) -> Result<bool, String> {
    let mut next = best.clone();
    change(&mut next);
    let better = fails(&next)?;
    if better {
        *best = next;
    }
    Ok(better)
}

/// Makes a count smaller by its `divisor`th part (at least one) for as long as the run fails.
fn while_smaller(
    mut count: u32,
    divisor: u32,
    best: &mut Reduction,
    fails: &mut impl FnMut(&Reduction) -> Result<bool, String>,
    set: impl Fn(&mut Reduction, u32),
) -> Result<(), String> {
    while count > 1 {
        let smaller = count - (count / divisor).clamp(1, count - 1);
        if !try_with(best, fails, |next| set(next, smaller))? {
            return Ok(());
        }
        count = smaller;
    }
    Ok(())
}

/// Plays a seed in a process of its own.
fn play(seed: u64, before: &[String], reduction: &Reduction) -> Result<Ended, String> {
    let own = std::env::current_exe().map_err(|error| format!("find the own program: {error}"))?;
    let mut command = Command::new(own);
    command.args(before).args(["--seed", &seed.to_string(), "--log"]);
    command.args(reduction.to_string().split_whitespace());
    let output = command.output().map_err(|error| format!("start a run: {error}"))?;
    let (story, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed = errors.lines().find(|line| line.starts_with("SEED "));
    // "SEED 7 FAILED after 3 ms: the invariant: what shows it"
    let invariant = failed.map(|line| line.split(": ").nth(1).unwrap_or_default().to_owned());
    let strikes = story.lines().filter(|line| line.contains(" ms  strike ")).count() as u64;
    let highest = story
        .lines()
        .filter_map(|line| line.split(" ms  strike ").nth(1)?.split(':').next()?.parse().ok())
        .max();
    Ok(Ended { failure: invariant, strikes: highest.map_or(strikes, |highest: u64| highest + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduction_is_written_as_its_options() {
        let reduction = Reduction {
            without: vec![Class::Loss, Class::LongPauses],
            ops: Some(7),
            clients: None,
            keys: Some(1),
            spare: vec![3, 9],
        };
        assert_eq!(reduction.to_string(), " --without loss,long-pauses --ops 7 --keys 1 --spare 3,9");
        assert_eq!(Reduction::default().to_string(), "");
    }

    #[test]
    fn a_count_gets_smaller_for_as_long_as_the_run_fails() {
        let mut best = Reduction::default();
        let mut fails = |reduction: &Reduction| Ok(reduction.ops.unwrap_or(50) >= 13);
        for divisor in [2, 4, 64] {
            let count = best.ops.unwrap_or(50);
            while_smaller(count, divisor, &mut best, &mut fails, |next, count| next.ops = Some(count))
                .unwrap();
        }
        assert_eq!(best.ops, Some(13));
    }
}
