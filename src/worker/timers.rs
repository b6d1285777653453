//! What happens when a connection's timer fires.
//!
//! One lazy timer a connection: it is not moved when its deadline is; it fires, finds what is due now
//! and is set again. While an exchange runs it fires at least once in a pulse (`Live::pulse`), so
//! that no deadline that came up since is missed by more than a tick.

use super::conn::{Conn, ConnKey, Role, State};
use super::core::{Core, Effect};
use super::run::Worker;
use crate::base::clock::Time;
use crate::base::wheel::TimerId;
use crate::exchange::fault::Fault;
use crate::observe::Counter;
use std::time::Duration;

/// How long a client may take to end its direction after we ended ours.
pub const LINGER: Duration = Duration::from_secs(2);
/// How soon a timer may fire again.
const TICK: Duration = Duration::from_millis(8);
/// How often a connection without any limit is looked at.
const UNLIMITED_LOOK: Duration = Duration::from_secs(60);
/// How soon a resting backend connection is looked at; its real deadline is computed then.
pub const IDLE_LOOK: Duration = Duration::from_secs(1);

impl Worker {
    /// Fires all timers that are due.
    pub(super) fn expire(&mut self) {
        let now = self.core.now;
        let due = &mut self.due;
        self.core.wheel.expire(now, |key| due.push(key));
        while let Some(key) = self.due.pop() {
            if let Some(conn) = self.conns.get_mut(key) {
                conn.timer = TimerId::NONE;
                conn.armed = Time::NEVER;
                fire(conn, key, &mut self.core);
            }
        }
    }
}

/// Does what is due on a connection, or sets its timer again.
fn fire(conn: &mut Conn, key: ConnKey, core: &mut Core) {
    let now = core.now;
    if let (Some(x), Role::Front { .. }) = (conn.x, conn.role) {
        let Some(work) = core.work.get(x) else { return };
        let (at, fault) = work.x.deadline();
        core.arm(conn, key, at.max(now.after(TICK)).min(now.after(core.live.pulse)));
        if at <= now {
            core.leave(Effect::Fail(x, fault));
        }
        return;
    }
    let Some(at) = deadline(conn, core) else {
        return core.arm(conn, key, now.after(UNLIMITED_LOOK));
    };
    if at > now {
        return core.arm(conn, key, at);
    }
    match conn.state {
        State::Head => super::begin::refuse(conn, key, core, Fault::HeaderTimeout, None),
        State::Idle if conn.is_front() => {
            core.count(Counter::TimeoutIdle);
            core.leave(Effect::Close(key));
        }
        _ => core.leave(Effect::Close(key)),
    }
}

/// When a connection without an exchange is to be closed.
fn deadline(conn: &Conn, core: &Core) -> Option<Time> {
    let limit = match (conn.role, conn.state) {
        (_, State::Linger) => Some(LINGER),
        (_, State::Busy | State::Closing) => return None,
        (Role::Front { .. }, state) => {
            let listener = core.listener_of(conn);
            let timeouts = &listener.map_or(&core.live.plan.terms, |plan| &plan.terms).timeouts;
            match (state, conn.served) {
                // A fresh connection owes its first request as soon as one that began to send it.
                (State::Head, _) | (State::Idle, 0) => timeouts.header,
                _ => timeouts.idle,
            }
        }
        (Role::Back { member }, _) => {
            let pool = core.pools.member(member).and_then(|member| core.pools.named(&member.pool));
            pool.map_or(Some(IDLE_LOOK), |pool| pool.terms.timeouts.idle)
        }
    };
    limit.map(|limit| conn.since.after(limit))
}
