//! T8: what a client says of who it is never reaches the app, under no name that the app could read so,
//! by either version of HTTP; and what the gate says always does.

use tollgate_testkit::TestRecipe;

use super::site::Site;
use crate::support::{Field, NewKey, Told, over_http1, over_http2};

const NAMES: [&str; 3] = ["x-tollgate-key-id", "x-tollgate-owner", "x-tollgate-scopes"];
/// What may stand in a header's name beside letters, digits and `-` (RFC 9110, section 5.6.2).
const OTHERS: &str = "!#$%&'*+.^_`|~";

/// Fields of a request with a good key, and what they try.
struct Forgery {
    what: String,
    fields: Vec<Field>,
    /// Whether it is nothing that anybody refuses: it passes, without what was forged.
    is_plain: bool,
}

fn forgery(what: &str, fields: &[(&str, &str)], is_plain: bool) -> Forgery {
    let field = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let what = format!("{what}: {fields:?}");
    Forgery { what, fields: fields.iter().map(field).collect(), is_plain }
}

/// Everything under the names themselves.
fn plain() -> Vec<Forgery> {
    let mut all = vec![forgery("nothing", &[], true)];
    for name in NAMES {
        all.push(forgery("its own", &[(name, "forged")], true));
        all.push(forgery("doubled", &[(name, "forged"), (name, "forged")], true));
        all.push(forgery("a list", &[(name, "forged, forged")], true));
        all.push(forgery("an empty one", &[(name, "")], true));
        all.push(forgery("an empty one and another", &[(name, ""), (name, "forged")], true));
    }
    let three: Vec<_> = NAMES.iter().map(|name| (*name, "forged")).collect();
    all.push(forgery("all", &three, true));
    all
}

/// Names that apps read as those.
fn aliases() -> Vec<Forgery> {
    let mut all = Vec::new();
    for name in NAMES {
        let wholes = OTHERS.chars().map(|other| name.replace('-', &other.to_string()));
        let mixed = ["_", "."]
            .into_iter()
            .flat_map(|other| [name.replacen('-', other, 1), name.replacen("tollgate-", &format!("tollgate{other}"), 1)]);
        all.extend(wholes.chain(mixed).map(|alias| forgery("an alias", &[(&alias, "forged")], false)));
    }
    all.push(forgery("an alias between two", &[(NAMES[0], "forged"), ("x_tollgate_key_id", "forged"), (NAMES[0], "forged")], false));
    all
}

/// What takes headers away again on their way, and what only HTTP/1.1 has.
fn http1_only() -> Vec<Forgery> {
    let mut all = Vec::new();
    for named in ["X-Tollgate-Key-Id", "x-tollgate-owner, x-tollgate-key-id", "X-Tollgate-Key-Id, X-Tollgate-Owner, X-Tollgate-Scopes"] {
        all.push(forgery("taken away", &[("connection", named)], true));
        all.push(forgery("taken away and given", &[("connection", named), (NAMES[0], "forged"), (NAMES[1], "forged")], true));
        all.push(forgery("taken away by another", &[("proxy-connection", named), ("keep-alive", named)], true));
    }
    all.push(forgery("an alias taken away", &[("connection", "x_tollgate_key_id"), ("x_tollgate_key_id", "forged")], false));
    for name in NAMES {
        let capitals = name.to_uppercase();
        all.push(forgery("in capitals", &[(&capitals, "forged")], true));
        all.push(forgery("a space before the colon", &[(&format!("{name} "), "forged")], false));
        all.push(forgery("a tab before the colon", &[(&format!("{name}\t"), "forged")], false));
        all.push(forgery("a line that goes on", &[("x-other", &format!("a\r\n {name}: forged"))], false));
        all.push(forgery("a line that begins with a space", &[(&format!(" {name}"), "forged")], false));
        all.push(forgery("a line end of its own", &[("x-other", &format!("a\n{name}: forged"))], false));
        all.push(forgery("a carriage return", &[("x-other", &format!("a\r{name}: forged"))], false));
        all.push(forgery("a zero", &[("x-other", &format!("a\0{name}: forged"))], false));
    }
    all
}

fn http1(api_key: &str, fields: &[Field]) -> Vec<u8> {
    let lines = fields.iter().map(|(name, value)| [name, b": ".as_slice(), value, b"\r\n"].concat()).collect::<Vec<_>>().concat();
    let head = format!("GET /orders HTTP/1.1\r\nhost: app\r\nx-api-key: {api_key}\r\nconnection: close\r\n");
    [head.into_bytes(), lines, b"\r\n".to_vec()].concat()
}

fn http2(api_key: &str, fields: &[Field]) -> Vec<Field> {
    let begun = [(":method", "GET"), (":scheme", "http"), (":path", "/orders"), (":authority", "app"), ("x-api-key", api_key)];
    [begun.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec(), fields.to_vec()].concat()
}

/// What the app saw is what the gate says of the key, if the request reached it at all.
fn assert_unforged(site: &Site, recipe: &TestRecipe, key: &NewKey, forgery: &Forgery, told: &Told) {
    let what = format!("{}, {}: {told:?}", recipe.gateway().name(), forgery.what);
    if told.status() != Some(200) {
        assert!(!forgery.is_plain && told.status().is_none_or(|status| (400..500).contains(&status)), "{what}");
        assert!(site.app.take().is_empty(), "{what}: it was refused, and passed on");
        return;
    }
    let seen = site.app.take_one(&what);
    let of_the_key = |name: &str| key.record[name].as_str().unwrap_or_default().to_owned();
    let scopes = key.record["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect::<Vec<_>>().join(" ");
    for (name, value) in NAMES.into_iter().zip([of_the_key("key_id"), of_the_key("owner"), scopes]) {
        let read = seen.read_as(name);
        let is_nothing = value.is_empty() && read.is_empty();
        assert!(is_nothing || read == [value.as_str()], "{what}, {name}: {read:?}");
    }
}

/// Tries all of them with a key that has an owner and scopes, and with one that has none.
async fn try_all(site: &Site, forgeries: &[Forgery], over_two: bool) {
    for recipe in &site.recipes {
        for key in [site.key().await, site.bare_key().await] {
            for forgery in forgeries {
                let told = if over_two {
                    over_http2(recipe.http2(), &http2(&key.api_key, &forgery.fields)).await
                } else {
                    over_http1(recipe.http1(), &http1(&key.api_key, &forgery.fields)).await
                };
                assert_unforged(site, recipe, &key, forgery, &told);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_sees_the_gates_word_alone() {
    let site = Site::start().await;
    try_all(&site, &plain().into_iter().chain(aliases()).chain(http1_only()).collect::<Vec<_>>(), false).await;
    try_all(&site, &plain().into_iter().chain(aliases()).collect::<Vec<_>>(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_no_headers() {
    let site = Site::start().await;
    let key = site.bare_key().await;
    for recipe in &site.recipes {
        let trailers = NAMES.map(|name| format!("{name}: forged\r\n")).concat();
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: app\r\nx-api-key: {}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
             trailer: {}\r\n\r\n5\r\norder\r\n0\r\n{trailers}\r\n",
            key.api_key,
            NAMES.join(", "),
        );
        let told = over_http1(recipe.http1(), request.as_bytes()).await;
        assert_unforged(&site, recipe, &key, &forgery("trailers", &[], false), &told);
    }
}
