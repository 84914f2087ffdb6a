//! `tollgate log …`: the change log, straight in the store.

use tollgate_client::RequestId;
use tollgate_gate::{Clock as _, SystemClock, ports::ChangeContext};

use crate::{
    cli::{LogCommand, SettingsArgs},
    exit::{Exit, Failure},
    output::Output,
    store::Keys,
};

pub(crate) async fn run(command: &LogCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        LogCommand::Reset { settings } => reset(settings, output).await?,
    }
    Ok(Exit::Done)
}

async fn reset(args: &SettingsArgs, output: Output) -> Result<(), Failure> {
    let keys = Keys::open(&super::settings(args, Vec::new())?)?.port();
    let context = ChangeContext {
        actor: "log reset".to_owned(),
        request_id: RequestId::generate().to_string(),
        action: "log.reset",
        now_ms: SystemClock.unix_ms(),
        once: None,
    };
    let position = keys.reset_log(context).await?.position;
    output.result(&serde_json::json!({ "position": position }), |_| format!("the change log goes on from position {position}"))
}
