//! The results as text: one table per group like that of the reference figures, and the goals.

use std::fmt::Write as _;

use crate::goals::Goal;
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{median, Operation, Outcome, Record, Who};

/// One line of a table: a system and what was done to it, with the samples of all runs.
#[derive(Debug)]
pub struct Row<'a> {
    /// The system.
    pub who: Who,
    /// What was done.
    pub operation: Operation,
    /// Per point the runs, in order.
    pub cells: Vec<(Point, Vec<&'a Outcome>)>,
}

impl Row<'_> {
    /// The median over the runs at a point.
    pub fn median(&self, point: Point, of: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        let (_, runs) = self.cells.iter().find(|(at, _)| *at == point)?;
        median(runs.iter().filter_map(|outcome| of(outcome)))
    }

    /// Its points.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.cells.iter().map(|(point, _)| *point)
    }
}

/// The groups that have samples, in the order in which they were measured.
pub fn groups(record: &Record) -> Vec<&'static str> {
    let mut groups: Vec<&'static str> = Vec::new();
    for sample in &record.samples {
        if !groups.contains(&sample.group) {
            groups.push(sample.group);
        }
    }
    groups
}

/// The lines of a group.
pub fn rows<'a>(record: &'a Record, group: &str) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for sample in record.samples.iter().filter(|sample| sample.group == group) {
        let (who, operation) = (sample.who, sample.operation);
        let at =
            rows.iter().position(|row| (row.operation, row.who) == (operation, who)).unwrap_or_else(|| {
                rows.push(Row { who, operation, cells: Vec::new() });
                rows.len() - 1
            });
        let cells = &mut rows[at].cells;
        match cells.iter_mut().find(|(point, _)| *point == sample.point) {
            Some((_, runs)) => runs.push(&sample.outcome),
            None => cells.push((sample.point, vec![&sample.outcome])),
        }
    }
    rows.sort_by_key(|row| (row.operation, row.who));
    rows
}

/// Everything, for a terminal.
pub fn text(machine: &Machine, record: &Record, goals: &[Goal]) -> String {
    let mut out = format!("{}\n", describe(machine));
    for group in groups(record) {
        samples(&mut out, record, group);
    }
    figures(&mut out, record);
    for text in record.missing() {
        let _ = writeln!(out, "not measured: {text}");
    }
    verdicts(&mut out, goals);
    out
}

/// The machine in one line.
pub fn describe(machine: &Machine) -> String {
    format!(
        "{} CPUs ({}), {:.0} GiB, Linux {}, load {:.2} before",
        machine.cpus,
        machine.model,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.load_before
    )
}

fn samples(out: &mut String, record: &Record, group: &str) {
    let rows = rows(record, group);
    let mut points: Vec<Point> = Vec::new();
    for point in rows.iter().flat_map(Row::points) {
        if !points.contains(&point) {
            points.push(point);
        }
    }
    let _ = write!(out, "\n{group}: thousand operations per second (p50 in ms), medians\n{:<66}", "");
    for point in &points {
        let _ = write!(out, "{point:>17}");
    }
    let _ = writeln!(out, "{:>18}{:>8}", "server us/op", "others");
    for row in &rows {
        let _ = write!(out, "{:<66}", format!("{}: {}", row.who.name(), row.operation.name()));
        for point in &points {
            let _ = write!(out, "{:>17}", cell(row, *point));
        }
        let _ = writeln!(out, "{:>18}{:>8}", cpu(row, &points), others(row));
    }
}

fn cell(row: &Row<'_>, point: Point) -> String {
    let rate = row.median(point, |outcome| Some(outcome.ops_per_second));
    let p50 = row.median(point, |outcome| (outcome.p50_us > 0.0).then_some(outcome.p50_us));
    let errors = row.median(point, |outcome| Some(outcome.errors as f64)).is_some_and(|errors| errors > 0.0);
    let mark = if errors { "!" } else { "" };
    match (rate, p50) {
        (Some(rate), Some(p50)) => format!("{mark}{:.1} ({:.2})", rate / 1e3, p50 / 1e3),
        (Some(rate), None) => format!("{mark}{:.1}", rate / 1e3),
        _ => String::new(),
    }
}

/// CPU per operation at the first and the deepest point, as far as it is known.
fn cpu(row: &Row<'_>, points: &[Point]) -> String {
    let at = |point: &&Point| row.median(**point, |outcome| outcome.servers_us_per_operation);
    let first = points.first().and_then(|point| at(&point));
    let deep = points
        .iter()
        .filter(|point| at(point).is_some())
        .max_by_key(|point| point.pipeline)
        .and_then(|point| at(&point));
    match (first, deep) {
        (Some(first), Some(deep)) if points.len() > 1 => format!("{first:.1} -> {deep:.1}"),
        (Some(only), _) | (None, Some(only)) => format!("{only:.1}"),
        (None, None) => String::new(),
    }
}

/// CPUs that others used meanwhile, median over everything in the row.
fn others(row: &Row<'_>) -> String {
    let all = row.cells.iter().flat_map(|(_, runs)| runs.iter().filter_map(|outcome| outcome.other_cores));
    median(all).map_or(String::new(), |cores| format!("{cores:.2}"))
}

fn figures(out: &mut String, record: &Record) {
    let mut names: Vec<(&str, &str, &str)> = Vec::new();
    for figure in &record.figures {
        let key = (figure.group, figure.name, figure.unit);
        if !names.contains(&key) {
            names.push(key);
        }
    }
    if !names.is_empty() {
        out.push('\n');
    }
    for (group, name, unit) in names {
        let values = record.figures.iter().filter(|figure| (figure.group, figure.name) == (group, name));
        let value = median(values.map(|figure| figure.value)).unwrap_or(0.0);
        let _ = writeln!(out, "{group}: {name}: {} {unit}", number(value));
    }
}

/// A number with as many places as it is worth.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn verdicts(out: &mut String, goals: &[Goal]) {
    let _ = writeln!(out, "\ngoals (value and bound of each run)");
    for goal in goals {
        let runs: Vec<String> = goal.runs.iter().map(verdict).collect();
        let count = format!("met in {} of {} runs", goal.met(), goal.runs.len());
        let _ = writeln!(out, "{:<9}{:<82}{count:<20}{}", goal.group, goal.text, runs.join("  "));
    }
    let (met, all) = tally(goals);
    let _ = writeln!(out, "met in two runs of three: {met} of {all} goals");
}

/// One run of a goal.
pub fn verdict(judged: &crate::goals::Judged) -> String {
    let sign = if judged.at_least { ">=" } else { "<=" };
    let met = if judged.met { "met" } else { "NOT met" };
    format!("{} {sign} {} {met}", number(judged.value), number(judged.wanted))
}

/// Goals that are met in two runs of three, and all goals.
pub fn tally(goals: &[Goal]) -> (usize, usize) {
    (goals.iter().filter(|goal| goal.met() * 3 >= goal.runs.len() * 2).count(), goals.len())
}
