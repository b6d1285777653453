//! From the loop to the writer of access records: bounded, batched, never waiting.
//!
//! The loop collects the records of a turn in its own list and hands them over at the end of the turn,
//! by a lock that it only ever tries: if the writer holds it just then (to swap two lists), the
//! records wait for the next turn. So the loop pays a copy of the record for each exchange and one
//! attempt for each turn, whatever the writer, the disk or journald are doing.
//!
//! Invariants: no more than the capacity is held on either side of the hand-over; what doesn't fit is
//! dropped and counted; in steady state nothing is allocated (the lists change places).

use super::access::{Names, Record};
use super::writer::Sink;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::thread::Thread;
use std::time::Duration;

/// Records that a busy writer is woken for at once; fewer wait for its next look.
const WAKE_AT: usize = 256;

/// What the loop tells the writer besides records.
pub(super) enum Order {
    /// Write there from now on, after so many of the records that came along.
    Sink(Sink, usize),
    /// The names of one more configuration.
    Names(Arc<Names>),
}

#[derive(Default)]
struct Inbox {
    records: Vec<Record>,
    orders: Vec<Order>,
    closed: bool,
}

impl Inbox {
    /// Takes the batch, up to the capacity. Returns how many were dropped.
    fn append(&mut self, batch: &mut Vec<Record>, capacity: usize) -> u64 {
        if self.records.is_empty() {
            mem::swap(&mut self.records, batch);
            return 0;
        }
        let room = capacity.saturating_sub(self.records.len());
        let dropped = batch.len().saturating_sub(room);
        batch.truncate(room);
        self.records.append(batch);
        dropped as u64
    }
}

/// How far the writer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records dropped because a list was full.
    pub dropped: u64,
    /// Records written.
    pub written: u64,
    /// Records that the sink didn't take.
    pub failed: u64,
}

pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    /// The writer waits without a time limit.
    asleep: AtomicBool,
    done: (Mutex<bool>, Condvar),
    pub(super) written: AtomicU64,
    pub(super) failed: AtomicU64,
    capacity: usize,
}

/// The loop's end.
pub struct Recorder {
    batch: Vec<Record>,
    shared: Arc<Shared>,
    writer: Option<Thread>,
    told: Progress,
    dropped: u64,
}

/// The writer's end.
pub(super) struct Intake {
    pub(super) shared: Arc<Shared>,
}

/// Both ends of a way for `capacity` records of a turn, and as many that wait for the writer.
pub(super) fn pair(capacity: usize) -> (Recorder, Intake) {
    let shared = Arc::new(Shared {
        inbox: Mutex::new(Inbox { records: Vec::with_capacity(capacity), ..Inbox::default() }),
        asleep: AtomicBool::new(false),
        done: (Mutex::new(false), Condvar::new()),
        written: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        capacity,
    });
    let recorder = Recorder {
        batch: Vec::with_capacity(capacity),
        shared: shared.clone(),
        writer: None,
        told: Progress::default(),
        dropped: 0,
    };
    (recorder, Intake { shared })
}

impl Recorder {
    /// A recorder that keeps nothing.
    pub fn off() -> Recorder {
        pair(0).0
    }

