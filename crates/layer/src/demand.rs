//! What a route demands of a request.

use tollgate_client::Authorize;
use tollgate_keys::Scope;
use tollgate_limits::Cost;

/// Tokens to spend, and a scope that the key must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    cost: Cost,
    scope: Option<Scope>,
}

/// A demand that no request could meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// The cost is out of range.
    #[error("a route costs 1 to 1000000000 tokens")]
    Cost,
    /// The scope has another form.
    #[error("a scope is [a-z0-9][a-z0-9._:-]{{0,63}}")]
    Scope,
}

impl Default for Demand {
    /// One token, any key.
    fn default() -> Self {
        Self { cost: Cost::ONE, scope: None }
    }
}

impl Demand {
    /// So many tokens, 1 to 1 000 000 000.
    pub fn tokens(cost: u64) -> Result<Self, DemandError> {
        let cost = Cost::new(cost).map_err(|_| DemandError::Cost)?;
        Ok(Self { cost, scope: None })
    }

    /// The same of keys with this scope only.
    pub fn with_scope(self, scope: &str) -> Result<Self, DemandError> {
        let scope = Scope::parse(scope).map_err(|_| DemandError::Scope)?;
        Ok(Self { scope: Some(scope), ..self })
    }

    pub(crate) fn ask(&self) -> Authorize {
        let cost = Some(u64::from(self.cost.tokens()));
        Authorize { cost, scope: self.scope.as_ref().map(|scope| scope.as_str().to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_that_nobody_can_meet_is_no_demand() {
        assert_eq!(Demand::tokens(0), Err(DemandError::Cost));
        assert_eq!(Demand::tokens(1_000_000_001), Err(DemandError::Cost));
        assert_eq!(Demand::default().with_scope("Orders"), Err(DemandError::Scope));
        let good = Demand::tokens(1_000_000_000).and_then(|demand| demand.with_scope("orders:read")).expect("a demand");
        assert_eq!(good.ask(), Authorize { cost: Some(1_000_000_000), scope: Some("orders:read".into()) });
    }
}
