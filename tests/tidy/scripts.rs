//! Every Lua script says what it takes and gives, and Redis can compile it.

use redis::Script;
use tollgate_testkit::TestRedis;

use super::tree::{Source, none, sources};

/// What the comment at the head of a script must explain.
const CONTRACT: [&str; 3] = ["KEYS", "ARGV", "Result"];

fn scripts() -> Vec<Source> {
    sources().into_iter().filter(|source| source.path.starts_with("lua/") && source.extension() == "lua").collect()
}

fn violations(scripts: &[Source]) -> Vec<String> {
    scripts
        .iter()
        .flat_map(|script| missing(script).into_iter().map(|word| format!("{}: its head does not tell its {word}", script.path)))
        .collect()
}

fn missing(script: &Source) -> Vec<&'static str> {
    let head: Vec<&str> = script.text.lines().take_while(|line| line.starts_with("--")).collect();
    CONTRACT.into_iter().filter(|word| !head.iter().any(|line| line.contains(word))).collect()
}

#[test]
fn every_script_has_its_contract_at_its_head() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no script was found");
    none(&violations(&scripts));
}

#[tokio::test]
async fn redis_compiles_every_script() {
    let mut connection = TestRedis::shared().await.unwrap().connection().await.unwrap();
    for script in scripts() {
        let loaded = Script::new(&script.text).load_async(&mut connection).await;
        loaded.unwrap_or_else(|error| panic!("{}: {error}", script.path));
    }
}

#[test]
fn seeded_faults_are_found() {
    let good = "-- KEYS[1] a\n-- ARGV[1] b\n-- Result c\nreturn 1\n";
    assert_eq!(violations(&[Source::seeded("lua/a.lua", good)]), Vec::<String>::new());
    assert_eq!(violations(&[Source::seeded("lua/a.lua", &good.replace("-- ARGV[1] b", ""))]).len(), 2);
}
