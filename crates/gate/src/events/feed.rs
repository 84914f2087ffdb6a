//! The changes of the log as they are told: read once for all streams that keep up, and again for
//! those that are behind.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_api::{ChangeTold, ChangesMissed, MissedReason, StreamEvent};

use super::Place;
use crate::{
    gate::GateShared,
    ports::{AuditQuery, AuditRow, Change, ChangeKind, KeyStoreError},
    telling::rfc3339,
};

/// Changes that are kept for streams that keep up.
const RECENT_MAX: usize = 2048;
/// Changes read at a time, at most: so many rows the audit log gives.
const PAGE_MAX: u32 = 1000;

#[derive(Debug, Default)]
pub(super) struct Feed {
    recent: Mutex<Recent>,
    /// One reader of the store at a time: most others find then what they want.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Recent {
    restarts: u64,
    /// The position before the first change.
    after: u64,
    changes: VecDeque<Arc<Row>>,
}

/// A change and how it is told.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) change: Change,
    pub(super) event: Arc<StreamEvent>,
}

/// What comes after a place.
#[derive(Debug)]
pub(super) enum Page {
    Rows(Vec<Arc<Row>>),
    Missed(ChangesMissed),
}

impl Recent {
    /// What comes after a position, if that is held.
    fn after(&self, position: u64, restarts: u64, count_max: usize) -> Option<Vec<Arc<Row>>> {
        let skip = usize::try_from(position.checked_sub(self.after)?).ok()?;
        let is_held = restarts == self.restarts && skip < self.changes.len();
        is_held.then(|| self.changes.iter().skip(skip).take(count_max).cloned().collect())
    }

    /// Takes over what was read after a position, where it goes on from what is held or is newer.
    fn take(&mut self, position: u64, restarts: u64, rows: &[Arc<Row>]) {
        let end = self.after + self.changes.len() as u64;
        if restarts < self.restarts || (restarts == self.restarts && position < end) {
            return;
        }
        if restarts != self.restarts || position != end {
            *self = Self { restarts, after: position, changes: VecDeque::new() };
        }
        self.changes.extend(rows.iter().cloned());
        let excess = self.changes.len().saturating_sub(RECENT_MAX);
        self.changes.drain(..excess);
        self.after += excess as u64;
    }
}

