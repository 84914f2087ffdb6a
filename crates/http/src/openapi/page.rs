//! The page for people: the same tables as plain HTML. It loads nothing and runs nothing, so it works
//! where there is no internet, and its policy forbids everything else.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    answers::{self, headers_of, headers_of_problem},
    document::ABOUT,
    operations::{self, Body, Content, Method, Needs, Operation},
    parameters::Place,
    problems, schemas,
};

/// The one style; the policy names it by its hash, which a test computes.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}\
code{font-family:ui-monospace,monospace;font-size:.9em}h2{border-bottom:1px solid #ccc;margin-top:2.5rem}h3{margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #ddd;overflow-wrap:anywhere}\
nav ul{columns:2}@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}a{color:#8ab4f8}th,td,h2{border-color:#444}}";

/// What the page may do.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-IlexvqMRbcX8dFP9om++M6B1gLqvyqUF76UyoJUJErM='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Writes the page.
pub(super) fn write(version: &str) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let out = &mut page;
    let version = escaped(version);
    put(out, format_args!("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tollgate {version}</title>"));
    put(out, format_args!("<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>"));
    put(out, format_args!("<h1>Tollgate {version}</h1><p>{}</p>", escaped(ABOUT)));
    out.push_str("<p>The same for machines: <a href=\"/openapi.json\"><code>/openapi.json</code></a>.</p>");
    credentials(out);
    contents(out);
    let mut tag = "";
    for operation in operations::all() {
        if operation.tag != tag {
            tag = operation.tag;
            put(out, format_args!("<h2>{tag}</h2>"));
        }
        call(out, operation);
    }
    bodies(out);
    problem_kinds(out);
    headers(out);
    out.push_str("</body></html>\n");
    page
}

/// Writing to a string cannot fail.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).unwrap_or_default();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn credentials(out: &mut String) {
    out.push_str(
        "<h2>Credentials</h2><p>One, in one of these headers, never in the query: <code>Authorization: Bearer key_id:secret</code>, ",
    );
    out.push_str("<code>Authorization: Basic</code> (user is the key id, password the secret), <code>X-Api-Key: key_id:secret</code>. ");
    out.push_str("The scope <code>admin</code> implies every scope.</p>");
}

fn contents(out: &mut String) {
    out.push_str("<nav><h2>Calls</h2><ul>");
    for operation in operations::all() {
        put(
            out,
            format_args!("<li><a href=\"#{}\"><code>{}</code></a> {}</li>", operation.id, title(operation), escaped(operation.summary)),
        );
    }
    out.push_str("</ul></nav>");
}

fn title(operation: &Operation) -> String {
    let method = match operation.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Any => "any method",
    };
    format!("{method} {}", escaped(operation.path))
}

fn call(out: &mut String, operation: &Operation) {
    put(out, format_args!("<h3 id=\"{}\"><code>{}</code></h3><p>{}.", operation.id, title(operation), escaped(operation.summary)));
    if !operation.about.is_empty() {
        put(out, format_args!(" {}", escaped(operation.about)));
    }
    out.push_str("</p>");
    match operation.needs {
        Needs::Nothing => out.push_str("<p>Open: no credential.</p>"),
        Needs::KeyAnywhere => out.push_str("<p>No credential but the key that is asked about.</p>"),
        Needs::Key => out.push_str("<p>Needs a key.</p>"),
        Needs::Scope(scope) => put(out, format_args!("<p>Needs a key with the scope <code>{scope}</code>.</p>")),
    }
    parameters(out, operation);
    match operation.body {
        Body::Ignored => {}
        Body::Empty => out.push_str("<p>Body: none, or an empty object.</p>"),
        Body::Optional(schema) => put(out, format_args!("<p>Body: {}, or none.</p>", link(schema))),
        Body::Required(schema) => put(out, format_args!("<p>Body: {}.</p>", link(schema))),
    }
    outcomes(out, operation);
}

fn parameters(out: &mut String, operation: &Operation) {
    if operation.parameters.is_empty() {
        return;
    }
    out.push_str("<table><tr><th>Parameter</th><th>Where</th><th>Form</th><th>Meaning</th></tr>");
    for parameter in operation.parameters {
        let place = match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        let (name, form, about) = (escaped(parameter.name), escaped(&parameter.form.words()), escaped(parameter.about));
        put(out, format_args!("<tr><td><code>{name}</code></td><td>{place}</td><td>{form}</td><td>{about}</td></tr>"));
    }
    out.push_str("</table>");
}

