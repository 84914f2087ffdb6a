//! Gates that are gone, silent or out of their minds: nobody passes, and nobody becomes somebody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tollgate_testkit::{Gateway, Node, TestRecipe, eventually};

use super::app::App;
use super::site::{Site, client, gateways, patient};

/// Longer than any time-out of a recipe on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

async fn status(recipe: &TestRecipe, api_key: &str) -> u16 {
    let answer = tokio::time::timeout(PATIENCE, client(recipe).with(api_key).get("/orders").open());
    answer.await.unwrap_or_else(|_| panic!("{} waits", recipe.gateway().name())).status().as_u16()
}

/// What the page on gateways says.
fn without_a_gate(gateway: Gateway) -> u16 {
    match gateway {
        Gateway::Nginx | Gateway::Haproxy | Gateway::Envoy => 503,
        Gateway::Caddy => 502,
        Gateway::Traefik => 500,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_gate_nobody_passes() {
    let mut site = Site::start().await;
    let key = site.key().await;
    for recipe in &site.recipes {
        assert_eq!(status(recipe, &key.api_key).await, 200, "{}", recipe.gateway().name());
    }
    site.node.kill().unwrap();
    site.app.take();
    for recipe in &site.recipes {
        for _ in 0..3 {
            assert_eq!(status(recipe, &key.api_key).await, without_a_gate(recipe.gateway()), "{}", recipe.gateway().name());
        }
    }
    assert!(site.app.take().is_empty(), "the app was asked");
    // It comes back by itself.
    site.node.start_again().await.unwrap();
    for recipe in &site.recipes {
        let what = format!("{} passes again", recipe.gateway().name());
        let back = eventually(&what, PATIENCE, async || {
            let status = status(recipe, &key.api_key).await;
            anyhow::ensure!(status == 200, "it answers {status}");
            Ok(())
        });
        back.await.unwrap();
    }
}

/// Freezes a node, and waits until all its threads stand still: they do not at once.
async fn freeze(node: &Node) {
    node.process().signal("STOP").unwrap();
    let tasks = format!("/proc/{}/task", node.process().id());
    let frozen = eventually("a node stands still", PATIENCE, async || {
        for task in std::fs::read_dir(&tasks)? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            anyhow::ensure!(stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")), "{stat}");
        }
        Ok(())
    });
    frozen.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_says_nothing_is_not_waited_for() {
    let site = Site::changed(|node| node, |_, text| text.to_owned()).await;
    let key = site.key().await;
    freeze(&site.node).await;
    // Traefik waits for half a minute, and nothing can be set.
    for recipe in site.recipes.iter().filter(|recipe| recipe.gateway() != Gateway::Traefik) {
        let told = status(recipe, &key.api_key).await;
        let expected = if matches!(recipe.gateway(), Gateway::Caddy) { 504 } else { 503 };
        assert!(told == expected || (recipe.gateway() == Gateway::Haproxy && told == 504), "{}: {told}", recipe.gateway().name());
    }
    assert!(site.app.take().is_empty(), "the app was asked");
}

const NAMES: [&str; 3] = ["x-tollgate-key-id", "x-tollgate-owner", "x-tollgate-scopes"];

/// Fails in the middle of asking.
fn with_a_broken_script(gateway: Gateway, text: &str) -> String {
    let text = patient(gateway, text);
    if gateway == Gateway::Haproxy { text.replace("local answer =", "local answer = nil + 1 --") } else { text }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_fails_lets_nobody_pass() {
    let site = Site::changed(|node| node, with_a_broken_script).await;
    let key = site.key().await;
    let recipe = site.recipes.iter().find(|recipe| recipe.gateway() == Gateway::Haproxy).unwrap();
    assert_eq!(status(recipe, &key.api_key).await, 503, "{}", recipe.log_tail());
    assert!(recipe.log_tail().contains("arithmetic"), "it failed otherwise: {}", recipe.log_tail());
    assert!(site.app.take().is_empty(), "the app was asked");
}

/// What stands in for the gate answers.
type Said = Arc<Mutex<(StatusCode, HeaderMap)>>;

async fn as_told(State(said): State<Said>) -> (StatusCode, HeaderMap) {
    said.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A server that answers as it is told.
async fn pretender(said: Said) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/health/ready", get(|| async {})).fallback(as_told).with_state(said);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_yes_is_a_yes_and_what_it_leaves_out_the_client_cannot_fill_in() {
    let said: Said = Arc::new(Mutex::new((StatusCode::UNAUTHORIZED, HeaderMap::new())));
    let app = App::start().await;
    let recipes = gateways(pretender(Arc::clone(&said)).await, &app, patient).await;
    let say = |status: u16, headers: HeaderMap| {
        *said.lock().unwrap_or_else(PoisonError::into_inner) = (StatusCode::from_u16(status).unwrap(), headers);
    };
    let ask = async |recipe: &TestRecipe| {
        NAMES.into_iter().fold(client(recipe).get("/orders"), |call, name| call.header(name, "forged")).open().await
    };
    for recipe in &recipes {
        let name = recipe.gateway().name();
        for status in [301, 302, 304, 400, 401, 403, 404, 418, 422, 429, 431, 500, 502, 503, 504] {
            say(status, HeaderMap::new());
            let answer = ask(recipe).await;
            assert!(answer.status().as_u16() >= 300 && app.take().is_empty(), "{name}: {status} became {answer:?}");
            if [400, 401, 403, 422, 429, 431, 503].contains(&status) {
                assert_eq!(answer.status(), status, "{name}");
            }
        }
        // Nothing, one name alone, and empty ones: what a proxy between, or another version, might leave.
        let of = |names: &[&str], value: &'static str| {
            names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for headers in [of(&[], ""), of(&NAMES, ""), of(&NAMES[1..2], "ours"), of(&NAMES[..1], "ours"), of(&NAMES[..2], "ours")] {
            say(200, headers.clone());
            let answer = ask(recipe).await;
            // Or refused, for a yes that names nobody is none.
            if answer.status() == 503 && headers.get(NAMES[0]).is_none_or(HeaderValue::is_empty) {
                assert!(app.take().is_empty(), "{name}");
                continue;
            }
            assert_eq!(answer.status(), 200, "{name}, {headers:?}");
            let seen = app.take_one(name);
            for header in NAMES {
                let told = seen.read_as(header);
                let ours = headers.get(header).map_or("", |value| value.to_str().unwrap());
                assert!(told == [ours] || (ours.is_empty() && told.is_empty()), "{name}, {header}: {told:?}");
            }
        }
    }
}
