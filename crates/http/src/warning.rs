//! Warns callers whose key is of a kind on its way out.
//!
//! `Warning: 299` is what clients of other systems show for deprecations; `Sunset` (RFC 8594) is the
//! date from which the kind is refused.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};
use tollgate_gate::{Deprecated, verdict::Passed};
use tollgate_keys::SecretKind;

const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Adds the warning where there is something to warn of.
pub(crate) fn write(passed: &Passed, headers: &mut HeaderMap) {
    let Some(Deprecated { kind, until_ms }) = passed.deprecated else { return };
    let kind = match kind {
        SecretKind::Signed => "signed",
        SecretKind::Unsigned => "unsigned",
        SecretKind::Imported => "imported",
    };
    let until = until_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok());
    let end = until.and_then(|until| until.format(&Rfc3339).ok()).map_or_else(String::new, |end| format!(" and refused from {end} on"));
    insert(headers, header::WARNING, &format!("299 tollgate \"keys of kind {kind} are deprecated{end}: rotate this key\""));
    let form = format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    if let Some(date) = until.and_then(|until| until.format(form).ok()) {
        insert(headers, SUNSET, &date);
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_gate::verdict::Identity;
    use tollgate_keys::{KeyId, Scopes};

    fn told(deprecated: Option<Deprecated>) -> (Option<String>, Option<String>) {
        let identity = Identity { key_id: KeyId::parse("k").expect("an id"), owner: None, scopes: Scopes::none(), generation: 0 };
        let mut headers = HeaderMap::new();
        write(&Passed { identity, standings: tollgate_gate::Standings::default(), deprecated }, &mut headers);
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        (text(header::WARNING), text(SUNSET))
    }

    #[test]
    fn a_kind_on_its_way_out_is_warned_of() {
        assert_eq!(told(None), (None, None));
        let open = told(Some(Deprecated { kind: SecretKind::Imported, until_ms: None }));
        assert_eq!(open, (Some("299 tollgate \"keys of kind imported are deprecated: rotate this key\"".to_owned()), None));
        let (warning, sunset) = told(Some(Deprecated { kind: SecretKind::Unsigned, until_ms: Some(1_798_761_600_000) }));
        assert_eq!(sunset.as_deref(), Some("Fri, 01 Jan 2027 00:00:00 GMT"));
        assert!(warning.expect("warned").contains("unsigned are deprecated and refused from 2027-01-01T00:00:00Z on"));
    }
}
