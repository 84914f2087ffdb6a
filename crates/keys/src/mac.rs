//! HMAC-SHA256 with the keys of this crate, which all have 32 bytes.

use hmac::{HmacReset, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HMAC-SHA256 with its key taken in; a clone costs no hashing.
pub(crate) type HmacSha256 = HmacReset<Sha256>;

/// The MAC under `key`.
pub(crate) fn keyed(key: &[u8; 32]) -> HmacSha256 {
    // HMAC fills a short key up with zeros; doing so here makes the constructor infallible.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    HmacSha256::new((&*block).into())
}

/// The MAC under a sub-key: HKDF-SHA256 (RFC 5869) without salt, `label` as info, 32 bytes.
pub(crate) fn sub_keyed(key: &[u8; 32], label: &[u8]) -> HmacSha256 {
    let mut mac = keyed(&[0; 32]);
    mac.update(key);
    let mut mac = keyed(&Zeroizing::new(finish(&mut mac)));
    mac.update(label);
    mac.update(&[1]);
    let expanded = Zeroizing::new(finish(&mut mac));
    keyed(&expanded)
}

/// Appends a field so that no two lists of fields give the same bytes: its length, then itself.
///
/// A MAC that has taken in a secret stays where it is, and is wiped there: one that is moved leaves what
/// it held behind, in memory that others copy from.
pub(crate) fn field(mac: &mut HmacSha256, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

/// The 32 bytes of the MAC, which starts over.
pub(crate) fn finish(mac: &mut HmacSha256) -> [u8; 32] {
    mac.finalize_reset().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string");
            text
        })
    }

    #[test]
    fn is_hmac_sha256_of_rfc_4231() {
        // Test case 2, whose key "Jefe" filled up with zeros is the same key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = keyed(&key);
        mac.update(b"what do ya want for nothing?");
        let mac = finish(&mut mac);
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn fields_cannot_be_shifted() {
        let key = [7; 32];
        let of = |fields: [&[u8]; 2]| {
            let mut mac = keyed(&key);
            for bytes in fields {
                field(&mut mac, bytes);
            }
            finish(&mut mac)
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
    }
}
