//! Query strings: few, strict, and never with a credential in them.

use crate::problem::Failure;

/// Longest query that is read, in bytes: the longest parameters of a listing fit several times.
const BYTES_MAX: usize = 2048;

/// Parameters that people put credentials in; compared in lower case with `_` for `-`.
const CREDENTIAL_NAMES: [&str; 9] =
    ["api_key", "apikey", "key", "token", "access_token", "x_api_key", "authorization", "secret", "api_secret"];

/// The parameters of one query, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query. Refuses credentials, doubled names and anything that is not visible ASCII.
    pub(crate) fn read(query: Option<&str>) -> Result<Self, Failure> {
        let mut params = Self::default();
        let query = query.unwrap_or_default();
        if query.len() > BYTES_MAX {
            return Err(Failure::invalid_parameter(format!("a query has at most {BYTES_MAX} bytes")));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push(decoded(name)?, decoded(value)?)?;
        }
        Ok(params)
    }

    /// Refuses any query at all.
    pub(crate) fn refuse(query: Option<&str>) -> Result<(), Failure> {
        Self::read(query)?.finish("this call takes no query parameters")
    }

    /// Takes out the parameter of that name.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Refuses what nobody took. The unknown name itself is not repeated: who knows what it is.
    pub(crate) fn finish(self, known: &str) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::invalid_parameter(format!("unknown query parameter: {known}"))) }
    }

    fn push(&mut self, name: String, value: String) -> Result<(), Failure> {
        if carries_credential(&name, &value) {
            return Err(Failure::CredentialInQuery);
        }
        if self.0.iter().any(|(earlier, _)| *earlier == name) {
            return Err(Failure::invalid_parameter("a query parameter is given twice"));
        }
        self.0.push((name, value));
        Ok(())
    }
}

/// A cursor may be a key id, which begins like an api key without being one.
fn carries_credential(name: &str, value: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let secret = |text: &str| text.contains("tks_") || text.contains("tku_");
    let is_id = name == "cursor" || name == "key_id";
    let api_key = |text: &str| text.starts_with("tk_") && (!is_id || text.contains(':'));
    CREDENTIAL_NAMES.contains(&plain.as_str()) || [name, value].into_iter().any(|text| secret(text) || api_key(text))
}

/// Undoes percent-encoding and `+`; what comes out must be visible ASCII or spaces.
fn decoded(text: &str) -> Result<String, Failure> {
    let bad = || Failure::invalid_parameter("query parameters are visible ASCII, percent-encoded where necessary");
    let mut bytes = text.bytes();
    let mut out = String::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'+' => b' ',
            b'%' => hex_pair(bytes.next(), bytes.next()).ok_or_else(bad)?,
            other => other,
        };
        if !(plain.is_ascii_graphic() || plain == b' ') {
            return Err(bad());
        }
        out.push(char::from(plain));
    }
    Ok(out)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high?)? << 4 | digit(low?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_values() {
        let mut params = Params::read(Some("cost=5&scope=a%3Ab&&flag")).expect("a good query");
        assert_eq!(params.take("cost").as_deref(), Some("5"));
        assert_eq!(params.take("scope").as_deref(), Some("a:b"));
        assert_eq!(params.take("none"), None);
        assert_eq!(params.take("flag").as_deref(), Some(""));
        assert!(params.finish("").is_ok());
    }

    #[test]
    fn refuses_what_is_doubled_unknown_or_not_plain() {
        for bad in ["a=1&a=2", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "a=%00", "a=%0a", "a=%c3%a4", "a=ä"] {
            assert!(matches!(Params::read(Some(bad)), Err(Failure::InvalidParameter { .. })), "{bad}");
        }
        assert!(matches!(Params::refuse(Some("a=1")), Err(Failure::InvalidParameter { .. })));
        assert!(Params::read(Some(&format!("a={}", "1".repeat(2047)))).is_err());
    }

    #[test]
    fn refuses_credentials_wherever_they_stand() {
        for bad in [
            "api_key=x",
            "API-Key=x",
            "apikey",
            "key=",
            "token=1",
            "access_token=1",
            "authorization=Bearer",
            "x-api-key=1",
            "a=tk_01",
            "a=tk_01:tks_x",
            "tk_01:x",
            "cursor=tk_01:x",
            "a=%74k_01",
            "a=xtks_y",
            "a=1&b=tku_1",
        ] {
            assert!(matches!(Params::read(Some(bad)), Err(Failure::CredentialInQuery)), "{bad}");
        }
        assert!(Params::read(Some("cursor=tk_01")).is_ok());
    }
}
