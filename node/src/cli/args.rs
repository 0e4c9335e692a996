//! The commands and their flags, and how settings are read from them.

use std::path::{Path, PathBuf};

use clap::{value_parser, Arg, ArgAction, ArgMatches, Command};

use crate::boot::Failure;
use crate::config::layers::{ENV_CONFIG, ENV_PASSWORD};
use crate::config::{self, Loaded, Sources, TABLE};
use crate::shell::Format;

const SETTINGS_HEADING: &str = "Settings (also in the file, and in the environment as SYNOD_NAME)";

/// The whole command line.
pub(super) fn command() -> Command {
    let setup = |name, about| Command::new(name).about(about);
    let configured = |command: Command| command.arg(config_file()).args(settings());
    Command::new("synod")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A replicated storage node: linearizable, fsynced, leaderless, over the Redis protocol")
        .after_help("First steps: `synod start --dev` for one replica, `synod cluster --dev` for three hosts on this machine.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(init_flags(configured(setup("init", "Make the data directory of a host"))))
        .subcommand(serve_flags(configured(setup("serve", "Serve clients and peers"))))
        .subcommand(
            configured(setup("start", "Serve one replica without a configuration (--dev)"))
                .arg(dev_flag())
                .arg(folder("synod-data"))
                .arg(print_flag()),
        )
        .subcommand(
            configured(setup("cluster", "Run three hosts on 127.0.0.1, .2 and .3 (--dev)"))
                .arg(dev_flag())
                .arg(folder("synod-cluster"))
                .arg(
                    Arg::new("verb")
                        .value_name("VERB")
                        .value_parser(["start", "kill", "restart", "status", "stop"])
                        .help("In the background instead: start, kill N, restart N, status, stop"),
                )
                .arg(Arg::new("number").value_name("N").value_parser(value_parser!(u32)).help("Which host: 1, 2 or 3")),
        )
        .subcommand(
            configured(setup("status", "Ask all hosts how they are")).arg(output_flag()).arg(
                Arg::new("admin")
                    .long("admin")
                    .value_name("IP:PORT")
                    .action(ArgAction::Append)
                    .value_parser(value_parser!(std::net::SocketAddr))
                    .help("Ask this admin port instead of those of the member list; may be repeated"),
            ),
        )
        .subcommand(
            configured(setup(
                "recover",
                "Say that another host has lost its data and may come back with a new data directory; run it on each \
                 of the others",
            ))
            .arg(
                Arg::new("lost-host")
                    .long("lost-host")
                    .value_name("ID")
                    .required(true)
                    .value_parser(value_parser!(u32))
                    .help("The host that lost its data"),
            ),
        )
        .subcommand(sql_flags(setup("sql", "A shell for tables: statements, table output, CSV in and out")))
        .subcommand(
            setup("inspect", "Print what a file of a data directory holds")
                .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf))),
        )
        .subcommand(configured(setup("check", "Look at this machine: kernel, limits, disk")))
        .subcommand(setup("config-reference", "Print all settings as a Markdown table").hide(true))
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("Configuration file (or {ENV_CONFIG})"))
}

fn settings() -> Vec<Arg> {
    let flag = |spec: &'static config::Spec| {
        let arg = Arg::new(spec.name)
            .long(spec.flag())
            .value_name(spec.name.to_ascii_uppercase())
            .help(spec.doc.trim())
            .hide_short_help(true)
            .allow_hyphen_values(true)
            .help_heading(SETTINGS_HEADING);
        match spec.switch {
            true => arg.num_args(0..=1).default_missing_value("true"),
            false => arg,
        }
    };
    TABLE.iter().map(flag).collect()
}

