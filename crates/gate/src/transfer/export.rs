//! Writes all of a store as lines.

use std::{collections::HashSet, io};

use serde::Serialize;

use super::SigningKeyLine;
use crate::{
    ports::{KeyListQuery, KeyStore, KeyStoreError},
    record::{KeyLine, OwnerLine, RecordLine},
};

/// Records read at a time.
const PAGE: u32 = 500;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExportCount {
    /// Signing keys.
    pub signing_keys: u64,
    /// Owners with rules.
    pub owners: u64,
    /// Keys.
    pub keys: u64,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// Where the lines go.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SigningLine {
    SigningKey(SigningKeyLine),
}

/// Where lines go.
type Write<'a> = dyn FnMut(&str) -> io::Result<()> + Send + 'a;

/// Writes signing keys, then owners, then keys in order of ids, each line of one instant; what
/// changes meanwhile is written as it was or as it is, and a signing key that was added meanwhile
/// comes last. Reads in pages, so it takes no memory.
pub async fn export(store: &dyn KeyStore, write: &mut Write<'_>) -> Result<ExportCount, ExportError> {
    let mut signing_keys = HashSet::new();
    export_signing_keys(store, write, &mut signing_keys).await?;
    let owners = export_owners(store, write).await?;
    let keys = export_keys(store, write).await?;
    // What was added meanwhile may have signed some of them.
    export_signing_keys(store, write, &mut signing_keys).await?;
    Ok(ExportCount { signing_keys: signing_keys.len() as u64, owners, keys })
}

/// Those that are not in `written` yet.
async fn export_signing_keys(
    store: &dyn KeyStore,
    write: &mut Write<'_>,
    written: &mut HashSet<(char, String)>,
) -> Result<(), ExportError> {
    let log = store.head().await?.log;
    for key in store.signing_keys().await? {
        if written.insert((key.ring, key.origin.clone())) {
            write(&json(&SigningLine::SigningKey(SigningKeyLine::of(&key, &log.0)))?)?;
        }
    }
    Ok(())
}

async fn export_owners(store: &dyn KeyStore, write: &mut Write<'_>) -> Result<u64, ExportError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.owners(after.take(), PAGE).await?;
        for owner in &page {
            write(&json(&RecordLine::Owner(OwnerLine::from(owner)))?)?;
            count += 1;
        }
        match page.last() {
            Some(last) => after = Some(last.owner.clone()),
            None => return Ok(count),
        }
    }
}

async fn export_keys(store: &dyn KeyStore, write: &mut Write<'_>) -> Result<u64, ExportError> {
    let mut count = 0;
    let mut query = KeyListQuery { owner: None, status: None, revoked_since_ms: None, after: None, count_max: PAGE, now_ms: 0 };
    loop {
        let page = store.list(query.clone()).await?;
        for key in &page {
            write(&json(&RecordLine::Key(Box::new(KeyLine::from(key))))?)?;
            count += 1;
        }
        match page.last() {
            Some(last) => query.after = Some(last.key_id.clone()),
            None => return Ok(count),
        }
    }
}

fn json(line: &impl Serialize) -> io::Result<String> {
    serde_json::to_string(line).map_err(io::Error::from)
}
