//! Puts the layers together: flag over environment over file over default, and remembers where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::table::{find, ENV_PREFIX, TABLE};
use super::{check, file, limits, ConfigError, Settings};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// Nobody said anything, and the command has a default of its own (`--dev`).
    Command,
    /// The file, at this line.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Env(String),
    /// The flag of this name, without dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => out.write_str("default"),
            Origin::Command => out.write_str("default of --dev"),
            Origin::File { path, line } => write!(out, "{}:{line}", path.display()),
            Origin::Env(name) => write!(out, "env {name}"),
            Origin::Flag(name) => write!(out, "flag --{name}"),
        }
    }
}

/// What the layers are read from.
#[derive(Debug, Default)]
pub struct Sources {
    /// What the command takes instead of the table's defaults.
    pub defaults: Vec<(&'static str, String)>,
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment, all of it: names that do not begin with `SYNOD_` are passed over.
    pub env: Vec<(String, String)>,
    /// Flags that were given: name of the setting and text.
    pub flags: Vec<(String, String)>,
}

/// The settings, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Where each setting's value came from, by name.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The file, if one was named: for messages that say what to run.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Where a setting's value came from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
}

/// A variable that is no setting: the path of the file itself.
pub const ENV_CONFIG: &str = "SYNOD_CONFIG";

/// A variable that is no setting: the password with which `synod sql` logs in.
pub const ENV_PASSWORD: &str = "SYNOD_PASSWORD";

/// Reads all layers, types the values and checks each by itself and all together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut texts: BTreeMap<&'static str, String> = BTreeMap::new();
    let mut origins = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, text) in &sources.defaults {
        texts.insert(name, text.clone());
        origins.insert(*name, Origin::Command);
    }
    if let Some(path) = &sources.file {
        for line in file::parse(&path.display().to_string(), &read(path)?)? {
            texts.insert(line.name, line.text);
            origins.insert(line.name, Origin::File { path: path.clone(), line: line.line });
        }
    }
    for (variable, text) in &sources.env {
        let Some(name) = variable.strip_prefix(ENV_PREFIX) else { continue };
        match find(&name.to_ascii_lowercase()) {
            _ if variable == ENV_CONFIG || variable == ENV_PASSWORD => {}
            Some(spec) => {
                texts.insert(spec.name, text.clone());
                origins.insert(spec.name, Origin::Env(variable.clone()));
            }
            None => problems.push(unknown_variable(variable)),
        }
    }
    for (name, text) in &sources.flags {
        let spec = find(name).expect("flags are made from the table");
        texts.insert(spec.name, text.clone());
        origins.insert(spec.name, Origin::Flag(spec.flag()));
    }
    let settings = Settings::from_texts(&texts).map_err(|wrong| {
        let origin = |name| origins.get(name).unwrap_or(&Origin::Default);
        problems.extend(wrong.iter().map(|(name, reason)| format!("{}: {name}: {reason}", origin(*name))));
        ConfigError { problems: std::mem::take(&mut problems) }
    })?;
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let loaded = Loaded { settings, origins, file: sources.file.clone() };
    check::check(&loaded)?;
    Ok(loaded)
}

fn unknown_variable(variable: &str) -> String {
    let names: Vec<String> = TABLE.iter().map(|spec| spec.env()).collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    match super::suggest(variable, lower.iter().map(String::as_str)) {
        Some(near) => format!(
            "environment: there is no setting {variable}; did you mean {}?",
            near.to_ascii_uppercase()
        ),
        None => format!("environment: there is no setting {variable}; unset it, for {ENV_PREFIX} is ours"),
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |e: std::io::Error| {
        ConfigError::one(format!("cannot read the configuration {}: {e}", path.display()))
    };
    let mut content = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limits::FILE_BYTES_MAX + 1).read_to_string(&mut content).map_err(failed)?;
    if content.len() as u64 > limits::FILE_BYTES_MAX {
        return Err(ConfigError::one(format!("{} is over 1 MiB: that is no configuration", path.display())));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: Option<&Path>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
        let own =
            |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sources { file: file.map(Path::to_owned), env: own(env), flags: own(flags), ..Sources::default() }
    }

    #[test]
    fn the_highest_layer_wins_and_is_remembered() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("synod.toml");
        let content = "plain_port = 1001\nadmin_port = 1002\nclient_port_base = 1003\n";
        std::fs::write(&path, content).expect("written");
        let env = [
            ("SYNOD_ADMIN_PORT", "2002"),
            ("SYNOD_CLIENT_PORT_BASE", "2003"),
            ("SYNOD_PASSWORD", "of a client"),
            ("HOME", "/"),
        ];
        let loaded = load(&sources(Some(&path), &env, &[("client_port_base", "3003")])).expect("valid");
        let settings = &loaded.settings;
        let ports =
            [settings.plain_port, settings.admin_port, settings.client_port_base, settings.peer_port_base];
        assert_eq!(ports, [1001, 2002, 3003, 7500]);
        let origins: Vec<String> = ["plain_port", "admin_port", "client_port_base", "peer_port_base"]
            .iter()
            .map(|name| loaded.origin(name).to_string())
            .collect();
        let in_file = format!("{}:1", path.display());
        assert_eq!(origins, [in_file.as_str(), "env SYNOD_ADMIN_PORT", "flag --client-port-base", "default"]);
    }

    #[test]
    fn every_problem_is_named_with_its_origin() {
        let env = [("SYNOD_PLAIN_PROT", "1"), ("SYNOD_LOG_LEVEL", "loud"), ("SYNOD_SERVICE_HOST", "x")];
        let error = load(&sources(None, &env, &[("cores", "many")])).expect_err("three problems");
        let expected = [
            "environment: there is no setting SYNOD_PLAIN_PROT; did you mean SYNOD_PLAIN_PORT?",
            "environment: there is no setting SYNOD_SERVICE_HOST; unset it, for SYNOD_ is ours",
            "flag --cores: cores: expected a whole number, not \"many\"",
            "env SYNOD_LOG_LEVEL: log_level: expected one of error, warn, info, debug, trace, not \"loud\"",
        ];
        assert_eq!(error.problems, expected);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load(&sources(Some(Path::new("/no/such/file.toml")), &[], &[])).expect_err("no file");
        assert!(
            error.to_string().starts_with("cannot read the configuration /no/such/file.toml: "),
            "{error}"
        );
        let endless = load(&sources(Some(Path::new("/dev/zero")), &[], &[])).expect_err("too long");
        assert_eq!(endless.to_string(), "/dev/zero is over 1 MiB: that is no configuration");
    }
}
