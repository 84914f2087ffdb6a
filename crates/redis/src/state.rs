//! State ids: what says that a tag's state is the one that this node joined.
//!
//! A state id is one string of JSON beside the records of its tag. A flush, an empty restart or a
//! server that lags behind has another one or none, and then nothing is decided.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The state id of a tag as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, redis_macros::FromRedisValue, redis_macros::ToRedisArgs)]
#[serde(deny_unknown_fields)]
pub struct StateMark {
    /// 128 random bits in hex, made with the state.
    pub state_id: String,
    /// The change log whose positions the fences are.
    pub log_id: String,
    /// How many tags the keys are spread over.
    pub tags: u8,
}

/// The state ids that this node has joined, by tag.
#[derive(Debug)]
pub(crate) struct Marks {
    held: RwLock<Arc<[Option<Bytes>]>>,
    /// What was joined last, forgotten since or not.
    joined: Mutex<Vec<Bytes>>,
}

impl Marks {
    pub(crate) fn none(tags: u8) -> Self {
        Self { held: RwLock::new(vec![None; usize::from(tags)].into()), joined: Mutex::default() }
    }

    pub(crate) fn load(&self) -> Arc<[Option<Bytes>]> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn of(&self, tag: u8) -> Option<Bytes> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(usize::from(tag)).cloned().flatten()
    }

    pub(crate) fn is_joined(&self, tag: u8) -> bool {
        let marks = self.held.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(usize::from(tag)).is_some_and(Option::is_some)
    }

    /// Joins. True if that is another state than the one joined before, which so is lost.
    pub(crate) fn join(&self, marks: Vec<Bytes>) -> bool {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = marks.iter().cloned().map(Some).collect();
        let before = std::mem::replace(&mut *joined, marks);
        !before.is_empty() && before != *joined
    }

    /// Takes back one mark, unless another was joined meanwhile. True if it was there.
    pub(crate) fn forget(&self, tag: u8, lost: &Bytes) -> bool {
        let mut marks = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let place = usize::from(tag);
        if marks.get(place).cloned().flatten().as_ref() != Some(lost) {
            return false;
        }
        *marks = marks.iter().enumerate().map(|(tag, mark)| mark.clone().filter(|_| tag != place)).collect();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_forgotten_only_if_it_is_still_the_one() {
        let marks = Marks::none(2);
        assert!(!marks.is_joined(0));
        marks.join(vec!["a".into(), "b".into()]);
        assert!(!marks.forget(0, &"b".into()), "another one was lost");
        assert!(marks.forget(0, &"a".into()));
        assert!(!marks.forget(0, &"a".into()), "once");
        assert_eq!((marks.of(0), marks.of(1)), (None, Some("b".into())));
        assert!(!marks.is_joined(7));
    }

    #[test]
    fn a_loss_is_told_once_and_as_another_state_is_joined() {
        let marks = Marks::none(2);
        assert!(!marks.join(vec!["a".into(), "b".into()]), "the first");
        assert!(!marks.join(vec!["a".into(), "b".into()]), "the same");
        assert!(marks.join(vec!["a".into(), "c".into()]), "noticed by no call");
        marks.forget(0, &"a".into());
        assert!(marks.join(vec!["d".into(), "c".into()]), "noticed by a call");
        assert!(!marks.join(vec!["d".into(), "c".into()]), "once");
    }
}
