//! The requests of a load, made as far as they can be before it begins.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Empty;
use zeroize::Zeroizing;

use super::{
    keys::forgery,
    mix::{CostMix, Dice, Draw, Share, Skew},
};

/// What stands for the key in a header.
const KEY: &str = "{key}";

/// Whom to ask: a URL without a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(Uri);

/// A header that every request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderTemplate {
    name: HeaderName,
    value: String,
}

/// All requests that there can be.
#[derive(Debug)]
pub(crate) struct Requests {
    fixed: HeaderMap,
    /// Names of the headers that hold the key.
    names: Vec<HeaderName>,
    /// For each key its headers, and those of its forgery where any are sent.
    keys: Vec<Shown>,
    paths: Vec<Uri>,
    which_key: Draw,
    which_path: Draw,
    wrong: Share,
}

#[derive(Debug)]
struct Shown {
    right: Vec<HeaderValue>,
    wrong: Vec<HeaderValue>,
}

impl Target {
    /// Reads a URL of http. No TLS: whoever measures that measures little else.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let form = || "must be a URL of http without user and password, such as http://127.0.0.1:8080/v1/authorize".to_owned();
        let uri: Uri = text.parse().map_err(|_| form())?;
        let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if uri.scheme_str() == Some("http") && is_plain { Ok(Self(uri)) } else { Err(form()) }
    }

    /// Where to connect to.
    pub(super) fn address(&self) -> (&str, u16) {
        let host = self.0.host().unwrap_or_default();
        (host.trim_start_matches('[').trim_end_matches(']'), self.0.port_u16().unwrap_or(80))
    }

    /// Whether it is on another machine, as far as its name tells.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let (host, _) = self.address();
        !host.eq_ignore_ascii_case("localhost")
            && !host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// What is asked for, at this cost.
    fn path(&self, cost: u64) -> Result<Uri, String> {
        let path = self.0.path_and_query().map_or("/", |path| path.as_str());
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = if cost == 1 { path.to_owned() } else { format!("{path}{joint}cost={cost}") };
        path.parse().map_err(|error| format!("{path} cannot be asked for: {error}"))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl HeaderTemplate {
    /// Reads `name: value`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("must have the form \"name: value\"")?;
        let name = name.trim().parse().map_err(|_| "has a name that no header can have")?;
        let header = Self { name, value: value.trim().to_owned() };
        header.filled("").map(|_| header)
    }

    fn bearer() -> Self {
        Self { name: header::AUTHORIZATION, value: format!("Bearer {KEY}") }
    }

    fn has_key(&self) -> bool {
        self.value.contains(KEY)
    }

    fn filled(&self, key: &str) -> Result<HeaderValue, String> {
        let text = Zeroizing::new(self.value.replace(KEY, key));
        let mut value = HeaderValue::from_str(&text).map_err(|_| format!("the header {} cannot hold that", self.name))?;
        value.set_sensitive(self.has_key());
        Ok(value)
    }
}

impl Requests {
    /// Requests to `target` with these headers, keys, and shares. Without keys there is no credential.
    pub(crate) fn new(
        target: &Target,
        headers: &[HeaderTemplate],
        keys: &[Zeroizing<String>],
        (costs, skew, wrong): (&CostMix, Skew, Share),
    ) -> Result<Self, String> {
        let bearer = [HeaderTemplate::bearer()];
        let is_shown = headers.iter().any(HeaderTemplate::has_key);
        let templates = headers.iter().chain(bearer.iter().filter(|_| !is_shown)).filter(|header| header.has_key());
        let templates: Vec<&HeaderTemplate> = if keys.is_empty() { Vec::new() } else { templates.collect() };
        let filled = |key: &str| templates.iter().map(|header| header.filled(key)).collect::<Result<Vec<_>, _>>();
        let shown = |key: &Zeroizing<String>| {
            let forged = if wrong.percent() > 0.0 { filled(&forgery(key)?)? } else { Vec::new() };
            Ok::<_, String>(Shown { right: filled(key)?, wrong: forged })
        };
        let mut fixed = HeaderMap::new();
        let host = target.0.authority().map_or("", |authority| authority.as_str());
        if !headers.iter().any(|header| header.name == header::HOST) {
            fixed.insert(header::HOST, HeaderValue::from_str(host).map_err(|_| "the target's name cannot be sent")?);
        }
        for header in headers.iter().filter(|header| !header.has_key()) {
            fixed.append(&header.name, header.filled("")?);
        }
        Ok(Self {
            fixed,
            names: templates.iter().map(|header| header.name.clone()).collect(),
            keys: keys.iter().map(shown).collect::<Result<_, _>>()?,
            paths: costs.costs().map(|cost| target.path(cost)).collect::<Result<_, _>>()?,
            which_key: skew.draw(keys.len()),
            which_path: costs.draw(),
            wrong,
        })
    }

