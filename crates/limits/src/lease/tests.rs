use super::*;

const STAMP: Stamp = Stamp { epoch: 7, series: [1, 2] };

fn sight(now_us: u64) -> Sight {
    Sight { now_us, realm: 1 }
}

fn grant(tokens: u32, valid_us: u64) -> Grant {
    Grant { tokens, valid_us, stamp: STAMP }
}

fn cost(tokens: u64) -> Cost {
    Cost::new(tokens).expect("a good cost")
}

/// A purse that asked at `asked_us` and was answered at `answered_us`.
fn filled(tokens: u32, valid_us: u64, asked_us: u64, answered_us: u64) -> Purse {
    let purse = Purse::default();
    let asking = steady(&purse, asked_us).expect("demand is steady");
    asking.take_in(grant(tokens, valid_us), answered_us);
    purse
}

/// Asks until demand is steady.
fn steady(purse: &Purse, now_us: u64) -> Option<Asking<&Purse>> {
    (0..8).find_map(|_| Purse::begin(purse, Cost::ONE, sight(now_us)))
}

#[test]
fn a_purse_is_spent_down_to_nothing() {
    let purse = filled(5, 400_000, 1_000_000, 1_001_000);
    assert!(purse.spend(cost(3), sight(1_002_000)));
    assert!(!purse.spend(cost(3), sight(1_002_000)), "there is less");
    assert!(purse.spend(cost(2), sight(1_002_000)));
    assert!(!purse.spend(Cost::ONE, sight(1_002_000)));
}

#[test]
fn a_slice_is_good_from_the_asking_on_less_what_clocks_differ() {
    let purse = filled(5, 400_000, 1_000_000, 1_050_000);
    assert!(purse.spend(Cost::ONE, sight(1_399_598)));
    assert!(!purse.spend(Cost::ONE, sight(1_399_599)));
    assert!(!filled(5, 40_000, 1_000_000, 1_039_959).is_holding(), "it came too late");
}

#[test]
fn a_slice_of_another_state_is_worth_nothing() {
    let purse = filled(5, 400_000, 1_000_000, 1_001_000);
    let other = Sight { now_us: 1_002_000, realm: 2 };
    assert!(!purse.spend(Cost::ONE, other));
    let taken = purse.take_back(u64::MAX, other);
    assert_eq!(taken, TakenBack { settle: None, expired: 5 });
    assert!(!purse.spend(Cost::ONE, sight(1_002_000)));
}

#[test]
fn nothing_is_asked_for_before_demand_is_steady() {
    let purse = Purse::default();
    let asks = |now_us| Purse::begin(&purse, Cost::ONE, sight(now_us)).is_some();
    assert!(!(0..7).any(|turn| asks(1_000_000 + turn * 7_000)), "seven in a window");
    assert!(!asks(1_050_000), "the eighth comes in the next window");
    assert!((1..8).any(|turn| asks(1_050_000 + turn * 7_000)));
}

#[test]
fn one_asks_at_a_time_and_the_next_may_when_it_is_over() {
    let purse = Purse::default();
    let asking = steady(&purse, 1_000_000).expect("demand is steady");
    assert!(steady(&purse, 1_000_000).is_none());
    drop(asking);
    assert!(steady(&purse, 1_049_999).is_none(), "nothing was given: there is no hurry");
    assert!(steady(&purse, 1_050_000).is_some());
}

#[test]
fn what_is_handed_back_is_not_there_any_more_and_is_handed_back_once() {
    let purse = filled(10, 400_000, 1_000_000, 1_001_000);
    assert!(purse.spend(cost(4), sight(1_002_000)));
    let asking = Purse::begin(&purse, cost(8), sight(1_003_000)).expect("there is a slice to hand back");
    assert_eq!(asking.ask.settle, Some(Settle { granted: 10, unused: 6, stamp: STAMP }));
    // Whoever had seen the slice before finds nothing.
    assert!(!purse.take(Cost::ONE));
    drop(asking);
    assert_eq!(purse.take_back(u64::MAX, sight(1_003_000)), TakenBack::default());
}

#[test]
fn a_slice_is_handed_back_shortly_before_it_is_over_and_not_after() {
    let purse = filled(10, 400_000, 1_000_000, 1_001_000);
    assert_eq!(purse.take_back(1_300_000, sight(1_200_000)), TakenBack::default(), "it is good for longer");
    assert!(purse.is_holding());
    assert!(purse.take_back(1_400_000, sight(1_300_000)).settle.is_some());
    let late = filled(10, 400_000, 1_000_000, 1_001_000);
    assert_eq!(late.take_back(1_500_000, sight(1_400_000)), TakenBack { settle: None, expired: 10 });
}

#[test]
fn what_is_asked_for_follows_what_was_spent() {
    // 1000 tokens in 10 ms are 10 000 in the 100 ms that a slice is to last.
    let purse = filled(1000, 400_000, 1_000_000, 1_000_500);
    assert!(purse.spend(cost(1000), sight(1_010_500)));
    let asking = Purse::begin(&purse, Cost::ONE, sight(1_010_500)).expect("demand is steady");
    assert_eq!(asking.ask.want, 10_000);
    // Ten in 300 ms are three.
    let slow = filled(1000, 400_000, 1_000_000, 1_000_000);
    assert!(slow.spend(cost(10), sight(1_100_000)));
    let asking = Purse::begin(&slow, cost(1000), sight(1_300_000)).expect("there is a slice to hand back");
    assert_eq!(asking.ask.want, 3);
}

#[test]
fn four_threads_spend_what_there_is_and_no_more() {
    let purse = filled(1000, 400_000, 1_000_000, 1_000_500);
    let spent: usize = std::thread::scope(|scope| {
        let spend = || (0..500).filter(|_| purse.spend(Cost::ONE, sight(1_001_000))).count();
        let spenders: Vec<_> = (0..4).map(|_| scope.spawn(spend)).collect();
        spenders.into_iter().map(|spender| spender.join().expect("no panic")).sum()
    });
    assert_eq!(spent, 1000);
}
