use super::*;

const TTL: Duration = Duration::from_secs(10);

fn cache(count_max: usize) -> MissCache {
    MissCache::new(MissOptions { count_max, ttl: TTL }, Tagger::generate().expect("randomness"))
}

fn id(number: u64) -> KeyId {
    KeyId::parse(&format!("id-{number}")).expect("an id")
}

fn created(position: u64, key_id: &KeyId) -> Change {
    Change { position, at_ms: position, kind: ChangeKind::Created, key_id: Some(key_id.clone()), owner: None }
}

#[test]
fn a_miss_is_remembered_for_a_while() {
    let (cache, now) = (cache(100), Instant::now());
    assert!(!cache.contains(&id(1), now));
    cache.insert(&id(1), cache.mark(), now);
    assert!(cache.contains(&id(1), now) && cache.contains(&id(1), now + TTL - Duration::from_millis(1)));
    assert!(!cache.contains(&id(2), now));
    assert!(!cache.contains(&id(1), now + TTL));
}

#[test]
fn a_key_that_is_made_is_no_miss_any_more() {
    let (cache, now) = (cache(100), Instant::now());
    cache.insert(&id(1), cache.mark(), now);
    cache.insert(&id(2), cache.mark(), now);
    cache.apply(&[created(5, &id(1))]);
    assert!(!cache.contains(&id(1), now) && cache.contains(&id(2), now));
}

/// The read began before the key was made, and ends after this node has heard of it.
#[test]
fn a_read_that_may_have_missed_a_new_key_is_not_remembered() {
    let (cache, now) = (cache(100), Instant::now());
    let mark = cache.mark();
    cache.apply(&[created(5, &id(1))]);
    cache.insert(&id(1), mark, now);
    assert!(!cache.contains(&id(1), now));
    let mark = cache.mark();
    cache.restart();
    cache.insert(&id(2), mark, now);
    assert!(!cache.contains(&id(2), now), "of another log");
    cache.insert(&id(2), cache.mark(), now);
    assert!(cache.contains(&id(2), now));
    cache.restart();
    assert!(!cache.contains(&id(2), now));
}

/// Its memory is taken at the start: the newest take the places of the oldest.
#[test]
fn a_flood_takes_no_more_than_the_places_there_are() {
    let (cache, now) = (cache(1000), Instant::now());
    let places = |cache: &MissCache| cache.shards.iter().map(|shard| lock(shard).sets.len() * WAYS).sum::<usize>();
    let before = places(&cache);
    assert!((1000..1200).contains(&before), "{before}");
    for number in 0..100_000 {
        cache.insert(&id(number), cache.mark(), now + Duration::from_micros(number));
    }
    assert_eq!(places(&cache), before);
    let held = (0..100_000).filter(|number| cache.contains(&id(*number), now + Duration::from_millis(100))).count();
    assert!((900..=before).contains(&held), "{held}");
    assert!(cache.contains(&id(99_999), now + Duration::from_millis(100)), "the newest is held");
}

#[test]
fn one_slot_is_twenty_bytes() {
    assert_eq!(std::mem::size_of::<Slot>(), 20);
}
