//! `tollgate serve`: puts a node together, serves, and leaves in order.

mod certificate;
mod file_handles;
mod first_key;
mod listeners;
mod node;
mod spans;

pub(crate) use certificate::WatchedCertificate;

use std::{net::SocketAddr, time::Duration};

use tollgate_settings::{LogFormat, Mode, Settings};
use tollgate_telemetry::LogError;

use crate::{
    cli::ServeArgs,
    commands,
    exit::{Exit, Failure},
    output::Output,
    signals::Signals,
    store,
};
use listeners::Listeners;
use node::Node;

/// Serves until told to stop.
pub(crate) fn run(args: &ServeArgs, output: Output) -> Result<Exit, Failure> {
    let settings = commands::serve_settings(args)?;
    let rules = store::rules(&settings)?;
    start_logs(&settings)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if settings.worker_threads > 0 {
        runtime.worker_threads(settings.worker_threads);
    }
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("the system gives no runtime: {error}"), "see the system's limits"))?;
    let result = runtime.block_on(serve(&settings, rules, output));
    // What still runs has no caller any more; a hash that is being computed need not be awaited.
    runtime.shutdown_background();
    result
}

fn start_logs(settings: &Settings) -> Result<(), Failure> {
    let format = match settings.log.format {
        LogFormat::Pretty => tollgate_telemetry::LogFormat::Pretty,
        LogFormat::Json => tollgate_telemetry::LogFormat::Json,
    };
    tollgate_telemetry::init_logs(format, &settings.log.filter).map_err(|error| match error {
        LogError::Filter(_) => Failure::new(Exit::Settings, format!("invalid settings: log.filter: {error}"), "mend the setting"),
        LogError::Twice(_) => Failure::other(error.to_string(), "start the node as a process of its own"),
    })
}

async fn serve(settings: &Settings, rules: store::Rules, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    warn(settings, &rules);
    file_handles::reserve(settings);
    // Addresses first: a node that cannot be reached must not make a key.
    let certificate = WatchedCertificate::read(settings).await?;
    let listeners = Listeners::bind(settings, certificate).await?;
    let addresses = listeners.addresses()?;
    let admin = first_key::make(settings, &rules).await?;
    let node = Node::start(settings, rules, admin.keys, listeners)?;
    say_where(settings, addresses);
    if let Some(minted) = &admin.minted {
        node.ready().await;
        output.text(&first_key::welcome(addresses.0, settings.tls.is_on(), &minted.api_key))?;
    }
    until_stopped(node, &mut signals, settings.shutdown.drain_delay.get()).await
}

/// What a supervisor and the tests read the addresses from.
fn say_where(settings: &Settings, (address, metrics_address): (SocketAddr, SocketAddr)) {
    let (mode, version) = (settings.mode.as_str(), env!("CARGO_PKG_VERSION"));
    tracing::info!(%address, %metrics_address, mode, version, tls = settings.tls.is_on(), "listening");
}

/// Serves until told to stop; then leaves in order, unless told a second time.
async fn until_stopped(mut node: Node, signals: &mut Signals, drain_delay: Duration) -> Result<Exit, Failure> {
    tokio::select! {
        () = signals.next() => {}
        () = node.broken() => return Err(Failure::other("a part of the node has ended by itself", "see its log; start it again")),
    }
    tokio::select! {
        () = node.stop(drain_delay) => Ok(Exit::Done),
        () = signals.next() => Err(Failure::other("told to stop twice: ended at once", "nothing is to be done")),
    }
}

fn warn(settings: &Settings, rules: &store::Rules) {
    if settings.mode == Mode::Cluster && rules.master_key.is_none() {
        tracing::warn!("keys.master_key_file is not set: the signing keys lie in the store in the clear");
    }
}
