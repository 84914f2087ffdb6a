//! Where log lines go, in which form, and which of them.

mod scrubbed;

use scrubbed::Scrubbed;
use std::io::{self, IsTerminal};
use tracing::{Subscriber, subscriber::SetGlobalDefaultError};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line each, for people; in colours on a terminal.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("the log filter is not understood; it must be a level or directives such as \"info,tollgate_redis=debug\"")]
    Filter(#[from] ParseError),
    /// The process logs already.
    #[error("logging is set up twice")]
    Twice(#[from] SetGlobalDefaultError),
}

/// Logs to standard error from now on, in the whole process.
///
/// `filter` is a level (`info`) or directives for parts (`info,tollgate_redis=debug`).
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let colours = io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(format, filter, colours, io::stderr)?)?;
    Ok(())
}

/// Whether [`init_logs`] would take this filter.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    EnvFilter::builder().parse(filter).map(drop).map_err(LogError::from)
}

/// What `init_logs` installs, with any writer.
fn subscriber<W>(format: LogFormat, filter: &str, colours: bool, writer: W) -> Result<impl Subscriber + Send + Sync, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = fmt::layer().with_writer(Scrubbed(writer));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Pretty => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(Registry::default().with(lines.with_filter(filter)))
}

#[cfg(test)]
pub(crate) mod tests;
