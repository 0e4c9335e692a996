//! The results as JSON, and as one page that needs nothing else: tables, goals and plots.

use std::fmt::Write as _;

use serde::Serialize;

use crate::context::Options;
use crate::error::Result;
use crate::goals::Goal;
use crate::machine::Machine;
use crate::record::{Figure, Record, Sample};
use crate::table::{self, Row};

mod plot;

/// The shape of the JSON.
#[derive(Serialize)]
struct All<'a> {
    /// Grows when a field changes its meaning.
    version: u32,
    machine: &'a Machine,
    runs: usize,
    seconds: f64,
    keys: u64,
    samples: &'a [Sample],
    figures: &'a [Figure],
    left_out: &'a [String],
    failed: &'a [String],
    goals: &'a [Goal],
}

/// Everything, as JSON.
pub fn json(machine: &Machine, options: &Options, record: &Record, goals: &[Goal]) -> String {
    let all = All {
        version: 1,
        machine,
        runs: options.runs,
        seconds: options.seconds.as_secs_f64(),
        keys: options.keys,
        samples: &record.samples,
        figures: &record.figures,
        left_out: &record.left_out,
        failed: &record.failed,
        goals,
    };
    serde_json::to_string_pretty(&all).expect("the shape has only string keys and plain values") + "\n"
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0;font-size:13px}td,th{padding:3px 9px;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}.met{color:#176b2c}.not{color:#a61b1b}svg{max-width:100%;height:auto}";

/// Everything, as a page.
pub fn html(machine: &Machine, options: &Options, record: &Record, goals: &[Goal]) -> Result<String> {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Synod and its peers</title>",
    );
    let _ = write!(out, "<style>{STYLE}</style><h1>Synod and its peers on one machine</h1>");
    let _ = write!(
        out,
        "<p>{}. {} runs of {:.1} s a point, {} keys of 100-byte values; medians. All servers and the load share the machine, \
         so only ratios of one run mean something.</p>",
        escape(&table::describe(machine)),
        options.runs,
        options.seconds.as_secs_f64(),
        options.keys,
    );
    goals_table(&mut out, goals);
    for group in table::groups(record) {
        group_part(&mut out, record, group)?;
    }
    out.push_str("<h2>Single figures</h2><table><tr><th>figure<th>run<th>value");
    for figure in &record.figures {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{} {}",
            escape(figure.name),
            figure.run,
            table::number(figure.value),
            figure.unit
        );
    }
    out.push_str("</table>");
    for text in record.missing() {
        let _ = write!(out, "<p>Not measured: {}</p>", escape(text));
    }
    for (name, version) in &machine.versions {
        let _ = write!(out, "<p>{}: {}</p>", escape(name), escape(version));
    }
    out.push_str("</html>\n");
    Ok(out)
}

fn goals_table(out: &mut String, goals: &[Goal]) {
    let (met, all) = table::tally(goals);
    let _ = write!(out, "<h2>Goals: {met} of {all} met in two runs of three</h2><table><tr><th>goal<th>met<th>value and bound, run by run");
    for goal in goals {
        let class = if goal.met() * 3 >= goal.runs.len() * 2 { "met" } else { "not" };
        let runs: Vec<String> = goal.runs.iter().map(table::verdict).collect();
        let (text, count) =
            (format!("{}: {}", goal.group, goal.text), format!("{} of {}", goal.met(), goal.runs.len()));
        let _ =
            write!(out, "<tr><td>{}<td class={class}>{count}<td>{}", escape(&text), escape(&runs.join("; ")));
    }
    out.push_str("</table>");
}

fn group_part(out: &mut String, record: &Record, group: &str) -> Result<()> {
    let rows = table::rows(record, group);
    let _ = write!(out, "<h2>{}</h2><table><tr><th>system<th>point<th>operations/s<th>p50 ms<th>p99 ms<th>p99.9 ms<th>server us/op<th>errors", escape(group));
    for row in &rows {
        row_part(out, row);
    }
    out.push_str("</table>");
    let mut operations: Vec<_> = rows.iter().map(|row| row.operation).collect();
    operations.dedup();
    for operation in operations {
        let of: Vec<&Row<'_>> = rows.iter().filter(|row| row.operation == operation).collect();
        if of.iter().any(|row| row.points().count() > 1) {
            out.push_str(&plot::speed(
                &format!("{group}: {}, median latency over throughput", operation.name()),
                &of,
            )?);
        }
        let Some(point) = of.iter().flat_map(|row| row.points()).next() else { continue };
        if of.iter().any(|row| plot::has_curve(row, point)) {
            let title = format!("{group}: {} at {point}, latency by percentile", operation.name());
            out.push_str(&plot::percentiles(&title, &of, point)?);
        }
    }
    Ok(())
}

fn row_part(out: &mut String, row: &Row<'_>) {
    for point in row.points() {
        let of = |get: fn(&crate::record::Outcome) -> f64| {
            row.median(point, |outcome| Some(get(outcome))).unwrap_or(0.0)
        };
        let cpu = row
            .median(point, |outcome| outcome.servers_us_per_operation)
            .map_or(String::new(), table::number);
        let _ = write!(
            out,
            "<tr><td>{}: {}<td>{point}<td>{:.0}<td>{:.2}<td>{:.2}<td>{:.2}<td>{cpu}<td>{:.0}",
            escape(row.who.name()),
            escape(row.operation.name()),
            of(|outcome| outcome.ops_per_second),
            of(|outcome| outcome.p50_us) / 1e3,
            of(|outcome| outcome.p99_us) / 1e3,
            of(|outcome| outcome.p999_us) / 1e3,
            of(|outcome| outcome.errors as f64),
        );
    }
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
