use tollgate_limits::{LimitName, RateLimit};

use super::*;

const SECOND: u64 = 1_000_000;

fn limit(name: &str, burst: u64, per_seconds: u64) -> NamedLimit {
    NamedLimit { name: LimitName::new(name).expect("a name"), limit: RateLimit::new(burst, per_seconds).expect("a limit") }
}

fn cost(tokens: u64) -> Cost {
    Cost::new(tokens).expect("a cost")
}

fn standing(named: NamedLimit, reset_after_us: u64) -> SubjectStanding {
    let standing = Standing { fits: false, remaining: 0, retry_after_us: 0, reset_after_us };
    SubjectStanding { kind: SubjectKind::Key, named, standing }
}

fn answered(asked_us: u64, at_us: u64) -> Answered {
    Answered { asked_us, at_us, realm: 7 }
}

/// Of {10 per 10 s}, empty: one token comes each second. Asked at 1 s, answered 100 µs later.
fn empty() -> Denial {
    Denial::of(&[standing(limit("key", 10, 10), 10 * SECOND)], answered(SECOND, SECOND + 100), 0)
}

fn refused(denial: &mut Denial, tokens: u64, now_us: u64) -> Option<u64> {
    let figures = denial.refuse(cost(tokens), now_us, 7, SECOND)?;
    figures.iter().map(|one| one.standing.retry_after_us).max()
}

#[test]
fn a_denial_ends_no_later_than_the_truth_and_a_client_who_obeys_is_not_early() {
    for after_us in [100, 400_000, 979_000] {
        let told = refused(&mut empty(), 1, SECOND + after_us).expect("refused");
        // The store decided between the sending and the answer, so by then the token has come.
        assert_eq!(SECOND + after_us + told, 2 * SECOND + 100);
    }
    assert_eq!(refused(&mut empty(), 1, 2 * SECOND - 1), None, "the store rounds up by a microsecond");
}

#[test]
fn each_cost_has_an_instant_of_its_own_and_a_cheaper_request_asks() {
    let mut denial = Denial::of(&[standing(limit("key", 10, 10), 8_500_000)], answered(SECOND, SECOND), 0);
    let now_us = SECOND + 10;
    assert_eq!(refused(&mut denial, 1, now_us), None, "one and a half tokens are there");
    assert_eq!(refused(&mut denial, 2, now_us), Some(499_990));
    assert_eq!(refused(&mut denial, 5, now_us), Some(3_499_990));
    let figures = denial.refuse(cost(5), now_us, 7, SECOND).expect("refused")[0].standing;
    assert_eq!(figures, Standing { fits: false, remaining: 1, retry_after_us: 3_499_990, reset_after_us: 8_499_990 });
}

#[test]
fn one_bucket_is_enough_to_refuse_and_each_has_its_figures() {
    let standings = [standing(limit("second", 100, 1), 0), standing(limit("day", 10, 86_400), 86_400 * SECOND)];
    let mut denial = Denial::of(&standings, answered(SECOND, SECOND), 0);
    let figures = denial.refuse(Cost::ONE, SECOND + 5, 7, SECOND).expect("refused");
    let fits: Vec<(bool, u32)> = figures.iter().map(|one| (one.standing.fits, one.standing.remaining)).collect();
    assert_eq!(fits, [(true, 100), (false, 0)]);
}

#[test]
fn nothing_is_believed_for_longer_than_its_life_or_of_another_realm() {
    let of = || Denial::of(&[standing(limit("key", 10, 10_000), 10_000 * SECOND)], answered(SECOND, SECOND), 0);
    assert!(refused(&mut of(), 1, 2 * SECOND - AHEAD_US - 1).is_some());
    assert!(of().refuse(Cost::ONE, SECOND + 5, 8, SECOND).is_none(), "another state");
    let mut denial = of();
    assert_eq!(refused(&mut denial, 1, 2 * SECOND - AHEAD_US), None, "one asks ahead");
    assert!(refused(&mut denial, 1, 2 * SECOND - 1).is_some(), "and nobody else");
    assert_eq!(refused(&mut denial, 1, 2 * SECOND), None, "a second is over");
}

#[test]
fn tokens_on_their_way_count_as_spent_until_the_store_says_otherwise() {
    // Two tokens are there by 3 s.
    let (mut denial, now_us) = (empty(), 3 * SECOND);
    let asks = |denial: &mut Denial| denial.refuse(Cost::ONE, now_us, 7, 60 * SECOND).is_none();
    assert!(asks(&mut denial));
    denial.send(1);
    assert!(asks(&mut denial));
    denial.send(1);
    assert!(!asks(&mut denial), "a third cannot pass, whatever becomes of the two");
    denial.take_back(1);
    assert!(asks(&mut denial), "one of them was not charged");
}

