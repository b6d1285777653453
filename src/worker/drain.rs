//! Stopping: no new connections, present exchanges to their end, the rest at a deadline.

use super::conn::{Conn, ConnKey, State};
use super::core::Effect;
use super::run::Worker;
use crate::base::clock::Time;
use crate::exchange::fault::Fault;
use crate::shared::WorkerState;
use std::time::Duration;

/// A worker that stops.
pub struct Drain {
    /// When what is left is closed.
    pub until: Time,
    /// It was: nothing is waited for any more.
    pub forced: bool,
}

/// How long a keep-alive client must have rested to be closed while draining. One that is in use
/// sends its next request sooner, and learns from its answer that the connection ends.
const GRACE: Duration = Duration::from_secs(1);

/// How often a draining worker looks for connections that have come to rest.
pub(super) const LOOK: Duration = Duration::from_millis(50);

impl Worker {
    /// Stops accepting and ends what is there: at once when `hard`, else each connection after its
    /// present exchange and all of them at the deadline. A later call can only hurry.
    pub fn stop(&mut self, hard: bool, deadline: Duration) {
        let now = self.core.now;
        let until = if hard { now } else { now.after(deadline) };
        match &mut self.drain {
            Some(drain) => drain.until = drain.until.min(until),
            None => {
                self.drain = Some(Drain { until, forced: false });
                self.core.draining = true;
                self.core.page.set_state(WorkerState::Draining);
                self.close_doors();
                self.announce();
            }
        }
    }

    /// Tells busy connections that they end with their present exchange; closes idle backends'.
    fn announce(&mut self) {
        let busy = |conn: &Conn| conn.is_front() && conn.x.is_some();
        let keys: Vec<ConnKey> =
            self.conns.iter().filter(|(_, conn)| busy(conn)).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.retire(key));
        let idle = self.core.pools.take_idle();
        idle.into_iter().for_each(|key| self.core.leave(Effect::Close(key)));
    }

    /// Goes on with stopping. Returns whether the worker is through.
    pub(super) fn review_drain(&mut self) -> bool {
        let now = self.core.now;
        let Some(drain) = &mut self.drain else { return false };
        if now >= drain.until && !drain.forced {
            drain.forced = true;
            let works: Vec<_> = self.core.work.iter().map(|(key, _)| key).collect();
            works.into_iter().for_each(|x| self.core.leave(Effect::Fail(x, Fault::Stopping)));
            let keys: Vec<_> = self.conns.iter().map(|(key, _)| key).collect();
            keys.into_iter().for_each(|key| self.core.leave(Effect::Close(key)));
        } else {
            let quiet = |conn: &Conn| {
                conn.state == State::Idle && conn.is_front() && now.since(conn.since) >= GRACE
            };
            let keys: Vec<ConnKey> =
                self.conns.iter().filter(|(_, conn)| quiet(conn)).map(|(key, _)| key).collect();
            keys.into_iter().for_each(|key| self.core.leave(Effect::Close(key)));
        }
        self.settle();
        self.is_over()
    }

    /// Whether the worker has stopped and nothing is left.
    pub fn is_over(&self) -> bool {
        self.drain.is_some() && self.core.work.is_empty() && (self.fronts == 0)
    }
}
