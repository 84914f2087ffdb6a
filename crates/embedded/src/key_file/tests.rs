use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Map;
use tempfile::TempDir;
use tollgate_keys::{Lifecycle, Scopes, SecretHash, SecretHashes, SecretKind};

use super::*;

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 1_800_000_000_000;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(data_dir: &Path) -> KeyFile {
    KeyFile::open(data_dir, KeyFileRetention::default()).expect("a key file")
}

async fn make(store: &KeyFile, now_ms: u64) -> KeyRecord {
    let record = KeyRecord {
        key_id: KeyId::from_parts(0, [0; 10]),
        owner: None,
        name: "a key".to_owned(),
        kind: SecretKind::Signed,
        secrets: SecretHashes::only(SecretHash::parse(HASH).expect("a hash")),
        scopes: Scopes::none(),
        limits: RateLimits::unlimited(),
        lifecycle: Lifecycle::active(None),
        created_at_ms: 0,
        revoked: None,
        metadata: Map::new(),
        outage_mode: None,
        generation: 0,
        last_used_at_ms: None,
    };
    let draft = KeyDraft { record, id_entropy: [7; 10], own_id: false };
    let context = ChangeContext { actor: "test".to_owned(), request_id: "r".to_owned(), action: "keys.create", now_ms, once: None };
    store.create(draft, CreateGuard::None, context).await.expect("a store that works").expect("made")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = folder();
    let (before, key) = {
        let store = open(folder.path());
        let key = make(&store, START_MS).await;
        (store.head().await.expect("a head"), key)
    };
    let store = open(folder.path());
    assert_eq!(store.head().await.expect("a head"), before);
    let found = store.find(key.key_id.clone()).await.expect("a store that works").expect("the key");
    assert_eq!(found.key, key);
    assert_eq!(make(&store, START_MS).await.generation, key.generation + 1);
}

#[tokio::test]
async fn an_answered_change_survives_a_kill() {
    let (folder, after) = (folder(), folder());
    let store = open(folder.path());
    for count in 1..=5_u64 {
        let key = make(&store, START_MS).await;
        // What the system holds of the file at this instant is what a kill would leave.
        fs::copy(store.path(), after.path().join("keys.redb")).expect("a copy");
        let left = open(after.path());
        assert_eq!(left.head().await.expect("a head").position, count);
        let found = left.find(key.key_id.clone()).await.expect("a store that works").expect("the key");
        assert_eq!(found.key, key);
    }
}

#[test]
fn a_second_process_is_told_so() {
    let folder = folder();
    let first = open(folder.path());
    let second = KeyFile::open(folder.path(), KeyFileRetention::default()).expect_err("one at a time");
    assert!(matches!(&second, KeyFileError::InUse { path } if path == first.path()), "{second:?}");
    assert!(second.is_transient() && second.to_string().contains("is used by another process"), "{second}");
    drop(first);
    open(folder.path());
}

#[test]
fn file_and_folder_are_for_their_owner_alone() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let path = open(&data_dir).path().to_owned();
    assert_eq!((mode(&data_dir), mode(&path)), (0o700, 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    open(&data_dir);
    assert_eq!(mode(&path), 0o600, "a copy that lost its mode gets it back");
}

#[test]
fn what_is_no_key_file_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("keys.redb"), vec![b'x'; 8192]).expect("a file");
    let error = KeyFile::open(folder.path(), KeyFileRetention::default()).expect_err("no key file");
    assert!(matches!(error, KeyFileError::Database(_)), "{error:?}");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let error = KeyFile::open(&file, KeyFileRetention::default()).expect_err("no folder");
    assert!(matches!(error, KeyFileError::Open { .. }), "{error:?}");
}

#[test]
fn another_format_is_refused() {
    let folder = folder();
    let store = open(folder.path());
    let transaction = store.database.begin_write().expect("a transaction");
    let mut head = tables::head(&transaction).expect("a head");
    head.format = 2;
    tables::put_head(&transaction, &head).expect("written");
    transaction.commit().expect("committed");
    drop(store);
    let error = KeyFile::open(folder.path(), KeyFileRetention::default()).expect_err("another format");
    assert!(matches!(error, KeyFileError::Format { found: 2, expected: 1 }), "{error:?}");
}

#[tokio::test]
async fn an_unreadable_row_is_told_without_its_hash() {
    let folder = folder();
    let store = open(folder.path());
    let key_id = make(&store, START_MS).await.key_id;
    let transaction = store.database.begin_write().expect("a transaction");
    let bad = format!(r#"{{"key_id":"{key_id}","name":"","kind":"signed","hash":"{HASH}","rate_limit":null}}"#);
    transaction.open_table(tables::KEYS).expect("a table").insert(key_id.as_str(), bad.as_str()).expect("written");
    transaction.commit().expect("committed");
    let Err(KeyStoreError::Unusable(told)) = store.find(key_id.clone()).await else { panic!("unusable") };
    assert!(told.contains(key_id.as_str()) && told.contains("keys") && !told.contains("argon2"), "{told}");
}

#[tokio::test]
async fn the_log_is_kept_for_its_time() {
    let folder = folder();
    let store = open(folder.path());
    for day in 0..10 {
        make(&store, START_MS + day * DAY_MS).await;
    }
    // Of ten rows, a day apart, those of the last seven days are there: the newest and seven more.
    let head = store.head().await.expect("a head");
    assert_eq!((head.oldest, head.position), (3, 10));
    let rows = store.changes(0, 100).await.expect("changes");
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), (3..=10).collect::<Vec<_>>());
    make(&store, START_MS + 100 * DAY_MS).await;
    let head = store.head().await.expect("a head");
    assert_eq!((head.oldest, head.position), (11, 11), "the newest row is always there");
}

#[tokio::test]
async fn clearing_away_is_a_little_with_every_change() {
    let folder = folder();
    let store = open(folder.path());
    for _ in 0..100 {
        make(&store, START_MS).await;
    }
    make(&store, START_MS + 30 * DAY_MS).await;
    assert_eq!(store.head().await.expect("a head").oldest, 65);
    make(&store, START_MS + 30 * DAY_MS).await;
    assert_eq!(store.head().await.expect("a head").oldest, 101);
}

#[tokio::test]
async fn every_change_is_audited() {
    use redb::{ReadableDatabase, ReadableTable};

    let folder = folder();
    let store = open(folder.path());
    let key = make(&store, START_MS).await;
    let transaction = store.database.begin_read().expect("a transaction");
    let table = transaction.open_table(tables::AUDIT).expect("a table");
    let row = table.get(key.generation).expect("a store that works").expect("a row");
    let row: serde_json::Value = serde_json::from_str(row.value()).expect("json");
    assert_eq!(row["actor"], "test");
    assert_eq!(row["request_id"], "r");
    assert_eq!(row["action"], "keys.create");
    assert_eq!(row["key_id"], key.key_id.as_str());
    assert_eq!(row["at_ms"], key.created_at_ms);
    assert_eq!(table.iter().expect("rows").count(), 1);
}
