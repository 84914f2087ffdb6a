//! `tollgate owners …`

use tollgate_api::{Owner, Patch, PutOwnerBody};
use tollgate_client::Client;

use super::keys::{limit_text, warn_unless_propagated};
use super::lifecycle;
use crate::{
    cli::OwnersCommand,
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(client: &Client, command: OwnersCommand, output: Output) -> Result<Exit, Failure> {
    let owner = match command {
        OwnersCommand::Show { owner } => client.owner(&owner).await?,
        OwnersCommand::RevokeKeys { owner, reason } => {
            lifecycle::revoke_keys(client, &owner, reason, output).await?;
            return Ok(Exit::Done);
        }
        OwnersCommand::Set { owner, limit } => {
            let rate_limit = match limit.patch() {
                Patch::Set(limit) => Some(limit),
                Patch::Clear => None,
                Patch::Keep => return Err(Failure::usage("no limit was given", "give --burst and --per-seconds, or --unlimited")),
            };
            client.put_owner(&owner, &PutOwnerBody { rate_limit }).await?
        }
    };
    warn_unless_propagated(owner.propagated, output);
    output.result(&owner, owner_table)?;
    Ok(Exit::Done)
}

fn owner_table(owner: &Owner) -> String {
    table::fields(&[
        ("owner", owner.owner.clone()),
        ("rate limit", limit_text(owner.rate_limit.as_ref())),
        ("generation", owner.generation.to_string()),
    ])
}
