//! The command line: what each command takes, and which function does it.
//!
//! Flags of settings come from the table of settings; a flag that exists there exists here, under every command that
//! reads a configuration. Exit codes: 0 done, 64 wrong usage, 78 this configuration, data directory or host cannot be
//! used, 1 anything else.

mod args;
mod check;
mod init;
mod inspect;
mod recover;
mod sql;
mod status;

use std::process::ExitCode;

use crate::boot::{self, Failure, Handover};
use crate::config::{self, Loaded};
use crate::{dev, dev_cluster};

/// Runs the command of this process. `cores` runs the cores of a host until they end.
pub fn main(cores: impl FnOnce(Handover) -> Result<(), Failure>) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match args::command().try_get_matches_from(arguments) {
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 64 } else { 0 })
        }
        Ok(matches) => match run(&matches, cores) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                failure.to_string().lines().for_each(|line| eprintln!("synod: {line}"));
                ExitCode::from(failure.code())
            }
        },
    }
}

fn run(
    matches: &clap::ArgMatches,
    cores: impl FnOnce(Handover) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("name a command; `synod --help` lists them".to_owned()));
    };
    match name {
        "init" => init::run(&args::load(matches, &[])?, matches),
        "serve" => serve(&args::load(matches, &[])?, matches, cores),
        "start" => {
            args::require_dev(matches, "start", "synod serve --config FILE")?;
            let directory = args::directory(matches, "synod-data");
            let loaded = args::load(matches, &dev::one_host(&directory))?;
            if args::print_config(matches, &loaded) {
                return Ok(());
            }
            dev::init_if_empty(&loaded)?;
            boot::serve(&loaded, cores)
        }
        "cluster" => {
            args::require_dev(matches, "cluster", "synod serve --config FILE on each host")?;
            let (directory, loaded) = (args::directory(matches, "synod-cluster"), args::load(matches, &[])?);
            match matches.get_one::<String>("verb") {
                None => dev::cluster(&directory, &loaded),
                Some(verb) => dev_cluster::run(verb, &directory, matches.get_one("number").copied(), &loaded),
            }
        }
        "status" => status::run(&args::load(matches, &[])?, matches),
        "recover" => recover::run(&args::load(matches, &[])?, matches),
        "sql" => sql::run(matches),
        "inspect" => inspect::run(matches),
        "check" => check::run(&args::load(matches, &[])?),
        "config-reference" => {
            print!("{}", config::print::reference());
            Ok(())
        }
        other => Err(Failure::Usage(format!("there is no command {other}"))),
    }
}

fn serve(
    loaded: &Loaded,
    matches: &clap::ArgMatches,
    cores: impl FnOnce(Handover) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if args::print_config(matches, loaded) {
        return Ok(());
    }
    if matches.get_flag("die-with-parent") {
        dev::die_with_parent()?;
    }
    boot::serve(loaded, cores)
}
