//! One table of several reports: loads line by line, drills with what they lost.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::BenchError;

/// The table, and whether every drill in it lost nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// For people; the last line counts the acknowledged writes lost if a drill is among the reports.
    pub text: String,
    /// Whether every drill was good.
    pub good: bool,
}

/// Reads reports as `load --json` and `drill kill --json` write them.
pub fn read(files: &[impl AsRef<Path>]) -> Result<Summary, BenchError> {
    let mut reports = Vec::new();
    for file in files {
        let file = file.as_ref();
        let text = std::fs::read_to_string(file)
            .map_err(|error| BenchError::io(format!("read {}", file.display()), error))?;
        let report = serde_json::from_str(&text)
            .map_err(|error| BenchError::Usage(format!("{} is no report: {error}", file.display())))?;
        reports.push(report);
    }
    Ok(summarise(&reports))
}

fn summarise(reports: &[Value]) -> Summary {
    let mut text = format!(
        "{:<58} {:>9} {:>9} {:>9} {:>7} {:>11}\n",
        "", "ops/s", "p50 us", "p99 us", "errors", "CPU us/op"
    );
    let (mut lost, mut drills, mut good) = (0_u64, 0, true);
    for report in reports {
        if report["kills"].is_array() {
            drills += 1;
            lost = lost.saturating_add(report["lost"].as_u64().unwrap_or(u64::MAX));
            good &= report["good"].as_bool().unwrap_or(false);
            drill_line(&mut text, report);
        } else {
            load_lines(&mut text, report);
        }
    }
    if drills > 0 {
        let _ = writeln!(text, "acknowledged writes lost: {lost}");
    }
    Summary { text, good: good && lost == 0 }
}

fn load_lines(text: &mut String, report: &Value) {
    let _ = writeln!(text, "{}", report["what"].as_str().unwrap_or("load"));
    let cpu = report["servers"]["us_per_operation"].as_f64();
    let command = |what: &str| report[what].as_str().unwrap_or(what).to_owned();
    let lines =
        [("reads", command("read"), None), ("writes", command("write"), None), ("all", command("all"), cpu)];
    for (field, name, cpu) in lines {
        let line = &report[field];
        let number = |name: &str| line[name].as_f64().unwrap_or(0.0);
        let cpu = cpu.map_or(String::new(), |cpu| format!("{cpu:.1}"));
        let errors = if field == "all" { report["errors"].to_string() } else { String::new() };
        let (ops, p50, p99) = (number("ops_per_second"), number("p50_us"), number("p99_us"));
        let _ = writeln!(text, "  {name:<56} {ops:>9.0} {p50:>9.0} {p99:>9.0} {errors:>7} {cpu:>11}");
    }
}

fn drill_line(text: &mut String, report: &Value) {
    let kills = report["kills"].as_array().map_or(0, Vec::len);
    let number = |field: &str| report[field].as_f64().unwrap_or(0.0);
    let _ = writeln!(
        text,
        "drill: hosts killed {kills}, writes acknowledged {}, unknown {}, errors {}, longest gap {:.0} ms",
        number("acknowledged"),
        number("unknown"),
        number("errors"),
        number("longest_gap_ms"),
    );
}

#[cfg(test)]
mod tests {
    use super::summarise;
    use serde_json::json;

    #[test]
    fn a_loss_is_told_and_is_not_good() {
        let load =
            json!({"what": "closed loop", "errors": 2, "all": {"ops_per_second": 10.0}, "servers": null});
        let drill = |lost: u64| json!({"kills": [{}], "lost": lost, "good": lost == 0, "acknowledged": 7});
        let clean = summarise(&[load.clone(), drill(0)]);
        assert!(clean.good && clean.text.ends_with("acknowledged writes lost: 0\n"), "{}", clean.text);
        let bad = summarise(&[load, drill(3)]);
        assert!(!bad.good && bad.text.ends_with("acknowledged writes lost: 3\n"), "{}", bad.text);
        assert!(!summarise(&[json!({"kills": []})]).good, "a report without its numbers is not good");
    }
}
