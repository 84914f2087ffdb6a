//! A key store in memory whose reads can be counted, held open and refused.

mod key_ids;
mod store;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use tollgate_gate::{
    ports::{Change, ChangeKind, DoneOnce, KeyStoreError, Once, StoredSigningKey},
    record::{KeyRecord, OwnerRules},
};
use tollgate_keys::{ApiKey, KeyId, OwnerName, RandomPart, RingChar, Secret, SigningKey};
use tollgate_limits::RateLimits;

use super::{lock, within};

#[derive(Debug)]
pub(crate) struct FakeKeys {
    state: Arc<Mutex<State>>,
    down: AtomicBool,
    finds: AtomicUsize,
    heads: AtomicUsize,
    signing_reads: AtomicUsize,
    times_asked: AtomicUsize,
    changes_with_reads: Mutex<Option<KeyId>>,
    held_find: Mutex<Option<Door>>,
    held_signing: Mutex<Option<Door>>,
    held_head: Mutex<Option<Door>>,
    held_uses: Mutex<Option<Door>>,
    held_page: Arc<Mutex<Option<Door>>>,
    page_time: Mutex<Duration>,
    streams: AtomicUsize,
    /// Whether another node has its turn with the stream.
    stream_taken: AtomicBool,
    /// The store's own time of day, if it has one.
    time_of_day: Mutex<Option<u64>>,
}

#[derive(Debug)]
struct State {
    log: String,
    position: u64,
    /// The instant of the last row, as far as the clock of the tests has come.
    last_ms: u64,
    oldest: u64,
    changes: Vec<Change>,
    keys: BTreeMap<KeyId, KeyRecord>,
    owners: BTreeMap<OwnerName, OwnerRules>,
    signing: Vec<StoredSigningKey>,
    done_once: BTreeMap<[u8; 32], DoneOnce>,
}

/// Where one read waits, after it has read and before it answers.
#[derive(Debug)]
struct Door {
    reached: oneshot::Sender<()>,
    open: oneshot::Receiver<()>,
}

/// The test's side of a read that is held open.
#[derive(Debug)]
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    open: oneshot::Sender<()>,
}

impl Held {
    fn place(at: &Mutex<Option<Door>>) -> Self {
        let ((reached, has_reached), (open, is_open)) = (oneshot::channel(), oneshot::channel());
        *lock(at) = Some(Door { reached, open: is_open });
        Self { reached: has_reached, open }
    }

    /// Waits until the read has read.
    pub(crate) async fn reached(&mut self) {
        within(&mut self.reached).await.expect("a read comes");
    }

    /// Lets it answer.
    pub(crate) fn release(self) {
        self.open.send(()).expect("the read still waits");
    }
}

async fn pass(at: &Mutex<Option<Door>>) {
    let door = lock(at).take();
    if let Some(Door { reached, open }) = door {
        reached.send(()).expect("the test waits");
        open.await.expect("the test opens");
    }
}

impl FakeKeys {
    pub(crate) fn new() -> Self {
        let state = State {
            log: "first log".to_owned(),
            position: 0,
            last_ms: super::clock::START_MS,
            oldest: 1,
            changes: Vec::new(),
            keys: BTreeMap::new(),
            owners: BTreeMap::new(),
            signing: Vec::new(),
            done_once: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            down: AtomicBool::new(false),
            finds: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            signing_reads: AtomicUsize::new(0),
            times_asked: AtomicUsize::new(0),
            changes_with_reads: Mutex::default(),
            held_find: Mutex::default(),
            held_signing: Mutex::default(),
            held_head: Mutex::default(),
            held_uses: Mutex::default(),
            held_page: Arc::default(),
            page_time: Mutex::default(),
            streams: AtomicUsize::new(0),
            stream_taken: AtomicBool::new(false),
            time_of_day: Mutex::default(),
        }
    }

