//! The one place that writes to the terminal: results to standard output, the rest to standard
//! error. What goes to standard error is scrubbed of anything that looks like a credential.
//!
//! It writes to the streams themselves, never by `print!`, which would end the process with a panic
//! where a pipe is closed early (`tollgate keys list | head`).

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::ValueEnum;
use serde::Serialize;
use tollgate_telemetry::scrub;

use crate::{
    api_key_input::without_credentials,
    exit::{Exit, Failure},
    paint,
};

/// The form of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document.
    Json,
}

/// Whether anybody still reads what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Heard,
    /// The reader has seen enough.
    Unheard,
}

/// Writes what a command has to say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    format: OutputFormat,
}

impl Output {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// A result: the JSON of `value`, or the text that `table` makes of it.
    pub(crate) fn result<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Table => {
                let text = table(value);
                self.text(&if paint::is_wanted(&io::stdout()) { paint::table(&text) } else { text })
            }
            OutputFormat::Json => {
                let json = serde_json::to_string_pretty(value);
                self.text(&json.map_err(|error| Failure::other(format!("the result is no JSON: {error}"), "use --output table"))?)
            }
        }
    }

    /// One result of many: a line of JSON of `value`, or the line that `text` makes.
    pub(crate) fn line<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<Written, Failure> {
        let text = match self.format {
            OutputFormat::Table => text(),
            OutputFormat::Json => serde_json::to_string(value)
                .map_err(|error| Failure::other(format!("the result is no JSON: {error}"), "use --output table"))?,
        };
        write(&text)
    }

    /// A result that has one form only.
    #[allow(clippy::unused_self, reason = "reads as what it is beside result()")]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        write(text).map(|_| ())
    }

    /// A word to the person, which is no result.
    #[allow(clippy::unused_self, reason = "reads as what it is beside result()")]
    pub(crate) fn note(self, text: &str) {
        let text = scrub(text);
        let text = if paint::is_wanted(&io::stderr()) { paint::note(&text).into() } else { text };
        // Where standard error is closed, nobody wants to hear it.
        writeln!(io::stderr().lock(), "{text}").ok();
    }

    /// Why a command came to nothing.
    pub(crate) fn failed(self, failure: &Failure) -> Exit {
        self.note(&failure.to_string());
        failure.exit
    }
}

/// Writes to standard output.
fn write(text: &str) -> Result<Written, Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
    match written {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Unheard),
        Err(error) => Err(Failure::other(format!("cannot write the result: {error}"), "check where standard output leads")),
        Ok(()) => Ok(Written::Heard),
    }
}

/// What the command line's parser has to say: help and version are results, the rest is not.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let (output, text) = (Output::default(), error.render().to_string());
    if error.use_stderr() {
        output.note(without_credentials(&text, arguments).trim_end());
        return Exit::Usage;
    }
    match output.text(&text) {
        Ok(()) => Exit::Done,
        Err(failure) => output.failed(&failure),
    }
}
