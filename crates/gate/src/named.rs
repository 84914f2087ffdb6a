//! Limits on anything that a back end can name.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tollgate_keys::{Namespace, OwnerName};
use tollgate_limits::{Cost, RateLimits};

use crate::{
    Gate,
    decide::tightest,
    ports::{Decision, Subject, SubjectKind, Subjects},
    request::Plane,
    verdict::{Denial, GateError, Identity, Verdict},
};

/// A named thing and the limit it is to be held to, checked.
#[derive(Debug, Clone)]
pub struct NamedDecision {
    /// What kind of thing.
    pub namespace: Namespace,
    /// Which one: 1 to 256 bytes of printable text.
    pub id: String,
    /// The limits.
    pub limits: RateLimits,
    /// Tokens to spend.
    pub cost: Cost,
    /// Answer as if asked, and charge nothing.
    pub peek: bool,
}

impl Gate {
    /// Decides on a named thing, for a caller whom `decide` allowed with scope `limit:write`.
    pub async fn decide_named(&self, identity: &Identity, named: NamedDecision) -> Result<Verdict, GateError> {
        let NamedDecision { namespace, id, limits, cost, peek } = named;
        if let Some(limit) = tightest(limits.as_slice()).filter(|limit| cost.tokens() > limit.burst()) {
            return Ok(self.shared.denied(Denial::CostExceedsBurst { identity: identity.clone(), limit }));
        }
        let id = bucket_id(identity.owner.as_ref(), &namespace, &id);
        let first = Subject { kind: SubjectKind::Named, id, generation: 0, limits };
        let decision = Decision { subjects: Subjects { first, owner: None }, cost, peek };
        let told = self.shared.ask(decision, self.shared.outage_mode(Plane::Data, None), || true, || None).await?;
        self.shared.decided_named(identity, told, peek)
    }
}

/// 32 hex digits that stand for a thing: of one tenant, of fixed length, and free of whatever the
/// thing's name may hold. Each part is hashed behind its length, so no two names can run together.
fn bucket_id(tenant: Option<&OwnerName>, namespace: &Namespace, id: &str) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in [tenant.map_or("", OwnerName::as_str), namespace.as_str(), id] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let short = hash.finalize().iter().take(16).fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
    format!("{short:032x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_other_tenants_and_namespaces_have_other_buckets() {
        let tenant = |name| OwnerName::parse(name).expect("an owner");
        let space = |name| Namespace::parse(name).expect("a namespace");
        let ids = [
            bucket_id(None, &space("a"), "bc"),
            bucket_id(None, &space("ab"), "c"),
            bucket_id(Some(&tenant("a")), &space("a"), "bc"),
            bucket_id(Some(&tenant("b")), &space("a"), "bc"),
        ];
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 32);
            assert!(ids.iter().skip(place + 1).all(|other| other != id));
        }
    }
}
