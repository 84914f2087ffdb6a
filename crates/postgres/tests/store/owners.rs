//! Owners and their limits.

use tollgate_gate::ports::KeyStore;
use tollgate_limits::RateLimits;

use crate::support::{context, create, draft, fixture, limits, owner, position};

#[tokio::test]
async fn an_owner_comes_with_its_first_key_and_has_no_rules_yet() {
    let fixture = fixture().await;
    assert!(fixture.store.owner(owner("acme")).await.expect("an answer").is_none());
    let key = create(&fixture.store, draft(Some("acme"))).await;
    let found = fixture.store.owner(owner("acme")).await.expect("an answer").expect("there");
    assert_eq!((found.rules.generation, found.rules.limits.is_unlimited()), (0, true));
    let rules = fixture.store.find(key.key_id).await.expect("an answer").expect("there").owner;
    assert_eq!(rules, Some(found.rules));
    create(&fixture.store, draft(Some("acme"))).await;
    assert_eq!(position(&fixture.store).await, 2);
}

#[tokio::test]
async fn a_limit_holds_for_all_keys_of_the_owner_without_touching_them() {
    let fixture = fixture().await;
    let key = create(&fixture.store, draft(Some("acme"))).await;
    for (place, wanted) in
        [limits(&[("owner", 5, 1)]), limits(&[("a", 5, 1), ("b", 6, 2)]), RateLimits::unlimited()].into_iter().enumerate()
    {
        let put = fixture.store.put_owner(owner("acme"), wanted.clone(), context()).await.expect("put");
        assert_eq!((put.rules.generation, &put.rules.limits), (place as u64 + 2, &wanted));
        assert_eq!(fixture.store.owner(owner("acme")).await.expect("an answer"), Some(put.clone()));
        let found = fixture.store.find(key.key_id.clone()).await.expect("an answer").expect("there");
        assert_eq!(found.owner, Some(put.rules));
        assert_eq!(found.key, key);
    }
}

#[tokio::test]
async fn an_owner_without_keys_can_have_rules() {
    let fixture = fixture().await;
    fixture.store.put_owner(owner("new"), limits(&[("owner", 5, 1)]), context()).await.expect("put");
    let key = create(&fixture.store, draft(Some("new"))).await;
    let rules = fixture.store.find(key.key_id).await.expect("an answer").expect("there").owner.expect("rules");
    assert_eq!((rules.generation, rules.limits), (1, limits(&[("owner", 5, 1)])));
}
