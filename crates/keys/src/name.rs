//! The form that owners, namespaces and scopes share: `[a-z0-9][a-z0-9._:-]{0,63}`.

use std::{fmt, hash::Hash, sync::Arc};

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} of a-z, 0-9 and . _ : - and start with a letter or a digit", max = Name::LENGTH_MAX)]
pub struct NameError {
    /// What the text was to name: `owner`, `namespace` or `scope`.
    pub what: &'static str,
}

/// The checked text behind each kind of name: compiled in, or shared.
#[derive(Clone)]
pub(crate) enum Name {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Name {
    pub(crate) const LENGTH_MAX: usize = 64;

    pub(crate) fn parse(text: &str, what: &'static str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_well = text.bytes().next().is_some_and(plain);
        let fits = text.len() <= Self::LENGTH_MAX && text.bytes().all(|byte| plain(byte) || b"._:-".contains(&byte));
        if starts_well && fits { Ok(Self::Shared(text.into())) } else { Err(NameError { what }) }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares a kind of name: its documentation, its type, and the word for it in errors.
macro_rules! name {
    ($(#[$about:meta])* $kind:ident, $what:literal) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind(pub(crate) $crate::name::Name);

        impl $kind {
            /// The longest name, in bytes.
            pub const LENGTH_MAX: usize = $crate::name::Name::LENGTH_MAX;

            /// Checks the form `[a-z0-9][a-z0-9._:-]{0,63}`.
            pub fn parse(text: &str) -> Result<Self, $crate::NameError> {
                $crate::name::Name::parse(text, $what).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::NameError;

            fn from_str(text: &str) -> Result<Self, $crate::NameError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $kind {
            fn borrow(&self) -> &str {
                self.0.as_str()
            }
        }

        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.0.as_str())
            }
        }
    };
}

pub(crate) use name;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_documented_form_only() {
        for good in ["a", "0", "acme", "tenant:7", "a.b_c-d:e", &"a".repeat(64)] {
            assert_eq!(Name::parse(good, "owner").expect("a good name").as_str(), good);
        }
        for bad in ["", ":a", "-a", "_a", ".a", "Acme", "a b", "a/b", "ä", "aä", "a\n", "a\0", &"a".repeat(65)] {
            assert_eq!(Name::parse(bad, "owner").err(), Some(NameError { what: "owner" }), "{bad:?}");
        }
    }

    #[test]
    fn compiled_in_and_shared_names_are_one() {
        let shared = Name::parse("admin", "scope").expect("a good name");
        let fixed = Name::Fixed("admin");
        assert_eq!(shared, fixed);
        assert_eq!(shared.cmp(&fixed), std::cmp::Ordering::Equal);
        assert!(std::collections::HashSet::from([shared]).contains(&fixed));
    }
}
