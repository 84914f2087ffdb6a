//! `tollgate bootstrap`: the first admin key, straight in the store.
//!
//! The only way to the first key of a cluster is the right to write to its database: no node ever
//! opens itself to somebody without a key.

mod key_file;

use tollgate_api::CreateKeyBody;
use tollgate_client::RequestId;
use tollgate_gate::{
    Clock as _, MintError, Minted, SystemClock,
    config::ConfigService,
    mint_key,
    ports::{ChangeContext, CreateGuard, KeyListQuery, KeyStore},
    verdict::Identity,
};
use tollgate_keys::{KeyId, Scope, Scopes};

use self::key_file::KeyFile;
use crate::{
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
    let guard = if args.force { CreateGuard::None } else { CreateGuard::NoAdminYet };
    let Some(path) = &args.to else {
        if let Some(minted) = mint_admin(&*keys, &rules, guard).await? {
            output.text(&minted.api_key.expose())?;
        }
        return Ok(Exit::Done);
    };
    if !args.force && path.exists() && has_admin(&*keys).await? {
        return Ok(Exit::Done);
    }
    // Taken before the key is made: a key that nobody can read again would be there for ever.
    let file = KeyFile::prepare(path, args.force)?;
    if let Some(minted) = mint_admin(&*keys, &rules, guard).await? {
        file.write(&minted.api_key)?;
        output.note(&format!("the api key of {} is in {}", minted.record.key_id, path.display()));
    }
    Ok(Exit::Done)
}

/// Makes an admin key of no owner under the rules of every other key.
pub(crate) async fn mint_admin(keys: &dyn KeyStore, rules: &Rules, guard: CreateGuard) -> Result<Option<Minted>, Failure> {
    let now_ms = SystemClock.unix_ms();
    let admin = admin_rules(&rules.config, now_ms)?;
    let request_id = RequestId::generate().to_string();
    let context = ChangeContext { actor: "bootstrap".to_owned(), request_id, action: "keys.create", now_ms, once: None };
    Ok(mint_key(keys, rules.master_key.as_ref(), rules.params, (admin, guard), context).await?)
}

fn admin_rules(config: &ConfigService, now_ms: u64) -> Result<tollgate_gate::config::KeyRules, Failure> {
    let scopes = Scopes::new([Scope::ADMIN]).unwrap_or_else(|_| Scopes::none());
    let creator = Identity { key_id: KeyId::from_parts(now_ms, [0; 10]), owner: None, scopes, generation: 0 };
    let body = CreateKeyBody { name: "bootstrap admin".to_owned(), scopes: vec![Scope::ADMIN.to_string()], ..CreateKeyBody::default() };
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
