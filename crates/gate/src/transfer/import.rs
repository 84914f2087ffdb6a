//! Brings lines into a store, a few hundred with each commit.

use std::collections::BTreeSet;

use serde::Serialize;
use tollgate_keys::KeyId;

use super::line::{self, Brought};
use crate::{
    config::{ConfigError, ConfigService},
    ports::{ChangeContext, ImportBatch, KeyStore, KeyStoreError, StoredSigningKey},
    record::KeyRecord,
    signing::{MasterKey, SigningError, resealed},
};

/// Rows of one commit, so that whoever has to revoke a key meanwhile waits for no more than that.
const BATCH: usize = 500;
/// Rings that one store may have taken over for one ring character: each costs a forgery one hash more.
const FOREIGN_PER_CHARACTER_MAX: usize = 8;

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Keys that were made.
    pub keys_made: u64,
    /// Keys that were there and stayed as they are.
    pub keys_kept: u64,
    /// Of these, keys with another secret or another owner than their line says.
    pub keys_differing: u64,
    /// Owners whose rules were taken over.
    pub owners_made: u64,
    /// Owners that had rules, which stayed.
    pub owners_kept: u64,
    /// Signing keys that were taken over: they verify, and never sign.
    pub signing_keys_made: u64,
    /// Signing keys that were there.
    pub signing_keys_kept: u64,
    /// Which id was given to which line that brought none, counted from 1.
    pub ids: Vec<(u64, String)>,
}

/// An import that broke off. Lines before it may stand; the whole may be brought in again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ImportError {
    /// The line, counted from 1.
    pub line: u64,
    /// Why.
    pub kind: ImportErrorKind,
}

/// Why an import broke off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportErrorKind {
    /// What the line says is refused.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// A signing key cannot be read, or not be stored.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Takes lines one by one.
#[derive(Debug)]
pub struct Importer<'a> {
    store: &'a dyn KeyStore,
    config: &'a ConfigService,
    master: Option<&'a MasterKey>,
    context: ChangeContext,
    line: u64,
    batch: ImportBatch,
    ids: BTreeSet<KeyId>,
    report: ImportReport,
}

impl<'a> Importer<'a> {
    /// An import into `store` under the rules of `config`; `master` is the target's master key, which
    /// must open the signing keys that come.
    pub fn new(store: &'a dyn KeyStore, config: &'a ConfigService, master: Option<&'a MasterKey>, context: ChangeContext) -> Self {
        let report = ImportReport::default();
        Self { store, config, master, context, line: 0, batch: ImportBatch::default(), ids: BTreeSet::new(), report }
    }

    /// Takes the next line; empty ones say nothing. Commits when enough have come together.
    pub async fn take(&mut self, text: &str) -> Result<(), ImportError> {
        self.line += 1;
        if text.trim().is_empty() {
            return Ok(());
        }
        let taken = self.take_line(text).await;
        taken.map_err(|kind| ImportError { line: self.line, kind })
    }

    /// Commits what is left.
    pub async fn finish(mut self) -> Result<ImportReport, ImportError> {
        let done = self.commit().await;
        done.map_err(|kind| ImportError { line: self.line, kind })?;
        Ok(self.report)
    }

    async fn take_line(&mut self, text: &str) -> Result<(), ImportErrorKind> {
        match line::read(text, self.config, self.context.now_ms)? {
            Brought::SigningKey(key) => return self.take_signing_key(key).await,
            Brought::Owner(owner) => {
                if self.batch.owners.iter().any(|other| other.owner == owner.owner) {
                    // The second of two of one name finds the first there.
                    self.commit().await?;
                }
                self.batch.owners.push(owner);
            }
            Brought::Key(key) => {
                if !self.ids.insert(key.key_id.clone()) {
                    // The second of two of one id finds the first there.
                    self.commit().await?;
                    self.ids.insert(key.key_id.clone());
                }
                if key.key_id.as_str().starts_with("imported-") {
                    self.report.ids.push((self.line, key.key_id.to_string()));
                }
                self.batch.keys.push(*key);
            }
        }
        if self.batch.owners.len() + self.batch.keys.len() >= BATCH {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), ImportErrorKind> {
        let batch = std::mem::take(&mut self.batch);
        self.ids.clear();
        let (owners, keys) = (batch.owners.len() as u64, batch.keys.clone());
        if owners == 0 && keys.is_empty() {
            return Ok(());
        }
        let imported = self.store.import(batch, self.context.clone()).await?;
        self.report.owners_made += imported.owners_made;
        self.report.owners_kept += owners - imported.owners_made.min(owners);
        self.report.keys_made += imported.keys_made;
        self.report.keys_kept += imported.keys_kept.len() as u64;
        let differs = |kept: &&KeyRecord| keys.iter().any(|key| key.key_id == kept.key_id && !is_same(key, kept));
        self.report.keys_differing += imported.keys_kept.iter().filter(differs).count() as u64;
        Ok(())
    }

    async fn take_signing_key(&mut self, key: StoredSigningKey) -> Result<(), ImportErrorKind> {
        // Keys come after it, and must not be refused for want of it.
        self.commit().await?;
        let own_log = self.store.head().await?.log;
        let there = self.store.signing_keys().await?;
        let is_there = key.origin == *own_log.0 || there.iter().any(|one| one.ring == key.ring && one.origin == key.origin);
        if is_there {
            self.report.signing_keys_kept += 1;
            return Ok(());
        }
        if there.iter().filter(|one| one.ring == key.ring && !one.origin.is_empty()).count() >= FOREIGN_PER_CHARACTER_MAX {
            let detail = format!("keys of {FOREIGN_PER_CHARACTER_MAX} other stores have this ring character already");
            return Err(ConfigError::conflict(detail).into());
        }
        self.store.add_signing_key(resealed(self.master, &key)?, false).await?;
        self.report.signing_keys_made += 1;
        Ok(())
    }
}

/// Whether a key that is there is the one that the line means: the same owner, and one of its
/// secrets.
fn is_same(line: &KeyRecord, kept: &KeyRecord) -> bool {
    let secrets = |key: &KeyRecord| {
        let previous = key.secrets.previous.as_ref().map(|previous| previous.hash.clone());
        std::iter::once(key.secrets.current.clone()).chain(previous).collect::<Vec<_>>()
    };
    line.owner == kept.owner && secrets(line).iter().any(|hash| secrets(kept).contains(hash))
}
