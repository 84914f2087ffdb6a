//! Lua is the reference arithmetic: over random histories both give the same verdicts, figures
//! and records.
//!
//! `TOLLGATE_MODEL_DECISIONS` sets how many decisions (default 100 000), `TOLLGATE_MODEL_SEED`
//! another history.

#[path = "support/world.rs"]
mod world;

use tollgate_testkit::TestRedis;
use world::World;

#[tokio::test]
async fn lua_decides_as_the_reference_does() {
    let setting = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let decisions = setting("TOLLGATE_MODEL_DECISIONS", 100_000);
    let redis = TestRedis::start().await.expect("redis starts");
    let connection = redis::Client::open(redis.url()).and_then(|client| client.get_connection()).expect("redis answers");
    let mut world = World::new(connection, setting("TOLLGATE_MODEL_SEED", 7));
    while world.seen.decisions < decisions {
        world.turn();
    }
    let seen = world.seen;
    println!("{seen:?}");
    // A history in which something never happens proves nothing about it.
    for (what, count) in [
        ("allowed", seen.allowed),
        ("limited", seen.limited),
        ("stale", seen.stale),
        ("revoked", seen.revoked),
        ("converted", seen.converted),
        ("cut after the clock stepped back", seen.cut),
        ("records of several buckets", seen.several),
        ("fences", seen.fences),
        ("fences while slices are out", seen.fences_beside_slices),
        ("fences between the two calls of a conversion", seen.fences_between),
        ("slices given", seen.leased),
        ("slices handed back", seen.settled),
        ("refused because of slices", seen.blamed),
        ("decisions on records with slices", seen.over_slices),
        ("slices of an epoch that the clock has stepped back behind", seen.ahead),
        ("records that expired", seen.expired),
        ("records with slices that expired", seen.expired_leased),
        ("slices handed back that are none", seen.odd),
        ("who had waited as told while slices were out", seen.waited),
        ("answers that rested on a write that failed", seen.unwritten),
        ("such with a lease", seen.unwritten_leased),
    ] {
        assert!(count >= decisions / 2000, "only {count} times: {what}");
    }
}
