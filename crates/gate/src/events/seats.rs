//! How many streams there are, in all and for each caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{EventOptions, NoStream};
use crate::{gate::GateShared, verdict::Identity};

#[derive(Debug)]
pub(super) struct Seats {
    options: EventOptions,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_caller: HashMap<Caller, usize>,
}

/// Who is counted: all keys of an owner together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    Owner(String),
    Key(String),
}

/// A place among the streams, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<GateShared>,
    caller: Caller,
}

impl Seats {
    pub(super) fn new(options: EventOptions) -> Self {
        Self { options, taken: Mutex::default() }
    }

    pub(super) fn taken(&self) -> usize {
        self.with(|taken| taken.all)
    }

    pub(super) fn take(shared: &Arc<GateShared>, identity: &Identity) -> Result<Seat, NoStream> {
        let seats = &shared.events.seats;
        let caller = match &identity.owner {
            Some(owner) => Caller::Owner(owner.to_string()),
            None => Caller::Key(identity.key_id.to_string()),
        };
        seats.with(|taken| taken.take(&caller, seats.options))?;
        Ok(Seat { shared: Arc::clone(shared), caller })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Taken) -> T) -> T {
        look(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Taken {
    fn take(&mut self, caller: &Caller, options: EventOptions) -> Result<(), NoStream> {
        if self.all >= options.streams_max {
            return Err(NoStream::NodeFull);
        }
        let of_caller = self.by_caller.get(caller).copied().unwrap_or(0);
        if of_caller >= options.streams_per_caller_max {
            return Err(NoStream::CallerFull);
        }
        self.all += 1;
        self.by_caller.insert(caller.clone(), of_caller + 1);
        Ok(())
    }

    fn leave(&mut self, caller: &Caller) {
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.by_caller.get_mut(caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_caller.remove(caller);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.events.seats.with(|taken| taken.leave(&self.caller));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_his_and_all_not_more_than_there_are() {
        let options = EventOptions { streams_max: 3, streams_per_caller_max: 2, ..EventOptions::default() };
        let (mut taken, one, two) = (Taken::default(), Caller::Owner("a".into()), Caller::Key("a".into()));
        assert_eq!([(); 3].map(|()| taken.take(&one, options)), [Ok(()), Ok(()), Err(NoStream::CallerFull)]);
        assert_eq!([(); 2].map(|()| taken.take(&two, options)), [Ok(()), Err(NoStream::NodeFull)]);
        taken.leave(&one);
        assert_eq!(taken.take(&two, options), Ok(()));
        for caller in [&one, &two, &two] {
            taken.leave(caller);
        }
        assert!(taken.all == 0 && taken.by_caller.is_empty(), "{taken:?}");
    }
}
