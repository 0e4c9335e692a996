//! The status page for people: one HTML file without anything from elsewhere.

use std::fmt::Write;

use super::status::Status;

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>synod</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.3rem .8rem .3rem 0;\
border-bottom:1px solid #d8dee4;font-variant-numeric:tabular-nums}th{font-weight:600}\
.good{color:#116329}.bad{color:#a40e26}code{font-size:.9em}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}\
.good{color:#56d364}.bad{color:#ff7b72}}</style>";

/// The page of this status.
pub fn render(status: &Status) -> String {
    let mut out = String::from(HEAD);
    let (class, word) = match (status.healthy, status.ready) {
        (true, true) if status.learner => {
            ("bad", "a learner: it serves clients, but has no vote until it has taken over what it lost")
        }
        (true, true) => ("good", "ready"),
        (true, false) => ("bad", "not ready"),
        _ => ("bad", "not healthy"),
    };
    let _ = write!(
        out,
        "<h1>synod: host {} is <span class=\"{class}\">{word}</span></h1><p>Version {}, up {}. Cluster \
         <code>{}</code>, data in <code>{}</code>, clients at <code>{}</code>.</p>",
        status.host,
        escaped(&status.version),
        duration(status.uptime_seconds),
        escaped(&status.cluster),
        escaped(&status.data_dir),
        escaped(&status.plain.join(", "))
    );
    if !status.reasons.is_empty() {
        let items: String =
            status.reasons.iter().map(|reason| format!("<li>{}</li>", escaped(reason))).collect();
        let _ = write!(out, "<ul class=\"bad\">{items}</ul>");
    }
    out.push_str("<table><tr><th>core<th>state<th>keys<th>clients<th>incarnation<th>peers up</tr>");
    for core in &status.cores {
        let peers: Vec<String> = core.peers_up.iter().map(ToString::to_string).collect();
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            core.core,
            escaped(&core.state),
            core.keys,
            core.clients,
            core.incarnation,
            peers.join(", ")
        );
    }
    out.push_str("</table>");
    if !status.peers.is_empty() {
        out.push_str("<table><tr><th>host<th>address<th>link</tr>");
        for peer in &status.peers {
            let (class, word) = match (peer.up, peer.learner) {
                (true, true) => ("bad", "up, a learner: no vote"),
                (true, false) => ("good", "up"),
                (false, _) => ("bad", "down"),
            };
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td class=\"{class}\">{word}</tr>",
                peer.host,
                escaped(&peer.address)
            );
        }
        out.push_str("</table>");
    }
    out.push_str(
        "<p><a href=\"/metrics\">metrics</a> · <a href=\"/status\">status as JSON</a> · \
                  <a href=\"/healthz\">health</a> · <a href=\"/readyz\">readiness</a></p></html>\n",
    );
    out
}

/// A duration in the two largest units.
pub fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::status::{status, tests::view};
    use super::*;

    #[test]
    fn texts_cannot_become_markup() {
        let mut status = status(&view());
        status.data_dir = "<script>alert(\"x\")</script>".to_owned();
        let page = render(&status);
        assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn durations_are_told_in_two_units() {
        let table = [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")];
        table.iter().for_each(|(seconds, text)| assert_eq!(duration(*seconds), *text));
    }
}
