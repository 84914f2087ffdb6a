//! Where the buckets of an owner's keys lie.

/// Tags of a fleet, by the default of `redis.tags`.
pub(crate) const TAGS: usize = 16;

/// An owner whose keys have this tag.
pub(crate) fn owner_of(tag: usize) -> String {
    (0..1000).map(|number| format!("o{number}")).find(|owner| tag_of(owner) == tag).expect("an owner of each tag")
}

/// The tag of everything that an owner's name places: FNV-1a, 64 bits, modulo the number of tags.
fn tag_of(owner: &str) -> usize {
    let hash = owner.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % TAGS as u64).expect("small")
}
