//! The stack on a Redis Cluster: a master dies, and slots move, while clients go on.

use std::{cell::Cell, time::Instant};

use serde_json::{Value, json};
use tollgate_testkit::eventually;

use super::{
    clients::Clients,
    stack::{MONTH_S, PLENTY, WITHIN, operator},
    stack_steps::Stack,
};
use crate::support::{Api, NewKey, owner_of};

/// A tag on the first master, `redis`, and one on the third, `redis-3`, as a Cluster of three shares its slots out.
const OF_FIRST: usize = 14;
const OF_THIRD: usize = 13;
/// Of the third master's slots these many hold that tag, and the slots of three more.
const SLOTS: u32 = 2400;
const BURST: u64 = 5;
/// More than the nodes that a balancer can choose from.
const EACH_NODE: usize = 9;

#[tokio::test]
async fn a_member_of_a_cluster_dies_and_slots_move_and_no_client_is_refused() {
    let stack = Stack::up(&["deploy/compose/cluster.yml"]).await;
    let admin = operator(&stack).await;
    // Whom only Redis may decide on tells when it does.
    let on_first = key(&admin, OF_FIRST, json!({"burst": BURST, "per_seconds": MONTH_S}), "closed").await;
    let spent = key(&admin, OF_THIRD, json!({"burst": 1, "per_seconds": MONTH_S}), "closed").await;
    on_first.authorize("").await.expect(200);
    spent.authorize("").await.expect(200);

    let clients = Clients::start(&key(&admin, OF_FIRST, json!({"burst": PLENTY, "per_seconds": MONTH_S}), "local").await);
    clients.more(300).await;
    let begun = Instant::now();
    stack.compose(&["kill", "--signal", "KILL", "redis"]).await;
    elected(&stack).await;
    let (elected, ()) = (begun.elapsed(), decided(&on_first).await);
    println!("a killed master of a Cluster: another after {elected:?}, all nodes decide by it after {:?}", begun.elapsed());
    clients.more(300).await;
    clients.none_has_failed().await;
    let (again, unknown) = spend(&on_first).await;
    assert!(again <= BURST && again + unknown >= BURST - 1, "what was left, or one burst if that was lost: {again}, {unknown} unknown");
    decided(&spent).await;
    spent.authorize("").await.expect(429);
    stack.compose(&["start", "redis"]).await;
    stack.healthy("redis").await;

    let clients = Clients::start(&key(&admin, OF_THIRD, json!({"burst": PLENTY, "per_seconds": MONTH_S}), "local").await);
    clients.more(100).await;
    slots_move(&stack).await;
    clients.more(300).await;
    clients.none_has_failed().await;
    decided(&spent).await;
    spent.authorize("").await.expect(429);
}

/// A key whose buckets have this tag.
async fn key(admin: &Api, tag: usize, rate_limit: Value, outage_mode: &str) -> Api {
    let made = NewKey::make(admin, json!({"owner": owner_of(tag), "rate_limit": rate_limit, "outage_mode": outage_mode})).await;
    admin.with(&made.api_key)
}

/// Waits until another member than the first serves its slots.
async fn elected(stack: &Stack) {
    let elected = eventually("another master", WITHIN, async || {
        let members = stack.ask_member("redis-2", "cluster nodes").await;
        let serves = |line: &str| line.ends_with(" 0-5460") && !line.contains(".21:6379");
        anyhow::ensure!(members.lines().any(serves), "{members}");
        Ok(())
    });
    elected.await.unwrap();
}

/// Waits until every node can say how this key stands; the balancer asks them in turn, or whom it likes.
async fn decided(key: &Api) {
    let decided = eventually("figures of all nodes", WITHIN, async || {
        for _ in 0..EACH_NODE {
            let told = key.post("/v1/check", &json!({"peek": true})).send().await;
            anyhow::ensure!(told.status == 200 && told.check().remaining.is_some(), "{}", told.text());
        }
        Ok(())
    });
    decided.await.unwrap();
}

/// Asks until the key is limited: how often it was admitted, and how often a node did not know, having lost its connection once
/// more, be it before or after the charge.
async fn spend(key: &Api) -> (u64, u64) {
    let (admitted, unknown) = (Cell::new(0), Cell::new(0));
    let limited = eventually("an exhausted key", WITHIN, async || {
        loop {
            match key.authorize("").await.status {
                200 => admitted.set(admitted.get() + 1),
                429 => return Ok(()),
                status => {
                    unknown.set(unknown.get() + 1);
                    anyhow::bail!("{status}");
                }
            }
        }
    });
    limited.await.unwrap();
    (admitted.get(), unknown.get())
}

/// From the third master to the second, as an operator would.
async fn slots_move(stack: &Stack) {
    let (to, from) = (stack.ask_member("redis-2", "cluster myid").await, stack.ask_member("redis-3", "cluster myid").await);
    // Members must have agreed about who is who before anything may move.
    let agreed = eventually("members that agree", WITHIN, async || {
        let told = stack.ask_member("redis-2", "--cluster check redis-2:6379 || true").await;
        anyhow::ensure!(told.contains("All nodes agree") && told.contains("All 16384 slots covered"), "{told}");
        Ok(())
    });
    agreed.await.unwrap();
    let reshard = format!("--cluster reshard redis-2:6379 --cluster-from {from} --cluster-to {to} --cluster-slots {SLOTS} --cluster-yes");
    let told = stack.ask_member("redis-2", &format!("{reshard} 2>&1 | tail -n 1")).await;
    assert!(told.starts_with("Moving slot"), "{told}");
    let slot = "cluster keyslot '{s13}'";
    let number: u32 = stack.ask_member("redis-2", slot).await.parse().expect("a slot");
    let members = stack.ask_member("redis-2", "cluster nodes").await;
    let receiver = members.lines().find(|line| line.starts_with(&to)).expect("a member");
    let ranges = receiver.split_whitespace().skip(8).filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    });
    assert!(ranges.into_iter().any(|range| range.contains(&number)), "slot {number} has not moved: {members}");
}
