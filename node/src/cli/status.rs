//! `synod status`: asks the admin port of every host, side by side.

use std::net::SocketAddr;
use std::thread;

use clap::ArgMatches;
use serde::Serialize;

use crate::admin::status::CoreStatus;
use crate::admin::{http, page, Status};
use crate::boot::Failure;
use crate::config::host::members;
use crate::config::Loaded;

/// One host as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    admin: String,
    up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// Prints a table or JSON; fails when a host does not answer or is not ready.
pub(super) fn run(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let rows = ask_all(&addresses(loaded, matches));
    match matches.get_one::<String>("output").map(String::as_str) {
        Some("json") => {
            let json = serde_json::to_string_pretty(&rows).map_err(|e| Failure::Other(e.to_string()))?;
            println!("{json}");
        }
        _ => print!("{}", table(&rows)),
    }
    let bad = rows.iter().filter(|row| !row.status.as_ref().is_some_and(|status| status.ready)).count();
    match bad {
        0 => Ok(()),
        bad => Err(Failure::Other(format!("{bad} of {} hosts not ready", rows.len()))),
    }
}

fn addresses(loaded: &Loaded, matches: &ArgMatches) -> Vec<SocketAddr> {
    if let Some(given) = matches.get_many::<SocketAddr>("admin") {
        return given.copied().collect();
    }
    let port = loaded.settings.admin_port;
    members(&loaded.settings).iter().map(|member| SocketAddr::new(member.address, port)).collect()
}

fn ask_all(addresses: &[SocketAddr]) -> Vec<Row> {
    thread::scope(|scope| {
        let asked: Vec<_> = addresses.iter().map(|address| scope.spawn(|| ask(*address))).collect();
        asked.into_iter().map(|thread| thread.join().expect("a panic ends the process")).collect()
    })
}

fn ask(address: SocketAddr) -> Row {
    let answer =
        http::get(address, "/status").map_err(|e| e.to_string()).and_then(|(code, body)| match code {
            200 => serde_json::from_str::<Status>(&body).map_err(|e| format!("a strange answer: {e}")),
            code => Err(format!("answered {code}")),
        });
    let admin = address.to_string();
    match answer {
        Ok(status) => Row { admin, up: true, error: None, status: Some(status) },
        Err(error) => Row { admin, up: false, error: Some(error), status: None },
    }
}

const HEADINGS: [&str; 9] =
    ["host", "admin", "state", "keys", "clients", "cores", "incarnation", "peers up", "up for"];

fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(columns));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    for row in rows {
        let reasons = row.status.iter().flat_map(|status| &status.reasons).chain(row.error.as_ref());
        reasons.for_each(|reason| out.push_str(&format!("  {}: {reason}\n", row.admin)));
        let aside = row.status.as_ref().map_or(0, |status| status.repair.logs_aside);
        if aside > 0 {
            let note =
                format!("damaged logs were put aside: {aside}; their files are lost-* in the data directory");
            out.push_str(&format!("  {}: {note}\n", row.admin));
        }
        let cores = row.status.iter().flat_map(|status| &status.cores);
        cores.for_each(|core| tree_notes(&row.admin, core, &mut out));
    }
    out
}

/// What is wrong with the tree of a core.
fn tree_notes(admin: &str, core: &CoreStatus, out: &mut String) {
    let CoreStatus { core, tree, .. } = core;
    if tree.closed {
        let note = "is closed: no rows of large tables are served; see the log, then restart the process";
        out.push_str(&format!("  {admin}: the tree of core {core} {note}\n"));
    }
    if tree.damaged_tables > 0 {
        let tables = tree.damaged_tables;
        let note = "damaged tables, whose rows cannot be read; see the log";
        out.push_str(&format!("  {admin}: the tree of core {core} has {tables} {note}\n"));
    }
}

fn columns(row: &Row) -> [String; 9] {
    let none = || "-".to_owned();
    let Some(status) = &row.status else {
        return [
            none(),
            row.admin.clone(),
            "down".to_owned(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
        ];
    };
    let state = match (status.healthy, status.ready) {
        (true, true) if status.learner => "learner",
        (true, true) if status.repair.slots_behind > 0 => "behind",
        (true, true) => "ready",
        (true, false) => "not ready",
        _ => "not healthy",
    };
    let incarnation = status.cores.iter().map(|core| core.incarnation).max().unwrap_or(0);
    let up: Vec<String> =
        status.peers.iter().filter(|peer| peer.up).map(|peer| peer.host.to_string()).collect();
    [
        status.host.to_string(),
        row.admin.clone(),
        state.to_owned(),
        status.keys.to_string(),
        status.clients.to_string(),
        status.cores.len().to_string(),
        incarnation.to_string(),
        if up.is_empty() { none() } else { up.join(",") },
        page::duration(status.uptime_seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_does_not_answer_has_a_row_and_a_reason() {
        let row = Row {
            admin: "10.0.0.2:7900".to_owned(),
            up: false,
            error: Some("refused".to_owned()),
            status: None,
        };
        let text = table(&[row]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("host  admin          state"), "{text}");
        assert!(lines[1].starts_with("-     10.0.0.2:7900  down"), "{text}");
        assert_eq!(lines[2], "  10.0.0.2:7900: refused");
    }
}
