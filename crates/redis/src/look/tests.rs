use super::*;

const A: &str = "10.0.0.1:6379";

/// As Redis 7 tells it, cut to some of its lines.
fn info(run: &str, role: &str, policy: &str, evicted: u64) -> Facts {
    Facts::read(&format!(
        "# Server\r\nredis_version:7.0.15\r\nrun_id:{run}\r\nserver_time_usec:1700000000000000\r\n\r\n# Memory\r\nmaxmemory:0\r\n\
         maxmemory_policy:{policy}\r\n# Stats\r\nevicted_keys:{evicted}\r\n# Replication\r\nrole:{role}\r\nmaster_replid:abc\r\n"
    ))
}

fn good(evicted: u64) -> Facts {
    info("r1", "master", "noeviction", evicted)
}

fn see(watch: &mut Watch, facts: Facts, now: Instant) -> Found {
    watch.see(&[(A.to_owned(), Some(facts))], now)
}

#[test]
fn what_info_says_is_read_and_what_it_does_not_say_is_unknown() {
    let facts = good(7);
    assert_eq!((facts.role.as_deref(), facts.evicted, facts.unix_us), (Some("master"), Some(7), Some(1_700_000_000_000_000)));
    assert_eq!(facts.policy.as_deref(), Some("noeviction"));
    assert_eq!(Facts::read("nonsense\nrole_of_nobody:x\nevicted_keys:-\n"), Facts::default());
    assert_eq!(Facts::read("role:slave\r\n").demoted(A).expect("told").split(':').count(), 3);
    assert!(good(0).demoted(A).is_none() && Facts::default().demoted(A).is_none());
}

#[test]
fn any_other_policy_is_told_until_it_is_mended() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    for policy in ["allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"] {
        let found = see(&mut watch, info("r1", "master", policy, 0), now);
        assert!(found.look.eviction.is_some_and(|why| why.contains(policy) && why.contains(A) && why.contains("noeviction")));
    }
    assert_eq!(see(&mut watch, good(0), now).look.eviction, None);
}

#[test]
fn a_rise_of_evicted_keys_is_told_for_a_while_and_old_ones_are_not() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    assert_eq!(see(&mut watch, good(100), now).look.eviction, None, "before this node came");
    assert_eq!(see(&mut watch, good(100), now).look.eviction, None);
    let why = see(&mut watch, good(103), now).look.eviction.expect("told");
    assert!(why.contains("dropped 3 of its keys"), "{why}");
    let almost = now + EVICTED_FOR - Duration::from_millis(1);
    assert!(see(&mut watch, good(103), almost).look.eviction.is_some());
    assert_eq!(see(&mut watch, good(103), now + EVICTED_FOR).look.eviction, None);
    // A count that began anew, by a restart or a reset of the statistics.
    assert_eq!(see(&mut watch, good(0), now + EVICTED_FOR).look.eviction, None);
    assert!(see(&mut watch, good(1), now + EVICTED_FOR).look.eviction.is_some());
}

#[test]
fn another_history_behind_the_same_address_is_a_change() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    assert_eq!(see(&mut watch, good(0), now).changed, None);
    assert_eq!(see(&mut watch, good(0), now).changed, None);
    // A look that was refused in between must not hide it.
    assert_eq!(see(&mut watch, Facts::refused("NOPERM", None), now).changed, None);
    assert_eq!(see(&mut watch, info("r2", "master", "noeviction", 0), now).changed.as_deref(), Some(A));
    assert_eq!(see(&mut watch, info("r2", "master", "noeviction", 0), now).changed, None);
}

#[test]
fn what_a_server_counted_outlives_a_look_that_it_did_not_answer() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    see(&mut watch, good(5), now);
    let found = watch.see(&[(A.to_owned(), None), ("other".to_owned(), Some(good(0)))], now);
    assert_eq!((found.look.eviction, found.look.unseen, found.changed), (None, None, None));
    assert!(see(&mut watch, good(6), now).look.eviction.is_some_and(|why| why.contains("dropped 1 ")));
}

#[test]
fn a_first_replica_is_no_change_and_a_promotion_is() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    let of = |id: &str, second: &str| Facts::read(&format!("run_id:r\r\nmaster_replid:{id}\r\nmaster_replid2:{second}\r\n"));
    for (id, second, is_change) in [("a", "0000", false), ("b", "0000", false), ("c", "b", true), ("c", "b", false), ("d", "c", true)] {
        assert_eq!(see(&mut watch, of(id, second), now).changed.is_some(), is_change, "{id} after {second}");
    }
}

#[test]
fn a_vulnerable_version_is_told_once_for_each_server_and_again_when_it_is_another() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    let of = |version: &str| Facts::read(&format!("redis_version:{version}\r\nrole:master\r\n"));
    let found = watch.see(&[(A.to_owned(), Some(of("7.0.15"))), (A.to_owned(), Some(of("7.0.15")))], now);
    let [told] = found.vulnerable.as_slice() else { panic!("not once: {:?}", found.vulnerable) };
    assert!(told.contains(A) && told.contains("redis 7.0.15") && told.contains("CVE-2025-49844") && told.contains("7.2.11"), "{told}");
    for (facts, count) in [(of("7.0.15"), 0), (Facts::refused("NOPERM", None), 0), (of("7.2.10"), 1), (of("7.2.11"), 0), (of("7.2.11"), 0)]
    {
        assert_eq!(see(&mut watch, facts.clone(), now).vulnerable.len(), count, "{facts:?}");
    }
    let both = watch.see(&[(A.to_owned(), Some(of("7.2.11"))), ("other".to_owned(), Some(of("8.0.3")))], now);
    assert!(matches!(both.vulnerable.as_slice(), [told] if told.contains("other")), "{:?}", both.vulnerable);
}

#[test]
fn what_cannot_be_asked_is_told_with_what_to_do() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    let found = see(&mut watch, Facts::refused("NOPERM no permissions", None), now);
    assert!(found.look.unseen.is_some_and(|why| why.contains("NOPERM") && why.contains("+info")));
    assert!(found.look.eviction.is_none() && found.changed.is_none());
    let found = see(&mut watch, Facts::read("role:master\r\n"), now);
    assert!(found.look.unseen.is_some_and(|why| why.contains("maxmemory-policy")));
    assert_eq!(see(&mut watch, good(0), now).look.unseen, None);
}

#[test]
fn one_of_several_servers_is_enough_and_those_that_are_gone_are_forgotten() {
    let (mut watch, now) = (Watch::default(), Instant::now());
    let servers: Vec<Told> =
        (0..3).map(|n| (n.to_string(), Some(info("r", "master", if n == 1 { "allkeys-lru" } else { "noeviction" }, 0)))).collect();
    let found = watch.see(&servers, now);
    assert!(found.look.eviction.is_some_and(|why| why.contains("at 1 ")));
    assert_eq!(found.look.clocks_us.len(), 3);
    see(&mut watch, good(0), now);
    assert_eq!(watch.servers.len(), 1);
}
