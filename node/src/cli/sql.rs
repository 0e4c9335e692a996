//! `synod sql`: a shell for tables.

use std::path::PathBuf;

use clap::ArgMatches;

use crate::boot::Failure;
use crate::config::layers::ENV_PASSWORD;
use crate::shell::{self, Format, Options};

/// Reads the flags and runs the shell.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let texts = |name: &str| -> Vec<String> {
        matches.get_many::<String>(name).map(|values| values.cloned().collect()).unwrap_or_default()
    };
    let password = match matches.get_one::<String>("password") {
        Some(password) => Some(password.clone()),
        None => match std::env::var(ENV_PASSWORD) {
            Ok(password) => Some(password),
            Err(std::env::VarError::NotPresent) => None,
            Err(error) => return Err(Failure::Usage(format!("{ENV_PASSWORD}: {error}"))),
        },
    };
    let user = matches.get_one::<String>("user").cloned();
    if user.is_some() && password.is_none() {
        return Err(Failure::Usage(format!("--user needs a password: --password, or {ENV_PASSWORD}")));
    }
    let format = matches.get_one::<String>("format").and_then(|name| Format::of(name));
    shell::run(Options {
        hosts: texts("host"),
        user,
        password,
        commands: texts("command"),
        file: matches.get_one::<PathBuf>("file").cloned(),
        format: format.ok_or_else(|| Failure::Usage("--format: there is no such format".to_owned()))?,
    })
}
