//! The contract of [`KeyStore`].

mod audit;
mod bulk;
mod changing;
mod creating;
mod draft;
mod key_ids;
mod listing;
mod log;
mod once;
mod owners;
mod signing;

use std::sync::Arc;

use tollgate_gate::ports::KeyStore;

pub use audit::*;
pub use bulk::*;
pub use changing::*;
pub use creating::*;
pub use key_ids::*;
pub use listing::*;
pub use log::*;
pub use once::*;
pub use owners::*;
pub use signing::*;

/// The whole suite. Expects a store that nothing was ever written to, and nobody else on it.
pub async fn all(store: &Arc<dyn KeyStore>) {
    a_new_log_is_empty(&**store).await;
    the_first_signing_key_is_added_once(&**store).await;
    signing_keys_are_added_and_retired(&**store).await;
    the_first_admin_is_made_once(store).await;
    positions_have_no_holes(store).await;
    creating(&**store).await;
    changing(store).await;
    listing(&**store).await;
    owners(&**store).await;
    all_ids_but_the_revoked_are_streamed(&**store).await;
    a_stream_says_what_came_before_it(&**store).await;
    bulk(&**store).await;
    changes_are_read_in_pages(&**store).await;
    the_log_keeps_its_identity(&**store).await;
    the_audit_log_tells_who_changed_what(&**store).await;
    the_audit_log_is_read_in_pages(&**store).await;
    once(store).await;
    a_reset_starts_the_log_anew(&**store).await;
    a_reset_gives_no_owner_rules(&**store).await;
}

/// Moves the log's clock by a day.
async fn once(store: &Arc<dyn KeyStore>) {
    a_change_under_a_name_is_made_once(&**store).await;
    a_refused_change_leaves_its_name_free(&**store).await;
    callers_of_one_name_make_one_key(store).await;
    a_name_is_kept_for_a_day(&**store).await;
}

async fn creating(store: &dyn KeyStore) {
    a_new_key_has_the_instant_of_its_row(store).await;
    ids_are_in_order_of_positions(store).await;
    everything_of_a_key_comes_back(store).await;
    an_own_id_is_kept_and_taken_once(store).await;
    nobody_is_found_where_nobody_is(store).await;
}

async fn changing(store: &Arc<dyn KeyStore>) {
    a_change_is_a_new_generation(&**store).await;
    everything_that_may_change_does(&**store).await;
    nothing_to_change_is_no_change(&**store).await;
    a_refused_change_changes_nothing(&**store).await;
    a_tenant_changes_his_own_keys_only(&**store).await;
    parallel_changes_follow_each_other(store).await;
}

async fn bulk(store: &dyn KeyStore) {
    all_keys_of_an_owner_are_revoked_in_pages(store).await;
    what_is_brought_along_is_there_as_it_was(store).await;
    what_is_there_is_not_brought_along_again(store).await;
    owners_with_rules_are_listed(store).await;
    last_uses_only_rise_and_are_no_change(store).await;
}

async fn listing(store: &dyn KeyStore) {
    pages_are_in_order_of_ids(store).await;
    only_an_owners_keys_are_listed(store).await;
    states_are_told_apart_as_of_now(store).await;
    keys_without_a_limit_that_may_be_used_are_found(store).await;
}

async fn owners(store: &dyn KeyStore) {
    an_owner_without_rules_has_generation_zero(store).await;
    an_owners_rules_are_found_with_his_keys(store).await;
    an_owner_needs_no_keys(store).await;
}