impl Feed {
    fn with_recent<T>(&self, look: impl FnOnce(&mut Recent) -> T) -> T {
        look(&mut self.recent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GateShared {
    /// What comes after a position that this node has passed. Never beyond what it has applied: a
    /// stream must not be told of its own end by a node that would still let it in.
    pub(super) async fn told_after(&self, position: u64, place: Place) -> Result<Page, KeyStoreError> {
        let page_max = self.follower.options().page_size.clamp(1, PAGE_MAX);
        let held = || self.events.feed.with_recent(|recent| recent.after(position, place.restarts, page_max as usize));
        if let Some(rows) = held() {
            return Ok(Page::Rows(rows));
        }
        let late = |_| KeyStoreError::Unreachable("it did not answer in time".into());
        let reading = async {
            let _turn = self.events.feed.reading.lock().await;
            match held() {
                Some(rows) => Ok(Page::Rows(rows)),
                None => self.read_told(position, place, page_max).await,
            }
        };
        tokio::time::timeout(self.options.lookup_timeout, reading).await.map_err(late)?
    }

    async fn read_told(&self, position: u64, place: Place, page_max: u32) -> Result<Page, KeyStoreError> {
        let mut changes = self.keys.changes(position, page_max).await?;
        changes.retain(|change| change.position <= place.position);
        // Positions have no holes: what is not there has been cleared away.
        if changes.first().is_none_or(|first| first.position != position + 1) {
            let oldest = match changes.first() {
                Some(first) => first.position,
                None => self.keys.head().await?.oldest,
            };
            let resumed_after = oldest.saturating_sub(1).clamp(position, place.position.max(position));
            if resumed_after == position {
                // It ends before where it had been read to. What is read of it next tells.
                return Err(KeyStoreError::Unreachable("the change log is shorter than it was".into()));
            }
            return Ok(Page::Missed(ChangesMissed { after: position, resumed_after, reason: MissedReason::NotKept }));
        }
        let rows = self.told(changes).await?;
        self.events.feed.with_recent(|recent| recent.take(position, place.restarts, &rows));
        Ok(Page::Rows(rows))
    }

    /// Changes with what the audit log says of them.
    async fn told(&self, changes: Vec<Change>) -> Result<Vec<Arc<Row>>, KeyStoreError> {
        let (count_max, before) = (u32::try_from(changes.len()).unwrap_or(PAGE_MAX), changes.last().map(|last| last.position + 1));
        let audit = self.keys.audit(AuditQuery { owner: None, key_id: None, before, count_max }).await?;
        let mut audited: HashMap<u64, AuditRow> = audit.rows.into_iter().map(|row| (row.position, row)).collect();
        let row = |change: Change| {
            let event = Arc::new(event_of(&change, audited.remove(&change.position)));
            Arc::new(Row { change, event })
        };
        Ok(changes.into_iter().map(row).collect())
    }
}

fn event_of(change: &Change, audited: Option<AuditRow>) -> StreamEvent {
    let (actor, action, request_id) = match audited {
        Some(AuditRow { actor, action, request_id, .. }) => (Some(actor), Some(action), Some(request_id)),
        None => (None, None, None),
    };
    let told = ChangeTold {
        position: change.position,
        at: rfc3339(change.at_ms),
        key_id: change.key_id.as_ref().map(ToString::to_string),
        owner: change.owner.as_ref().map(ToString::to_string),
        actor,
        action,
        request_id: request_id.filter(|id| tollgate_api::is_sane_request_id(id)),
    };
    match (change.kind, told.action.as_deref()) {
        (ChangeKind::Updated, Some("keys.suspend")) => StreamEvent::Suspended(told),
        (ChangeKind::Updated, Some("keys.resume")) => StreamEvent::Resumed(told),
        (ChangeKind::Updated, _) => StreamEvent::Updated(told),
        (ChangeKind::Created, _) => StreamEvent::Created(told),
        (ChangeKind::Rotated, _) => StreamEvent::Rotated(told),
        (ChangeKind::Revoked, _) => StreamEvent::Revoked(told),
        (ChangeKind::Reset, _) => StreamEvent::Reset(told),
        (ChangeKind::OwnerUpdated, _) => StreamEvent::OwnerUpdated(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(positions: std::ops::RangeInclusive<u64>) -> Vec<Arc<Row>> {
        let change = |position| Change { position, at_ms: position, kind: ChangeKind::Created, key_id: None, owner: None };
        positions.map(|position| Arc::new(Row { change: change(position), event: Arc::new(event_of(&change(position), None)) })).collect()
    }

    fn positions(found: Option<Vec<Arc<Row>>>) -> Option<Vec<u64>> {
        found.map(|rows| rows.iter().map(|row| row.change.position).collect())
    }

    #[test]
    fn what_was_read_for_one_is_there_for_the_others() {
        let mut recent = Recent::default();
        assert_eq!(positions(recent.after(0, 0, 10)), None);
        recent.take(5, 0, &rows(6..=9));
        assert_eq!(positions(recent.after(5, 0, 10)), Some(vec![6, 7, 8, 9]));
        assert_eq!(positions(recent.after(7, 0, 1)), Some(vec![8]));
        assert_eq!(positions(recent.after(4, 0, 10)), None, "before what is held");
        assert_eq!(positions(recent.after(9, 0, 10)), None, "nobody has read on yet");
        recent.take(9, 0, &rows(10..=10));
        recent.take(7, 0, &rows(8..=9));
        assert_eq!(positions(recent.after(8, 0, 10)), Some(vec![9, 10]), "each once");
        recent.take(20, 0, &rows(21..=21));
        assert_eq!((positions(recent.after(9, 0, 10)), positions(recent.after(20, 0, 10))), (None, Some(vec![21])));
    }

    #[test]
    fn rows_of_another_log_are_not_told() {
        let mut recent = Recent::default();
        recent.take(0, 0, &rows(1..=3));
        assert_eq!(positions(recent.after(0, 1, 10)), None);
        recent.take(1, 1, &rows(2..=2));
        assert_eq!((positions(recent.after(1, 1, 10)), positions(recent.after(1, 0, 10))), (Some(vec![2]), None));
        recent.take(2, 0, &rows(3..=3));
        assert_eq!(positions(recent.after(1, 1, 10)), Some(vec![2]), "what was read before is of no use now");
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let (mut recent, many) = (Recent::default(), RECENT_MAX as u64 + 10);
        recent.take(0, 0, &rows(1..=many));
        assert_eq!(recent.changes.len(), RECENT_MAX);
        assert_eq!((positions(recent.after(9, 0, 1)), positions(recent.after(10, 0, 1))), (None, Some(vec![11])));
    }
}
