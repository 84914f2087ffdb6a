//! The contract of [`BucketStore`].

mod ask;
mod changes;
mod charges;
mod fences;
mod join;
mod parallel;

use std::sync::Arc;

use tollgate_gate::ports::{BucketStore, LogId};

pub use changes::*;
pub use charges::*;
pub use fences::*;
pub use join::*;
pub use parallel::*;

/// The whole suite. Expects a store that was never joined, and nobody else on it.
pub async fn all(store: &Arc<dyn BucketStore>) {
    let log = LogId(super::fresh().into());
    nothing_is_decided_before_the_join(&**store, &log).await;
    all_joined(store).await;
    another_change_log_is_refused(&**store, &log).await;
}

/// All of it but the joining: for a store that is joined already and may be shared.
pub async fn all_joined(store: &Arc<dyn BucketStore>) {
    charges(&**store).await;
    fences(&**store).await;
    changes(&**store).await;
    parallel(store).await;
}

async fn charges(store: &dyn BucketStore) {
    a_bucket_admits_exactly_its_burst(store).await;
    costs_are_charged_in_tokens(store).await;
    the_largest_cost_empties_the_largest_bucket(store).await;
    a_peek_charges_nothing(store).await;
    all_limits_of_a_list_must_allow(store).await;
    key_and_owner_are_all_or_nothing(store).await;
    keys_share_the_bucket_of_their_owner(store).await;
    unlimited_is_always_allowed(store).await;
    kinds_of_subjects_have_buckets_of_their_own(store).await;
}

async fn fences(store: &dyn BucketStore) {
    a_charge_raises_the_generation(store).await;
    a_fence_stops_older_rules(store).await;
    a_fence_never_falls(store).await;
    a_fence_stops_unlimited_keys_and_peeks(store).await;
    revoked_is_final(store).await;
    an_owners_fence_stops_its_keys(store).await;
    a_fence_under_an_owner_is_found_by_the_decision(store).await;
    only_a_reset_fills_buckets(store).await;
    a_reset_fills_buckets_once(store).await;
}

async fn changes(store: &dyn BucketStore) {
    a_spent_slow_limit_made_fast_owes_one_token(store).await;
    an_exhausted_fast_limit_made_slow_gives_nothing_away(store).await;
    a_higher_burst_keeps_the_debt(store).await;
    a_lower_burst_caps_the_debt(store).await;
    an_unlimited_key_that_is_limited_again_still_owes(store).await;
    a_bucket_belongs_to_its_name(store).await;
    the_same_generation_may_ask_with_other_figures(store).await;
}

async fn parallel(store: &Arc<dyn BucketStore>) {
    parallel_calls_admit_exactly_the_burst(store).await;
    parallel_costs_admit_what_fits(store).await;
    parallel_keys_of_one_owner_share_exactly(store).await;
    figures_change_while_fences_are_raised(store).await;
}
