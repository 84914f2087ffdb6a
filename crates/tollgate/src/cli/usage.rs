//! The command line of usage.

use clap::{Args, Subcommand, ValueEnum};
use tollgate_api::{TopWindow, UsageStep};

use super::values::{key_id, owner};

/// `tollgate usage …`.
#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// The keys that limits have refused most
    Top(TopArgs),
}

/// `tollgate keys usage`.
#[derive(Debug, Args)]
pub(crate) struct KeyUsageArgs {
    /// Its id
    #[arg(value_parser = key_id)]
    pub(crate) key_id: String,
    /// A line for each minute of the last hour, or for each hour of the last day
    #[arg(long, value_enum, default_value_t)]
    pub(crate) step: StepArg,
}

/// `tollgate usage top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Only this owner's keys
    #[arg(long, value_parser = owner)]
    pub(crate) owner: Option<String>,
    /// For how long a time
    #[arg(long, value_enum, default_value_t)]
    pub(crate) window: WindowArg,
    /// Keys at most, 1 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) count: Option<u32>,
}

/// From one line to the next.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum StepArg {
    /// A minute, for an hour.
    #[default]
    Minute,
    /// An hour, for a day.
    Hour,
}

/// For how long a time.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum WindowArg {
    /// The last hour.
    #[default]
    Hour,
    /// The last day.
    Day,
}

impl From<StepArg> for UsageStep {
    fn from(step: StepArg) -> Self {
        match step {
            StepArg::Minute => Self::Minute,
            StepArg::Hour => Self::Hour,
        }
    }
}

impl From<WindowArg> for TopWindow {
    fn from(window: WindowArg) -> Self {
        match window {
            WindowArg::Hour => Self::Hour,
            WindowArg::Day => Self::Day,
        }
    }
}
