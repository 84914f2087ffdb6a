//! The document for machines: OpenAPI 3.1.

use serde_json::{Map, Value, json};

use super::{
    answers,
    operations::{self, Body, Method, Needs, Operation},
    schemas,
};

/// What the product is, for people who come from outside.
pub(super) const ABOUT: &str = "A distributed rate limiter and API-key gate. Bodies are JSON; unknown and doubled fields are refused, \
    and so are query parameters that a call does not know or that stand twice. Whatever is not an answer is a problem document \
    (RFC 9457). Whatever can be got can be asked for its headers alone (HEAD). A path answers methods that it does not have with 405, and an \
    unknown path is 404.";

/// Writes the document.
pub(super) fn write(version: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Tollgate", "version": version, "description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths(),
        "components": {
            "schemas": schemas::all(),
            "headers": answers::header_components(),
            "responses": answers::problem_components(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn paths() -> Value {
    let mut paths = Map::new();
    for operation in operations::all() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        for method in operation.method.names() {
            if let Some(path) = path.as_object_mut() {
                path.insert((*method).to_owned(), write_operation(operation, method));
            }
        }
    }
    paths.into()
}

fn write_operation(operation: &Operation, method: &str) -> Value {
    let Operation { tag, id, summary, about, .. } = operation;
    // An id belongs to one method of one path.
    let id = if operation.method == Method::Any {
        format!("{id}With{}{}", method.get(..1).unwrap_or_default().to_uppercase(), method.get(1..).unwrap_or_default())
    } else {
        (*id).to_owned()
    };
    let parameters: Vec<Value> = operation.parameters.iter().map(super::parameters::Parameter::write).collect();
    let mut written = json!({
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "parameters": parameters,
        "security": security(operation.needs),
        "responses": responses(operation),
    });
    if let (Some(written), Some(body)) = (written.as_object_mut(), request_body(operation.body)) {
        written.insert("requestBody".to_owned(), body);
    }
    if let (Some(written), false) = (written.as_object_mut(), about.is_empty()) {
        written.insert("description".to_owned(), (*about).into());
    }
    written
}

fn request_body(body: Body) -> Option<Value> {
    let (required, schema) = match body {
        Body::Ignored => return None,
        Body::Empty => (false, "Empty"),
        Body::Optional(schema) => (false, schema),
        Body::Required(schema) => (true, schema),
    };
    Some(json!({"required": required, "content": {"application/json": {"schema": schemas::of(schema)}}}))
}

fn responses(operation: &Operation) -> Value {
    let problems = operation.problem_statuses().into_iter().map(|status| (status.to_string(), answers::problem_of(status)));
    let answers = operation.answers.iter().map(|answer| (answer.status.to_string(), answers::answer(operation, answer)));
    let before = ("431".to_owned(), json!({"$ref": format!("#/components/responses/{}", answers::TOO_LARGE)}));
    problems.chain([before]).chain(answers).collect::<Map<_, _>>().into()
}

/// The three ways to show one credential; roles are the scopes that it needs.
fn security(needs: Needs) -> Value {
    let with = |scopes: &[&str]| json!([{"bearer": scopes}, {"basic": scopes}, {"apiKey": scopes}]);
    match needs {
        Needs::Nothing => json!([]),
        Needs::KeyAnywhere => json!([{}, {"bearer": []}, {"basic": []}, {"apiKey": []}]),
        Needs::Key => with(&[]),
        Needs::Scope(scope) => with(&[scope]),
    }
}

fn security_schemes() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "key_id:secret", "description": "Authorization: Bearer key_id:secret"},
        "basic": {"type": "http", "scheme": "basic", "description": "User is the key id, password the secret."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "X-Api-Key: key_id:secret"},
    })
}