    /// Whether records go anywhere: if not, they need not be made.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.shared.capacity > 0
    }

    pub(super) fn set_writer(&mut self, writer: Thread) {
        self.writer = Some(writer);
    }

    /// Takes a record; it is dropped and counted when there is no room.
    #[inline]
    pub fn push(&mut self, record: &Record) {
        if self.batch.len() < self.shared.capacity {
            self.batch.push(record.clone());
        } else if self.is_on() {
            self.dropped += 1;
        }
    }

    /// Hands over what was taken; once a turn. Never waits.
    #[inline]
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let mut inbox = match self.shared.inbox.try_lock() {
            Ok(inbox) => inbox,
            Err(TryLockError::Poisoned(inbox)) => inbox.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.dropped += inbox.append(&mut self.batch, self.shared.capacity);
        let waiting = inbox.records.len();
        drop(inbox);
        if self.shared.asleep.load(SeqCst) || waiting >= WAKE_AT {
            self.wake();
        }
    }

    /// Tells the writer the names of one more configuration. Waits for the hand-over, so not for each
    /// turn.
    pub fn set_names(&mut self, names: Arc<Names>) {
        self.order(|_| Order::Names(names));
    }

    /// Tells the writer to write elsewhere from now on (the file was opened anew).
    pub fn set_sink(&mut self, sink: Sink) {
        self.order(|waiting| Order::Sink(sink, waiting));
    }

    fn order(&mut self, order: impl FnOnce(usize) -> Order) {
        let mut inbox = lock(&self.shared.inbox);
        self.dropped += inbox.append(&mut self.batch, self.shared.capacity);
        let waiting = inbox.records.len();
        inbox.orders.push(order(waiting));
        drop(inbox);
        self.wake();
    }

    /// What happened since the last call.
    pub fn take_progress(&mut self) -> Progress {
        let now = Progress {
            dropped: self.dropped,
            written: self.shared.written.load(Relaxed),
            failed: self.shared.failed.load(Relaxed),
        };
        let then = mem::replace(&mut self.told, now);
        Progress {
            dropped: now.dropped - then.dropped,
            written: now.written - then.written,
            failed: now.failed - then.failed,
        }
    }

    /// Ends the writer after it wrote what it has, waiting for that at most `patience`. True when all
    /// was written.
    pub fn close(mut self, patience: Duration) -> bool {
        self.flush();
        {
            let mut inbox = lock(&self.shared.inbox);
            inbox.closed = true;
            self.dropped += inbox.append(&mut self.batch, self.shared.capacity);
        }
        if self.writer.is_none() {
            return true;
        }
        self.wake();
        let (done, signal) = &self.shared.done;
        let waited = signal.wait_timeout_while(lock(done), patience, |done| !*done);
        match waited {
            Ok((done, _)) => *done,
            Err(poisoned) => *poisoned.into_inner().0,
        }
    }

    #[cfg(test)]
    pub(super) fn shared_for_tests(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn wake(&self) {
        self.shared.asleep.store(false, SeqCst);
        if let Some(writer) = &self.writer {
            writer.unpark();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        lock(&self.shared.inbox).closed = true;
        self.wake();
    }
}

impl Intake {
    /// Takes all that waits, in place of what was in the lists (which must be empty). False when nothing
    /// more will come.
    pub(super) fn take(&self, records: &mut Vec<Record>, orders: &mut Vec<Order>) -> bool {
        let mut inbox = lock(&self.shared.inbox);
        mem::swap(&mut inbox.records, records);
        mem::swap(&mut inbox.orders, orders);
        !inbox.closed || !records.is_empty() || !orders.is_empty()
    }

    /// Says that the writer will wait without limit. False when something has come meanwhile.
    pub(super) fn begin_sleep(&self) -> bool {
        self.shared.asleep.store(true, SeqCst);
        let inbox = lock(&self.shared.inbox);
        let idle = inbox.records.is_empty() && inbox.orders.is_empty() && !inbox.closed;
        if !idle {
            self.shared.asleep.store(false, SeqCst);
        }
        idle
    }

    /// Whether nobody woke the writer since [`Intake::begin_sleep`].
    pub(super) fn is_asleep(&self) -> bool {
        self.shared.asleep.load(SeqCst)
    }

    /// Says that all was written.
    pub(super) fn finish(&self) {
        let (done, signal) = &self.shared.done;
        *lock(done) = true;
        signal.notify_all();
    }
}

/// No code panics while it holds one of these locks; if it did, the lists would still be lists.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(intake: &Intake) -> Vec<Record> {
        let (mut records, mut orders) = (Vec::new(), Vec::new());
        intake.take(&mut records, &mut orders);
        records
    }

    fn numbered(status: u16) -> Record {
        Record { status, ..Record::EMPTY }
    }

    #[test]
    fn records_arrive_in_order_and_only_after_the_flush() {
        let (mut recorder, intake) = pair(8);
        (1..=3).for_each(|n| recorder.push(&numbered(n)));
        assert!(take(&intake).is_empty());
        recorder.flush();
        recorder.push(&numbered(4));
        recorder.flush();
        let statuses: Vec<u16> = take(&intake).iter().map(|r| r.status).collect();
        assert_eq!(statuses, [1, 2, 3, 4]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (mut recorder, intake) = pair(4);
        (0..6).for_each(|n| recorder.push(&numbered(n)));
        recorder.flush();
        (6..9).for_each(|n| recorder.push(&numbered(n)));
        recorder.flush();
        assert_eq!(take(&intake).len(), 4);
        assert_eq!(recorder.take_progress(), Progress { dropped: 5, ..Progress::default() });
        assert_eq!(recorder.take_progress(), Progress::default());
    }

    #[test]
    fn the_loop_never_waits_for_the_writer() {
        let (mut recorder, intake) = pair(4);
        let held = lock(&intake.shared.inbox);
        recorder.push(&numbered(1));
        recorder.flush();
        recorder.push(&numbered(2));
        recorder.flush();
        drop(held);
        recorder.flush();
        assert_eq!(take(&intake).len(), 2);
    }

    #[test]
    fn off_keeps_and_counts_nothing() {
        let mut off = Recorder::off();
        assert!(!off.is_on());
        off.push(&numbered(1));
        off.flush();
        assert_eq!(off.take_progress(), Progress::default());
        assert!(off.close(Duration::ZERO));
    }

    #[test]
    fn a_sleeper_is_woken_by_what_comes_before_and_after() {
        let (mut recorder, intake) = pair(4);
        assert!(intake.begin_sleep());
        assert!(intake.is_asleep());
        recorder.push(&numbered(1));
        recorder.flush();
        assert!(!intake.is_asleep());
        assert!(!intake.begin_sleep(), "something waits");
        take(&intake);
        assert!(intake.begin_sleep());
        drop(recorder);
        assert!(!intake.is_asleep());
    }
}
