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

const TEXTS: &str = "crates/redis/src/scripts.rs";
/// The one file that sends scripts.
const SENDER: &str = "crates/redis/src/connection.rs";

/// T17: a script is a file of `lua/`, word for word, and what a caller says is never part of one. So each is made from
/// a constant that is such a file, nothing else has the commands that take a text, and no Rust has a line of Lua.
fn put_together(sources: &[Source]) -> Vec<String> {
    let shipped = sources.iter().filter(|source| source.path.starts_with("crates/redis/src/") && source.extension() == "rs");
    shipped.flat_map(|source| source.text.lines().filter_map(|line| odd(source, line)).collect::<Vec<_>>()).collect()
}

fn odd(source: &Source, line: &str) -> Option<String> {
    let path = source.path.as_str();
    let line = line.trim();
    let of_constants = || {
        let made = line.split("Script::new(").skip(1);
        made.into_iter().all(|rest| rest.starts_with("scripts::") && rest.split([')', ',']).next().is_some_and(|name| name.contains("::")))
    };
    // A script may be several files, one after the other, put together by the compiler.
    let is_text = || line.contains('"') && !line.starts_with("//") && !line.contains("include_str!(\"../../../lua/");
    let lower = line.to_ascii_lowercase();
    let wrong = [
        (!of_constants(), "a script is made of something else than a file"),
        (path == TEXTS && (is_text() || line.contains("format!")), "a text that is no file"),
        (
            path != SENDER && ["\"eval", "\"script", "\"fcall", "\"function"].iter().any(|word| lower.contains(word)),
            "a script is sent past it",
        ),
        // fred's own ways to send one, which are not even built in.
        (["eval(", "evalsha(", "script_load(", "from_lua("].iter().any(|call| line.contains(call)), "a script is sent past it"),
        (
            path != TEXTS && [" Script {", "(Script {", ":Script {"].iter().any(|made| line.contains(made)),
            "a script is made of something else than a file",
        ),
        (line.contains("redis.call") || line.contains("redis.pcall"), "a line of Lua"),
    ];
    wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, what)| format!("{path}: {what}: {line}"))
}

#[test]
fn no_script_is_put_together_at_run_time() {
    let sources = sources();
    let texts = sources.iter().find(|source| source.path == TEXTS).expect("the scripts are there");
    assert!(texts.text.matches("include_str!").count() >= 6, "the scripts are not where this looks for them");
    none(&put_together(&sources));
}

#[test]
fn a_script_that_is_put_together_is_found() {
    for (path, line) in [
        ("crates/redis/src/buckets.rs", "let script = Script::new(&format!(\"return {id}\"));"),
        ("crates/redis/src/buckets.rs", "let script = Script::new(text);"),
        (TEXTS, "pub const A: &str = \"return 1\";"),
        (TEXTS, "    format!(\"{DECIDE}{}\", id)"),
        (TEXTS, "    concat!(include_str!(\"../a.lua\"),"),
        ("crates/redis/src/usage.rs", "client.custom(\"EVAL\", vec![])"),
        ("crates/redis/src/usage.rs", "client.custom(\"eval\", vec![])"),
        ("crates/redis/src/usage.rs", "client.eval(text, keys, values)"),
        ("crates/redis/src/usage.rs", "client.script_load(text)"),
        ("crates/redis/src/usage.rs", "fred::types::scripts::Script::from_lua(text)"),
        ("crates/redis/src/usage.rs", "let script = Script { text, sha1 };"),
        ("crates/redis/src/bus.rs", "let text = \"redis.call('GET', KEYS[1])\";"),
    ] {
        assert_eq!(put_together(&[Source::seeded(path, line)]).len(), 1, "{line}");
    }
    let good = Source::seeded("crates/redis/src/buckets.rs", "let a = (Script::new(scripts::FENCE), Script::new(scripts::JOIN));");
    assert_eq!(put_together(&[good]), Vec::<String>::new());
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