fn init_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("new-cluster")
                .long("new-cluster")
                .action(ArgAction::SetTrue)
                .conflicts_with("cluster-id")
                .help("Found a cluster: choose its id, and make the cluster secret where cluster_secret_file names one"),
        )
        .arg(
            Arg::new("cluster-id")
                .long("cluster-id")
                .value_name("ID")
                .help("Join the cluster with this id, as printed by `synod init --new-cluster` on the first host"),
        )
        .arg(
            Arg::new("rejoin")
                .long("rejoin")
                .action(ArgAction::SetTrue)
                .requires("cluster-id")
                .conflicts_with("new-cluster")
                .help(
                    "This host was in the cluster and has lost its data: come back as a learner, which serves clients but has \
                     no vote",
                ),
        )
}

fn serve_flags(command: Command) -> Command {
    command.arg(print_flag()).arg(
        Arg::new("die-with-parent")
            .long("die-with-parent")
            .action(ArgAction::SetTrue)
            .hide(true)
            .help("End when the process that started this one ends"),
    )
}

fn sql_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("IP:PORT")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .default_value("127.0.0.1:6379")
                .help("Plain ports of hosts, with commas between them: the first that answers, the next if that one is lost"),
        )
        .arg(Arg::new("user").long("user").value_name("NAME").help("Log in as this user"))
        .arg(
            Arg::new("password")
                .long("password")
                .value_name("PASSWORD")
                .help(format!("Log in with this password; {ENV_PASSWORD} says it without showing it to others")),
        )
        .arg(
            Arg::new("command")
                .short('c')
                .long("command")
                .value_name("STATEMENT")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("Run this, a statement or a command, and end; may be repeated"),
        )
        .arg(
            Arg::new("file")
                .short('f')
                .long("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Run the statements of this file, and end; - is the standard input"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(Format::NAMES)
                .default_value(Format::NAMES[0])
                .help("How to print rows"),
        )
}

fn print_flag() -> Arg {
    Arg::new("print-config")
        .long("print-config")
        .action(ArgAction::SetTrue)
        .help("Print every setting with where its value came from, and exit")
}

fn dev_flag() -> Arg {
    Arg::new("dev")
        .long("dev")
        .action(ArgAction::SetTrue)
        .help("For trying things out: small files, nothing to configure")
}

fn folder(default: &'static str) -> Arg {
    Arg::new("dir")
        .long("dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help(format!("Where the data goes [default: {default}]"))
}

fn output_flag() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FORMAT")
        .value_parser(["table", "json"])
        .default_value("table")
        .help("How to print")
}

/// Reads the settings of a command. `defaults` stand in for the table's own; everything else overrides them.
pub(super) fn load(matches: &ArgMatches, defaults: &[(&'static str, String)]) -> Result<Loaded, Failure> {
    let file = matches.get_one::<PathBuf>("config").cloned();
    let file = file.or_else(|| std::env::var_os(ENV_CONFIG).map(PathBuf::from));
    let env = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let given = |spec: &config::Spec| {
        matches.get_one::<String>(spec.name).map(|text| (spec.name.to_owned(), text.clone()))
    };
    let sources = Sources {
        defaults: defaults.to_vec(),
        file,
        env: env.collect(),
        flags: TABLE.iter().filter_map(given).collect(),
    };
    Ok(config::load(&sources)?)
}

/// Prints the configuration if that was asked for.
pub(super) fn print_config(matches: &ArgMatches, loaded: &Loaded) -> bool {
    let asked = matches.get_flag("print-config");
    if asked {
        print!("{}", config::print::print(loaded));
    }
    asked
}

/// The folder of `--dir`, or its default.
pub(super) fn directory(matches: &ArgMatches, default: &str) -> PathBuf {
    matches.get_one::<PathBuf>("dir").cloned().unwrap_or_else(|| Path::new(default).to_owned())
}

/// Commands that are for trying things out say so in their flags.
pub(super) fn require_dev(matches: &ArgMatches, command: &str, instead: &str) -> Result<(), Failure> {
    match matches.get_flag("dev") {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "`synod {command}` needs --dev, for it is for trying things out; for real data use `{instead}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
