//! The first admin key, over the one-file key store.

use std::sync::Arc;

use tollgate_embedded::{KeyFile, KeyFileRetention};
use tollgate_gate::{
    MasterKey, Minted,
    config::KeyRules,
    mint_key,
    ports::{ChangeContext, CreateGuard, KeyStore},
};
use tollgate_keys::{OwnerName, Scopes, SecretKind, verify_secret};

use crate::support::{options, rules};

const NOW_MS: u64 = 1_760_000_000_000;

fn key_file() -> (tempfile::TempDir, Arc<KeyFile>) {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = KeyFile::open(directory.path(), KeyFileRetention::default()).expect("a key file");
    (directory, Arc::new(keys))
}

fn admin() -> KeyRules {
    KeyRules { scopes: Scopes::parse(["admin"]).expect("scopes"), ..rules() }
}

async fn bootstrap(keys: &dyn KeyStore, rules: KeyRules, now_ms: u64) -> Option<Minted> {
    let context = ChangeContext { actor: "bootstrap".to_owned(), request_id: "test".to_owned(), action: "keys.create", now_ms, once: None };
    mint_key(keys, None, options().hashing.params, (rules, CreateGuard::NoAdminYet), context).await.expect("no failure")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_bootstrap_at_once_one_makes_a_key() {
    let (_directory, keys) = key_file();
    let both: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn({
                let keys = keys.clone();
                async move { bootstrap(&*keys, admin(), NOW_MS).await }
            })
        })
        .collect();
    let mut made = 0;
    for one in both {
        made += usize::from(one.await.expect("no panic").is_some());
    }
    assert_eq!(made, 1);
    assert_eq!(keys.signing_keys().await.expect("read").len(), 1, "one signing key too");
    assert_eq!(keys.head().await.expect("read").position, 1);
}

#[tokio::test]
async fn what_is_made_verifies_and_is_signed() {
    let (_directory, keys) = key_file();
    let made = bootstrap(&*keys, admin(), NOW_MS).await.expect("made");
    assert_eq!((made.api_key.secret.kind(), &made.api_key.key_id), (SecretKind::Signed, &made.record.key_id));
    let found = keys.find(made.record.key_id.clone()).await.expect("read").expect("found");
    assert_eq!(verify_secret(&found.key.secrets.current, &made.api_key.secret), Ok(true));
    assert!(bootstrap(&*keys, admin(), NOW_MS).await.is_none(), "there is one");
}

#[tokio::test]
async fn a_tenants_admin_or_one_that_is_over_is_no_admin() {
    let (_directory, keys) = key_file();
    let tenants = KeyRules { owner: Some(OwnerName::parse("acme").expect("an owner")), ..admin() };
    bootstrap(&*keys, tenants, NOW_MS).await.expect("made");
    let short = KeyRules { expires_at_ms: Some(NOW_MS + 1000), ..admin() };
    bootstrap(&*keys, short, NOW_MS).await.expect("made: the tenant's does not count");
    assert!(bootstrap(&*keys, admin(), NOW_MS + 999).await.is_none());
    bootstrap(&*keys, admin(), NOW_MS + 1000).await.expect("made: the first is over");
}

#[tokio::test]
async fn a_key_store_under_another_master_key_mints_nothing() {
    let (_directory, keys) = key_file();
    let masters = [[1; 32], [2; 32]].map(|bytes| MasterKey::parse(&bytes).expect("a master key"));
    let context = || ChangeContext {
        actor: "bootstrap".to_owned(),
        request_id: "test".to_owned(),
        action: "keys.create",
        now_ms: NOW_MS,
        once: None,
    };
    let params = options().hashing.params;
    mint_key(&*keys, Some(&masters[0]), params, (admin(), CreateGuard::None), context()).await.expect("no failure").expect("made");
    let sealed = keys.signing_keys().await.expect("read").pop().expect("one").sealed;
    assert_ne!(sealed.len(), 33, "not in the clear");
    for master in [Some(&masters[1]), None] {
        let refused = mint_key(&*keys, master, params, (admin(), CreateGuard::None), context()).await;
        assert!(refused.expect_err("not opened").to_string().contains("master_key_file"));
    }
    assert_eq!(keys.head().await.expect("read").position, 1);
}
