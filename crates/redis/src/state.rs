//! State ids: what says that a tag's state is the one that this node joined.
//!
//! A state id is one string of JSON beside the records of its tag. A flush, an empty restart or a
//! server that lags behind has another one or none, and then nothing is decided.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

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
    joined: Mutex<Vec<Option<Bytes>>>,
    /// Tags that did not answer when the others were joined last.
    left_out: RwLock<Arc<[bool]>>,
    /// How often marks became others.
    turns: AtomicU64,
}

impl Marks {
    pub(crate) fn none(tags: u8) -> Self {
        let (held, left_out) = (vec![None; usize::from(tags)], vec![false; usize::from(tags)]);
        Self { held: RwLock::new(held.into()), joined: Mutex::default(), left_out: RwLock::new(left_out.into()), turns: AtomicU64::new(0) }
    }

    pub(crate) fn load(&self) -> Arc<[Option<Bytes>]> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rises whenever a mark is forgotten, or another one joined. Cheap.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    pub(crate) fn of(&self, tag: u8) -> Option<Bytes> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(usize::from(tag)).cloned().flatten()
    }

    pub(crate) fn is_joined(&self, tag: u8) -> bool {
        let marks = self.held.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(usize::from(tag)).is_some_and(Option::is_some)
    }

    /// Whether a tag is not joined because its part of Redis did not answer: not that it is lost.
    pub(crate) fn is_left_out(&self, tag: u8) -> bool {
        let left_out = self.left_out.read().unwrap_or_else(PoisonError::into_inner);
        left_out.get(usize::from(tag)).copied().unwrap_or(false) && !self.is_joined(tag)
    }

    /// Joins, but for the tags that have no mark. True if one is another state than the one joined
    /// before, which so is lost.
    pub(crate) fn join(&self, marks: Vec<Option<Bytes>>) -> bool {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        *self.left_out.write().unwrap_or_else(PoisonError::into_inner) = marks.iter().map(Option::is_none).collect();
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            if **held != *marks {
                self.turn(|| *held = marks.iter().cloned().collect());
            }
        }
        joined.resize(marks.len(), None);
        let mut is_lost = false;
        for (before, now) in joined.iter_mut().zip(marks).filter(|(_, now)| now.is_some()) {
            is_lost |= before.is_some() && *before != now;
            *before = now;
        }
        is_lost
    }

    /// Counts before and after: what was read in between is of neither.
    fn turn(&self, change: impl FnOnce()) {
        self.turns.fetch_add(1, Ordering::AcqRel);
        change();
        self.turns.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes back one mark, unless another was joined meanwhile. True if it was there.
    pub(crate) fn forget(&self, tag: u8, lost: &Bytes) -> bool {
        let mut marks = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let place = usize::from(tag);
        if marks.get(place).cloned().flatten().as_ref() != Some(lost) {
            return false;
        }
        self.turn(|| *marks = marks.iter().enumerate().map(|(tag, mark)| mark.clone().filter(|_| tag != place)).collect());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks_of(marks: [&'static str; 2]) -> Vec<Option<Bytes>> {
        marks.map(|mark| (!mark.is_empty()).then(|| Bytes::from_static(mark.as_bytes()))).into()
    }

    #[test]
    fn a_tag_that_is_left_out_is_not_joined_and_not_lost() {
        let marks = Marks::none(2);
        assert!(!marks.is_left_out(1), "nobody has tried");
        assert!(!marks.join(marks_of(["a", ""])));
        assert_eq!((marks.is_joined(0), marks.is_joined(1), marks.is_left_out(0), marks.is_left_out(1)), (true, false, false, true));
        assert!(!marks.join(marks_of(["a", "b"])));
        assert!(marks.is_joined(1) && !marks.is_left_out(1));
        assert!(!marks.join(marks_of(["a", ""])), "silent is not lost");
        assert!(!marks.join(marks_of(["a", "b"])), "the same as before");
        assert!(!marks.join(marks_of(["a", ""])));
        assert!(marks.join(marks_of(["a", "c"])), "another one than before");
    }

    #[test]
    fn a_mark_is_forgotten_only_if_it_is_still_the_one() {
        let marks = Marks::none(2);
        assert!(!marks.is_joined(0));
        marks.join(marks_of(["a", "b"]));
        assert!(!marks.forget(0, &"b".into()), "another one was lost");
        assert!(marks.forget(0, &"a".into()));
        assert!(!marks.forget(0, &"a".into()), "once");
        assert_eq!((marks.of(0), marks.of(1)), (None, Some("b".into())));
        assert!(!marks.is_joined(7));
    }

    #[test]
    fn each_change_of_a_mark_and_nothing_else_is_a_turn() {
        let marks = Marks::none(2);
        let mut before = marks.turns();
        let mut has_turned = || std::mem::replace(&mut before, marks.turns()) != marks.turns();
        marks.join(marks_of(["a", "b"]));
        assert!(has_turned());
        marks.join(marks_of(["a", "b"]));
        assert!(!has_turned(), "the same as before");
        marks.forget(1, &"c".into());
        assert!(!has_turned(), "not the one that is held");
        marks.forget(1, &"b".into());
        assert!(has_turned());
        marks.join(marks_of(["a", "b"]));
        assert!(has_turned(), "the same again, and meanwhile it was lost");
    }

    #[test]
    fn a_loss_is_told_once_and_as_another_state_is_joined() {
        let marks = Marks::none(2);
        assert!(!marks.join(marks_of(["a", "b"])), "the first");
        assert!(!marks.join(marks_of(["a", "b"])), "the same");
        assert!(marks.join(marks_of(["a", "c"])), "noticed by no call");
        marks.forget(0, &"a".into());
        assert!(marks.join(marks_of(["d", "c"])), "noticed by a call");
        assert!(!marks.join(marks_of(["d", "c"])), "once");
    }
}
