//! The one binary: serves, and gives operators their commands.
//!
//! It reads what it is told, wires the crates together, and turns what comes of it into text and
//! an exit status. Results go to standard output, everything else to standard error. A secret is
//! shown once, when its key is made, and is never taken from the command line, where every user of
//! the machine can read it.

mod api_key_input;
mod bench;
mod cli;
mod collector;
mod commands;
mod core_dumps;
mod exit;
mod output;
mod paint;
mod progress;
mod serve;
mod signals;
mod store;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::{cli::Cli, exit::Exit, output::Output};

/// A decision makes and frees some dozens of small things: measured, the system's allocator took an
/// eighth of a node's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate_telemetry::install_panic_hook();
    core_dumps::forbid();
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Err(failure) = api_key_input::refuse_in_arguments(&arguments) {
        return Output::default().failed(&failure).into();
    }
    let parsed = Cli::command().try_get_matches_from(&arguments);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, cli::command_name(&matches))));
    let (cli, name) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return output::usage(&error, &arguments).into(),
    };
    let output = Output::new(cli.global.output);
    let exit = match commands::run(cli, &name, output) {
        Ok(exit) => exit,
        Err(failure) => output.failed(&failure),
    };
    exit.into()
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