    /// The store's own clock shows this from now on.
    pub(crate) fn set_time_of_day(&self, now_ms: u64) {
        *lock(&self.time_of_day) = Some(now_ms);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn finds(&self) -> usize {
        self.finds.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }

    /// How often somebody asked what time it is.
    pub(crate) fn times_asked(&self) -> usize {
        self.times_asked.load(Ordering::SeqCst)
    }

    pub(crate) fn signing_reads(&self) -> usize {
        self.signing_reads.load(Ordering::SeqCst)
    }

    /// Holds the next look-up of a key open.
    pub(crate) fn hold_find(&self) -> Held {
        Held::place(&self.held_find)
    }

    /// Holds the next write of last uses open.
    pub(crate) fn hold_uses(&self) -> Held {
        Held::place(&self.held_uses)
    }

    pub(crate) fn put_signing_key(&self, key: StoredSigningKey) {
        lock(&self.state).signing.push(key);
    }

    pub(crate) fn has_signing_key(&self, ring: char) -> bool {
        lock(&self.state).signing.iter().any(|key| key.ring == ring)
    }

    /// Holds the next read of the signing keys open.
    pub(crate) fn hold_signing(&self) -> Held {
        Held::place(&self.held_signing)
    }

    /// Holds the next look at the end of the log open.
    pub(crate) fn hold_head(&self) -> Held {
        Held::place(&self.held_head)
    }

    /// Holds the next page of the stream of ids open.
    pub(crate) fn hold_page(&self) -> Held {
        Held::place(&self.held_page)
    }

    /// Holds no page any more.
    pub(crate) fn let_pages_pass(&self) {
        lock(&self.held_page).take();
    }

    /// A page of ids takes this long from now on.
    pub(crate) fn set_page_time(&self, time: Duration) {
        *lock(&self.page_time) = time;
    }

    /// Streams of ids that were opened.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    /// Has another node take its turn with the stream, or give it back.
    pub(crate) fn take_stream(&self, taken: bool) {
        self.stream_taken.store(taken, Ordering::SeqCst);
    }

    /// A change by a writer that dies before it raises the fence.
    pub(crate) fn edit(&self, key_id: &KeyId, kind: ChangeKind, edit: impl FnOnce(&mut KeyRecord)) {
        let mut state = lock(&self.state);
        let mut record = state.keys.get(key_id).expect("the key is there").clone();
        edit(&mut record);
        state.draw(0);
        record.generation = state.log(kind, Some(&record), None);
        state.keys.insert(key_id.clone(), record);
    }

    /// The same for an owner.
    pub(crate) fn edit_owner(&self, owner: &OwnerName, limits: RateLimits) {
        let mut state = lock(&self.state);
        state.draw(0);
        let generation = state.log(ChangeKind::OwnerUpdated, None, Some(owner));
        state.owners.insert(owner.clone(), OwnerRules { limits, generation });
    }

    /// A key that goes away without a trace, as in a restored backup.
    pub(crate) fn remove(&self, key_id: &KeyId) {
        lock(&self.state).keys.remove(key_id);
    }

    /// An owner's rules go away without a trace.
    pub(crate) fn forget_owner(&self, owner: &OwnerName) {
        lock(&self.state).owners.remove(owner);
    }

    /// From now on the key changes just before each reading.
    pub(crate) fn change_with_every_read(&self, key_id: &KeyId) {
        *lock(&self.changes_with_reads) = Some(key_id.clone());
    }

    /// Writes a key as it is, without a row in the log.
    pub(crate) fn put(&self, record: KeyRecord) {
        lock(&self.state).keys.insert(record.key_id.clone(), record);
    }

    /// A key that comes from elsewhere with its own id.
    pub(crate) fn import(&self, mut record: KeyRecord) {
        let mut state = lock(&self.state);
        state.draw(0);
        record.generation = state.log(ChangeKind::Created, Some(&record), None);
        state.keys.insert(record.key_id.clone(), record);
    }

    pub(crate) fn record(&self, key_id: &KeyId) -> KeyRecord {
        lock(&self.state).keys.get(key_id).expect("the key is there").clone()
    }

    /// The store is another one from now on: another log id, at this position.
    pub(crate) fn become_log(&self, log: &str, position: u64) {
        let mut state = lock(&self.state);
        (state.log, state.position, state.oldest) = (log.to_owned(), position, position + 1);
        state.changes.clear();
    }

    /// The last changes are gone, as in a restored backup.
    pub(crate) fn rewind_to(&self, position: u64) {
        let mut state = lock(&self.state);
        state.position = position;
        state.changes.retain(|change| change.position <= position);
    }

    /// Rows up to this position have been cleared away.
    pub(crate) fn clear_log_to(&self, position: u64) {
        let mut state = lock(&self.state);
        state.oldest = position + 1;
        state.changes.retain(|change| change.position > position);
    }

    pub(crate) fn position(&self) -> u64 {
        lock(&self.state).position
    }

    /// Another api key of that id with a good tag: only the stored hash tells that it is wrong.
    pub(crate) fn signed(&self, key_id: &KeyId) -> ApiKey {
        let random = RandomPart::generate().expect("randomness");
        ApiKey { key_id: key_id.clone(), secret: Secret::signed(&self.signer(), key_id, &random) }
    }

    fn signer(&self) -> SigningKey {
        let state = lock(&self.state);
        let stored = state.signing.last().expect("a signing key");
        let key: [u8; 32] = stored.sealed[1..].try_into().expect("stored in the clear");
        SigningKey::new(RingChar::new(stored.ring).expect("a ring character"), key)
    }

    fn is_up(&self) -> Result<(), KeyStoreError> {
        if self.down.load(Ordering::SeqCst) { Err(KeyStoreError::Unreachable("no route".into())) } else { Ok(()) }
    }
}

impl State {
    /// The instant of the next row.
    fn draw(&mut self, now_ms: u64) -> u64 {
        self.last_ms = now_ms.max(self.last_ms + 1);
        self.last_ms
    }

    fn take_name(&mut self, once: Option<Once>, key_id: &KeyId) -> Result<(), KeyStoreError> {
        let Some(Once { name, request }) = once else { return Ok(()) };
        match self.done_once.insert(name, DoneOnce { request, key_id: key_id.clone() }) {
            None => Ok(()),
            Some(before) => {
                self.done_once.insert(name, before);
                Err(KeyStoreError::Repeated)
            }
        }
    }

    /// Writes a row at the instant drawn last and says its position.
    fn log(&mut self, kind: ChangeKind, record: Option<&KeyRecord>, owner: Option<&OwnerName>) -> u64 {
        self.position += 1;
        let key_id = record.map(|record| record.key_id.clone());
        let owner = record.and_then(|record| record.owner.as_ref()).or(owner).cloned();
        self.changes.push(Change { position: self.position, at_ms: self.last_ms, kind, key_id, owner });
        self.position
    }
}
