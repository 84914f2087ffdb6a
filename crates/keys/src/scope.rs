//! Scopes: what a key may do, besides being counted.

use std::{fmt, sync::Arc};

use crate::{
    NameError,
    name::{Name, name},
};

name!(
    /// One thing a key may be allowed to do. Tollgate's own are constants here; anybody's
    /// application may invent others. Cheap to clone.
    Scope,
    "scope"
);

impl Scope {
    /// Implies every other scope, also those that are not Tollgate's.
    pub const ADMIN: Self = Self(Name::Fixed("admin"));
    /// Look at keys and owners.
    pub const KEYS_READ: Self = Self(Name::Fixed("keys:read"));
    /// Make and change keys.
    pub const KEYS_WRITE: Self = Self(Name::Fixed("keys:write"));
    /// Change owners' limits and make unlimited keys; only for keys without an owner.
    pub const OWNERS_WRITE: Self = Self(Name::Fixed("owners:write"));
    /// Look at usage.
    pub const USAGE_READ: Self = Self(Name::Fixed("usage:read"));
    /// Read events, the audit log and the list of nodes.
    pub const EVENTS_READ: Self = Self(Name::Fixed("events:read"));
    /// Look at health in full.
    pub const HEALTH_READ: Self = Self(Name::Fixed("health:read"));
    /// Limit things that have no key.
    pub const LIMIT_WRITE: Self = Self(Name::Fixed("limit:write"));

    /// Tollgate's own scopes.
    pub const BUILT_IN: [Self; 8] = [
        Self::ADMIN,
        Self::KEYS_READ,
        Self::KEYS_WRITE,
        Self::OWNERS_WRITE,
        Self::USAGE_READ,
        Self::EVENTS_READ,
        Self::HEALTH_READ,
        Self::LIMIT_WRITE,
    ];
}

/// The scopes of one key: sorted, each once, at most [`Scopes::MAX`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Scopes(Arc<[Scope]>);

/// Scopes that no key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// More than [`Scopes::MAX`] different ones.
    #[error("a key has at most {max} scopes", max = Scopes::MAX)]
    TooMany,
    /// One of them is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Scopes {
    /// The most scopes of one key.
    pub const MAX: usize = 32;

    /// No scope at all.
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Sorts the scopes and drops those named twice.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopesError> {
        let sorted: std::collections::BTreeSet<Scope> = scopes.into_iter().collect();
        if sorted.len() > Self::MAX {
            return Err(ScopesError::TooMany);
        }
        Ok(Self(sorted.into_iter().collect()))
    }

    /// The same from plain texts.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopesError> {
        let scopes: Result<Vec<_>, _> = texts.into_iter().map(Scope::parse).collect();
        Self::new(scopes?)
    }

    /// Whether a key with these scopes may do what `scope` names. `admin` may do anything.
    pub fn allows(&self, scope: &Scope) -> bool {
        self.has(scope) || self.has(&Scope::ADMIN)
    }

    /// Whether a key with these scopes may grant all of `others`: nobody grants what he lacks.
    pub fn covers(&self, others: &Scopes) -> bool {
        others.iter().all(|scope| self.allows(scope))
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, scope: &Scope) -> bool {
        self.0.binary_search(scope).is_ok()
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Separated by spaces, as in an HTTP header.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::parse(texts.iter().copied()).expect("good scopes")
    }

    #[test]
    fn are_sorted_and_named_once() {
        assert_eq!(scopes(&["b", "a", "b"]).to_string(), "a b");
        assert_eq!(scopes(&["b", "a"]), scopes(&["a", "b", "a"]));
        assert_eq!(Scopes::none().to_string(), "");
    }

    #[test]
    fn at_most_thirty_two() {
        let names: Vec<String> = (0..33).map(|number| format!("s{number}")).collect();
        assert_eq!(Scopes::parse(names.iter().take(32).map(String::as_str)).expect("32 scopes").iter().len(), 32);
        assert_eq!(Scopes::parse(names.iter().map(String::as_str)), Err(ScopesError::TooMany));
        let twice = names.iter().take(32).chain(names.iter().take(32));
        assert!(Scopes::parse(twice.map(String::as_str)).is_ok());
        assert_eq!(Scopes::parse(["Bad"]), Err(ScopesError::Name(NameError { what: "scope" })));
    }

    #[test]
    fn admin_implies_every_scope() {
        let admin = scopes(&["admin"]);
        for scope in Scope::BUILT_IN {
            assert!(admin.allows(&scope), "{scope}");
            assert!(!Scopes::none().allows(&scope), "{scope}");
        }
        assert!(admin.allows(&Scope::parse("orders:read").expect("a scope")));
        assert!(!scopes(&["keys:read"]).allows(&Scope::KEYS_WRITE));
    }

    #[test]
    fn nobody_covers_what_he_lacks() {
        let reader = scopes(&["keys:read", "usage:read"]);
        assert!(reader.covers(&Scopes::none()));
        assert!(reader.covers(&scopes(&["usage:read"])));
        assert!(!reader.covers(&scopes(&["keys:write"])));
        assert!(!reader.covers(&scopes(&["admin"])));
        assert!(scopes(&["admin"]).covers(&scopes(&["admin", "orders:read"])));
    }

    #[test]
    fn constants_have_the_documented_form() {
        for scope in Scope::BUILT_IN {
            assert_eq!(Scope::parse(scope.as_str()), Ok(scope));
        }
    }
}
