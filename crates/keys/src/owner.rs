//! Owners of keys, and namespaces of things that are limited without a key.

use crate::name::name;

name!(
    /// The tenant that holds a key. Fixed for the key's life. Cheap to clone.
    OwnerName,
    "owner"
);

name!(
    /// The name space that a thing limited by `/v1/limit` is named in. Cheap to clone.
    Namespace,
    "namespace"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_which_name_was_bad() {
        assert_eq!(OwnerName::parse("").expect_err("empty").what, "owner");
        assert_eq!(Namespace::parse("A").expect_err("upper case").what, "namespace");
        assert!(OwnerName::parse("A").expect_err("upper case").to_string().starts_with("owner must be 1 to 64"));
    }
}
