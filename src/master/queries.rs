//! Questions to all workers at once: asked, collected, answered together.

use super::command::{Answer, Reply};
use super::run::Master;
use super::supervisor::{Generation, Phase};
use crate::base::clock::{Clock, Time};
use crate::ipc::{MAX_ANSWER, QueryKind, ToWorker};
use crate::sys::memfd;
use futures_channel::oneshot;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long a worker may take to answer; a slow one is left out.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most questions under way.
const MAX_OPEN: usize = 16;

/// Questions under way.
#[derive(Debug, Default)]
pub struct Queries {
    next: u64,
    open: BTreeMap<u64, Query>,
}

#[derive(Debug)]
struct Query {
    waiting: BTreeSet<Generation>,
    entries: Vec<Value>,
    limit: usize,
    deadline: Time,
    reply: oneshot::Sender<Reply>,
}

impl Queries {
    /// When the next one runs out of patience.
    pub fn next_deadline(&self) -> Option<Time> {
        self.open.values().map(|query| query.deadline).min()
    }
}

impl Master {
    /// Asks every ready worker for its connections.
    pub(super) fn ask_connections(&mut self, limit: u32, reply: oneshot::Sender<Reply>) {
        use super::command::{ControlError, ErrorKind};
        if self.queries.open.len() >= MAX_OPEN {
            let busy = ControlError::new(ErrorKind::Busy, "too many questions are open");
            let _gone = reply.send(Err(busy));
            return;
        }
        let id = self.queries.next;
        self.queries.next += 1;
        let mut waiting = BTreeSet::new();
        for worker in self.supervisor.workers() {
            if matches!(worker.phase, Phase::Ready | Phase::Draining { .. })
                && let Some(child) = self.children.get_mut(&worker.generation)
            {
                let kind = QueryKind::Connections { limit };
                child.post(&ToWorker::Query { id, kind }, Vec::new());
                waiting.insert(worker.generation);
            }
        }
        let deadline = Clock::now().after(PATIENCE);
        let limit = limit as usize;
        self.queries
            .open
            .insert(id, Query { waiting, entries: Vec::new(), limit, deadline, reply });
        self.settle_query(id);
    }

    /// A worker's answer.
    pub(super) fn on_answer(&mut self, generation: Generation, id: u64, file: &OwnedFd) {
        let slot = self.supervisor.worker(generation).map_or(0, |worker| worker.slot);
        let Some(query) = self.queries.open.get_mut(&id) else { return };
        if !query.waiting.remove(&generation) {
            return;
        }
        let parsed = memfd::read_sealed(file.as_fd(), MAX_ANSWER)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Vec<Value>>(&bytes).ok());
        match parsed {
            Some(entries) => query.entries.extend(entries.into_iter().map(|mut entry| {
                if let Value::Object(fields) = &mut entry {
                    fields.insert("worker".to_owned(), Value::from(slot));
                }
                entry
            })),
            None => tracing::warn!(slot, "a worker's answer makes no sense"),
        }
        self.settle_query(id);
    }

    fn settle_query(&mut self, id: u64) {
        let now = Clock::now();
        let done = self
            .queries
            .open
            .get(&id)
            .is_some_and(|query| query.waiting.is_empty() || query.deadline <= now);
        if done && let Some(mut query) = self.queries.open.remove(&id) {
            query.entries.truncate(query.limit);
            let _gone = query.reply.send(Ok(Answer::Json(Value::Array(query.entries))));
        }
    }

    /// Answers what has waited long enough.
    pub(super) fn tick_queries(&mut self, now: Time) {
        let due: Vec<u64> = self
            .queries
            .open
            .iter()
            .filter(|(_, query)| query.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        due.into_iter().for_each(|id| self.settle_query(id));
    }
}
