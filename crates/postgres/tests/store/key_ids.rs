//! The stream of ids on a real server: whose turn it is, and what it holds up.

use std::time::Duration;

use tollgate_gate::ports::{KeyStore, KeyStoreError, StreamTurn};
use tollgate_postgres::{Options, PostgresKeys};
use tollgate_testkit::{TestDatabase, eventually};

use crate::support::{create, draft, fixture};

#[tokio::test]
async fn one_node_at_a_time_has_its_turn_and_gives_it_back() {
    let fixture = fixture().await;
    let other = PostgresKeys::connect(&Options::new(fixture.database.url())).expect("a store");
    let turn = fixture.store.key_ids(StreamTurn::Alone).await.expect("a stream");
    assert!(turn.is_some());
    assert!(other.key_ids(StreamTurn::Alone).await.expect("an answer").is_none(), "taken");
    assert!(other.key_ids(StreamTurn::Any).await.expect("an answer").is_some(), "a node that starts waits for nobody");
    drop(turn);
    // The server notices the end of the session in its own time.
    let ask = async || other.key_ids(StreamTurn::Alone).await?.ok_or_else(|| std::io::Error::other("still taken").into());
    eventually("the turn comes back", Duration::from_secs(30), ask).await.expect("a turn");
}

#[tokio::test]
async fn a_stream_takes_no_connection_of_the_pool() {
    let fixture = fixture().await;
    let options = Options { pool_size: 2, lookups_in_flight: 1, ..Options::new(fixture.database.url()) };
    let store = PostgresKeys::connect(&options).expect("a store");
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(store.key_ids(StreamTurn::Any).await.expect("a stream").expect("anybody's turn"));
    }
    let key = create(&store, draft(None)).await;
    assert!(store.find(key.key_id.clone()).await.expect("found").is_some());
    for stream in &mut streams {
        assert_eq!(stream.next_page(10).await.expect("a page"), std::slice::from_ref(&key.key_id));
    }
    assert!(store.pool_status().used + store.pool_status().idle <= 2);
}

#[tokio::test]
async fn a_stream_holds_no_transaction_open_between_pages() {
    let fixture = fixture().await;
    for _ in 0..3 {
        create(&fixture.store, draft(None)).await;
    }
    let mut stream = fixture.store.key_ids(StreamTurn::Alone).await.expect("a stream").expect("its turn");
    assert_eq!(stream.next_page(2).await.expect("a page").len(), 2);
    let mut witness = fixture.database.connection().await.expect("a connection");
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'tollgate key ids' \
        and (xact_start is not null or state <> 'idle')";
    let open: i64 = sqlx::query_scalar(sql).fetch_one(&mut witness).await.expect("a count");
    assert_eq!(open, 0);
    let later = create(&fixture.store, draft(None)).await;
    let rest = stream.next_page(2).await.expect("a page");
    assert!(rest.len() == 2 && rest.contains(&later.key_id), "each page is as of its own instant: {rest:?}");
}

#[tokio::test]
async fn a_database_without_a_schema_is_told_and_so_is_none() {
    let database = TestDatabase::empty().await.expect("a database");
    let store = PostgresKeys::connect(&Options::new(database.url())).expect("a store");
    assert!(matches!(store.key_ids(StreamTurn::Any).await, Err(KeyStoreError::Unusable(_))));
    let nowhere = PostgresKeys::connect(&Options::new("postgres://u@127.0.0.1:1/d")).expect("a store");
    assert!(matches!(nowhere.key_ids(StreamTurn::Any).await, Err(KeyStoreError::Unreachable(_))));
}
