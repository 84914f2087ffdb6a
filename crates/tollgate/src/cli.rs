//! The command line: what there is to say, and in which form.

mod bench;
#[cfg(test)]
mod book;
mod keys;
mod usage;
mod values;

pub(crate) use bench::BenchArgs;
pub(crate) use keys::{
    CreateKey, ExportKeys, ImportKeys, KeyIdArg, KeysCommand, KindArg, ListKeys, OwnersCommand, RevokeKey, RotateKey, UpdateKey,
};
pub(crate) use usage::{KeyUsageArgs, TopArgs, UsageCommand};

use std::path::PathBuf;

use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};

use crate::output::OutputFormat;

/// A distributed rate limiter and API-key gate.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The name of the command that was given, such as `keys list`: never what it was given with.
pub(crate) fn command_name(matches: &ArgMatches) -> String {
    let levels = std::iter::successors(matches.subcommand(), |(_, below)| below.subcommand());
    levels.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The node to speak to, or the balancer in front of many
    #[arg(long, global = true, env = "TOLLGATE_URL", hide_env_values = true, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// A file that holds your api key, key_id:secret; `-` is standard input. Else TOLLGATE_API_KEY
    /// is taken, else you are asked
    #[arg(long, global = true, env = "TOLLGATE_API_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A file with certificate authorities (PEM) to trust besides the machine's
    #[arg(long, global = true, env = "TOLLGATE_CA_FILE", hide_env_values = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The x-request-id to send, instead of a new one
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// The form of results
    #[arg(long, global = true, env = "TOLLGATE_OUTPUT", hide_env_values = true, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node
    Serve(ServeArgs),
    /// Bring the database schema up to date (mode cluster)
    Migrate(MigrateArgs),
    /// Make the first admin key, straight in the store; does nothing where there is one
    Bootstrap(BootstrapArgs),
    /// Keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Owners
    #[command(subcommand)]
    Owners(OwnersCommand),
    /// What keys were used for
    #[command(subcommand)]
    Usage(UsageCommand),
    /// The keys that sign api keys, straight in the store
    #[command(subcommand)]
    SigningKeys(SigningKeysCommand),
    /// The change log, straight in the store
    #[command(subcommand)]
    Log(LogCommand),
    /// Ask whether a key may spend now, and charge it
    Check(CheckArgs),
    /// Follow changes of keys and of health, one line each, until interrupted
    Events(EventsArgs),
    /// The nodes that serve together: version, uptime, change log, filter, troubles
    Nodes,
    /// How a node and what it depends on are; for container health checks
    Health,
    /// Load a node, or any other forward-auth service, and tell how fast it answers
    Bench(BenchArgs),
    /// The settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what a shell needs to complete this command line, or its manual page
    Completions(CompletionsArgs),
}

/// Where settings come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingsArgs {
    /// A settings file; `tollgate config show` tells what holds
    #[arg(long, env = "TOLLGATE_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Setting data_dir: where a node of mode embedded keeps its file
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<String>,
}

/// `tollgate serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Setting listen: where requests are taken
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Setting metrics_listen: where /metrics is served
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<String>,
}

/// `tollgate migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Take the schema back to this version, 0 for none: everything in its tables is lost
    #[arg(long, value_name = "VERSION")]
    pub(crate) down_to: Option<u32>,
    /// Then give the role tollgate_node the least rights of a node, and no others
    #[arg(long, conflicts_with = "down_to")]
    pub(crate) node_rights: bool,
}

/// `tollgate bootstrap`.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Make another admin key where there is one, and overwrite the file of --to
    #[arg(long)]
    pub(crate) force: bool,
    /// Write the api key to this file (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Also make a key whose only scope is health:read, for the health checks of containers, and write it to
    /// this file (mode 0600); a file whose key is good is kept
    #[arg(long, value_name = "FILE")]
    pub(crate) health_key_to: Option<PathBuf>,
}

/// `tollgate signing-keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SigningKeysCommand {
    /// Show the ring, never the keys themselves
    List {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Add a signing key; new api keys are signed with it
    Add {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Retire a signing key: api keys that it signed are looked up like unsigned ones
    Retire {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Its ring character, as `list` shows it
        ring: char,
    },
}

/// `tollgate log …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Say that the store as it is now is right, after an older backup was restored or a failover
    /// lost the last changes: nodes start over and no key is held up by changes that are gone.
    /// Revoke again what was revoked since, first
    Reset {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// `tollgate check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Tokens to spend
    #[arg(long, value_name = "N")]
    pub(crate) cost: Option<u64>,
    /// A scope that the key must have
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// Only ask; charge nothing
    #[arg(long)]
    pub(crate) peek: bool,
    /// A file with the api key to check, instead of your own
    #[arg(long, value_name = "FILE")]
    pub(crate) checked_key_file: Option<PathBuf>,
}

/// `tollgate completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell; `man` for the manual page
    #[arg(value_enum)]
    pub(crate) form: CompletionsForm,
    /// Write into this directory instead, under the usual name; `man` writes a page for every command
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) to: Option<PathBuf>,
}

/// What can be written of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionsForm {
    /// For bash
    Bash,
    /// For Elvish
    Elvish,
    /// For fish
    Fish,
    /// For PowerShell
    Powershell,
    /// For Zsh
    Zsh,
    /// Manual pages (roff)
    Man,
}

/// `tollgate events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Begin after the event of this id, such as L17; L0 begins with the oldest that is kept. Without it
    /// you are told what happens from now on
    #[arg(long, value_name = "ID", value_parser = values::event_id)]
    pub(crate) last_event_id: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// `tollgate config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the settings are good, and everything that is wrong with them
    Check(ServeArgs),
    /// Print every setting with its value and where that came from, secrets redacted
    Show(ServeArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_is_named_without_what_it_was_given() {
        let name = |line: &str| command_name(&Cli::command().try_get_matches_from(line.split_whitespace()).expect("a command"));
        assert_eq!(name("tollgate --url http://x keys show some --output json"), "keys show");
        assert_eq!(name("tollgate health"), "health");
    }

    #[test]
    fn help_offers_no_way_to_give_a_secret() {
        let mut command = Cli::command();
        let help = command.render_long_help().to_string();
        assert!(help.contains("--api-key-file") && !help.contains("--api-key "), "{help}");
    }

    #[test]
    fn limits_come_in_pairs_or_not_at_all() {
        let parses = |rest: &str| Cli::try_parse_from(format!("tollgate keys create --name n {rest}").split_whitespace()).is_ok();
        for (rest, good) in [
            ("", true),
            ("--burst 5 --per-seconds 6", true),
            ("--unlimited", true),
            ("--burst 5", false),
            ("--per-seconds 5", false),
            ("--unlimited --burst 5 --per-seconds 6", false),
            ("--burst -5 --per-seconds 6", false),
            ("--burst 1.5 --per-seconds 6", false),
            ("--expires-in 30d --scope a --scope b --owner o --unsigned", true),
            ("--expires-in 30", false),
            ("--owner ..", false),
        ] {
            assert_eq!(parses(rest), good, "{rest}");
        }
    }
}
