//! The commands, one file each.

mod bench;
mod bootstrap;
pub(crate) use bootstrap::mint_admin;
mod check;
mod completions;
mod config;
mod events;
mod health;
mod keys;
mod lifecycle;
mod log;
mod migrate;
mod nodes;
mod owners;
mod session;
mod signing_keys;
mod transfer;
mod usage;

use std::future::Future;

use tollgate_client::{Client, ClientOptions, Credential, RetryPolicy};
use tollgate_settings::{LoadFrom, Settings};
use tollgate_telemetry::LogFormat;

use crate::{
    api_key_input,
    cli::{Cli, Command, KeysCommand, ServeArgs, SettingsArgs},
    exit::{Exit, Failure},
    output::Output,
    serve,
};
use session::Session;

/// Does what was asked for. `name` is that of the command, such as `keys list`.
pub(crate) fn run(cli: Cli, name: &str, output: Output) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Serve(args) => serve::run(&args, output),
        Command::Config(command) => config::run(&command, output),
        Command::Completions(args) => completions::run(&args, output),
        command => {
            // What a library has to say in an error, and the place of a panic.
            tollgate_telemetry::init_logs(LogFormat::Pretty, "error").ok();
            let session = Session::begin(&global, &command)?;
            block_on(recorded(&session, name, command, output))?
        }
    }
}

/// One command, and its span where that is wanted.
async fn recorded(session: &Session<'_>, name: &str, command: Command, output: Output) -> Result<Exit, Failure> {
    let Some(recording) = session.record(name, &command, output)? else { return one(session, command, output).await };
    let result = recording.steps.clone().during(one(session, command, output)).await;
    let exit = match &result {
        Ok(exit) => *exit,
        Err(failure) => failure.exit,
    };
    recording.end(session, exit, output).await;
    result
}

async fn one(session: &Session<'_>, command: Command, output: Output) -> Result<Exit, Failure> {
    let client = || client(session, output);
    match command {
        Command::Migrate(args) => migrate::run(&args, output).await,
        Command::Bootstrap(args) => bootstrap::run(&args, output).await,
        Command::SigningKeys(command) => signing_keys::run(&command, output).await,
        Command::Log(command) => log::run(&command, output).await,
        Command::Keys(KeysCommand::Import(args)) => transfer::import(session, &args, output).await,
        Command::Keys(KeysCommand::Export(args)) => transfer::export(&args, output).await,
        Command::Keys(command) => keys::run(&client()?, command, output).await,
        Command::Owners(command) => owners::run(&client()?, command, output).await,
        Command::Usage(command) => usage::run(&client()?, command, output).await,
        Command::Check(args) => check::run(session, &args, output).await,
        Command::Events(args) => events::run(client()?, &args, output).await,
        Command::Nodes => nodes::run(&client()?, output).await,
        Command::Health => health::run(&client()?, output).await,
        Command::Bench(args) => bench::run(session, args, output).await,
        Command::Serve(_) | Command::Config(_) | Command::Completions(_) => Ok(Exit::Done),
    }
}

/// Runs a command on one thread: it waits for one thing at a time.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("the system gives no runtime: {error}"), "see the system's limits"))?;
    Ok(runtime.block_on(work))
}

/// A client with the operator's credential, which is checked before anything is sent.
fn client(session: &Session<'_>, output: Output) -> Result<Client, Failure> {
    client_of(session, Some(api_key_input::credential(session.global.api_key_file.as_deref())?), output)
}

fn client_of(session: &Session<'_>, credential: Option<Credential>, output: Output) -> Result<Client, Failure> {
    let Session { global, id, trace } = session;
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), "name a PEM file"))
    };
    let ca_pem = global.ca_file.as_ref().map(read).transpose()?;
    // A script is told by the exit status when to come back; nobody wants to sit and wait for it.
    let options = ClientOptions { ca_pem, retry: RetryPolicy::never(), ..ClientOptions::default() };
    let client = Client::with_options(&global.url, credential, &options);
    let client = client.map_err(|error| Failure::usage(error.to_string(), "set --url or TOLLGATE_URL, such as http://127.0.0.1:8080"))?;
    if client.is_exposed() {
        output.note("warning: api keys travel in plain text to another machine: use an https:// URL");
    }
    Ok(client.with_request_id(id.clone()).with_trace(*trace))
}

/// The settings of a node, or everything that is wrong with them.
pub(crate) fn settings(args: &SettingsArgs, overrides: Vec<(String, String)>) -> Result<Settings, Failure> {
    let data_dir = args.data_dir.iter().map(|directory| ("data_dir".to_owned(), directory.clone()));
    let overrides = overrides.into_iter().chain(data_dir).collect();
    let from = LoadFrom { config_file: args.config.clone(), overrides, ..LoadFrom::default() }.with_environment();
    Settings::load(&from).map_err(|error| {
        Failure::new(Exit::Settings, error.to_string(), "`tollgate config show` lists every setting and where its value comes from")
    })
}

/// The settings of a node with the flags of `serve`.
pub(crate) fn serve_settings(args: &ServeArgs) -> Result<Settings, Failure> {
    let flags = [("listen", &args.listen), ("metrics_listen", &args.metrics_listen)];
    let given = flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    settings(&args.settings, given.collect())
}
