//! The stack of `docker-compose.yml`: from nothing to the first answer, and what its clients see while parts
//! of it are gone.
//!
//! Few tests of many steps, because a stack takes half a minute to come up: each step leaves it whole.

use std::time::{Duration, Instant};

use serde_json::json;
use tollgate_testkit::eventually;

use super::{
    clients::Clients,
    stack_steps::{Fault, Stack},
};
use crate::{
    support::{Api, NewKey},
    tidy::dashboards,
};

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// A limit that no test comes near.
pub(super) const PLENTY: u64 = 1_000_000;
/// So long that nothing to speak of is refilled while the test runs.
pub(super) const MONTH_S: u64 = 2_678_400;
/// No machine is so slow.
pub(super) const WITHIN: Duration = Duration::from_mins(3);

#[tokio::test]
async fn the_stack_comes_up_by_itself_and_its_clients_notice_neither_a_killed_node_nor_an_outage() {
    let stack = Stack::up(&[]).await;
    the_printed_line_answers_200(&stack).await;
    the_command_line_works_in_it(&stack).await;
    redis_lets_nobody_do_more_than_a_node(&stack).await;
    the_nodes_are_no_superuser_of_postgres(&stack).await;
    let admin = operator(&stack).await;
    a_limit_is_one_for_all_nodes(&admin).await;
    a_killed_node_is_noticed_by_no_client(&stack, &admin).await;
    a_node_that_hangs_or_is_cut_off_is_noticed_by_no_client(&stack, &admin).await;
    a_rolling_restart_is_noticed_by_no_client(&stack, &admin).await;
    prometheus_sees_every_node(&stack).await;
    prometheus_understands_the_dashboard(&stack).await;
    for store in ["redis", "postgres"] {
        an_outage_makes_nobody_unhealthy(&stack, &admin, store).await;
    }
    what_was_made_outlives_the_containers(&stack, &admin).await;
}

/// An admin whose limit no test comes near.
pub(super) async fn operator(stack: &Stack) -> Api {
    let first = Api::new(stack.url()).with(&stack.admin_key().await);
    let key = NewKey::make(&first, json!({"scopes": ["admin"], "rate_limit": {"burst": PLENTY, "per_seconds": 60}})).await;
    first.with(&key.api_key)
}

async fn the_printed_line_answers_200(stack: &Stack) {
    let printed = stack.compose(&["logs", "--no-log-prefix", "balancer"]).await;
    let line = printed.lines().find_map(|line| Some(&line[line.find("curl -i")?..])).unwrap_or_else(|| panic!("no line in {printed}"));
    let status = stack.shell(&format!("{line} --silent --show-error --output /dev/null --write-out '%{{http_code}}'")).await;
    assert_eq!(status, "200", "{line}");
}

