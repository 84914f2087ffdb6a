//! Writes all of a store as lines.

use std::io;

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

/// Writes signing keys, then owners, then keys in order of ids, each line of one instant; what
/// changes meanwhile is written as it was or as it is. Reads in pages, so it takes no memory.
pub async fn export(store: &dyn KeyStore, write: &mut (dyn FnMut(&str) -> io::Result<()> + Send)) -> Result<ExportCount, ExportError> {
    let mut count = ExportCount::default();
    let log = store.head().await?.log;
    for key in store.signing_keys().await? {
        write(&json(&SigningLine::SigningKey(SigningKeyLine::of(&key, &log.0)))?)?;
        count.signing_keys += 1;
    }
    let mut after = None;
    loop {
        let page = store.owners(after.take(), PAGE).await?;
        for owner in &page {
            write(&json(&RecordLine::Owner(OwnerLine::from(owner)))?)?;
            count.owners += 1;
        }
        match page.last() {
            Some(last) => after = Some(last.owner.clone()),
            None => break,
        }
    }
    let mut query = KeyListQuery { owner: None, status: None, revoked_since_ms: None, after: None, count_max: PAGE, now_ms: 0 };
    loop {
        let page = store.list(query.clone()).await?;
        for key in &page {
            write(&json(&RecordLine::Key(Box::new(KeyLine::from(key))))?)?;
            count.keys += 1;
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
