//! `tollgate config …`

use serde::Serialize;
use tollgate_settings::{Settings, Shown};

use crate::{
    cli::ConfigCommand,
    exit::{Exit, Failure},
    output::Output,
    serve::WatchedCertificate,
    store,
};

#[derive(Serialize)]
struct ShownSetting {
    name: String,
    #[serde(serialize_with = "as_json")]
    value: String,
    source: String,
}

/// TOML's texts, numbers, truths and lists of texts are JSON's; what is not is told as it stands.
fn as_json<S: serde::Serializer>(toml: &str, to: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str(toml).unwrap_or_else(|_| serde_json::Value::from(toml)).serialize(to)
}

pub(crate) fn run(command: &ConfigCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check(args) => {
            let settings = super::serve_settings(args)?;
            super::block_on(check(&settings))??;
            output.note(&format!("the settings are good (mode {})", settings.mode.as_str()));
        }
        ConfigCommand::Show(args) => {
            let shown: Vec<ShownSetting> = super::serve_settings(args)?.show().into_iter().map(ShownSetting::from).collect();
            output.result(&shown, |shown| lines(shown))?;
        }
    }
    Ok(Exit::Done)
}

/// What only the parts that use a setting can judge.
async fn check(settings: &Settings) -> Result<(), Failure> {
    WatchedCertificate::read(settings).await?;
    store::check(settings)
}

fn lines(shown: &[ShownSetting]) -> String {
    let line = |ShownSetting { name, value, source }: &ShownSetting| format!("{name} = {value}  ({source})");
    shown.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl From<Shown> for ShownSetting {
    fn from(Shown { name, value, origin }: Shown) -> Self {
        Self { name, value, source: origin }
    }
}
