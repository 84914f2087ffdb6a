//! What may be set at all: the names and kinds of the default file, and the ranges.

use super::entry::{Entry, Given};
use crate::{Problem, sections};
use figment::value::{Num, Tag, Value};
use std::collections::BTreeMap;

/// The settings there are, by name, with their defaults.
pub(super) struct Schema(BTreeMap<String, Entry>);

impl Schema {
    /// The default file says which settings there are.
    pub(super) fn new(defaults: Vec<Entry>) -> Self {
        Self(defaults.into_iter().map(|entry| (entry.name.clone(), entry)).collect())
    }

    /// Every setting with its default.
    pub(super) fn defaults(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// The entry with a value of the setting's kind and in its range; `Err(None)` for an empty
    /// table, which says nothing.
    pub(super) fn check(&self, entry: Entry) -> Result<Entry, Option<Problem>> {
        let Some(default) = self.0.get(&entry.name) else {
            return Err(self.unknown(&entry));
        };
        let Given::Typed(like) = &default.value else {
            return Err(Some(entry.problem("has no default")));
        };
        let value = of_kind(&entry.value, like).map_err(|what| Some(entry.problem(what)))?;
        if let Some(bound) = sections::bounds().find(|bound| bound.setting == entry.name) {
            bound.check(&value).map_err(|what| Some(entry.problem(what)))?;
        }
        Ok(Entry { value: Given::Typed(value), ..entry })
    }

    fn unknown(&self, entry: &Entry) -> Option<Problem> {
        let section = format!("{}.", entry.name);
        if self.0.keys().any(|name| name.starts_with(&section)) {
            let empty = matches!(&entry.value, Given::Typed(Value::Dict(_, dict)) if dict.is_empty());
            return (!empty).then(|| entry.problem("is a section and has no value of its own"));
        }
        let nearest = self.0.keys().map(|name| (distance(name, &entry.name), name)).min();
        let hint = match nearest {
            Some((0..=2, name)) => format!("; did you mean {name} (TOLLGATE_{})?", name.to_ascii_uppercase().replace('.', "__")),
            Some(_) | None => String::new(),
        };
        Some(entry.problem(format!("there is no such setting{hint}")))
    }
}

/// The value as the kind that the default `like` has, or what it should have been.
fn of_kind(given: &Given, like: &Value) -> Result<Value, String> {
    let value = match (given, like) {
        (Given::Typed(Value::Array(tag, items)), Value::Array(..)) if items.iter().all(|item| item.as_str().is_some()) => {
            Some(Value::Array(*tag, items.clone()))
        }
        (Given::Typed(value), like) => same_kind(value, like).then(|| value.clone()),
        (Given::Text(text), Value::String(..)) => Some(Value::from(text.as_str())),
        (Given::Text(text), Value::Bool(..)) => text.parse::<bool>().ok().map(Value::from),
        (Given::Text(text), Value::Num(..)) => text.parse::<i64>().ok().map(Value::from),
        (Given::Text(text), Value::Array(..)) => Some(listed(text)),
        (Given::Text(_), Value::Char(..) | Value::Dict(..) | Value::Empty(..)) => None,
    };
    value.ok_or_else(|| format!("must be {}", kind_in_words(like)))
}

fn same_kind(value: &Value, like: &Value) -> bool {
    match like {
        Value::String(..) => value.as_str().is_some(),
        Value::Bool(..) => value.to_bool().is_some(),
        Value::Num(..) => !matches!(value, Value::Num(_, Num::F32(_) | Num::F64(_))) && value.to_i128().is_some(),
        Value::Array(..) | Value::Char(..) | Value::Dict(..) | Value::Empty(..) => false,
    }
}

fn kind_in_words(like: &Value) -> String {
    match like {
        Value::String(_, example) if example.is_empty() => "a text".into(),
        Value::String(_, example) => format!("a text such as {example:?}"),
        Value::Bool(..) => "true or false".into(),
        Value::Num(..) => "a whole number".into(),
        Value::Array(..) => "a list of texts".into(),
        Value::Char(..) | Value::Dict(..) | Value::Empty(..) => "something else".into(),
    }
}

/// `a, b` or `["a", "b"]` as a list; an empty text is the empty list.
fn listed(text: &str) -> Value {
    if let Ok(Value::Array(tag, items)) = text.parse::<Value>()
        && items.iter().all(|item| item.as_str().is_some())
    {
        return Value::Array(tag, items);
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(Tag::Default, items.map(Value::from).collect())
}

/// How many letters must be put in, left out or changed to make `a` of `b`; `.` and `_` are the
/// same, for `TOLLGATE_REDIS_URL` is the commonest slip.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.replace(['.', '_'], "").into_bytes();
    let (a, b) = (plain(a), plain(b));
    let first: Vec<usize> = (0..=b.len()).collect();
    let last = a.iter().fold(first, |above, from_a| {
        let mut row = Vec::with_capacity(above.len());
        let mut left = above.first().map_or(0, |start| start + 1);
        row.push(left);
        for (pair, from_b) in above.windows(2).zip(&b) {
            let (diagonal, up) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
            left = (diagonal + usize::from(from_a != from_b)).min(up + 1).min(left + 1);
            row.push(left);
        }
        row
    });
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("redis.url", "rediz.url", 1), ("mode", "moode", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
        assert_eq!(distance("redis.url", "redis_url"), 0);
    }
}