    /// The next one.
    pub(super) fn next(&self, dice: &mut Dice) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        if let Some(path) = self.paths.get(self.which_path.one(dice)) {
            *request.uri_mut() = path.clone();
        }
        let mut headers = self.fixed.clone();
        if let Some(shown) = self.keys.get(self.which_key.one(dice)) {
            let values = if self.wrong.takes(dice) { &shown.wrong } else { &shown.right };
            for (name, value) in self.names.iter().zip(values) {
                headers.append(name.clone(), value.clone());
            }
        }
        *request.headers_mut() = headers;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(target: &str, headers: &[&str], keys: &[&str], costs: &str, wrong: &str) -> Requests {
        let headers: Vec<_> = headers.iter().map(|header| HeaderTemplate::parse(header).expect("a header")).collect();
        let keys: Vec<_> = keys.iter().map(|key| Zeroizing::new((*key).to_owned())).collect();
        let shares = (&CostMix::parse(costs).expect("a mix"), Skew::parse("0").expect("none"), Share::parse(wrong).expect("a share"));
        Requests::new(&Target::parse(target).expect("a target"), &headers, &keys, shares).expect("requests")
    }

    fn header<'a>(request: &'a Request<Empty<Bytes>>, name: &str) -> &'a str {
        request.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn a_request_has_its_key_cost_and_headers() {
        let one = requests("http://h:81/v1/authorize?scope=a", &["x-a: b"], &["id:secret"], "5", "0").next(&mut Dice::new(1));
        assert_eq!((one.uri().to_string().as_str(), header(&one, "host")), ("/v1/authorize?scope=a&cost=5", "h:81"));
        assert_eq!((header(&one, "authorization"), header(&one, "x-a")), ("Bearer id:secret", "b"));
        let own = requests("http://h", &["x-api-key: {key}"], &["id:secret"], "1", "0").next(&mut Dice::new(1));
        assert_eq!((own.uri().to_string().as_str(), header(&own, "x-api-key"), header(&own, "authorization")), ("/", "id:secret", ""));
        let hosted = requests("http://h", &["Host: other"], &[], "1", "0").next(&mut Dice::new(1));
        assert_eq!(hosted.headers().get_all("host").iter().collect::<Vec<_>>(), ["other"], "one host, whoever names it");
        let bare = requests("http://h/x", &["x-api-key: {key}"], &[], "1", "100").next(&mut Dice::new(1));
        assert_eq!(bare.headers().len(), 1, "no key, no credential");
    }

    #[test]
    fn forgeries_come_as_often_as_they_should_and_are_none_of_the_keys() {
        let requests = requests("http://h/x", &[], &["id:secret"], "1", "25");
        let mut dice = Dice::new(5);
        let wrong = (0..4000).filter(|_| header(&requests.next(&mut dice), "authorization") != "Bearer id:secret").count();
        assert!((850..1150).contains(&wrong), "{wrong}");
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        for bad in ["", "h:81/x", "https://h/x", "http://u:p@h/x", "/x", "ftp://h"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Target::parse("http://[::1]:81/x").expect("a target").address(), ("::1", 81));
        for (host, is_elsewhere) in
            [("localhost", false), ("127.0.0.2:80", false), ("[::1]", false), ("10.0.0.5", true), ("localhost.example", true)]
        {
            assert_eq!(Target::parse(&format!("http://{host}/x")).expect("a target").is_elsewhere(), is_elsewhere, "{host}");
        }
        for bad in ["no colon", "a b: c", "x: a\nb"] {
            assert!(HeaderTemplate::parse(bad).is_err(), "{bad}");
        }
        let (target, keys) = (Target::parse("http://h").expect("a target"), [Zeroizing::new("a\nb".to_owned())]);
        let shares = (&CostMix::parse("1").expect("a mix"), Skew::parse("0").expect("none"), Share::parse("0").expect("none"));
        assert!(Requests::new(&target, &[], &keys, shares).is_err());
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let requests = requests("http://h/x", &[], &["id:hunter2"], "1", "0");
        assert!(!format!("{requests:?}").contains("hunter2"));
    }
}
