//! Versions of servers whose script engine can be broken out of, as far as the number tells.
//!
//! CVE-2025-49844, -46817, -46818 and -46819: somebody who may run scripts of his own may run code in the server. The
//! nodes' scripts are fixed, so it takes a stolen password; but then the server is lost, and with it every bucket.

use std::fmt;

/// Each line of versions that was mended, and its first good one. A line between these that is not here was not mended.
const REDIS: Lines = &[([6, 2], 20), ([7, 2], 11), ([7, 4], 6), ([8, 0], 4), ([8, 2], 2)];
const VALKEY: Lines = &[([7, 2], 11), ([8, 0], 6), ([8, 1], 4)];

type Lines = &'static [([u32; 2], u32)];

/// What a server says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    product: Product,
    line: [u32; 2],
    patch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Redis,
    Valkey,
}

impl Version {
    /// Reads the numbers that a server tells: `7.2.11`. Valkey tells one of Redis' for clients' sake, and its own.
    pub(super) fn read(redis: Option<&str>, valkey: Option<&str>) -> Option<Self> {
        let (product, text) = valkey.map(|text| (Product::Valkey, text)).or(redis.map(|text| (Product::Redis, text)))?;
        let mut numbers = text.trim().split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { product, line: [next()?, next()?], patch: next()? })
    }

    /// Whether it is older than the first one that was mended in its line.
    pub(super) fn is_vulnerable(self) -> bool {
        let lines = self.product.lines();
        let mended = lines.iter().find(|(line, _)| *line == self.line);
        mended.map_or_else(|| lines.iter().any(|(line, _)| *line > self.line), |(_, patch)| self.patch < *patch)
    }

    /// What to tell operators of it.
    pub(super) fn advice(self) -> String {
        let mended: Vec<String> = self.product.lines().iter().map(|([major, minor], patch)| format!("{major}.{minor}.{patch}")).collect();
        format!(
            "its scripts can be broken out of by whoever knows a password (CVE-2025-49844 and others): use {} or newer, or a package \
             whose maker says that it is mended",
            mended.join(", ")
        )
    }
}

impl Product {
    fn lines(self) -> Lines {
        match self {
            Self::Redis => REDIS,
            Self::Valkey => VALKEY,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::Redis => "redis",
            Product::Valkey => "valkey",
        };
        write!(f, "{product} {}.{}.{}", self.line[0], self.line[1], self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_first_good_one_of_its_line_is_told() {
        for (version, is_vulnerable) in [
            ("5.0.7", true),
            ("6.2.19", true),
            ("6.2.20", false),
            ("7.0.15", true),
            ("7.2.10", true),
            ("7.2.11", false),
            ("7.4.5", true),
            ("7.4.6", false),
            ("8.0.3", true),
            ("8.0.4", false),
            ("8.2.1", true),
            ("8.2.2", false),
            ("8.4.0", false),
            ("9.0.0", false),
        ] {
            let read = Version::read(Some(version), None).expect(version);
            assert_eq!((read.is_vulnerable(), read.to_string()), (is_vulnerable, format!("redis {version}")));
        }
        for (version, is_vulnerable) in [("7.2.10", true), ("8.0.6", false), ("8.1.3", true), ("8.1.4", false), ("9.0.0", false)] {
            let read = Version::read(Some("7.2.4"), Some(version)).expect(version);
            assert_eq!((read.is_vulnerable(), read.to_string()), (is_vulnerable, format!("valkey {version}")));
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "7", "7.2", "seven.2.1", "7.2.x", "-1.2.3"] {
            assert_eq!(Version::read(Some(text), None), None, "{text}");
        }
        assert_eq!(Version::read(None, None), None);
    }
}
