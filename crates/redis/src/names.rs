//! Names of keys in Redis: `<prefix>{sNN}<kind>:<id>`.
//!
//! `NN` is the tag: FNV-1a (64 bits) of the id that places the decision (the owner's name, else
//! the key's id) modulo the number of tags. All records of a decision share a tag, so on a
//! Cluster they share a slot. What follows the tag is never read as one, so any id is safe.

use std::hash::Hasher;

use bytes::Bytes;
use tollgate_gate::ports::{NodeId, ReceiptName, SubjectKind, TopName, TopSpan};

/// The largest number of tags: two decimal digits.
pub const TAGS_MAX: u8 = 100;

/// Makes the names of one deployment.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
    tags: u8,
}

/// A prefix or a number of tags that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// A brace would take the place of the tag's.
    #[error("redis.prefix must not contain {{ or }}")]
    Prefix,
    /// Too few or too many.
    #[error("redis.tags must be a whole number from 1 to {TAGS_MAX}")]
    Tags,
}

impl Names {
    /// Checks both.
    pub fn new(prefix: &str, tags: u8) -> Result<Self, NamesError> {
        if prefix.contains(['{', '}']) {
            return Err(NamesError::Prefix);
        }
        if !(1..=TAGS_MAX).contains(&tags) {
            return Err(NamesError::Tags);
        }
        Ok(Self { prefix: prefix.to_owned(), tags })
    }

    /// How many tags there are.
    pub fn tags(&self) -> u8 {
        self.tags
    }

    /// What every name begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The tag of everything that `placed_by` places.
    pub fn tag_of(&self, placed_by: &str) -> u8 {
        let mut hash = Fnv1a::default();
        hash.write(placed_by.as_bytes());
        // The remainder is below 100.
        u8::try_from(hash.finish() % u64::from(self.tags)).unwrap_or(0)
    }

    /// The key of a tag's state id.
    pub fn state_id(&self, tag: u8) -> Bytes {
        self.under(tag, "id", "")
    }

    /// The key of the registry of nodes.
    pub fn nodes(&self) -> Bytes {
        self.under(0, "nodes", "")
    }

    /// The key of what a node tells of itself.
    pub fn node(&self, node: NodeId) -> Bytes {
        self.under(0, "node:", &node.to_string())
    }

    /// The key of a subject's record.
    pub fn record(&self, tag: u8, kind: SubjectKind, id: &str) -> Bytes {
        let kind = match kind {
            SubjectKind::Key => "k:",
            SubjectKind::Owner => "o:",
            SubjectKind::Named => "n:",
        };
        self.under(tag, kind, id)
    }

    /// The key of what tells which reset of a subject was done last.
    pub fn reset(&self, tag: u8, kind: SubjectKind, id: &str) -> Bytes {
        let kind = match kind {
            SubjectKind::Key => "z:k:",
            SubjectKind::Owner => "z:o:",
            SubjectKind::Named => "z:n:",
        };
        self.under(tag, kind, id)
    }

    /// The key of a receipt. It is placed by its key alone: no decision touches it.
    pub fn receipt(&self, name: &ReceiptName) -> Bytes {
        let key_id = &*name.key_id;
        self.under(self.tag_of(key_id), "r:", &format!("{key_id}:{:016x}", name.fingerprint))
    }

    /// The key of what a key was used for, by minutes. Placed by the key alone: no decision touches it.
    pub fn usage_minutes(&self, key_id: &str) -> Bytes {
        self.under(self.tag_of(key_id), "u:m:", key_id)
    }

    /// The same by hours.
    pub fn usage_hours(&self, key_id: &str) -> Bytes {
        self.under(self.tag_of(key_id), "u:h:", key_id)
    }

    /// The key of the number of a node's last batch of counts under a tag.
    pub fn usage_number(&self, tag: u8, node: NodeId) -> Bytes {
        self.under(tag, "u:n:", &node.to_string())
    }

    /// The tag of the summaries of the most limited keys: one for all of an owner, and one for those
    /// of all keys.
    pub fn top_tag(&self, name: &TopName) -> u8 {
        self.tag_of(name.owner.as_ref().map_or("", |owner| owner.as_str()))
    }

    /// The key of such summaries.
    pub fn top(&self, name: &TopName) -> Bytes {
        let owner = name.owner.as_ref().map_or("", |owner| owner.as_str());
        let kind = match name.span {
            TopSpan::TenMinutes => "t:m:",
            TopSpan::Hour => "t:h:",
        };
        self.under(self.top_tag(name), kind, &format!("{}:{owner}", name.slot))
    }

    fn under(&self, tag: u8, kind: &str, id: &str) -> Bytes {
        let mut name = Vec::with_capacity(self.prefix.len() + 5 + kind.len() + id.len());
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(&[b'{', b's', b'0' + tag / 10 % 10, b'0' + tag % 10, b'}']);
        name.extend_from_slice(kind.as_bytes());
        name.extend_from_slice(id.as_bytes());
        name.into()
    }
}

/// FNV-1a, 64 bits: short, well known, and the same on every node and in every version.
#[derive(Debug, Clone, Copy)]
pub struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_published_fnv1a() {
        let hash = |text: &str| {
            let mut hash = Fnv1a::default();
            hash.write(text.as_bytes());
            hash.finish()
        };
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn names_are_as_documented() {
        let names = Names::new("tg:", 16).expect("good");
        assert_eq!(names.state_id(7), "tg:{s07}id");
        assert_eq!(names.nodes(), "tg:{s00}nodes");
        assert_eq!(names.record(7, SubjectKind::Owner, "acme"), "tg:{s07}o:acme");
        assert_eq!(names.record(10, SubjectKind::Key, "tk_}"), "tg:{s10}k:tk_}");
        assert_eq!(names.record(99, SubjectKind::Named, ""), "tg:{s99}n:");
        assert_eq!(names.reset(10, SubjectKind::Key, "tk_1"), "tg:{s10}z:k:tk_1");
        assert_eq!(names.usage_minutes("a-key"), "tg:{s10}u:m:a-key");
        assert_eq!(names.usage_hours("a-key"), "tg:{s10}u:h:a-key");
        assert_eq!(names.usage_number(7, NodeId(0xbeef)), "tg:{s07}u:n:0000000000000000000000000000beef");
        let owner = tollgate_keys::OwnerName::parse("acme").expect("an owner");
        let top = |owner, span| names.top(&TopName { owner, span, slot: 47 });
        assert_eq!(top(Some(owner), TopSpan::Hour), format!("tg:{{s{:02}}}t:h:47:acme", names.tag_of("acme")));
        assert_eq!(top(None, TopSpan::TenMinutes), format!("tg:{{s{:02}}}t:m:47:", names.tag_of("")));
        let name = ReceiptName { key_id: "a-key".into(), fingerprint: 0xbeef };
        assert_eq!(names.receipt(&name), "tg:{s10}r:a-key:000000000000beef");
    }

    #[test]
    fn every_tag_is_used_and_none_beyond() {
        let names = Names::new("", 16).expect("good");
        let used: std::collections::BTreeSet<u8> = (0..1000).map(|id| names.tag_of(&format!("tk_{id}"))).collect();
        assert_eq!(used, (0..16).collect());
    }

    #[test]
    fn refuses_braces_and_bad_counts() {
        assert!(matches!(Names::new("a{b", 16), Err(NamesError::Prefix)));
        assert!(matches!(Names::new("", 0), Err(NamesError::Tags)));
        assert!(matches!(Names::new("", 101), Err(NamesError::Tags)));
        assert!(Names::new("", 100).is_ok());
    }
}