#[test]
fn a_charge_of_this_nodes_own_moves_the_bound_and_renews_it() {
    let mut denial = empty();
    denial.send(1);
    let later = answered(2 * SECOND, 2 * SECOND + 50);
    assert!(denial.charged(Cost::ONE, &[standing(limit("key", 10, 10), 10 * SECOND)], later));
    assert!(refused(&mut denial, 1, 3 * SECOND - AHEAD_US - 2).is_some(), "the token was spent, and the store has borne it out");
    assert_eq!(refused(&mut denial, 1, 3 * SECOND - 1), None);
}

#[test]
fn a_bucket_that_is_fuller_than_it_can_be_is_not_believed_empty() {
    let mut denial = empty();
    denial.send(1);
    let reset = standing(limit("key", 10, 10), SECOND);
    assert!(!denial.charged(Cost::ONE, &[reset], answered(2 * SECOND, 2 * SECOND + 50)), "somebody has reset it");
}

#[test]
fn of_two_denials_the_sharper_bound_holds_and_of_contradicting_ones_the_newer() {
    let named = || limit("key", 10, 10);
    // The first answer was 100 µs on its way to the store, the second 300 µs.
    let mut denial = Denial::of(&[standing(named(), 10 * SECOND)], answered(SECOND, SECOND + 200), 1);
    denial.renew(Denial::of(&[standing(named(), 10 * SECOND - 500_200)], answered(SECOND + 500_000, SECOND + 500_600), 2));
    assert_eq!((denial.bounds[0].low_us, denial.serial), (11 * SECOND - 1, 2));
    denial.renew(Denial::of(&[standing(named(), 9 * SECOND)], answered(SECOND + 600_000, SECOND + 600_100), 3));
    assert_eq!(denial.bounds[0].low_us, 10 * SECOND + 599_999, "it was reset and emptied again");
}

#[test]
fn a_dearer_request_on_its_way_is_in_nobodys_way() {
    // 49 of a hundred tokens are there, one less than were known of.
    let mut denial = Denial::of(&[standing(limit("day", 100, 86_400), 50 * 864 * SECOND)], answered(SECOND, SECOND), 0);
    let asks = |denial: &mut Denial, tokens| refused(denial, tokens, SECOND + 5).is_none();
    assert!(asks(&mut denial, 50));
    denial.send(50);
    assert!(!asks(&mut denial, 50), "one like it is refused if it is");
    assert!(asks(&mut denial, 1), "one that is cheaper may pass all the same");
    denial.send(1);
    denial.take_back(50);
    denial.take_back(1);
    denial.send(2);
    assert!(!asks(&mut denial, 49) && asks(&mut denial, 48), "what is under way now counts again");
}

#[test]
fn an_answer_that_overtakes_that_of_a_charge_has_it_in_it() {
    // {2000 per 1 s}: a token takes 500 µs. One is charged, and the denial of the next is heard first.
    let named = || limit("key", 2000, 1);
    let mut denial = Denial::of(&[standing(named(), SECOND)], answered(SECOND, SECOND + 800), 1);
    denial.send(1);
    denial.renew(Denial::of(&[standing(named(), SECOND)], answered(SECOND + 500, SECOND + 1300), 2));
    assert_eq!(denial.serial, 2, "so the charge of the first one moves nothing any more");
    assert_eq!(refused(&mut denial, 1, SECOND + 1000), None, "at the instant at which the next token is there");
}

#[test]
fn what_others_have_spent_is_told_once_this_node_has_heard_of_it() {
    // {100 per 100 s}: 50 are there; others take 40, and five are charged here.
    let mut denial = Denial::of(&[standing(limit("key", 100, 100), 50 * SECOND)], answered(SECOND, SECOND), 0);
    denial.send(5);
    let left_over = standing(limit("key", 100, 100), 95 * SECOND);
    assert!(denial.charged(cost(5), &[left_over], answered(SECOND + 10, SECOND + 20)));
    let figures = denial.refuse(cost(60), SECOND + 20, 7, SECOND).expect("refused")[0].standing;
    assert_eq!((figures.remaining, figures.retry_after_us), (5, 55 * SECOND));
}

#[test]
fn a_short_life_is_not_all_for_asking_ahead() {
    let mut denial = Denial::of(&[standing(limit("key", 10, 10_000), 10_000 * SECOND)], answered(SECOND, SECOND), 0);
    assert!(denial.refuse(Cost::ONE, SECOND + 5, 7, AHEAD_US).is_some());
}
