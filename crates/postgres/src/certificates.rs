//! The files that a URL names for TLS: looked at when the store is opened, because the driver tells of them only when it
//! first connects, and then without their names.

use std::{fs::File, io::Read as _};

use url::Url;

use crate::PostgresError;

/// No list of authorities is longer: that of all public ones has a quarter of this.
const BYTES_MAX: u64 = 1024 * 1024;
const PATH_BYTES_MAX: usize = 255;
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// After `BEGIN`, perhaps with the kind of the key.
const KEY: &str = "PRIVATE KEY-----";
/// What a URL may call each of them, and what must be in it.
const PARAMETERS: [(&str, &str, &str); 7] = [
    ("sslrootcert", CERTIFICATE, "certificate"),
    ("ssl-root-cert", CERTIFICATE, "certificate"),
    ("ssl-ca", CERTIFICATE, "certificate"),
    ("sslcert", CERTIFICATE, "certificate"),
    ("ssl-cert", CERTIFICATE, "certificate"),
    ("sslkey", KEY, "private key"),
    ("ssl-key", KEY, "private key"),
];

/// Whether every file that the URL names is there and holds what it should.
///
/// # Errors
/// [`PostgresError::File`] with the parameter and the path of the first that does not. A text of its own in place of a
/// path is not looked at, nor is a URL that is none: the driver says so.
pub(crate) fn check(url: &str) -> Result<(), PostgresError> {
    let Ok(url) = Url::parse(url) else { return Ok(()) };
    for (name, value) in url.query_pairs() {
        let known = PARAMETERS.iter().find(|(known, _, _)| *known == name);
        let Some((name, marker, what)) = known.filter(|_| !value.trim_start().starts_with("-----BEGIN")) else { continue };
        holds(&value, marker, what)
            .map_err(|why| PostgresError::File(format!("{name} in postgres.url: {}: {why}", shown(&value)).into()))?;
    }
    Ok(())
}

/// What is no whole path may be the key itself, put in its place.
fn shown(path: &str) -> &str {
    if path.starts_with('/') && path.len() <= PATH_BYTES_MAX { path } else { "a file without a whole path" }
}

fn holds(path: &str, marker: &str, what: &str) -> Result<(), String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let is_in_it = String::from_utf8_lossy(&text).contains(marker);
    if is_in_it { Ok(()) } else { Err(format!("has no {what} in PEM form")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let folder = tollgate_testkit::Scratch::new("pem").expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let certificate = file("certificate.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
        let key = file("key.pem", "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n");
        let empty = file("empty.pem", "");
        let told = |query: &str| check(&format!("postgres://u:hunter2@h/d?{query}")).map_err(|error| error.to_string());
        assert_eq!(told(&format!("sslmode=verify-full&sslrootcert={certificate}&sslcert={certificate}&sslkey={key}")), Ok(()));
        assert_eq!(told("sslcert=-----BEGIN%20CERTIFICATE-----"), Ok(()), "a text of its own");
        for (query, words) in [
            (format!("sslkey={certificate}"), format!("sslkey in postgres.url: {certificate}: has no private key in PEM form")),
            (format!("ssl-cert={key}"), format!("ssl-cert in postgres.url: {key}: has no certificate in PEM form")),
            (format!("sslcert={certificate}&ssl-ca={empty}"), format!("ssl-ca in postgres.url: {empty}: has no certificate in PEM form")),
            ("sslrootcert=/nowhere.pem".into(), "sslrootcert in postgres.url: /nowhere.pem: cannot be read: No such file".into()),
            ("sslkey=hunter2".into(), "sslkey in postgres.url: a file without a whole path: cannot be read".into()),
        ] {
            let error = told(&query).expect_err(&query);
            assert!(error.starts_with(&words) && !error.contains("hunter2"), "{error}");
        }
    }
}
