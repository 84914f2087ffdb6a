//! The command line of the load tool.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::values::{cost_mix, percent, run_time, skew, target};
use crate::bench::{CostMix, HeaderTemplate, Share, Skew, Target};

/// `tollgate bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The URL to ask (http), Tollgate's or that of any other forward-auth service; without it, /v1/authorize of
    /// --url
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<Target>,
    /// Connections, each with one request at a time
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// How long to measure
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = run_time)]
    pub(crate) duration: Duration,
    /// How long to load before that; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = run_time)]
    pub(crate) warm_up: Duration,
    /// Requests a second, whatever becomes of them (open loop): latencies count from when each was due.
    /// Without it every connection asks as soon as it was answered (closed loop)
    #[arg(long, short = 'r', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = run_time)]
    pub(crate) timeout: Duration,
    /// Threads of this tool
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Make so many keys without a limit that load reaches, at the node of --url, and revoke them afterwards
    #[arg(long, value_name = "N", conflicts_with = "keys_file", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) keys: Option<u32>,
    /// A file with the keys to use, one on each line. Without it and --keys, your own key is used for the node of
    /// --url, and none for another target
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// How unevenly the keys are used: key number n is used in proportion to 1 / n^S; 0 for evenly
    #[arg(long, value_name = "S", default_value = "0", value_parser = skew)]
    pub(crate) skew: Skew,
    /// Costs and how often each comes: 1:90,5:9,100:1. A cost other than 1 is sent as ?cost=N
    #[arg(long, value_name = "MIX", default_value = "1", value_parser = cost_mix)]
    pub(crate) cost: CostMix,
    /// So many of a hundred requests come with a forgery of their key
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub(crate) wrong_keys: Share,
    /// A header to send, "name: value"; {key} in it stands for the key. Without one that has it, the key is sent as
    /// "authorization: Bearer {key}"
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = HeaderTemplate::parse)]
    pub(crate) headers: Vec<HeaderTemplate>,
}
