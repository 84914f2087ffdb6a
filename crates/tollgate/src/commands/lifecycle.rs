//! `tollgate keys rotate|suspend|resume|reset` and `tollgate owners revoke-keys`

use tollgate_api::{KeyKindName, RevokeKeyBody, RevokedKeys, RotateKeyBody};
use tollgate_client::Client;

use super::keys::{created_table, key_table, warn_unless_propagated};
use crate::{
    cli::{KeyIdArg, KindArg, RotateKey},
    exit::Failure,
    output::Output,
    table,
};

/// Which of the changes that need no more than a key's id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Suspend,
    Resume,
    Reset,
}

pub(super) async fn rotate(client: &Client, args: RotateKey, output: Output) -> Result<(), Failure> {
    let kind = args.kind.map(|kind| match kind {
        KindArg::Signed => KeyKindName::Signed,
        KindArg::Unsigned => KeyKindName::Unsigned,
    });
    let body = RotateKeyBody { grace_seconds: args.grace.map(|grace| grace.as_secs()), kind };
    let created = client.rotate_key(&args.key_id, &body).await?;
    warn_unless_propagated(created.key.propagated, output);
    output.result(&created, created_table)
}

pub(super) async fn step(client: &Client, KeyIdArg { key_id }: KeyIdArg, step: Step, output: Output) -> Result<(), Failure> {
    let key = match step {
        Step::Suspend => client.suspend_key(&key_id).await?,
        Step::Resume => client.resume_key(&key_id).await?,
        Step::Reset => client.reset_key(&key_id).await?,
    };
    warn_unless_propagated(key.propagated, output);
    output.result(&key, key_table)
}

pub(super) async fn revoke_keys(client: &Client, owner: &str, reason: Option<String>, output: Output) -> Result<(), Failure> {
    let revoked = client.revoke_keys_of(owner, &RevokeKeyBody { reason }).await?;
    warn_unless_propagated(Some(revoked.propagated), output);
    output.result(&revoked, |RevokedKeys { owner, revoked, propagated: _ }| {
        table::fields(&[("owner", owner.clone()), ("keys revoked", revoked.to_string())])
    })
}
