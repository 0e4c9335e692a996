//! A configuration file: what is accepted reads back from the file that it is printed as.

use std::collections::BTreeMap;

use synod::config::{check, file, host, print, Loaded, Settings, TABLE};

/// The text of a file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(lines) = file::parse("f.toml", text) else { return };
    let texts: BTreeMap<&str, String> = lines.into_iter().map(|line| (line.name, line.text)).collect();
    let Ok(settings) = Settings::from_texts(&texts) else { return };
    let again = file::parse("again.toml", &print::file(&settings)).expect("what is printed is read");
    let again: BTreeMap<&str, String> = again.into_iter().map(|line| (line.name, line.text)).collect();
    let again = Settings::from_texts(&again).expect("what is printed is typed");
    for spec in TABLE.iter().filter(|spec| !spec.secret) {
        assert_eq!(settings.text(spec.name), again.text(spec.name), "{}", spec.name);
    }
    let loaded = Loaded { settings, origins: BTreeMap::new(), file: None };
    if check::check(&loaded).is_ok() {
        assert!(!print::print(&loaded).is_empty());
        host::limits(&loaded.settings);
        host::members(&loaded.settings);
    }
}

/// The defaults as a file, and a file with a bit of everything.
pub fn seeds() -> Vec<Vec<u8>> {
    let defaults = Settings::from_texts(&BTreeMap::new()).expect("the defaults are valid");
    let mixed = "plain_port = 6_380\nprotected_mode = false\nbind = [\"10.0.0.1\", \"::1\"]\nvalue_bytes_max = \
                 \"1 MiB\"\nhost_id = 1\n[[host]]\nid = 1\naddress = \"10.0.0.1\"\n[[host]]\nid = 2\naddress = \
                 \"10.0.0.2\"\nannounce = \"203.0.113.2\"\n";
    vec![print::file(&defaults).into_bytes(), mixed.as_bytes().to_vec(), b"host = [\"1=127.0.0.1\"]".to_vec()]
}
