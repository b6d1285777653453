//! Accepting: how many of the waiting connections this worker takes.
//!
//! All workers share each listening socket. A worker that holds more than the mean and a margin steps
//! out of accepting, so that others get what comes next; the least loaded one always accepts. It
//! steps back in after a moment, whatever its load, so that nothing waits long when the others are
//! stuck. Out of descriptors, or at its own cap, it steps out as well: the kernel's queue holds the
//! rest, and no event spins.

use super::conn::{Conn, Peer, Role};
use super::core::Core;
use super::run::{Worker, token_of_door};
use crate::base::clock::Time;
use crate::io::listen::Listener;
use crate::observe::{Counter, Gauge};
use crate::shared::Spread;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connections taken from one listener in one turn.
const BATCH: usize = 64;
/// Connections taken before the shares are compared again, when the others had their chance.
const PATIENT_BATCH: usize = 4;
/// How soon a worker that stepped out looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long it stays out at most.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long it waits for descriptors or memory.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// One listening socket.
pub struct Door {
    /// The master's name for it.
    pub id: u64,
    /// The socket.
    pub listener: Listener,
    /// Index of its listener's name in [`Core::doors`].
    pub name: u16,
}

/// Whether this worker accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// The listeners are in the epoll set.
    In {
        /// Above its share all the same: the others left these waiting.
        patient: bool,
    },
    /// They are not; look again then.
    Out {
        /// When it stepped out.
        since: Time,
        /// When to look again.
        until: Time,
        /// For lack of descriptors or at the cap: shares don't matter.
        exhausted: bool,
    },
    /// For good: the worker drains.
    Never,
}

/// Whether a worker with `mine` connections should leave the next one to others.
fn is_over_share(spread: Spread, mine: u64) -> bool {
    if spread.workers < 2 || mine <= spread.fewest {
        return false;
    }
    let mean = spread.connections / u64::from(spread.workers);
    mine > mean + 2 + mean / 8
}

impl Worker {
    /// Takes what waits at a door, up to a batch.
    pub(super) fn accept(&mut self, door: usize) {
        let Accepting::In { patient } = self.accepting else { return };
        let batch = if patient { PATIENT_BATCH } else { BATCH };
        let mut taken = 0;
        while taken < batch {
            if self.fronts >= self.fronts_max {
                self.core.count(Counter::ConnectionsLimit);
                return self.step_out(true);
            }
            let Some(door) = self.doors.get(door) else { return };
            let name = door.name;
            match door.listener.accept() {
                Ok((stream, peer)) => self.welcome(stream, peer, name),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => {}
                Err(error) => return self.on_accept_error(&error),
            }
            taken += 1;
            if !patient && self.is_over_share() {
                break;
            }
        }
        if taken == 0 {
            return;
        }
        if self.is_over_share() {
            self.step_out(false);
        } else {
            self.accepting = Accepting::In { patient: false };
        }
    }

    fn welcome(
        &mut self,
        mut stream: crate::io::stream::Stream,
        peer: Option<SocketAddr>,
        listener: u16,
    ) {
        let now = self.core.now;
        self.core.count(Counter::Accepted);
        let registered = {
            let poller = &self.poller;
            let mut result = Ok(());
            let key = self.conns.insert_with(|key| {
                result = poller.add(&mut stream, super::run::token_of_conn(key));
                Conn::new(stream, Role::Front { listener }, Peer::of(peer), now)
            });
            result.map(|()| key).map_err(|_| key)
        };
        match registered {
            Ok(key) => {
                self.fronts += 1;
                self.core.page.set(Gauge::FrontConnections, self.fronts as u64);
                if let Some(conn) = self.conns.get_mut(key) {
                    let at = now.after(self.core.live.pulse);
                    self.core.arm(conn, key, at);
                }
                self.core.wake(key);
            }
            Err(key) => {
                self.core.count(Counter::DescriptorLimit);
                self.conns.remove(key);
            }
        }
    }

    fn on_accept_error(&mut self, error: &io::Error) {
        self.core.count(Counter::AcceptErrors);
        if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            self.core.count(Counter::DescriptorLimit);
        }
        self.step_out(true);
    }

    /// Leaves what comes next to others.
    fn step_out(&mut self, exhausted: bool) {
        let now = self.core.now;
        let wait = if exhausted { EXHAUSTED } else { LOOK_AGAIN };
        if !exhausted {
            self.core.count(Counter::AcceptPauses);
        }
        self.accepting = Accepting::Out { since: now, until: now.after(wait), exhausted };
        self.doors.iter().for_each(|door| self.poller.remove_listener(&door.listener));
        self.core.page.set(Gauge::Accepting, 0);
    }

    fn is_over_share(&self) -> bool {
        is_over_share(self.core.board.spread(self.core.now), self.fronts as u64)
    }

    /// Looks whether a worker that stepped out should step in again. Returns when to look next.
    pub(super) fn review_accepting(&mut self) -> Option<Time> {
        let now = self.core.now;
        let Accepting::Out { since, until, exhausted } = self.accepting else { return None };
        if now < until {
            return Some(until);
        }
        let over = self.is_over_share();
        if !exhausted && over && now.since(since) < PATIENCE {
            let until = now.after(LOOK_AGAIN);
            self.accepting = Accepting::Out { since, until, exhausted };
            return Some(until);
        }
        self.step_in(over && !exhausted);
        None
    }

    /// Puts the listeners (back) into the epoll set.
    pub(super) fn step_in(&mut self, patient: bool) {
        self.accepting = Accepting::In { patient };
        for (index, door) in self.doors.iter().enumerate() {
            if self.poller.add_listener(&door.listener, token_of_door(index)).is_err() {
                self.core.count(Counter::AcceptErrors);
            }
        }
        self.core.page.set(Gauge::Accepting, 1);
    }

    /// Stops accepting for good and closes the listeners.
    pub(super) fn close_doors(&mut self) {
        if self.accepting != Accepting::Never {
            self.doors.iter().for_each(|door| self.poller.remove_listener(&door.listener));
        }
        self.accepting = Accepting::Never;
        self.doors.clear();
        self.core.page.set(Gauge::Accepting, 0);
    }
}

impl Core {
    /// The index of a listener's name, which stays the same for the worker's life.
    pub fn name_index(&mut self, names: &mut Vec<Arc<str>>, name: &str) -> u16 {
        let known = names.iter().position(|known| &**known == name);
        let index = known.unwrap_or_else(|| {
            names.push(name.into());
            self.doors.push(None);
            names.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }
}

/// Errors of one connection that died in the queue, which say nothing about the next.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_always_accepts_and_nobody_takes_half_again_its_share() {
        let alone = Spread { connections: 10_000, workers: 1, fewest: 0 };
        assert!(!is_over_share(alone, 10_000));
        for workers in [2u32, 4, 8] {
            let share = 256 / u64::from(workers);
            let full = Spread { connections: 256, workers, fewest: 0 };
            assert!(is_over_share(full, share * 3 / 2), "{workers} workers");
            assert!(!is_over_share(full, share), "{workers} workers");
            let least = Spread { fewest: 200, ..full };
            assert!(!is_over_share(least, 200), "the least loaded accepts");
        }
    }
}
