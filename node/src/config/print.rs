//! `--print-config`: every value with where it came from, as a file that reads back.

use super::table::{Change, Spec, TABLE};
use super::{Loaded, Settings};

/// The settings as TOML, one line per setting with its origin as a comment. Secrets are hidden.
pub fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    for spec in TABLE {
        let text = loaded.settings.text(spec.name).expect("the table and the settings are one");
        out.push_str(&format!("{:<52} # {}\n", assignment(spec, &text), loaded.origin(spec.name)));
    }
    out
}

/// A file that reads back as these settings. It leaves out what is not set, and it holds no secrets.
pub fn file(settings: &Settings) -> String {
    let line = |spec: &Spec| {
        let text = settings.text(spec.name).expect("the table and the settings are one");
        (!text.is_empty()).then(|| assignment(spec, &text) + "\n")
    };
    TABLE.iter().filter_map(line).collect()
}

fn assignment(spec: &Spec, text: &str) -> String {
    match text {
        "" => format!("# {} is not set", spec.name),
        _ if spec.secret => format!("# {} = (hidden)", spec.name),
        text if spec.bare => format!("{} = {text}", spec.name),
        text if spec.name == "host" => {
            let items: Vec<String> =
                text.split(',').map(|item| toml::Value::from(item).to_string()).collect();
            format!("host = [{}]", items.join(", "))
        }
        text => format!("{} = {}", spec.name, toml::Value::from(text)),
    }
}

/// The reference of all settings in Markdown: what docs/config.md holds.
pub fn reference() -> String {
    let mut out = String::from("| setting | default | changes | what it does |\n|---|---|---|---|\n");
    for spec in TABLE {
        let change = match spec.change {
            Change::Online => "online",
            Change::Restart => "at restart",
            Change::Init => "at `synod init`",
        };
        let default = match spec.default {
            "" => "–".to_owned(),
            text => format!("`{text}`"),
        };
        out.push_str(&format!("| `{}` | {default} | {change} | {} |\n", spec.name, spec.doc.trim()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{load, Sources};
    use super::*;

    #[test]
    fn what_is_printed_reads_back_and_hides_secrets() {
        let pairs = [
            ("host", "1=10.0.0.1,2=10.0.0.2/203.0.113.2,3=10.0.0.3"),
            ("cluster_secret", "correct horse battery staple"),
            ("requirepass", "hunter2"),
            ("cache_bytes", "3 MiB"),
            ("bind", "10.0.0.1,::1"),
        ];
        let flags = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let loaded = load(&Sources { flags, ..Sources::default() }).expect("valid");
        let printed = print(&loaded);
        assert!(!printed.contains("horse") && !printed.contains("hunter2"), "{printed}");
        let line = printed.lines().find(|line| line.starts_with("cache_bytes")).expect("a line per setting");
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>().join(" "),
            "cache_bytes = \"3 MiB\" # flag --cache-bytes"
        );
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("printed.toml");
        std::fs::write(&path, &printed).expect("written");
        let mut again =
            load(&Sources { file: Some(path), ..Sources::default() }).expect("reads back").settings;
        again.cluster_secret = loaded.settings.cluster_secret.clone();
        again.requirepass = loaded.settings.requirepass.clone();
        assert_eq!(again, loaded.settings);
    }

    #[test]
    fn the_reference_in_the_documents_is_the_table() {
        let page = include_str!("../../../docs/config.md");
        for line in reference().lines() {
            assert!(
                page.contains(line),
                "docs/config.md lacks this line (`synod config-reference` prints all):\n{line}"
            );
        }
    }
}