fn outcomes(out: &mut String, operation: &Operation) {
    out.push_str("<table><tr><th>Status</th><th>Answer</th><th>Headers</th></tr>");
    for answer in operation.answers {
        let content = match answer.content {
            Content::Nothing => "No body.".to_owned(),
            Content::Json(schema) => link(schema),
            Content::Text(kind) => format!("<code>{}</code>", escaped(kind)),
        };
        let (status, about) = (answer.status, escaped(answer.about));
        put(out, format_args!("<tr><td>{status}</td><td>{about} {content}</td><td>{}</td></tr>", joined(&headers_of(operation, answer))));
    }
    let problems =
        operation.problem_statuses().into_iter().filter(|status| operation.answers.iter().all(|answer| answer.status != *status));
    let links: Vec<String> = problems.map(|status| format!("<a href=\"#problem-{status}\">{status}</a>")).collect();
    put(out, format_args!("<tr><td>else</td><td>A problem: {}.</td><td></td></tr></table>", links.join(", ")));
}

fn joined(headers: &[&str]) -> String {
    headers.join(", ")
}

fn link(schema: &str) -> String {
    format!("<a href=\"#{schema}\">{schema}</a>")
}

fn bodies(out: &mut String) {
    out.push_str("<h2>Bodies</h2>");
    for (name, schema) in schemas::all() {
        put(out, format_args!("<h3 id=\"{name}\">{name}</h3><p>{}</p>", text_of(&schema, "description")));
        match schema.get("properties").and_then(Value::as_object) {
            Some(fields) if !fields.is_empty() => fields_of(out, fields, &schema),
            _ => put(out, format_args!("<p>{}</p>", form_of(&schema))),
        }
    }
}

fn fields_of(out: &mut String, fields: &Map<String, Value>, schema: &Value) {
    let required = |name: &str| schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name));
    out.push_str("<table><tr><th>Field</th><th>Form</th><th></th><th>Meaning</th></tr>");
    for (name, field) in fields {
        let presence = if required(name) { "always" } else { "" };
        let (form, about) = (form_of(field), text_of(field, "description"));
        put(out, format_args!("<tr><td><code>{name}</code></td><td>{form}</td><td>{presence}</td><td>{about}</td></tr>"));
    }
    out.push_str("</table>");
}

fn text_of(schema: &Value, name: &str) -> String {
    schema.get(name).and_then(Value::as_str).map(escaped).unwrap_or_default()
}

/// A schema in a few words.
fn form_of(schema: &Value) -> String {
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    let all = |name: &str| schema.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if let Some(reference) = text("$ref") {
        return link(reference.rsplit('/').next().unwrap_or_default());
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&constant.to_string()));
    }
    if !all("enum").is_empty() {
        let words: Vec<String> =
            all("enum").iter().filter_map(Value::as_str).map(|word| format!("<code>{}</code>", escaped(word))).collect();
        return words.join(", ");
    }
    if !all("anyOf").is_empty() {
        let forms: Vec<String> = all("anyOf").iter().map(form_of).collect();
        return forms.join(" or ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", form_of(items));
    }
    plain_form(schema)
}

fn plain_form(schema: &Value) -> String {
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(Value::String(kind)) => kind.clone(),
        _ => String::new(),
    };
    let bound = |name: &str, word: &str| schema.get(name).map(|value| format!(", {word} {value}")).unwrap_or_default();
    let format = schema.get("format").and_then(Value::as_str).map(|format| format!(" ({format})")).unwrap_or_default();
    let bounds =
        [("minimum", "at least"), ("maximum", "at most"), ("maxLength", "characters at most")].map(|(name, word)| bound(name, word));
    format!("{kinds}{format}{}", bounds.concat())
}

fn problem_kinds(out: &mut String) {
    put(out, format_args!("<h2>Problems</h2><p>All are {} as <code>application/problem+json</code>.</p>", link("Problem")));
    out.push_str("<table><tr><th>Status</th><th>Type</th><th>When</th></tr>");
    let mut last = 0;
    for kind in problems::ALL {
        // The first row of a status is the one that calls point at.
        let anchor = if kind.status == last { String::new() } else { format!(" id=\"problem-{}\"", kind.status) };
        last = kind.status;
        put(
            out,
            format_args!("<tr{anchor}><td>{last}</td><td><code>{}</code></td><td>{}</td></tr>", escaped(kind.uri), escaped(kind.about)),
        );
    }
    put(out, format_args!("<tr><td>431</td><td></td><td>{}</td></tr></table>", escaped(answers::TOO_LARGE_ABOUT)));
    let always = joined(&headers_of_problem(400));
    put(out, format_args!("<p>Every problem carries {always}.</p>"));
}

fn headers(out: &mut String) {
    out.push_str("<h2>Headers of answers</h2><table><tr><th>Header</th><th>Meaning</th></tr>");
    for header in answers::HEADERS {
        put(out, format_args!("<tr><td><code>{}</code></td><td>{}</td></tr>", header.name, escaped(header.about)));
    }
    out.push_str("</table>");
}
