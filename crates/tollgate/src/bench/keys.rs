//! Whose keys the load is of: those of a file, or keys that are made for it and revoked afterwards.

use std::{fs, path::Path, time::Duration};

use tollgate_api::{CreateKeyBody, Patch, RateLimitFields, RateLimitSpec, RevokeKeyBody};
use tollgate_client::{Client, ClientError, RequestId};
use tollgate_keys::{ApiKey, RandomPart, RingChar, Secret, SigningKey};
use zeroize::Zeroizing;

use crate::{exit::Failure, progress::Progress};

/// Keys of a file; more are another file.
const FILE_KEYS_MAX: usize = 1_000_000;
/// A limit that no load reaches.
const LIMIT: RateLimitFields = RateLimitFields { burst: 1_000_000_000, per_seconds: 1 };
/// How often a node that limits its operator is asked again for one key.
const ATTEMPTS_MAX: u32 = 10;

/// Keys that were made for a load, all of one owner.
#[derive(Debug)]
pub(crate) struct MadeKeys {
    owner: String,
    pub(crate) keys: Vec<Zeroizing<String>>,
}

/// The keys of a file, one on each line.
pub(crate) fn read(path: &Path) -> Result<Vec<Zeroizing<String>>, Failure> {
    let remedy = "name a file that has one key on each line";
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), remedy))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<_> = lines.map(|line| Zeroizing::new(line.to_owned())).take(FILE_KEYS_MAX + 1).collect();
    if (1..=FILE_KEYS_MAX).contains(&keys.len()) {
        return Ok(keys);
    }
    Err(Failure::usage(format!("{} has no key, or more than {FILE_KEYS_MAX}", path.display()), remedy))
}

impl MadeKeys {
    /// Makes so many. Those that are made when one cannot be are revoked again.
    pub(crate) async fn make(client: &Client, count: u32) -> Result<Self, Failure> {
        let mut made = Self { owner: format!("bench-{}", RequestId::generate()), keys: Vec::new() };
        let progress = Progress::towards(Some(count.into()));
        for number in 1..=count {
            match one(client, &made.owner, number).await {
                Ok(api_key) => made.keys.push(api_key),
                Err(error) => {
                    made.revoke(client).await.ok();
                    return Err(error.into());
                }
            }
            progress.reached(number.into(), "making keys");
        }
        Ok(made)
    }

    /// Takes all of them out of use, for ever.
    pub(crate) async fn revoke(&self, client: &Client) -> Result<(), ClientError> {
        let body = RevokeKeyBody { reason: Some("the load that they were made for is over".to_owned()) };
        client.revoke_keys_of(&self.owner, &body).await.map(drop)
    }
}

async fn one(client: &Client, owner: &str, number: u32) -> Result<Zeroizing<String>, ClientError> {
    let rate_limit = Patch::Set(RateLimitSpec::One(LIMIT));
    let body = CreateKeyBody { name: format!("bench {number}"), owner: Some(owner.to_owned()), rate_limit, ..CreateKeyBody::default() };
    let mut attempts = 1;
    loop {
        match client.create_key(&body).await {
            Ok(created) => return Ok(Zeroizing::new(created.api_key.unwrap_or_default())),
            // Making keys counts for the limit of whoever makes them.
            Err(error) if error.status() == Some(429) && attempts < ATTEMPTS_MAX => {
                tokio::time::sleep(Duration::from_secs(error.retry_after_s().unwrap_or(1))).await;
                attempts += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A key that looks like this one and is none: of the same id, and signed by nobody.
pub(super) fn forgery(key: &str) -> Result<Zeroizing<String>, String> {
    let random = |_| "the system gives no random bytes".to_owned();
    if let Ok(real) = ApiKey::parse(key) {
        let part = RandomPart::generate().map_err(random)?;
        let secret = match real.secret.ring() {
            Some(ring) => Secret::signed(&signing_key(ring)?, &real.key_id, &part),
            None => Secret::unsigned(&part),
        };
        return Ok(Zeroizing::new(ApiKey { key_id: real.key_id, secret }.expose().to_string()));
    }
    // Of a form that is not ours: one character is another.
    let mut other = Zeroizing::new(key.to_owned());
    let last = other.pop();
    other.push(if last == Some('0') { '1' } else { '0' });
    Ok(other)
}

fn signing_key(ring: RingChar) -> Result<SigningKey, String> {
    SigningKey::generate(ring).map_err(|_| "the system gives no random bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgery_is_of_the_same_form_and_another() {
        let key_id = tollgate_keys::KeyId::from_parts(1, [7; 10]);
        let part = RandomPart::generate().expect("random");
        let signing = SigningKey::generate(RingChar::new('0').expect("a character")).expect("random");
        for secret in [Secret::signed(&signing, &key_id, &part), Secret::unsigned(&part)] {
            let real = ApiKey { key_id: key_id.clone(), secret }.expose().to_string();
            let forged = forgery(&real).expect("a forgery");
            let (id, _) = forged.split_once(':').expect("an id");
            assert!(*forged != real && id == key_id.as_str() && forged.len() == real.len(), "{}", forged.len());
            assert!(ApiKey::parse(&forged).is_ok(), "its checksum is good");
        }
        assert_eq!((forgery("ab").expect("one").as_str(), forgery("a0").expect("one").as_str()), ("a0", "a1"));
    }

    #[test]
    fn keys_are_the_lines_of_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        std::fs::write(&path, "a:1\n\n b:2 \r\n").expect("written");
        let keys = read(&path).expect("keys");
        assert_eq!(keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["a:1", "b:2"]);
        std::fs::write(&path, "\n").expect("written");
        assert!(read(&path).is_err() && read(&folder.path().join("none")).is_err());
    }
}
