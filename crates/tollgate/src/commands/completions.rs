//! `tollgate completions`: what shells and `man` want to know of the command line, written from the
//! description that it is parsed by. Names of variables are in it, their values never.

use std::{io, path::Path};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate, generate_to};

use crate::{
    cli::{Cli, CompletionsArgs, CompletionsForm},
    exit::{Exit, Failure},
    output::Output,
};

const NAME: &str = "tollgate";

pub(crate) fn run(args: &CompletionsArgs, output: Output) -> Result<Exit, Failure> {
    match (shell_of(args.form), &args.to) {
        (Some(shell), None) => output.text(&script(shell))?,
        (Some(shell), Some(directory)) => {
            generate_to(shell, &mut Cli::command(), NAME, directory).map_err(|error| unwritten(directory, &error))?;
        }
        (None, None) => output.text(&page()?)?,
        (None, Some(directory)) => clap_mangen::generate_to(Cli::command(), directory).map_err(|error| unwritten(directory, &error))?,
    }
    Ok(Exit::Done)
}

fn shell_of(form: CompletionsForm) -> Option<Shell> {
    match form {
        CompletionsForm::Bash => Some(Shell::Bash),
        CompletionsForm::Elvish => Some(Shell::Elvish),
        CompletionsForm::Fish => Some(Shell::Fish),
        CompletionsForm::Powershell => Some(Shell::PowerShell),
        CompletionsForm::Zsh => Some(Shell::Zsh),
        CompletionsForm::Man => None,
    }
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of the whole; those of single commands are files beside it.
fn page() -> Result<String, Failure> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(Cli::command()).render(&mut page);
    written.map_err(|error| Failure::other(format!("the manual page cannot be written: {error}"), "use --help"))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn unwritten(directory: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("cannot write into {}: {error}", directory.display()), "name a directory that exists and can be written")
}
