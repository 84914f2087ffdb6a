use super::*;

const ID: &str = "tk_01jd8jp73v000g40r40m30e209";
const SIGNED: &str = "tks_A0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0lyRb7DNMW1NKFmCm1ueOVp";
const UNSIGNED: &str = "tku_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg3ZPqCq";

#[test]
fn comes_back_from_its_text() {
    for secret in [SIGNED, UNSIGNED, "imported", "imported:with:colons", ":"] {
        let text = format!("{ID}:{secret}");
        let api_key = ApiKey::parse(&text).expect("a good api key");
        assert_eq!((api_key.key_id.as_str(), api_key.secret.expose()), (ID, secret));
        assert_eq!(*api_key.expose(), text);
    }
    assert!(ApiKey::parse("foreign.id:imported").is_ok());
}

/// Every way to get an api key wrong that people and attackers have found, and what we say.
fn malformed() -> Vec<(String, ApiKeyError)> {
    use ApiKeyError::{Empty, KeyId as Id, MissingColon, Secret as Hidden, TooLong};
    let of_id = |id: &str, error| (format!("{id}:{SIGNED}"), Id(error));
    let of_secret = |secret: &str, error| (format!("{ID}:{secret}"), Hidden(error));
    vec![
        (String::new(), Empty),
        (ID.into(), MissingColon),
        (SIGNED.into(), MissingColon),
        (format!("{ID} {SIGNED}"), MissingColon),
        (format!("{ID};{SIGNED}"), MissingColon),
        (format!("{ID}：{SIGNED}"), MissingColon),
        (format!("{ID}%3A{SIGNED}"), MissingColon),
        ("x".repeat(512), MissingColon),
        (format!("{ID}:{}", "x".repeat(512)), TooLong),
        ("x".repeat(513), TooLong),
        of_id("", KeyIdError::Empty),
        of_id(" ", KeyIdError::BadCharacter),
        of_id("Bearer key", KeyIdError::BadCharacter),
        of_id(" key", KeyIdError::BadCharacter),
        of_id("key ", KeyIdError::BadCharacter),
        of_id("\"key", KeyIdError::BadCharacter),
        of_id("ké", KeyIdError::BadCharacter),
        of_id("key\u{feff}", KeyIdError::BadCharacter),
        of_id("../key", KeyIdError::BadCharacter),
        of_id("key\r\n", KeyIdError::BadCharacter),
        of_id("key\0", KeyIdError::BadCharacter),
        of_id("k{e}y", KeyIdError::BadCharacter),
        of_id("k*", KeyIdError::BadCharacter),
        of_id(&"k".repeat(65), KeyIdError::TooLong),
        of_id("tk_", KeyIdError::NoUlid),
        of_id("tk_01jd8jp73v000g40r40m30e20", KeyIdError::NoUlid),
        of_id("tk_01JD8JP73V000G40R40M30E209", KeyIdError::NoUlid),
        of_id("tk_81jd8jp73v000g40r40m30e209", KeyIdError::NoUlid),
        of_id("tk_01jd8jp73v000g40r40m30e20l", KeyIdError::NoUlid),
        of_id("tk_01jd8jp73v000g40r40m30e20ß", KeyIdError::NoUlid),
        of_secret("", SecretError::Empty),
        of_secret(" ", SecretError::BadCharacter),
        of_secret(&format!(" {SIGNED}"), SecretError::BadCharacter),
        of_secret(&format!("{SIGNED} "), SecretError::BadCharacter),
        of_secret(&format!("{SIGNED}\n"), SecretError::BadCharacter),
        of_secret(&format!("{SIGNED}\0"), SecretError::BadCharacter),
        of_secret(&SIGNED.replace('d', "đ"), SecretError::BadCharacter),
        of_secret("pässword", SecretError::BadCharacter),
        of_secret(&SIGNED.replace('d', "."), SecretError::BadCharacter),
        of_secret(&SIGNED.replace('d', ":"), SecretError::BadCharacter),
        of_secret(&"x".repeat(257), SecretError::TooLong),
        of_secret("tks_", SecretError::WrongLength),
        of_secret("tku_x", SecretError::WrongLength),
        of_secret(&SIGNED[..70], SecretError::WrongLength),
        of_secret(&format!("{SIGNED}{SIGNED}"), SecretError::WrongLength),
        of_secret(&format!("{SIGNED},"), SecretError::WrongLength),
        of_secret(&SIGNED.replace("tks_", "tku_"), SecretError::WrongLength),
        of_secret(&UNSIGNED.replace("tku_", "tks_"), SecretError::WrongLength),
        of_secret(&SIGNED.replace("tks_A", "tks_B"), SecretError::BadChecksum),
        of_secret(&SIGNED.replace('d', "e"), SecretError::BadChecksum),
        of_secret(&SIGNED.replace("tks_", "TKS_"), SecretError::BadChecksum),
        of_secret(&format!("tks_{}", &SIGNED[4..].to_ascii_lowercase()), SecretError::BadChecksum),
        of_secret(&format!("tks_{}", &SIGNED[4..].to_ascii_uppercase()), SecretError::BadChecksum),
    ]
}

#[test]
fn malformed_ones_are_refused_for_their_reason() {
    let table = malformed();
    assert!(table.len() > 40);
    for (text, error) in table {
        assert_eq!(ApiKey::parse(&text).err(), Some(error), "{text:?}");
    }
}

#[test]
fn no_error_repeats_what_was_presented() {
    for (text, error) in malformed() {
        let told = format!("{error} {error:?}");
        assert!(!told.contains(SIGNED) && !told.contains("0123456789"), "{told}");
        assert!(text.len() < 20 || !told.contains(&text), "{told}");
    }
}

#[test]
fn user_and_password_are_the_same_api_key() {
    let api_key = ApiKey::from_parts(ID, SIGNED).expect("a good api key");
    assert_eq!(*api_key.expose(), format!("{ID}:{SIGNED}"));
    assert_eq!(ApiKey::from_parts("a:b", SIGNED).err(), Some(ApiKeyError::KeyId(KeyIdError::BadCharacter)));
}
