//! `tollgate bootstrap`: the first admin key, straight in the store.
//!
//! The only way to the first key of a cluster is the right to write to its database: no node ever
//! opens itself to somebody without a key.

mod key_file;

use std::path::Path;

use tollgate_api::CreateKeyBody;
use tollgate_client::{Credential, RequestId};
use tollgate_gate::{
    Clock as _, MintError, Minted, SystemClock,
    config::{ConfigService, KeyRules},
    mint_key,
    ports::{ChangeContext, CreateGuard, KeyListQuery, KeyStore},
    record::KeyRecord,
    verdict::Identity,
};
use tollgate_keys::{KeyId, Scope, Scopes};

use self::key_file::KeyFile;
use crate::{
    api_key_input,
    cli::BootstrapArgs,
    exit::{Exit, Failure},
    output::Output,
    store::{Keys, Rules, rules},
};

/// Keys read at a time.
const PAGE: u32 = 1000;

pub(crate) async fn run(args: &BootstrapArgs, output: Output) -> Result<Exit, Failure> {
    let settings = super::settings(&args.settings, Vec::new())?;
    let rules = rules(&settings)?;
    let keys = Keys::open(&settings)?.port();
    admin_key(args, &*keys, &rules, output).await?;
    if let Some(path) = &args.health_key_to {
        health_key(path, args.force, (&*keys, &rules), output).await?;
    }
    Ok(Exit::Done)
}

async fn admin_key(args: &BootstrapArgs, keys: &dyn KeyStore, rules: &Rules, output: Output) -> Result<(), Failure> {
    let guard = if args.force { CreateGuard::None } else { CreateGuard::NoAdminYet };
    let Some(path) = &args.to else {
        if let Some(minted) = mint_admin(keys, rules, guard).await? {
            output.text(&minted.api_key.expose())?;
        }
        return Ok(());
    };
    if !args.force && path.exists() && has_admin(keys).await? {
        return Ok(());
    }
    // Taken before the key is made: a key that nobody can read again would be there for ever.
    let file = KeyFile::prepare(path, args.force)?;
    if let Some(minted) = mint_admin(keys, rules, guard).await? {
        written(file, &minted, path, output)?;
    }
    Ok(())
}

/// A key that can look at health and do nothing else. The file says whether there is one: whoever has
/// lost it gets another, and so does whoever has one that the store does not let in.
async fn health_key(path: &Path, force: bool, (keys, rules): (&dyn KeyStore, &Rules), output: Output) -> Result<(), Failure> {
    let is_there = !force && path.symlink_metadata().is_ok();
    if is_there && can_check_health(keys, &api_key_input::from_file(path)?).await? {
        return Ok(());
    }
    let file = KeyFile::prepare(path, force || is_there)?;
    if let Some(minted) = mint(keys, rules, ("health checks", Scope::HEALTH_READ), CreateGuard::None).await? {
        written(file, &minted, path, output)?;
    }
    Ok(())
}

/// Whether the store knows the key and lets it look at health now.
async fn can_check_health(keys: &dyn KeyStore, credential: &Credential) -> Result<bool, Failure> {
    let Ok(key_id) = KeyId::parse(credential.key_id()) else { return Ok(false) };
    let found = keys.find(key_id).await.map_err(MintError::Store)?;
    let may = |key: &KeyRecord| key.scopes.iter().any(|scope| [Scope::HEALTH_READ, Scope::ADMIN].contains(scope));
    Ok(found.is_some_and(|found| found.key.lifecycle.usable(SystemClock.unix_ms()).is_ok() && may(&found.key)))
}

fn written(file: KeyFile, minted: &Minted, path: &Path, output: Output) -> Result<(), Failure> {
    file.write(&minted.api_key)?;
    output.note(&format!("the api key of {} is in {}", minted.record.key_id, path.display()));
    Ok(())
}

/// Makes an admin key of no owner under the rules of every other key.
pub(crate) async fn mint_admin(keys: &dyn KeyStore, rules: &Rules, guard: CreateGuard) -> Result<Option<Minted>, Failure> {
    mint(keys, rules, ("bootstrap admin", Scope::ADMIN), guard).await
}

async fn mint(keys: &dyn KeyStore, rules: &Rules, what: (&str, Scope), guard: CreateGuard) -> Result<Option<Minted>, Failure> {
    let now_ms = SystemClock.unix_ms();
    let rules_of_key = key_rules(&rules.config, what, now_ms)?;
    let request_id = RequestId::generate().to_string();
    let context = ChangeContext { actor: "bootstrap".to_owned(), request_id, action: "keys.create", now_ms, once: None };
    Ok(mint_key(keys, rules.master_key.as_ref(), rules.params, (rules_of_key, guard), context).await?)
}

fn key_rules(config: &ConfigService, (name, scope): (&str, Scope), now_ms: u64) -> Result<KeyRules, Failure> {
    let scopes = Scopes::new([Scope::ADMIN]).unwrap_or_else(|_| Scopes::none());
    let creator = Identity { key_id: KeyId::from_parts(now_ms, [0; 10]), owner: None, scopes, generation: 0 };
    let body = CreateKeyBody { name: name.to_owned(), scopes: vec![scope.to_string()], ..CreateKeyBody::default() };
    Ok(config.create_key(&creator, body, now_ms)?)
}

/// Whether an operator can act already: the guard of the store, asked without making anything.
async fn has_admin(keys: &dyn KeyStore) -> Result<bool, Failure> {
    let mut after = None;
    loop {
        let status = Some(tollgate_api::KeyStatus::Active);
        let query = KeyListQuery {
            owner: None,
            status,
            revoked_since_ms: None,
            after: after.take(),
            count_max: PAGE,
            now_ms: SystemClock.unix_ms(),
        };
        let page = keys.list(query).await.map_err(MintError::Store)?;
        if page.iter().any(|key| key.owner.is_none() && key.scopes.iter().any(|scope| *scope == Scope::ADMIN)) {
            return Ok(true);
        }
        match page.last() {
            Some(last) => after = Some(last.key_id.clone()),
            None => return Ok(false),
        }
    }
}
