//! `synod-bench scale`: the same load per core on 1, 2, ... n cores, and what each core of the larger ones is worth.
//!
//! The harness knows servers by their sockets alone, so how to start them with so many cores is a command that the caller
//! gives. With n cores the load has n threads and n times the clients: each core is asked for the same, and the harness has the CPUs
//! to ask. On a machine that has no CPUs for that, a step would measure the queue for CPUs; it is left out, and said so.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;

use super::{print, LoadArgs};
use crate::error::BenchError;
use crate::load;

/// Replaced by the number of cores in commands and file names.
const CORES: &str = "{cores}";

/// The options of `scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Shell command that starts servers of {cores} cores each; returns when they serve.
    #[arg(long, value_name = "COMMAND")]
    start: String,
    /// Shell command that stops them.
    #[arg(long, value_name = "COMMAND")]
    stop: String,
    /// Numbers of cores; by default 1, 2, 4 and so on, as far as the CPUs go.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// CPUs that one core of the servers takes in all, such as 3 for three hosts on this machine.
    #[arg(long, default_value_t = 1)]
    cpus_per_core: usize,
    /// The load of one core; --threads and -c are multiplied by the number of cores. --json and --hdr need {cores} in the name.
    #[command(flatten)]
    load: LoadArgs,
}

/// What was measured on so many cores.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    cores: usize,
    ops_per_second: f64,
    p50_us: f64,
    cpu_us: Option<f64>,
    own_cores: Option<f64>,
}

/// Which numbers of cores fit: each core and each thread of the harness has a CPU; one core is always measured.
fn split(asked: &[usize], cpus_per_core: usize, cpus: usize) -> (Vec<usize>, Vec<usize>) {
    let fits = |cores: &usize| *cores == 1 || cores.saturating_mul(cpus_per_core.saturating_add(1)) <= cpus;
    asked.iter().partition(|cores| fits(cores))
}

/// 1, 2, 4, ... up to `cpus`.
fn doubling(cpus: usize) -> Vec<usize> {
    std::iter::successors(Some(1_usize), |cores| cores.checked_mul(2))
        .take_while(|cores| *cores <= cpus)
        .collect()
}

/// Runs every step that fits, and prints the table.
///
/// # Errors
/// Wrong options, a command that fails, a load that cannot be run.
pub fn run(args: &ScaleArgs) -> Result<bool, BenchError> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = if args.cores.is_empty() { doubling(cpus) } else { args.cores.clone() };
    args.check(&asked)?;
    let (fitting, left_out) = split(&asked, args.cpus_per_core, cpus);
    let mut steps = Vec::new();
    for cores in fitting {
        steps.push(args.step(cores)?);
    }
    print(&table(&steps));
    for cores in left_out {
        print(&format!(
            "left out: {cores} cores and as many threads of load need more than the {cpus} CPUs here\n"
        ));
    }
    Ok(steps.iter().all(|step| step.ops_per_second > 0.0))
}

impl ScaleArgs {
    fn check(&self, asked: &[usize]) -> Result<(), BenchError> {
        let files = [&self.load.json, &self.load.hdr];
        let named = |file: &PathBuf| file.to_string_lossy().contains(CORES);
        let text = if asked.is_empty() || asked.contains(&0) {
            "--cores: numbers from 1"
        } else if self.cpus_per_core == 0 {
            "--cpus-per-core: at least 1"
        } else if !files.into_iter().flatten().all(named) {
            "--json, --hdr: write {cores} in the name, there is a file for each number of cores"
        } else {
            return Ok(());
        };
        Err(BenchError::Usage(text.to_owned()))
    }

    fn step(&self, cores: usize) -> Result<Step, BenchError> {
        shell(&self.start, cores)?;
        let measured = self.measure(cores);
        // What was started is stopped whatever came of the load; the first failure is the one that is told.
        let stopped = shell(&self.stop, cores);
        let step = measured?;
        stopped.map(|()| step)
    }

    fn measure(&self, cores: usize) -> Result<Step, BenchError> {
        let mut plan = self.load.plan();
        let times = |number: usize| {
            let text = || BenchError::Usage(format!("{number} times {cores} cores is too much"));
            number.checked_mul(cores).ok_or_else(text)
        };
        (plan.threads, plan.connections) = (times(plan.threads)?, times(plan.connections)?);
        let report = load::run(&plan)?;
        print(&report.table());
        let named = |file: &PathBuf| PathBuf::from(file.to_string_lossy().replace(CORES, &cores.to_string()));
        if let Some(file) = &self.load.json {
            report.write_json(&named(file))?;
        }
        if let Some(file) = &self.load.hdr {
            report.write_hdr(&named(file))?;
        }
        Ok(Step {
            cores,
            ops_per_second: report.all.ops_per_second,
            p50_us: report.all.p50_us,
            cpu_us: report.servers.as_ref().map(|cpu| cpu.us_per_operation),
            own_cores: report.own_cores,
        })
    }
}

fn shell(line: &str, cores: usize) -> Result<(), BenchError> {
    let line = line.replace(CORES, &cores.to_string());
    // Its output is not ours: a server that it starts must not hold our standard output open.
    let run = Command::new("sh").arg("-c").arg(&line).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = run.map_err(|error| BenchError::io(format!("running {line}"), error))?;
    if status.success() {
        return Ok(());
    }
    Err(BenchError::Command(format!("{line}: {status}")))
}

/// Efficiency is the rate per core, of the rate per core of the first step.
fn table(steps: &[Step]) -> String {
    let mut out = format!(
        "\n{:>6}{:>13}{:>15}{:>12}{:>11}{:>14}{:>13}\n",
        "cores", "ops/s", "ops/s a core", "efficiency", "p50 us", "server us/op", "own cores"
    );
    let per_core = |step: &Step| step.ops_per_second / step.cores as f64;
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    for step in steps {
        let efficiency = steps.first().map(|first| per_core(step) / per_core(first));
        out.push_str(&format!(
            "{:>6}{:>13.0}{:>15.0}{:>12}{:>11.0}{:>14}{:>13}\n",
            step.cores,
            step.ops_per_second,
            per_core(step),
            number(efficiency),
            step.p50_us,
            number(step.cpu_us),
            number(step.own_cores)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit_the_machine_and_one_core_is_always_measured() {
        assert_eq!(doubling(12), [1, 2, 4, 8]);
        assert_eq!(split(&[1, 2, 4], 1, 8), (vec![1, 2, 4], vec![]));
        assert_eq!(split(&[1, 2, 4], 3, 8), (vec![1, 2], vec![4]));
        assert_eq!(split(&[1, 2], 3, 1), (vec![1], vec![2]));
    }

    #[test]
    fn efficiency_is_told_against_the_first_step() {
        let step = |cores, ops_per_second| Step {
            cores,
            ops_per_second,
            p50_us: 1.0,
            cpu_us: None,
            own_cores: None,
        };
        let table = table(&[step(1, 100.0), step(4, 300.0)]);
        let line = table.lines().last().unwrap();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["4", "300", "75", "0.75", "1", "-", "-"]);
    }
}
