use super::*;

const OURS: &str = "tk_01jd8jp73v000g40r40m30e209";

#[test]
fn is_a_ulid_of_its_instant_and_entropy() {
    // Computed elsewhere.
    let id = KeyId::from_parts(1_732_233_600_123, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(id.as_str(), OURS);
    assert_eq!(id.unix_ms(), Some(1_732_233_600_123));
    assert_eq!(KeyId::parse(OURS), Ok(id));
}

#[test]
fn holds_every_instant_of_48_bits() {
    assert_eq!(KeyId::from_parts(0, [0; 10]).as_str(), "tk_00000000000000000000000000");
    let last = KeyId::from_parts((1 << 48) - 1, [255; 10]);
    assert_eq!(last.as_str(), "tk_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    assert_eq!(KeyId::parse(last.as_str()), Ok(last.clone()));
    assert_eq!(KeyId::from_parts(u64::MAX, [255; 10]), last);
}

#[test]
fn are_made_again_from_their_bits() {
    let (last, first) = (KeyId::from_parts((1 << 48) - 1, [255; 10]), KeyId::from_parts(0, [0; 10]));
    assert_eq!((first.bits(), last.bits()), (Some(0), Some(u128::MAX)));
    for place in 0..128 {
        let id = KeyId::from_bits(1 << place);
        assert_eq!((id.bits(), KeyId::parse(id.as_str())), (Some(1 << place), Ok(id.clone())), "{place}");
    }
    let ours = KeyId::parse(OURS).expect("an id");
    assert_eq!(ours.bits().map(KeyId::from_bits), Some(ours));
    for foreign in ["key-1", "01jd8jp73v000g40r40m30e209", "z"] {
        assert_eq!(KeyId::parse(foreign).expect("an id").bits(), None, "{foreign}");
    }
}

#[test]
fn ids_sort_by_their_instant() {
    let instants = [0, 1, 31, 32, 1023, 1024, 1_732_233_600_123, 1_732_233_600_124, (1 << 48) - 1];
    let ids: Vec<_> = instants.iter().flat_map(|ms| [KeyId::from_parts(*ms, [0; 10]), KeyId::from_parts(*ms, [255; 10])]).collect();
    assert!(ids.is_sorted());
    assert!(ids.iter().map(KeyId::as_str).is_sorted());
}

#[test]
fn refuses_what_begins_like_ours_and_is_not() {
    for (bad, why) in [
        ("tk_", "nothing after"),
        ("tk_01jd8jp73v000g40r40m30e20", "25 characters"),
        ("tk_01jd8jp73v000g40r40m30e2090", "27 characters"),
        ("tk_81jd8jp73v000g40r40m30e209", "more than 128 bits"),
        ("tk_z1jd8jp73v000g40r40m30e209", "more than 128 bits"),
        ("tk_01JD8JP73V000G40R40M30E209", "upper case"),
        ("tk_01jd8jp73v000g40r40m30e20I", "upper case"),
        ("tk_01jd8jp73v000g40r40m30e20i", "no i in the alphabet"),
        ("tk_01jd8jp73v000g40r40m30e20l", "no l"),
        ("tk_01jd8jp73v000g40r40m30e20o", "no o"),
        ("tk_01jd8jp73v000g40r40m30e20u", "no u"),
        ("tk_01jd8jp73v000g40r40m30e20-", "no digit"),
        ("tk_01jd8jp73v000g40r40m30e2ä", "not ASCII"),
        ("tk_my-own-name", "a foreign id may not begin like ours"),
    ] {
        assert_eq!(KeyId::parse(bad), Err(KeyIdError::NoUlid), "{why}: {bad}");
    }
}

#[test]
fn takes_foreign_ids() {
    for good in ["a", "Z9", "live_key.01-x", "tk-1", "tkx_1", "TK_1", &"a".repeat(64)] {
        let id = KeyId::parse(good).expect(good);
        assert!(id.is_foreign(), "{good}");
        assert_eq!(id.unix_ms(), None, "{good}");
    }
    assert!(!KeyId::parse(OURS).expect("ours").is_foreign());
}

#[test]
fn refuses_other_foreign_ids() {
    assert_eq!(KeyId::parse(""), Err(KeyIdError::Empty));
    assert_eq!(KeyId::parse(&"a".repeat(65)), Err(KeyIdError::TooLong));
    for bad in ["_a", ".a", "-a", "a b", "a:b", "a/b", "a\n", "a\0", " a", "ä", "aä", "a\u{200b}"] {
        assert_eq!(KeyId::parse(bad), Err(KeyIdError::BadCharacter), "{bad:?}");
    }
}

#[test]
fn a_map_can_be_asked_with_plain_text() {
    let known = std::collections::HashMap::from([(KeyId::parse(OURS).expect("ours"), 1)]);
    assert_eq!(known.get(OURS), Some(&1));
    assert_eq!(format!("{0} {0:?}", KeyId::parse("a-1").expect("foreign")), "a-1 a-1");
}
