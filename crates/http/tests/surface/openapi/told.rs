//! Schemas against the types of the wire, in both directions.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::document;
use crate::site::Site;

/// Whether a value is of a schema of this document.
pub(super) fn valid(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    validator(document, schema).validate(value).map_err(|error| format!("{error} at {}: {value}", error.instance_path()))
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema], "components": document["components"]});
    jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema")
}

/// The document, to hold types to.
pub(super) struct Told(Value);

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

impl Told {
    pub(super) async fn start() -> Self {
        Self(document(&Site::start().await).await)
    }

    fn schema(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not in the document");
        schema
    }

    #[track_caller]
    pub(super) fn valid(&self, name: &str, value: &Value) {
        valid(&self.0, self.schema(name), value).unwrap_or_else(|why| panic!("{name}: {why}"));
    }

    /// A type of answers: `full` has every field, `least` only those that are always there.
    #[track_caller]
    pub(super) fn answer<T: Serialize>(&self, name: &str, full: &T, least: &T) {
        let [full, least] = [full, least].map(|value| serde_json::to_value(value).expect("JSON"));
        self.valid(name, &full);
        self.valid(name, &least);
        assert_eq!(keys(&full), keys(&self.schema(name)["properties"]), "{name}: fields of the type, and of its schema");
        let required: BTreeSet<&str> = self.schema(name)["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(keys(&least), required, "{name}: fields that are always there");
        let validator = validator(&self.0, self.schema(name));
        for field in required {
            let mut without = full.clone();
            without.as_object_mut().expect("an object").remove(field);
            assert!(!validator.is_valid(&without), "{name} without {field}");
        }
    }

    /// A type of bodies that are sent: type and schema agree on every field, also left out, null,
    /// unknown, and of another kind.
    #[track_caller]
    pub(super) fn sent<T: Serialize + DeserializeOwned>(&self, name: &str, full: &T) {
        let full = serde_json::to_value(full).expect("JSON");
        self.valid(name, &full);
        assert_eq!(keys(&full), keys(&self.schema(name)["properties"]), "{name}: fields of the type, and of its schema");
        let validator = validator(&self.0, self.schema(name));
        let agree = |value: Value| {
            let reads = serde_json::from_value::<T>(value.clone()).is_ok();
            assert_eq!(validator.is_valid(&value), reads, "{name}, schema and type: {value}");
        };
        for field in keys(&full) {
            let mut without = full.clone();
            without.as_object_mut().expect("an object").remove(field);
            agree(without);
            for other in [Value::Null, json!(true), json!("\u{7f}"), json!(1.5), json!([1]), json!({"odd": 1})] {
                // What is no name, and what is no limit, only the gate can say.
                let is_text = other.is_string() && full[field].is_string();
                let mut changed = full.clone();
                changed[field] = other;
                if !is_text && field != "metadata" {
                    agree(changed);
                }
            }
        }
        let mut more = full.clone();
        more["unheard_of"] = json!(1);
        agree(more);
        agree(json!([full]));
    }

    /// A type of a few words.
    #[track_caller]
    pub(super) fn words<T: DeserializeOwned + std::fmt::Debug>(&self, name: &str) {
        let error = serde_json::from_value::<T>(json!("?")).expect_err("no such word").to_string();
        let (_, expected) = error.split_once("expected").expect("what is expected");
        let known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
        let told: BTreeSet<&str> = self.schema(name)["enum"].as_array().expect("words").iter().filter_map(Value::as_str).collect();
        assert_eq!(known, told, "{name}");
    }
}
