//! Secrets that are known by heart, and looking for them in whatever was said.

use std::collections::BTreeMap;

use super::super::authorize::base64;
use crate::support::Needles;

/// As much of a secret's middle as is looked for: nobody tells so much of it by chance, and it is still found
/// where the secret was cut, or lost its prefix.
const CORE_BYTES: usize = 24;

/// A secret that must be nowhere.
#[derive(Debug, Clone)]
pub(super) struct Canary {
    name: String,
    forms: Vec<String>,
}

/// What was said, by the place where.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<String, String>);

impl Canary {
    /// A secret as text. Of an api key, give the secret alone.
    pub(super) fn new(name: &str, secret: &str) -> Self {
        let start = secret.len().saturating_sub(CORE_BYTES) / 2;
        let core = &secret[start..(start + CORE_BYTES).min(secret.len())];
        assert!(core.len() >= 12, "{name} is too short to be told from chance");
        let numbers: Vec<String> = core.bytes().map(|byte| byte.to_string()).collect();
        let hex = core.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let mut forms = vec![core.to_owned(), numbers.join(", "), numbers.join(","), hex.to_uppercase(), hex];
        // In base 64 a text looks different at each place that it can begin at; the ends depend on what is beside it.
        for skipped in 0..3 {
            let whole = &core[skipped..];
            forms.push(base64(&whole[..whole.len() / 3 * 3]));
        }
        Self { name: name.to_owned(), forms }
    }

    /// What it is a secret of.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The secret of an api key.
    pub(super) fn of(name: &str, api_key: &str) -> Self {
        Self::new(name, api_key.split_once(':').expect("key_id:secret").1)
    }
}

impl Heard {
    /// Adds what was said somewhere.
    pub(super) fn hear(&mut self, place: &str, text: impl AsRef<str>) {
        let said = self.0.entry(place.to_owned()).or_default();
        said.push_str(text.as_ref());
        said.push('\n');
    }

    /// Fails for every canary that was heard, and for every place in which none of these words was heard: there the
    /// search would find nothing whatever was said.
    #[track_caller]
    pub(super) fn expect_none(&self, canaries: &[Canary], words: &[(&str, &str)]) {
        let deaf = words.iter().filter(|(place, word)| !self.0.get(*place).is_some_and(|said| said.contains(word)));
        let deaf: Vec<String> = deaf.map(|(place, word)| format!("{word:?} was not heard in {place}")).collect();
        assert!(deaf.is_empty(), "{deaf:?}; places: {:?}", self.0.keys().collect::<Vec<_>>());
        let found = self.found(canaries);
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    /// Each canary that was heard, and where. The line is shown, as a canary is no secret of anybody's.
    fn found(&self, canaries: &[Canary]) -> Vec<String> {
        let forms = || canaries.iter().flat_map(|canary| canary.forms.iter().map(move |form| (canary, form)));
        let needles = Needles::new(forms().map(|(_, form)| form.clone().into_bytes()));
        let names: Vec<&str> = forms().map(|(canary, _)| canary.name.as_str()).collect();
        let mut found = BTreeMap::new();
        for (place, said) in &self.0 {
            for (at, number) in needles.find(said.as_bytes()) {
                found.entry((names[number], place)).or_insert_with(|| line_at(said, at));
            }
        }
        found.into_iter().map(|((name, place), line)| format!("{name} in {place}: {line:.1000}")).collect()
    }

    /// How much was heard, in bytes.
    pub(super) fn length(&self) -> usize {
        self.0.values().map(String::len).sum()
    }
}

fn line_at(said: &str, at: usize) -> &str {
    let start = said.as_bytes()[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    said[start..].lines().next().unwrap_or_default()
}

#[test]
fn a_canary_is_found_in_whatever_form_it_is_planted() {
    let secret = &format!("tks_{}", "Z0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0123456789abcdefghijklm");
    let canary = [Canary::of("planted", &format!("tk_1:{secret}"))];
    let bytes = |text: &str| text.as_bytes().to_vec();
    for planted in [
        format!("line\nid:{secret} more"),
        secret[20..].to_owned(),
        base64(&format!("tk_1:{secret}")),
        base64(&format!("tk_01:{secret}")),
        base64(&format!("tk_001:{secret}")),
        format!("{:?}", bytes(secret)),
        serde_json::to_string(&bytes(secret)).unwrap(),
        secret.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02X}")),
    ] {
        let mut heard = Heard::default();
        heard.hear("here", &planted);
        assert_eq!(heard.found(&canary).len(), 1, "{planted}");
    }
    let mut heard = Heard::default();
    heard.hear("here", format!("tk_1:*** {}", secret.to_lowercase()));
    assert_eq!(heard.found(&canary), Vec::<String>::new());
    heard.expect_none(&canary, &[("here", "tk_1")]);
}

#[test]
#[should_panic(expected = "was not heard in there")]
fn a_place_in_which_nothing_is_heard_is_no_proof() {
    let mut heard = Heard::default();
    heard.hear("here", "word");
    heard.expect_none(&[], &[("there", "word")]);
}
