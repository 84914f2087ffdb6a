//! A million keys in the store: a node streams their ids, and holds two bytes of each.

use sqlx::Executor;
use tollgate_testkit::Node;

use super::{
    LOOKUPS, fleet, memory_kib,
    volley::{Statuses, request, volley},
};
use crate::support::{Cluster, metric};

const KEYS: u64 = 1_000_000;
const STRANGERS: usize = 20_000;
/// What a node may need for so many keys more than for none: two filters, and a page of ids.
const MORE_KIB: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_keys_take_a_node_two_megabytes_and_are_never_in_memory_at_once() {
    let cluster = Cluster::of(fleet(1)).await;
    let mut database = cluster.fleet.database.as_ref().unwrap().connection().await.unwrap();
    // Checks of a row take most of the time, and are no part of this.
    let sql = format!(
        "do $$ declare name text; begin \
            for name in select conname from pg_constraint where conrelid = 'keys'::regclass and contype in ('c', 'f') \
            loop execute format('alter table keys drop constraint %I', name); end loop; end $$; \
         insert into keys (key_id, name, kind, secret_phc, created_at_ms, generation) \
         select 'tk_01hq3m' || lpad(n::text, 20, '0'), 'n', 'signed', '$argon2', 1700000000000, 1 from generate_series(1, {KEYS}) as n; \
         analyze keys"
    );
    database.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let full = cluster.fleet.builder.clone().start().await.unwrap();
    let (keys, bytes) = (metric(&full, "tollgate_bloom_keys").await, metric(&full, "tollgate_bloom_bytes").await);
    // Of a thousand ids one may be taken for one that is there already.
    assert!(keys > KEYS - KEYS / 500 && bytes <= 2 * KEYS, "{keys} ids in {bytes} bytes");
    let peak = |node: &Node| memory_kib(node, "VmHWM:");
    let (with, without) = (peak(&full), peak(cluster.fleet.node(0).unwrap()));
    assert!(with < without + MORE_KIB, "{with} KiB at most, {without} KiB without keys");
    let strangers = |number| request(&format!("tk_01hq3n{number:020}:swordfish"), "");
    let statuses = volley(&[full.address()], 4, STRANGERS, strangers).await;
    assert_eq!(statuses, Statuses::from([(401, STRANGERS)]));
    // One in a thousand is looked up, by design; fewer with the head room.
    let looked_up = metric(&full, LOOKUPS).await;
    assert!(looked_up <= 2 * STRANGERS as u64 / 1000, "{looked_up} look-ups");
}