async fn the_command_line_works_in_it(stack: &Stack) {
    let listed = stack.compose(&["run", "--rm", "tollgate", "--output", "json", "keys", "list"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let names: Vec<_> = listed["keys"].as_array().expect("keys").iter().map(|key| &key["name"]).collect();
    assert!(names.contains(&&json!("bootstrap admin")) && names.contains(&&json!("health checks")), "{names:?}");
}

/// Nobody is served without a password, and the nodes' user may do what nodes do and nothing else.
async fn redis_lets_nobody_do_more_than_a_node(stack: &Stack) {
    let as_node = "REDISCLI_AUTH=$(cat /run/redis-secrets/password) redis-cli --user tollgate";
    for (client, command, refusal) in [
        ("redis-cli", "ping", "NOAUTH"),
        (as_node, "config get maxmemory", "NOPERM"),
        (as_node, "flushall", "NOPERM"),
        (as_node, "get other:key", "NOPERM"),
        (as_node, "get tg:key", "\n"),
    ] {
        let said = stack.compose(&["exec", "-T", "redis", "sh", "-c", &format!("{client} {command}; echo")]).await + "\n";
        assert!(said.starts_with(refusal), "{command}: {said:?}");
    }
}

/// Nobody is: neither the owner, as whom no node is connected, nor the nodes' user, which may not all that the owner may.
async fn the_nodes_are_no_superuser_of_postgres(stack: &Stack) {
    let question = "select (select count(*) from pg_roles where rolname like 'tollgate%' \
                        and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)), \
                    (select count(*) from pg_stat_activity where usename = 'tollgate'), \
                    has_table_privilege('keys', 'select'), has_table_privilege('keys', 'delete')";
    let psql = ["exec", "-T", "postgres", "psql", "--username=tollgate_node", "--dbname=tollgate", "--no-align", "--tuples-only"];
    assert_eq!(stack.compose(&[&psql[..], &["--command", question]].concat()).await, "0|0|t|f");
}

/// Five of six requests pass, whichever nodes they go to, and the 429 of the sixth comes through as it is.
async fn a_limit_is_one_for_all_nodes(admin: &Api) {
    let key = NewKey::make(admin, json!({"rate_limit": {"burst": 5, "per_seconds": MONTH_S}})).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(admin.with(&key.api_key).authorize("").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
}

/// A node is killed under load and comes back under load. Nobody is refused, and what is charged is at most what
/// was sent to nodes: the balancer asks again where a GET had no answer.
async fn a_killed_node_is_noticed_by_no_client(stack: &Stack, admin: &Api) {
    let key = NewKey::make(admin, json!({"rate_limit": {"burst": PLENTY, "per_seconds": MONTH_S}})).await;
    let api = Api::new(stack.url()).with(&key.api_key);
    let clients = Clients::start(&api);
    clients.more(3000).await;
    stack.compose(&["kill", "--signal", "KILL", "node-2"]).await;
    clients.more(4000).await;
    stack.compose(&["start", "node-2"]).await;
    clients.more(3000).await;
    let answered = clients.none_has_failed().await;
    assert!(answered >= 10_000, "{answered}");
    let charged = PLENTY - api.peek().await.remaining.expect("a limit");
    let attempts = answered + stack.resent().await;
    assert!(charged <= attempts as u64, "{charged} charged in {attempts} attempts");
    stack.healthy("node-2").await;
}

/// A node stands still, and then its wire to the balancer is cut. Clients wait at most, and what a
/// key may spend is spent once, whoever decides meanwhile.
async fn a_node_that_hangs_or_is_cut_off_is_noticed_by_no_client(stack: &Stack, admin: &Api) {
    let key = NewKey::make(admin, json!({"rate_limit": {"burst": PLENTY, "per_seconds": MONTH_S}})).await;
    let spent = NewKey::make(admin, json!({"rate_limit": {"burst": 3, "per_seconds": MONTH_S}})).await;
    let spent = admin.with(&spent.api_key);
    for status in [200, 200, 200, 429] {
        assert_eq!(spent.authorize("").await.status, status);
    }
    let api = Api::new(stack.url()).with(&key.api_key);
    let clients = Clients::start(&api);
    clients.more(200).await;
    for (away, back) in [(Fault::Hangs, Fault::GoesOn), (Fault::CutOff("front"), Fault::Connected("front"))] {
        stack.fault("node-3", away).await;
        clients.more(300).await;
        assert_eq!(spent.authorize("").await.status, 429, "what is spent stays spent");
        stack.fault("node-3", back).await;
        stack.healthy("node-3").await;
        clients.more(100).await;
    }
    let answered = clients.none_has_failed().await;
    let charged = PLENTY - api.peek().await.remaining.expect("a limit");
    let attempts = answered + stack.resent().await;
    assert!(charged <= attempts as u64, "{charged} charged in {attempts} attempts");
}

/// Each drains, ends and comes back while it is asked.
async fn a_rolling_restart_is_noticed_by_no_client(stack: &Stack, admin: &Api) {
    let key = NewKey::make(admin, json!({"rate_limit": {"burst": PLENTY, "per_seconds": MONTH_S}})).await;
    let clients = Clients::start(&admin.with(&key.api_key));
    for node in NODES {
        clients.more(100).await;
        stack.compose(&["stop", node]).await;
        assert_eq!(stack.exit_status(node).await, "0", "{node} has ended in order");
        stack.compose(&["start", node]).await;
        stack.healthy(node).await;
    }
    clients.more(100).await;
    clients.none_has_failed().await;
}

async fn prometheus_sees_every_node(stack: &Stack) {
    let seen = eventually("three nodes in Prometheus", WITHIN, async || {
        let query = "http://127.0.0.1:9090/api/v1/query?query=sum(up%7Bjob%3D%22tollgate%22%7D)";
        let answer = stack.compose(&["exec", "-T", "prometheus", "wget", "-q", "-O", "-", query]).await;
        anyhow::ensure!(answer.contains("\"3\"]"), "{answer}");
        Ok(())
    });
    seen.await.unwrap();
}

/// Every query of the dashboard, with what Grafana puts in the place of its variables. The rules it has read at its start.
async fn prometheus_understands_the_dashboard(stack: &Stack) {
    let queries = dashboards::queries_of_dashboard();
    let url = |query: &String| {
        let query = query.replace("$__rate_interval", "1m").replace("$instance", ".+");
        reqwest::Url::parse_with_params("http://127.0.0.1:9090/api/v1/query", [("query", query)]).expect("a URL").to_string()
    };
    let urls: Vec<String> = queries.iter().map(url).collect();
    let each = r#"for url; do wget -q -O - "$url" | grep -q '"status":"success"' || echo "$url"; done"#;
    let first = ["exec", "-T", "prometheus", "sh", "-c", each, "sh"].into_iter();
    let refused = stack.compose(&first.chain(urls.iter().map(String::as_str)).collect::<Vec<_>>()).await;
    assert!(urls.len() > 15 && refused.is_empty(), "{refused}");
}

/// Orchestrators start unhealthy containers again: all nodes at once would make an outage of an outage.
async fn an_outage_makes_nobody_unhealthy(stack: &Stack, admin: &Api, store: &str) {
    let key = NewKey::make(admin, json!({"rate_limit": {"burst": 1000, "per_seconds": MONTH_S}})).await;
    let client = admin.with(&key.api_key);
    client.authorize("").await.expect(200);
    for node in 0..NODES.len() * 4 {
        // So that each node has seen it.
        assert_eq!(client.authorize("").await.status, 200, "{node}");
    }
    stack.compose(&["stop", "--timeout", "10", store]).await;
    for node in NODES {
        stack.checked_twice_and_healthy(node).await;
    }
    stack.healthy("balancer").await;
    assert_eq!(client.authorize("").await.status, 200, "without {store}");
    stack.compose(&["start", store]).await;
    stack.healthy(store).await;
}

/// Containers made anew from the same volumes: no second admin, no other password, the same keys.
async fn what_was_made_outlives_the_containers(stack: &Stack, admin: &Api) {
    stack.compose(&["down", "--timeout", "1"]).await;
    stack.start().await;
    admin.authorize("").await.expect(200);
    assert_eq!(stack.compose(&["logs", "--no-log-prefix", "bootstrap"]).await, "", "nothing was made again");
}

/// The sentinels make another Redis the master while clients go on.
#[tokio::test]
async fn a_killed_master_is_replaced_and_no_client_is_refused() {
    let stack = Stack::up(&["deploy/compose/sentinel.yml"]).await;
    let admin = operator(&stack).await;
    let key = NewKey::make(&admin, json!({"rate_limit": {"burst": PLENTY, "per_seconds": MONTH_S}})).await;
    let clients = Clients::start(&admin.with(&key.api_key));
    clients.more(500).await;
    let first = stack.master().await;
    let begun = Instant::now();
    stack.compose(&["kill", "--signal", "KILL", "redis"]).await;
    let replaced = eventually("another master", WITHIN, async || {
        anyhow::ensure!(stack.master().await != first, "it is {first} still");
        Ok(())
    });
    replaced.await.unwrap();
    let elected = begun.elapsed();
    nobody_decides_without_redis(&admin).await;
    println!("a killed master: another after {elected:?}, all nodes decide by it after {:?}", begun.elapsed());
    clients.more(500).await;
    clients.none_has_failed().await;
    a_limit_is_one_for_all_nodes(&admin).await;
    stack.compose(&["start", "redis"]).await;
    let copies = eventually("the old master copies the new one", WITHIN, async || {
        let role = stack.ask_redis("redis", "role").await;
        anyhow::ensure!(role.starts_with("slave"), "{role}");
        Ok(())
    });
    copies.await.unwrap();
}

/// As the nodes tell each other through Redis, so it takes writes.
async fn nobody_decides_without_redis(admin: &Api) {
    let well = eventually("three nodes with Redis", WITHIN, async || {
        let told = admin.get("/v1/nodes").send().await;
        anyhow::ensure!(told.status == 200, "{}", told.text());
        let (told, text) = (told.json(), told.text());
        let well = told["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(|node| node["in_outage"] == false).count());
        anyhow::ensure!(told["complete"] == true && well == NODES.len(), "{text}");
        Ok(())
    });
    well.await.unwrap();
}
